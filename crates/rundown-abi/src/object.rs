//! Objects: run-down references that a handle makes, and works on step by step.
//!
//! An object belongs to the handle that made it, and goes with it: closing the handle releases what is outstanding, so
//! that a wait ends. The driver counts the references itself, and refuses every step that the routine behind the object
//! would answer with a hang or a bugcheck.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, ObjectKind, Refusal, Request};

/// What objects may cost. The driver enforces its own; [`ObjectLimits`] tells which. What the objects of all handles take together
/// is limited too, by [`Limits::object_bytes`](crate::Limits::object_bytes), which an administrator may lower.
pub mod limits {
    /// Objects of one handle.
    pub const OBJECTS: u32 = 64;
    /// Waits at a time, in the whole driver; each has a thread. A conformance request counts for two, one about
    /// interoperation for one.
    pub const WAITS: u32 = 64;
    /// References outstanding on one object. Twice as many are 2^31, which the native routines still count right.
    pub const REFERENCES: u32 = 0x4000_0000;
    /// Steps of one conformance request, and rounds of one interoperation request.
    pub const STEPS: u32 = 200_000;
    /// Bytes of pool that the objects of one handle take together.
    pub const BYTES: u64 = 1 << 20;
}

/// Asks for [`ObjectLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectLimitsRequest {
    /// Offset 0x00.
    pub header: Header,
}

impl ObjectLimitsRequest {
    /// The request.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            header: Header::of::<Self>(),
        }
    }
}

impl Default for ObjectLimitsRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl Request for ObjectLimitsRequest {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// What objects may cost: the driver's [`limits`], and how far they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectLimits {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: objects that one handle may have.
    pub objects: u32,
    /// Offset 0x0C: waits that may go on at a time, in the whole driver.
    pub waits: u32,
    /// Offset 0x10: references that may be outstanding on one object.
    pub references: u32,
    /// Offset 0x14: steps of one conformance request, and rounds of one interoperation request.
    pub steps: u32,
    /// Offset 0x18: bytes of pool that the objects of one handle may take together.
    pub bytes: u64,
    /// Offset 0x20: objects that this handle has.
    pub objects_now: u32,
    /// Offset 0x24: waits that go on at this moment, in the whole driver.
    pub waits_now: u32,
    /// Offset 0x28: bytes that the objects of this handle take.
    pub bytes_now: u64,
}

const _: () = assert!(size_of::<ObjectLimits>() == 0x30);

/// Makes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectCreate {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: an [`ObjectKind`].
    pub kind: u32,
    /// Offset 0x0C: [`ObjectCreate::START_DISABLED`] or zero; any other bit is a reserved one.
    pub flags: u32,
}

impl ObjectCreate {
    /// The object is run down from the start: acquires are refused until it is re-initialised.
    pub const START_DISABLED: u32 = 1;

    /// A request for a live object, or for one that starts disabled.
    #[must_use]
    pub const fn new(kind: ObjectKind, start_disabled: bool) -> Self {
        Self {
            header: Header::of::<Self>(),
            kind: kind as u32,
            flags: if start_disabled { Self::START_DISABLED } else { 0 },
        }
    }

    /// Whether the object is to start disabled.
    #[must_use]
    pub const fn starts_disabled(&self) -> bool {
        self.flags & Self::START_DISABLED != 0
    }
}

impl Request for ObjectCreate {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        if ObjectKind::from_wire(self.kind).is_none() {
            return Err(Refusal::Kind);
        }
        if self.flags & !Self::START_DISABLED != 0 {
            return Err(Refusal::Reserved);
        }
        Ok(())
    }
}

/// The answer to [`ObjectCreate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectCreated {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the object's number. No number is used twice while the device is there.
    pub object: u64,
}

/// Names an object: to wait for it, complete it, re-initialise it, look at it, or destroy it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectQuery {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the object's number.
    pub object: u64,
}

impl ObjectQuery {
    /// A request about object `object`.
    #[must_use]
    pub const fn new(object: u64) -> Self {
        Self {
            header: Header::of::<Self>(),
            object,
        }
    }
}

impl Request for ObjectQuery {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Acquires references, all of them or none.
///
/// A count of 1 calls the routine without a count, any other the `Ex` one. A count of 0 changes nothing and tells whether
/// run-down has begun, as in NT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectAcquire {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the object's number.
    pub object: u64,
    /// Offset 0x10: how many references.
    pub count: u32,
    /// Offset 0x14: zero.
    pub reserved: u32,
}

impl ObjectAcquire {
    /// A request for `count` references.
    #[must_use]
    pub const fn new(object: u64, count: u32) -> Self {
        Self {
            header: Header::of::<Self>(),
            object,
            count,
            reserved: 0,
        }
    }
}

impl Request for ObjectAcquire {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.reserved != 0 {
            return Err(Refusal::Reserved);
        }
        // The count is the object's to judge, which knows how many are out.
        Ok(())
    }
}

/// Releases references that were acquired before, through whichever request of the same handle.
///
/// A count of 1 calls the routine without a count, any other the `Ex` one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectRelease {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the object's number.
    pub object: u64,
    /// Offset 0x10: how many references, 1 or more.
    pub count: u32,
    /// Offset 0x14: zero.
    pub reserved: u32,
}

impl ObjectRelease {
    /// A request to give `count` references back.
    #[must_use]
    pub const fn new(object: u64, count: u32) -> Self {
        Self {
            header: Header::of::<Self>(),
            object,
            count,
            reserved: 0,
        }
    }
}

