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
    /// The time was up; the machine is still on.
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
    /// Lines from the client; none if the machine has a script.
    pub input: Option<Box<dyn BufRead + Send>>,
    /// Replies to it.
    pub output: &'a mut dyn Write,
    /// Appended to `ready 1 cpus=<n>`, as `seed=7 mode=smp`.
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
        input: ends.input,
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
                    rundown_streams::tell!(
                        "rundown-lab: waiting for the machine to boot and start the driver ..."
                    );
                }
                Err(_) => return Ending::TimedOut,
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

    fn send(&mut self, id: u32, request: &Request<Vec<u8>>) {
        // The writer is gone only if the machine is, which the reader reports.
        let _ = self.to_machine.send(request.encode(id));
    }

    fn client_died(&mut self) {
        if self.quitting == Quitting::No {
            self.quitting = Quitting::Orphaned;
            self.send(NO_ID, &Request::ClientDeath);
            self.send(NO_ID, &Request::Quit);
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
            Request::Open { .. } | Request::OpenName { .. } => Kind::Open,
            Request::Ioctl { .. } => Kind::Ioctl,
            _ => Kind::Plain,
        };
        if request == Request::Quit {
            self.quitting = Quitting::Asked(id);
        } else {
            self.outstanding.insert(id, kind);
        }
        self.send(id, &request);
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
mod tests;
