//! The exit codes, which are `rundownctl`'s where both have one: 0 good, 1 a bad verdict, 2 bad input, 3 no verdict, 7 no output, 8 too
//! little seen for a verdict.

use std::{error::Error, fmt, fs::File, io::Read as _, path::Path, process::ExitStatus};

use anyhow::{Result, bail};
use rundown_streams::{EXIT_OUTPUT, Unwritable};

/// The verdict is bad.
const BAD: u8 = 1;
/// What the user gave cannot be used; nothing was built or booted.
pub(crate) const BAD_INPUT: u8 = 2;
/// There is no verdict: the set-up, a build, or the lab itself failed.
const NO_VERDICT: u8 = 3;

/// Nothing went wrong, and too little was seen to say that all is right.
const NOT_ENOUGH_SEEN: u8 = 8;

/// An end with an exit code of its own.
#[derive(Debug)]
struct Ended {
    code: u8,
    /// Empty, when the program behind the command has told it.
    line: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl Error for Ended {}

/// The error for input that cannot be used.
pub(crate) fn bad_input(line: impl fmt::Display) -> anyhow::Error {
    let line = line.to_string();
    Ended {
        code: BAD_INPUT,
        line,
    }
    .into()
}

/// The error for a verdict that would need more than was seen, once that has been told.
pub(crate) fn not_enough_seen() -> anyhow::Error {
    Ended {
        code: NOT_ENOUGH_SEEN,
        line: String::new(),
    }
    .into()
}

/// Whether a program that has a verdict came to a good one. One that ended otherwise has told why.
pub(crate) fn verdict(status: ExitStatus) -> Result<bool> {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(true),
        Some(BAD) => Ok(false),
        Some(code) => Err(Ended {
            code,
            line: String::new(),
        }
        .into()),
        None => bail!("it was ended: {status}"),
    }
}

/// The exit code, and the line for standard error.
pub(crate) fn code(outcome: &Result<bool>) -> (u8, Option<String>) {
    match outcome {
        Ok(true) => (0, None),
        Ok(false) => (BAD, None),
        Err(error) => {
            let code = match (error.downcast_ref::<Ended>(), error.downcast_ref::<Unwritable>()) {
                (Some(ended), _) => ended.code,
                (None, Some(_)) => EXIT_OUTPUT,
                (None, None) => NO_VERDICT,
            };
            let line = format!("{error:#}");
            (code, (!line.is_empty()).then_some(line))
        }
    }
}

/// The bytes of a file that the user names.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| bad_input(format!("{} cannot be read: {error}", path.display())))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn each_end_has_its_code_and_at_most_one_line() {
        assert_eq!(code(&Ok(true)), (0, None));
        assert_eq!(code(&Ok(false)), (1, None));
        assert_eq!(code(&Err(bad_input("x: no"))), (2, Some("x: no".into())));
        assert_eq!(code(&Err(anyhow::anyhow!("no lab"))), (3, Some("no lab".into())));
        let full = rundown_streams::judge(Err(std::io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(code(&Err(full.into())).0, 7);
    }

    #[test]
    fn a_programs_own_end_is_handed_on() {
        let ended = |raw| code(&verdict(ExitStatus::from_raw(raw)));
        assert_eq!(ended(0), (0, None));
        assert_eq!(ended(1 << 8), (1, None));
        assert_eq!(ended(2 << 8), (2, None));
        assert_eq!(ended(7 << 8), (7, None));
        let (code, line) = ended(9);
        assert!(code == 3 && line.unwrap().contains("signal: 9"));
    }

    #[test]
    fn a_file_that_is_not_there_is_bad_input() {
        let missing = read("/nowhere/x".as_ref()).map(|_| true);
        assert_eq!(code(&missing).0, 2);
    }
}
