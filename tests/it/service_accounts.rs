//! Tokens of service accounts before a stub: what its answers about them are worth, how often it is asked, and what happens
//! when it does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::gate::Settings;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, Reply, Seen};
use crate::support::wire::Response;
use crate::support::within;

const TARGET: &str = "/api/v1/pods";

type Forge = fn(&mut Value);
type Fail = fn() -> Answer;

#[tokio::test]
async fn a_service_account_is_impersonated_with_uid_and_every_extra() {
    let rig = Rig::start().await;
    let token = jwt("one", None);
    rig.gate.keep_secret(&token);
    answer_with(&rig, good(|_| {}));
    for target in [TARGET, "/k8s/clusters/local/api/v1/pods"] {
        rig.stub.forget();
        assert_eq!(ask(&rig, target, &token).await.status, 200);
        let seen = rig.stub.only();
        assert_eq!(seen.target, TARGET);
        assert_eq!(seen.values("impersonate-user"), ["system:serviceaccount:dev:builder"]);
        let groups = ["system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated"];
        assert_eq!(seen.values("impersonate-group"), groups);
        assert_eq!(seen.values("impersonate-uid"), ["uid-1"]);
        let pod = "impersonate-extra-authentication.kubernetes.io%2fpod-name";
        assert_eq!(seen.values(pod), ["builder-1"]);
        let names =
            seen.lines.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("impersonate-"));
        assert_eq!(names.count(), 7);
        assert!(!format!("{seen:?}").contains(&token), "our credential goes up, and the client's stays here");
    }
    assert_eq!(reviews(&rig).len(), 1, "the second request met the first one's answer");
    let logged = async || rig.gate.stdout().contains("system:serviceaccount:dev:builder");
    rig.gate.wait_until("logging", logged).await;
}

#[tokio::test]
async fn an_answer_that_does_not_vouch_for_a_service_account_of_ours_is_401() {
    let rig =
        Rig::with(&["h2", "http/1.1"], &with_keys(&[("serviceAccounts", "{ audiences: [ours] }")])).await;
    let forged: Vec<(&str, Forge)> = vec![
        ("not authenticated", |status| status["authenticated"] = json!(false)),
        ("authenticated left out", |status| drop(status.as_object_mut().unwrap().remove("authenticated"))),
        ("authenticated with an error", |status| status["error"] = json!("token is not valid yet")),
        ("an empty user", |status| status["user"]["username"] = json!("")),
        ("no user", |status| drop(status.as_object_mut().unwrap().remove("user"))),
        ("no audiences", |status| status["audiences"] = json!([])),
        ("audiences left out", |status| drop(status.as_object_mut().unwrap().remove("audiences"))),
        ("another audience", |status| status["audiences"] = json!(["theirs"])),
        ("a person", |status| status["user"]["username"] = json!("alice")),
        ("a node", |status| status["user"]["username"] = json!("system:node:n1")),
        ("a masters' group", |status| status["user"]["groups"] = json!(["system:masters"])),
        ("an extra no header carries", |status| status["user"]["extra"]["A"] = json!(["x"])),
        ("a name with a line break", |status| status["user"]["uid"] = json!("a\r\nimpersonate-group: b")),
    ];
    for (number, (what, forge)) in forged.into_iter().enumerate() {
        answer_with(
            &rig,
            good(move |status| {
                status["audiences"] = json!(["ours"]);
                forge(status);
            }),
        );
        let response = ask(&rig, TARGET, &jwt(&number.to_string(), None)).await;
        assert_eq!(
            (response.status, response.json()["message"].as_str()),
            (401, Some("Unauthorized")),
            "{what}"
        );
    }
    assert_eq!(rig.stub.seen().len(), 0, "nothing of it reached the cluster");
    let body: Value = serde_json::from_slice(&reviews(&rig)[0].body().unwrap()).unwrap();
    assert_eq!(body["spec"]["audiences"], json!(["ours"]));

    answer_with(&rig, good(|status| status["audiences"] = json!(["theirs", "ours"])));
    assert_eq!(ask(&rig, TARGET, &jwt("good", None)).await.status, 200);
}

