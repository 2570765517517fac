//! Passwords come from the terminal without echo, or from standard input; never from an argument.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use super::error::CliError;
use crate::secret::Secret;

/// Where a password comes from.
#[derive(Debug, Clone, Args)]
pub(super) struct PasswordOptions {
    /// Read the password from the first line of standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordOptions {
    /// A password that exists.
    pub(super) fn current(&self, user: &str) -> Result<Secret, CliError> {
        if self.password_stdin { read_line() } else { ask(&format!("Password of {user}: ")) }
    }

    /// A password to be set: asked for twice, since what is typed can't be seen.
    pub(super) fn new_password(&self, user: &str) -> Result<Secret, CliError> {
        if self.password_stdin { read_line() } else { ask_new(user) }
    }

    /// The password that holds and the one to be set: from standard input, the first line and the second.
    pub(super) fn old_and_new(&self, user: &str) -> Result<(Secret, Secret), CliError> {
        if self.password_stdin {
            let mut input = io::stdin().lock();
            return Ok((first_line(&mut input)?, first_line(&mut input)?));
        }
        Ok((ask(&format!("Current password of {user}: "))?, ask_new(user)?))
    }
}

/// Asks for a name that was not given; shows what is typed.
pub(super) fn ask_username() -> Result<String, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask for the name: pass --username NAME".to_owned(),
        ));
    }
    let mut stderr = io::stderr();
    stderr.write_all(b"Username: ").and_then(|()| stderr.flush()).map_err(CliError::Terminal)?;
    first_line(io::stdin().lock()).map(|line| line.expose().to_owned())
}

fn ask_new(user: &str) -> Result<Secret, CliError> {
    let password = ask(&format!("New password of {user}: "))?;
    if ask("Once more: ")?.expose() != password.expose() {
        return Err(CliError::Usage("the passwords differ".to_owned()));
    }
    Ok(password)
}

fn ask(prompt: &str) -> Result<Secret, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask for the password: use --password-stdin".to_owned(),
        ));
    }
    let password = rpassword::prompt_password(prompt).map(Secret::new).map_err(CliError::Terminal)?;
    if password.expose().is_empty() {
        return Err(CliError::Usage("the password is empty".to_owned()));
    }
    Ok(password)
}

fn read_line() -> Result<Secret, CliError> {
    first_line(io::stdin().lock())
}

/// The first line without its end. Blanks stay: they may be part of a password.
fn first_line(input: impl BufRead) -> Result<Secret, CliError> {
    let mut line = String::new();
    input.take(MAX_LINE_BYTES).read_line(&mut line).map_err(CliError::Terminal)?;
    let line = Secret::new(line);
    let text = line.expose().strip_suffix('\n').unwrap_or(line.expose());
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(CliError::Usage("standard input has no password, or an empty line for one".to_owned()));
    }
    Ok(Secret::new(text))
}

const MAX_LINE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_with_its_blanks() {
        for (input, password) in [("a\n", "a"), ("a", "a"), (" a b \r\nnext\n", " a b ")] {
            assert_eq!(first_line(input.as_bytes()).unwrap().expose(), password);
        }
        for input in ["", "\n", "\r\n"] {
            assert!(matches!(first_line(input.as_bytes()), Err(CliError::Usage(_))), "{input:?}");
        }
    }
}
