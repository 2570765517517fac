//! The API's client: JSON over verified TLS.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request};

use super::error::CliError;
use super::profile::Profile;
use super::trust::{Trust, TrustOptions};
use crate::secret::Secret;

/// A client of one server, with or without a session.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    server: String,
    trust: Trust,
    token: Option<Secret>,
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

    /// The server's URL.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// `GET`.
    pub(super) fn get(&self, path: &str) -> Result<Value, CliError> {
        self.send(Method::GET, path, None)
    }

    /// The items of a collection.
    pub(super) fn list(&self, path: &str) -> Result<Vec<Value>, CliError> {
        match self.get(path)?.get_mut("data").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
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

    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
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
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| self.unexpected("not JSON"))
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

/// More than the longest list of tokens, less than what could hurt.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_a_url() {
        assert_eq!(encoded("a b&c=d/../ä#?%"), "a%20b%26c%3Dd%2F..%2F%C3%A4%23%3F%25");
    }
}
