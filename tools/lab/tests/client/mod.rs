//! A client of `rundown-lab` for the tests that boot the lab: it writes lines and waits for their answers.
//!
//! The artefacts are those of `cargo xtask lab`, in the folder that `RUNDOWN_LAB_DIR` names. Without them a test fails: a test that is skipped proves nothing.

#![allow(dead_code, reason = "each of the two test programs uses a part of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than anything here takes, also on a machine with other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A file of the lab's folder.
pub(crate) fn artefact(name: &str) -> PathBuf {
    let folder = std::env::var_os("RUNDOWN_LAB_DIR").expect(
        "RUNDOWN_LAB_DIR must name the folder with the lab's artefacts (target/lab after `cargo xtask lab`)",
    );
    let path = PathBuf::from(folder).join(name);
    assert!(
        path.exists(),
        "{} does not exist: build it with `cargo xtask lab`",
        path.display()
    );
    path
}

/// The program under test, with `serve` and the lab's kernel.
pub(crate) fn serve() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
    command
        .arg("serve")
        .arg("--kernel")
        .arg(artefact("rundown-lab-kernel"));
    command
}

/// A running lab.
pub(crate) struct Lab {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    answers: HashMap<u32, (u32, String)>,
    others: Vec<String>,
    next: u32,
}

/// What is left of a lab that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Lines of standard output that answered nothing.
    pub(crate) lines: Vec<String>,
    /// Standard error.
    pub(crate) errors: String,
}

impl Lab {
    /// Starts the command.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program under test was built by cargo");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut errors = child.stderr.take().expect("it is a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            // What can be read is shown; a broken pipe ends it.
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self {
            child,
            input,
            lines,
            errors: Some(errors),
            answers: HashMap::new(),
            others: Vec::new(),
            next: 1,
        }
    }

    /// Starts the command and waits for its ready line.
    pub(crate) fn ready(command: &mut Command) -> Self {
        Self::spawn(command).until_ready()
    }

    /// Waits for the ready line.
    pub(crate) fn until_ready(mut self) -> Self {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) if line.starts_with("ready 1 cpus=") => self,
            other => {
                self.others.extend(other.ok());
                panic!("no ready line: {:?}", self.end())
            }
        }
    }

    /// Sends a request without waiting; its id.
    pub(crate) fn send(&mut self, request: &str) -> u32 {
        let id = self.next;
        self.next += 1;
        // A lab that has died says so where the answer is waited for.
        let _ = writeln!(
            self.input.as_mut().expect("the client still talks"),
            "{id} {request}"
        );
        id
    }

    /// The answer to a request: its NTSTATUS and what it carries.
    pub(crate) fn answer(&mut self, id: u32) -> (u32, String) {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.sort(line),
                Err(error) => panic!("request {id} is not answered, {error}: {:?}", self.take().end()),
            }
        }
    }

    /// Waits until the request is answered, the machine is dead, or the time is up: a quit that comes earlier may overtake the request.
    pub(crate) fn settle(&mut self, id: u32, limit: Duration) {
        while !self.answers.contains_key(&id) {
            match self.lines.recv_timeout(limit) {
                Ok(line) => self.sort(line),
                Err(_) => return,
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, request: &str) -> (u32, String) {
        let id = self.send(request);
        self.answer(id)
    }

    /// The handle of a successful open.
    pub(crate) fn open(&mut self, request: &str) -> String {
        let (status, handle) = self.ask(request);
        assert_eq!(status, 0, "{request}");
        handle
    }

    fn sort(&mut self, line: String) {
        let mut words = line.splitn(3, ' ');
        let parsed = (|| {
            let id = words.next()?.parse().ok()?;
            let status = u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
            Some((id, (status, words.next()?.to_owned())))
        })();
        match parsed {
            Some((id, answer)) => drop(self.answers.insert(id, answer)),
            None => self.others.push(line),
        }
    }

    fn take(&mut self) -> &mut Self {
        // Whoever asks has given up: the end must come.
        let _ = self.child.kill();
        self
    }

    /// Closes standard input and waits for the end.
    pub(crate) fn end(&mut self) -> Ended {
        self.input = None;
        self.leave()
    }

    /// Waits for the end, which comes by itself. A lab that takes longer than [`PATIENCE`] is killed, and has no exit code then.
    pub(crate) fn leave(&mut self) -> Ended {
        let status = wait(&mut self.child);
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.sort(line);
        }
        // Its streams end with it: `rundown-lab` takes its machine along.
        let errors = self
            .errors
            .take()
            .map(|thread| thread.join().expect("the reader does not panic"));
        Ended {
            code: status.code(),
            lines: std::mem::take(&mut self.others),
            errors: errors.unwrap_or_default(),
        }
    }
}

/// Waits for a process, and kills it if it takes longer than [`PATIENCE`].
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().expect("it is our child") {
            Some(status) => return status,
            None if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            None => {
                // It may end at this very moment, which is as good.
                let _ = child.kill();
                return child.wait().expect("it is our child");
            }
        }
    }
}

/// Runs a command to its end, with [`wait`]'s limit: exit code, and standard output.
pub(crate) fn output(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program under test was built by cargo");
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        // What can be read is shown; a broken pipe ends it.
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    });
    let status = wait(&mut child);
    let bytes = reader.join().expect("the reader does not panic");
    (status.code(), String::from_utf8_lossy(&bytes).into_owned())
}

/// Ids of processes on whose command line `word` stands.
pub(crate) fn processes_with(word: &str) -> Vec<u32> {
    let folders = std::fs::read_dir("/proc").expect("the lab runs on Linux");
    folders
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&id: &u32| id != std::process::id())
        .filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(word)
        })
        .collect()
}
