//! A token that lives as long as somebody renews its lease.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::client::{Client, encoded};
use crate::cli::error::CliError;
use crate::cli::output;
use crate::secret::Secret;

/// A token of ours and the right to end it.
#[derive(Debug)]
pub(super) struct Lease {
    client: Client,
    name: String,
    token: Secret,
}

impl Lease {
    /// Makes a token.
    pub(super) fn take(client: &Client, kind: &str, description: &str) -> Result<Self, CliError> {
        let client = client.clone().within(PATIENCE);
        let body = json!({ "kind": kind, "lease": true, "description": description });
        let answer = client.post("/v3/tokens", Some(&body))?;
        let name = client.text(&answer, "id")?;
        let token = Secret::new(client.text(&answer, "token")?);
        let lease = Self { client, name, token };
        if answer.get("leaseUntil").is_none_or(Value::is_null) {
            // Nothing would remove it if we were killed.
            lease.end();
            return Err(lease.client.unexpected("leaseUntil"));
        }
        Ok(lease)
    }

    /// The bearer.
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    /// Renews it until the token is gone.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut told = false;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let lease = Arc::clone(&self);
            let renewed = tokio::task::spawn_blocking(move || lease.renew()).await;
            match renewed {
                Ok(Ok(())) => told = false,
                Ok(Err(CliError::Refused { status: 404 | 422, .. })) => {
                    output::remark(&format!(
                        "The token {} is gone: the command is refused from now on.",
                        self.name
                    ));
                    return;
                }
                Ok(Err(error)) if !told => {
                    told = true;
                    output::complain(&error);
                    output::remark(&format!(
                        "The token {} could not be renewed and ends a minute after it was last.",
                        self.name
                    ));
                }
                Ok(Err(_)) => {}
                // The runtime stops, and so do we.
                Err(_) => return,
            }
        }
    }

    /// Ends the token. If that can't be done, its lease does it, and whoever ran the command is told.
    pub(super) fn end(&self) {
        let mut attempt = self.client.delete(&self.path());
        for _ in 0..RETRIES {
            if !matches!(attempt, Err(CliError::Unreachable { .. })) {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
            attempt = self.client.delete(&self.path());
        }
        match attempt {
            Ok(()) | Err(CliError::Refused { status: 404, .. }) => {}
            Err(error) => {
                output::complain(&error);
                output::remark(&format!(
                    "The token {name} was not deleted. It ends with its lease, within a minute; to be sure, run \
                     `portcullis token delete {name}`.",
                    name = self.name
                ));
            }
        }
    }

    fn renew(&self) -> Result<(), CliError> {
        self.client.post(&format!("{}?action=renewLease", self.path()), Some(&json!({}))).map(drop)
    }

    fn path(&self) -> String {
        format!("/v3/tokens/{}", encoded(&self.name))
    }
}

/// A third of what the server waits for.
const INTERVAL: Duration = Duration::from_secs(20);

/// Two renewals can fail before the token does.
const PATIENCE: Duration = Duration::from_secs(10);

const RETRIES: u32 = 2;
