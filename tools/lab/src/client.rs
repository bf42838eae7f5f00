//! A client of `rundown-lab serve`, for programs of the lab's own: a child process and the lines to and from it.

use crate::pipe;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The machine is gone, or does not answer; what it said last, if anything.
#[derive(Debug)]
pub struct Gone(pub String);

/// An answer: its NTSTATUS and what it carries, as text.
pub type Answer = (u32, String);

/// A running lab; dropping it ends it.
#[derive(Debug)]
pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    answers: HashMap<u32, Answer>,
    next: u32,
    patience: Duration,
}

impl Client {
    /// Starts this program's `serve` with `words`, and waits for its ready line. An answer is waited for as long as `patience`.
    ///
    /// # Errors
    /// [`Gone`] if there is no ready line.
    ///
    /// # Panics
    /// Never: both pipes were asked for.
    pub fn start(words: &[String], patience: Duration) -> Result<Self, Gone> {
        let program = std::env::current_exe().map_err(|e| Gone(e.to_string()))?;
        let mut child = Command::new(program)
            .arg("serve")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Gone(format!("rundown-lab cannot be started again: {e}")))?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .expect("both were asked to be pipes");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let client = Self {
            child,
            input: Some(input),
            lines,
            answers: HashMap::new(),
            next: 1,
            patience,
        };
        match client.lines.recv_timeout(patience) {
            Ok(line) if line.starts_with("ready ") => Ok(client),
            Ok(line) => Err(Gone(line)),
            Err(_) => Err(Gone("it did not get ready".into())),
        }
    }

    /// Sends a request; its id.
    pub fn send(&mut self, request: &str) -> u32 {
        let id = self.next;
        self.next += 1;
        // A machine that is gone shows where the answer is waited for.
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{id} {request}");
        }
        id
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn answer(&mut self, id: u32) -> Result<Answer, Gone> {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            let line = self
                .lines
                .recv_timeout(self.patience)
                .map_err(|_| Gone(format!("request {id} is not answered")))?;
            let (id, answer) = pipe::answer(&line).ok_or(Gone(line))?;
            self.answers.insert(id, answer);
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn ask(&mut self, request: &str) -> Result<Answer, Gone> {
        let id = self.send(request);
        self.answer(id)
    }

    /// Says quit and waits for the end; whether the driver passed.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn quit(mut self) -> Result<bool, Gone> {
        self.ask("quit")?;
        let status = self.child.wait().map_err(|e| Gone(e.to_string()))?;
        Ok(status.success())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A healthy lab exits at the end of its input.
        self.input = None;
        // One whose machine has died is still printing its report; one that hangs is killed.
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while let Ok(None) = self.child.try_wait() {
            if std::time::Instant::now() > until {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
