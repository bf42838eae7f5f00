//! Frames over COM1.
//!
//! ```text
//! 0   4  length of the body
//! 4   4  kind
//! 8   4  id: a reply carries the id of its request
//! 12     body
//! ```
//! The host sends [`Request`]s. Replies come in the order of completion, not of the requests: a pended request answers when
//! the driver completes it.

use crate::codec::{Put, Reader, Result, WireError, length_u32};
use crate::counters::Counters;
use alloc::vec::Vec;

/// Bytes before a frame's body.
pub const HEADER_LENGTH: usize = 12;

/// The longest body that either end accepts, in bytes: an IOCTL carries kilobytes, and a broken length must not make the
/// receiver wait for 4 GiB.
pub const MAXIMUM_BODY: u32 = 16 << 20;

/// What stands before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub length: u32,
    /// Which request or reply it is.
    pub kind: u32,
    /// The request's id.
    pub id: u32,
}

impl Header {
    /// Reads the bytes before a body.
    ///
    /// # Errors
    /// [`WireError::Value`] if the body would be longer than [`MAXIMUM_BODY`].
    pub fn decode(bytes: &[u8; HEADER_LENGTH]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let length = reader.u32("a frame's length")?;
        if length > MAXIMUM_BODY {
            return Err(WireError::Value("a frame's length", u64::from(length)));
        }
        Ok(Self {
            length,
            kind: reader.u32("a frame's kind")?,
            id: reader.u32("a frame's id")?,
        })
    }
}

/// Puts header and body together.
fn frame(kind: u32, id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LENGTH + body.len());
    out.put_u32(length_u32(body.len()));
    out.put_u32(kind);
    out.put_u32(id);
    out.put_bytes(body);
    out
}

/// On whose behalf a handle is opened: what the caller's token contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caller {
    /// A member of the Administrators group, elevated.
    #[default]
    Admin,
    /// An ordinary interactive user.
    User,
    /// As [`Caller::Admin`], with `SeDebugPrivilege` enabled.
    Debugger,
    /// Another driver, which sends its requests in kernel mode to a device that it has a pointer to, without a file object, as
    /// `IoBuildDeviceIoControlRequest` makes them.
    Kernel,
    /// As [`Caller::Kernel`], at `DISPATCH_LEVEL`.
    KernelAtDispatch,
}

impl Caller {
    /// All of them, in the order of their numbers in a frame.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::User,
        Self::Debugger,
        Self::Kernel,
        Self::KernelAtDispatch,
    ];

    /// Whether it is a driver.
    #[must_use]
    pub const fn is_kernel(self) -> bool {
        matches!(self, Self::Kernel | Self::KernelAtDispatch)
    }
}

/// Access that the opener asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// `GENERIC_READ`.
    pub read: bool,
    /// `GENERIC_WRITE`.
    pub write: bool,
}

/// What happens at a point of the driver's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Nothing: it is only counted.
    Nothing = 0,
    /// The creation (pool, a thread, an object) fails.
    Fail = 1,
    /// At the call of an export, every pending request is cancelled.
    Cancel = 2,
    /// Every handle is closed.
    Close = 3,
    /// The client's process dies.
    Die = 4,
    /// Surprise removal of the device, and the driver is loaded and started anew.
    Restart = 5,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Fail,
        Self::Cancel,
        Self::Close,
        Self::Die,
        Self::Restart,
    ];

    /// The action with this number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|action| *action as u32 == number)
    }

    /// Its name in the pipe's protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Close => "close",
            Self::Die => "die",
            Self::Restart => "restart",
        }
    }
}

/// What was counted since the injection point before was armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Creations by the driver.
    pub creations: u64,
    /// Calls of exports by it.
    pub calls: u64,
    /// Pool blocks that are live now.
    pub blocks: u64,
    /// Threads of the driver's that are live now.
    pub threads: u64,
}

