//! The pages as people use them.

use serde_json::Value;

use crate::support::browser::{Browser, HTML, OWN_SITE};
use crate::support::rig::Rig;

#[tokio::test]
async fn a_person_logs_in_lists_opens_makes_and_deletes_without_a_script() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &["dev"]).await;
    let mut browser = Browser::new(&rig);
    let response = browser.get("/v3/tokens?kind=session").await;
    assert_eq!(response.status, 303);
    let login = response.header("location").unwrap().to_owned();
    assert_eq!(login, "/ui/login?next=%2Fv3%2Ftokens%3Fkind%3Dsession");
    let page = browser.get(&login).await;
    assert!(page.status == 200 && page.text().contains("value=\"/v3/tokens?kind=session\""));
    let wrong = [("username", "alice"), ("password", "wrong"), ("next", "/v3/users?me=true")];
    let page = browser.send("/ui/login", &wrong).await;
    assert_eq!(page.status, 401, "{}", page.text());
    assert!(
        page.text().contains("The username or the password is wrong.") && !page.text().contains("wrong\"")
    );

    let mut browser = Browser::of(&rig, &alice).await;
    let page = browser.get("/v3/tokens").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains(&format!("<a href=\"/v3/tokens/{0}\">{0}</a>", alice.token_name)));
    let made =
        browser.send("/v3/tokens", &[("description", "by page"), ("ttl", "2"), ("ttl.unit", "hours")]).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let text = made.text();
    let key = text.split_once("<pre class=\"secret\">").unwrap().1.split_once('<').unwrap().0;
    rig.gate.keep_secret(key.split_once(':').unwrap().1);
    let id = key.split_once(':').unwrap().0;
    let answer = rig.api("GET", &format!("/v3/tokens/{id}"), key, &Value::Null).await.json();
    assert_eq!((&answer["ttl"], &answer["description"]), (&7_200_000.into(), &"by page".into()));

    let path = format!("/v3/tokens/{id}");
    let page = browser.get(&path).await.text();
    assert!(page.contains("name=\"_confirm\" value=\"delete\"") && !page.contains(key));
    let page = browser.get(&format!("{path}?_confirm=delete")).await.text();
    assert!(page.contains("Yes, delete"));
    assert!(browser.tokens(&alice).await.iter().any(|token| token == id), "asking deletes nothing");
    let gone = browser.send(&path, &[("_method", "DELETE")]).await;
    assert_eq!((gone.status, gone.header("location")), (303, Some("/v3/tokens?_done=deleted")));
    assert!(!browser.tokens(&alice).await.iter().any(|token| token == id));
    let page = browser.get(&path).await;
    assert_eq!(page.status, 404);
    assert!(page.text().contains("Not found."));
}

#[tokio::test]
async fn the_front_door_leads_a_browser_in_and_everybody_else_to_the_cluster() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::new(&rig);
    for path in ["/", "/ui", "/ui/"] {
        let response = browser.get(path).await;
        assert_eq!((response.status, response.header("location")), (303, Some("/v3/tokens")), "{path}");
    }
    assert_eq!(browser.request("GET", "/", &[], "").await.status, 401);
    assert_eq!(browser.request("POST", "/", &[HTML], "").await.status, 401);
    assert_eq!(browser.get("//").await.status, 401);
    let authorization = alice.authorization();
    let lines = [("Authorization", authorization.as_str()), HTML];
    assert_eq!(browser.request("GET", "/", &lines, "").await.status, 200);
    assert_eq!(rig.stub.seen().len(), 1);
    let page = browser.get("/ui/logout").await;
    assert_eq!(page.status, 405);
    assert!(page.text().contains("This address takes no such request."));
    assert!(browser.get("/ui/nothing").await.text().contains("Not found."));
}

