//! The pipe's other end, for all that drive a machine from here: a child process and the lines to and from it.

use crate::pipe;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a lab may take to end when its input has: one whose machine has died prints its report meanwhile.
const END: Duration = Duration::from_secs(10);
/// How often an end is looked for.
const INTERVAL: Duration = Duration::from_millis(5);

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
    others: Vec<String>,
    next: u32,
    patience: Duration,
}

impl Client {
    /// Starts `command`, which is `rundown-lab serve` with its options. Nothing is waited for longer than `patience`.
    ///
    /// # Errors
    /// [`Gone`] if it cannot be started.
    ///
    /// # Panics
    /// Never: both pipes were asked for.
    pub fn spawn(command: &mut Command, patience: Duration) -> Result<Self, Gone> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Gone(format!("rundown-lab cannot be started: {e}")))?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .expect("both were asked to be pipes");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(io::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input: Some(input),
            lines,
            answers: HashMap::new(),
            others: Vec::new(),
            next: 1,
            patience,
        })
    }

    /// Waits for the ready line.
    ///
    /// # Errors
    /// [`Gone`] if there is none.
    pub fn until_ready(&mut self) -> Result<(), Gone> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) if line.starts_with(&format!("ready {} ", pipe::VERSION)) => Ok(()),
            Ok(line) => {
                self.others.push(line.clone());
                Err(Gone(line))
            }
            Err(_) => Err(Gone("it did not get ready".into())),
        }
    }

    /// [Spawns](Self::spawn) a lab and waits [until it is ready](Self::until_ready).
    ///
    /// # Errors
    /// As these.
    pub fn start(command: &mut Command, patience: Duration) -> Result<Self, Gone> {
        let mut client = Self::spawn(command, patience)?;
        client.until_ready()?;
        Ok(client)
    }

    /// The process.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.child
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
            let Ok(line) = self.lines.recv_timeout(self.patience) else {
                let last = self.others.last().cloned();
                return Err(Gone(last.unwrap_or(format!("request {id} is not answered"))));
            };
            self.sort(line);
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

    /// Whether the answer to a request is there already.
    pub fn is_answered(&mut self, id: u32) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            self.sort(line);
        }
        self.answers.contains_key(&id)
    }

    /// Waits until the request is answered, the machine is dead, or the time is up: a quit that comes earlier may overtake the request.
    pub fn settle(&mut self, id: u32, limit: Duration) {
        while !self.answers.contains_key(&id) {
            match self.lines.recv_timeout(limit) {
                Ok(line) => self.sort(line),
                Err(_) => return,
            }
        }
    }

    /// Says quit and waits for the end; whether the driver passed.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn quit(mut self) -> Result<bool, Gone> {
        self.ask("quit")?;
        let (status, _) = self.leave().map_err(|e| Gone(e.to_string()))?;
        Ok(status.success())
    }

    /// Closes its input, as a client's process does that ends.
    pub fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits for the end, which comes by itself: how it ended, and the lines that answered nothing. One that takes longer than
    /// the client's patience is killed.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub fn leave(&mut self) -> io::Result<(ExitStatus, Vec<String>)> {
        let status = wait(&mut self.child, self.patience)?;
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.sort(line);
        }
        Ok((status, std::mem::take(&mut self.others)))
    }

    fn sort(&mut self, line: String) {
        match pipe::answer(&line) {
            Some((id, answer)) => drop(self.answers.insert(id, answer)),
            None => self.others.push(line),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A healthy lab exits at the end of its input; one that hangs is killed.
        self.hang_up();
        let _ = wait(&mut self.child, END);
    }
}

/// Waits for a process, and kills it if it takes longer than `limit`.
///
/// # Errors
/// If it cannot be waited for.
pub fn wait(child: &mut Child, limit: Duration) -> io::Result<ExitStatus> {
    let until = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(status),
            None if Instant::now() < until => std::thread::sleep(INTERVAL),
            None => {
                // It may end at this very moment, which is as good.
                let _ = child.kill();
                return child.wait();
            }
        }
    }
}
