//! How far something is that takes its time: a bar on a terminal, lines elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;

/// Shows how far a piece of work is, on standard error. What is shown of a bar goes with it.
#[derive(Debug)]
pub(super) struct Progress {
    form: Form,
    step: String,
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

    /// In this step, `done` of `total` units are done; a total of 0 is not known.
    pub(super) fn at(&mut self, step: &str, done: u64, total: u64) {
        let is_new = self.step != step;
        step.clone_into(&mut self.step);
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_message(step.to_owned());
                bar.set_length(total);
                bar.set_position(done);
            }
            Form::Lines(last) if is_new || last.elapsed() >= BETWEEN_LINES => {
                *last = Instant::now();
                output::remark(&line(step, done, total));
            }
            Form::Lines(_) => {}
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

fn line(step: &str, done: u64, total: u64) -> String {
    if total == 0 { format!("{step} …") } else { format!("{step}: {done} of {total}") }
}

const TEMPLATE: &str = "{msg:12} {wide_bar} {human_pos} of {human_len} {elapsed}";

/// In a log, more lines than this are noise.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_numbers_only_if_there_are_any() {
        assert_eq!(line("hashing", 5, 10), "hashing: 5 of 10");
        assert_eq!(line("vacuum", 0, 0), "vacuum …");
    }

    #[test]
    fn the_form_of_the_bar_can_be_drawn() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
