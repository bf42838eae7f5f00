//! The driver on this Windows: installed, started, removed.
//!
//! `setup` does it; here is what it found, in a form that is the same on every system and can be tested on each.

use std::fmt;

mod explain;
pub mod removal;
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
    /// It is removed when Windows restarts.
    Leaving,
    /// It is not present; its registry entries are still there.
    Absent,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Stopped => f.write_str("stopped"),
            Self::Problem(code) => write!(f, "code {code}: {}", problem(*code)),
            Self::Leaving => f.write_str("removed when Windows restarts"),
            Self::Absent => f.write_str("not present; `rundownctl uninstall` clears it away"),
        }
    }
}

/// Bits of a device's status: `DN_STARTED`, `DN_HAS_PROBLEM` and `DN_WILL_BE_REMOVED` of `cfg.h`.
const STARTED: u32 = 0x0000_0008;
const HAS_PROBLEM: u32 = 0x0000_0400;
const WILL_BE_REMOVED: u32 = 0x0004_0000;

impl State {
    /// What `CM_Get_DevNode_Status` tells: the status and the problem; none of a device that is not present.
    #[must_use]
    pub const fn of(told: Option<(u32, u32)>) -> Self {
        match told {
            None => Self::Absent,
            Some((status, _)) if status & WILL_BE_REMOVED != 0 => Self::Leaving,
            Some((status, problem)) if status & HAS_PROBLEM != 0 => Self::Problem(problem),
            Some((status, _)) if status & STARTED != 0 => Self::Started,
            Some(_) => Self::Stopped,
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

    #[test]
    fn a_device_that_leaves_is_told_from_one_that_is_not_there() {
        for (told, state) in [
            (Some((STARTED, 0)), State::Started),
            (Some((0, 0)), State::Stopped),
            (Some((HAS_PROBLEM, 52)), State::Problem(52)),
            (Some((STARTED | WILL_BE_REMOVED, 0)), State::Leaving),
            (Some((HAS_PROBLEM | WILL_BE_REMOVED, 21)), State::Leaving),
            (None, State::Absent),
        ] {
            assert_eq!(State::of(told), state, "{told:x?}");
        }
        assert!(State::Leaving.to_string().contains("restarts"));
        assert!(!State::Absent.to_string().contains("restarts"));
    }
}
