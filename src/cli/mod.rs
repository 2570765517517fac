//! The command line: one file a command. `serve` runs the server, and `backup` and `restore` work on its store; what else
//! has to do with a server is a client of its API and can do nothing that the API would refuse.
//!
//! Results go to standard output, everything else to standard error. No secret is taken as an argument, because every
//! user of a machine can read the arguments of its processes.

mod audit;
mod backup;
mod change_password;
mod check_config;
mod client;
mod cluster;
mod config_flags;
mod confirm;
mod credential;
mod error;
mod feature;
mod kubeconfig;
mod listing;
mod login;
mod logout;
mod moment;
mod output;
mod password;
mod private_file;
mod profile;
mod progress;
mod query;
mod run;
mod serve;
mod setting;
mod shell;
mod table;
mod token;
mod trust;
mod user;
mod version;
mod whoami;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    /// Copy the server's store to a file, on the server's machine, while it runs
    #[command(after_help = backup::BACKUP_EXAMPLES)]
    Backup(backup::Backup),
    /// Make a backup the server's store again
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(backup::Restore),
    /// Log in to a server with a password and remember the session
    #[command(after_help = login::EXAMPLES)]
    Login(login::Login),
    /// End the session
    Logout(logout::Logout),
    /// Show who is logged in
    Whoami(whoami::Whoami),
    /// Change your own password
    #[command(after_help = change_password::EXAMPLES)]
    ChangePassword(change_password::ChangePassword),
    /// Manage users
    User(user::User),
    /// Manage tokens
    Token(token::Token),
    /// Manage the clusters behind the server
    Cluster(cluster::Cluster),
    /// Show and change what the server is set to
    Setting(setting::Setting),
    /// Show and switch on features of the server
    Feature(feature::Feature),
    /// Show who changed what, for administrators
    Audit(audit::Audit),
    /// Print a kubeconfig with a context for each of your clusters
    #[command(after_help = kubeconfig::EXAMPLES)]
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Hand kubectl a short-lived token, as its credential plugin
    #[command(after_help = credential::EXAMPLES)]
    Credential(credential::Credential),
    /// Run a command with a token of its own, which goes when the command ends
    #[command(after_help = run::EXAMPLES)]
    Run(run::Run),
    /// Print a script that completes commands in a shell
    #[command(after_help = shell::COMPLETION_EXAMPLES)]
    Completion(shell::Completion),
    /// Print the manual pages
    #[command(after_help = shell::MAN_EXAMPLES)]
    Man(shell::Man),
    /// Print the version
    Version,
}

/// Runs the command that the arguments name and says how the process ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let matches = program(arguments.first()).try_get_matches_from(arguments);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(usage) => {
            // Nobody is left to tell if the terminal is gone.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { USAGE } else { SUCCESS });
        }
    };
    match cli.command.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(if matches!(error, CliError::Usage(_)) { USAGE } else { FAILURE })
        }
    }
}

/// The commands, in the words of the one who calls us: kubectl runs `kubectl-portcullis` for `kubectl portcullis`.
fn program(name: Option<&OsString>) -> clap::Command {
    let is_plugin = name.is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == PLUGIN));
    if is_plugin { as_plugin(Cli::command()).bin_name("kubectl portcullis") } else { Cli::command() }
}

fn as_plugin(command: clap::Command) -> clap::Command {
    let help = command.get_after_help().map(ToString::to_string);
    let command = command.mut_subcommands(as_plugin);
    match help {
        Some(help) => command.after_help(help.replace("portcullis ", "kubectl portcullis ")),
        None => command,
    }
}

impl Command {
    /// The exit code, unless it failed.
    fn run(self) -> Result<u8, CliError> {
        match self {
            Self::Serve(flags) => serve::run(&flags),
            Self::CheckConfig(flags) => check_config::run(&flags),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Login(login) => login.run(),
            Self::Logout(logout) => logout.run(),
            Self::Whoami(whoami) => whoami.run(),
            Self::ChangePassword(password) => password.run(),
            Self::User(user) => user.run(),
            Self::Token(token) => token.run(),
            Self::Cluster(cluster) => cluster.run(),
            Self::Setting(setting) => setting.run(),
            Self::Feature(feature) => feature.run(),
            Self::Audit(audit) => audit.run(),
            Self::Kubeconfig(kubeconfig) => kubeconfig.run(),
            Self::Credential(credential) => credential.run(),
            Self::Run(run) => return run.run(),
            Self::Completion(completion) => completion.run(Cli::command()),
            Self::Man(man) => man.run(Cli::command()),
            Self::Version => version::run(),
        }
        .map(|()| SUCCESS)
    }
}

/// The name under which kubectl finds us.
const PLUGIN: &str = "kubectl-portcullis";

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
    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn kubectl_users_are_told_what_they_have_to_type() {
        let help = |name: &str| {
            let mut command = program(Some(&OsString::from(name)));
            command.build();
            let token = command.find_subcommand_mut("token").unwrap();
            token.render_help().to_string()
        };
        let plugin = help("/usr/local/bin/kubectl-portcullis");
        assert!(plugin.contains("Usage: kubectl portcullis token"), "{plugin}");
        assert!(plugin.contains("  kubectl portcullis token list --all"), "{plugin}");
        let own = help("portcullis");
        assert!(own.contains("Usage: portcullis token") && !own.contains("kubectl portcullis"), "{own}");
    }

    #[test]
    fn no_argument_takes_a_secret() {
        fn walk(command: &clap::Command, found: &mut Vec<String>) {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let name = argument.get_id().as_str();
                // The name of a file is none.
                let is_file = name.ends_with("_file");
                if !is_file
                    && ["password", "token", "secret", "bearer"].iter().any(|word| name.contains(word))
                {
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
