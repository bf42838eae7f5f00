//! A machine in the lab: `rundown-lab serve`, one ASCII line per message over its standard streams.
//!
//! The lab says `ready 1 ...` once the device has started. A request is `<id> <verb> ...`, its answer `<id> 0x<ntstatus>
//! <payload>`. When the machine dies, the lab says `bugcheck 0x<code> <NAME> <why>` and hangs up.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rundown_abi::INTERFACE_GUID_TEXT;

use crate::{
    error::Error,
    hexadecimal,
    ntstatus::is_success,
    target::{Access, Handle, Ioctl, Target, Ticket, User},
};

/// The version of the line protocol that we speak.
const PROTOCOL: &str = "1";

/// What the lab answers to a `cancel` of a request that has completed.
const STATUS_NOT_FOUND: u32 = 0xC000_0225;

/// A running lab and the line to it.
pub struct Lab {
    to: Option<Box<dyn Write>>,
    /// What a thread of its own reads: a wait for a line can then have an end.
    from: Receiver<io::Result<String>>,
    process: Option<Child>,
    /// As its first line says; empty if that is silent, as an older lab's is.
    mode: String,
    next_id: u64,
    /// The device requests under way, by their ids.
    under_way: BTreeMap<u64, UnderWay>,
    /// Answers that came while another one was waited for.
    arrived: BTreeMap<u64, Answer>,
}

/// What has to be known of a request to read its answer.
struct UnderWay {
    name: String,
    capacity: usize,
}

/// `<id> 0x<ntstatus> <payload>`
struct Answer {
    status: u32,
    payload: String,
}

impl Lab {
    /// Starts `program serve arguments...` and waits until the device has started.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when it cannot be started, [`Error::Usage`] when it finds its input bad, [`Error::DriverFailed`]
    /// when the driver does not survive its start, [`Error::Protocol`] when it speaks another version.
    pub fn spawn(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // A Ctrl-C of the terminal is for us: the lab must live until the run is stopped and judged.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn().map_err(|error| Error::Unreachable {
            what: format!("{} cannot be started: {error}", program.display()),
            advice: "build it with `cargo xtask lab`, or name it with --target lab:program=PATH".into(),
        })?;
        let to = process.stdin.take().map(|pipe| Box::new(pipe) as Box<dyn Write>);
        let from = process.stdout.take();
        let (Some(to), Some(from)) = (to, from) else {
            unreachable!("both streams were asked for as pipes");
        };
        Self::speaking(BufReader::new(from), to, Some(process)).greeted()
    }

    /// Speaks to a lab at the other end of two streams.
    ///
    /// # Errors
    /// As [`Lab::spawn`].
    pub fn over(from: impl BufRead + Send + 'static, to: impl Write + 'static) -> Result<Self, Error> {
        Self::speaking(from, Box::new(to), None).greeted()
    }

    fn speaking(from: impl BufRead + Send + 'static, to: Box<dyn Write>, process: Option<Child>) -> Self {
        let (lines, received) = channel();
        // It ends with the lab's output, or when nobody wants the lines any more.
        thread::spawn(move || from.lines().try_for_each(|line| lines.send(line)));
        Self {
            to: Some(to),
            from: received,
            process,
            mode: String::new(),
            next_id: 1,
            under_way: BTreeMap::new(),
            arrived: BTreeMap::new(),
        }
    }

    fn greeted(mut self) -> Result<Self, Error> {
        let line = self.line()?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["ready", PROTOCOL, ref words @ ..] => {
                let mode = words.iter().find_map(|word| word.strip_prefix("mode="));
                mode.unwrap_or_default().clone_into(&mut self.mode);
                Ok(self)
            }
            ["ready", version, ..] => Err(Error::Protocol(format!(
                "the lab speaks version {version} of its protocol, we speak {PROTOCOL}"
            ))),
            _ => Err(Error::Protocol(format!(
                "the lab's first line is `{line}`, and `ready` was expected"
            ))),
        }
    }

    /// The next line, which is not the machine's death.
    fn line(&mut self) -> Result<String, Error> {
        loop {
            if let Some(line) = self.line_by(None)? {
                return Ok(line);
            }
        }
    }

    /// The next line, if it comes before the deadline; without one, it is waited for.
    fn line_by(&mut self, deadline: Option<Instant>) -> Result<Option<String>, Error> {
        let received = match deadline {
            None => self.from.recv().map_err(RecvTimeoutError::from),
            Some(deadline) => self
                .from
                .recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        match received {
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.hung_up()),
            Ok(Ok(line)) => match line.trim_end().strip_prefix("bugcheck ") {
                Some(death) => Err(Error::DriverFailed(format!("bugcheck {death}"))),
                None => Ok(Some(line.trim_end().to_owned())),
            },
            Ok(Err(error)) => Err(Error::Protocol(format!("the lab's output is not text: {error}"))),
        }
    }

    /// The lab is gone; its exit status says whose fault it was.
    fn hung_up(&mut self) -> Error {
        match self.wait() {
            Ok(Some(status)) => verdict(status)
                .err()
                .unwrap_or_else(|| Error::Protocol("the lab left in the middle of a conversation".into())),
            Ok(None) => Error::Protocol("the lab hung up".into()),
            Err(error) => error,
        }
    }

    /// Lets the lab's process end: it sees the end of its input.
    fn wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.to = None;
        let Some(mut process) = self.process.take() else {
            return Ok(None);
        };
        process.wait().map(Some).map_err(|error| Error::Unreachable {
            what: format!("the lab's process cannot be waited for: {error}"),
            advice: "see whether the machine is out of memory".into(),
        })
    }

    /// Sends a request and returns its id.
    fn send(&mut self, text: &str) -> Result<u64, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let sent = match &mut self.to {
            Some(to) => writeln!(to, "{id} {text}").and_then(|()| to.flush()).is_ok(),
            None => false,
        };
        if sent {
            return Ok(id);
        }
        // A lab that no longer listens has said why before.
        loop {
            self.line()?;
        }
    }

    /// The answer to request `id`, if it comes before the deadline; without one, it is waited for.
    fn answer_by(&mut self, id: u64, deadline: Option<Instant>) -> Result<Option<Answer>, Error> {
        loop {
            if let Some(answer) = self.arrived.remove(&id) {
                return Ok(Some(answer));
            }
            let Some(line) = self.line_by(deadline)? else {
                return Ok(None);
            };
            let (id, answer) = answer(&line)?;
            self.arrived.insert(id, answer);
        }
    }

    /// Sends a request and waits for its answer.
    fn request(&mut self, text: &str) -> Result<Answer, Error> {
        let id = self.send(text)?;
        loop {
            if let Some(answer) = self.answer_by(id, None)? {
                return Ok(answer);
            }
        }
    }
}