#[tokio::test]
async fn a_review_that_fails_is_503_for_service_accounts_and_our_own_tokens_never_notice() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let own = account.authorization();
    let failures: Vec<(&str, Fail)> = vec![
        ("credential_refused", || Reply::json(401, "{}").into()),
        ("forbidden", || Reply::json(403, "{}").into()),
        ("overloaded", || Reply::json(429, "{}").into()),
        ("error_status", || Reply::json(500, "{}").into()),
        ("garbage", || Reply::new(201, "<html>").into()),
        ("garbage", || Reply::json(201, &"x".repeat(10 << 20)).into()),
        ("timed_out", || Answer::Silence),
    ];
    for (number, (result, failure)) in failures.into_iter().enumerate() {
        rig.stub.answer_questions_with(move |_| failure());
        let token = jwt(&number.to_string(), None);
        let (refused, served) = tokio::join!(ask(&rig, TARGET, &token), async {
            let mut client = rig.http1().await;
            for _ in 0..20 {
                let lines = [("authorization", own.as_str())];
                assert_eq!(client.request("GET", TARGET, &lines, b"").await.status, 200, "{result}");
            }
        });
        let () = served;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{result}");
        assert_eq!(refused.json()["details"]["retryAfterSeconds"], 1);
        let metrics = rig.gate.admin_request("/metrics").await.1;
        let line = format!("portcullis_token_reviews_total{{result=\"{result}\"}} ");
        assert!(
            metrics.lines().any(|found| found.starts_with(&line) && !found.ends_with(" 0")),
            "{line} {metrics}"
        );
    }
    assert!(rig.gate.stderr().contains("the cluster does not say whose the token is"));
    // Nothing of it is remembered: the next question is asked at once.
    answer_with(&rig, good(|_| {}));
    assert_eq!(ask(&rig, TARGET, &jwt("0", None)).await.status, 200);
}

#[tokio::test]
async fn a_token_is_reviewed_once_however_many_requests_bring_it() {
    let rig = Rig::start().await;
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&release);
    rig.stub.answer_questions_with(move |_| {
        let gate = Arc::clone(&gate);
        let reply = good(|_| {});
        Answer::http1(async move |mut connection| {
            let _released = gate.acquire().await.unwrap();
            let body = String::from_utf8(reply.body).unwrap();
            let head = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\n";
            connection.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
            connection.drain().await;
        })
    });
    let token = jwt("one", None);
    let requests = (0..40).map(|_| ask(&rig, TARGET, &token));
    let all = futures_join(requests.collect());
    let (responses, ()) = tokio::join!(all, async {
        rig.stub.until("the question", |stub| stub.own_requests().iter().any(|seen| is_review(seen))).await;
        release.add_permits(1000);
    });
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    assert_eq!(reviews(&rig).len(), 1);
}

#[tokio::test]
async fn a_refusal_holds_for_a_second_and_an_answer_no_longer_than_the_token() {
    let rig = Rig::start().await;
    answer_with(&rig, good(|status| status["authenticated"] = json!(false)));
    let token = jwt("young", None);
    assert_eq!(ask(&rig, TARGET, &token).await.status, 401);
    assert_eq!(ask(&rig, TARGET, &token).await.status, 401);
    assert_eq!(reviews(&rig).len(), 1);
    answer_with(&rig, good(|_| {}));
    let start = Instant::now();
    rig.gate.wait_until("asking again", async || ask(&rig, TARGET, &token).await.status == 200).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());

    let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3;
    let short = jwt("short", Some(end));
    assert_eq!(ask(&rig, TARGET, &short).await.status, 200);
    answer_with(&rig, good(|status| status["authenticated"] = json!(false)));
    rig.gate
        .wait_until("refusing what has ended", async || ask(&rig, TARGET, &short).await.status == 401)
        .await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(now < Duration::from_secs(end + 2), "{now:?} {end}");
}

#[tokio::test]
async fn junk_is_turned_away_at_the_configured_rate() {
    let keys = [("serviceAccounts", "{ reviewsPerSecond: 4, reviewsAtOnce: 2 }")];
    let rig = Rig::with(&["h2", "http/1.1"], &with_keys(&keys)).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    rig.stub.answer_questions_with(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        good(|status| status["authenticated"] = json!(false)).into()
    });
    let start = Instant::now();
    let mut codes = Vec::new();
    for number in 0..60 {
        codes.push(ask(&rig, TARGET, &jwt(&number.to_string(), None)).await.status);
    }
    let bound = 2 + 2 * (start.elapsed().as_secs() + 1);
    assert!(
        asked.load(Ordering::SeqCst) as u64 <= bound,
        "{} reviews in {:?}",
        asked.load(Ordering::SeqCst),
        start.elapsed()
    );
    assert!(codes.contains(&503) && codes.iter().all(|code| [401, 503].contains(code)), "{codes:?}");
    let metrics = rig.gate.admin_request("/metrics").await.1;
    assert!(metrics.contains("portcullis_token_reviews_total{result=\"busy\"} "), "{metrics}");
}

