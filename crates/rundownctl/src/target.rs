//! Where the driver runs, and how one talks to it: requests as bytes, answers as bytes or an NTSTATUS.

use std::{
    env,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use crate::error::Error;

/// A machine with the driver on it.
pub trait Target {
    /// Opens the driver's device interface.
    ///
    /// # Errors
    /// [`Error::Refused`] when the system refuses; otherwise the target could not be reached or has died.
    fn open(&mut self, access: Access, user: User) -> Result<Handle, Error>;

    /// Sends a request and does not wait for its completion.
    ///
    /// # Errors
    /// When it cannot be sent. What the request itself comes to is the affair of [`Target::answer`].
    fn begin(&mut self, handle: Handle, request: &Ioctl<'_>) -> Result<Ticket, Error>;

    /// The answer to a request that was sent, of at most `capacity` bytes; `None` when it does not come within
    /// `patience`. An answer can be had once.
    ///
    /// # Errors
    /// [`Error::Refused`] when the request completes with an NTSTATUS that is not a success.
    fn answer(&mut self, ticket: Ticket, patience: Duration) -> Result<Option<Vec<u8>>, Error>;

    /// Asks for a request to be cancelled. It still has its answer, as a rule `STATUS_CANCELLED`.
    ///
    /// # Errors
    /// When that cannot be asked for. A request that has completed meanwhile is no error.
    fn cancel(&mut self, ticket: Ticket) -> Result<(), Error>;

    /// Sends a request and waits for its completion.
    ///
    /// # Errors
    /// As [`Target::begin`] and [`Target::answer`].
    fn ioctl(&mut self, handle: Handle, request: &Ioctl<'_>) -> Result<Vec<u8>, Error> {
        let ticket = self.begin(handle, request)?;
        loop {
            if let Some(answer) = self.answer(ticket, Duration::MAX)? {
                return Ok(answer);
            }
        }
    }

    /// Closes a handle that [`Target::open`] gave.
    ///
    /// # Errors
    /// As [`Target::ioctl`].
    fn close(&mut self, handle: Handle) -> Result<(), Error>;

    /// The mode of the lab's machine; `None` if the lab runs nothing here.
    fn lab_mode(&self) -> Option<&str> {
        None
    }

    /// Ends the target. The lab unloads the driver and judges it; the device of a running system needs nothing.
    ///
    /// # Errors
    /// [`Error::DriverFailed`] when the driver did not pass, for example because it leaked.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// A handle to the open device; what its number means is the target's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub u64);

/// A request that is under way; what its number means is the target's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A device control request.
#[derive(Clone, Copy, Debug)]
pub struct Ioctl<'a> {
    /// What it is, in words, for messages.
    pub name: &'a str,
    /// The control code.
    pub code: u32,
    /// The input buffer.
    pub input: &'a [u8],
    /// The size of the output buffer in bytes.
    pub capacity: usize,
}

/// The access that a handle is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Access {
    /// Neither reading nor writing.
    #[value(name = "none")]
    None,
    /// `FILE_READ_DATA`.
    #[value(name = "r")]
    Read,
    /// `FILE_WRITE_DATA`.
    #[value(name = "w")]
    Write,
    /// Both.
    #[value(name = "rw")]
    ReadWrite,
}

/// Who opens the device. On Windows it is always the user that runs the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum User {
    /// A member of Administrators, elevated.
    #[default]
    Administrator,
    /// Anybody else; the lab plays one.
    Other,
}

/// `--target`: which machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// The driver of the running Windows.
    Device,
    /// A machine that `rundown-lab serve` starts for us.
    Lab(LabOptions),
}

/// The lab's option that lets a driver break rules, and the rule that the system's wait at `DISPATCH_LEVEL` breaks.
const ALLOW: [&str; 2] = ["allow", "rundown-wait"];

/// What follows `lab:`, as keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabOptions {
    program: Option<PathBuf>,
    passed_through: Vec<(String, String)>,
}

impl Spec {
    /// The target of a user who names none.
    pub const DEFAULT: &str = if cfg!(windows) { "device" } else { "lab" };
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "device" => Ok(Self::Device),
            None if text == "lab" => Ok(Self::Lab(LabOptions::default())),
            Some(("lab", options)) => options.parse().map(Self::Lab),
            _ => Err("a target is `device`, `lab`, or `lab:key=value,...`".into()),
        }
    }
}

