//! Questions before what can't be taken back.

use std::io::{self, BufRead as _, IsTerminal, Write as _};

use clap::Args;

use super::error::CliError;

/// The flag `--yes`.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfirmOptions {
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

impl ConfirmOptions {
    /// Goes on if whoever typed the command agrees. Where there is nobody to ask, only `--yes` is an answer.
    pub(super) fn confirm(&self, question: &str) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(CliError::Usage(format!(
                "there is no terminal to ask {question:?}: pass --yes to say so beforehand"
            )));
        }
        let mut stderr = io::stderr();
        let mut answer = String::new();
        write!(stderr, "{question} [y/N] ")
            .and_then(|()| stderr.flush())
            .and_then(|()| io::stdin().lock().read_line(&mut answer))
            .map_err(CliError::Terminal)?;
        let agreed = ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
        if agreed { Ok(()) } else { Err(CliError::Declined) }
    }
}
