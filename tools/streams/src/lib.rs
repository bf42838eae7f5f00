//! Standard output and standard error: what std's `print!` does by a panic is an error here, or nothing.
//!
//! Standard output holds a program's result. One that cannot be written ends the program with [`EXIT_OUTPUT`], but for a reader that
//! has gone away, as `head` does: it wants no more. Standard error holds explanations; one that is full or closed is ignored, since
//! there is nobody to tell.

use std::{
    fmt,
    io::{self, ErrorKind, Write, stderr, stdout},
};

/// The exit code of a program whose result cannot be written; `rundownctl` has the same.
pub const EXIT_OUTPUT: u8 = 7;

/// Standard output cannot be written.
#[derive(Debug)]
pub struct Unwritable(io::Error);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output cannot be written: {}", self.0)
    }
}

impl std::error::Error for Unwritable {}

/// Returns the failure of a write to standard output, if it is one.
///
/// # Errors
/// [`Unwritable`], unless the reader has gone away.
pub fn judge(written: io::Result<()>) -> Result<(), Unwritable> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Unwritable(error)),
        _ => Ok(()),
    }
}

/// Writes `text` to standard output as it is.
///
/// # Errors
/// As [`judge`].
pub fn raw(text: impl fmt::Display) -> Result<(), Unwritable> {
    let mut out = stdout().lock();
    judge(write!(out, "{text}").and_then(|()| out.flush()))
}

/// Writes `text` and the end of its line to standard output.
///
/// # Errors
/// As [`judge`].
pub fn line(text: impl fmt::Display) -> Result<(), Unwritable> {
    raw(format_args!("{text}\n"))
}

/// Writes to standard error, whether that succeeds or not; the macros [`tell!`] and [`tell_raw!`] are for people to write.
pub fn tell(text: fmt::Arguments<'_>) {
    // In one write: two programs that tell something must not mix within a line.
    let _ = stderr().lock().write_all(text.to_string().as_bytes());
}

/// Tells a line on standard error, as `eprintln!` does, and never panics.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => { $crate::tell(format_args!("{}\n", format_args!($($text)*))) };
}

/// Tells a text on standard error, as `eprint!` does, and never panics.
#[macro_export]
macro_rules! tell_raw {
    ($($text:tt)*) => { $crate::tell(format_args!($($text)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_left_is_no_failure() {
        assert!(judge(Ok(())).is_ok());
        assert!(judge(Err(ErrorKind::BrokenPipe.into())).is_ok());
        let full = judge(Err(ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(
            full.to_string(),
            "standard output cannot be written: no storage space"
        );
    }
}