#[tokio::test]
async fn a_person_changes_the_password_and_says_what_ends_with_it() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::new(&rig);
    assert_eq!(browser.get("/ui/password").await.header("location"), Some("/ui/login?next=%2Fui%2Fpassword"));
    let mut browser = Browser::of(&rig, &alice).await;
    let page = browser.get("/ui/password").await.text();
    for choice in ["Keep them all", "End my other sessions", "End all my tokens"] {
        assert!(page.contains(choice), "{choice}");
    }
    let new = "a new pässword of alice";
    rig.gate.keep_secret(new);
    let refused = |current: &'static str, again: &'static str| {
        vec![("currentPassword", current), ("newPassword", new), ("again", again)]
    };
    for fields in [refused("wrong", new), refused("wrong", "another")] {
        let page = browser.send("/ui/password", &fields).await;
        assert_eq!(page.status, 422);
        assert!(page.text().contains("role=\"alert\"") && !page.text().contains(new));
    }
    let fields = [("currentPassword", alice.password.as_str()), ("newPassword", new), ("again", new)];
    let done = browser.send("/ui/password", &fields).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/ui/password?_done=password")));
    let mut again = Browser::new(&rig);
    again.get("/ui/login").await;
    let response = again.send("/ui/login", &[("username", "alice"), ("password", new)]).await;
    assert_eq!(response.status, 303);
    rig.gate.keep_secret(again.cookies["R_SESS"].split_once(':').unwrap().1);
}

#[tokio::test]
async fn a_kubeconfig_is_shown_or_kept_as_a_file() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    let clusters = rig.api("GET", "/v3/clusters", &alice.bearer, &Value::Null).await.json();
    let path = format!("/v3/clusters/{}", clusters["data"][0]["id"].as_str().unwrap());
    let target = format!("{path}?action=generateKubeconfig");
    assert!(browser.get(&path).await.text().contains("Download a kubeconfig"));
    for (how, kind) in [("page", "text/html; charset=utf-8"), ("file", "application/yaml")] {
        let answer = browser.send(&target, &[("_as", how)]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
        let text = answer.text();
        let bearer = text.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
        let key = bearer.trim_matches(['"', '\'']).replace("&#34;", "").replace("&quot;", "");
        rig.gate.keep_secret(key.split_once(':').unwrap().1);
        let attached =
            answer.header("content-disposition").is_some_and(|value| value.starts_with("attachment"));
        assert_eq!(attached, how == "file");
    }
}

#[tokio::test]
async fn logging_out_ends_the_session_and_its_cookies() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    let kept = browser.cookies.clone();
    let response = browser.send("/ui/logout", &[]).await;
    assert_eq!((response.status, response.header("location")), (303, Some("/ui/login?_done=logout")));
    assert!(browser.cookies.is_empty());
    browser.cookies = kept;
    assert_eq!(browser.get("/v3/tokens").await.status, 303);
    let program = browser.request("GET", "/v3/tokens", &[], "").await;
    assert_eq!(program.status, 401);
}

#[tokio::test]
async fn a_link_on_another_site_finds_the_session_on_the_second_try() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    let session = browser.cookies.remove("R_SESS").unwrap();
    let page = browser
        .request("GET", "/v3/tokens?kind=session", &[HTML, ("Sec-Fetch-Site", "cross-site")], "")
        .await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("content=\"0; url=/v3/tokens?kind=session\""), "{}", page.text());
    let page = browser.request("GET", "/v3/tokens", &[HTML, OWN_SITE], "").await;
    assert_eq!(page.status, 303, "nobody is sent round and round");
    browser.cookies.insert("R_SESS".to_owned(), session);
    assert_eq!(browser.request("GET", "/v3/tokens", &[HTML, OWN_SITE], "").await.status, 200);
}

#[tokio::test]
async fn programs_get_json_whatever_else_they_accept() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let authorization = alice.authorization();
    for (accept, is_page) in [
        ("*/*", false),
        ("application/json", false),
        ("application/json, text/html", false),
        ("text/html;q=0.5, application/json;q=0.9", false),
        ("text/html;q=0", false),
        ("text/html", true),
        ("TEXT/HTML, application/json;q=0.9", true),
        (HTML.1, true),
    ] {
        let lines = [("Authorization", authorization.as_str()), ("Accept", accept)];
        let answer = rig.http1().await.request("GET", "/v3/tokens", &lines, b"").await;
        let kind = answer.header("content-type").unwrap();
        assert_eq!(kind.starts_with("text/html"), is_page, "{accept}");
    }
    let lines = [("Authorization", authorization.as_str()), HTML];
    let answer = rig.http1().await.request("GET", "/v3/tokens?_format=json", &lines, b"").await;
    assert_eq!(answer.json()["type"], "collection");
}
