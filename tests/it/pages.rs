//! The pages as a browser sees them: its cookies, its forms, and what other sites try with them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::rig::{Account, Rig};
use crate::support::wire::Response;

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const ORIGIN: (&str, &str) = ("Origin", "https://gate.example");
const OWN_SITE: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

type Lines<'a> = &'a [(&'a str, &'a str)];

/// What a browser does with cookies and forms, and nothing more.
struct Browser<'a> {
    rig: &'a Rig,
    cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    fn new(rig: &'a Rig) -> Self {
        Self { rig, cookies: BTreeMap::new() }
    }

    /// One that is logged in as `account`.
    async fn of(rig: &'a Rig, account: &Account) -> Self {
        let mut browser = Self::new(rig);
        browser.get("/ui/login").await;
        let fields = [("username", account.username.as_str()), ("password", &account.password)];
        let response = browser.send("/ui/login", &fields).await;
        assert_eq!((response.status, response.header("location")), (303, Some("/v3/tokens")));
        let session = browser.cookies["R_SESS"].clone();
        rig.gate.keep_secret(session.split_once(':').unwrap().1);
        browser
    }

    async fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[HTML], "").await
    }

    /// Sends a form from a page of ours.
    async fn send(&mut self, target: &str, fields: &[(&str, &str)]) -> Response {
        let csrf = self.cookies.get("CSRF").cloned().unwrap_or_default();
        let fields = [fields, &[("_csrf", csrf.as_str())]].concat();
        self.request("POST", target, &[HTML, FORM, ORIGIN, OWN_SITE], &encoded(&fields)).await
    }

    async fn request(&mut self, method: &str, target: &str, lines: &[(&str, &str)], body: &str) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut lines = lines.to_vec();
        if !cookies.is_empty() {
            lines.push(("Cookie", &cookies));
        }
        let response = self.rig.http1().await.request(method, target, &lines, body.as_bytes()).await;
        for (name, line) in &response.lines {
            if name.eq_ignore_ascii_case("set-cookie") {
                self.keep(line);
            }
        }
        response
    }

    fn keep(&mut self, line: &str) {
        assert!(
            line.contains("; Secure") && line.contains("SameSite=Strict") && line.contains("Path=/"),
            "{line}"
        );
        assert_eq!(line.contains("HttpOnly"), line.starts_with("R_SESS="), "{line}");
        let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
        if line.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    async fn tokens(&self, account: &Account) -> Vec<String> {
        let answer = self.rig.api("GET", "/v3/tokens", &account.bearer, &Value::Null).await.json();
        answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

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
