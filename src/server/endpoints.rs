//! Where the server listens, and how others learn of it.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;

use tokio::net::TcpListener;

use super::{CA_CERTIFICATE, ServeError, worker};
use crate::api::Info;
use crate::config::Config;

/// The file in the data directory that says where a running server listens: with port 0 only it knows.
const FILE: &str = "endpoints.json";

/// The addresses that were bound.
pub(super) struct Endpoints {
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// One socket a worker, all on one port, and the admin listener.
pub(super) async fn bind(config: &Config) -> Result<(Vec<StdListener>, TcpListener), ServeError> {
    let failed = |error| ServeError::Io("can't bind the address of `listen`", error);
    let first = worker::bind(config.listen).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..config.workers {
        listeners.push(worker::bind(address).map_err(failed)?);
    }
    let admin = TcpListener::bind(config.admin_listen).await;
    Ok((listeners, admin.map_err(|error| ServeError::Io("can't bind the address of `adminListen`", error))?))
}

impl Endpoints {
    pub(super) fn of(listeners: &[StdListener], admin: &TcpListener) -> Result<Self, ServeError> {
        let failed = |error| ServeError::Io("can't read a listener's address", error);
        let first = listeners.first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let listen = first.local_addr().map_err(failed)?;
        Ok(Self { listen, admin: admin.local_addr().map_err(failed)? })
    }

    /// Writes the addresses into the data directory.
    pub(super) fn publish(&self, data_dir: &Path) -> Result<(), ServeError> {
        let text = format!("{{\"listen\":\"{}\",\"admin\":\"{}\"}}\n", self.listen, self.admin);
        let (temporary, file) = (data_dir.join(".endpoints.json"), data_dir.join(FILE));
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &file));
        written.map_err(|error| ServeError::Io("can't write endpoints.json", error))
    }

    /// What the API writes into kubeconfigs.
    pub(super) fn api_info(&self, config: &Config) -> Result<Info, ServeError> {
        let server_url = config.server_url.clone().unwrap_or_else(|| self.default_url());
        let ca = match &config.tls {
            // Whoever brought the certificate knows whether clients trust its issuer already.
            Some(_) => None,
            None => {
                let pem = fs::read_to_string(config.data_dir.join(CA_CERTIFICATE));
                Some(pem.map_err(|error| ServeError::Io("can't read the certificate authority", error))?)
            }
        };
        Ok(Info { server_url, certificate_authority: ca })
    }

    fn default_url(&self) -> String {
        let host = if self.listen.ip().is_unspecified() {
            "localhost".to_owned()
        } else {
            self.listen.ip().to_string()
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("https://{host}:{}", self.listen.port())
    }
}
