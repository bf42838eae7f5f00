//! COM1: the host's requests come in, replies go out. One thread does both, so frames are never mixed.
//!
//! Requests are carried out by worker threads, each on its own; what they have to say is queued here. The queue may be filled at any
//! IRQL up to `DISPATCH_LEVEL`.

use super::framework;
use super::script;
use super::service::{self, Service};
use crate::hal::power::Exit;
use crate::hal::{clock, cpu, power, serial};
use crate::io::client::{self, Arrived, Transfer};
use crate::ke::event::Event;
use crate::ke::object::Kind;
use crate::ke::{thread, worker};
use crate::lock::IrqLock;
use crate::{bug, counters, status, suspend};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use lab_wire::frame::{Action, HEADER_LENGTH, Header, Reply, Request};
use lab_wire::script::Step;

/// Above ordinary threads, so that a busy driver cannot keep the host waiting.
const PRIORITY: u8 = 15;
/// How long the next byte of a frame is waited for before the thread sleeps until the interrupt, in microseconds.
const PATIENCE: u64 = 100;
/// How long the port is left alone between two looks, in microseconds: QEMU refills it under the same lock that serves it.
const PAUSE: u64 = 20;
/// How long the thread sleeps at most, in milliseconds.
const NAP: u64 = 20;

static REPLIES: IrqLock<VecDeque<(Vec<u8>, Option<Exit>)>> = IrqLock::new(VecDeque::new());
static WAKE: Event = Event::new(Kind::SynchronizationEvent);

fn say(id: u32, reply: Reply<'_>) {
    if let Reply::Done { status, output } = reply
        && script::answered(id, status as i32, output)
    {
        return;
    }
    REPLIES.lock().push_back((reply.encode(id), None));
    WAKE.set();
}

/// The last reply: once it is written, the machine goes off.
fn say_last(id: u32, reply: Reply<'_>, exit: Exit) {
    REPLIES.lock().push_back((reply.encode(id), Some(exit)));
    WAKE.set();
}

/// Tells the host that there is nothing to serve, and switches off.
pub fn give_up(reply: Reply<'_>, exit: Exit) -> ! {
    reply.encode(0).into_iter().for_each(serial::write);
    power::power_off(exit)
}

/// Serves the host until it says quit, or carries out a script's steps and quits: never returns. Call it in a thread of its own, at `PASSIVE_LEVEL`.
pub fn serve(service: Service, cpus: u32, steps: Vec<Step>) -> ! {
    // A running thread is in no ready queue, so its priority may be changed in place.
    thread::current().priority.store(PRIORITY, Relaxed);
    service.run();
    say(0, Reply::Ready { cpus });
    serial::enable_interrupt();
    if !steps.is_empty() {
        script::start(steps, carry_out, end);
    }
    loop {
        write_replies();
        match read_frame() {
            None => {
                WAKE.wait_for(NAP);
            }
            Some((header, body)) => carry_out(header, &body),
        }
    }
}

/// COM1's interrupt.
pub(crate) fn interrupt() {
    WAKE.set();
}

fn write_replies() {
    loop {
        let next = REPLIES.lock().pop_front();
        let Some((frame, exit)) = next else { return };
        frame.into_iter().for_each(serial::write);
        if let Some(exit) = exit {
            power::power_off(exit);
        }
    }
}

/// The next frame, if the host has begun one.
fn read_frame() -> Option<(Header, Vec<u8>)> {
    let mut header = [0; HEADER_LENGTH];
    header[0] = serial::read()?;
    for byte in &mut header[1..] {
        *byte = read_byte();
    }
    let header = match Header::decode(&header) {
        Ok(header) => header,
        Err(error) => bug::lab_failure(format_args!("COM1: {error}")),
    };
    let body = (0..header.length).map(|_| read_byte()).collect();
    Some((header, body))
}

/// The next byte of a frame that has begun: the host sends the rest, if not at once.
fn read_byte() -> u8 {
    let microseconds = |count: u64| count * clock::cycles_per_millisecond() / 1000;
    loop {
        let until = clock::cycles() + microseconds(PATIENCE);
        while clock::cycles() < until {
            if let Some(byte) = serial::read() {
                return byte;
            }
            cpu::stall(microseconds(PAUSE));
        }
        WAKE.wait_for(NAP);
    }
}

