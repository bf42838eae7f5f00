//! Scripts: the requests that a sweep repeats, one a line, as on the pipe but without ids.
//!
//! ```text
//! # open the device, start something, look at it
//! open {01234567-89ab-cdef-0123-456789abcdef} rw
//! ioctl $1 0x8052e040 16 3000000001000000
//! sleep 20
//! & ioctl $1 0x80526044 128 1000000001000000{2:8-16}
//! ```
//! Lines are counted from 1 without comments and empty lines. `$1` is the handle that line 1 answered with, `{2:8-16}` the bytes 8 to 15 of
//! line 2's output. A line that needs the answer of one that failed is left out. `&` goes on without waiting for the answer. `cancel 4` cancels
//! line 4's request. `sleep` takes milliseconds; `suspend` lets the machine sleep and wake.

use crate::pipe;
use lab_wire::frame::Request;
use lab_wire::script as wire;
use std::cell::RefCell;
use std::time::Duration;

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A request; references are still in it.
    Request {
        /// Its text.
        text: String,
        /// Whether the script goes on without its answer.
        pending: bool,
    },
    /// Nothing, for a while.
    Sleep(Duration),
}

/// Reads a script.
///
/// # Errors
/// One line that says which line of the script is wrong, and how.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let step = step(line, steps.len()).map_err(|e| format!("line {number} of the script: {e}"))?;
        steps.push(step);
    }
    if steps.is_empty() {
        return Err("the script has no request".into());
    }
    Ok(steps)
}

fn step(line: &str, before: usize) -> Result<Step, String> {
    if let Some(milliseconds) = line.strip_prefix("sleep ") {
        let milliseconds = milliseconds.trim().parse();
        return Ok(Step::Sleep(Duration::from_millis(
            milliseconds.map_err(|_| "sleep takes milliseconds")?,
        )));
    }
    let (pending, text) = match line.strip_prefix('&') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    // With every reference answered, it has to be a request.
    let sample = resolve(text, |index, bytes| {
        if index >= before {
            return Err(format!(
                "it refers to line {}, which does not come before it",
                index + 1
            ));
        }
        Ok(Some(
            bytes.map_or_else(|| "4".into(), |(from, to)| "00".repeat(to - from)),
        ))
    })?;
    let parsed: pipe::Line = format!("1 {}", sample.unwrap_or_default())
        .parse()
        .map_err(|e: pipe::LineError| e.to_string())?;
    match parsed.request {
        Request::Cancel { target } if target == 0 || target as usize > before => {
            Err(format!("it cancels line {target}, which does not come before it"))
        }
        Request::Open { .. }
        | Request::OpenName { .. }
        | Request::Ioctl { .. }
        | Request::Read { .. }
        | Request::Write { .. }
        | Request::Cancel { .. }
        | Request::Close { .. }
        | Request::Suspend => Ok(Step::Request {
            text: text.to_owned(),
            pending,
        }),
        _ => Err("a script has open, ioctl, read, write, cancel, close, suspend and sleep".into()),
    }
}

/// Puts answers into a request. `answer` gives the text of a line's handle, or of a range of its output; `None` leaves the request out.
///
/// # Errors
/// What is wrong with a reference.
pub fn resolve(
    text: &str,
    answer: impl Fn(usize, Option<(usize, usize)>) -> Result<Option<String>, String>,
) -> Result<Option<String>, String> {
    let index = |digits: &str| match digits.parse::<usize>() {
        Ok(number) if number > 0 => Ok(number - 1),
        _ => Err(format!("\"{digits}\" is not the number of a line")),
    };
    let mut words = Vec::new();
    for word in text.split_ascii_whitespace() {
        if let Some(digits) = word.strip_prefix('$') {
            match answer(index(digits)?, None)? {
                Some(handle) => words.push(handle),
                None => return Ok(None),
            }
            continue;
        }
        let mut out = String::new();
        let mut rest = word;
        while let Some((before, reference)) = rest.split_once('{') {
            let Some((inside, after)) = reference.split_once('}') else {
                return Err(format!("\"{word}\" has a {{ without a }}"));
            };
            out.push_str(before);
            match inside.split_once(':') {
                // A GUID is in braces, too.
                None => out.extend(["{", inside, "}"]),
                Some((line, range)) => {
                    let range = range.split_once('-').and_then(|(from, to)| {
                        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
                        (from < to).then_some((from, to))
                    });
                    let range = range.ok_or_else(|| format!("\"{inside}\" is not LINE:FROM-TO"))?;
                    match answer(index(line)?, Some(range))? {
                        Some(bytes) => out.push_str(&bytes),
                        None => return Ok(None),
                    }
                }
            }
            rest = after;
        }
        out.push_str(rest);
        words.push(out);
    }
    Ok(Some(words.join(" ")))
}

