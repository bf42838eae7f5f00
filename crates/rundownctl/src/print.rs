//! Standard output for a program that people pipe into `head`, and standard error that may be full or closed.

use std::{
    env, fmt,
    io::{self, ErrorKind, Write, stderr, stdout},
};

use crate::error::Error;

/// Prints `text` as it is. A reader that has gone away wants no more of it, which is no error.
///
/// # Errors
/// [`Error::File`] when standard output cannot be written to.
pub fn raw(text: impl AsRef<[u8]>) -> Result<(), Error> {
    let mut out = stdout().lock();
    judged(out.write_all(text.as_ref()).and_then(|()| out.flush()))
}

fn judged(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Error::File {
            path: "standard output".into(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Prints `text` and ends its line.
///
/// # Errors
/// As [`raw`].
pub fn line(text: impl AsRef<str>) -> Result<(), Error> {
    raw(format!("{}\n", text.as_ref()))
}

/// Prints what the command line's reader has to say, an error or the help that was asked for; the exit code.
#[must_use]
pub fn of_clap(error: &clap::Error) -> u8 {
    let written = error.print().and_then(|()| stdout().flush());
    match judged(written) {
        // An error that cannot be told is one all the same.
        _ if error.use_stderr() => u8::try_from(error.exit_code()).unwrap_or(2),
        Ok(()) => 0,
        Err(error) => {
            tell(format_args!("rundownctl: {error}"));
            error.exit_code()
        }
    }
}

/// Tells a line on standard error. When that is full or closed, there is nobody to tell.
pub fn tell(line: fmt::Arguments<'_>) {
    let _ = stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Whether people's tables may have UTF-8's line drawing: not where the locale names another encoding, `C` and `POSIX` among them.
/// A console of Windows is written to in Unicode.
#[must_use]
pub fn is_utf8() -> bool {
    cfg!(windows) || names_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).unwrap_or_default()))
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
    use super::names_utf8;

    #[test]
    fn the_locale_names_the_encoding() {
        for (variables, utf8) in [
            (["", "", ""], true),
            (["", "", "de_DE.UTF-8"], true),
            (["", "", "C.utf8"], true),
            (["", "", "C"], false),
            (["", "", "de_DE.ISO-8859-1"], false),
            (["POSIX", "", "en_GB.UTF-8"], false),
            (["en_GB.UTF-8", "C", "C"], true),
            (["", "C", "en_GB.UTF-8"], false),
        ] {
            assert_eq!(names_utf8(variables.map(str::to_owned)), utf8, "{variables:?}");
        }
    }
}
