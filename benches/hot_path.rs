//! What a request costs before anything is sent: the steps of the hot path, each alone, and what the number of tokens
//! does to them.
//!
//! `cargo bench --bench hot_path`. Times of one machine say little about another; compare runs of the same one. They are
//! of the thread that serves requests: the lines of the access log, which another one writes, are off.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench says what went wrong by panicking")]

mod filling;
mod fixtures;
mod steps;

use std::cell::LazyCell;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use portcullis::authn::Authenticator;
use portcullis::store::Store;
use portcullis::telemetry::Telemetry;
use tokio::runtime::Runtime;

use filling::Filling;
use steps::{CACHE_ENTRIES, House, Step, authenticate, authenticator};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

criterion_group!(benches, each_step, many_tokens);
criterion_main!(benches);

fn each_step(criterion: &mut Criterion) {
    let directory = Scratch::new("steps");
    let mut house = House::new(directory.path(), Telemetry::without_access_log());
    for step in Step::ALL {
        criterion.bench_function(step.name(), |bench| {
            bench.iter_custom(|times| {
                if step == Step::AuthenticateUnknown {
                    house.forget();
                }
                let begun = Instant::now();
                house.repeat(step, times);
                begun.elapsed()
            });
        });
    }
}

/// Authentication by one of many tokens, chosen at random: by some that are in memory, whatever else is in the store, and
/// by some that are not, so that token and user are read from the store.
fn many_tokens(criterion: &mut Criterion) {
    for tokens in [1_000, 100_000, 1_000_000] {
        let crowd = LazyCell::new(|| Crowd::new(tokens));
        for used in [1_000, 100_000].into_iter().filter(|used| *used <= tokens) {
            let name = format!("authenticate_cached, {used} of {tokens} tokens");
            criterion.bench_function(&name, |bench| {
                let mut uses = crowd.uses(used, CACHE_ENTRIES);
                bench.iter(|| uses.one());
            });
        }
        criterion.bench_function(&format!("authenticate_from_store, {tokens} tokens"), |bench| {
            let mut uses = crowd.uses(1_000, 1);
            bench.iter(|| uses.one());
        });
    }
}

/// A store with many tokens.
struct Crowd {
    runtime: Runtime,
    store: Store,
    authorizations: Vec<HeaderValue>,
    _directory: Scratch,
}

impl Crowd {
    fn new(tokens: usize) -> Self {
        let directory = Scratch::new("crowd");
        drop(Store::open(directory.path(), None).unwrap());
        let filling = Filling { tokens, bearers: 100_000, has_expired: false };
        let bearers = filling.fill(&directory.path().join("portcullis.db"));
        let authorization = |bearer| HeaderValue::try_from(format!("Bearer {bearer}")).unwrap();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            store: Store::open(directory.path(), None).unwrap(),
            authorizations: bearers.into_iter().map(authorization).collect(),
            _directory: directory,
        }
    }

    /// So many of the tokens, each used once, with a cache of so many entries.
    fn uses(&self, count: usize, entries: u64) -> Uses<'_> {
        let authenticator = authenticator(self.store.clone(), entries, Telemetry::without_access_log());
        let authorizations = self.authorizations.get(..count).unwrap();
        let mut uses =
            Uses { crowd: self, authenticator, authorizations, headers: fixtures::headers("any"), random: 1 };
        for authorization in authorizations {
            uses.by(authorization);
        }
        uses
    }
}

struct Uses<'a> {
    crowd: &'a Crowd,
    authenticator: Authenticator,
    authorizations: &'a [HeaderValue],
    headers: HeaderMap,
    random: u64,
}

impl Uses<'_> {
    /// By one of them, at random (Marsaglia's xorshift).
    fn one(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let index = usize::try_from(self.random % self.authorizations.len() as u64).unwrap();
        let authorizations = self.authorizations;
        self.by(authorizations.get(index).unwrap());
    }

    fn by(&mut self, authorization: &HeaderValue) {
        self.headers.insert(AUTHORIZATION, authorization.clone());
        let authenticated =
            self.crowd.runtime.block_on(authenticate(&self.authenticator, &self.headers, CLIENT));
        assert!(authenticated.is_some());
    }
}

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}
