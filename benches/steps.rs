//! The steps of the hot path, each as a request goes through it. `cost` counts what they take, `hot_path` times them.

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};
use portcullis::authn::{Authenticated, Authenticator, Origin, Place, Presented, Records, Scope};
use portcullis::authz;
use portcullis::config::Limits;
use portcullis::kube::RequestInfo;
use portcullis::proxy::Admission;
use portcullis::setting::{LiveSettings, Settings, Values};
use portcullis::store::Store;
use portcullis::telemetry::{RequestRecord, Telemetry};
use portcullis::token::{Bearer, KeyHash, TokenKey};
use portcullis::upstream::{RequestBody, UpstreamRequest, sanitize};
use tokio::runtime::Runtime;

use crate::fixtures;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The text of a bearer to its name and key.
    ParseBearer,
    /// A key against its hash: SHA-256.
    VerifyKey,
    /// What is asked of the cluster, from method and path.
    RequestInfo,
    /// The headers that may go on to the cluster, in a map of their own.
    SanitizeHeaders,
    /// From the headers to the user, of whom everything is in memory; with the parsing and the verification.
    AuthenticateCached,
    /// The same for a name that is known not to exist, of one among many strangers: whose guesses are held back is not
    /// measured.
    AuthenticateUnknown,
    /// A place among the requests in flight, taken and given back.
    Admit,
    /// The request as it goes to the cluster; with the headers that may go on.
    Impersonate,
    /// What is noted and counted of a request.
    Record,
    /// All that is done with a request between its parsing and its sending, and with its record.
    Gate,
}

impl Step {
    pub(crate) const ALL: [Self; 10] = [
        Self::ParseBearer,
        Self::VerifyKey,
        Self::RequestInfo,
        Self::SanitizeHeaders,
        Self::AuthenticateCached,
        Self::AuthenticateUnknown,
        Self::Admit,
        Self::Impersonate,
        Self::Record,
        Self::Gate,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ParseBearer => "parse_bearer",
            Self::VerifyKey => "verify_key",
            Self::RequestInfo => "request_info",
            Self::SanitizeHeaders => "sanitize_headers",
            Self::AuthenticateCached => "authenticate_cached",
            Self::AuthenticateUnknown => "authenticate_unknown",
            Self::Admit => "admit",
            Self::Impersonate => "impersonate",
            Self::Record => "record",
            Self::Gate => "gate",
        }
    }
}

const PATH: &str = "/api/v1/namespaces/default/pods/web-5f779fb4f9-zl5tw";
const QUERY: &str = "timeout=30s";
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000);
/// Names that there are not. Each may be tried a hundred times before a guess at it is held back.
const STRANGERS: u32 = 1024;
/// What the product's cache of tokens holds if nobody says otherwise.
pub(crate) const CACHE_ENTRIES: u64 = 100_000;

/// What a worker has, and a request for it.
pub(crate) struct House {
    runtime: Runtime,
    authenticator: Authenticator,
    admission: Admission,
    telemetry: Arc<Telemetry>,
    bearer: String,
    /// What comes with the request.
    headers: HeaderMap,
    /// The same with tokens that there are not.
    unknown: Vec<HeaderMap>,
    /// How many of them were used, each from another address.
    guesses: Cell<u32>,
    store: Store,
    authenticated: Authenticated,
    uri: Uri,
    key: TokenKey,
    hash: KeyHash,
}

