//! How far something is that takes its time: a bar on a terminal, lines elsewhere.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;

/// Shows how far a piece of work is, on standard error. What is shown of a bar goes with it.
#[derive(Debug)]
pub(super) struct Progress {
    form: Form,
    step: String,
}

/// How much of how much; a total of 0 is not known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Amount {
    Items(u64, u64),
    Bytes(u64, u64),
}

#[derive(Debug)]
enum Form {
    Bar(ProgressBar),
    /// When the last line was written.
    Lines(Instant),
}

impl Progress {
    pub(super) fn start() -> Self {
        let form = if io::stderr().is_terminal() { Form::Bar(bar()) } else { Form::Lines(Instant::now()) };
        Self { form, step: String::new() }
    }

    /// So much of this step is done.
    pub(super) fn at(&mut self, step: &str, amount: Amount) {
        let is_new = self.step != step;
        step.clone_into(&mut self.step);
        match &mut self.form {
            Form::Bar(bar) => {
                let (done, total) = amount.parts();
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(format!("{step} {amount}"));
            }
            Form::Lines(last) if is_new || last.elapsed() >= BETWEEN_LINES => {
                *last = Instant::now();
                output::remark(format!("{step} {amount}").trim_end());
            }
            Form::Lines(_) => {}
        }
    }
}

impl Amount {
    fn parts(self) -> (u64, u64) {
        match self {
            Self::Items(done, total) | Self::Bytes(done, total) => (done, total),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Items(_, 0) | Self::Bytes(_, 0) => Ok(()),
            Self::Items(done, total) => write!(f, "{} of {}", HumanCount(done), HumanCount(total)),
            Self::Bytes(done, total) => write!(f, "{} of {}", BinaryBytes(done), BinaryBytes(total)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE);
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

const TEMPLATE: &str = "{msg:32} {wide_bar} {elapsed}";

/// In a log, more lines than this are noise.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_told_only_if_it_is_known() {
        assert_eq!(Amount::Items(50_000, 100_000).to_string(), "50,000 of 100,000");
        assert_eq!(Amount::Bytes(1 << 20, 3 << 20).to_string(), "1.00 MiB of 3.00 MiB");
        assert_eq!(Amount::Items(0, 0).to_string(), "");
    }

    #[test]
    fn the_form_of_the_bar_can_be_drawn() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
