//! Questions to the apiserver about others, asked with our own credential: whose token is this, and may this user do that.
//!
//! Whoever asks may be on a thread that serves clients. The connections live on the runtime that the cluster was loaded
//! on, and a question goes on there although the client that it is for has gone: the answer is good for the next.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenReview};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SubjectAccessReview};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::published::Published;
use crate::kube::reviews::{self, Right};
use crate::kube::{self, Attributes, ReviewedToken, Subject};
use crate::secret::Secret;

/// For a question from the connection to the last byte of the answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Connections that are kept for the next question.
const MAX_IDLE: usize = 8;

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const SELF_SUBJECT_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const SELF_ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const SELF_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const SUBJECT_ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Why there is no answer. Nothing of it says anything about whom the question is about.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection, or not to the apiserver that it should be.
    #[error("can't connect to the apiserver")]
    Connect(#[source] io::Error),
    /// The connection failed, or what came on it was not HTTP.
    #[error("the exchange with the apiserver failed")]
    Exchange(#[source] hyper::Error),
    /// No answer, or not all of it, in time.
    #[error("apiserver gave no answer within {LIMIT:?}")]
    TimedOut,
    /// The apiserver does not know us.
    #[error("apiserver refuses our credential")]
    CredentialRefused,
    /// The apiserver knows us and does not let us ask.
    #[error("apiserver does not let us ask")]
    Forbidden,
    /// The apiserver has too much to do.
    #[error("apiserver asks for patience")]
    Overloaded,
    /// The apiserver answered with an error.
    #[error("apiserver answered with status {0}")]
    Status(StatusCode),
    /// An answer that is longer than any answer is.
    #[error("apiserver's answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    /// An answer to another question, or none at all.
    #[error("apiserver's answer can't be read")]
    Garbage,
    /// The question could not be asked on our side: we are going down.
    #[error("the server is stopping")]
    Stopping,
}

/// Asks one cluster.
pub(super) struct Asker {
    published: Arc<Published>,
    home: Handle,
    idle: Mutex<Vec<Kept>>,
}

/// A connection, where it leads, and the TLS configuration it was made with: one that a certificate or authority was since
/// replaced in is not used again.
struct Kept {
    endpoint: Arc<Endpoint>,
    tls: Arc<ClientConfig>,
    sender: SendRequest<Full<Bytes>>,
}

impl Asker {
    /// Asks on the runtime that this is called on.
    pub(super) fn new(published: Arc<Published>) -> Arc<Self> {
        Arc::new(Self { published, home: Handle::current(), idle: Mutex::new(Vec::new()) })
    }

    pub(super) async fn token_review(
        self: &Arc<Self>,
        token: &Secret,
        audiences: &[String],
    ) -> Result<ReviewedToken, AskError> {
        let question = kube::token_review(token.expose(), audiences);
        let review: TokenReview = self.ask(TOKEN_REVIEWS, question).await?;
        kube::reviewed_token(review).ok_or(AskError::Garbage)
    }

    pub(super) async fn subject_access_review(
        self: &Arc<Self>,
        subject: &Subject,
        attributes: &Attributes,
    ) -> Result<bool, AskError> {
        let question = serde_json::to_vec(&kube::subject_access_review(subject, attributes));
        let review: SubjectAccessReview = self.ask(SUBJECT_ACCESS_REVIEWS, question).await?;
        kube::access(&review).ok_or(AskError::Garbage)
    }

    pub(super) async fn self_access_review(
        self: &Arc<Self>,
        attributes: &Attributes,
    ) -> Result<bool, AskError> {
        let question = serde_json::to_vec(&kube::self_access_review(attributes));
        let review: SelfSubjectAccessReview = self.ask(SELF_ACCESS_REVIEWS, question).await?;
        kube::self_access(&review).ok_or(AskError::Garbage)
    }

    pub(super) async fn own_name(self: &Arc<Self>) -> Result<String, AskError> {
        let question = serde_json::to_vec(&kube::reviews::self_subject_review());
        let review: SelfSubjectReview = self.ask(SELF_SUBJECT_REVIEWS, question).await?;
        kube::reviews::reviewed_username(&review).map(str::to_owned).ok_or(AskError::Garbage)
    }

    /// Whether we have the right ourselves.
    pub(super) async fn may(self: &Arc<Self>, right: &Right) -> Result<bool, AskError> {
        let question = serde_json::to_vec(&reviews::self_subject_access_review(right));
        let review = self.ask(SELF_REVIEWS, question).await?;
        Ok(reviews::is_allowed(&review))
    }

    async fn ask<A: DeserializeOwned + Send + 'static>(
        self: &Arc<Self>,
        path: &'static str,
        question: serde_json::Result<Vec<u8>>,
    ) -> Result<A, AskError> {
        // Texts and lists of them always serialise.
        let question = question.map_err(|_| AskError::Garbage)?;
        let question = Bytes::from_owner(Zeroizing::new(question));
        let asker = Arc::clone(self);
        let asking = self.home.spawn(async move {
            let answered = timeout(LIMIT, asker.exchange(path, question)).await;
            let answered = answered.unwrap_or(Err(AskError::TimedOut));
            match &answered {
                Ok(_) => {}
                Err(AskError::CredentialRefused) => asker.published.refused(),
                // What happened to one connection may have happened to all: the next question finds out on a new one.
                Err(_) => lock(&asker.idle).clear(),
            }
            serde_json::from_slice(&answered?).map_err(|_| AskError::Garbage)
        });
        asking.await.map_err(|_| AskError::Stopping)?
    }

    async fn exchange(&self, path: &'static str, question: Bytes) -> Result<Bytes, AskError> {
        let (tls, endpoint) =
            self.published.read(|current| (Arc::clone(&current.tls), current.endpoint().cloned()));
        // A cluster without an endpoint was not loaded.
        let endpoint = endpoint.ok_or(AskError::Stopping)?;
        if let Some(kept) = self.reuse(&tls, &endpoint) {
            match self.send(kept, path, question.clone()).await {
                // It may have been closed while it was idle. A review changes nothing, so it may be asked for twice.
                Err(AskError::Exchange(error)) => tracing::debug!(%error, "a kept connection failed"),
                answered => return answered,
            }
        }
        let connection = connect(tls, endpoint).await?;
        self.send(connection, path, question).await
    }

    async fn send(&self, mut connection: Kept, path: &str, question: Bytes) -> Result<Bytes, AskError> {
        connection.sender.ready().await.map_err(AskError::Exchange)?;
        let request = self.request(&connection.endpoint, path, question)?;
        let response = connection.sender.send_request(request).await.map_err(AskError::Exchange)?;
        let answer = read(response).await?;
        let mut idle = lock(&self.idle);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok(answer)
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        path: &str,
        question: Bytes,
    ) -> Result<Request<Full<Bytes>>, AskError> {
        let mut request = Request::post(format!("{}{path}", endpoint.path_prefix))
            .header(HOST, endpoint.host_header.clone())
            .header(USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(credential) = self.published.read(|current| current.authorization.clone()) {
            request = request.header(AUTHORIZATION, credential);
        }
        // A prefix that is no path was refused when the endpoint was made.
        request.body(Full::new(question)).map_err(|_| AskError::Garbage)
    }

    /// A kept connection to this endpoint in this configuration that is still open; all others are dropped.
    fn reuse(&self, tls: &Arc<ClientConfig>, endpoint: &Arc<Endpoint>) -> Option<Kept> {
        let mut idle = lock(&self.idle);
        idle.retain(|kept| {
            let is_same = Arc::ptr_eq(&kept.tls, tls) && Arc::ptr_eq(&kept.endpoint, endpoint);
            is_same && !kept.sender.is_closed()
        });
        idle.pop()
    }
}

async fn connect(tls: Arc<ClientConfig>, endpoint: Arc<Endpoint>) -> Result<Kept, AskError> {
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let tcp = tcp.map_err(AskError::Connect)?;
    tcp.set_nodelay(true).map_err(AskError::Connect)?;
    let connector = TlsConnector::from(Arc::clone(&tls));
    let stream = connector.connect(endpoint.server_name.clone(), tcp).await.map_err(AskError::Connect)?;
    let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(AskError::Exchange)?;
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "a connection for questions ended");
        }
    });
    Ok(Kept { endpoint, tls, sender })
}

/// The body of an answer.
async fn read(response: Response<Incoming>) -> Result<Bytes, AskError> {
    match response.status() {
        StatusCode::UNAUTHORIZED => return Err(AskError::CredentialRefused),
        StatusCode::FORBIDDEN => return Err(AskError::Forbidden),
        StatusCode::TOO_MANY_REQUESTS => return Err(AskError::Overloaded),
        status if !status.is_success() => return Err(AskError::Status(status)),
        _ => {}
    }
    match Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(AskError::TooLong),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(AskError::Exchange(*error)),
            Err(_) => Err(AskError::Garbage),
        },
    }
}

/// Nothing panics while it holds this lock, and a list of connections is whole at every moment.
fn lock(idle: &Mutex<Vec<Kept>>) -> MutexGuard<'_, Vec<Kept>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
