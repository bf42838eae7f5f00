//! The driver's suite: what its tests have in common.
//!
//! A [`Machine`] is a virtual machine of the lab with the real `rundown.sys` in it. Requests go over the documented pipe
//! (`docs/lab-pipe.md`), each on its own: one that pends keeps nothing back.

mod script;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use rundown_abi::{INTERFACE_GUID_TEXT, Refusal, Request};
use rundown_lab::{client::Client, pipe};
use serde_json::Value;
use tempfile::TempDir;
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use script::{Played, play};

/// `STATUS_SUCCESS`.
pub const SUCCESS: u32 = 0;
/// `STATUS_CANCELLED`.
pub const CANCELLED: u32 = 0xC000_0120;
/// `STATUS_INVALID_HANDLE`.
pub const INVALID_HANDLE: u32 = 0xC000_0008;

/// Longer than any answer takes, also on a machine with other things to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// A machine of the lab, and the line to it. Dropping it ends it.
pub struct Machine {
    client: Client,
    folder: TempDir,
}

/// An open handle to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u64);

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "its answer has to be looked at"]
pub struct Ticket(u32);

/// What the lab said in the end.
#[derive(Debug)]
pub struct Verdict(Value);

/// What the driver has at a moment, as the lab counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Pool blocks that it has not freed.
    pub blocks: u64,
    /// Threads that it has started and that have not ended.
    pub threads: u64,
}

impl Machine {
    /// Boots a machine with these options of `rundown-lab serve`, and waits until the device has started.
    ///
    /// # Panics
    /// When there is no lab, or the device does not start. A test that is skipped proves nothing.
    #[must_use]
    pub fn boot(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = serve();
        command.args(options);
        command.arg("--report").arg(folder.path().join("report.json"));
        let client = Client::start(&mut command, PATIENCE)
            .unwrap_or_else(|gone| panic!("the device did not start: {gone:?}; what the lab says is above"));
        Self { client, folder }
    }

    /// Opens the device for reading and writing, as an administrator.
    ///
    /// # Panics
    /// When the open is refused.
    pub fn open(&mut self) -> Handle {
        self.try_open("rw").expect("an administrator may open the device")
    }

    /// Opens the device with this access (and user), as the pipe has it.
    ///
    /// # Errors
    /// The NTSTATUS.
    pub fn try_open(&mut self, access: &str) -> Result<Handle, u32> {
        let ticket = self.say(&format!("open {INTERFACE_GUID_TEXT} {access}"));
        let (status, handle) = self.outcome(ticket);
        match handle.parse() {
            Ok(handle) if status == SUCCESS => Ok(Handle(handle)),
            _ => Err(status),
        }
    }

    /// Closes a handle; the NTSTATUS.
    pub fn close(&mut self, handle: Handle) -> u32 {
        let ticket = self.send_close(handle);
        self.outcome(ticket).0
    }

    /// As [`close`](Self::close), without waiting for the answer.
    pub fn send_close(&mut self, handle: Handle) -> Ticket {
        self.say(&format!("close {}", handle.0))
    }

    /// Sends a request without waiting for its answer.
    pub fn send_raw(&mut self, handle: Handle, code: u32, input: &[u8], capacity: usize) -> Ticket {
        let bytes = if input.is_empty() {
            "-".to_owned()
        } else {
            hex(input)
        };
        self.say(&format!("ioctl {} 0x{code:08x} {capacity} {bytes}", handle.0))
    }

    /// As [`send_raw`](Self::send_raw), with a request's structure, and room for its answer.
    pub fn send<A>(&mut self, handle: Handle, code: u32, request: &(impl IntoBytes + Immutable)) -> Ticket {
        self.send_raw(handle, code, request.as_bytes(), size_of::<A>())
    }