impl Seen {
    /// As the output of a reply.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [self.creations, self.calls, self.blocks, self.threads] {
            out.put_u64(value);
        }
        out
    }

    /// Out of a reply's output.
    ///
    /// # Errors
    /// [`WireError`] if it is not as long as it has to be.
    pub fn decode(output: &[u8]) -> Result<Self> {
        const ITEM: &str = "what was seen";
        let mut reader = Reader::new(output);
        let seen = Self {
            creations: reader.u64(ITEM)?,
            calls: reader.u64(ITEM)?,
            blocks: reader.u64(ITEM)?,
            threads: reader.u64(ITEM)?,
        };
        reader.end(ITEM)?;
        Ok(seen)
    }
}

/// What the host asks the machine. `B` holds an input's bytes: owned where a client's line was read, borrowed out of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<B> {
    /// Open the device behind an interface; answered with [`Reply::Done`] and the handle as eight bytes.
    Open {
        /// The interface class's GUID, in memory order.
        interface: [u8; 16],
        /// What for.
        access: Access,
        /// For whom.
        caller: Caller,
    },
    /// Open a device by its name; answered as [`Request::Open`].
    OpenName {
        /// What for.
        access: Access,
        /// For whom.
        caller: Caller,
        /// As a program gives it to `CreateFile`, `\\.\Name`, or as the object manager has it, `\Device\Name`; UTF-8.
        name: B,
    },
    /// Send a device control request; answered with [`Reply::Done`] and the output when the driver completes it.
    Ioctl {
        /// From [`Request::Open`].
        handle: u64,
        /// The control code.
        code: u32,
        /// Bytes of output that the caller has room for.
        capacity: u32,
        /// Input bytes.
        input: B,
    },
    /// Read from the device; answered with [`Reply::Done`] and what was read.
    Read {
        /// From [`Request::Open`].
        handle: u64,
        /// How many bytes.
        length: u32,
        /// Where from; the file's own position if `None`.
        offset: Option<u64>,
    },
    /// Write to the device; answered with [`Reply::Done`] and how many bytes were written, as eight bytes.
    Write {
        /// From [`Request::Open`].
        handle: u64,
        /// Where to; the file's own position if `None`.
        offset: Option<u64>,
        /// What.
        input: B,
    },
    /// Cancel the request with this id, as `CancelIoEx` does.
    Cancel {
        /// The id of the request's frame.
        target: u32,
    },
    /// Close a handle: cleanup, and close once the last request is done.
    Close {
        /// From [`Request::Open`].
        handle: u64,
    },
    /// Has something happen at a point of the driver's; answered with [`Reply::Done`] and what was [`Seen`] since the last such request.
    At {
        /// At which creation, or call, from now on; 0 is now.
        nth: u64,
        /// What.
        action: Action,
    },
    /// Ask whether the device may be removed, as the Plug and Play manager does before it removes one; then take it back.
    QueryRemove,
    /// The device is gone by surprise, whatever is open on it.
    SurpriseRemove,
    /// Suspend the machine to S3 or S4, and wake it.
    Suspend,
    /// The client's process died: pending requests are cancelled and all its handles closed, as process rundown does.
    ClientDeath,
    /// Remove the device, unload the driver, check for leaks, power off; answered with [`Reply::Finished`].
    Quit,
}

const OPEN: u32 = 1;
const IOCTL: u32 = 2;
const CANCEL: u32 = 3;
const CLOSE: u32 = 4;
const CLIENT_DEATH: u32 = 5;
const QUIT: u32 = 6;
const AT: u32 = 9;
const QUERY_REMOVE: u32 = 7;
const SURPRISE_REMOVE: u32 = 8;
const SUSPEND: u32 = 10;
const READ: u32 = 11;
const WRITE: u32 = 12;
const OPEN_NAME: u32 = 13;

