//! The line protocol on standard input and output; `docs/lab-pipe.md` is its description for people.

use lab_wire::frame::{Access, Action, Caller, Request};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The version that the ready line names.
pub const VERSION: u32 = 1;

/// A request line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The client's id, which the reply repeats.
    pub id: u32,
    /// What to do.
    pub request: Request<Vec<u8>>,
}

/// What is wrong with a line, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError(String);

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let mut words = text.split_ascii_whitespace();
        let id = next(&mut words, "a request id")?;
        let id = id
            .parse()
            .map_err(|_| LineError(format!("\"{id}\" is not a request id (a decimal number)")))?;
        let request = match next(
            &mut words,
            "open, ioctl, read, write, cancel, close, at, query-remove, surprise-remove, suspend or quit",
        )? {
            "open" => {
                let target = next(&mut words, "an interface GUID or a name")?;
                // A name begins at the object manager's root.
                let interface = (!target.starts_with('\\')).then(|| guid(target)).transpose()?;
                let access = access(next(&mut words, "r, w, rw or -")?)?;
                let caller = caller(words.next())?;
                match interface {
                    Some(interface) => Request::Open {
                        interface,
                        access,
                        caller,
                    },
                    None => Request::OpenName {
                        access,
                        caller,
                        name: target.into(),
                    },
                }
            }
            "ioctl" => Request::Ioctl {
                handle: number(next(&mut words, "a handle")?, "a handle")?,
                code: number32(next(&mut words, "a control code")?, "a control code")?,
                capacity: number32(next(&mut words, "an output capacity")?, "an output capacity")?,
                input: bytes(next(&mut words, "input bytes in hex, or -")?)?,
            },
            "read" => Request::Read {
                handle: number(next(&mut words, "a handle")?, "a handle")?,
                length: number32(next(&mut words, "a length")?, "a length")?,
                offset: offset(words.next())?,
            },
            "write" => Request::Write {
                handle: number(next(&mut words, "a handle")?, "a handle")?,
                input: bytes(next(&mut words, "bytes in hex, or -")?)?,
                offset: offset(words.next())?,
            },
            "cancel" => Request::Cancel {
                target: number32(next(&mut words, "the id of a request")?, "the id of a request")?,
            },
            "close" => Request::Close {
                handle: number(next(&mut words, "a handle")?, "a handle")?,
            },
            "at" => Request::At {
                nth: number(next(&mut words, "a number")?, "a number")?,
                action: action(next(&mut words, "an action")?)?,
            },
            "query-remove" => Request::QueryRemove,
            "surprise-remove" => Request::SurpriseRemove,
            "suspend" => Request::Suspend,
            "quit" => Request::Quit,
            other => {
                return Err(LineError(format!(
                    "\"{other}\" is not a request: open, ioctl, read, write, cancel, close, at, query-remove, surprise-remove, suspend or quit expected"
                )));
            }
        };
        match words.next() {
            None => Ok(Self { id, request }),
            Some(extra) => Err(LineError(format!("\"{extra}\" is one word too many"))),
        }
    }
}

fn next<'a>(words: &mut impl Iterator<Item = &'a str>, expected: &str) -> Result<&'a str, LineError> {
    words
        .next()
        .ok_or_else(|| LineError(format!("the line ends where {expected} should be")))
}

/// Decimal, or hexadecimal after `0x`.
fn number(word: &str, what: &str) -> Result<u64, LineError> {
    let parsed = match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => word.parse(),
    };
    parsed.map_err(|_| LineError(format!("\"{word}\" is not {what}")))
}

/// An offset in the file, if there is one.
fn offset(word: Option<&str>) -> Result<Option<u64>, LineError> {
    word.map(|word| number(word, "an offset")).transpose()
}

fn number32(word: &str, what: &str) -> Result<u32, LineError> {
    u32::try_from(number(word, what)?).map_err(|_| LineError(format!("\"{word}\" does not fit 32 bits")))
}

