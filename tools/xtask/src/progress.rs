//! What a user sees while waiting: a line per piece of work, on standard error, so that standard output belongs to results.
//!
//! On a terminal the line is redrawn with the time and the latest news; elsewhere it is printed at the beginning, every
//! fifteen seconds, and at the end.

use std::{
    cell::Cell,
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a log without a terminal hears that work goes on.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Terminals wrap a longer line, which spoils redrawing it.
const LONGEST_NEWS: usize = 70;

/// A piece of work that the user waits for.
pub(crate) struct Progress {
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
    told: Cell<Instant>,
}

impl Progress {
    /// Begins a piece of work, such as `building the driver`.
    pub(crate) fn begin(name: impl Into<String>) -> Self {
        Self::new(name.into(), stderr().is_terminal())
    }

    /// Begins a piece of work whose parts show their own progress: two that redraw one line would garble it.
    pub(crate) fn begin_group(name: impl Into<String>) -> Self {
        Self::new(name.into(), false)
    }

    /// Work of which something else tells.
    pub(crate) fn silent() -> Self {
        let now = Instant::now();
        Self {
            name: String::new(),
            bar: Some(ProgressBar::hidden()),
            started: now,
            told: Cell::new(now),
        }
    }

    fn new(name: String, redraws: bool) -> Self {
        let bar = redraws.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            rundown_streams::tell!("  .. {name}");
        }
        let now = Instant::now();
        Self {
            name,
            bar,
            started: now,
            told: Cell::new(now),
        }
    }

    /// Tells the latest news of the work.
    pub(crate) fn news(&self, news: &str) {
        let line: String = news.trim().chars().take(LONGEST_NEWS).collect();
        if let Some(bar) = &self.bar {
            bar.set_message(line);
        } else if self.told.get().elapsed() >= HEARTBEAT {
            self.told.set(Instant::now());
            rundown_streams::tell!(
                "  .. {} ({} s) {line}",
                self.name,
                self.started.elapsed().as_secs()
            );
        }
    }

    /// The work is done; `summary` may be empty.
    pub(crate) fn done(self, summary: &str) {
        self.end("ok", summary);
    }

    /// The work failed.
    pub(crate) fn failed(self, summary: &str) {
        self.end("FAILED", summary);
    }

    fn end(self, verdict: &str, summary: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let separator = if summary.is_empty() { "" } else { ": " };
        rundown_streams::tell!(
            "  {verdict} {}{separator}{summary} ({})",
            self.name,
            seconds(self.started.elapsed())
        );
    }
}

/// A duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn durations_for_people() {
        assert_eq!(super::seconds(Duration::from_millis(1530)), "1.5 s");
        assert_eq!(super::seconds(Duration::from_secs(125)), "2 min 5 s");
    }
}