/// Has a worker carry a request out; its answer is queued.
fn carry_out(header: Header, body: &[u8]) {
    let id = header.id;
    let request = match Request::decode(header, body) {
        Ok(request) => request,
        Err(error) => bug::lab_failure(format_args!("COM1: {error}")),
    };
    let done = move |result: Result<(), i32>| {
        let status = result.err().unwrap_or(status::SUCCESS);
        say(
            id,
            Reply::Done {
                status: status as u32,
                output: &[],
            },
        );
    };
    match request {
        Request::Open {
            interface,
            access,
            caller,
        } => open(id, move || client::open(&interface, access, caller)),
        Request::OpenName { access, caller, name } => {
            let name = String::from_utf8_lossy(name).into_owned();
            open(id, move || client::open_name(&name, access, caller));
        }
        Request::Ioctl {
            handle,
            code,
            capacity,
            input,
        } => transfer(id, handle, input, move |input| Transfer::Control {
            code,
            capacity,
            input,
        }),
        Request::Read {
            handle,
            length,
            offset,
        } => transfer(id, handle, &[], move |_| Transfer::Read { length, offset }),
        Request::Write {
            handle,
            offset,
            input,
        } => transfer(id, handle, input, move |input| Transfer::Write { offset, input }),
        Request::Cancel { target } => worker::queue(move || done(client::cancel(target))),
        Request::Close { handle } => worker::queue(move || done(client::close(handle))),
        Request::QueryRemove | Request::SurpriseRemove => {
            let Some(root) = service::root() else {
                // A legacy driver has no device that Plug and Play could remove.
                return done(Err(status::INVALID_DEVICE_REQUEST));
            };
            let surprise = matches!(request, Request::SurpriseRemove);
            worker::queue(move || {
                let status = if surprise {
                    root.surprise_remove()
                } else {
                    root.query_remove()
                };
                done(status::is_success(status).then_some(()).ok_or(status));
            });
        }
        Request::Suspend => worker::queue(move || done(suspend::suspend())),
        Request::ClientDeath => worker::queue(move || {
            client::die();
            done(Ok(()));
        }),
        Request::At { nth, action } => worker::queue(move || {
            let output = service::arm(nth, action).encode();
            say(
                id,
                Reply::Done {
                    status: 0,
                    output: &output,
                },
            );
        }),
        Request::Quit => {
            worker::queue(move || quit(id));
        }
    }
}

/// Has a worker open something, and tells its handle.
fn open(id: u32, open: impl FnOnce() -> Result<u64, i32> + Send + 'static) {
    worker::queue(move || {
        let opened = open();
        let status = opened.err().unwrap_or(status::SUCCESS);
        let handle = opened.map(u64::to_le_bytes);
        let output = match &handle {
            Ok(handle) => handle.as_slice(),
            Err(_) => &[],
        };
        say(
            id,
            Reply::Done {
                status: status as u32,
                output,
            },
        );
    });
}

/// Has a worker send a request through a handle, which `make` makes of its input.
fn transfer(
    id: u32,
    handle: u64,
    input: &[u8],
    make: impl for<'a> FnOnce(&'a [u8]) -> Transfer<'a> + Copy + Send + 'static,
) {
    let input = input.to_vec();
    let arrived = Arrived::new(id, handle, make(&input).kind());
    let answer = Box::new(move |status: i32, output: Vec<u8>| {
        say(
            id,
            Reply::Done {
                status: status as u32,
                output: &output,
            },
        );
    });
    worker::queue(move || arrived.send(make(&input), answer));
}

/// The end of a script, which is its client's death; requests that it left pending are answered by that.
fn end(pending: &[u32]) {
    service::arm(0, Action::Nothing);
    client::die();
    script::wait_for_rest(pending);
    quit(0);
}

/// Removes the device, unloads the driver, looks for what it left behind, and ends the run.
fn quit(id: u32) {
    service::arm(0, Action::Nothing);
    let Some(service) = service::take() else { return };
    client::die();
    service.stop(false);
    framework::stop();
    say_last(
        id,
        Reply::Finished {
            counters: counters::all(),
        },
        Exit::Passed,
    );
}
