//! What we make of a snapshot: the TLS configuration, and the value of our `Authorization` header now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use kube::client::middleware::AuthLayer;
use kube::client::{Body, ConfigExt};
use rustls::ClientConfig;
use tower::util::BoxService;
use tower::{BoxError, Layer, Service, ServiceExt};

use super::error::{ClusterError, credential_reason};
use super::source::Snapshot;

/// How long a client certificate that a plugin gave is used before the plugin is asked again. When it ends only the
/// library knows, and it does not say.
const PLUGIN_CERTIFICATE_AGE: Duration = Duration::from_mins(5);

/// Our credential, made of one snapshot.
pub(super) struct Credential {
    /// The library's layer for the header, round a service that answers with the header it was given. This is how every
    /// kind of credential is had at its current value, the plugin's refresh ahead of expiry included.
    header: Option<BoxService<Request<Body>, Response<Option<HeaderValue>>, BoxError>>,
    tls: Arc<ClientConfig>,
    is_plugin_certificate: bool,
    made: Instant,
}

impl Credential {
    /// With `tls` as it was, if that has not changed. Blocks: an exec plugin is run.
    pub(super) fn new(snapshot: &Snapshot, tls: Option<Arc<ClientConfig>>) -> Result<Self, ClusterError> {
        let config = &snapshot.config;
        let layer = config.auth_layer().map_err(|error| cluster_error(&error))?;
        let is_plugin_certificate = layer.is_none() && config.auth_info.exec.is_some();
        let tls = match tls.filter(|_| !is_plugin_certificate) {
            Some(tls) => tls,
            None => Arc::new(config.rustls_client_config().map_err(|error| cluster_error(&error))?),
        };
        let header = layer.map(|layer| echo(&layer));
        Ok(Self { is_plugin_certificate, header, tls, made: Instant::now() })
    }

    /// The header as it has to be now. A plugin is asked again when its token ends within a minute.
    pub(super) async fn authorization(&mut self) -> Result<Option<HeaderValue>, ClusterError> {
        let Some(service) = &mut self.header else { return Ok(None) };
        let answer = match service.ready().await {
            Ok(service) => service.call(Request::new(Body::empty())).await,
            Err(error) => Err(error),
        };
        let header = answer.map_err(|error| {
            let reason = error.downcast_ref().map_or("unusable".to_owned(), credential_reason);
            ClusterError::Credential(reason)
        })?;
        let mut header = header.into_body();
        if let Some(value) = &mut header {
            value.set_sensitive(true);
        }
        Ok(header)
    }

    /// Without ALPN: the upstream side offers what it can do.
    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// Whether it should be made anew though nothing we can see has changed.
    pub(super) fn is_stale(&self) -> bool {
        self.is_plugin_certificate && self.made.elapsed() >= PLUGIN_CERTIFICATE_AGE
    }
}

fn echo(layer: &AuthLayer) -> BoxService<Request<Body>, Response<Option<HeaderValue>>, BoxError> {
    let echo = tower::service_fn(|request: Request<Body>| async move {
        Ok::<_, BoxError>(Response::new(request.headers().get(AUTHORIZATION).cloned()))
    });
    BoxService::new(layer.layer(echo))
}

fn cluster_error(error: &kube::Error) -> ClusterError {
    match error {
        kube::Error::Auth(error) => ClusterError::Credential(credential_reason(error)),
        other => ClusterError::Tls(other.to_string()),
    }
}
