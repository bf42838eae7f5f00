//! One run of the machine: requests in, replies out, until somebody ends it.

use crate::pipe::{self, Line};
use lab_wire::counters::Counters;
use lab_wire::frame::{HEADER_LENGTH, Header, Reply, Request};
use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long the machine may take to switch off after its last frame.
const SWITCH_OFF: Duration = Duration::from_secs(10);
/// After this long without a ready line, people are told what is going on.
const SLOW_BOOT: Duration = Duration::from_secs(2);
/// The id of frames that no line asked for.
const NO_ID: u32 = 0;

/// How a run ended.
#[derive(Debug, PartialEq)]
pub enum Ending {
    /// The driver was unloaded and everything was counted.
    Finished {
        /// What the kernel counted.
        counters: Counters,
    },
    /// The kernel could not load the driver's file.
    Refused(String),
    /// A routine of the driver returned an error before the device was started.
    NotStarted {
        /// Its NTSTATUS.
        status: u32,
        /// Its name.
        stage: String,
    },
    /// The machine went off without saying goodbye; QEMU's exit code, if it left by itself.
    Died(Option<i32>),
    /// The time was up.
    TimedOut,
    /// This program got a signal.
    Interrupted(i32),
    /// The machine sent what is no frame.
    Garbled(String),
}

/// The machine's power switch; a trait, so that tests can play the machine.
pub trait Power {
    /// Switches the machine off now.
    fn end(&mut self);
    /// Waits at most `patience` until it has switched itself off, and ends it otherwise; its exit code, if it left by itself.
    fn leave(&mut self, patience: Duration) -> Option<i32>;
}

/// What the threads tell the loop.
enum Event {
    /// A line of standard input.
    Line(String),
    /// Standard input ended: the client is dead.
    EndOfInput,
    /// A frame from COM1.
    Frame(Header, Vec<u8>),
    /// COM1 was closed.
    MachineClosed,
    /// COM1 brought something else.
    Garbled(String),
    /// A signal to this process.
    Signal(i32),
}

/// What a run took.
#[derive(Debug, Default)]
pub struct Times {
    /// From the machine's start to the ready line.
    pub boot: Option<Duration>,
}

/// A run in progress.
struct Session<'a> {
    machine: &'a mut dyn Power,
    output: &'a mut dyn Write,
    to_machine: Sender<Vec<u8>>,
    /// Requests that are not answered yet.
    outstanding: HashMap<u32, Kind>,
    quitting: Quitting,
    ready: String,
    times: Times,
    started: Instant,
    events: Sender<Event>,
    input: Option<Box<dyn BufRead + Send>>,
}

/// Whether the machine was told to quit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quitting {
    No,
    /// By the line with this id, which wants an answer.
    Asked(u32),
    /// Because the client is gone.
    Orphaned,
}

/// How a reply's output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Ioctl,
    Plain,
}

/// Where a run reads its lines and writes its replies, and what it says when it is ready.
pub struct Ends<'a> {
    /// Lines from the client.
    pub input: Box<dyn BufRead + Send>,
    /// Replies to it.
    pub output: &'a mut dyn Write,
    /// Appended to `ready 1 cpus=<n>`, as `seed=7`.
    pub ready: String,
}

/// Serves the machine behind `com1` (towards it, and from it) until it ends; `limit` is wall-clock time from now.
pub fn run(
    machine: &mut dyn Power,
    com1: (impl Write + Send + 'static, impl Read + Send + 'static),
    ends: Ends<'_>,
    limit: Duration,
) -> (Ending, Times) {
    let (events, received) = mpsc::channel();
    let (to_machine, frames) = mpsc::channel();
    let (com1_in, com1_out) = com1;
    thread::spawn(move || write_frames(&frames, com1_in));
    let from_machine = events.clone();
    thread::spawn(move || read_frames(com1_out, &from_machine));
    forward_signals(events.clone());
    let mut session = Session {
        machine,
        output: ends.output,
        to_machine,
        outstanding: HashMap::new(),
        quitting: Quitting::No,
        ready: ends.ready,
        times: Times::default(),
        started: Instant::now(),
        events,
        input: Some(ends.input),
    };
    let ending = session.serve(&received, limit);
    (ending, session.times)
}

