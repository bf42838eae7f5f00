//! Objects: references that a handle makes, and works on step by step.
//!
//! An object counts its references itself, and refuses every step that the routine behind it would answer with a hang or a
//! bugcheck.

mod handles;
mod quota;

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use ex_rundown::WayOut;
use rundown_abi::{
    Header, ObjectCounted, ObjectKind, ObjectPhase, ObjectState, ObjectWaited, Refusal, WaitEnd, limits,
};
use zerocopy::IntoBytes;

pub(crate) use self::handles::Handles;
use self::quota::Quota;
use crate::{
    kernel::PoolArc,
    pended::Pend,
    reference::{AnyReference, BlockingWait, Permit, Reading},
};

/// An object.
///
/// # Invariants
///
/// 1. `outstanding` is the number of references that the reference has granted and not been given back.
/// 2. Nobody but this object's steps works on the reference, one at a time, and its wait.
pub(crate) struct Object {
    number: u64,
    kind: ObjectKind,
    outstanding: u32,
    /// An [`Ending`], set before the references are released that a wait is ended by.
    ending: PoolArc<AtomicU8>,
    // Before the reference is let go of.
    wait: Option<BlockingWait<AnyReference>>,
    reference: PoolArc<AnyReference>,
    /// Last: given back when the memory is.
    _quota: Quota,
}

/// What ends the waits of an object that goes with references out.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Ending {
    /// The device was removed by surprise.
    Removed = 1,
    /// The handle was closed.
    Closed = 2,
}

const REMOVED: u8 = Ending::Removed as u8;
const CLOSED: u8 = Ending::Closed as u8;

impl Object {
    /// A live object.
    ///
    /// # Errors
    /// [`Refusal::TooManyBytesInAll`], [`Refusal::Resources`].
    fn new(number: u64, kind: ObjectKind) -> Result<Self, Refusal> {
        let quota = Quota::take(Self::bytes(kind))?;
        let reference = AnyReference::new(kind).and_then(PoolArc::new);
        Ok(Self {
            number,
            kind,
            outstanding: 0,
            ending: PoolArc::new(AtomicU8::new(0)).ok_or(Refusal::Resources)?,
            wait: None,
            reference: reference.ok_or(Refusal::Resources)?,
            _quota: quota,
        })
    }

    fn bytes(kind: ObjectKind) -> u64 {
        let own = size_of::<Self>() + size_of::<AnyReference>();
        own.saturating_add(<AnyReference>::bytes(kind)) as u64
    }

    /// The object is about to go: a wait that ends by this is told why. One whose references were all released is not:
    /// it has ended, and its answer is on the way.
    fn ends_by(&self, ending: Ending) {
        if self.outstanding != 0 {
            // Relaxed: the release of the references, which follows, publishes it to the waiter.
            self.ending.store(ending as u8, Relaxed);
        }
    }

    const fn number(&self) -> u64 {
        self.number
    }

    const fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// The wait that goes on; one that has ended is joined and forgotten.
    fn wait_going_on(&mut self) -> Option<&BlockingWait<AnyReference>> {
        if self.wait.as_ref().is_some_and(BlockingWait::is_over) {
            self.wait = None;
        }
        self.wait.as_ref()
    }

    /// Refused while somebody waits or references are out.
    fn at_rest(&mut self) -> Result<(), Refusal> {
        if self.wait_going_on().is_some() {
            Err(Refusal::WaitGoingOn)
        } else if self.outstanding != 0 {
            Err(Refusal::ReferencesOut)
        } else {
            Ok(())
        }
    }

    fn counted(&self, granted: bool) -> ObjectCounted {
        ObjectCounted {
            header: Header::of::<ObjectCounted>(),
            granted: u32::from(granted),
            reserved: 0,
            outstanding: u64::from(self.outstanding),
        }
    }

    fn acquire(&mut self, count: u32) -> Result<ObjectCounted, Refusal> {
        let more = self
            .outstanding
            .checked_add(count)
            .filter(|&sum| sum <= limits::REFERENCES)
            .ok_or(Refusal::TooManyReferences)?;
        let granted = self.reference.acquire(count);
        if granted {
            self.outstanding = more;
        }
        Ok(self.counted(granted))
    }