/// Reads an answer and the id of the request that it belongs to.
fn answer(line: &str) -> Result<(u64, Answer), Error> {
    let parsed = || {
        let mut words = line.splitn(3, ' ');
        let id = words.next()?.parse().ok()?;
        let status = u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        let payload = words.next().unwrap_or("-").to_owned();
        Some((id, Answer { status, payload }))
    };
    parsed().ok_or_else(|| Error::Protocol(format!("the lab's line `{line}` is no answer to a request")))
}

/// What the lab's exit status means for its client (see `rundown-lab --help`).
fn verdict(status: ExitStatus) -> Result<(), Error> {
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Error::DriverFailed("the lab's verdict is above".into())),
        Some(2) => Err(Error::Usage(
            "the lab cannot use what it was given; its message is above".into(),
        )),
        _ => Err(Error::Unreachable {
            what: format!("the lab itself failed ({status})"),
            advice: "its message is above".into(),
        }),
    }
}

fn checked(request: &str, status: u32) -> Result<(), Error> {
    if is_success(status) {
        Ok(())
    } else {
        Err(Error::Refused {
            request: request.into(),
            status,
        })
    }
}

impl Target for Lab {
    fn open(&mut self, access: Access, user: User) -> Result<Handle, Error> {
        let access = match access {
            Access::None => "-",
            Access::Read => "r",
            Access::Write => "w",
            Access::ReadWrite => "rw",
        };
        let user = match user {
            User::Administrator => "admin",
            User::Other => "user",
        };
        let answer = self.request(&format!("open {INTERFACE_GUID_TEXT} {access} {user}"))?;
        checked("opening the device", answer.status)?;
        let handle = answer.payload;
        let parsed = match handle.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => handle.parse(),
        };
        parsed.map(Handle).map_err(|_| {
            Error::Protocol(format!(
                "the lab answers an open with `{handle}`, which is no handle"
            ))
        })
    }

    fn begin(&mut self, handle: Handle, request: &Ioctl<'_>) -> Result<Ticket, Error> {
        let id = self.send(&format!(
            "ioctl {} 0x{:08x} {} {}",
            handle.0,
            request.code,
            request.capacity,
            hexadecimal::encode(request.input)
        ))?;
        let under_way = UnderWay {
            name: request.name.to_owned(),
            capacity: request.capacity,
        };
        self.under_way.insert(id, under_way);
        Ok(Ticket(id))
    }

    fn answer(&mut self, ticket: Ticket, patience: Duration) -> Result<Option<Vec<u8>>, Error> {
        let Some(answer) = self.answer_by(ticket.0, Instant::now().checked_add(patience))? else {
            return Ok(None);
        };
        let Some(request) = self.under_way.remove(&ticket.0) else {
            return Err(Error::Protocol(format!("the lab answers {} twice", ticket.0)));
        };
        checked(&request.name, answer.status)?;
        hexadecimal::decode(&answer.payload)
            .filter(|output| output.len() <= request.capacity)
            .map(Some)
            .ok_or_else(|| {
                Error::Protocol(format!(
                    "the lab answers {} with `{}`",
                    request.name, answer.payload
                ))
            })
    }

    fn cancel(&mut self, ticket: Ticket) -> Result<(), Error> {
        let answer = self.request(&format!("cancel {}", ticket.0))?;
        if answer.status == STATUS_NOT_FOUND {
            return Ok(());
        }
        checked("cancelling a request", answer.status)
    }

    fn close(&mut self, handle: Handle) -> Result<(), Error> {
        let answer = self.request(&format!("close {}", handle.0))?;
        checked("closing the device", answer.status)
    }

    fn lab_mode(&self) -> Option<&str> {
        Some(&self.mode)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        let answer = self.request("quit")?;
        let exit = self.wait()?;
        if let Some(exit) = exit {
            verdict(exit)?;
        }
        checked("unloading the driver", answer.status)
    }
}

