//! Other programs: run with their output as progress, their whole output kept, their failure explained.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{Sender, channel},
    thread,
};

use anyhow::{Context, Result, bail};

use crate::progress::Progress;

/// How many lines of a failed program's output an error shows.
const TAIL: usize = 40;

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
}

impl Finished {
    /// The end of the output, which mostly holds the reason.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

/// Runs a program to its end; its lines are the progress's news.
pub(crate) fn watch(command: &mut Command, progress: &Progress) -> Result<Finished> {
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
    };
    thread::scope(|scope| {
        let errors = sender.clone();
        scope.spawn(move || forward(out, true, &sender));
        scope.spawn(move || forward(err, false, &errors));
        for (is_output, line) in lines {
            progress.news(&line);
            let own = if is_output {
                &mut finished.stdout
            } else {
                &mut finished.stderr
            };
            for text in [own, &mut finished.text] {
                text.push_str(&line);
                text.push('\n');
            }
        }
    });
    finished.status = child
        .wait()
        .with_context(|| format!("{name} cannot be waited for"))?;
    Ok(finished)
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
    if finished.status.success() {
        return Ok(finished);
    }
    bail!(
        "`{}` failed ({}):\n{}",
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

    #[cfg(unix)]
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