impl Session<'_> {
    fn serve(&mut self, events: &Receiver<Event>, limit: Duration) -> Ending {
        let mut told = false;
        loop {
            let deadline = if self.times.boot.is_none() && !told {
                SLOW_BOOT.min(limit)
            } else {
                limit
            };
            match events.recv_timeout(deadline.saturating_sub(self.started.elapsed())) {
                Ok(event) => {
                    if let Some(ending) = self.handle(event) {
                        return ending;
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.started.elapsed() < limit => {
                    told = true;
                    eprintln!("rundown-lab: waiting for the machine to boot and start the driver ...");
                }
                Err(_) => {
                    self.machine.end();
                    return Ending::TimedOut;
                }
            }
        }
    }

    fn handle(&mut self, event: Event) -> Option<Ending> {
        match event {
            Event::Line(line) => self.line(&line),
            Event::EndOfInput => self.client_died(),
            Event::Frame(header, body) => match Reply::decode(header, &body) {
                Ok(reply) => return self.reply(header.id, reply),
                Err(e) => return Some(self.garbled(e.to_string())),
            },
            Event::MachineClosed => return Some(self.died()),
            Event::Garbled(what) => return Some(self.garbled(what)),
            Event::Signal(signal) => {
                self.machine.end();
                return Some(Ending::Interrupted(signal));
            }
        }
        None
    }

    fn garbled(&mut self, what: String) -> Ending {
        self.machine.end();
        Ending::Garbled(what)
    }

    fn died(&mut self) -> Ending {
        Ending::Died(self.machine.leave(SWITCH_OFF))
    }

    /// Writes a line to the client; if it no longer listens, that is its death.
    fn say(&mut self, text: &str) {
        let written = writeln!(self.output, "{text}").and_then(|()| self.output.flush());
        if written.is_err() {
            self.client_died();
        }
    }

    fn send(&mut self, id: u32, request: Request<'_>) {
        // The writer is gone only if the machine is, which the reader reports.
        let _ = self.to_machine.send(request.encode(id));
    }

    fn client_died(&mut self) {
        if self.quitting == Quitting::No {
            self.quitting = Quitting::Orphaned;
            self.send(NO_ID, Request::ClientDeath);
            self.send(NO_ID, Request::Quit);
        }
    }

    fn line(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        if let Err(e) = self.request(text) {
            self.say(&format!("error {e}"));
        }
    }

    fn request(&mut self, text: &str) -> Result<(), String> {
        let Line { id, request } = text.parse().map_err(|e: pipe::LineError| e.to_string())?;
        if id == NO_ID {
            return Err("request ids begin at 1".into());
        }
        if self.quitting != Quitting::No {
            return Err("the machine is already quitting".into());
        }
        if self.outstanding.contains_key(&id) {
            return Err(format!(
                "request {id} is not answered yet; its id cannot be used again"
            ));
        }
        let kind = match &request {
            pipe::Request::Open { .. } => Kind::Open,
            pipe::Request::Ioctl { .. } => Kind::Ioctl,
            _ => Kind::Plain,
        };
        let request = match &request {
            pipe::Request::Open {
                interface,
                access,
                caller,
            } => Request::Open {
                interface: *interface,
                access: *access,
                caller: *caller,
            },
            pipe::Request::Ioctl {
                handle,
                code,
                capacity,
                input,
            } => Request::Ioctl {
                handle: *handle,
                code: *code,
                capacity: *capacity,
                input,
            },
            pipe::Request::Cancel { target } => Request::Cancel { target: *target },
            pipe::Request::Close { handle } => Request::Close { handle: *handle },
            pipe::Request::Quit => {
                self.quitting = Quitting::Asked(id);
                self.send(id, Request::Quit);
                return Ok(());
            }
        };
        self.outstanding.insert(id, kind);
        self.send(id, request);
        Ok(())
    }

    fn reply(&mut self, id: u32, reply: Reply<'_>) -> Option<Ending> {
        match reply {
            Reply::Ready { cpus } => {
                self.times.boot = Some(self.started.elapsed());
                let line = format!("ready {} cpus={cpus} {}", pipe::VERSION, self.ready);
                self.say(&line);
                if let Some(input) = self.input.take() {
                    let events = self.events.clone();
                    thread::spawn(move || read_lines(input, &events));
                }
                None
            }
            Reply::Done { status, output } => {
                let text = match self.outstanding.remove(&id) {
                    // The machine answers what was never asked, such as the death of a client: nobody waits for it.
                    None => return None,
                    Some(Kind::Open) => match <[u8; 8]>::try_from(output) {
                        Ok(handle) => u64::from_le_bytes(handle).to_string(),
                        Err(_) => "-".into(),
                    },
                    Some(Kind::Ioctl | Kind::Plain) => pipe::hex(output),
                };
                self.say(&pipe::reply(id, status, &text));
                None
            }
            Reply::Finished { counters } => {
                if let Quitting::Asked(id) = self.quitting {
                    self.say(&pipe::reply(id, 0, "-"));
                }
                match self.machine.leave(SWITCH_OFF) {
                    Some(_) => Some(Ending::Finished { counters }),
                    None => Some(Ending::Garbled("the machine did not switch itself off".into())),
                }
            }
            Reply::Refused { reason } => {
                let reason = reason.to_owned();
                self.machine.leave(SWITCH_OFF);
                Some(Ending::Refused(reason))
            }
            Reply::NotStarted { status, stage } => {
                let stage = stage.to_owned();
                self.machine.leave(SWITCH_OFF);
                Some(Ending::NotStarted { status, stage })
            }
        }
    }
}

/// Carries frames to COM1; a thread of its own, since the machine takes them in at its own pace.
fn write_frames(frames: &Receiver<Vec<u8>>, mut com1: impl Write) {
    for frame in frames {
        if com1.write_all(&frame).and_then(|()| com1.flush()).is_err() {
            return;
        }
    }
}

/// Cuts what comes from COM1 into frames.
fn read_frames(com1: impl Read, events: &Sender<Event>) {
    let mut com1 = io::BufReader::new(com1);
    loop {
        let mut header = [0; HEADER_LENGTH];
        if com1.read_exact(&mut header).is_err() {
            let _ = events.send(Event::MachineClosed);
            return;
        }
        let header = match Header::decode(&header) {
            Ok(header) => header,
            Err(e) => {
                let _ = events.send(Event::Garbled(e.to_string()));
                return;
            }
        };
        let mut body = vec![0; header.length as usize];
        if com1.read_exact(&mut body).is_err() {
            let _ = events.send(Event::MachineClosed);
            return;
        }
        if events.send(Event::Frame(header, body)).is_err() {
            return;
        }
    }
}

fn read_lines(mut input: Box<dyn BufRead + Send>, events: &Sender<Event>) {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match input.read_until(b'\n', &mut bytes) {
            Ok(length) if length > 0 => {
                let line = String::from_utf8_lossy(&bytes).into_owned();
                if events.send(Event::Line(line)).is_err() {
                    return;
                }
            }
            _ => {
                let _ = events.send(Event::EndOfInput);
                return;
            }
        }
    }
}

