//! What must have arrived upstream, and what a refusal looks like.

use super::message::Lines;
use super::rig::Account;
use super::stub::{OWN_CREDENTIAL, Seen};
use super::wire::Response;

/// The extra by which the cluster's audit log can name the token: `portcullis.dev/token-name`, encoded as the
/// apiserver decodes it.
const TOKEN_EXTRA: &str = "impersonate-extra-portcullis.dev%2ftoken-name";

/// Asserts that the request at the stub has exactly the gate's headers for `account` and, besides them, `passed`.
/// Names are compared without case (HTTP says so), values exactly; the number of lines counts.
pub(crate) fn exactly(seen: &Seen, account: &Account, port: u16, passed: &[(&str, &str)]) {
    let mut expected = identity(account);
    let authority = format!("127.0.0.1:{port}");
    expected.push(("x-forwarded-for".to_owned(), "127.0.0.1".to_owned()));
    if seen.lines.first().is_some_and(|(name, _)| name == ":scheme") {
        expected.push((":scheme".to_owned(), "https".to_owned()));
        expected.push((":authority".to_owned(), authority));
    } else {
        expected.push(("host".to_owned(), authority));
    }
    expected.extend(passed.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())));
    expected.sort();
    assert_eq!(arrived(seen), expected, "{} {}", seen.method, seen.target);
}

/// Asserts that everything at the stub that could name a user is exactly what stands for `account`.
pub(crate) fn identity_is(seen: &Seen, account: &Account) {
    let is_identity = |name: &str| {
        let name = name.replace('_', "-");
        name.starts_with("impersonate-")
            || name.starts_with("x-remote-")
            || name == "authorization"
            || name == "cookie"
    };
    let mut arrived = arrived(seen);
    arrived.retain(|(name, _)| is_identity(name));
    let mut expected = identity(account);
    expected.sort();
    assert_eq!(arrived, expected, "{} {}", seen.method, seen.target);
}

/// Asserts a `Status` of Kubernetes with this code and reason, and gives its message.
pub(crate) fn status(response: &Response, code: u16, reason: &str) -> String {
    assert_eq!(response.status, code, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    let status = response.json();
    let shape = [&status["kind"], &status["apiVersion"], &status["status"], &status["reason"]];
    assert_eq!(shape, ["Status", "v1", "Failure", reason]);
    assert_eq!(status["code"], code);
    assert_eq!(response.broken, None);
    status["message"].as_str().unwrap().to_owned()
}

/// Asserts the 401 that every bad credential gets.
pub(crate) fn unauthorized(response: &Response) {
    status(response, 401, "Unauthorized");
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer"), "{challenge:?}");
}

fn identity(account: &Account) -> Lines {
    let mut lines = vec![
        ("authorization".to_owned(), format!("Bearer {OWN_CREDENTIAL}")),
        ("impersonate-user".to_owned(), account.username.clone()),
        ("impersonate-uid".to_owned(), account.user_id.clone()),
        ("impersonate-group".to_owned(), "system:authenticated".to_owned()),
        (TOKEN_EXTRA.to_owned(), account.token_name.clone()),
    ];
    lines.extend(account.groups.iter().map(|group| ("impersonate-group".to_owned(), group.clone())));
    lines
}

fn arrived(seen: &Seen) -> Lines {
    let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
    let mut lines: Lines = seen.lines.iter().map(lower).collect();
    lines.sort();
    lines
}
