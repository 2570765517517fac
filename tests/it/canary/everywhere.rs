//! Every kind of secret goes through every door it is made for, and through those it was never made for; then every
//! place where somebody might read is searched. What is searched must have something in it, or the search proves
//! nothing: a name that is no secret is planted in each place, and the same search finds it.

use nix::sys::signal::Signal;

use crate::support::canary::Place;
use crate::support::rig::{Account, Rig};
use crate::support::wire::Response;

/// No secret: a user's name, which is meant to be seen everywhere.
pub(super) const PLANTED: &str = "planted-canary-alice";

/// A gate with people who use it, and what they and others got to see.
pub(super) struct Watch {
    pub(super) rig: Rig,
    pub(super) account: Account,
    /// The administrator's, of the first start: it stands in a file of its own.
    pub(super) first_password: String,
    /// Values that our own pages have in their forms, and nothing else has.
    pub(super) forms: Vec<String>,
    pub(super) pages: Place,
    /// Answers of the API, refusals too.
    pub(super) answers: Place,
    /// What commands print.
    pub(super) prints: Place,
    pub(super) processes: Place,
}

impl Watch {
    async fn start() -> Self {
        let rig = Rig::start().await;
        let account = rig.account(PLANTED, &["dev"]).await;
        let file = rig.gate.data_directory().join("admin-password");
        let first_password = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let forms = Vec::new();
        let [pages, answers, prints, processes] = std::array::from_fn(|_| Place::default());
        Self { rig, account, first_password, forms, pages, answers, prints, processes }
    }

    /// Keeps the key of a bearer, wherever it was shown this once.
    pub(super) fn keep(&self, bearer: &str) {
        self.rig.gate.keep_secret(bearer.split_once(':').unwrap().1);
    }

    pub(super) fn keep_passwords(&self, passwords: &[&str]) {
        for password in passwords {
            self.rig.gate.keep_secret(password);
        }
    }

    /// An answer that may show no secret, neither in its head nor in its body.
    pub(super) fn saw_answer(&mut self, what: &str, answer: &Response) {
        self.answers.saw(what, seen(answer));
    }

    /// Everything that there is to see now.
    async fn look(&mut self) -> Vec<(&'static str, Place)> {
        let gate = &self.rig.gate;
        let mut metrics = Place::default();
        metrics.saw("admin listener", gate.admin_request("/metrics").await.1);
        let mut places = written(&self.rig);
        self.processes.saw_processes();
        let kinds = [&mut self.pages, &mut self.answers, &mut self.prints, &mut self.processes];
        let [pages, answers, prints, processes] = kinds.map(std::mem::take);
        places.extend([
            ("metrics", metrics),
            ("pages", pages),
            ("answers", answers),
            ("prints", prints),
            ("process list", processes),
        ]);
        places
    }

    fn assert_clean(&self, places: &[(&'static str, Place)]) {
        let secrets = self.rig.gate.secrets();
        let first = [self.first_password.clone()];
        assert!(secrets.len() > 30, "{} secrets", secrets.len());
        for (kind, place) in places {
            let mut leaks = place.leaks(&secrets);
            leaks.extend(place.without("/admin-password").leaks(&first));
            if *kind != "pages" {
                leaks.extend(place.leaks(&self.forms));
            }
            assert_eq!(leaks, Vec::<String>::new(), "{kind}");
        }
    }
}

/// What the gate has written.
fn written(rig: &Rig) -> Vec<(&'static str, Place)> {
    let [mut access_log, mut log, mut files] = std::array::from_fn(|_| Place::default());
    access_log.saw("stdout", rig.gate.stdout());
    log.saw("stderr", rig.gate.stderr());
    files.saw_files(&rig.gate.data_directory());
    vec![("access log", access_log), ("log", log), ("files", files)]
}

/// A response as it is on the wire, about.
pub(super) fn seen(answer: &Response) -> Vec<u8> {
    let mut bytes = format!("{:?}\n", answer.lines).into_bytes();
    bytes.extend(&answer.body);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_any_kind_is_seen_where_none_belongs() {
    let mut watch = Watch::start().await;
    watch.walk_requests().await;
    watch.walk_commands();
    watch.walk_pages().await;
    let last = "/v3/users/the-last";
    watch.ask("GET", last, &serde_json::Value::Null).await;
    watch.rig.gate.wait_until("done with its log", async || watch.rig.gate.stdout().contains(last)).await;

    let places = watch.look().await;
    watch.assert_clean(&places);
    assert_planted(&places);
    for file in
        ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm", "endpoints.json", "admin-password"]
    {
        assert!(watch.rig.gate.data_directory().join(file).exists(), "{file}");
    }

    watch.rig.gate.signal(Signal::SIGTERM);
    assert_eq!(watch.rig.gate.exit_code().await, Some(0));
    let places = written(&watch.rig);
    watch.assert_clean(&places);
    assert_planted(&places);
    // The one place where a secret has to be, which the search sees as well.
    let files = places.iter().find(|(kind, _)| *kind == "files").map(|(_, place)| place).unwrap();
    assert_eq!(files.leaks(&[watch.first_password.clone()]).len(), 1);
}

fn assert_planted(places: &[(&'static str, Place)]) {
    for (kind, place) in places {
        for text in planted(kind) {
            let found = place.leaks(&[String::from(*text)]);
            assert!(!found.is_empty(), "the search finds no {text} in {kind}");
        }
    }
}

/// What the search has to find in a place of this kind.
fn planted(kind: &str) -> &'static [&'static str] {
    match kind {
        "metrics" => &["portcullis_http_requests"],
        // The name in a command, and a variable of our own in an environment.
        "process list" => &[PLANTED, "PORTCULLIS_PLANTED=canary", "KUBECONFIG=/"],
        _ => &[PLANTED],
    }
}
