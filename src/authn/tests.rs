//! The authenticator over a real store: idle sessions, and what is noted of uses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::sync::watch;

use super::{Authenticated, Authenticator, AuthnError, Origin, Place, Presented, Records, Scope};
use crate::clock::{self, MINUTE, UnixMillis};
use crate::identity::UserId;
use crate::setting::{LiveSettings, Setting, Settings, Values};
use crate::store::testing::{TempDir, token, user};
use crate::store::{Insertion, Store, TokenUpdate, Write};
use crate::telemetry::Telemetry;
use crate::token::{TokenKind, TokenName, TokenRecord};

pub(super) struct Gate {
    pub(super) authenticator: Arc<Authenticator>,
    records: Records,
    pub(super) settings: LiveSettings,
    telemetry: Arc<Telemetry>,
    pub(super) store: Store,
    pub(super) alice: UserId,
    _dir: TempDir,
}

impl Gate {
    /// With room for `entries` tokens in the cache.
    pub(super) async fn new(entries: u64) -> Self {
        let dir = TempDir::new();
        let store = Store::open(dir.path(), None).unwrap();
        let alice = user("alice", true);
        let id = alice.id.clone();
        store.commit(Write::InsertUser(Box::new(alice)), None).await.unwrap();
        let telemetry = Telemetry::without_access_log();
        let records = Records::new(store.clone(), entries, Arc::clone(&telemetry));
        tokio::spawn(records.clone().follow(store.subscribe()));
        let settings = LiveSettings::new(idle_after(960));
        let authenticator =
            Arc::new(Authenticator::new(records.clone(), settings.clone(), Arc::clone(&telemetry)).unwrap());
        Self { authenticator, records, settings, telemetry, store, alice: id, _dir: dir }
    }

    /// A token of this kind, made so many minutes ago: its name and bearer.
    pub(super) async fn token(&self, kind: TokenKind, minutes_ago: u64) -> (TokenName, String) {
        let (record, key) = token(&self.alice);
        let created_at = UnixMillis(clock::now().0 - minutes_ago * MINUTE);
        let record = TokenRecord { kind, created_at, ..record };
        let bearer = (record.name.clone(), format!("{}:{}", record.name, key.expose()));
        let insertion = Insertion { record, key: None, quota: None };
        self.store.commit(Write::InsertToken(Box::new(insertion)), None).await.unwrap();
        bearer
    }

    async fn use_of(&self, bearer: &str) -> Result<(), AuthnError> {
        self.ask(bearer).await.map(|_| ())
    }

    /// The proof that `bearer` was presented.
    pub(super) async fn authenticated(&self, bearer: &str) -> Authenticated {
        match self.ask(bearer).await.unwrap() {
            Scope::User(authenticated) => authenticated,
            Scope::Metrics(_) | Scope::Itself(_) => panic!("the token is good for less"),
        }
    }

    async fn ask(&self, bearer: &str) -> Result<Scope, AuthnError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {bearer}")).unwrap());
        let agent = HeaderValue::from_static("test/1");
        let origin = Origin { address: Ipv4Addr::new(192, 0, 2, 7).into(), user_agent: Some(&agent) };
        let presented = Presented::from_headers(&headers)?;
        self.authenticator.authenticate(presented.into_token()?, origin, Place::Api).await
    }

    /// Writes the uses down, as at the end of the program.
    async fn write_down(&self) {
        let (_stop, stopped) = watch::channel(true);
        self.records.usage().keep(&self.store, stopped).await;
    }
}

pub(super) fn idle_after(minutes: u64) -> Settings {
    let stored = BTreeMap::from([(Setting::SessionIdleTtl, minutes.to_string())]);
    Settings::of(&Values::new(), &stored, &Values::new())
}

#[tokio::test]
async fn the_limit_for_idle_sessions_is_that_of_the_moment() {
    let gate = Gate::new(100).await;
    let (_, session) = gate.token(TokenKind::Session, 30).await;
    let (_, key) = gate.token(TokenKind::ApiKey, 10_000).await;
    for (minutes, is_idle) in [(31, false), (0, false)] {
        gate.settings.replace(idle_after(minutes));
        assert_eq!(gate.use_of(&session).await.is_err(), is_idle, "{minutes}");
    }
    let (_, unused) = gate.token(TokenKind::Session, 30).await;
    gate.settings.replace(idle_after(29));
    gate.use_of(&session).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(gate.use_of(&unused).await, Err(AuthnError::Idle)));
    }
    // Its own requests did not revive it: it is as idle as it was.
    gate.settings.replace(idle_after(30));
    assert!(matches!(gate.use_of(&unused).await, Err(AuthnError::Idle)));
    gate.use_of(&key).await.unwrap();
}

#[tokio::test]
async fn a_use_that_is_not_written_yet_counts_after_the_cache_has_forgotten_it() {
    let gate = Gate::new(100).await;
    let (name, session) = gate.token(TokenKind::Session, 959).await;
    gate.use_of(&session).await.unwrap();
    gate.settings.replace(idle_after(30));
    let update = TokenUpdate { description: Some("changed".to_owned()), ..TokenUpdate::default() };
    gate.store.commit(Write::UpdateToken(name.clone(), update), None).await.unwrap();
    gate.use_of(&session).await.unwrap();
    gate.write_down().await;
    let enabling = TokenUpdate { enabled: Some(true), ..TokenUpdate::default() };
    gate.store.commit(Write::UpdateToken(name, enabling), None).await.unwrap();
    gate.use_of(&session).await.unwrap();
}

#[tokio::test]
async fn the_last_use_is_written_once_and_later_ones_with_the_next_writing() {
    let gate = Gate::new(100).await;
    let (name, bearer) = gate.token(TokenKind::ApiKey, 0).await;
    for _ in 0..10 {
        gate.use_of(&bearer).await.unwrap();
    }
    assert!(gate.store.token(&name).await.unwrap().unwrap().last_used.is_none());
    gate.write_down().await;
    let last_used = gate.store.token(&name).await.unwrap().unwrap().last_used.unwrap();
    assert_eq!((last_used.address.as_str(), last_used.user_agent.as_str()), ("192.0.2.7", "test/1"));
    assert!(clock::now().0 - last_used.at.0 < MINUTE);
    gate.write_down().await;
    let text = gate.telemetry.exposition();
    assert!(text.contains("portcullis_token_usage_writes_total 1\n"), "{text}");
}

#[tokio::test]
async fn uses_beyond_the_room_for_them_are_counted_and_the_requests_served() {
    let gate = Gate::new(1).await;
    for _ in 0..=super::records::MIN_USAGE_ENTRIES {
        let (_, bearer) = gate.token(TokenKind::ApiKey, 0).await;
        gate.use_of(&bearer).await.unwrap();
    }
    assert!(gate.telemetry.exposition().contains("portcullis_token_usage_lost_total 1\n"));
    gate.write_down().await;
    let (name, bearer) = gate.token(TokenKind::ApiKey, 0).await;
    gate.use_of(&bearer).await.unwrap();
    gate.write_down().await;
    assert!(gate.store.token(&name).await.unwrap().unwrap().last_used.is_some());
}
