//! `portcullis serve`: everything is put together here, started in order, and stopped in order.

mod activity;
mod admin;
mod bookkeeping;
mod client_io;
mod clusters;
mod configuration;
mod connection;
mod control;
mod dispatch;
mod drain;
mod endpoints;
mod message;
mod open_files;
mod places;
mod readiness;
mod reload;
mod self_signed;
mod signals;
mod tls;
mod worker;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use configuration::Again;
pub use self_signed::{CA_CERTIFICATE, SelfSignedError};
pub use tls::TlsError;

use crate::api::Service;
use crate::authn::{Authenticator, Records, ServiceAccounts};
use crate::authority::AuthorityError;
use crate::authz::Impersonation;
use crate::cluster::{Cluster, ClusterError, Member, Registry};
use crate::config::{Config, LiveConfig, Resolution};
use crate::proxy::{Admission, Clusters, Gate, Lottery};
use crate::store::{Store, StoreError};
use crate::telemetry::Telemetry;
use bookkeeping::Bookkeeping;
use configuration::{Configuration, Following};
use connection::Context;
use dispatch::Dispatch;
use endpoints::Endpoints;
use places::Places;
use readiness::Readiness;
use reload::Trigger;
use signals::StopSignals;
use tls::ServerIdentity;
use worker::Entrance;

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

/// Serves until SIGTERM or SIGINT, then goes down in order. A second signal ends it at once.
/// What is on disk is read again while it runs, the configuration by `again`.
pub fn serve(started: Resolution, again: Again) -> Result<(), ServeError> {
    open_files::allow_all();
    // kube's client asks for the process' default.
    let _already = tls::provider().as_ref().clone().install_default();
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| ServeError::Io("can't start the control runtime", error))?;
    let config = Arc::new(started.config.clone());
    let live = LiveConfig::new(started.config.clone());
    let telemetry = Telemetry::start(&config.log, config.limits.log_queue_lines, Box::new(io::stdout()))
        .map_err(|error| ServeError::Io("can't start the access log", error))?;
    let configuration = Configuration::new(started, again, live, Arc::clone(&telemetry));
    let result = run(&control, &config, configuration, &telemetry);
    telemetry.flush(FLUSH_TIMEOUT);
    control.shutdown_background();
    result
}

/// What is made once and shared by all workers.
struct Shared {
    config: LiveConfig,
    telemetry: Arc<Telemetry>,
    authenticator: Arc<Authenticator>,
    impersonation: Arc<Impersonation>,
    admission: Arc<Admission>,
    service_accounts: ServiceAccounts,
    cluster: Arc<Cluster>,
    clusters: Registry,
    default: Arc<Member>,
    api: Service,
    acceptor: TlsAcceptor,
}

fn run(
    control: &Runtime,
    config: &Arc<Config>,
    configuration: Configuration,
    telemetry: &Arc<Telemetry>,
) -> Result<(), ServeError> {
    let live = configuration.live();
    let trigger = Trigger::listen(control)?;
    let store = Store::open(&config.data_dir, config.token_hashing)?;
    let records = Records::new(store.clone(), config.limits.token_cache_entries, Arc::clone(telemetry));
    let records_feed = control.spawn(records.clone().follow(store.subscribe()));
    let cluster = control.block_on(Cluster::load(DEFAULT_CLUSTER, &config.cluster, telemetry))?;
    let (clusters, default, clusters_feed) =
        clusters::start(control, config, &store, &records, &cluster, telemetry)?;
    let identity = ServerIdentity::load(config)?;
    let server_config = tls::server_config(Arc::clone(&identity))?;
    control.spawn(identity.follow(Arc::clone(config), Arc::clone(telemetry), trigger.clone()));
    control.spawn(reload::read_clusters_again(clusters.clone(), trigger.clone()));
    let admission = Arc::new(Admission::new(&config.limits, &telemetry.metrics.load));
    let following =
        Following { clusters: clusters.clone(), records: records.clone(), admission: Arc::clone(&admission) };
    control.spawn(configuration.follow(following, trigger));

    let (listeners, admin) = control.block_on(endpoints::bind(config))?;
    let endpoints = Endpoints::of(&listeners, &admin)?;
    let info = endpoints.api_info(config)?;
    let (authority, settings_feed) = control::start_authority(control, &live, &store, &info, &clusters)?;
    let bookkeeping = Bookkeeping::start(control, &records, &store, &authority, telemetry);
    let readiness = Readiness::new();
    control.spawn(Arc::clone(&readiness).watch(store, Arc::clone(&cluster), live.clone()));
    control.spawn(admin::serve(admin, Arc::clone(&readiness), Arc::clone(telemetry)));

    let settings = authority.live_settings();
    let streams = records.streams().clone();
    let service_accounts =
        ServiceAccounts::new(live.clone(), streams.clone(), Arc::clone(telemetry), control.handle().clone())?;
    control.spawn(service_accounts.clone().follow_open());
    let authenticator = Arc::new(Authenticator::new(records, settings.clone(), Arc::clone(telemetry))?);
    let streams_keeper = control.spawn(Arc::clone(&authenticator).keep_streams());
    let api = Service::new(authority, streams.clone());
    let shared = Shared {
        config: live.clone(),
        telemetry: Arc::clone(telemetry),
        authenticator,
        impersonation: Arc::new(Impersonation::new(settings, Arc::clone(telemetry))),
        admission,
        service_accounts,
        cluster,
        clusters,
        default,
        api,
        acceptor: TlsAcceptor::from(server_config),
    };
    let mut signals = StopSignals::listen(control)?;
    let (workers, worker_ended) = Workers::start(control, listeners, &Arc::new(shared))?;
    endpoints.publish(&config.data_dir)?;
    tracing::info!(listen = %endpoints.listen, admin = %endpoints.admin, "serving");

    let mut parts = Parts { records_feed, settings_feed, clusters_feed, streams_keeper, worker_ended };
    let mut outcome = control.block_on(parts.hold_until(signals.next()));
    readiness.drain();
    if outcome.is_ok() {
        let config = live.current();
        let going = workers.go_down(&streams, &telemetry.metrics, &config.limits, &mut signals);
        outcome = control.block_on(parts.hold_until(going));
    }
    workers.stop();
    control.block_on(bookkeeping.finish(FLUSH_TIMEOUT));
    outcome
}

