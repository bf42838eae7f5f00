//! Standard output and standard error: what std's `print!` does by a panic is an error here, or nothing.
//!
//! Standard output holds a program's result. One that cannot be written ends the program with [`EXIT_OUTPUT`], but for a reader that
//! has gone away, as `head` does: it wants no more. Standard error holds explanations; one that is full or closed is ignored, since
//! there is nobody to tell.

use std::{
    env, fmt,
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

/// The exit code of a program that was asked for its help, by how printing that went; a failure is told.
#[must_use]
pub fn printed(program: &str, written: io::Result<()>) -> u8 {
    match judge(written.and_then(|()| stdout().flush())) {
        Ok(()) => 0,
        Err(unwritable) => {
            tell(format_args!("{program}: {unwritable}\n"));
            EXIT_OUTPUT
        }
    }
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

/// Whether people's tables may have UTF-8's line drawing: not where the locale names another encoding, `C` and `POSIX` among them.
#[must_use]
pub fn is_utf8() -> bool {
    names_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).unwrap_or_default()))
}

/// The first variable that is set counts (POSIX, *Environment Variables*, 8.2). Where none is, nothing is known, as in a
/// container, whose terminal is nearly always UTF-8.
fn names_utf8(variables: [String; 3]) -> bool {
    let named = variables.into_iter().find(|value| !value.is_empty());
    named.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_names_the_encoding() {
        for (variables, utf8) in [
            (["", "", ""], true),
            (["", "", "C.utf8"], true),
            (["", "", "C"], false),
            (["POSIX", "", "en_GB.UTF-8"], false),
            (["en_GB.UTF-8", "C", "C"], true),
        ] {
            assert_eq!(names_utf8(variables.map(str::to_owned)), utf8, "{variables:?}");
        }
    }

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
