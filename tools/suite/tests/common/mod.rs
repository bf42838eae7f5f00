//! The requests about objects, each in a call.

#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use rundown_abi::{
    ObjectAcquire, ObjectCounted, ObjectCreate, ObjectCreated, ObjectKind, ObjectLimits, ObjectLimitsRequest,
    ObjectPhase, ObjectQuery, ObjectRelease, ObjectState, ObjectWaited, Refusal, ioctl,
};
use rundown_suite::{Handle, Machine};
use zerocopy::IntoBytes;

/// What a client does with objects.
pub(crate) trait Objects {
    fn create(&mut self, handle: Handle, kind: ObjectKind) -> u64;
    /// Whether it was granted, and how many are outstanding then.
    fn acquire(&mut self, handle: Handle, object: u64, count: u32) -> Result<(bool, u64), Refusal>;
    /// How many are outstanding then.
    fn release(&mut self, handle: Handle, object: u64, count: u32) -> Result<u64, Refusal>;
    fn wait_to_end(&mut self, handle: Handle, object: u64) -> Result<ObjectWaited, Refusal>;
    fn completed(&mut self, handle: Handle, object: u64) -> Result<(), Refusal>;
    fn reinitialize(&mut self, handle: Handle, object: u64) -> Result<(), Refusal>;
    fn destroy(&mut self, handle: Handle, object: u64) -> Result<(), Refusal>;
    fn state(&mut self, handle: Handle, object: u64) -> ObjectState;
    /// The state as soon as a waiter has shown itself.
    fn state_once_waiting(&mut self, handle: Handle, object: u64) -> ObjectState;
}

impl Objects for Machine {
    fn create(&mut self, handle: Handle, kind: ObjectKind) -> u64 {
        let created: ObjectCreated = self
            .ask(handle, ioctl::OBJECT_CREATE, &ObjectCreate::new(kind, false))
            .unwrap();
        created.object
    }

    fn acquire(&mut self, handle: Handle, object: u64, count: u32) -> Result<(bool, u64), Refusal> {
        let counted: ObjectCounted =
            self.ask(handle, ioctl::OBJECT_ACQUIRE, &ObjectAcquire::new(object, count))?;
        Ok((counted.granted == 1, counted.outstanding))
    }

    fn release(&mut self, handle: Handle, object: u64, count: u32) -> Result<u64, Refusal> {
        let counted: ObjectCounted =
            self.ask(handle, ioctl::OBJECT_RELEASE, &ObjectRelease::new(object, count))?;
        assert_eq!(counted.granted, 1);
        Ok(counted.outstanding)
    }

    fn wait_to_end(&mut self, handle: Handle, object: u64) -> Result<ObjectWaited, Refusal> {
        self.ask(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object))
    }

    fn completed(&mut self, handle: Handle, object: u64) -> Result<(), Refusal> {
        self.tell(handle, ioctl::OBJECT_COMPLETED, &ObjectQuery::new(object))
    }

    fn reinitialize(&mut self, handle: Handle, object: u64) -> Result<(), Refusal> {
        self.tell(handle, ioctl::OBJECT_REINITIALIZE, &ObjectQuery::new(object))
    }

    fn destroy(&mut self, handle: Handle, object: u64) -> Result<(), Refusal> {
        self.tell(handle, ioctl::OBJECT_DESTROY, &ObjectQuery::new(object))
    }

    fn state(&mut self, handle: Handle, object: u64) -> ObjectState {
        self.ask(handle, ioctl::OBJECT_STATE, &ObjectQuery::new(object))
            .unwrap()
    }

    fn state_once_waiting(&mut self, handle: Handle, object: u64) -> ObjectState {
        loop {
            let state = self.state(handle, object);
            // A cache-aware waiter shows itself a moment before it has counted.
            if state.phase == ObjectPhase::Waiting as u32 && state.decoded == state.outstanding {
                return state;
            }
        }
    }
}

/// Each request about objects, valid, with the size of its answer.
pub(crate) fn every_request(object: u64) -> Vec<(u32, Vec<u8>, usize)> {
    let query = ObjectQuery::new(object);
    vec![
        (
            ioctl::OBJECT_LIMITS,
            ObjectLimitsRequest::new().as_bytes().to_vec(),
            size_of::<ObjectLimits>(),
        ),
        (
            ioctl::OBJECT_CREATE,
            ObjectCreate::new(ObjectKind::Ours, false).as_bytes().to_vec(),
            size_of::<ObjectCreated>(),
        ),
        (
            ioctl::OBJECT_ACQUIRE,
            ObjectAcquire::new(object, 1).as_bytes().to_vec(),
            size_of::<ObjectCounted>(),
        ),
        (
            ioctl::OBJECT_RELEASE,
            ObjectRelease::new(object, 1).as_bytes().to_vec(),
            size_of::<ObjectCounted>(),
        ),
        (
            ioctl::OBJECT_WAIT,
            query.as_bytes().to_vec(),
            size_of::<ObjectWaited>(),
        ),
        (ioctl::OBJECT_COMPLETED, query.as_bytes().to_vec(), 0),
        (ioctl::OBJECT_REINITIALIZE, query.as_bytes().to_vec(), 0),
        (
            ioctl::OBJECT_STATE,
            query.as_bytes().to_vec(),
            size_of::<ObjectState>(),
        ),
        (ioctl::OBJECT_DESTROY, query.as_bytes().to_vec(), 0),
    ]
}
