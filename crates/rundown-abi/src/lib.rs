//! The protocol between the rundown driver and its clients.
//!
//! Every request is `METHOD_BUFFERED`. Its input begins with a [`Header`] that names the structure's size and
//! the protocol's version; an output does the same. Fields are little-endian and naturally aligned, no structure
//! has padding, reserved fields are zero in both directions, and an output is zeroed before it is filled.
//!
//! | request | code | access | input | output |
//! |---|---|---|---|---|
//! | query info | [`ioctl::QUERY_INFO`] | read | [`InfoRequest`] | [`Info`] |
//! | show the code of a fast path | [`ioctl::QUERY_CODE`] | read | [`CodeQuery`] | [`Code`] |
//! | start a stress run | [`ioctl::STRESS_START`] | read, write | [`StressStart`] | [`StressStarted`] |
//! | fetch its sums, final or so far | [`ioctl::STRESS_RESULT`] | read | [`StressQuery`] | [`StressResult`] |
//! | fetch an arm's figures, final or so far | [`ioctl::STRESS_ARM`] | read | [`StressArmQuery`] | [`StressArmResult`] |
//! | fetch the turns that are over | [`ioctl::STRESS_TURNS`] | read | [`StressTurnsQuery`] | [`StressTurns`] |
//! | stop it | [`ioctl::STRESS_STOP`] | read, write | [`StressQuery`] | none |
//! | what objects may cost | [`ioctl::OBJECT_LIMITS`] | read | [`ObjectLimitsRequest`] | [`ObjectLimits`] |
//! | make an object | [`ioctl::OBJECT_CREATE`] | read, write | [`ObjectCreate`] | [`ObjectCreated`] |
//! | acquire references | [`ioctl::OBJECT_ACQUIRE`] | read, write | [`ObjectAcquire`] | [`ObjectCounted`] |
//! | release references | [`ioctl::OBJECT_RELEASE`] | read, write | [`ObjectRelease`] | [`ObjectCounted`] |
//! | begin run-down and wait; pends | [`ioctl::OBJECT_WAIT`] | read, write | [`ObjectQuery`] | [`ObjectWaited`] |
//! | mark as run down | [`ioctl::OBJECT_COMPLETED`] | read, write | [`ObjectQuery`] | none |
//! | make live again | [`ioctl::OBJECT_REINITIALIZE`] | read, write | [`ObjectQuery`] | none |
//! | show the words | [`ioctl::OBJECT_STATE`] | read | [`ObjectQuery`] | [`ObjectState`] |
//! | destroy an object | [`ioctl::OBJECT_DESTROY`] | read, write | [`ObjectQuery`] | none |
//! | compare in lock-step | [`ioctl::CONFORMANCE_RUN`] | read, write | [`ConformanceRun`] | [`ConformanceResult`] |
//! | share one word | [`ioctl::INTEROP_RUN`] | read, write | [`InteropRun`] | [`InteropResult`] |
//!
//! A request is refused with one NTSTATUS per cause: [`Refusal`] lists them.
#![no_std]
#![forbid(unsafe_code)]

mod code;
mod conformance;
mod header;
mod info;
mod interop;
pub mod ioctl;
mod object;
mod refusal;
mod stress;
mod wire;

pub use code::{Code, CodeQuery};
pub use conformance::{ConformanceResult, ConformanceRun, Observed, StepCounts, TraceStep};
pub use header::{Header, Request, VERSION, parse, read};
pub use info::{Info, InfoRequest};
pub use interop::{InteropResult, InteropRun};
pub use object::{
    ObjectAcquire, ObjectCounted, ObjectCreate, ObjectCreated, ObjectLimits, ObjectLimitsRequest,
    ObjectQuery, ObjectRelease, ObjectState, ObjectWaited, limits,
};
pub use refusal::Refusal;
pub use stress::{
    Latency, Limits, SHARES, Stall, StressArmQuery, StressArmResult, StressQuery, StressResult, StressStart,
    StressStarted, StressTurns, StressTurnsQuery, TURNS_PER_ANSWER, Turn, Violations, WaysOut, flags, marks,
};
pub use wire::{
    Arm, InteropCheck, ObjectKind, ObjectPhase, Operation, Pair, Pairing, RunState, SpinPath, WaitEnd,
    Waiter, WordState, Workload,
};

/// The device interface class of the driver, as the four fields of a Windows `GUID`:
/// `{5b0ff8a3-6a1d-4a2c-9f6e-8d6c1d2b7e41}`.
pub const INTERFACE_GUID: (u32, u16, u16, [u8; 8]) = (
    0x5b0f_f8a3,
    0x6a1d,
    0x4a2c,
    [0x9f, 0x6e, 0x8d, 0x6c, 0x1d, 0x2b, 0x7e, 0x41],
);

/// [`INTERFACE_GUID`] in its registry form.
pub const INTERFACE_GUID_TEXT: &str = "{5b0ff8a3-6a1d-4a2c-9f6e-8d6c1d2b7e41}";