impl FromStr for LabOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in pairs(text).iter().filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("`{pair}` is not key=value (a comma in a value is doubled)"))?;
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if key.is_empty() || key.starts_with('-') || !key.chars().all(is_name) {
                return Err(format!(
                    "`{key}` cannot be the name of an option of `rundown-lab serve`"
                ));
            }
            if key == "program" {
                options.program = Some(value.into());
            } else {
                options.passed_through.push((key.into(), value.into()));
            }
        }
        Ok(options)
    }
}

/// The text between commas; a doubled comma stands for itself, as in QEMU's own options.
fn pairs(text: &str) -> Vec<String> {
    let mut pairs = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ',' && rest.next_if_eq(&',').is_none() {
            pairs.push(String::new());
        } else if let Some(pair) = pairs.last_mut() {
            pair.push(c);
        }
    }
    pairs
}

impl LabOptions {
    /// The options for `rundown-lab serve`. Who asks this driver for the system's wait at `DISPATCH_LEVEL` knows that its page does not
    /// allow that, so unless the user names rules the lab bears it.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let given = self.passed_through.iter();
        let named = given.clone().any(|(key, _)| key == ALLOW[0]);
        let borne = ALLOW.map(str::to_owned).into();
        given
            .chain((!named).then_some(&borne))
            .flat_map(|(key, value)| [format!("--{key}"), value.clone()])
            .collect()
    }

    /// The file with NT's own code, when the lab is given one.
    #[must_use]
    pub fn native_listing(&self) -> Option<&Path> {
        let mut options = self.passed_through.iter().rev();
        options
            .find(|(key, _)| key == "native")
            .map(|(_, value)| Path::new(value))
    }

    /// Finds `rundown-lab`: the key `program`, else the variable `RUNDOWN_LAB`, else beside this program, else
    /// `target/lab` in the working directory or one above it.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when it is nowhere.
    pub fn program(&self) -> Result<PathBuf, Error> {
        if let Some(program) = self
            .program
            .clone()
            .or_else(|| env::var_os("RUNDOWN_LAB").map(PathBuf::from))
        {
            return Ok(program);
        }
        let name = format!("rundown-lab{}", env::consts::EXE_SUFFIX);
        let beside = env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.join(&name)));
        let here = env::current_dir().unwrap_or_default();
        beside
            .into_iter()
            .chain(
                here.ancestors()
                    .map(|directory| directory.join(Path::new("target/lab")).join(&name)),
            )
            .find(|program| program.is_file())
            .ok_or_else(|| Error::Unreachable {
                what: format!("there is no {name} beside rundownctl or in target/lab"),
                advice: "build it with `cargo xtask lab`, or name it with --target lab:program=PATH".into(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_options_become_arguments() {
        let spec: Spec = "lab:cpus=4,watch-cr8=wait_slow,program=/opt/rundown-lab"
            .parse()
            .unwrap();
        let Spec::Lab(options) = spec else {
            panic!("{spec:?}")
        };
        assert_eq!(
            options.arguments(),
            [
                "--cpus",
                "4",
                "--watch-cr8",
                "wait_slow",
                "--allow",
                "rundown-wait"
            ]
        );
        assert_eq!(options.program().unwrap(), Path::new("/opt/rundown-lab"));
        assert_eq!(options.native_listing(), None);
        let named: LabOptions = "allow=irql".parse().unwrap();
        assert_eq!(named.arguments(), ["--allow", "irql"]);
        let options: LabOptions = "native=nt.txt,cpus=2".parse().unwrap();
        assert_eq!(options.native_listing(), Some(Path::new("nt.txt")));
    }

    #[test]
    fn a_doubled_comma_stands_for_itself() {
        let options: LabOptions = "native=a,, b#ü=x/l.txt,cpus=2,report=,,,seed=1,".parse().unwrap();
        assert_eq!(options.native_listing(), Some(Path::new("a, b#ü=x/l.txt")));
        let arguments = options.arguments();
        assert_eq!(arguments[2..8], ["--cpus", "2", "--report", ",", "--seed", "1"]);
        let refused = "native=a, b.txt".parse::<LabOptions>().unwrap_err();
        assert!(refused.contains("a comma in a value is doubled"), "{refused}");
    }

    #[test]
    fn a_target_that_makes_no_sense_is_refused() {
        for text in [
            "",
            "vm",
            "device:x=1",
            "lab:cpus",
            "lab:=4",
            "lab:--cpus=4",
            "lab:CPUS=4",
        ] {
            assert!(text.parse::<Spec>().is_err(), "{text}");
        }
    }

    #[test]
    fn plain_targets() {
        assert_eq!("device".parse(), Ok(Spec::Device));
        assert_eq!("lab".parse(), Ok(Spec::Lab(LabOptions::default())));
        assert_eq!("lab:".parse(), Ok(Spec::Lab(LabOptions::default())));
    }
}
