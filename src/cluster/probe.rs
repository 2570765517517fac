//! Asks each endpoint of a cluster that has several whether it is ready, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Endpoint;
use super::check::with_current_token;
use super::error::ClusterError;
use super::published::Published;
use super::refresh::blocking;
use super::source::Snapshot;

/// Two bad answers take an endpoint out, so one that hangs is out within four of these.
const INTERVAL: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(1);

/// The connection that the last question was asked on, and with which access.
struct Asking {
    client: Client,
    snapshot: Arc<Snapshot>,
    authorization: Option<HeaderValue>,
}

/// For as long as the task lives.
pub(super) async fn watch(endpoint: Arc<Endpoint>, published: Arc<Published>) {
    let mut asking = None;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let is_ready = matches!(timeout(LIMIT, ask(&endpoint, &published, &mut asking)).await, Ok(Ok(true)));
        if !is_ready {
            // A connection on which nothing comes any more must not be what the next question is asked on.
            asking = None;
        }
        endpoint.health.probed(is_ready);
    }
}

async fn ask(
    endpoint: &Endpoint,
    published: &Published,
    asking: &mut Option<Asking>,
) -> Result<bool, ClusterError> {
    let (snapshot, authorization) =
        published.read(|current| (Arc::clone(&current.snapshot), current.authorization.clone()));
    let is_current = |asking: &&mut Asking| {
        Arc::ptr_eq(&asking.snapshot, &snapshot) && asking.authorization == authorization
    };
    let client = match asking.as_mut().filter(is_current) {
        Some(asking) => &asking.client,
        None => {
            let mut config = with_current_token(snapshot.config.clone(), authorization.as_ref());
            config.cluster_url = endpoint.url.clone();
            // Reads and parses certificates.
            let client =
                blocking(|| Client::try_from(config).map_err(|error| ClusterError::Tls(error.to_string())));
            let client = client.await?;
            &asking.insert(Asking { client, snapshot, authorization }).client
        }
    };
    let request = Request::get("/readyz").body(Body::empty());
    let request = request.map_err(|error| ClusterError::Unreachable(error.to_string()))?;
    let answer = client.send(request).await;
    let answer = answer.map_err(|error| ClusterError::Unreachable(error.to_string()))?;
    // An apiserver that refuses to say is there; whether our credential is good is not asked here.
    Ok(is_good(answer.status()))
}

fn is_good(status: StatusCode) -> bool {
    !status.is_server_error()
}
