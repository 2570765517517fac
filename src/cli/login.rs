//! `portcullis login`: a password becomes a session, which is kept in the profile.

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::credential;
use super::error::CliError;
use super::output;
use super::password::{PasswordOptions, ask_username};
use super::profile::Profile;
use super::trust::TrustOptions;
use crate::secret::Secret;

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// URL of the server
    url: String,
    /// Who logs in; asked for if it is not given
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    #[command(flatten)]
    password: PasswordOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis login https://gate.example.org --username alice
  portcullis login https://gate.example.org --ca-file ca.pem
  portcullis login https://gate.example.org --username ci --password-stdin < password-file";

impl Login {
    /// Logs in and keeps the session.
    pub(super) fn run(self) -> Result<(), CliError> {
        let server = server_url(&self.url)?;
        let trust = self.trust.trust(None)?;
        let user = match self.username {
            Some(name) => name,
            None => ask_username()?,
        };
        let password = self.password.current(&user)?;
        let client = Client::anonymous(&server, &trust);
        let answer = log_in(&client, &user, &password, "json", "portcullis login")?;
        let token = Secret::new(client.text(&answer, "token")?);
        if Profile::load().is_ok_and(|earlier| earlier.server == server && earlier.user != user) {
            // Else kubectl would go on as whoever was logged in before.
            credential::forget(Some(&server), &self.trust)?;
        }
        Profile { server, certificate_authority: trust.remembered(), user, token }.save().map(|()| {
            output::remark(&format!("Logged in to {}.", client.server()));
        })
    }
}

/// Logs in by password; the answer is the new token.
pub(super) fn log_in(
    client: &Client,
    user: &str,
    password: &Secret,
    response_type: &str,
    description: &str,
) -> Result<Value, CliError> {
    let credentials = json!({
        "username": user,
        "password": password.expose(),
        "description": description,
        "responseType": response_type,
    });
    match client.post("/v3-public/localProviders/local?action=login", Some(&credentials)) {
        Err(CliError::Refused { status: 401, .. }) => Err(CliError::WrongPassword),
        answer => answer,
    }
}

/// The server's URL without a slash at its end; `https` if no scheme is given.
pub(super) fn server_url(text: &str) -> Result<String, CliError> {
    let usage =
        || CliError::Usage(format!("{text:?} is no https URL of a server, such as https://gate.example.org"));
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let uri: http::Uri = full.parse().map_err(|_| usage())?;
    let bare = uri.path() == "/" && uri.query().is_none();
    match (uri.scheme_str(), uri.authority()) {
        (Some("https"), Some(authority)) if bare && !authority.as_str().contains('@') => {
            Ok(format!("https://{authority}"))
        }
        _ => Err(usage()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_sent_in_the_clear() {
        assert_eq!(server_url("gate.example.org").unwrap(), "https://gate.example.org");
        assert_eq!(server_url("https://gate:8443/").unwrap(), "https://gate:8443");
        for url in [
            "http://gate",
            "ftp://gate",
            "https://a@gate",
            "https://gate/k8s",
            "https://gate/?a",
            "",
            "https://",
        ] {
            assert!(matches!(server_url(url), Err(CliError::Usage(_))), "{url}");
        }
    }
}
