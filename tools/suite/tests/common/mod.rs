//! The requests about objects, each in a call.

#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use rundown_abi::{
    Arm, Code, CodeQuery, ConformanceResult, ConformanceRun, Info, InfoRequest, InteropResult, InteropRun,
    ObjectAcquire, ObjectCounted, ObjectCreate, ObjectCreated, ObjectKind, ObjectLimits, ObjectLimitsRequest,
    ObjectPhase, ObjectQuery, ObjectRelease, ObjectState, ObjectWaited, Pair, Pairing, Refusal,
    StressArmQuery, StressArmResult, StressQuery, StressResult, StressStart, StressStarted, StressTurns,
    StressTurnsQuery, ioctl,
};
use rundown_suite::{Handle, Machine};
use zerocopy::{Immutable, IntoBytes};

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

/// A valid request: its code, its bytes, and the size of its answer.
pub(crate) type Sample = (u32, Vec<u8>, usize);

fn sample<A>(code: u32, request: &(impl IntoBytes + Immutable)) -> Sample {
    (code, request.as_bytes().to_vec(), size_of::<A>())
}

/// Each request about objects, valid.
pub(crate) fn every_request(object: u64) -> Vec<Sample> {
    let query = ObjectQuery::new(object);
    vec![
        sample::<ObjectLimits>(ioctl::OBJECT_LIMITS, &ObjectLimitsRequest::new()),
        sample::<ObjectCreated>(ioctl::OBJECT_CREATE, &ObjectCreate::new(ObjectKind::Ours, false)),
        sample::<ObjectCounted>(ioctl::OBJECT_ACQUIRE, &ObjectAcquire::new(object, 1)),
        sample::<ObjectCounted>(ioctl::OBJECT_RELEASE, &ObjectRelease::new(object, 1)),
        sample::<ObjectWaited>(ioctl::OBJECT_WAIT, &query),
        sample::<()>(ioctl::OBJECT_COMPLETED, &query),
        sample::<()>(ioctl::OBJECT_REINITIALIZE, &query),
        sample::<ObjectState>(ioctl::OBJECT_STATE, &query),
        sample::<()>(ioctl::OBJECT_DESTROY, &query),
    ]
}

/// Each request of the protocol, valid: about this object and this run, or such as need neither.
pub(crate) fn protocol(object: u64, run: u64) -> Vec<Sample> {
    let query = StressQuery::new(run);
    let others = [
        sample::<Info>(ioctl::QUERY_INFO, &InfoRequest::new()),
        sample::<Code>(ioctl::QUERY_CODE, &CodeQuery::new(ObjectKind::Ours)),
        sample::<StressStarted>(ioctl::STRESS_START, &StressStart::storm(Arm::Ours, 2, 100)),
        sample::<StressResult>(ioctl::STRESS_RESULT, &query),
        sample::<StressArmResult>(ioctl::STRESS_ARM, &StressArmQuery::new(run, Arm::Ours)),
        sample::<StressTurns>(ioctl::STRESS_TURNS, &StressTurnsQuery::new(run, 0)),
        sample::<()>(ioctl::STRESS_STOP, &query),
        sample::<ConformanceResult>(ioctl::CONFORMANCE_RUN, &ConformanceRun::new(Pair::Plain, 1, 1)),
        sample::<InteropResult>(
            ioctl::INTEROP_RUN,
            &InteropRun::new(Pairing::OursAcquiresNativeReleases, 1, 1),
        ),
    ];
    let all: Vec<Sample> = every_request(object).into_iter().chain(others).collect();
    let documented = DOCUMENT.lines().filter(|line| line.contains(" | 0x8052")).count();
    assert_eq!(all.len(), documented, "each request of docs/ioctl.md");
    all
}

/// The document of the protocol.
const DOCUMENT: &str = include_str!("../../../../docs/ioctl.md");
