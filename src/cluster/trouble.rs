//! What is wrong with a cluster, in a word for programs and in a sentence for people; and finding it out by connecting
//! with what is described or recorded now.

use std::error::Error;
use std::io;

use http::Uri;

use super::check::check;
use super::endpoint::Endpoint;
use super::error::{ClusterError, with_causes};
use super::given::CheckedReach;
use super::recorded::{Keeping, Recorded};
use super::refresh::blocking;
use super::registry::{Member, Origin, State};
use super::source::Snapshot;

/// Why a cluster can't be used. No text repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In a word.
    pub problem: Problem,
    /// In a sentence.
    pub message: String,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// What is described can't be used as it is.
    Configuration,
    /// Our credential can't be had.
    Credential,
    /// The apiserver's name leads nowhere.
    Name,
    /// Nothing answers, or not with sense.
    Connection,
    /// Whoever answers can't show that it is the apiserver.
    Certificate,
    /// The apiserver does not know us.
    Refused,
    /// The apiserver knows us and does not let us do our work.
    Rights,
}

impl Problem {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Credential => "credential",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Certificate => "certificate",
            Self::Refused => "refused",
            Self::Rights => "rights",
        }
    }
}

impl From<ClusterError> for Trouble {
    fn from(error: ClusterError) -> Self {
        Self { problem: error.problem(), message: with_causes(&error) }
    }
}

impl ClusterError {
    fn problem(&self) -> Problem {
        match self {
            Self::Kubeconfig { .. }
            | Self::NotConfigured { .. }
            | Self::NotHttps(_)
            | Self::Address(..)
            | Self::Unverified
            | Self::Unsupported(_)
            | Self::FilesNotAllowed
            | Self::FileOutside(..)
            | Self::Tls(_) => Problem::Configuration,
            Self::File(..) | Self::Sealed(_) | Self::Credential(_) | Self::CredentialTimeout(_) => {
                Problem::Credential
            }
            Self::UnknownHost(_) => Problem::Name,
            Self::Unreachable(_) => Problem::Connection,
            Self::Untrusted(_) => Problem::Certificate,
            Self::CredentialRefused => Problem::Refused,
            Self::Forbidden(_) => Problem::Rights,
        }
    }
}

impl Member {
    /// Connects to every apiserver of the cluster with what is recorded and in files now.
    pub async fn try_now(&self, keeping: &Keeping) -> Result<(), Trouble> {
        if let (Origin::Default, State::Ready(cluster)) = (self.origin, &self.state) {
            return Ok(cluster.check().await?);
        }
        let (recorded, endpoints) = (self.recorded(keeping), self.record.reach.endpoints.clone());
        try_each(move || recorded.read(), endpoints).await
    }
}

impl CheckedReach {
    /// Connects to every apiserver that is described. Nothing of it is kept.
    pub async fn try_now(self, keeping: &Keeping) -> Result<(), Trouble> {
        let (keeping, endpoints) = (keeping.clone(), self.reach.endpoints.clone());
        try_each(move || Recorded::described(self, &keeping), endpoints).await
    }
}

async fn try_each(
    read: impl FnOnce() -> Result<Snapshot, ClusterError> + Send + 'static,
    mut endpoints: Vec<Uri>,
) -> Result<(), Trouble> {
    let config = blocking(read).await?.config;
    if endpoints.is_empty() {
        endpoints.push(config.cluster_url.clone());
    }
    let is_one = endpoints.len() == 1;
    for url in endpoints {
        Endpoint::new(&url, config.tls_server_name.as_deref())?;
        let mut config = config.clone();
        config.cluster_url = url.clone();
        if let Err(error) = check(config, None).await {
            let Trouble { problem, message } = error.into();
            let message = if is_one { message } else { format!("{url}: {message}") };
            return Err(Trouble { problem, message });
        }
    }
    Ok(())
}

/// Why a request did not get an answer. What stands in the way is known best by whoever is deepest in the chain.
pub(super) fn why_unanswered(error: &(dyn Error + 'static), text: String) -> ClusterError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if is_bad_certificate(error) {
            return ClusterError::Untrusted(text);
        }
        // The standard library has no other way to tell it.
        if error.to_string().starts_with("failed to lookup address information") {
            return ClusterError::UnknownHost(text);
        }
        cause = error.source();
    }
    ClusterError::Unreachable(text)
}

/// Also within the library's errors of input and output, whose `source` leaves out what they hold.
fn is_bad_certificate(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.is_some_and(|inner| is_bad_certificate(inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::given::{GivenCredential, GivenReach};
    use crate::secret::Secret;

    async fn trouble(url: &str) -> Trouble {
        let reach = GivenReach {
            endpoints: vec![url.to_owned()],
            ca: None,
            tls_server_name: None,
            credential: GivenCredential::Token(Secret::new("hunter2hunter2")),
        };
        let trouble = reach.check().unwrap().try_now(&Keeping::default()).await.unwrap_err();
        assert!(!trouble.message.contains("hunter2"), "{}", trouble.message);
        trouble
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_and_a_port_where_nobody_is_are_told_apart() {
        assert_eq!(trouble("https://no-such-host.invalid:6443").await.problem, Problem::Name);
        // Nothing listens there any more once the listener of this line is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(trouble(&format!("https://127.0.0.1:{port}")).await.problem, Problem::Connection);
    }

    #[test]
    fn a_bad_certificate_is_found_wherever_it_is_in_the_chain() {
        let bad = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(bad.clone()));
        for error in [io::Error::other(bad), wrapped] {
            let found = why_unanswered(&error, "text".to_owned());
            assert!(matches!(found, ClusterError::Untrusted(_)), "{found:?}");
        }
        let other = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(matches!(why_unanswered(&other, String::new()), ClusterError::Unreachable(_)));
    }
}
