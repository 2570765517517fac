//! What a client hears about its token before the token ends: a `Warning` that kubectl prints.

use crate::support::database;
use crate::support::rig::Rig;
use crate::support::stub::Reply;
use crate::support::wire::Response;

const TARGET: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn the_end_of_a_token_is_announced_once_a_connection() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (name, bearer) = ending(&rig, &account.bearer).await;
    let authorization = format!("Bearer {bearer}");
    let lines = [("authorization", authorization.as_str())];
    let expected = format!("299 - \"token {name} expires in ");
    for _ in 0..2 {
        let mut http1 = rig.http1().await;
        let http2 = rig.http2().await;
        let first = [
            http1.request("GET", TARGET, &lines, b"").await,
            http2.request("GET", TARGET, &lines, b"").await.unwrap(),
        ];
        for response in &first {
            assert_eq!(response.status, 200);
            let warnings = warnings(response);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].starts_with(&expected) && warnings[0].ends_with("s\""), "{warnings:?}");
        }
        assert_eq!(warnings(&http1.request("GET", TARGET, &lines, b"").await), Vec::<String>::new());
        assert_eq!(warnings(&http2.request("GET", TARGET, &lines, b"").await.unwrap()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_token_that_has_time_says_nothing_and_the_clusters_own_warnings_stay() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let own = "299 - \"v1 ComponentStatus is deprecated in v1.19+\"";
    rig.stub.answer(Reply::json(200, "{}").header("Warning", own));
    let (_, young) = rig.token(&account.bearer, 3_600_000).await;
    for bearer in [account.bearer.clone(), young] {
        let authorization = format!("Bearer {bearer}");
        let lines = [("authorization", authorization.as_str())];
        let response = rig.http1().await.request("GET", TARGET, &lines, b"").await;
        assert_eq!(warnings(&response), [own]);
    }
    let (_, bearer) = ending(&rig, &account.bearer).await;
    let authorization = format!("Bearer {bearer}");
    let response = rig.http1().await.request("GET", TARGET, &[("authorization", &authorization)], b"").await;
    let warnings = warnings(&response);
    assert_eq!((warnings.len(), warnings[0].as_str()), (2, own), "{warnings:?}");
}

/// A token of the owner of `bearer` that is in the last tenth of its life.
async fn ending(rig: &Rig, bearer: &str) -> (String, String) {
    let (name, bearer) = rig.token(bearer, 0).await;
    let database = database::open(&rig.gate);
    // Ten hours long, nine and a half of them gone.
    let sql = "UPDATE tokens SET ttl = 36000000, created_at = created_at - 34200000 WHERE name = ?1";
    assert_eq!(database.execute(sql, [&name]).unwrap(), 1);
    (name, bearer)
}

fn warnings(response: &Response) -> Vec<String> {
    let lines = response.lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case("warning"));
    lines.map(|(_, value)| value.clone()).collect()
}