    /// Waits for the answer to a request: its bytes.
    ///
    /// # Errors
    /// The NTSTATUS.
    ///
    /// # Panics
    /// When the machine dies, or does not answer.
    pub fn answer_raw(&mut self, ticket: Ticket) -> Result<Vec<u8>, u32> {
        let (status, output) = self.outcome(ticket);
        if status == SUCCESS {
            Ok(unhex(&output))
        } else {
            Err(status)
        }
    }

    /// Waits for the answer to a request: its structure.
    ///
    /// # Errors
    /// The NTSTATUS.
    ///
    /// # Panics
    /// As [`answer_raw`](Self::answer_raw), and when the answer is no such structure.
    pub fn answer<A: FromBytes>(&mut self, ticket: Ticket) -> Result<A, u32> {
        let bytes = self.answer_raw(ticket)?;
        Ok(A::read_from_bytes(&bytes)
            .unwrap_or_else(|_| panic!("{} bytes are no such answer: {bytes:02x?}", bytes.len())))
    }

    /// Whether the answer to a request is there already.
    pub fn is_answered(&mut self, ticket: Ticket) -> bool {
        self.client.is_answered(ticket.0)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The driver's refusal.
    ///
    /// # Panics
    /// As [`answer`](Self::answer), and for an NTSTATUS that is no refusal of the driver's.
    pub fn ask<A: FromBytes>(
        &mut self,
        handle: Handle,
        code: u32,
        request: &(impl Request + IntoBytes),
    ) -> Result<A, Refusal> {
        let ticket = self.send::<A>(handle, code, request);
        self.answer(ticket).map_err(refusal)
    }

    /// As [`ask`](Self::ask), for a request whose answer has no bytes.
    ///
    /// # Errors
    /// The driver's refusal.
    ///
    /// # Panics
    /// As [`ask`](Self::ask).
    pub fn tell(
        &mut self,
        handle: Handle,
        code: u32,
        request: &(impl Request + IntoBytes),
    ) -> Result<(), Refusal> {
        self.ask::<[u8; 0]>(handle, code, request).map(|_| ())
    }

    /// Cancels a request; the NTSTATUS. The request gets an answer of its own.
    pub fn cancel(&mut self, ticket: Ticket) -> u32 {
        let cancel = self.say(&format!("cancel {}", ticket.0));
        self.outcome(cancel).0
    }

    /// Says something that has no answer of bytes; the NTSTATUS.
    pub fn command(&mut self, text: &str) -> u32 {
        let ticket = self.send_command(text);
        self.outcome(ticket).0
    }

    /// As [`command`](Self::command), without waiting for the answer.
    pub fn send_command(&mut self, text: &str) -> Ticket {
        self.say(text)
    }

    /// What the driver has at this moment.
    ///
    /// # Panics
    /// When the lab answers something else.
    pub fn held(&mut self) -> Held {
        let ticket = self.say("at 0 nothing");
        let (status, output) = self.outcome(ticket);
        let bytes = unhex(&output);
        // Creations, calls, live pool blocks, live threads.
        let number = |index: usize| {
            bytes
                .get(index * 8..)?
                .first_chunk()
                .map(|word| u64::from_le_bytes(*word))
        };
        match (status, number(2), number(3)) {
            (SUCCESS, Some(blocks), Some(threads)) => Held { blocks, threads },
            _ => panic!("\"{output}\" is not what was seen"),
        }
    }

    /// Quits, and returns the verdict.
    #[must_use]
    pub fn quit(mut self) -> Verdict {
        let ticket = self.say("quit");
        self.outcome(ticket);
        self.end()
    }

    /// The client's process dies.
    #[must_use]
    pub fn die(mut self) -> Verdict {
        self.end()
    }

    fn end(&mut self) -> Verdict {
        self.client.hang_up();
        let (status, _) = self.client.leave().expect("it is our child");
        Verdict::read(&self.folder.path().join("report.json"), status)
    }

    fn say(&mut self, text: &str) -> Ticket {
        Ticket(self.client.send(text))
    }

    fn outcome(&mut self, ticket: Ticket) -> (u32, String) {
        self.client
            .answer(ticket.0)
            .unwrap_or_else(|gone| panic!("request {}: {gone:?}; what the lab says is above", ticket.0))
    }
}

impl Verdict {
    fn read(report: &Path, status: ExitStatus) -> Self {
        let text = std::fs::read(report).unwrap_or_else(|error| panic!("no report ({error}), {status}"));
        Self(serde_json::from_slice(&text).expect("the report is JSON"))
    }

