//! An authority with two users, for tests of this room and those above it.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::{Authority, AuthorityError, Caller, Issued, Login, LoginPurpose, Policy, SETTLING};
use crate::clock::UnixMillis;
use crate::cluster::{
    Access, ClusterRecord, Credential, Keeping, KeyFile, Reach, Registry, ServiceAccountMode,
};
use crate::config::{Config, LiveConfig};
use crate::identity::UserId;
use crate::secret::Secret;
use crate::setting::{Setting, Values};
use crate::store::Store;
use crate::store::testing::{TempDir, token, user};
use crate::token::TokenRecord;
use crate::user::{NewPassword, PasswordHash, UserRecord};

/// What every user here logs in with.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// `root` is an administrator, `alice` is not; both call with an API key of theirs.
pub(crate) struct House {
    pub(crate) authority: Arc<Authority>,
    pub(crate) store: Store,
    pub(crate) clusters: Registry,
    pub(crate) root: Caller,
    pub(crate) alice: Caller,
    pub(crate) dir: TempDir,
    /// Where backups are written.
    pub(crate) backups: TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with_hashing(None).await
    }

    /// `Some(false)` for a store that keeps keys in clear.
    pub(crate) async fn with_hashing(hashing: Option<bool>) -> Self {
        let (dir, backups) = (TempDir::new(), TempDir::new());
        let store = Store::open(dir.path(), hashing).unwrap();
        let key_file = KeyFile::new(dir.path().join("cluster.key"));
        let clusters = Registry::new(Keeping { key_file, files_dir: None }, std::sync::Arc::default());
        clusters.replace_configured(vec![default_cluster()]);
        clusters.settled(&default_cluster().id, SETTLING).await;
        let policy =
            Policy { backup_dir: backups.path().join("new"), clusters: clusters.clone(), ..policy() };
        let authority = open(&store, policy).await;
        let root = admit(&store, user("root", true)).await;
        let alice = admit(&store, user("alice", false)).await;
        Self { authority, store, clusters, root, alice, dir, backups }
    }

    /// Another user, with [`PASSWORD`].
    pub(crate) async fn admit(&self, name: &str, admin: bool) -> Caller {
        let password = NewPassword::new(Secret::new(PASSWORD), 12).unwrap();
        let password = Some(PasswordHash::of(&password).unwrap());
        admit(&self.store, UserRecord { password, ..user(name, admin) }).await
    }

    /// The registry has what is stored now.
    pub(crate) async fn keep_clusters(&self) {
        self.clusters.replace_stored(self.store.clusters().await.unwrap());
    }

    pub(crate) async fn token_of(&self, owner: &UserId) -> TokenRecord {
        let (record, _) = token(owner);
        self.store.insert_token(record.clone()).await.unwrap();
        record
    }
}

/// A cluster that is there and can't be used.
fn default_cluster() -> ClusterRecord {
    ClusterRecord {
        id: "local".try_into().unwrap(),
        name: "local".to_owned(),
        reach: Reach {
            endpoints: vec!["https://127.0.0.1:6443".parse().unwrap()],
            ca: None,
            tls_server_name: None,
            credential: Credential::TokenFile { path: "/no/such/file".into() },
        },
        service_accounts: ServiceAccountMode::Impersonate,
        access: Access::Everyone,
        created_at: UnixMillis(1),
    }
}

/// What the operator of a house has decided.
pub(crate) fn policy() -> Policy {
    let allowed_system_identities = vec!["system:monitoring".to_owned()];
    Policy {
        config: LiveConfig::new(Config { allowed_system_identities, ..Config::blank() }),
        configured: Values::from([
            (Setting::ServerUrl, "https://gate.example.org:8443".to_owned()),
            (Setting::CaCertificates, "PEM".to_owned()),
        ]),
        ..Policy::default()
    }
}

async fn admit(store: &Store, user: UserRecord) -> Caller {
    store.insert_user(user.clone()).await.unwrap();
    let (record, _) = token(&user.id);
    store.insert_token(record.clone()).await.unwrap();
    Caller { id: user.id, name: user.name, token: record.name, client: HOME.parse().unwrap() }
}

/// An authority over `store` that follows its settings.
pub(crate) async fn open(store: &Store, policy: Policy) -> Arc<Authority> {
    let feed = store.subscribe();
    let authority = Arc::new(Authority::open(store.clone(), policy).await.unwrap());
    tokio::spawn(Arc::clone(&authority).follow_settings(feed));
    authority
}

/// Where honest clients are.
pub(crate) const HOME: &str = "192.0.2.1";

/// Logs in for a session, from the address `from`.
pub(crate) async fn log_in(
    authority: &Authority,
    from: &str,
    name: &str,
    password: &str,
) -> Result<Issued, AuthorityError> {
    let login = Login {
        username: name.to_owned(),
        password: Secret::new(password),
        purpose: LoginPurpose::Session,
        cluster: None,
        description: String::new(),
        client: from.parse().unwrap(),
    };
    authority.login(login).await
}

/// Everything this thread logs, down to TRACE, until it is dropped.
pub(crate) struct CapturedLog(Arc<Mutex<Vec<u8>>>, #[expect(dead_code, reason = "held")] DefaultGuard);

#[derive(Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    pub(crate) fn start() -> Self {
        // While there is only one subscriber, tracing asks that of the thread that is first at an event whether anybody
        // wants it, and remembers the answer for all: another test's thread, without one, would silence it here.
        static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(Sink(Arc::clone(&lines)))
            .finish();
        Self(lines, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
