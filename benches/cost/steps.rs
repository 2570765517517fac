//! The steps, each as a request goes through it.

use std::hint::black_box;
use std::io::sink;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};
use portcullis::authn::{Authenticated, Authenticator, Origin, Place, Presented, Records, Scope};
use portcullis::authz;
use portcullis::config::{Limits, Log, LogFormat};
use portcullis::kube::RequestInfo;
use portcullis::proxy::Admission;
use portcullis::setting::{LiveSettings, Settings, Values};
use portcullis::telemetry::{RequestRecord, Telemetry};
use portcullis::token::{Bearer, TokenKey};
use portcullis::upstream::{RequestBody, UpstreamRequest, sanitize};
use stats_alloc::Region;
use tokio::runtime::Runtime;

use crate::{ALLOCATOR, fixtures};

/// All of them by name.
pub(crate) const ALL: [&str; 9] = [
    "parse_bearer",
    "request_info",
    "sanitize_headers",
    "authenticate_cached",
    "authenticate_unknown",
    "admit",
    "impersonate",
    "record",
    "gate",
];

const PATH: &str = "/api/v1/namespaces/default/pods/web-5f779fb4f9-zl5tw";
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000);
/// Before anything is counted: caches are filled, and whatever is made once is.
const WARM_UP: u64 = 100;

/// Does a step so many times, and prints the allocations that they took.
pub(crate) fn run(name: &str, times: u64, directory: &Path) {
    let house = House::new(directory);
    house.repeat(name, WARM_UP);
    let region = Region::new(ALLOCATOR);
    house.repeat(name, times);
    println!("{}", region.change().allocations);
}

/// What a worker has.
struct House {
    runtime: Runtime,
    authenticator: Authenticator,
    admission: Admission,
    telemetry: Arc<Telemetry>,
    bearer: String,
    unknown: String,
    authenticated: Authenticated,
    uri: Uri,
}

impl House {
    fn new(directory: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, bearer) = runtime.block_on(fixtures::store(directory));
        let log = Log { format: LogFormat::Json, level: "info".to_owned(), access: true };
        let telemetry = Telemetry::start(&log, 10_000, Box::new(sink())).unwrap();
        let records = Records::new(store, 100_000, telemetry.clone());
        let none = Values::new();
        let settings = LiveSettings::new(Settings::of(&none, &none, &none));
        let authenticator = Authenticator::new(records, settings, telemetry.clone()).unwrap();
        let limits = Limits {
            max_requests_in_flight: 4000,
            max_requests_in_flight_per_user: 1000,
            ..Limits::default()
        };
        let admission = Admission::new(&limits, &telemetry.metrics.load);
        let authenticated = runtime.block_on(authenticate(&authenticator, &bearer)).unwrap();
        let unknown = format!("token-zzzzz:{}", TokenKey::generate().unwrap().expose());
        let uri = format!("{PATH}?timeout=30s").parse().unwrap();
        Self { runtime, authenticator, admission, telemetry, bearer, unknown, authenticated, uri }
    }

    fn repeat(&self, name: &str, times: u64) {
        let headers = fixtures::headers(&self.bearer);
        let info = || RequestInfo::of(&Method::GET, black_box(PATH), Some("timeout=30s"));
        self.runtime.block_on(async {
            for _ in 0..times {
                match name {
                    "parse_bearer" => {
                        drop(black_box(Bearer::try_from(black_box(self.bearer.as_str())).unwrap()));
                    }
                    "request_info" => drop(black_box(info())),
                    "sanitize_headers" => drop(black_box(sanitize(&headers, Version::HTTP_2).unwrap())),
                    "authenticate_cached" => {
                        assert!(authenticate(&self.authenticator, &self.bearer).await.is_some());
                    }
                    "authenticate_unknown" => {
                        assert!(authenticate(&self.authenticator, &self.unknown).await.is_none());
                    }
                    "admit" => self.admit(None).await,
                    "impersonate" => drop(black_box(self.impersonate(&self.authenticated))),
                    "record" => {
                        let mut record = self.record();
                        record.set_request_info(&info());
                        record.set_user(&self.authenticated.user().name);
                        record.set_code(StatusCode::OK);
                    }
                    "gate" => self.gate().await,
                    other => panic!("no step is named {other}"),
                }
            }
        });
    }

    /// All that is done with a request between its parsing and its sending.
    async fn gate(&self) {
        let headers = fixtures::headers(&self.bearer);
        let mut record = self.record();
        let info = RequestInfo::of(&Method::GET, self.uri.path(), self.uri.query());
        record.set_request_info(&info);
        let authenticated = authenticate(&self.authenticator, &self.bearer).await.unwrap();
        record.set_user(&authenticated.user().name);
        self.admit(Some(&mut record)).await;
        drop(black_box((headers, self.impersonate(&authenticated))));
        record.set_code(StatusCode::OK);
    }

    async fn admit(&self, record: Option<&mut RequestRecord>) {
        let admitted = self.admission.admit(black_box(&self.authenticated.user().name), false).await;
        let seat = admitted.ok().unwrap().seat();
        if let Some(record) = record {
            record.hold(seat);
        }
    }

    fn impersonate(&self, authenticated: &Authenticated) -> Box<UpstreamRequest> {
        let (headers, _) = sanitize(&fixtures::headers(&self.bearer), Version::HTTP_2).unwrap();
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

/// As a request with this bearer is; `None` if it gets nobody in.
async fn authenticate(authenticator: &Authenticator, bearer: &str) -> Option<Authenticated> {
    let headers = fixtures::headers(bearer);
    let token = Presented::from_headers(&headers).unwrap().into_token().ok()?;
    let origin = Origin { address: CLIENT.ip(), user_agent: None };
    match authenticator.authenticate(token, origin, Place::Api).await {
        Ok(Scope::User(authenticated)) => Some(authenticated),
        Ok(Scope::Metrics(_) | Scope::Itself(_)) | Err(_) => None,
    }
}
