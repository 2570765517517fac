//! The API's client: JSON over verified TLS.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use ureq::Agent;
use ureq::http::{Method, Request};

use super::error::CliError;
use super::profile::Profile;
use super::trust::{Trust, TrustOptions};
use super::{output, table};
use crate::secret::Secret;

/// A client of one server, with or without a session.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    server: String,
    trust: Trust,
    token: Option<Secret>,
}

/// What a request that was done came to.
#[derive(Debug)]
pub(super) struct Answer {
    /// The resource, or null.
    pub(super) body: Value,
    /// What the server wants a person to know of it.
    pub(super) warnings: Vec<String>,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// Its items.
    pub(super) items: Vec<Value>,
    /// Where the next part begins; none after the last.
    pub(super) next: Option<String>,
}

/// The API's error object.
#[derive(Deserialize)]
struct ErrorObject {
    code: Option<String>,
    message: Option<String>,
}

impl Client {
    /// A client without a session.
    pub(super) fn anonymous(server: &str, trust: &Trust) -> Self {
        let agent = agent(trust, Duration::from_mins(1));
        Self { agent, server: server.to_owned(), trust: trust.clone(), token: None }
    }

    /// A client with the session of the profile.
    pub(super) fn of_profile(options: &TrustOptions) -> Result<Self, CliError> {
        let profile = Profile::load()?;
        let trust = options.trust(profile.certificate_authority.as_deref())?;
        Ok(Self::anonymous(&profile.server, &trust).with_token(profile.token))
    }

    /// The same with another credential.
    pub(super) fn with_token(self, token: Secret) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The same for requests that others wait for: each takes no longer than `patience`.
    pub(super) fn within(self, patience: Duration) -> Self {
        Self { agent: agent(&self.trust, patience), ..self }
    }

    /// Whose certificates are believed.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The server's URL.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// `GET`.
    pub(super) fn get(&self, path: &str) -> Result<Value, CliError> {
        self.send(Method::GET, path, None)
    }

    /// The items of a collection, all of its pages.
    pub(super) fn list(&self, path: &str) -> Result<Vec<Value>, CliError> {
        let mut page = self.page(path)?;
        let mut items = std::mem::take(&mut page.items);
        while let Some(marker) = page.next {
            page = self.page(&format!("{path}{}marker={}", joint(path), encoded(&marker)))?;
            items.append(&mut page.items);
        }
        Ok(items)
    }

    /// One page of a collection.
    pub(super) fn page(&self, path: &str) -> Result<Page, CliError> {
        let mut answer = self.get(path)?;
        let next = answer.pointer("/pagination/next").and_then(Value::as_str).and_then(marker);
        match answer.get_mut("data").map(Value::take) {
            // A page without items that promises more would be asked for again and again.
            Some(Value::Array(items)) if next.is_none() || !items.is_empty() => Ok(Page { items, next }),
            _ => Err(self.unexpected("a list has no data")),
        }
    }

