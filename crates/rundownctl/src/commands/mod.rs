//! The commands: one file each, with its options as the user types them and what it does.

pub mod compare;
pub mod completions;
pub mod conform;
pub mod info;
pub mod install;
pub mod interop;
pub mod man;
pub mod objects;
pub mod raw;
pub mod report;
pub mod schema;
pub mod shell;
pub mod status;
pub mod stress;
pub mod uninstall;
pub mod watch;

/// The exit code of [`Error::Unreachable`], of a target that could not be used.
///
/// [`Error::Unreachable`]: crate::error::Error::Unreachable
const NOT_READY: u8 = 3;

/// Why only Windows installs drivers.
#[cfg(not(windows))]
fn not_windows() -> crate::error::Error {
    crate::error::Error::Unreachable {
        what: "only Windows installs drivers, and the lab brings its own".into(),
        advice: "--show prints what to type on Windows".into(),
    }
}