/// The script for the machine to carry out by itself.
///
/// # Errors
/// What is wrong with a request.
pub fn compile(steps: &[Step]) -> Result<Vec<wire::Step>, String> {
    steps.iter().map(compile_step).collect()
}

fn compile_step(step: &Step) -> Result<wire::Step, String> {
    let (text, pending) = match step {
        Step::Sleep(time) => {
            return Ok(wire::Step {
                sleep: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
                ..wire::Step::default()
            });
        }
        Step::Request { text, pending } => (text, *pending),
    };
    // Where the frame differs with one filling of the references from the other, there they are, in order.
    let (zeroes, references) = filled(text, 0)?;
    let (ones, _) = filled(text, 0xFF)?;
    let mut places = (0..)
        .zip(zeroes.iter().zip(&ones))
        .filter(|(_, (zero, one))| zero != one)
        .map(|(place, _)| place);
    let mut patches = Vec::new();
    for (index, from, length) in references {
        let offset = places
            .next()
            .ok_or_else(|| format!("\"{text}\" has a reference where none can be"))?;
        places.by_ref().take(length - 1).for_each(drop);
        let number = |value: usize| u32::try_from(value).map_err(|e| e.to_string());
        patches.push(wire::Patch {
            offset,
            step: number(index)?,
            from: number(from)?,
            length: number(length)?,
        });
    }
    Ok(wire::Step {
        sleep: 0,
        pending,
        frame: zeroes,
        patches,
    })
}

/// Which step, from which byte, how many.
type Reference = (usize, usize, usize);

/// A request's frame with every byte of its references set to `byte`, and the references in order.
fn filled(text: &str, byte: u8) -> Result<(Vec<u8>, Vec<Reference>), String> {
    let references = RefCell::new(Vec::new());
    let request = resolve(text, |index, range| {
        let (from, length) = range.map_or((0, 8), |(from, to)| (from, to - from));
        references.borrow_mut().push((index, from, length));
        Ok(Some(match range {
            None => u64::from_le_bytes([byte; 8]).to_string(),
            Some(_) => pipe::hex(&vec![byte; length]),
        }))
    })?;
    let line: pipe::Line = format!("1 {}", request.unwrap_or_default())
        .parse()
        .map_err(|e: pipe::LineError| e.to_string())?;
    Ok((line.request.encode(line.id), references.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# comment\n\nopen {01234567-89ab-cdef-0123-456789abcdef} rw\nioctl $1 0x80 16 30\nsleep 20\n& ioctl $1 0x84 8 10{2:0-4}ff\n";

    #[test]
    fn a_script_is_read() {
        let steps = parse(GOOD).unwrap();
        assert_eq!(steps.len(), 4);
        assert_eq!(steps[2], Step::Sleep(Duration::from_millis(20)));
        assert_eq!(
            steps[3],
            Step::Request {
                text: "ioctl $1 0x84 8 10{2:0-4}ff".into(),
                pending: true
            }
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, message) in [
            ("", "no request"),
            ("dance", "line 1 of the script: \"dance\""),
            (
                "quit",
                "open, ioctl, read, write, cancel, close, suspend and sleep",
            ),
            (
                "sleep 1\ncancel 2",
                "cancels line 2, which does not come before it",
            ),
            (
                "\nioctl $1 0x80 16 -",
                "line 2 of the script: it refers to line 1",
            ),
            ("ioctl $x 0x80 16 -", "not the number of a line"),
            ("sleep long", "milliseconds"),
            (
                "open {01234567-89ab-cdef-0123-456789abcdef} rw\nioctl $1 0x80 8 {1:4-4}",
                "LINE:FROM-TO",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_script_is_compiled_with_its_references() {
        let steps = compile(&parse(GOOD).unwrap()).unwrap();
        assert_eq!((steps[2].sleep, steps[2].frame.len()), (20, 0));
        assert!(steps[3].pending);
        let patch = |offset, step, from, length| wire::Patch {
            offset,
            step,
            from,
            length,
        };
        // A header of 12 bytes, the handle, the code, the capacity, the input.
        assert_eq!(steps[3].patches, [patch(12, 0, 0, 8), patch(29, 1, 0, 4)]);
        assert_eq!((steps[3].frame[28], steps[3].frame[33]), (0x10, 0xFF));
    }

    #[test]
    fn references_take_answers() {
        let answer = |index: usize, range: Option<(usize, usize)>| {
            Ok((index != 2)
                .then(|| range.map_or_else(|| format!("h{index}"), |(from, to)| "ab".repeat(to - from))))
        };
        assert_eq!(
            resolve("ioctl $1 0x80 8 {2:0-2}ff", answer),
            Ok(Some("ioctl h0 0x80 8 ababff".into()))
        );
        assert_eq!(resolve("close $3", answer), Ok(None), "line 3 has no answer");
    }
}
