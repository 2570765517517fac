//! The questions a cluster is asked about others: with our own credential, over kept connections, and every way in which
//! there may be no answer told from the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::cluster::{AskError, Cluster};
use portcullis::config::ClusterSource;
use portcullis::kube::{Attributes, ReviewedToken, Subject};
use portcullis::secret::Secret;
use portcullis::telemetry::Telemetry;
use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::rig::kubeconfig;
use crate::support::stub::{Answer, Cut, OWN_CREDENTIAL, Reply, Stub};

/// A stub and the cluster that it is.
struct Asked {
    stub: Stub,
    cluster: Arc<Cluster>,
    _directory: Directory,
}

impl Asked {
    async fn start() -> Self {
        // An ALPN of both, and the questions take HTTP/1.1: they offer nothing.
        let stub = Stub::start(&["h2", "http/1.1"]).await;
        let directory = Directory::new();
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(&stub, &format!("token: {OWN_CREDENTIAL}"))).unwrap();
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let source = ClusterSource { kubeconfig: Some(path), ..ClusterSource::default() };
        let cluster = Cluster::load("local", &source, &Telemetry::without_access_log()).await.unwrap();
        Self { stub, cluster, _directory: directory }
    }

    async fn review(&self) -> Result<ReviewedToken, AskError> {
        self.cluster.token_review(&Secret::new("a.b.c"), &["one".to_owned()]).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_asks_with_our_credential_and_brings_the_whole_answer() {
    let asked = Asked::start().await;
    let question = json!({ "token": "a.b.c", "audiences": ["one"] });
    asked.stub.answer_questions_with(move |_| {
        let question = question.clone();
        Answer::considered(move |seen| {
            let body: Value = serde_json::from_slice(&seen.body().unwrap()).unwrap();
            if body["spec"] == question { token_review() } else { Reply::json(400, "{}") }
        })
    });
    let reviewed = asked.review().await.unwrap();
    assert!(reviewed.authenticated && reviewed.error.is_empty(), "{reviewed:?}");
    assert_eq!((reviewed.username.as_str(), reviewed.uid.as_str()), ("system:serviceaccount:a:b", "1"));
    assert_eq!((reviewed.groups, reviewed.audiences), (vec!["g".to_owned()], vec!["one".to_owned()]));
    assert_eq!(reviewed.extra["x/y"], ["z"]);
    let seen = &asked.stub.own_requests()[0];
    assert_eq!(seen.values("authorization"), [format!("Bearer {OWN_CREDENTIAL}")]);

    asked.stub.answer_questions_with(|_| access_review(true).into());
    let (subject, attributes) =
        (Subject { user: "alice".to_owned(), ..Subject::default() }, Attributes::default());
    assert!(asked.cluster.subject_access_review(&subject, &attributes).await.unwrap());
    asked.stub.answer_questions_with(|_| access_review(false).into());
    assert!(!asked.cluster.subject_access_review(&subject, &attributes).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_and_one_that_was_closed_meanwhile_costs_no_answer() {
    let asked = Asked::start().await;
    asked.stub.answer_questions_with(|_| token_review().into());
    for _ in 0..3 {
        asked.review().await.unwrap();
    }
    assert_eq!(asked.stub.connections().len(), 1);
    asked.stub.stop().await;
    asked.stub.resume().await;
    asked.review().await.unwrap();

    // Closed in place of an answer on a kept connection: asked again on a new one, once.
    let asks = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asks);
    asked.stub.answer_questions_with(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => token_review().cut(Cut::Connection(0)).into(),
        _ => token_review().into(),
    });
    asked.review().await.unwrap();
    assert_eq!(asks.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_serve_clients_share_the_connection() {
    let asked = Asked::start().await;
    asked.stub.answer_questions_with(|_| token_review().into());
    for _ in 0..3 {
        let cluster = Arc::clone(&asked.cluster);
        // A runtime of its own that ends with the question, as a worker's does with the server.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(cluster.token_review(&Secret::new("a.b.c"), &[])).map(|_| ())
        });
        tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(asked.stub.connections().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_get_no_answer_is_told_from_the_others() {
    let asked = Asked::start().await;
    for (reply, expected) in [
        (Reply::json(401, "{}"), "CredentialRefused"),
        (Reply::json(403, "{}"), "Forbidden"),
        (Reply::json(429, "{}"), "Overloaded"),
        (Reply::json(500, "{}"), "Status(500)"),
        (Reply::json(302, "{}").header("location", "https://127.0.0.1:1/"), "Status(302)"),
        (Reply::json(201, "{"), "Garbage"),
        (Reply::json(201, "{}"), "Garbage"),
        (access_review(true), "Garbage"),
        (
            Reply::json(201, r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{}}"#),
            "Garbage",
        ),
        (Reply::json(201, &format!("{{\"a\":\"{}\"}}", "x".repeat(10 << 20))), "TooLong"),
        (token_review().cut(Cut::Connection(20)), "Exchange"),
    ] {
        asked.stub.answer_questions_with(move |_| reply.clone().into());
        let error = asked.review().await.err().map(|error| format!("{error:?}")).unwrap_or_default();
        assert!(error.starts_with(expected), "{error} where {expected} was expected");
    }
    asked.stub.answer_questions_with(|_| Answer::Silence);
    assert!(matches!(asked.review().await, Err(AskError::TimedOut)));
    asked.stub.answer_questions_with(|_| token_review().into());
    asked.review().await.unwrap();
    asked.stub.stop().await;
    let error = asked.review().await;
    assert!(matches!(error, Err(AskError::Connect(_))), "{error:?}");
}

fn token_review() -> Reply {
    let answer = json!({
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {},
        "status": {
            "authenticated": true, "audiences": ["one"],
            "user": { "username": "system:serviceaccount:a:b", "uid": "1", "groups": ["g"], "extra": { "x/y": ["z"] } },
        },
    });
    Reply::json(201, &answer.to_string())
}

fn access_review(allowed: bool) -> Reply {
    let answer = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {},
        "status": { "allowed": allowed },
    });
    Reply::json(201, &answer.to_string())
}
