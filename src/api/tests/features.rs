//! Features: hashing of tokens is on from the beginning, or is turned on for good.

use http::{Method, StatusCode};

use super::ask;
use crate::authority::testing::{House, open, policy};
use crate::store::Store;
use crate::store::testing::TempDir;

const PATH: &str = "/v3/features/token-hashing";

#[tokio::test]
async fn what_is_on_stays_on() {
    let house = House::new().await;
    let (root, alice) = (Some(&house.root), Some(&house.alice));
    let shown = ask(&house, alice, Method::GET, PATH, "").await.json();
    assert_eq!(
        (&shown["type"], &shown["value"], &shown["locked"]),
        (&"feature".into(), &true.into(), &true.into())
    );
    assert_eq!(
        (&shown["status"]["state"], &shown["status"]["backup"]),
        (&"on".into(), &serde_json::Value::Null)
    );
    assert!(shown["links"].get("update").is_none());
    assert_eq!(ask(&house, alice, Method::GET, "/v3/features", "").await.json()["data"][0], shown);
    let off = ask(&house, root, Method::PUT, PATH, r#"{"value":false}"#).await;
    assert_eq!((off.refusal(), &off.json()["fieldName"]), ((422, "InvalidAction".into()), &"value".into()));
    assert_eq!(ask(&house, root, Method::PUT, PATH, r#"{"value":true}"#).await.status, StatusCode::OK);
    for (caller, path, body, status) in [
        (alice, PATH, r#"{"value":true}"#, 403),
        (alice, PATH, r#"{"value":false}"#, 403),
        (root, PATH, "{}", 422),
        (root, PATH, r#"{"value":"true"}"#, 422),
        (root, "/v3/features/other", r#"{"value":true}"#, 404),
        (None, PATH, r#"{"value":true}"#, 401),
    ] {
        assert_eq!(ask(&house, caller, Method::PUT, path, body).await.refusal().0, status, "{path} {body}");
    }
}

#[tokio::test]
async fn turning_it_on_is_accepted_and_followed_to_its_end() {
    let mut house = House::new().await;
    // Another store, that begins without.
    let (dir, backups) = (TempDir::new(), TempDir::new());
    house.store = Store::open(dir.path(), Some(false)).unwrap();
    let policy = crate::authority::Policy { backup_dir: backups.path().to_owned(), ..policy() };
    house.authority = open(&house.store, policy).await;
    let root = house.admit("administrator", true).await;
    let root = Some(&root);
    let shown = ask(&house, root, Method::GET, PATH, "").await.json();
    assert_eq!((&shown["value"], &shown["status"]["state"]), (&false.into(), &"off".into()));
    assert_eq!(shown["links"]["update"], shown["links"]["self"]);
    assert_eq!(ask(&house, root, Method::PUT, PATH, r#"{"value":false}"#).await.status, StatusCode::OK);
    let begun = ask(&house, root, Method::PUT, PATH, r#"{"value":true}"#).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text);
    let done = loop {
        let shown = ask(&house, root, Method::GET, PATH, "").await.json();
        assert_eq!(shown["status"]["error"], serde_json::Value::Null);
        if shown["value"] == true {
            break shown;
        }
        tokio::task::yield_now().await;
    };
    let backup = done["status"]["backup"].as_str().unwrap();
    assert!(std::path::Path::new(backup).is_file(), "{backup}");
    assert_eq!(ask(&house, root, Method::PUT, PATH, r#"{"value":true}"#).await.status, StatusCode::OK);
}