    /// That the driver passed: no bugcheck, nothing left behind.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_passed(&self) {
        assert!(
            self.0["passed"] == true && self.0["leaks"] == 0,
            "the driver did not pass: {:#}",
            self.0
        );
    }

    /// The longest stay of a processor at `DISPATCH_LEVEL` in the driver, microseconds, and where it began, of a machine in mode `counted`.
    #[must_use]
    pub fn dispatch_stay(&self) -> Option<(u64, String)> {
        let stay = &self.0["dispatch_stay"];
        Some((
            stay["microseconds"].as_u64()?,
            format!("{} {}:{}", stay["function"], stay["file"], stay["line"]),
        ))
    }

    /// One of the lab's counters, by its name in the report (docs/lab-pipe.md).
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.0["counters"][name].as_u64().expect("a counter")
    }

    /// How often the driver wrote an event for ETW.
    #[must_use]
    pub fn events(&self, provider: &str, event: &str) -> u64 {
        self.0["events"][provider][event].as_u64().unwrap_or(0)
    }
}

/// The driver's refusal behind an NTSTATUS.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn refusal(status: u32) -> Refusal {
    Refusal::from_status(status).unwrap_or_else(|| panic!("0x{status:08X} is no refusal of the driver's"))
}

/// The lab's program, told to serve the driver; on a Windows' own framework, if the variable `RUNDOWN_FRAMEWORK` names one (docs/your-windows.md).
fn serve() -> Command {
    let mut command = Command::new(artefact("rundown-lab"));
    command.args(["serve", "--allow", "rundown-wait"]);
    if let Some(framework) = env::var_os("RUNDOWN_FRAMEWORK") {
        command.arg("--framework").arg(framework);
    }
    command
}

/// A file that `cargo xtask lab` makes.
///
/// # Panics
/// When there is none. A test that is skipped proves nothing.
#[must_use]
pub fn artefact(name: &str) -> PathBuf {
    let folder = env::var_os("RUNDOWN_LAB_DIR").expect(
        "RUNDOWN_LAB_DIR names the folder that `cargo xtask lab` fills, target/lab, as an absolute path",
    );
    let path = Path::new(&folder).join(name);
    assert!(path.exists(), "{} is missing: cargo xtask lab", path.display());
    path
}

/// Puts the driver's INF with other parameters into a folder, and returns its path.
///
/// # Panics
/// When the INF has no such parameter, or the folder takes no file.
#[must_use]
pub fn inf_with(parameters: &[(&str, u32)], folder: &Path) -> String {
    let mut inf = std::fs::read_to_string(artefact("rundown.inf")).expect("the INF is text");
    for (name, value) in parameters {
        let place = inf
            .lines()
            .find(|line| line.contains(&format!("HKR,Parameters,{name},")))
            .unwrap_or_else(|| panic!("the INF has no {name}"))
            .to_owned();
        // Behind the comment's sign there are commas as well.
        let value_at = place.split(';').next().and_then(|line| line.rsplit_once(','));
        let (before, _) = value_at.expect("a parameter has a value");
        inf = inf.replace(&place, &format!("{before},{value}"));
    }
    let path = folder.join("rundown.inf");
    std::fs::write(&path, inf).expect("the folder takes a file");
    path.to_str().expect("the folder's name is text").to_owned()
}

/// Bytes as the pipe and scripts have them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

fn unhex(text: &str) -> Vec<u8> {
    pipe::bytes(text).expect("bytes are hexadecimal digits")
}
