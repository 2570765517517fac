//! What a browser does with cookies and forms, and nothing more.

use std::collections::BTreeMap;

use super::rig::{Account, Rig};
use super::wire::Response;

pub(crate) const HTML: (&str, &str) =
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
pub(crate) const ORIGIN: (&str, &str) = ("Origin", "https://gate.example");
pub(crate) const OWN_SITE: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

/// A browser with its cookies, among which it keeps no others' secrets.
pub(crate) struct Browser<'a> {
    rig: &'a Rig,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(rig: &'a Rig) -> Self {
        Self { rig, cookies: BTreeMap::new() }
    }

    /// One that is logged in as `account`.
    pub(crate) async fn of(rig: &'a Rig, account: &Account) -> Self {
        let mut browser = Self::new(rig);
        browser.get("/ui/login").await;
        let fields = [("username", account.username.as_str()), ("password", &account.password)];
        let response = browser.send("/ui/login", &fields).await;
        assert_eq!((response.status, response.header("location")), (303, Some("/v3/tokens")));
        let session = browser.cookies["R_SESS"].clone();
        rig.gate.keep_secret(session.split_once(':').unwrap().1);
        browser
    }

    pub(crate) async fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[HTML], "").await
    }

    /// Sends a form from a page of ours.
    pub(crate) async fn send(&mut self, target: &str, fields: &[(&str, &str)]) -> Response {
        let csrf = self.cookies.get("CSRF").cloned().unwrap_or_default();
        let fields = [fields, &[("_csrf", csrf.as_str())]].concat();
        self.request("POST", target, &[HTML, FORM, ORIGIN, OWN_SITE], &encoded(&fields)).await
    }

    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        lines: &[(&str, &str)],
        body: &str,
    ) -> Response {
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

    /// The names of the tokens of `account`.
    pub(crate) async fn tokens(&self, account: &Account) -> Vec<String> {
        let answer =
            self.rig.api("GET", "/v3/tokens", &account.bearer, &serde_json::Value::Null).await.json();
        answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
