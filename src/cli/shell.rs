//! `portcullis completion` and `portcullis man`: what a shell and its user want to know of the commands.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::error::CliError;
use super::output;

/// Arguments of `completion`.
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// For which shell
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write a page for each command there, instead of all to standard output
    directory: Option<PathBuf>,
}

pub(super) const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(portcullis completion bash)
  portcullis completion zsh > \"${fpath[1]}/_portcullis\"
  portcullis completion fish > ~/.config/fish/completions/portcullis.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  portcullis man /usr/local/share/man/man1
  portcullis man | man -l -";

impl Completion {
    /// Prints the shell's script.
    pub(super) fn run(self, mut command: Command) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "portcullis", &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}

impl Man {
    /// Writes or prints the pages.
    pub(super) fn run(self, command: Command) -> Result<(), CliError> {
        if let Some(directory) = self.directory {
            std::fs::create_dir_all(&directory)
                .and_then(|()| clap_mangen::generate_to(command, &directory))
                .map_err(|error| CliError::File(directory.clone(), error))?;
            output::remark(&format!("The pages are in {}.", directory.display()));
            return Ok(());
        }
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        print(command, &mut pages)?;
        output::print(&String::from_utf8_lossy(&pages))
    }
}

/// A command's page, then those of its subcommands.
fn print(command: Command, pages: &mut Vec<u8>) -> Result<(), CliError> {
    let children: Vec<_> = command.get_subcommands().filter(|child| !child.is_hide_set()).cloned().collect();
    clap_mangen::Man::new(command).render(pages).map_err(CliError::Terminal)?;
    children.into_iter().try_for_each(|child| print(child, pages))
}