impl<B: AsRef<[u8]>> Request<B> {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self, id: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let kind = match *self {
            Self::Open {
                interface,
                access,
                caller,
            } => {
                body.put_bytes(&interface);
                body.put_flag(access.read);
                body.put_flag(access.write);
                body.put_u8(caller as u8);
                OPEN
            }
            Self::OpenName {
                access,
                caller,
                ref name,
            } => {
                body.put_flag(access.read);
                body.put_flag(access.write);
                body.put_u8(caller as u8);
                body.put_bytes(name.as_ref());
                OPEN_NAME
            }
            Self::Ioctl {
                handle,
                code,
                capacity,
                ref input,
            } => {
                body.put_u64(handle);
                body.put_u32(code);
                body.put_u32(capacity);
                body.put_bytes(input.as_ref());
                IOCTL
            }
            Self::Read {
                handle,
                length,
                offset,
            } => {
                body.put_u64(handle);
                body.put_u32(length);
                put_offset(&mut body, offset);
                READ
            }
            Self::Write {
                handle,
                offset,
                ref input,
            } => {
                body.put_u64(handle);
                put_offset(&mut body, offset);
                body.put_bytes(input.as_ref());
                WRITE
            }
            Self::Cancel { target } => {
                body.put_u32(target);
                CANCEL
            }
            Self::Close { handle } => {
                body.put_u64(handle);
                CLOSE
            }
            Self::At { nth, action } => {
                body.put_u64(nth);
                body.put_u32(action as u32);
                AT
            }
            Self::ClientDeath => CLIENT_DEATH,
            Self::Quit => QUIT,
            Self::QueryRemove => QUERY_REMOVE,
            Self::SurpriseRemove => SURPRISE_REMOVE,
            Self::Suspend => SUSPEND,
        };
        frame(kind, id, &body)
    }
}

impl<'a> Request<&'a [u8]> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`WireError`] names the first item that is wrong.
    pub fn decode(header: Header, body: &'a [u8]) -> Result<Self> {
        const ITEM: &str = "a request";
        let mut reader = Reader::new(body);
        let request = match header.kind {
            OPEN => Self::Open {
                interface: reader.guid(ITEM)?,
                access: Access {
                    read: reader.flag(ITEM)?,
                    write: reader.flag(ITEM)?,
                },
                caller: caller(&mut reader, ITEM)?,
            },
            OPEN_NAME => Self::OpenName {
                access: Access {
                    read: reader.flag(ITEM)?,
                    write: reader.flag(ITEM)?,
                },
                caller: caller(&mut reader, ITEM)?,
                name: reader.remainder(),
            },
            IOCTL => Self::Ioctl {
                handle: reader.u64(ITEM)?,
                code: reader.u32(ITEM)?,
                capacity: reader.u32(ITEM)?,
                input: reader.remainder(),
            },
            READ => Self::Read {
                handle: reader.u64(ITEM)?,
                length: reader.u32(ITEM)?,
                offset: offset(&mut reader, ITEM)?,
            },
            WRITE => Self::Write {
                handle: reader.u64(ITEM)?,
                offset: offset(&mut reader, ITEM)?,
                input: reader.remainder(),
            },
            CANCEL => Self::Cancel {
                target: reader.u32(ITEM)?,
            },
            CLOSE => Self::Close {
                handle: reader.u64(ITEM)?,
            },
            AT => Self::At {
                nth: reader.u64(ITEM)?,
                action: {
                    let value = reader.u32(ITEM)?;
                    Action::of(value).ok_or(WireError::Value("an action", u64::from(value)))?
                },
            },
            CLIENT_DEATH => Self::ClientDeath,
            QUIT => Self::Quit,
            QUERY_REMOVE => Self::QueryRemove,
            SURPRISE_REMOVE => Self::SurpriseRemove,
            SUSPEND => Self::Suspend,
            other => return Err(WireError::Value("a request's kind", u64::from(other))),
        };
        reader.end(ITEM)?;
        Ok(request)
    }
}