impl Drop for Lab {
    /// Leaves no machine behind: the lab ends at the end of its input.
    fn drop(&mut self) {
        // An error that led here has been told already.
        let _ = self.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Cursor, Read},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Sent(Arc<Mutex<Vec<u8>>>);

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sent {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone())
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect()
        }
    }

    fn lab(says: &'static str) -> (Lab, Sent) {
        let sent = Sent::default();
        (Lab::over(Cursor::new(says), sent.clone()).unwrap(), sent)
    }

    const ANYTHING: Ioctl<'_> = Ioctl {
        name: "a test",
        code: 0x8052_6000,
        input: &[1, 0xab],
        capacity: 4,
    };

    #[test]
    fn a_conversation() {
        let (mut lab, sent) = lab(
            "ready 1 cpus=2 seed=7 mode=chaos\n1 0x00000000 3\n2 0x00000000 cafe\n3 0x00000000 -\n4 0x0 -\n",
        );
        assert_eq!(lab.lab_mode(), Some("chaos"));
        let handle = lab.open(Access::ReadWrite, User::Administrator).unwrap();
        assert_eq!(handle, Handle(3));
        assert_eq!(lab.ioctl(handle, &ANYTHING).unwrap(), [0xca, 0xfe]);
        lab.close(handle).unwrap();
        Box::new(lab).finish().unwrap();
        let guid = INTERFACE_GUID_TEXT;
        assert_eq!(
            sent.lines(),
            [
                &format!("1 open {guid} rw admin"),
                "2 ioctl 3 0x80526000 4 01ab",
                "3 close 3",
                "4 quit"
            ]
        );
    }

    #[test]
    fn answers_may_come_out_of_order() {
        let (mut lab, _) = lab("ready 1\n9 0x00000000 -\n1 0xC0000022 -\n");
        assert_eq!(lab.lab_mode(), Some(""), "an older lab is one, too");
        let error = lab.open(Access::Read, User::Other).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Refused {
                    status: 0xC000_0022,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_request_can_pend_while_others_are_answered() {
        let (mut lab, sent) =
            lab("ready 1\n2 0x00000000 cafe\n3 0xC0000225 -\n4 0x00000000 -\n1 0xC0000120 -\n");
        let pending = lab.begin(Handle(1), &ANYTHING).unwrap();
        assert_eq!(lab.ioctl(Handle(1), &ANYTHING).unwrap(), [0xca, 0xfe]);
        lab.cancel(pending).unwrap();
        lab.cancel(pending).unwrap();
        let error = lab.answer(pending, Duration::from_mins(1)).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Refused {
                    status: 0xC000_0120,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(sent.lines()[2..], ["3 cancel 1", "4 cancel 1"]);
    }

    #[test]
    fn patience_has_an_end() {
        let (silence, _keep) = io::pipe().unwrap();
        let says = Cursor::new("ready 1\n").chain(BufReader::new(silence));
        let mut lab = Lab::over(says, Sent::default()).unwrap();
        let pending = lab.begin(Handle(1), &ANYTHING).unwrap();
        assert_eq!(lab.answer(pending, Duration::from_millis(20)).unwrap(), None);
    }

    #[test]
    fn a_bugcheck_is_an_error_of_its_own() {
        let (mut lab, _) =
            lab("ready 1\nbugcheck 0x000000c4 DRIVER_VERIFIER_DETECTED_VIOLATION pool was freed twice\n");
        let error = lab.ioctl(Handle(1), &ANYTHING).unwrap_err();
        assert!(matches!(&error, Error::DriverFailed(_)), "{error}");
        assert!(error.to_string().contains("pool was freed twice"), "{error}");
    }

    #[test]
    fn what_is_not_the_protocol_is_named() {
        for says in ["", "ready 2\n", "hello\n", "ready\n"] {
            let error = Lab::over(Cursor::new(says), Sent::default()).err().unwrap();
            assert!(matches!(error, Error::Protocol(_)), "{says}: {error}");
        }
        for says in [
            "ready 1\nwhat?\n",
            "ready 1\n1 zero -\n",
            "ready 1\n1 0x0 xyz\n",
            "ready 1\n1 0x0 0102030405\n",
        ] {
            let error = lab(says).0.ioctl(Handle(1), &ANYTHING).unwrap_err();
            assert!(matches!(error, Error::Protocol(_)), "{says}: {error}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Lab::spawn(Path::new("/nowhere/rundown-lab"), &["--cpus"; 0])
            .err()
            .unwrap();
        assert!(error.to_string().contains("/nowhere/rundown-lab"), "{error}");
        assert_eq!(error.exit_code(), 3);
    }
}