    /// `POST`.
    pub(super) fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
        self.send(Method::POST, path, body)
    }

    /// `PUT`.
    pub(super) fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.send(Method::PUT, path, Some(body))
    }

    /// `DELETE`.
    pub(super) fn delete(&self, path: &str) -> Result<(), CliError> {
        self.send(Method::DELETE, path, None).map(drop)
    }

    /// The text of a field that an answer must have.
    pub(super) fn text(&self, answer: &Value, field: &'static str) -> Result<String, CliError> {
        let text = answer.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| self.unexpected(field))
    }

    /// A resource of the API in its own type.
    pub(super) fn parse<T: for<'de> Deserialize<'de>>(&self, resource: &Value) -> Result<T, CliError> {
        T::deserialize(resource).map_err(|_| self.unexpected("a resource lacks its fields"))
    }

    /// The error for an answer that the API would not give.
    pub(super) fn unexpected(&self, what: &'static str) -> CliError {
        CliError::UnexpectedAnswer(self.server.clone(), what)
    }

    /// One request. What the server warns of is passed on to whoever typed the command.
    pub(super) fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
        let answer = self.exchange(method, path, body)?;
        for warning in &answer.warnings {
            output::remark(&format!("warning: {warning}"));
        }
        Ok(answer.body)
    }

    /// One request, with what the server warns of.
    pub(super) fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, CliError> {
        // Without one, a POST would announce a body by pieces and then send none.
        let empty = Value::Object(Map::new());
        let body = body.or((method == Method::POST).then_some(&empty));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        let response = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        let mut response = response.map_err(|error| self.failure(error))?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| self.failure(error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(status.as_u16(), &text));
        }
        let lines = response.headers().get_all("warning").iter();
        let warnings = lines.filter_map(|line| warning(line.to_str().ok()?)).collect();
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).map_err(|_| self.unexpected("not JSON"))?
        };
        Ok(Answer { body, warnings })
    }

    fn refusal(&self, status: u16, text: &str) -> CliError {
        match serde_json::from_str::<ErrorObject>(text) {
            // Without a session a 401 is about what was just typed, and the message says so.
            Ok(_) if status == 401 && self.token.is_some() => CliError::SessionEnded(self.server.clone()),
            Ok(ErrorObject { code: Some(code), message }) => {
                CliError::Refused { status, message: message.unwrap_or_else(|| "refused".to_owned()), code }
            }
            _ => CliError::UnexpectedRefusal { server: self.server.clone(), status },
        }
    }

    fn failure(&self, error: ureq::Error) -> CliError {
        let tls = match &error {
            ureq::Error::Rustls(error) => Some(error),
            ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
            _ => None,
        };
        let server = self.server.clone();
        match tls.map(|error| self.trust.complaint(error)) {
            Some(Some(complaint)) => complaint(server),
            _ => CliError::Unreachable { server, source: Box::new(error) },
        }
    }
}

fn agent(trust: &Trust, patience: Duration) -> Agent {
    let config = Agent::config_builder()
        .https_only(true)
        .http_status_as_error(false)
        // Nothing of the API moves, and a credential must not follow a redirect.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(patience.min(Duration::from_secs(10))))
        .timeout_global(Some(patience))
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .tls_config(trust.tls_config());
    config.build().new_agent()
}

/// A text as one value of a URL's query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What joins one more parameter to a path.
pub(super) fn joint(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

/// The marker in the link to the next page. The link itself is not followed: a credential goes to our server alone.
fn marker(link: &str) -> Option<String> {
    let (_, query) = link.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(name, value)| (name == "marker").then(|| value.into_owned()))
}

/// The text of a warning for people (code 299 of RFC 7234, 5.5), without what could steer the terminal.
fn warning(line: &str) -> Option<String> {
    let quoted = line.strip_prefix("299 ")?.split_once(" \"")?.1;
    let text = quoted.rsplit_once('"')?.0.replace("\\\"", "\"").replace("\\\\", "\\");
    Some(table::printable(&text))
}

/// More than the longest page, less than what could hurt.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_a_url() {
        assert_eq!(encoded("a b&c=d/../ä#?%"), "a%20b%26c%3Dd%2F..%2F%C3%A4%23%3F%25");
    }

    #[test]
    fn only_the_marker_of_a_link_counts() {
        assert_eq!(marker("https://elsewhere/v3/tokens?limit=2&marker=a%3Db").as_deref(), Some("a=b"));
        for link in ["", "https://gate/v3/tokens", "?mark=a"] {
            assert_eq!(marker(link), None, "{link}");
        }
    }

    #[test]
    fn a_warning_is_for_people_and_cannot_steer_the_terminal() {
        assert_eq!(
            warning("299 - \"the \\\"maximum\\\" is 90d\"").as_deref(),
            Some("the \"maximum\" is 90d")
        );
        assert_eq!(warning("299 - \"a\u{9b}2J\"").as_deref(), Some("a\u{fffd}2J"));
        for line in ["", "110 - \"stale\"", "299 -", "299 - text"] {
            assert_eq!(warning(line), None, "{line}");
        }
    }
}
