//! What a new password ends besides the old one.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::secret::Secret;

/// The flag `--revoke`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct RevokeOptions {
    /// End the user's sessions too, or delete all of the user's tokens; without it, every token stays good
    #[arg(long, value_enum, value_name = "WHAT")]
    revoke: Option<Revoke>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Revoke {
    /// What logins have made
    Sessions,
    /// Every token
    All,
}

impl RevokeOptions {
    /// The body of a request that sets a password, with the API's word for what it ends.
    pub(in crate::cli) fn body(&self, passwords: &[(&str, &Secret)]) -> Value {
        let mut fields: Map<String, Value> =
            passwords.iter().map(|(name, password)| ((*name).to_owned(), password.expose().into())).collect();
        let word = self.revoke.map(|revoke| match revoke {
            Revoke::Sessions => "sessions",
            Revoke::All => "all",
        });
        fields.extend(word.map(|word| ("revokeTokens".to_owned(), word.into())));
        Value::Object(fields)
    }

    /// What has ended, for whoever asked.
    pub(in crate::cli) fn outcome(&self) -> &'static str {
        match self.revoke {
            None => "tokens stay good",
            Some(Revoke::Sessions) => "sessions have ended, other tokens stay good",
            Some(Revoke::All) => "all tokens were deleted, sessions with them",
        }
    }
}
