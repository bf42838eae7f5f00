//! Other programs: run with their output as progress, their whole output kept, their failure explained, and ended when
//! they take too long.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::progress::{Progress, seconds};

/// How many lines of a failed program's output an error shows.
const TAIL: usize = 40;
/// How long a program may take: five times the longest step of the gate on a machine that does other things as well.
const LIMIT: Duration = Duration::from_mins(30);
/// How long one may take that is meant to run for hours.
pub(crate) const HOURS: Duration = Duration::from_hours(6);

/// What a program printed and how it ended.
pub(crate) struct Finished {
    /// Standard output alone.
    pub(crate) stdout: String,
    /// Standard error alone.
    pub(crate) stderr: String,
    /// Both streams, line by line as they came.
    pub(crate) text: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it was at when it was ended, because it took too long.
    pub(crate) timed_out: Option<String>,
}

impl Finished {
    /// The end of the output, which mostly holds the reason.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

/// Runs a program to its end, or until it has taken far too long; its lines are the progress's news.
pub(crate) fn watch(command: &mut Command, progress: &Progress) -> Result<Finished> {
    watch_within(LIMIT, command, progress)
}

/// As [`watch`], for a program that may take as long as `limit`. One that takes longer is ended, with all that it started.
pub(crate) fn watch_within(limit: Duration, command: &mut Command, progress: &Progress) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("{name} was started without its pipes");
    };
    let (sender, lines) = channel();
    let mut finished = Finished {
        stdout: String::new(),
        stderr: String::new(),
        text: String::new(),
        status: ExitStatus::default(),
        timed_out: None,
    };
    let deadline = Instant::now() + limit;
    thread::scope(|scope| {
        let errors = sender.clone();
        scope.spawn(move || forward(out, true, &sender));
        scope.spawn(move || forward(err, false, &errors));
        loop {
            let left = match finished.timed_out {
                None => deadline.saturating_duration_since(Instant::now()),
                // It is dead; its pipes close when those that it started are, too.
                Some(_) => Duration::MAX,
            };
            let (is_output, line) = match lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let at = running(&finished.text);
                    finished.timed_out = Some(format!("{at}: not done after {}", seconds(limit)));
                    kill(child.id());
                    continue;
                }
            };
            let own = if is_output {
                &mut finished.stdout
            } else {
                &mut finished.stderr
            };
            own.push_str(&line);
            own.push('\n');
            // cargo's messages to programs; people have its other stream.
            if !line.starts_with(r#"{"reason":"#) {
                progress.news(&line);
                finished.text.push_str(&line);
                finished.text.push('\n');
            }
        }
    });
    finished.status = child
        .wait()
        .with_context(|| format!("{name} cannot be waited for"))?;
    Ok(finished)
}

/// What a program was at, by what it had printed: the test program that cargo started last, and the tests of it that
/// libtest calls slow and that have not ended; for another program its last line.
fn running(text: &str) -> String {
    let program = text
        .lines()
        .rfind(|line| line.trim_start().starts_with("Running "));
    let Some(program) = program else {
        return format!("after `{}`", text.lines().last().unwrap_or_default().trim());
    };
    let slow = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("test ")?
                .strip_suffix(" has been running for over 60 seconds")
        })
        .filter(|test| {
            !text
                .lines()
                .any(|line| line.starts_with(&format!("test {test} ... ")))
        });
    let slow: Vec<&str> = slow.collect();
    let tests = if slow.is_empty() {
        "no slow test".to_owned()
    } else {
        slow.join(", ")
    };
    format!("{}: {tests}", program.trim())
}

/// Ends a process and all that it has started.
fn kill(process: u32) {
    let mut doomed = vec![process];
    let parents: Vec<(u32, u32)> = processes();
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    let doomed = doomed.iter().map(u32::to_string);
    // One that has just ended by itself is none the worse for it.
    let _ = Command::new("sh")
        .args(["-c", "kill -KILL \"$@\" 2>/dev/null", "kill"])
        .args(doomed)
        .status();
}

/// Each process with the one that started it (`/proc/PID/stat`, fields 1 and 4; `proc_pid_stat(5)`).
fn processes() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The second field is a name in parentheses, which may have anything in it.
            let (_, rest) = stat.rsplit_once(") ")?;
            Some((id, rest.split(' ').nth(1)?.parse().ok()?))
        })
        .collect()
}

fn forward(stream: impl Read, is_output: bool, to: &Sender<(bool, String)>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if to.send((is_output, text)).is_err() {
            return;
        }
        line.clear();
    }
}

/// Runs a program that has to succeed.
pub(crate) fn succeed(command: &mut Command, progress: &Progress) -> Result<Finished> {
    let finished = watch(command, progress)?;
    if finished.status.success() && finished.timed_out.is_none() {
        return Ok(finished);
    }
    let late = finished.timed_out.as_deref().unwrap_or_default();
    bail!(
        "`{}` failed ({}) {late}:\n{}",
        line(command),
        finished.status,
        finished.tail()
    )
}

/// A command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted() {
        let mut command = Command::new("cargo");
        command.args(["xtask", "a b", "", "it's"]);
        assert_eq!(line(&command), r"cargo xtask 'a b' '' 'it'\''s'");
    }

    /// The one who sleeps is not the program that was started, and holds its pipes.
    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let progress = Progress::begin("a test");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo '     Running tests/slow.rs (target/slow)'; echo 'test a ... ok'; sleep 600; true",
        ]);
        let started = Instant::now();
        let finished = watch_within(Duration::from_millis(300), &mut command, &progress).unwrap();
        assert!(started.elapsed() < Duration::from_mins(1), "it was waited for");
        let late = finished.timed_out.as_deref().unwrap();
        assert!(late.contains("tests/slow.rs") && late.contains("0.3 s"), "{late}");
        assert!(!finished.status.success());
        assert_eq!(finished.stdout.lines().last(), Some("test a ... ok"));
    }

    #[test]
    fn the_test_that_hangs_is_named() {
        let text = "     Running unittests src/lib.rs (target/a)\ntest quick ... ok\n     Running tests/lab.rs (target/b)\n\
                    test slow has been running for over 60 seconds\ntest hangs has been running for over 60 seconds\n\
                    test slow ... ok\n";
        assert_eq!(running(text), "Running tests/lab.rs (target/b): hangs");
        assert_eq!(running("a\n point 17 \n"), "after `point 17`");
    }

    #[test]
    fn a_failure_shows_the_output_and_the_status() {
        let progress = Progress::begin("a test");
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let error = succeed(&mut command, &progress).err().unwrap().to_string();
        assert!(
            error.contains("out") && error.contains("err") && error.contains('3'),
            "{error}"
        );
        let finished = watch(&mut command, &progress).unwrap();
        assert_eq!((&finished.stdout[..], &finished.stderr[..]), ("out\n", "err\n"));
    }
}