impl Request for ObjectRelease {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        // NT's ExReleaseRundownProtectionEx of 0 reaches into the wait block that a finished wait has left behind.
        if self.count == 0 {
            return Err(Refusal::Count);
        }
        if self.reserved != 0 {
            return Err(Refusal::Reserved);
        }
        Ok(())
    }
}

/// The answer to [`ObjectAcquire`] and [`ObjectRelease`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectCounted {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: 1 when the routine said TRUE, or was a release; 0 when run-down has begun and nothing was acquired.
    pub granted: u32,
    /// Offset 0x0C: zero.
    pub reserved: u32,
    /// Offset 0x10: references outstanding after this request, as the driver counts them.
    pub outstanding: u64,
}

/// The answer to a wait, given when the wait has ended.
///
/// Until then the request pends. When it is cancelled it completes with `STATUS_CANCELLED`, while the wait goes on in
/// the driver until the references are released. When its handle is closed with references out, the driver releases
/// them, and the request completes with `STATUS_CANCELLED` as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectWaited {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the object's number.
    pub object: u64,
    /// Offset 0x10: a [`WaitEnd`](crate::WaitEnd).
    pub end: u32,
    /// Offset 0x14: zero.
    pub reserved: u32,
    /// Offset 0x18: how long the wait routine took, in microseconds.
    pub microseconds: u64,
}

const _: () = assert!(size_of::<ObjectWaited>() == 0x20);

/// The answer to a look at an object: its words, decoded and raw, and what the driver knows besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectState {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the object's number.
    pub object: u64,
    /// Offset 0x10: an [`ObjectKind`].
    pub kind: u32,
    /// Offset 0x14: an [`ObjectPhase`](crate::ObjectPhase).
    pub phase: u32,
    /// Offset 0x18: references outstanding, as the driver counts them.
    pub outstanding: u64,
    /// Offset 0x20: references outstanding, as the words say, or the wait block's count while somebody waits.
    pub decoded: u64,
    /// Offset 0x28: [`ObjectState::MASKED`], [`ObjectState::WAIT`], [`ObjectState::STALE`].
    pub flags: u32,
    /// Offset 0x2C: words that the object has: 1, for a wide one 2 (`state`, `waiter`), for a cache-aware one a word
    /// per processor.
    pub word_count: u32,
    /// Offset 0x30: the first [`ObjectState::WORDS`] words; zero where there is none. In place of a word that holds a
    /// pointer there is [`ObjectState::MASK`], unless the caller holds `SeDebugPrivilege`.
    pub words: [u64; ObjectState::WORDS],
}

impl ObjectState {
    /// Words that the answer has room for.
    pub const WORDS: usize = 64;
    /// What stands for a word with a pointer in it. No such word has this value: pointers are aligned.
    pub const MASK: u64 = u64::MAX;
    /// Flag: at least one word is masked.
    pub const MASKED: u32 = 1;
    /// Flag: a wait goes on in the driver, whether or not a request still waits for it.
    pub const WAIT: u32 = 2;
    /// Flag: the pointer in the word is one that a finished wait has left behind, as the native routine does.
    pub const STALE: u32 = 4;
}

const _: () = assert!(size_of::<ObjectState>() == 0x230);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn kinds_survive_the_way_over_the_wire() {
        for &kind in ObjectKind::ALL {
            assert_eq!(ObjectKind::from_wire(kind as u32), Some(kind));
            let create = ObjectCreate::new(kind, true);
            assert_eq!(parse::<ObjectCreate>(create.as_bytes()), Ok(create));
            assert!(create.starts_disabled() && !ObjectCreate::new(kind, false).starts_disabled());
        }
        for value in [0, 6, u32::MAX] {
            let mut create = ObjectCreate::new(ObjectKind::Ours, false);
            create.kind = value;
            assert_eq!(parse::<ObjectCreate>(create.as_bytes()), Err(Refusal::Kind));
        }
    }

    #[test]
    fn a_flag_that_nobody_knows_is_refused() {
        for bit in 1..32 {
            let mut create = ObjectCreate::new(ObjectKind::Native, true);
            create.flags |= 1 << bit;
            assert_eq!(parse::<ObjectCreate>(create.as_bytes()), Err(Refusal::Reserved));
        }
    }

    #[test]
    fn counts_have_their_bounds() {
        let acquire = |count| parse::<ObjectAcquire>(ObjectAcquire::new(1, count).as_bytes()).map(|_| ());
        let release = |count| parse::<ObjectRelease>(ObjectRelease::new(1, count).as_bytes()).map(|_| ());
        assert_eq!(acquire(0), Ok(()), "it tells whether run-down has begun");
        assert_eq!(
            acquire(u32::MAX),
            Ok(()),
            "whether there is room for so many is the object's to say"
        );
        assert_eq!(release(0), Err(Refusal::Count));
        assert_eq!(
            release(u32::MAX),
            Ok(()),
            "whether so many are held is the object's to say"
        );
    }

    #[test]
    fn reserved_fields_are_zero() {
        let mut acquire = ObjectAcquire::new(1, 1);
        acquire.reserved = 1;
        assert_eq!(parse::<ObjectAcquire>(acquire.as_bytes()), Err(Refusal::Reserved));
        let mut release = ObjectRelease::new(1, 1);
        release.reserved = 1;
        assert_eq!(parse::<ObjectRelease>(release.as_bytes()), Err(Refusal::Reserved));
    }
}
