//! How far things are, on standard error: redrawn on a terminal, else a line now and then.

use std::{
    cell::Cell,
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(1);
/// Parts of a bar.
const WHOLE: u64 = 1000;

/// The progress of one command.
pub struct Progress {
    bar: Option<ProgressBar>,
    said: Cell<Instant>,
}

impl Progress {
    /// Says what is being done before anything can be measured.
    #[must_use]
    pub fn new(beginning: &str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(WHOLE);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:20} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let progress = Self {
            bar,
            said: Cell::new(Instant::now()),
        };
        progress.say(beginning);
        progress
    }

    /// Says that something new has begun.
    pub fn say(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            bar.tick();
        } else {
            crate::print::tell(format_args!("{what}"));
            self.said.set(Instant::now());
        }
    }

    /// Shows that `done` of `whole` is done.
    pub fn show(&self, done: u64, whole: u64, what: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done.saturating_mul(WHOLE) / whole.max(1));
            bar.set_message(what());
            bar.tick();
        } else if self.said.get().elapsed() >= LINE {
            crate::print::tell(format_args!("{}", what()));
            self.said.set(Instant::now());
        }
    }
}

impl Drop for Progress {
    /// Leaves the terminal to what is printed next.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