fn access(word: &str) -> Result<Access, LineError> {
    let (read, write) = match word {
        "r" => (true, false),
        "w" => (false, true),
        "rw" => (true, true),
        "-" => (false, false),
        other => {
            return Err(LineError(format!(
                "\"{other}\" is not an access: r, w, rw or - expected"
            )));
        }
    };
    Ok(Access { read, write })
}

fn action(word: &str) -> Result<Action, LineError> {
    Action::ALL
        .into_iter()
        .find(|action| action.name() == word)
        .ok_or_else(|| {
            let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
            LineError(format!(
                "\"{word}\" is not an action: one of {} expected",
                names.join(", ")
            ))
        })
}

fn caller(word: Option<&str>) -> Result<Caller, LineError> {
    match word {
        None | Some("admin") => Ok(Caller::Admin),
        Some("user") => Ok(Caller::User),
        Some("debugger") => Ok(Caller::Debugger),
        Some("kernel") => Ok(Caller::Kernel),
        Some("kernel-at-dispatch") => Ok(Caller::KernelAtDispatch),
        Some(other) => Err(LineError(format!(
            "\"{other}\" is not a caller: admin, user, debugger, kernel or kernel-at-dispatch expected"
        ))),
    }
}

/// Bytes out of pairs of hexadecimal digits, or `-`.
///
/// # Errors
/// What is wrong with them.
pub fn bytes(word: &str) -> Result<Vec<u8>, LineError> {
    if word == "-" {
        return Ok(Vec::new());
    }
    hex::decode(word)
        .map_err(|_| LineError("input bytes are not an even number of hexadecimal digits".into()))
}

/// A GUID in text, with or without braces, to memory order: the first three groups are little-endian.
fn guid(word: &str) -> Result<[u8; 16], LineError> {
    // Of the forms that the library reads, the two with hyphens.
    let inner = word
        .strip_prefix('{')
        .map_or(Some(word), |rest| rest.strip_suffix('}'));
    inner
        .filter(|inner| inner.len() == 36)
        .and_then(|inner| Uuid::try_parse(inner).ok())
        .map(|guid| guid.to_bytes_le())
        .ok_or_else(|| {
            LineError(format!(
                "\"{word}\" is not a GUID such as 01234567-89ab-cdef-0123-456789abcdef"
            ))
        })
}

/// `<id> 0x<ntstatus> <text>`
#[must_use]
pub fn reply(id: u32, status: u32, text: &str) -> String {
    format!("{id} 0x{status:08X} {text}")
}

/// Reads [`reply`]'s line: the id, the NTSTATUS, and the text.
#[must_use]
pub fn answer(line: &str) -> Option<(u32, (u32, String))> {
    let mut words = line.splitn(3, ' ');
    let id = words.next()?.parse().ok()?;
    let status = u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    Some((id, (status, words.next()?.to_owned())))
}