#[tokio::test]
async fn our_own_api_and_a_cluster_that_we_do_not_have_take_no_jwt() {
    let rig = Rig::start().await;
    answer_with(&rig, good(|_| {}));
    let token = jwt("one", None);
    for target in ["/v3/tokens", "/v3", "/k8s/clusters/other/api"] {
        let response = ask(&rig, target, &token).await;
        assert_eq!(response.status, 401, "{target}: {}", response.text());
    }
    assert_eq!(reviews(&rig).len(), 0, "nobody was asked");
}

#[tokio::test]
async fn denied_service_accounts_are_told_so_and_nobody_is_asked() {
    let rig = Rig::with(&["h2", "http/1.1"], &with_keys(&[("cluster", "{ serviceAccounts: deny }")])).await;
    answer_with(&rig, good(|_| {}));
    let response = ask(&rig, TARGET, &jwt("one", None)).await;
    assert_eq!(response.status, 401);
    let message = response.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("tokens of service accounts are not accepted"), "{message}");
    assert_eq!((reviews(&rig).len(), rig.stub.seen().len()), (0, 0));
}

#[tokio::test]
async fn a_token_that_is_passed_through_goes_up_alone_and_its_refusal_comes_back() {
    let rig =
        Rig::with(&["h2", "http/1.1"], &with_keys(&[("cluster", "{ serviceAccounts: passthrough }")])).await;
    answer_with(&rig, good(|_| {}));
    let token = jwt("one", None);
    rig.stub.accept_also(&format!("Bearer {token}"));
    assert_eq!(ask(&rig, TARGET, &token).await.status, 200);
    let seen = rig.stub.only();
    assert_eq!(seen.values("authorization"), [format!("Bearer {token}")]);
    assert!(
        !seen.lines.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("impersonate-")),
        "{seen:?}"
    );
    assert_eq!(reviews(&rig).len(), 1, "it is reviewed first");

    // What the cluster says of it is the client's to know, and no reason to doubt our own credential.
    rig.stub.answer(Reply::json(401, "{\"kind\":\"Status\",\"code\":401}"));
    assert_eq!(ask(&rig, TARGET, &token).await.status, 401);
    answer_with(&rig, good(|status| status["authenticated"] = json!(false)));
    assert_eq!(ask(&rig, TARGET, &jwt("two", None)).await.status, 401);
    assert_eq!(rig.stub.seen().len(), 2, "what is refused is not passed on");
}

/// What a service account's token looks like: `exp` is all that is read of it.
pub(crate) fn jwt(id: &str, expires_at: Option<u64>) -> String {
    let mut claims = json!({ "iss": "https://kubernetes.default.svc", "jti": id });
    if let Some(at) = expires_at {
        claims["exp"] = json!(at);
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&json!({ "alg": "RS256" })), part(&claims), URL_SAFE_NO_PAD.encode("signature"))
}

/// A `TokenReview` that vouches for a service account, after `change` of its status.
pub(crate) fn good(change: impl Fn(&mut Value)) -> Reply {
    let mut status = json!({
        "authenticated": true,
        "audiences": ["https://kubernetes.default.svc"],
        "user": {
            "username": "system:serviceaccount:dev:builder",
            "uid": "uid-1",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=1"],
                "authentication.kubernetes.io/pod-name": ["builder-1"],
            },
        },
    });
    change(&mut status);
    let review = json!({
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {}, "status": status,
    });
    Reply::json(201, &review.to_string())
}

pub(crate) fn answer_with(rig: &Rig, reply: Reply) {
    rig.stub.answer_questions_with(move |_| reply.clone().into());
}

pub(crate) fn reviews(rig: &Rig) -> Vec<Arc<Seen>> {
    rig.stub.own_requests().into_iter().filter(|seen| is_review(seen)).collect()
}

fn is_review(seen: &Seen) -> bool {
    seen.target.ends_with("/tokenreviews")
}

async fn ask(rig: &Rig, target: &str, token: &str) -> Response {
    let authorization = format!("Bearer {token}");
    within("an answer", rig.http1().await.request("GET", target, &[("authorization", &authorization)], b""))
        .await
}

async fn futures_join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn with_keys(keys: &[(&'static str, &'static str)]) -> Settings {
    Settings { keys: keys.to_vec(), ..Settings::default() }
}
