//! `portcullis credential`: kubectl's credential plugin. It hands out a short-lived token, which it keeps until shortly
//! before its end, and asks for a password on the terminal if there is no other way to a new one.
//!
//! kubectl calls a plugin again after a refusal, so a second call within a minute may mean that the token was revoked:
//! then the server is asked before the token is handed out again.

mod cache;
mod exec_info;
mod terminal;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::error::CliError;
use super::login::{log_in, server_url};
use super::output;
use super::profile::Profile;
use super::trust::{Trust, TrustOptions};
use crate::clock::{UnixMillis, now};
use crate::secret::Secret;
use crate::token::{Bearer, TokenName};
use cache::{Cache, Entry, Key};
use exec_info::ExecInfo;
use terminal::Terminal;

/// Arguments of `credential`.
#[derive(Debug, Args)]
pub(super) struct Credential {
    /// URL of the server
    #[arg(long, value_name = "URL", required_unless_present = "forget")]
    server: Option<String>,
    /// The cluster's id
    #[arg(long, value_name = "ID", default_value = "local")]
    cluster: String,
    /// Who logs in; asked for if it is not given
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// End the tokens that were handed out, of one server or of all, and forget them
    #[arg(long, conflicts_with_all = ["cluster", "user"])]
    forget: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

pub(super) const EXAMPLES: &str = "\
In a kubeconfig, as `portcullis kubeconfig` writes it where kubeconfigs carry no token:
  users:
  - name: local
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: portcullis
        args: [credential, --server=https://gate.example.org, --cluster=local]
        interactiveMode: IfAvailable
        provideClusterInfo: true

A session of `portcullis login` at the same server is used instead of a password. Tokens are kept in
$PORTCULLIS_HOME/credentials or ~/.cache/portcullis/credentials.";

/// What a kept token is worth.
#[derive(Debug, PartialEq, Eq)]
enum Worth {
    /// It is handed out.
    Good,
    /// It may have been refused since it was handed out.
    Doubtful,
    /// It has ended or is about to.
    Spent,
}

impl Credential {
    /// Answers kubectl.
    pub(super) fn run(self) -> Result<(), CliError> {
        let server = self.server.as_deref().map(server_url).transpose()?;
        if self.forget {
            let count = forget(server.as_deref(), &self.trust)?;
            output::remark(&format!("Forgot {count} of the tokens that kubectl was given."));
            return Ok(());
        }
        let server = server.ok_or_else(|| CliError::Usage("--server is missing".to_owned()))?;
        let started = now();
        let info = ExecInfo::from_environment()?;
        let key = Key { server, cluster: self.cluster, user: self.user };
        let profile = Profile::load().ok().filter(|profile| profile.server == key.server);
        let of_profile = profile.as_ref().and_then(|profile| profile.certificate_authority.as_deref());
        let trust = self.trust.trust(info.certificate_authority.as_deref().or(of_profile))?;

        let cache = Cache::open(key.clone())?;
        let kept = match cache.read()? {
            Some(entry) => still_good(entry, &key, &trust, started)?,
            None => None,
        };
        let entry = match kept {
            Some(entry) => entry,
            None => {
                cache.remove()?;
                let of_key = |profile: &Profile| key.user.as_ref().is_none_or(|user| *user == profile.user);
                let session = profile.filter(of_key).map(|profile| from_session(&profile, &self.trust));
                match session.transpose()?.flatten() {
                    Some(entry) => entry,
                    None => from_password(&key, &trust, info.interactive)?,
                }
            }
        };
        cache.write(&Entry { handed_out_at: now(), ..entry.clone() })?;
        output::print(&format!("{}\n", info.answer(&entry.token, entry.expires_at)))
    }
}

/// Ends the tokens that kubectl was given for one server, or for all, and says how many they were.
pub(super) fn forget(server: Option<&str>, options: &TrustOptions) -> Result<usize, CliError> {
    let taken = cache::take_all(server)?;
    for (key, entry) in &taken {
        let trust = options.trust(entry.certificate_authority.as_deref())?;
        let client = Client::anonymous(&key.server, &trust).with_token(entry.token.clone()).within(PATIENCE);
        match client.post("/v3/tokens?action=logout", Some(&json!({}))) {
            Ok(_) | Err(CliError::SessionEnded(_)) => {}
            Err(error) => {
                let name = name_of(&entry.token).map_or_else(String::new, |name| format!(" {name}"));
                output::complain(&error);
                output::remark(&format!("The token{name} is forgotten here and may still be good."));
            }
        }
    }
    Ok(taken.len())
}

/// The kept token, if it may be handed out once more.
fn still_good(
    entry: Entry,
    key: &Key,
    trust: &Trust,
    started: UnixMillis,
) -> Result<Option<Entry>, CliError> {
    let Some(name) = name_of(&entry.token) else { return Ok(None) };
    match worth(&entry, now(), started) {
        Worth::Good => return Ok(Some(entry)),
        Worth::Spent => return Ok(None),
        Worth::Doubtful => {}
    }
    let client = Client::anonymous(&key.server, trust).with_token(entry.token.clone()).within(PATIENCE);
    match client.get(&path_of(&name)) {
        Ok(_) => Ok(Some(entry)),
        Err(CliError::SessionEnded(_)) => Ok(None),
        // Who is not who it should be gets nothing, and least of all a password.
        Err(error) if error.is_about_certificate() => Err(error),
        // The gate decides in the end; to hand out nothing would only hide what it would say.
        Err(error) => {
            output::complain(&error);
            output::remark(&format!("Using the token {name} without knowing whether it is still good."));
            Ok(Some(entry))
        }
    }
}

/// kubectl can't know of a refusal of what it is given only now, so what another process was given since we `started`
/// is good.
fn worth(entry: &Entry, now: UnixMillis, started: UnixMillis) -> Worth {
    if let Some(end) = entry.expires_at {
        let life = end.0.saturating_sub(entry.issued_at.0);
        let margin = (life / 20).max(60_000).min(life / 2);
        if end <= now.plus(margin) {
            return Worth::Spent;
        }
    }
    let handed_out = entry.handed_out_at;
    let before_us = handed_out < started && now < handed_out.plus(60_000);
    // The clock was set back: nothing is known of the time between.
    if before_us || handed_out > now { Worth::Doubtful } else { Worth::Good }
}

/// A token from the session of `portcullis login`, that ends with it; none if the session has ended.
fn from_session(profile: &Profile, options: &TrustOptions) -> Result<Option<Entry>, CliError> {
    let Some(name) = name_of(&profile.token) else { return Ok(None) };
    // What a kubeconfig says of certificates doesn't count here: the session was made under the profile's.
    let trust = options.trust(profile.certificate_authority.as_deref())?;
    let client = Client::anonymous(&profile.server, &trust).with_token(profile.token.clone());
    let session = match client.get(&path_of(&name)) {
        Ok(session) => session,
        Err(CliError::SessionEnded(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let end = session.get("expiresAt").and_then(Value::as_str).and_then(moment);
    let left = end.map(|end| end.0.saturating_sub(now().0));
    if left.is_some_and(|left| left < SHORTEST_MILLIS) {
        return Ok(None);
    }
    let body = json!({ "kind": "kubeconfig", "ttl": left, "description": "portcullis credential" });
    match client.post("/v3/tokens", Some(&body)) {
        Ok(answer) => entry(&client, &answer).map(Some),
        Err(CliError::SessionEnded(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A token for whoever is at the terminal.
fn from_password(key: &Key, trust: &Trust, interactive: bool) -> Result<Entry, CliError> {
    let terminal = Terminal::open().filter(|_| interactive);
    let terminal = terminal.ok_or_else(|| CliError::NobodyToAsk(key.server.clone()))?;
    let (user, password) = terminal.credentials(key)?;
    let client = Client::anonymous(&key.server, trust);
    let answer = log_in(&client, &user, &password, "kubeconfig", "portcullis credential")?;
    entry(&client, &answer)
}

/// A new token as it is kept. Its end is reckoned from its lifetime: the server's clock may differ from ours.
fn entry(client: &Client, answer: &Value) -> Result<Entry, CliError> {
    let token = Secret::new(client.text(answer, "token")?);
    let ttl = answer.get("ttl").and_then(Value::as_u64).ok_or_else(|| client.unexpected("ttl"))?;
    let issued_at = now();
    let expires_at = (ttl > 0).then(|| issued_at.plus(ttl));
    let certificate_authority = client.trust().remembered();
    Ok(Entry { token, issued_at, expires_at, handed_out_at: issued_at, certificate_authority })
}

fn name_of(token: &Secret) -> Option<TokenName> {
    Bearer::try_from(token.expose()).ok().map(|bearer| bearer.name)
}

fn path_of(name: &TokenName) -> String {
    format!("/v3/tokens/{}", encoded(name.as_str()))
}

fn moment(text: &str) -> Option<UnixMillis> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok().map(UnixMillis)
}

/// How long the server may take to answer while kubectl waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is left of a session must be worth a token of its own.
const SHORTEST_MILLIS: u64 = 5 * 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    fn of(life: Option<u64>, handed_out_at: u64) -> Entry {
        Entry {
            token: Secret::new(""),
            issued_at: UnixMillis(HOUR),
            expires_at: life.map(|life| UnixMillis(HOUR + life)),
            handed_out_at: UnixMillis(handed_out_at),
            certificate_authority: None,
        }
    }

    #[test]
    fn a_token_is_renewed_before_its_end() {
        for (life, left, worth_of_it) in [
            (Some(100 * HOUR), 5 * HOUR, Worth::Spent),
            (Some(100 * HOUR), 5 * HOUR + 1, Worth::Good),
            (Some(10 * MINUTE), MINUTE, Worth::Spent),
            (Some(10 * MINUTE), MINUTE + 1, Worth::Good),
            (Some(MINUTE), MINUTE / 2, Worth::Spent),
            (Some(MINUTE), MINUTE / 2 + 1, Worth::Good),
        ] {
            let now = UnixMillis(HOUR + life.unwrap_or_default() - left);
            assert_eq!(worth(&of(life, 0), now, now), worth_of_it, "{life:?} {left}");
        }
        let far = UnixMillis(u64::MAX);
        assert_eq!(worth(&of(None, 0), far, far), Worth::Good);
    }

    #[test]
    fn a_second_call_within_a_minute_raises_doubts() {
        let started = 10 * HOUR;
        for (handed_out_at, now, worth_of_it) in [
            (started - MINUTE, started, Worth::Good),
            (started - MINUTE + 1, started, Worth::Doubtful),
            (started - 1, started, Worth::Doubtful),
            (started, started, Worth::Good),
            (started + 5, started + 5, Worth::Good),
            (started - MINUTE + 1, started + 5, Worth::Good),
            (started + HOUR, started + 5, Worth::Doubtful),
        ] {
            let entry = of(None, handed_out_at);
            assert_eq!(worth(&entry, UnixMillis(now), UnixMillis(started)), worth_of_it, "{handed_out_at}");
        }
    }
}
