//! Requests about objects, and the two that compare ours with the system's.

use std::time::Duration;

use rundown_abi::{
    ConformanceResult, ConformanceRun, InteropResult, InteropRun, ObjectAcquire, ObjectCounted, ObjectCreate,
    ObjectCreated, ObjectKind, ObjectLimits, ObjectLimitsRequest, ObjectQuery, ObjectRelease, ObjectState,
    ObjectWaited, ioctl,
};
use zerocopy::IntoBytes;

use super::{Client, decode};
use crate::{
    error::Error,
    target::{Ioctl, Ticket},
};

const WAITING: &str = "waiting for the object";

/// All fail as [`Client::info`] does.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Client<'_> {
    /// What objects may cost, and how far that is used.
    pub fn object_limits(&mut self) -> Result<ObjectLimits, Error> {
        self.answered(
            "asking for the limits",
            ioctl::OBJECT_LIMITS,
            &ObjectLimitsRequest::new(),
        )
    }

    /// Makes an object and returns its number.
    pub fn create(&mut self, kind: ObjectKind, disabled: bool) -> Result<u64, Error> {
        let request = ObjectCreate::new(kind, disabled);
        let created: ObjectCreated = self.answered("making an object", ioctl::OBJECT_CREATE, &request)?;
        Ok(created.object)
    }

    /// Acquires references.
    pub fn acquire(&mut self, object: u64, count: u32) -> Result<ObjectCounted, Error> {
        self.answered(
            "acquiring",
            ioctl::OBJECT_ACQUIRE,
            &ObjectAcquire::new(object, count),
        )
    }

    /// Releases references.
    pub fn release(&mut self, object: u64, count: u32) -> Result<ObjectCounted, Error> {
        self.answered(
            "releasing",
            ioctl::OBJECT_RELEASE,
            &ObjectRelease::new(object, count),
        )
    }

    /// Begins the run-down of an object; [`Client::waited`] has its end.
    pub fn wait(&mut self, object: u64) -> Result<Ticket, Error> {
        self.target.begin(
            self.handle,
            &Ioctl {
                name: WAITING,
                code: ioctl::OBJECT_WAIT,
                input: ObjectQuery::new(object).as_bytes(),
                capacity: size_of::<ObjectWaited>(),
            },
        )
    }

    /// How a wait ended, if it does within `patience`.
    pub fn waited(&mut self, wait: Ticket, patience: Duration) -> Result<Option<ObjectWaited>, Error> {
        self.target
            .answer(wait, patience)?
            .map(|bytes| decode(WAITING, &bytes))
            .transpose()
    }

    /// Cancels a wait's request. The wait itself goes on in the driver.
    pub fn cancel(&mut self, wait: Ticket) -> Result<(), Error> {
        self.target.cancel(wait)
    }

    /// Marks an object as run down.
    pub fn completed(&mut self, object: u64) -> Result<(), Error> {
        self.done("completing", ioctl::OBJECT_COMPLETED, object)
    }

    /// Makes an object live again.
    pub fn reinitialize(&mut self, object: u64) -> Result<(), Error> {
        self.done("re-initialising", ioctl::OBJECT_REINITIALIZE, object)
    }

    /// An object's words.
    pub fn state(&mut self, object: u64) -> Result<ObjectState, Error> {
        self.answered(
            "looking at the object",
            ioctl::OBJECT_STATE,
            &ObjectQuery::new(object),
        )
    }

    /// Destroys an object.
    pub fn destroy(&mut self, object: u64) -> Result<(), Error> {
        self.done("destroying", ioctl::OBJECT_DESTROY, object)
    }

    /// Compares ours with the system's, step by step.
    pub fn conform(&mut self, run: &ConformanceRun) -> Result<ConformanceResult, Error> {
        self.answered("comparing step by step", ioctl::CONFORMANCE_RUN, run)
    }

    /// Runs ours and the system's routines on one word.
    pub fn interoperate(&mut self, run: &InteropRun) -> Result<InteropResult, Error> {
        self.answered("sharing a word", ioctl::INTEROP_RUN, run)
    }

    fn done(&mut self, name: &str, code: u32, object: u64) -> Result<(), Error> {
        self.send(name, code, &ObjectQuery::new(object), 0).map(drop)
    }
}