    fn release(&mut self, count: u32) -> Result<ObjectCounted, Refusal> {
        if count == 0 {
            return Err(Refusal::Count);
        }
        self.outstanding = self.outstanding.checked_sub(count).ok_or(Refusal::NotHeld)?;
        // SAFETY: so many were outstanding, by invariant 1.
        unsafe { self.reference.release(count) };
        Ok(self.counted(true))
    }

    fn wait(&mut self, pend: Pend<'_>) -> Result<(), Refusal> {
        if self.wait_going_on().is_some() {
            return Err(Refusal::WaitGoingOn);
        }
        if self.reference.would_hang() {
            return Err(Refusal::WouldHang);
        }
        let permit = Permit::take()?;
        let request = pend.pend()?;
        let object = self.number;
        let ending = self.ending.clone();
        // Called when the object is at rest already: so a client finds it that hears of the end.
        let then = move |way_out, microseconds| {
            drop(permit);
            // Relaxed: whoever stored it has released the references since, and the wait has acquired that.
            match ending.load(Relaxed) {
                REMOVED => request.refuse(Refusal::Removed),
                CLOSED => request.cancel(),
                _ => {
                    let answer = ObjectWaited {
                        header: Header::of::<ObjectWaited>(),
                        object,
                        end: end(way_out) as u32,
                        reserved: 0,
                        microseconds,
                    };
                    request.complete(answer.as_bytes());
                }
            }
        };
        // Without a thread the request is dropped with the closure, and that completes it.
        // SAFETY: nobody waits, it would not hang, and by invariant 2 nobody else begins before this one is over.
        self.wait = unsafe { BlockingWait::begin(self.reference.clone(), then) };
        Ok(())
    }

    fn completed(&mut self) -> Result<(), Refusal> {
        self.at_rest()?;
        // SAFETY: nobody waits, and no reference is out, as `at_rest` says by invariant 1.
        unsafe { self.reference.completed() };
        Ok(())
    }

    fn reinitialize(&mut self) -> Result<(), Refusal> {
        self.at_rest()?;
        // SAFETY: as in `completed`.
        unsafe { self.reference.reinitialize() };
        Ok(())
    }

    fn state(&mut self, with_pointers: bool) -> ObjectState {
        let wait = self.wait_going_on().is_some();
        let mut words = self.reference.words();
        let (phase, decoded, stale) = match (words.reading, &self.wait) {
            (Reading::Live(references), _) => (ObjectPhase::Live, references as u64, false),
            (Reading::Block(block), Some(wait)) if self.outstanding != 0 => {
                // SAFETY: references are out and no step is taken meanwhile, so the waiter cannot return.
                (ObjectPhase::Waiting, unsafe { wait.count_of(block) }, false)
            }
            // With a block: the last reference is released, and the waiter is about to return.
            (Reading::RunDown, _) | (Reading::Block(_), Some(_)) => (ObjectPhase::RunDown, 0, false),
            (Reading::Block(_), None) => (ObjectPhase::RunDown, 0, true),
        };
        let mut flags = 0;
        if wait {
            flags |= ObjectState::WAIT;
        }
        if stale {
            flags |= ObjectState::STALE;
        }
        if words.pointers != 0 && !with_pointers {
            words.mask();
            flags |= ObjectState::MASKED;
        }
        ObjectState {
            header: Header::of::<ObjectState>(),
            object: self.number,
            kind: self.kind as u32,
            phase: phase as u32,
            outstanding: u64::from(self.outstanding),
            decoded,
            flags,
            word_count: words.count,
            words: words.raw,
        }
    }
}

impl Drop for Object {
    /// # IRQL
    /// `PASSIVE_LEVEL`: it waits for its wait.
    fn drop(&mut self) {
        if self.outstanding != 0 {
            // SAFETY: so many are outstanding, by invariant 1. A wait ends by this.
            unsafe { self.reference.release(self.outstanding) };
        }
    }
}

fn end(way_out: Option<WayOut>) -> WaitEnd {
    match way_out {
        Some(WayOut::Drained) => WaitEnd::Drained,
        Some(WayOut::Monitorx) => WaitEnd::Mwaitx,
        Some(WayOut::Pause) => WaitEnd::Pause,
        Some(WayOut::Dispatch) => WaitEnd::Dispatch,
        Some(WayOut::Event) => WaitEnd::Event,
        Some(WayOut::Late) => WaitEnd::Late,
        // The routine does not tell, or the protocol has no word for it.
        None | Some(_) => WaitEnd::Untold,
    }
}