/// What everything else relies on, and what must not end.
struct Parts {
    records_feed: JoinHandle<()>,
    settings_feed: JoinHandle<()>,
    clusters_feed: JoinHandle<()>,
    streams_keeper: JoinHandle<()>,
    worker_ended: mpsc::Receiver<()>,
}

impl Parts {
    /// Waits for `end`, or for one of the parts to end before it.
    async fn hold_until(&mut self, end: impl Future<Output = ()>) -> Result<(), ServeError> {
        tokio::select! {
            biased;
            () = end => Ok(()),
            _ = &mut self.records_feed => Err(ServeError::PartEnded("the feed of changes")),
            _ = &mut self.settings_feed => Err(ServeError::PartEnded("the feed of settings")),
            _ = &mut self.clusters_feed => Err(ServeError::PartEnded("the feed of clusters")),
            _ = &mut self.streams_keeper => Err(ServeError::PartEnded("the keeper of streams")),
            _ = self.worker_ended.recv() => Err(ServeError::PartEnded("a worker")),
        }
    }
}

/// The data plane.
struct Workers {
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    /// One permit each worker that accepts connections.
    listening: Arc<Semaphore>,
    count: u32,
    places: Arc<Places>,
}

impl Workers {
    /// Starts one for each listener. The receiver hears of one that ends.
    fn start(
        control: &Runtime,
        listeners: Vec<std::net::TcpListener>,
        shared: &Arc<Shared>,
    ) -> Result<(Self, mpsc::Receiver<()>), ServeError> {
        let (draining, draining_seen) = watch::channel(false);
        let (stop, stop_seen) = watch::channel(false);
        let (ended_sender, ended) = mpsc::channel(1);
        let count = listeners.len();
        let (places, arrivals) = Places::new(count);
        let listening = Arc::new(Semaphore::new(count));
        for (number, (listener, arrivals)) in listeners.into_iter().zip(arrivals).enumerate() {
            let (shared, draining, control) =
                (Arc::clone(shared), draining_seen.clone(), control.handle().clone());
            let (places, listening) = (Arc::clone(&places), Arc::clone(&listening).try_acquire_owned().ok());
            let entrance = Entrance { number, listener, places, arrivals, listening };
            worker::spawn(entrance, stop_seen.clone(), ended_sender.clone(), move || {
                context(&shared, draining, control)
            })
            .map_err(|error| ServeError::Io("can't start a worker", error))?;
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok((Self { draining, stop, listening, count, places }, ended))
    }
}

fn context(shared: &Shared, draining: watch::Receiver<bool>, control: tokio::runtime::Handle) -> Context {
    let gate = Gate {
        authenticator: Arc::clone(&shared.authenticator),
        impersonation: Arc::clone(&shared.impersonation),
        admission: Arc::clone(&shared.admission),
        lottery: Lottery::default(),
        service_accounts: shared.service_accounts.clone(),
        clusters: Clusters::new(
            Arc::clone(&shared.default),
            Arc::clone(&shared.cluster),
            shared.clusters.clone(),
            shared.config.clone(),
            Arc::clone(&shared.telemetry),
        ),
        limits: shared.config.own_limits(),
        telemetry: Arc::clone(&shared.telemetry),
    };
    let dispatch = Arc::new(Dispatch { gate, api: shared.api.clone(), control });
    Context { dispatch, acceptor: shared.acceptor.clone(), draining }
}
