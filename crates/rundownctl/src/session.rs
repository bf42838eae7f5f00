//! What every command works with: how to reach the target, and whether the user wants out.

use std::{
    cell::Cell,
    env,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rundown_abi::ObjectKind;

use crate::{
    error::Error,
    lab::Lab,
    names::Arm,
    target::{Spec, Target},
};

/// A command's surroundings.
pub struct Session<'a> {
    way: Way<'a>,
    interrupted: &'a AtomicBool,
    native_code: bool,
}

enum Way<'a> {
    To(&'a Spec),
    There(Cell<Option<Box<dyn Target>>>),
}

impl<'a> Session<'a> {
    /// A session with the target that the user named. `interrupted` becomes true when the user presses Ctrl-C.
    #[must_use]
    pub const fn new(target: &'a Spec, interrupted: &'a AtomicBool) -> Self {
        Self {
            way: Way::To(target),
            interrupted,
            native_code: false,
        }
    }

    /// A session with a target that is connected already; it can be had once.
    #[must_use]
    pub const fn with(target: Box<dyn Target>, interrupted: &'a AtomicBool) -> Self {
        Self {
            way: Way::There(Cell::new(Some(target))),
            interrupted,
            native_code: false,
        }
    }

    /// The same, in which the system's machine code is asked for as well if `wanted`.
    #[must_use]
    pub const fn with_native_code(mut self, wanted: bool) -> Self {
        self.native_code = wanted;
        self
    }

    /// Reaches the target. The lab boots a machine for it.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when there is none, and what the driver's start may end in.
    pub fn connect(&self) -> Result<Box<dyn Target>, Error> {
        match &self.way {
            Way::To(Spec::Lab(options)) => {
                Ok(Box::new(Lab::spawn(&options.program()?, &options.arguments())?))
            }
            #[cfg(windows)]
            Way::To(Spec::Device) => Ok(Box::new(crate::device::Device::new())),
            #[cfg(not(windows))]
            Way::To(Spec::Device) => Err(Error::Unreachable {
                what: "only Windows has the device".into(),
                advice: "use --target lab here".into(),
            }),
            Way::There(target) => target.take().ok_or_else(|| Error::Unreachable {
                what: "the target has ended".into(),
                advice: "connect to it anew".into(),
            }),
        }
    }

    /// The kind whose machine code tells what an arm runs; `None` for a floor, for the system's routines unless they are wanted, and
    /// for those in the lab, where a reference stands in for them.
    #[must_use]
    pub const fn code_behind(&self, arm: Arm) -> Option<ObjectKind> {
        let native = self.native_code && !matches!(self.way, Way::To(Spec::Lab(_)));
        match arm {
            Arm::Ours => Some(ObjectKind::Ours),
            Arm::OursWide => Some(ObjectKind::OursWide),
            Arm::OursCacheAware => Some(ObjectKind::OursCacheAware),
            Arm::Native if native => Some(ObjectKind::Native),
            Arm::NativeCacheAware if native => Some(ObjectKind::NativeCacheAware),
            _ => None,
        }
    }

    /// The listing of NT's own code that the lab runs as the system's.
    #[must_use]
    pub fn native_listing(&self) -> Option<&Path> {
        match &self.way {
            Way::To(Spec::Lab(options)) => options.native_listing(),
            _ => None,
        }
    }

    /// What is being done until [`Session::connect`] returns, in words.
    #[must_use]
    pub const fn beginning(&self) -> &'static str {
        match self.way {
            Way::To(Spec::Lab(_)) => "booting a machine in the lab",
            _ => "opening the device",
        }
    }

    /// Whether the user has pressed Ctrl-C.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        // Relaxed: the flag carries nothing but itself.
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// The command that repeats this process's work, as a shell reads it.
#[must_use]
pub fn command_line() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:,./\\".contains(c);
    let mut line = "rundownctl".to_owned();
    for argument in env::args_os().skip(1) {
        let argument = argument.to_string_lossy();
        line.push(' ');
        if !argument.is_empty() && argument.chars().all(plain) {
            line.push_str(&argument);
        } else {
            line.push('"');
            line.push_str(&argument);
            line.push('"');
        }
    }
    line
}
