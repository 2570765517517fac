//! The command line: one file a command. `serve` runs the server; all others but `check-config` and `version` are
//! clients of its API and can do nothing that the API would refuse.
//!
//! Results go to standard output, everything else to standard error. No secret is taken as an argument, because every
//! user of a machine can read the arguments of its processes.

mod check_config;
mod client;
mod config_flags;
mod error;
mod kubeconfig;
mod login;
mod logout;
mod output;
mod password;
mod private_file;
mod profile;
mod serve;
mod table;
mod token;
mod trust;
mod user;
mod version;
mod whoami;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;

/// A token authority and authenticating reverse proxy for the Kubernetes API
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    #[command(after_help = serve::EXAMPLES)]
    Serve(config_flags::ConfigFlags),
    /// Print the configuration that `serve` would run with, or everything that is wrong with it
    #[command(after_help = check_config::EXAMPLES)]
    CheckConfig(config_flags::ConfigFlags),
    /// Log in to a server with a password and remember the session
    #[command(after_help = login::EXAMPLES)]
    Login(login::Login),
    /// End the session
    Logout(logout::Logout),
    /// Show who is logged in
    Whoami(whoami::Whoami),
    /// Manage users
    User(user::User),
    /// Manage your tokens
    Token(token::Token),
    /// Print a kubeconfig with a new token in it
    #[command(after_help = kubeconfig::EXAMPLES)]
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Print the version
    Version,
}

/// Runs the command that the arguments name and says how the process ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // Nobody is left to tell if the terminal is gone.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { USAGE } else { SUCCESS });
        }
    };
    match cli.command.run() {
        Ok(()) => ExitCode::from(SUCCESS),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(if matches!(error, CliError::Usage(_)) { USAGE } else { FAILURE })
        }
    }
}

impl Command {
    fn run(self) -> Result<(), CliError> {
        match self {
            Self::Serve(flags) => serve::run(&flags),
            Self::CheckConfig(flags) => check_config::run(&flags),
            Self::Login(login) => login.run(),
            Self::Logout(logout) => logout.run(),
            Self::Whoami(whoami) => whoami.run(),
            Self::User(user) => user.run(),
            Self::Token(token) => token.run(),
            Self::Kubeconfig(kubeconfig) => kubeconfig.run(),
            Self::Version => version::run(),
        }
    }
}

const SUCCESS: u8 = 0;

/// The command was understood and failed.
const FAILURE: u8 = 1;

/// The command was not understood.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  portcullis serve                               run a server for the current kubeconfig context
  portcullis login https://gate.example.org      log in; asks for name and password
  portcullis token create --ttl 30d              print a new token
  portcullis kubeconfig --output-file gate.yaml  write a kubeconfig that uses the server";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_argument_takes_a_secret() {
        fn walk(command: &clap::Command, found: &mut Vec<String>) {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let name = argument.get_id().as_str();
                if ["password", "token", "secret", "bearer"].iter().any(|word| name.contains(word)) {
                    found.push(format!("{} {name}", command.get_name()));
                }
            }
            command.get_subcommands().for_each(|child| walk(child, found));
        }
        let mut found = Vec::new();
        walk(&Cli::command(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