impl House {
    /// With a store below `directory` that has one token, which has been used.
    pub(crate) fn new(directory: &Path, telemetry: Arc<Telemetry>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, bearer) = runtime.block_on(fixtures::store(directory));
        let authenticator = authenticator(store.clone(), CACHE_ENTRIES, telemetry.clone());
        let limits = Limits {
            max_requests_in_flight: 4000,
            max_requests_in_flight_per_user: 1000,
            ..Limits::default()
        };
        let admission = Admission::new(&limits, &telemetry.metrics.load);
        let headers = fixtures::headers(&bearer);
        let authenticated = runtime.block_on(authenticate(&authenticator, &headers, CLIENT.ip())).unwrap();
        let key = TokenKey::generate().unwrap();
        let unknown = |number| fixtures::headers(&format!("token-{number:05}:{}", key.expose()));
        let house = Self {
            unknown: (0..STRANGERS).map(unknown).collect(),
            guesses: Cell::new(0),
            store,
            uri: format!("{PATH}?{QUERY}").parse().unwrap(),
            hash: KeyHash::sha256(&key).unwrap(),
            runtime,
            authenticator,
            admission,
            telemetry,
            bearer,
            headers,
            authenticated,
            key,
        };
        house.repeat(Step::AuthenticateUnknown, STRANGERS.into());
        house
    }

    /// Forgets who has guessed, and who is known.
    #[allow(dead_code, reason = "only who repeats a step for long needs it")]
    pub(crate) fn forget(&mut self) {
        self.authenticator = authenticator(self.store.clone(), CACHE_ENTRIES, self.telemetry.clone());
        self.repeat(Step::AuthenticateCached, 1);
        self.repeat(Step::AuthenticateUnknown, STRANGERS.into());
    }

    /// Does a step so many times.
    pub(crate) fn repeat(&self, step: Step, times: u64) {
        self.runtime.block_on(async {
            for _ in 0..times {
                self.go(step).await;
            }
        });
    }

    async fn go(&self, step: Step) {
        match step {
            Step::ParseBearer => {
                drop(black_box(Bearer::try_from(black_box(self.bearer.as_str())).unwrap()));
            }
            Step::VerifyKey => assert!(black_box(&self.hash).verify(black_box(&self.key))),
            Step::RequestInfo => drop(black_box(self.info())),
            Step::SanitizeHeaders => {
                drop(black_box(sanitize(black_box(self.headers.clone()), Version::HTTP_2).unwrap()));
            }
            Step::AuthenticateCached => {
                assert!(authenticate(&self.authenticator, &self.headers, CLIENT.ip()).await.is_some());
            }
            Step::AuthenticateUnknown => {
                let guesses = self.guesses.replace(self.guesses.get() + 1);
                let unknown = self.unknown.get((guesses % STRANGERS) as usize).unwrap();
                let address = IpAddr::V4(Ipv4Addr::from_bits(guesses));
                assert!(authenticate(&self.authenticator, unknown, address).await.is_none());
            }
            Step::Admit => {
                let admitted = self.admission.admit(black_box(&self.authenticated.user().name), false).await;
                drop(black_box(admitted.ok().unwrap().seat()));
            }
            Step::Impersonate => drop(black_box(self.impersonate(&self.authenticated))),
            Step::Record => {
                let mut record = self.record();
                record.set_request_info(&self.info());
                record.set_user(&self.authenticated.user().name);
                record.set_code(StatusCode::OK);
            }
            Step::Gate => self.gate().await,
        }
    }

    async fn gate(&self) {
        let mut record = self.record();
        record.set_request_info(&self.info());
        let authenticated = authenticate(&self.authenticator, &self.headers, CLIENT.ip()).await.unwrap();
        record.set_user(&authenticated.user().name);
        let admitted = self.admission.admit(&authenticated.user().name, false).await;
        record.hold(admitted.ok().unwrap().seat());
        drop(black_box(self.impersonate(&authenticated)));
        record.set_code(StatusCode::OK);
    }

    fn info(&self) -> RequestInfo<'_> {
        RequestInfo::of(&Method::GET, black_box(self.uri.path()), self.uri.query())
    }

    fn impersonate(&self, authenticated: &Authenticated) -> Box<UpstreamRequest> {
        let (headers, _) = sanitize(black_box(self.headers.clone()), Version::HTTP_2).unwrap();
        UpstreamRequest::impersonating(
            authz::permit(authenticated),
            Some(HeaderValue::from_static("Bearer of-the-gate")),
            HeaderValue::from_static("127.0.0.1"),
            Method::GET,
            PathAndQuery::from_static("/api/v1/namespaces/default/pods/web-5f779fb4f9-zl5tw?timeout=30s"),
            headers,
            RequestBody::empty(),
        )
    }

    fn record(&self) -> RequestRecord {
        RequestRecord::open(&self.telemetry, CLIENT, &Method::GET, &self.uri, Version::HTTP_2)
    }
}

/// The one who lets in, with caches of so many entries.
pub(crate) fn authenticator(store: Store, entries: u64, telemetry: Arc<Telemetry>) -> Authenticator {
    let records = Records::new(store, entries, telemetry.clone());
    let none = Values::new();
    let settings = LiveSettings::new(Settings::of(&none, &none, &none));
    Authenticator::new(records, settings, telemetry).unwrap()
}

/// Whom these headers let in from this address; `None` if nobody.
pub(crate) async fn authenticate(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    address: IpAddr,
) -> Option<Authenticated> {
    let token = Presented::from_headers(black_box(headers)).unwrap().into_token().ok()?;
    let origin = Origin { address, user_agent: None };
    match authenticator.authenticate(token, origin, Place::Api).await {
        Ok(Scope::User(authenticated)) => Some(authenticated),
        Ok(Scope::Metrics(_) | Scope::Itself(_)) | Err(_) => None,
    }
}
