//! What others try with the pages and the cookies of those who are logged in.

use serde_json::json;

use crate::support::browser::{Browser, FORM, HTML, ORIGIN, OWN_SITE, encoded};
use crate::support::rig::Rig;
use crate::support::wire::Response;

type Lines<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn no_other_site_can_act_for_its_visitor() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    let before = browser.tokens(&alice).await;
    let csrf = browser.cookies["CSRF"].clone();
    let good = format!("_csrf={csrf}");
    let flipped: String = csrf.chars().rev().collect();
    let wrong = format!("_csrf={flipped}");
    let tries: [(&str, Lines<'_>, &str, u16); 10] = [
        ("no token", &[ORIGIN, OWN_SITE], "", 422),
        ("an empty token", &[ORIGIN, OWN_SITE], "_csrf=", 422),
        ("a wrong token", &[ORIGIN, OWN_SITE], &wrong, 422),
        ("another origin", &[("Origin", "https://evil.example")], &good, 403),
        ("another port", &[("Origin", "https://gate.example:444")], &good, 403),
        ("no TLS", &[("Origin", "http://gate.example")], &good, 403),
        ("no origin to speak of", &[("Origin", "null"), OWN_SITE], &good, 403),
        ("another site", &[ORIGIN, ("Sec-Fetch-Site", "cross-site")], &good, 403),
        ("a neighbour", &[("Sec-Fetch-Site", "same-site")], &good, 403),
        ("nothing that says from where", &[], &good, 403),
    ];
    let own = format!("/v3/tokens/{}", alice.token_name);
    for (what, lines, body, status) in tries {
        let lines = [&[HTML, FORM], lines].concat();
        for (target, more) in
            [("/v3/tokens", ""), (&own, "&_method=DELETE"), ("/ui/logout", ""), ("/ui/password", "")]
        {
            let answer = browser.request("POST", target, &lines, &format!("{body}{more}")).await;
            assert_eq!(answer.status, status, "{what}: {target} {}", answer.text());
        }
        let answer =
            browser.request("POST", "/ui/login", &lines, &format!("{body}&username=alice&password=x")).await;
        assert_eq!(answer.status, status, "{what}: login");
    }
    assert_eq!(browser.tokens(&alice).await, before);
    let missing = browser.cookies.remove("CSRF").unwrap();
    assert_eq!(
        browser.request("POST", "/v3/tokens", &[HTML, FORM, ORIGIN, OWN_SITE], &good).await.status,
        422
    );
    browser.cookies.insert("CSRF".to_owned(), missing);
    let origin_alone =
        browser.request("POST", &own, &[HTML, FORM, ORIGIN], &format!("{good}&_method=DELETE")).await;
    assert_eq!(origin_alone.status, 303, "{}", origin_alone.text());
}

#[tokio::test]
async fn a_program_with_the_cookie_repeats_the_token_in_a_header() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    let csrf = browser.cookies["CSRF"].clone();
    let json = ("Content-Type", "application/json");
    let with = ("X-API-CSRF", csrf.as_str());
    let refused = browser.request("POST", "/v3/tokens", &[json, ORIGIN], "{}").await;
    assert_eq!((refused.status, &refused.json()["code"]), (422, &"InvalidCSRFToken".into()));
    let other = ("Origin", "https://evil.example");
    assert_eq!(browser.request("POST", "/v3/tokens", &[json, other, with], "{}").await.status, 403);
    assert_eq!(browser.request("DELETE", "/v3/tokens/token-bcdfg", &[ORIGIN], "").await.status, 422);
    let made = browser.request("POST", "/v3/tokens", &[json, ORIGIN, with], "{}").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let bearer = made.json()["token"].as_str().unwrap().to_owned();
    rig.gate.keep_secret(bearer.split_once(':').unwrap().1);
    let own = format!("Bearer {bearer}");
    let own = ("Authorization", own.as_str());
    let made = browser.request("POST", "/v3/tokens", &[json, own], "{}").await;
    assert_eq!(made.status, 201, "a credential of its own needs no CSRF token");
    rig.gate.keep_secret(made.json()["token"].as_str().unwrap().split_once(':').unwrap().1);
    let bad = ("Authorization", "Bearer token-bcdfg:x");
    assert_eq!(browser.request("GET", "/v3/tokens", &[bad], "").await.status, 401, "the header wins");
}

