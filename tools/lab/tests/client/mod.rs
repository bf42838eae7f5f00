//! The [client](rundown_lab::client) for the tests that boot the lab: what goes wrong is a panic that says what the lab said.
//!
//! The artefacts are those of `cargo xtask lab`, in the folder that `RUNDOWN_LAB_DIR` names. Without them a test fails: a test that is skipped proves nothing.

#![allow(dead_code, reason = "each of the two test programs uses a part of it")]

use rundown_lab::client::{Client, wait};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

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
    client: Client,
    errors: Option<JoinHandle<String>>,
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
        let mut client = Client::spawn(command.stderr(Stdio::piped()), PATIENCE)
            .expect("the program under test was built by cargo");
        let mut errors = client.child().stderr.take().expect("it is a pipe");
        let errors = thread::spawn(move || {
            let mut text = String::new();
            // What can be read is shown; a broken pipe ends it.
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self {
            client,
            errors: Some(errors),
        }
    }

    /// Starts the command and waits for its ready line.
    pub(crate) fn ready(command: &mut Command) -> Self {
        Self::spawn(command).until_ready()
    }

    /// Waits for the ready line.
    pub(crate) fn until_ready(mut self) -> Self {
        match self.client.until_ready() {
            Ok(()) => self,
            Err(gone) => panic!("no ready line, {gone:?}: {:?}", self.end()),
        }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.client.child()
    }

    /// Sends a request without waiting; its id.
    pub(crate) fn send(&mut self, request: &str) -> u32 {
        self.client.send(request)
    }

    /// The answer to a request: its NTSTATUS and what it carries.
    pub(crate) fn answer(&mut self, id: u32) -> (u32, String) {
        self.client.answer(id).unwrap_or_else(|gone| {
            // Whoever asks has given up: the end must come.
            let _ = self.child().kill();
            panic!("request {id} is not answered, {gone:?}: {:?}", self.end())
        })
    }

    /// Waits until the request is answered, the machine is dead, or the time is up.
    pub(crate) fn settle(&mut self, id: u32, limit: Duration) {
        self.client.settle(id, limit);
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

    /// Closes standard input and waits for the end.
    pub(crate) fn end(&mut self) -> Ended {
        self.client.hang_up();
        self.leave()
    }

    /// Waits for the end, which comes by itself. A lab that takes longer than [`PATIENCE`] is killed, and has no exit code then.
    pub(crate) fn leave(&mut self) -> Ended {
        let (status, lines) = self.client.leave().expect("it is our child");
        // Its streams end with it: `rundown-lab` takes its machine along.
        let errors = self
            .errors
            .take()
            .map(|thread| thread.join().expect("the reader does not panic"));
        Ended {
            code: status.code(),
            lines,
            errors: errors.unwrap_or_default(),
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
    let status = wait(&mut child, PATIENCE).expect("it is our child");
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
