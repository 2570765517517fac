//! Tokens that are passed through: our own credential is beside none of them, on no connection and at no second attempt.

use std::path::Path;

use serde_json::json;

use crate::service_accounts::{answer_with, good, jwt};
use crate::support::directory::Directory;
use crate::support::gate::Settings;
use crate::support::rig::{Rig, kubeconfig};
use crate::support::stub::{OWN_CREDENTIAL, Stub};
use crate::support::wire::Response;

const TARGET: &str = "/api/v1/pods";
const NEXT_CREDENTIAL: &str = "next-credential-of-the-gate";

fn settings() -> Settings {
    Settings { keys: vec![("cluster", "{ serviceAccounts: passthrough }")], ..Settings::default() }
}

#[tokio::test]
async fn where_we_have_shown_a_client_certificate_no_token_is_passed_through_any_more() {
    let rig = Rig::with(&["h2", "http/1.1"], &settings()).await;
    answer_with(&rig, good(|_| {}));
    let (before, after) = (jwt("before", None), jwt("after", None));
    rig.stub.accept_also(&format!("Bearer {before}"));
    assert_eq!(ask(&rig, &before).await.status, 200);

    // From the next reading on we prove ourselves by a certificate: the apiserver looks at it before any token, and would
    // take every request on the connection for ours.
    let directory = rig.gate.directory();
    let made = rcgen::generate_simple_self_signed(["portcullis".to_owned()]).unwrap();
    std::fs::write(directory.join("client.crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("client.key"), made.signing_key.serialize_pem()).unwrap();
    write_kubeconfig(&rig, directory, "client-certificate: client.crt, client-key: client.key");
    let no_more = async || ask(&rig, &before).await.status == 503;
    rig.gate.wait_until("refusing to pass tokens through", no_more).await;
    rig.stub.forget();
    let refused = ask(&rig, &after).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());

    // A connection with the certificate may still be there when the kubeconfig has a token again.
    write_kubeconfig(&rig, directory, &format!("token: {OWN_CREDENTIAL}"));
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let serves = async || {
        rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await.status
            == 200
    };
    rig.gate.wait_until("serving with its token again", serves).await;
    for token in [&before, &after] {
        assert_eq!(ask(&rig, token).await.status, 503);
    }
    let shown = format!("{:?}", rig.stub.seen());
    assert!(!shown.contains(&before) && !shown.contains(&after), "{shown}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_sent_again_when_our_own_credential_is_a_new_one() {
    let directory = Directory::new();
    let file = directory.path().join("token");
    std::fs::write(&file, OWN_CREDENTIAL).unwrap();
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    let rig = Rig::in_front_of(stub, &format!("tokenFile: '{}'", file.display()), &settings()).await;
    rig.gate.keep_secret(NEXT_CREDENTIAL);
    answer_with(&rig, good(|_| {}));
    let account = rig.account("alice", &[]).await;
    let token = jwt("one", None);
    // The review vouches for it, and the cluster refuses it all the same.
    assert_eq!(ask(&rig, &token).await.status, 401);
    std::fs::write(&file, NEXT_CREDENTIAL).unwrap();
    rig.stub.accept_only(&format!("Bearer {NEXT_CREDENTIAL}"));
    rig.stub.forget();
    let refused = ask(&rig, &token).await;
    assert_eq!((refused.status, refused.json()["reason"].clone()), (401, json!("Unauthorized")));
    assert_eq!(rig.stub.only().values("authorization"), [format!("Bearer {token}")]);

    // With our own credential before the cluster a request is sent once more.
    rig.stub.forget();
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    let shown: Vec<_> = rig.stub.seen().iter().map(|seen| seen.values("authorization").concat()).collect();
    assert_eq!(shown.last().unwrap(), &format!("Bearer {NEXT_CREDENTIAL}"), "{shown:?}");
}

async fn ask(rig: &Rig, token: &str) -> Response {
    let authorization = format!("Bearer {token}");
    rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await
}

/// As a whole: half of one would be no kubeconfig.
fn write_kubeconfig(rig: &Rig, directory: &Path, user: &str) {
    std::fs::write(directory.join("new"), kubeconfig(&rig.stub, user)).unwrap();
    std::fs::rename(directory.join("new"), directory.join("kubeconfig")).unwrap();
}