#[tokio::test]
async fn a_cookie_is_good_for_a_session_and_for_no_cluster() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    for path in ["/api/v1/namespaces", "/k8s/clusters/local/api/v1/pods", "/version", "/v1/x", "/metrics"] {
        let answer = browser.request("GET", path, &[HTML], "").await;
        assert!(matches!(answer.status, 401 | 404), "{path}: {}", answer.status);
    }
    assert!(rig.stub.seen().is_empty());
    assert_eq!(browser.request("GET", "/v3/tokens", &[], "").await.status, 200);
    let session = browser.cookies.insert("R_SESS".to_owned(), alice.bearer.clone()).unwrap();
    assert_eq!(browser.request("GET", "/v3/tokens", &[], "").await.status, 401, "an API key is no session");
    browser.cookies.insert("R_SESS".to_owned(), format!("{session}; R_SESS={session}"));
    assert_eq!(browser.request("GET", "/v3/tokens", &[], "").await.status, 400, "two cookies");
}

#[tokio::test]
async fn hostile_texts_are_shown_as_text() {
    let rig = Rig::start().await;
    let hostile = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>";
    let user = json!({ "username": hostile, "groups": [hostile], "password": "correct horse battery" });
    let made = rig.api("POST", "/v3/users", rig.admin(), &user).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let token = json!({ "description": hostile });
    let made = rig.api("POST", "/v3/tokens", rig.admin(), &token).await.json();
    rig.gate.keep_secret(made["token"].as_str().unwrap().split_once(':').unwrap().1);
    let token = made["id"].as_str().unwrap().to_owned();

    let password = std::fs::read_to_string(rig.gate.data_directory().join("admin-password")).unwrap();
    let mut browser = Browser::new(&rig);
    browser.get("/ui/login").await;
    let response = browser.send("/ui/login", &[("username", "admin"), ("password", password.trim())]).await;
    assert_eq!(response.status, 303);
    let in_address = encoded(&[("kind", hostile), ("_done", hostile), ("marker", hostile)]);
    let pages = [
        "/v3/tokens".to_owned(),
        "/v3/users".to_owned(),
        format!("/v3/tokens/{token}"),
        format!("/v3/tokens/{token}?_confirm=delete"),
        format!("/v3/users/{id}"),
        format!("/v3/users/{id}?_confirm=delete"),
        format!("/v3/tokens?{in_address}"),
        format!("/v3/{in_address}"),
        format!("/ui/login?next={in_address}"),
    ];
    for path in pages {
        let page = browser.get(&path).await;
        expect_inert(&page, &path);
    }
    let sent = [("description", hostile), ("ttl", hostile), ("ttl.unit", hostile), ("kind", hostile)];
    let page = browser.send("/v3/tokens", &sent).await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("&lt;img") || page.text().contains("&#60;img"), "what was typed stays");
    expect_inert(&page, "a refused form");
    let page =
        browser.send("/ui/login", &[("username", hostile), ("password", hostile), ("next", hostile)]).await;
    expect_inert(&page, "a refused login");
}

fn expect_inert(page: &Response, what: &str) {
    let text = page.text();
    for harm in ["<img", "<script", "onerror=alert(1)>", "\"'>"] {
        assert!(!text.contains(harm), "{what} has {harm}: {text}");
    }
}

#[tokio::test]
async fn pages_can_not_be_framed_scripted_or_kept() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    for path in [
        "/ui",
        "/ui/login",
        "/ui/password",
        "/ui/style.css",
        "/v3",
        "/v3/tokens",
        "/v3/schemas",
        "/v3/nothing",
    ] {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy").unwrap_or_else(|| panic!("{path}"));
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        assert!(!page.text().contains("<script") && !page.text().contains("style=\""), "{path}");
    }
}