/// Bytes as the protocol writes them; none are `-`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "-".into()
    } else {
        hex::encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        text.parse().expect(text)
    }

    #[test]
    fn requests() {
        assert_eq!(
            line("1 open {01234567-89ab-cdef-0123-456789abcdef} rw"),
            Line {
                id: 1,
                request: Request::Open {
                    interface: [
                        0x67, 0x45, 0x23, 0x01, 0xAB, 0x89, 0xEF, 0xCD, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB,
                        0xCD, 0xEF
                    ],
                    access: Access {
                        read: true,
                        write: true
                    },
                    caller: Caller::Admin,
                }
            }
        );
        assert_eq!(
            line(r"2 open \\.\Sample r user").request,
            Request::OpenName {
                access: Access {
                    read: true,
                    write: false
                },
                caller: Caller::User,
                name: br"\\.\Sample".to_vec(),
            }
        );
        assert!(matches!(
            line("2 open 01234567-89AB-CDEF-0123-456789ABCDEF - user").request,
            Request::Open {
                access: Access {
                    read: false,
                    write: false
                },
                caller: Caller::User,
                ..
            }
        ));
        assert_eq!(
            line("3 ioctl 4 0x22e004 16 00fF"),
            Line {
                id: 3,
                request: Request::Ioctl {
                    handle: 4,
                    code: 0x22_E004,
                    capacity: 16,
                    input: vec![0, 255]
                }
            }
        );
        assert_eq!(
            line(" 4  ioctl 0x4 0x22e004 0 - \r").request,
            Request::Ioctl {
                handle: 4,
                code: 0x22_E004,
                capacity: 0,
                input: vec![]
            }
        );
        assert_eq!(line("5 cancel 3").request, Request::Cancel { target: 3 });
        assert_eq!(line("6 close 4").request, Request::Close { handle: 4 });
        assert_eq!(line("7 quit").request, Request::Quit);
        assert_eq!(
            line("10 at 17 fail").request,
            Request::At {
                nth: 17,
                action: Action::Fail
            }
        );
        assert_eq!(line("8 query-remove").request, Request::QueryRemove);
        assert_eq!(line("9 surprise-remove").request, Request::SurpriseRemove);
        assert_eq!(line("11 suspend").request, Request::Suspend);
    }

    #[test]
    fn reads_and_writes() {
        assert_eq!(
            line("5 read 4 16").request,
            Request::Read {
                handle: 4,
                length: 16,
                offset: None
            }
        );
        assert_eq!(
            line("5 read 4 0 0x100000000").request,
            Request::Read {
                handle: 4,
                length: 0,
                offset: Some(1 << 32)
            }
        );
        assert_eq!(
            line("5 write 4 0aff 7").request,
            Request::Write {
                handle: 4,
                input: vec![10, 255],
                offset: Some(7)
            }
        );
        assert_eq!(
            line("5 write 4 -").request,
            Request::Write {
                handle: 4,
                input: vec![],
                offset: None
            }
        );
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        for (text, message) in [
            ("", "a request id"),
            ("x quit", "not a request id"),
            ("4294967296 quit", "not a request id"),
            ("1", "open, ioctl"),
            ("1 dance", "\"dance\" is not a request"),
            ("1 quit now", "\"now\" is one word too many"),
            ("1 open", "an interface GUID"),
            ("1 open 0123 r", "is not a GUID"),
            ("1 open {01234567-89ab-cdef-0123-456789abcdef r", "is not a GUID"),
            ("1 open 01234567-89ab-cdef-0123-456789abcdeg r", "is not a GUID"),
            (
                "1 open 01234567-89ab-cdef-0123-456789abcdef x",
                "is not an access",
            ),
            (
                "1 open 01234567-89ab-cdef-0123-456789abcdef r root",
                "is not a caller",
            ),
            ("1 ioctl 4 0x1ffffffff 0 -", "does not fit"),
            ("1 ioctl 4 0x1 0 abc", "even number"),
            ("1 ioctl 4 0x1 0 zz", "even number"),
            ("1 ioctl 4 0x1 0 é", "even number"),
            ("1 at x fail", "is not a number"),
            ("1 at 1 explode", "is not an action: one of nothing, fail"),
            ("1 ioctl four 0x1 0 -", "is not a handle"),
            ("1 ioctl 4 0x1 0", "input bytes"),
            ("1 read 4", "a length"),
            ("1 read 4 1 x", "\"x\" is not an offset"),
            ("1 write 4", "bytes in hex"),
            ("1 write 4 0", "even number"),
            ("1 write 4 00 1 2", "one word too many"),
        ] {
            let error = text.parse::<Line>().expect_err(text).to_string();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn replies() {
        assert_eq!(reply(7, 0xC000_0022, "-"), "7 0xC0000022 -");
        assert_eq!(reply(8, 0, &hex(&[1, 0xAB])), "8 0x00000000 01ab");
        assert_eq!(hex(&[]), "-");
        assert_eq!(answer("8 0x00000000 01ab"), Some((8, (0, "01ab".into()))));
        assert_eq!(answer("bugcheck 0x000000C4 NAME text"), None);
    }
}
