//! The requests of [`rundown_abi`] with their types.

use rundown_abi::{
    Arm, Code, CodeQuery, Header, Info, InfoRequest, ObjectKind, Refusal, StressArmQuery, StressArmResult,
    StressQuery, StressResult, StressStart, StressStarted, StressTurns, StressTurnsQuery, VERSION, ioctl,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    error::Error,
    target::{Access, Handle, Ioctl, Target, User},
};

mod objects;

/// How far past our own version that of a newer driver is looked for.
const LATER_VERSIONS: u32 = 32;

fn other_version(theirs: Option<u32>) -> Error {
    Error::Protocol(match theirs {
        Some(theirs) => {
            format!("the driver speaks version {theirs} of the protocol, this client version {VERSION}")
        }
        None => format!("the driver speaks another version of the protocol than this client's {VERSION}"),
    })
}

/// The open device.
pub struct Client<'a> {
    target: &'a mut dyn Target,
    handle: Handle,
}

impl<'a> Client<'a> {
    /// Opens the device.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub fn open(target: &'a mut dyn Target, access: Access) -> Result<Self, Error> {
        let handle = target.open(access, User::Administrator)?;
        Ok(Self { target, handle })
    }

    /// As [`Target::lab_mode`].
    #[must_use]
    pub fn lab_mode(&self) -> Option<&str> {
        self.target.lab_mode()
    }

    /// Describes the driver and the machine.
    ///
    /// # Errors
    /// As [`Target::ioctl`]; so do all the requests.
    pub fn info(&mut self) -> Result<Info, Error> {
        self.answered(
            "asking for the driver's description",
            ioctl::QUERY_INFO,
            &InfoRequest::new(),
        )
    }

    /// The machine code of a kind's fast paths.
    ///
    /// # Errors
    /// As [`Client::info`].
    pub fn code(&mut self, kind: ObjectKind) -> Result<Code, Error> {
        self.answered(
            "asking for machine code",
            ioctl::QUERY_CODE,
            &CodeQuery::new(kind),
        )
    }

    /// Starts a stress run and returns its number.
    ///
    /// # Errors
    /// As [`Client::info`].
    pub fn start(&mut self, start: &StressStart) -> Result<u64, Error> {
        let started: StressStarted = self.answered("starting the run", ioctl::STRESS_START, start)?;
        Ok(started.run)
    }

    /// The counters of a run, so far or final.
    ///
    /// # Errors
    /// As [`Client::info`].
    pub fn result(&mut self, run: u64) -> Result<StressResult, Error> {
        self.answered(
            "asking for the run's counters",
            ioctl::STRESS_RESULT,
            &StressQuery::new(run),
        )
    }

    /// One arm's figures, so far or final.
    ///
    /// # Errors
    /// As [`Client::info`].
    pub fn arm(&mut self, run: u64, arm: Arm) -> Result<StressArmResult, Error> {
        self.answered(
            "asking for an arm's figures",
            ioctl::STRESS_ARM,
            &StressArmQuery::new(run, arm),
        )
    }

    /// The turns of a run that are over, from turn `first` on.
    ///
    /// # Errors
    /// As [`Client::info`].
    pub fn turns(&mut self, run: u64, first: u32) -> Result<StressTurns, Error> {
        self.answered(
            "asking for the run's turns",
            ioctl::STRESS_TURNS,
            &StressTurnsQuery::new(run, first),
        )
    }

    /// Stops a run; its threads are gone when this returns.
    ///
    /// # Errors
    /// As [`Client::info`].
    pub fn stop(&mut self, run: u64) -> Result<(), Error> {
        self.send("stopping the run", ioctl::STRESS_STOP, &StressQuery::new(run), 0)
            .map(drop)
    }

    /// Closes the device.
    ///
    /// # Errors
    /// As [`Target::close`].
    pub fn close(self) -> Result<(), Error> {
        self.target.close(self.handle)
    }

    fn send<T: IntoBytes + Immutable>(
        &mut self,
        name: &str,
        code: u32,
        request: &T,
        capacity: usize,
    ) -> Result<Vec<u8>, Error> {
        let answer = self.target.ioctl(
            self.handle,
            &Ioctl {
                name,
                code,
                input: request.as_bytes(),
                capacity,
            },
        );
        match answer {
            Err(Error::Refused { status, .. }) if status == Refusal::Version.status() => {
                Err(other_version(self.version_of_the_driver()))
            }
            answer => answer,
        }
    }

    /// The driver refuses every version but its own, so it is found by trying. A request that gets past the version
    /// is refused too, having no room for its answer.
    fn version_of_the_driver(&mut self) -> Option<u32> {
        (1..=VERSION + LATER_VERSIONS).find(|&version| {
            let header = Header {
                version,
                ..Header::of::<InfoRequest>()
            };
            let answer = self.target.ioctl(
                self.handle,
                &Ioctl {
                    name: "asking for the driver's version",
                    code: ioctl::QUERY_INFO,
                    input: header.as_bytes(),
                    capacity: 0,
                },
            );
            matches!(answer, Err(Error::Refused { status, .. }) if status == Refusal::OutputTooSmall.status())
        })
    }

    fn answered<T, A>(&mut self, name: &str, code: u32, request: &T) -> Result<A, Error>
    where
        T: IntoBytes + Immutable,
        A: FromBytes,
    {
        let bytes = self.send(name, code, request, size_of::<A>())?;
        decode(name, &bytes)
    }
}

/// Reads an answer whose header is that of `A`.
fn decode<A: FromBytes>(name: &str, bytes: &[u8]) -> Result<A, Error> {
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| {
        Error::Protocol(format!(
            "{name} was answered with {} bytes, too few for a header",
            bytes.len()
        ))
    })?;
    if header.version != VERSION {
        return Err(other_version(Some(header.version)));
    }
    A::read_from_bytes(bytes)
        .ok()
        .filter(|_| header == Header::of::<A>())
        .ok_or_else(|| {
            Error::Protocol(format!(
                "{name} was answered with {} bytes whose header says {}, and {} were due",
                bytes.len(),
                header.size,
                size_of::<A>()
            ))
        })
}
