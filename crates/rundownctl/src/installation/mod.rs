//! The driver on this Windows: installed, started, removed.
//!
//! `setup` does it; here is what it found, in a form that is the same on every system and can be tested on each.

use std::fmt;

mod explain;
// SetupAPI's routines can only be called through pointers.
#[cfg(windows)]
#[allow(unsafe_code)]
pub mod setup;

pub use explain::{problem, win32};

/// The hardware ID of the device that the INF installs the driver on.
pub const HARDWARE_ID: &str = r"Root\Rundown";

/// A device with our hardware ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its instance ID, such as `ROOT\RUNDOWN\0000`.
    pub instance: String,
    /// Whether it works.
    pub state: State,
    /// The driver package's published name, such as `oem7.inf`.
    pub package: Option<String>,
    /// The package's `DriverVer`.
    pub version: Option<String>,
}

/// Whether a device works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its driver runs.
    Started,
    /// It is there, without a driver that runs and without a problem code.
    Stopped,
    /// It does not start; the number is Device Manager's.
    Problem(u32),
    /// It was removed, and its registry entries are still there.
    Gone,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Stopped => f.write_str("stopped"),
            Self::Problem(code) => write!(f, "code {code}: {}", problem(*code)),
            Self::Gone => f.write_str("removed when Windows restarts"),
        }
    }
}

impl Device {
    /// The device in one line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let package = match (&self.package, &self.version) {
            (Some(package), Some(version)) => format!(" ({package}, {version})"),
            (Some(package), None) => format!(" ({package})"),
            (None, _) => String::new(),
        };
        format!("{}: {}{package}", self.instance, self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_line() {
        let mut device = Device {
            instance: r"ROOT\RUNDOWN\0000".into(),
            state: State::Started,
            package: Some("oem7.inf".into()),
            version: Some("0.1.0.0".into()),
        };
        assert_eq!(device.line(), r"ROOT\RUNDOWN\0000: started (oem7.inf, 0.1.0.0)");
        device.state = State::Problem(52);
        device.package = None;
        let line = device.line();
        assert!(line.contains("code 52: ") && line.contains("bcdedit"), "{line}");
    }
}
