//! What a request costs before anything is sent: the steps of the hot path, each alone.
//!
//! `cargo bench --bench hot_path`. Times of one machine say little about another; compare runs of the same one.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench says what went wrong by panicking")]

#[path = "fixtures.rs"]
mod fixtures;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{Method, Version};
use portcullis::authn::{Authenticator, Origin, Place, Presented, Records};
use portcullis::config::Limits;
use portcullis::identity::Username;
use portcullis::kube::RequestInfo;
use portcullis::proxy::Admission;
use portcullis::setting::{LiveSettings, Settings, Values};
use portcullis::telemetry::Telemetry;
use portcullis::token::{Bearer, KeyHash, TokenKey};
use portcullis::upstream::sanitize;

const PATH: &str = "/api/v1/namespaces/default/pods/web-5f779fb4f9-zl5tw/log";

criterion_group!(benches, pure_steps, authentication, places);
criterion_main!(benches);

fn pure_steps(criterion: &mut Criterion) {
    let key = TokenKey::generate().unwrap();
    let text = format!("token-bcdfg:{}", key.expose());
    criterion.bench_function("parse_bearer", |bench| {
        bench.iter(|| Bearer::try_from(black_box(text.as_str())).unwrap());
    });

    let hash = KeyHash::sha256(&key).unwrap();
    criterion.bench_function("verify_key", |bench| bench.iter(|| hash.verify(black_box(&key))));

    criterion.bench_function("request_info", |bench| {
        bench.iter(|| RequestInfo::of(&Method::GET, black_box(PATH), Some("follow=true&container=web")));
    });

    let headers = fixtures::headers(&text);
    criterion.bench_function("sanitize_headers", |bench| {
        bench.iter(|| sanitize(black_box(&headers), Version::HTTP_2).unwrap());
    });
}

fn authentication(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = runtime.block_on(House::new());
    criterion.bench_function("authenticate_cached", |bench| {
        bench.iter(|| runtime.block_on(house.authenticate(&house.bearer)));
    });
    let unknown = format!("token-zzzzz:{}", TokenKey::generate().unwrap().expose());
    criterion.bench_function("authenticate_unknown", |bench| {
        bench.iter(|| runtime.block_on(house.authenticate(&unknown)));
    });
}

fn places(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limits =
        Limits { max_requests_in_flight: 4000, max_requests_in_flight_per_user: 1000, ..Limits::default() };
    let admission = Admission::new(&limits, &Telemetry::without_access_log().metrics.load);
    let user = Username::try_from("alice").unwrap();
    criterion.bench_function("take_and_give_back_a_place", |bench| {
        bench.iter(|| runtime.block_on(admission.admit(black_box(&user), false)).is_ok());
    });
}

/// An authenticator over a real store with one user and one token.
struct House {
    authenticator: Authenticator,
    bearer: String,
    directory: PathBuf,
}

impl House {
    async fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (store, bearer) = fixtures::store(&directory).await;
        let telemetry = Telemetry::without_access_log();
        let records = Records::new(store, 100_000, telemetry.clone());
        let none = Values::new();
        let settings = LiveSettings::new(Settings::of(&none, &none, &none));
        Self { authenticator: Authenticator::new(records, settings, telemetry).unwrap(), bearer, directory }
    }

    async fn authenticate(&self, bearer: &str) -> bool {
        let headers = fixtures::headers(bearer);
        let origin = Origin { address: Ipv4Addr::LOCALHOST.into(), user_agent: None };
        self.authenticator
            .authenticate(
                Presented::from_headers(&headers).unwrap().into_token().unwrap(),
                origin,
                Place::Api,
            )
            .await
            .is_ok()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.directory);
    }
}
