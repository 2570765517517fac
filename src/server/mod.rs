//! `portcullis serve`: everything is put together here, started in order, and stopped in order.

mod activity;
mod admin;
mod bookkeeping;
mod client_io;
mod clusters;
mod connection;
mod control;
mod dispatch;
mod endpoints;
mod message;
mod readiness;
mod self_signed;
mod signals;
mod tls;
mod worker;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use self_signed::{CA_CERTIFICATE, SelfSignedError};
pub use tls::TlsError;

use crate::api::Service;
use crate::authn::{Authenticator, Records};
use crate::authority::AuthorityError;
use crate::authz::Impersonation;
use crate::cluster::{Cluster, ClusterError};
use crate::config::Config;
use crate::proxy::{Clusters, Gate};
use crate::store::{Store, StoreError};
use crate::telemetry::Telemetry;
use crate::upstream::Upstream;
use bookkeeping::Bookkeeping;
use connection::Context;
use dispatch::Dispatch;
use endpoints::Endpoints;
use readiness::Readiness;
use signals::StopSignals;
use tls::ServerIdentity;

/// The cluster that paths without `/k8s/clusters/<id>` mean.
const DEFAULT_CLUSTER: &str = "local";
/// Threads for everything that is not the hot path.
const CONTROL_THREADS: usize = 2;
/// How long what is left of the bookkeeping may be written after the last request.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the server did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The operating system refused something: a socket, a thread, a file.
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// The store can't be opened.
    #[error("can't open the token store")]
    Store(#[from] StoreError),
    /// The first administrator can't be made.
    #[error("can't set up the token authority")]
    Authority(#[from] AuthorityError),
    /// The cluster can't be found or its configuration not used.
    #[error("can't use the cluster")]
    Cluster(#[from] ClusterError),
    /// No certificate.
    #[error("can't serve TLS")]
    Tls(#[from] TlsError),
    /// No random bytes.
    #[error("the operating system has no random bytes")]
    Random(#[from] getrandom::Error),
    /// A part that everything else relies on has ended. To go on would mean to revoke nothing any more.
    #[error("{0} has ended unexpectedly")]
    PartEnded(&'static str),
}

/// Serves until SIGTERM or SIGINT, then until the requests that are under way have ended or the drain timeout is over.
/// A second signal ends it at once.
pub fn serve(config: Config) -> Result<(), ServeError> {
    // kube's client asks for the process' default.
    let _already = tls::provider().as_ref().clone().install_default();
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| ServeError::Io("can't start the control runtime", error))?;
    let config = Arc::new(config);
    let telemetry = Telemetry::start(&config.log, config.limits.log_queue_lines, Box::new(io::stdout()))
        .map_err(|error| ServeError::Io("can't start the access log", error))?;
    let result = run(&control, &config, &telemetry);
    telemetry.flush(FLUSH_TIMEOUT);
    control.shutdown_background();
    result
}

/// What is made once and shared by all workers.
struct Shared {
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    authenticator: Arc<Authenticator>,
    impersonation: Arc<Impersonation>,
    cluster: Arc<Cluster>,
    api: Service,
    acceptor: TlsAcceptor,
}

fn run(control: &Runtime, config: &Arc<Config>, telemetry: &Arc<Telemetry>) -> Result<(), ServeError> {
    let store = Store::open(&config.data_dir, config.token_hashing)?;
    let records = Records::new(store.clone(), config.limits.token_cache_entries, Arc::clone(telemetry));
    let records_feed = control.spawn(records.clone().follow(store.subscribe()));
    let cluster = control.block_on(Cluster::load(DEFAULT_CLUSTER, &config.cluster))?;
    let (clusters, clusters_feed) = clusters::start(control, config, &store, &cluster)?;
    let identity = ServerIdentity::load(config)?;
    let server_config = tls::server_config(Arc::clone(&identity))?;
    control.spawn(identity.follow(Arc::clone(config)));

    let (listeners, admin) = control.block_on(endpoints::bind(config))?;
    let endpoints = Endpoints::of(&listeners, &admin)?;
    let info = endpoints.api_info(config)?;
    let (authority, settings_feed) = control::start_authority(control, config, &store, &info, &clusters)?;
    let bookkeeping = Bookkeeping::start(control, &records, &store, &authority, telemetry);
    let readiness = Readiness::new();
    control.spawn(Arc::clone(&readiness).watch(store, Arc::clone(&cluster)));
    control.spawn(admin::serve(admin, Arc::clone(&readiness), Arc::clone(telemetry)));

    let settings = authority.live_settings();
    let authenticator = Arc::new(Authenticator::new(records, settings.clone(), Arc::clone(telemetry))?);
    let streams_keeper = control.spawn(Arc::clone(&authenticator).keep_streams());
    let api = Service::new(authority, authenticator.streams().clone());
    let shared = Shared {
        config: Arc::clone(config),
        telemetry: Arc::clone(telemetry),
        authenticator,
        impersonation: Arc::new(Impersonation::new(settings, Arc::clone(telemetry))),
        cluster,
        api,
        acceptor: TlsAcceptor::from(server_config),
    };
    let mut signals = StopSignals::listen(control)?;
    let mut workers = Workers::start(control, listeners, &Arc::new(shared))?;
    endpoints.publish(&config.data_dir)?;
    tracing::info!(listen = %endpoints.listen, admin = %endpoints.admin, "serving");

    let feeds = [records_feed, settings_feed, clusters_feed, streams_keeper];
    let outcome = control.block_on(wait_for_end(&mut signals, feeds, &mut workers.ended));
    readiness.drain();
    control.block_on(workers.drain(&mut signals, config.limits.drain_timeout));
    control.block_on(bookkeeping.finish(FLUSH_TIMEOUT));
    outcome
}

/// Waits for a signal to stop, or for a feed of changes or a worker to end, which they must not.
async fn wait_for_end(
    signals: &mut StopSignals,
    [records_feed, settings_feed, clusters_feed, streams_keeper]: [JoinHandle<()>; 4],
    worker_ended: &mut mpsc::Receiver<()>,
) -> Result<(), ServeError> {
    tokio::select! {
        () = signals.next() => Ok(()),
        _ = records_feed => Err(ServeError::PartEnded("the feed of changes")),
        _ = settings_feed => Err(ServeError::PartEnded("the feed of settings")),
        _ = clusters_feed => Err(ServeError::PartEnded("the feed of clusters")),
        _ = streams_keeper => Err(ServeError::PartEnded("the keeper of streams")),
        _ = worker_ended.recv() => Err(ServeError::PartEnded("a worker")),
    }
}

/// The data plane.
struct Workers {
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
    permits: Arc<Semaphore>,
    max_connections: u32,
}

impl Workers {
    fn start(
        control: &Runtime,
        listeners: Vec<std::net::TcpListener>,
        shared: &Arc<Shared>,
    ) -> Result<Self, ServeError> {
        let (draining, draining_seen) = watch::channel(false);
        let (stop, stop_seen) = watch::channel(false);
        let (ended_sender, ended) = mpsc::channel(1);
        let max_connections = u32::try_from(shared.config.limits.max_connections).unwrap_or(u32::MAX);
        let permits = Arc::new(Semaphore::new(shared.config.limits.max_connections));
        for (number, listener) in listeners.into_iter().enumerate() {
            let (shared, draining, control) =
                (Arc::clone(shared), draining_seen.clone(), control.handle().clone());
            worker::spawn(
                number,
                listener,
                Arc::clone(&permits),
                stop_seen.clone(),
                ended_sender.clone(),
                move || context(&shared, draining, control),
            )
            .map_err(|error| ServeError::Io("can't start a worker", error))?;
        }
        Ok(Self { draining, stop, ended, permits, max_connections })
    }

    /// Lets connections end by themselves for at most `timeout`, or until another signal comes.
    async fn drain(self, signals: &mut StopSignals, timeout: Duration) {
        tracing::info!("draining");
        let _ = self.draining.send(true);
        tokio::select! {
            _ = self.permits.acquire_many(self.max_connections) => tracing::info!("all connections have ended"),
            () = tokio::time::sleep(timeout) => tracing::warn!("connections were cut at the drain timeout"),
            () = signals.next() => tracing::warn!("connections were cut by a second signal"),
        }
        let _ = self.stop.send(true);
    }
}

fn context(shared: &Shared, draining: watch::Receiver<bool>, control: tokio::runtime::Handle) -> Context {
    let upstream = Upstream::new(Arc::clone(&shared.cluster), &shared.config.limits, &shared.telemetry);
    let gate = Gate {
        authenticator: Arc::clone(&shared.authenticator),
        impersonation: Arc::clone(&shared.impersonation),
        clusters: Clusters::new(vec![Arc::new(upstream)]),
        limits: shared.config.limits.clone(),
        telemetry: Arc::clone(&shared.telemetry),
    };
    let dispatch = Arc::new(Dispatch { gate, api: shared.api.clone(), control });
    Context { dispatch, acceptor: shared.acceptor.clone(), draining }
}