/// SIGTERM, SIGINT and SIGHUP become events, so that QEMU is ended and waited for before this process goes.
fn forward_signals(events: Sender<Event>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]) else {
        // Then the default action ends this process, and QEMU with it (`machine`).
        return;
    };
    thread::spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, PipeReader, PipeWriter, pipe};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A machine that is a closure on a thread, at the other ends of COM1's pipes.
    struct Played {
        ended: Arc<AtomicBool>,
        exit: Option<i32>,
    }

    impl Power for Played {
        fn end(&mut self) {
            self.ended.store(true, Ordering::SeqCst);
        }
        fn leave(&mut self, _: Duration) -> Option<i32> {
            self.exit
        }
    }

    /// The machine's side of COM1.
    struct Guest {
        from_host: PipeReader,
        to_host: PipeWriter,
    }

    impl Guest {
        fn say(&mut self, id: u32, reply: Reply<'_>) {
            self.to_host.write_all(&reply.encode(id)).unwrap();
        }

        fn hear(&mut self) -> (u32, String) {
            let mut header = [0; HEADER_LENGTH];
            self.from_host.read_exact(&mut header).unwrap();
            let header = Header::decode(&header).unwrap();
            let mut body = vec![0; header.length as usize];
            self.from_host.read_exact(&mut body).unwrap();
            (
                header.id,
                format!("{:?}", Request::decode(header, &body).unwrap()),
            )
        }
    }

    struct Outcome {
        ending: Ending,
        output: String,
        ended: bool,
    }

    /// Runs a session against `guest`; `input` is all that the client says before it closes its end.
    fn play(
        input: &str,
        exit: Option<i32>,
        limit: Duration,
        guest: impl FnOnce(&mut Guest) + Send + 'static,
    ) -> Outcome {
        let (from_host, com1_in) = pipe().unwrap();
        let (com1_out, to_host) = pipe().unwrap();
        let player = thread::spawn(move || guest(&mut Guest { from_host, to_host }));
        let ended = Arc::new(AtomicBool::new(false));
        let mut machine = Played {
            ended: Arc::clone(&ended),
            exit,
        };
        let mut output = Vec::new();
        let input = Box::new(BufReader::new(io::Cursor::new(input.to_owned())));
        let ends = Ends {
            input,
            output: &mut output,
            ready: "seed=7".into(),
        };
        let (ending, _) = run(&mut machine, (com1_in, com1_out), ends, limit);
        player.join().unwrap();
        Outcome {
            ending,
            output: String::from_utf8(output).unwrap(),
            ended: ended.load(Ordering::SeqCst),
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn requests_are_carried_and_answered_out_of_order() {
        let input = "1 open 00000000-0000-0000-0000-000000000001 r user\n2 ioctl 4 0x222004 8 0102\n3 cancel 2\n4 close 4\n5 quit\n";
        let outcome = play(input, Some(33), LONG, |guest| {
            guest.say(0, Reply::Ready { cpus: 2 });
            let (id, open) = guest.hear();
            assert!(id == 1 && open.contains("caller: User"), "{open}");
            assert_eq!(
                guest.hear().1,
                "Ioctl { handle: 4, code: 2236420, capacity: 8, input: [1, 2] }"
            );
            assert_eq!(guest.hear().1, "Cancel { target: 2 }");
            assert_eq!(guest.hear().1, "Close { handle: 4 }");
            assert_eq!(guest.hear(), (5, "Quit".into()));
            guest.say(
                3,
                Reply::Done {
                    status: 0,
                    output: &[],
                },
            );
            guest.say(
                1,
                Reply::Done {
                    status: 0,
                    output: &4_u64.to_le_bytes(),
                },
            );
            guest.say(
                2,
                Reply::Done {
                    status: 0xC000_0120,
                    output: &[0xAB],
                },
            );
            guest.say(
                4,
                Reply::Done {
                    status: 0,
                    output: &[],
                },
            );
            guest.say(
                5,
                Reply::Finished {
                    counters: Counters {
                        mwaitx: 3,
                        ..Counters::default()
                    },
                },
            );
        });
        assert_eq!(
            outcome.output,
            "ready 1 cpus=2 seed=7\n3 0x00000000 -\n1 0x00000000 4\n2 0xC0000120 ab\n4 0x00000000 -\n5 0x00000000 -\n"
        );
        let counters = Counters {
            mwaitx: 3,
            ..Counters::default()
        };
        assert_eq!(outcome.ending, Ending::Finished { counters });
    }

    #[test]
    fn end_of_input_is_the_clients_death_and_then_quit() {
        let outcome = play("", Some(33), LONG, |guest| {
            guest.say(0, Reply::Ready { cpus: 1 });
            assert_eq!(guest.hear().1, "ClientDeath");
            guest.say(
                0,
                Reply::Done {
                    status: 0,
                    output: &[],
                },
            );
            assert_eq!(guest.hear().1, "Quit");
            guest.say(
                0,
                Reply::Finished {
                    counters: Counters::default(),
                },
            );
        });
        assert_eq!(outcome.output, "ready 1 cpus=1 seed=7\n");
        assert_eq!(
            outcome.ending,
            Ending::Finished {
                counters: Counters::default()
            }
        );
    }

    #[test]
    fn wrong_lines_are_answered_and_do_no_harm() {
        let outcome = play(
            "hello\n\n0 quit\n1 close 4\n1 close 4\n2 quit\n3 close 4\n",
            Some(33),
            LONG,
            |guest| {
                guest.say(0, Reply::Ready { cpus: 1 });
                assert_eq!(guest.hear(), (1, "Close { handle: 4 }".into()));
                assert_eq!(guest.hear(), (2, "Quit".into()));
                // The client's last line and its end come before this, as it has no more to say.
                thread::sleep(Duration::from_millis(100));
                guest.say(
                    2,
                    Reply::Finished {
                        counters: Counters::default(),
                    },
                );
            },
        );
        let lines: Vec<&str> = outcome.output.lines().collect();
        assert_eq!(lines[1], "error \"hello\" is not a request id (a decimal number)");
        assert_eq!(lines[2], "error request ids begin at 1");
        assert_eq!(
            lines[3],
            "error request 1 is not answered yet; its id cannot be used again"
        );
        assert_eq!(lines[4], "error the machine is already quitting");
        assert_eq!(lines[5], "2 0x00000000 -");
    }

    #[test]
    fn a_machine_that_dies_is_noticed_at_every_point() {
        let silent = play("", Some(35), LONG, |_| {});
        assert_eq!(
            (silent.ending, silent.output.as_str()),
            (Ending::Died(Some(35)), "")
        );
        let torn = play("1 quit\n", Some(35), LONG, |guest| {
            guest.say(0, Reply::Ready { cpus: 1 });
            guest.hear();
            guest.to_host.write_all(&[9, 0, 0]).unwrap();
        });
        assert_eq!(torn.ending, Ending::Died(Some(35)));
    }

    #[test]
    fn time_is_limited_and_nonsense_is_refused() {
        let hung = play("1 quit\n", None, Duration::from_millis(100), |guest| {
            guest.say(0, Reply::Ready { cpus: 1 });
            while guest.from_host.read(&mut [0]).is_ok_and(|length| length > 0) {}
        });
        assert_eq!(hung.ending, Ending::TimedOut);
        assert!(hung.ended, "the machine runs on");
        let garbled = play("", None, LONG, |guest| {
            guest.to_host.write_all(&[0xFF; 64]).unwrap();
        });
        assert!(matches!(garbled.ending, Ending::Garbled(_)));
        assert!(garbled.ended, "the machine runs on");
    }
}