fn caller(reader: &mut Reader<'_>, item: &'static str) -> Result<Caller> {
    let number = reader.u8(item)?;
    let caller = Caller::ALL.get(usize::from(number)).copied();
    caller.ok_or(WireError::Value("a caller", number.into()))
}

/// An offset that may be left out: whether there is one, and it.
fn put_offset(body: &mut Vec<u8>, offset: Option<u64>) {
    body.put_flag(offset.is_some());
    body.put_u64(offset.unwrap_or(0));
}

fn offset(reader: &mut Reader<'_>, item: &'static str) -> Result<Option<u64>> {
    let there = reader.flag(item)?;
    let value = reader.u64(item)?;
    Ok(there.then_some(value))
}

/// What the machine tells the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The device is started and can be opened; id 0.
    Ready {
        /// Processors that really came up.
        cpus: u32,
    },
    /// The driver's file cannot be loaded, for the named reason (a missing import, an unsupported relocation); id 0. The machine powers off.
    Refused {
        /// One line for people.
        reason: &'a str,
    },
    /// The driver was loaded but the device did not start; id 0. The machine powers off.
    NotStarted {
        /// What the driver returned.
        status: u32,
        /// Which of its routines it was, for people.
        stage: &'a str,
    },
    /// A request is done.
    Done {
        /// Its NTSTATUS.
        status: u32,
        /// Its output.
        output: &'a [u8],
    },
    /// The last frame of a run: the driver is unloaded and the machine powers off.
    Finished {
        /// What the kernel counted.
        counters: Counters,
    },
}

const READY: u32 = 0x101;
const REFUSED: u32 = 0x102;
const NOT_STARTED: u32 = 0x103;
const DONE: u32 = 0x104;
const FINISHED: u32 = 0x105;

impl<'a> Reply<'a> {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self, id: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let kind = match *self {
            Self::Ready { cpus } => {
                body.put_u32(cpus);
                READY
            }
            Self::Refused { reason } => {
                body.put_text(reason);
                REFUSED
            }
            Self::NotStarted { status, stage } => {
                body.put_u32(status);
                body.put_text(stage);
                NOT_STARTED
            }
            Self::Done { status, output } => {
                body.put_u32(status);
                body.put_bytes(output);
                DONE
            }
            Self::Finished { counters } => {
                counters.encode(&mut body);
                FINISHED
            }
        };
        frame(kind, id, &body)
    }

    /// Reads the body of a reply.
    ///
    /// # Errors
    /// [`WireError`] names the first item that is wrong.
    pub fn decode(header: Header, body: &'a [u8]) -> Result<Self> {
        const ITEM: &str = "a reply";
        let mut reader = Reader::new(body);
        let reply = match header.kind {
            READY => Self::Ready {
                cpus: reader.u32(ITEM)?,
            },
            REFUSED => Self::Refused {
                reason: reader.text(ITEM)?,
            },
            NOT_STARTED => Self::NotStarted {
                status: reader.u32(ITEM)?,
                stage: reader.text(ITEM)?,
            },
            DONE => Self::Done {
                status: reader.u32(ITEM)?,
                output: reader.remainder(),
            },
            FINISHED => Self::Finished {
                counters: Counters::decode(&mut reader)?,
            },
            other => return Err(WireError::Value("a reply's kind", u64::from(other))),
        };
        reader.end(ITEM)?;
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: &[Request<&'static [u8]>] = &[
        Request::Open {
            interface: [7; 16],
            access: Access {
                read: true,
                write: false,
            },
            caller: Caller::User,
        },
        Request::Open {
            interface: [0; 16],
            access: Access {
                read: false,
                write: true,
            },
            caller: Caller::Admin,
        },
        Request::Open {
            interface: [1; 16],
            access: Access {
                read: true,
                write: true,
            },
            caller: Caller::KernelAtDispatch,
        },
        Request::Ioctl {
            handle: 4,
            code: 0x0022_6004,
            capacity: 64,
            input: b"abc",
        },
        Request::Ioctl {
            handle: u64::MAX,
            code: 0,
            capacity: 0,
            input: b"",
        },
        Request::OpenName {
            access: Access {
                read: true,
                write: false,
            },
            caller: Caller::User,
            name: br"\\.\Sample",
        },
        Request::Read {
            handle: 4,
            length: 64,
            offset: None,
        },
        Request::Read {
            handle: 4,
            length: 0,
            offset: Some(1 << 40),
        },
        Request::Write {
            handle: 4,
            offset: Some(0),
            input: b"abc",
        },
        Request::Cancel { target: 9 },
        Request::Close { handle: 4 },
        Request::At {
            nth: 7,
            action: Action::Restart,
        },
        Request::ClientDeath,
        Request::QueryRemove,
        Request::SurpriseRemove,
        Request::Quit,
    ];

    fn replies() -> [Reply<'static>; 5] {
        [
            Reply::Ready { cpus: 2 },
            Reply::Refused {
                reason: "ntoskrnl.exe!KeFoo is not exported by the lab",
            },
            Reply::NotStarted {
                status: 0xC000_0001,
                stage: "DriverEntry",
            },
            Reply::Done {
                status: 0,
                output: b"xyz",
            },
            Reply::Finished {
                counters: Counters {
                    mwaitx: 3,
                    ..Counters::default()
                },
            },
        ]
    }

    fn split(bytes: &[u8]) -> (Header, &[u8]) {
        let (header, body) = bytes
            .split_first_chunk::<HEADER_LENGTH>()
            .expect("a frame has a header");
        (Header::decode(header).expect("the header is right"), body)
    }

    #[test]
    fn requests_round_trip() {
        for request in REQUESTS {
            let bytes = request.encode(42);
            let (header, body) = split(&bytes);
            assert_eq!((header.id, header.length as usize), (42, body.len()));
            assert_eq!(Request::decode(header, body), Ok(*request));
        }
    }

    #[test]
    fn replies_round_trip() {
        for reply in replies() {
            let bytes = reply.encode(7);
            let (header, body) = split(&bytes);
            assert_eq!((header.id, header.length as usize), (7, body.len()));
            assert_eq!(Reply::decode(header, body), Ok(reply));
        }
    }

    /// A body that carries free bytes at its end is shorter, not wrong, when it is cut there; all else must be noticed.
    #[test]
    fn truncated_bodies_are_errors() {
        for request in REQUESTS {
            let bytes = request.encode(1);
            let (header, body) = split(&bytes);
            let free = match request {
                Request::Ioctl { input, .. } | Request::Write { input, .. } => input.len(),
                Request::OpenName { name, .. } => name.len(),
                _ => 0,
            };
            let fixed = body.len() - free;
            for length in 0..fixed {
                assert!(
                    Request::decode(header, &body[..length]).is_err(),
                    "{request:?} cut to {length}"
                );
            }
        }
        for reply in replies() {
            let bytes = reply.encode(1);
            let (header, body) = split(&bytes);
            let fixed = if let Reply::Done { output, .. } = reply {
                body.len() - output.len()
            } else {
                body.len()
            };
            for length in 0..fixed {
                assert!(
                    Reply::decode(header, &body[..length]).is_err(),
                    "{reply:?} cut to {length}"
                );
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let header = |kind| Header {
            length: 0,
            kind,
            id: 0,
        };
        assert_eq!(
            Request::decode(header(99), &[]),
            Err(WireError::Value("a request's kind", 99))
        );
        assert_eq!(
            Reply::decode(header(1), &[]),
            Err(WireError::Value("a reply's kind", 1))
        );
        assert_eq!(
            Request::decode(header(QUIT), &[0]),
            Err(WireError::Trailing("a request"))
        );
        let mut long = [0; HEADER_LENGTH];
        long[..4].copy_from_slice(&(MAXIMUM_BODY + 1).to_le_bytes());
        assert!(Header::decode(&long).is_err());
    }
}
