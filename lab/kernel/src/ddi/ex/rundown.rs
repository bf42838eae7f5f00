//! The native run-down protection: the reference that the driver's own is compared with.
//!
//! Written from the observed behaviour of NT's routines, apart from the driver's implementation and with a structure of its
//! own: one function per routine, the word as an integer, no guards, no policies. It is not NT's machine code: the
//! fast paths are not inlined.
//!
//! Where the user has brought NT's code ([`native`]), that is called instead, and counted here by what it answers.
//!
//! | word | meaning |
//! |---|---|
//! | `2n` | `n` references, not run down |
//! | `1` | run down |
//! | `B \| 1` | run-down has begun, `B` is the waiter's block |

use crate::config;
use crate::ddi::irql_ranges::{APC, DISPATCH};
use crate::ex::counters::COUNTERS;
use crate::ex::native::{self, WayOut};
use crate::ex::references::Reference;
use crate::export::Export;
use crate::hal::cpu;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::object::{self, Header};
use crate::ke::{event, wait};
use crate::trace::{self, Kind};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bit 0: run-down has begun.
const ACTIVE: u64 = 1;
/// One reference.
const REFERENCE: u64 = 2;

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts how a wait ended, the reference's or NT's own.
pub(super) fn count_way_out(way_out: WayOut) {
    trace::note(Kind::RunDownEnds, [way_out as u64, 0, 0]);
    count(match way_out {
        WayOut::Drained => &COUNTERS.drained,
        WayOut::Mwaitx => &COUNTERS.mwaitx,
        WayOut::Pause => &COUNTERS.pause,
        WayOut::Dispatch => &COUNTERS.dispatch,
        WayOut::Event => &COUNTERS.event,
        WayOut::Late => &COUNTERS.late,
    });
}

/// The wait block, 0x28 bytes, on the waiter's stack.
///
/// A foreign layout has a field before all of these, as a later system might: what is published is the address of that (`foreign=1`),
/// or another's still (`foreign=2`).
#[repr(C)]
pub(super) struct WaitBlock {
    pub(super) count: AtomicU64,
    pub(super) wake: Header,
    /// Bit 0 is set while the last releaser may hand over without the event. Stored as 64 bits, then used as 32.
    pub(super) spinning: AtomicU32,
    upper: AtomicU32,
}

const _: () = assert!(size_of::<WaitBlock>() == 0x28);

impl WaitBlock {
    pub(super) const fn new(count: u64, spinning: u32) -> Self {
        Self {
            count: AtomicU64::new(count),
            wake: Header::new(object::Kind::SynchronizationEvent),
            spinning: AtomicU32::new(spinning),
            upper: AtomicU32::new(0),
        }
    }

    /// The word that publishes it.
    pub(super) fn word(&self) -> u64 {
        ((&raw const *self) as u64 - native::before_wait_block()) | ACTIVE
    }

    /// The block that a word publishes.
    fn of(word: u64) -> *const Self {
        ((word & !ACTIVE) + native::before_wait_block()) as *const Self
    }

    /// Initialises the event and sleeps on it unless the last releaser has been here; whether it slept.
    fn sleep(&self) -> bool {
        self.wake.initialize(object::Kind::SynchronizationEvent, 6, 0);
        // AcqRel: publishes the event to the releaser whose own test-and-clear reads this, or acquires what it released.
        if self.spinning.fetch_and(!1, Ordering::AcqRel) & 1 == 0 {
            return false;
        }
        self.sleep_on_event();
        true
    }

    pub(super) fn sleep_on_event(&self) {
        // SAFETY: the block stays until this wait is over.
        let wake = unsafe { Header::at(&raw const self.wake) };
        wait::wait(&[wake], false, None, true);
    }
}

/// The word at `address`.
///
/// # Safety
/// An `EX_RUNDOWN_REF` lies there and stays during the call.
pub(super) unsafe fn word<'a>(address: *const AtomicU64) -> &'a AtomicU64 {
    // SAFETY: the caller promises it.
    unsafe { &*address }
}

/// The reference that lies at `word`, as it is now.
fn reference(word: &AtomicU64) -> Reference {
    Reference {
        address: word.as_ptr() as u64,
        cache_aware: false,
        word: word.load(Ordering::Relaxed),
        sums_up: false,
    }
}

/// Counts and notes what an acquire of `references` came to, and gives it back.
pub(super) fn counted(reference: Reference, granted: bool, references: u64) -> bool {
    reference.acquired(granted, references);
    if granted {
        COUNTERS.acquires.fetch_add(references, Ordering::Relaxed);
    } else {
        count(&COUNTERS.refused);
    }
    granted
}

/// Takes `references`; false if run-down has begun.
pub(super) fn acquire(word: &AtomicU64, references: u64) -> bool {
    let mut value = word.load(Ordering::Acquire);
    loop {
        if value & ACTIVE != 0 {
            return false;
        }
        // Acquire: pairs with the Release of a re-initialisation.
        match word.compare_exchange_weak(
            value,
            value.wrapping_add(references * REFERENCE),
            Ordering::Acquire,
            Ordering::Acquire,
        ) {
            Ok(_) => return true,
            Err(now) => value = now,
        }
    }
}

/// Gives `references` back, to the word or to the waiter.
pub(super) fn release(word: &AtomicU64, references: u64) {
    // Acquire: the block that the word may name was written before it was published.
    let mut value = word.load(Ordering::Acquire);
    while value & ACTIVE == 0 {
        match word.compare_exchange_weak(
            value,
            value.wrapping_sub(references * REFERENCE),
            Ordering::Release,
            Ordering::Acquire,
        ) {
            Ok(_) => return,
            Err(now) => value = now,
        }
    }
    let block = WaitBlock::of(value);
    // SAFETY: the waiter stays in its frame until the last of its references, one of which is the caller's, is released.
    let count = unsafe { &(*block).count };
    // AcqRel: the last releaser has seen what the others did.
    if count.fetch_sub(references, Ordering::AcqRel) != references {
        return;
    }
    // SAFETY: the waiter stays until this flag is cleared, or, if it has cleared it, until the event is set.
    let spinning = unsafe { &(*block).spinning };
    // AcqRel: pairs with the waiter's test-and-clear. If the bit was set this is the last touch of the block.
    let sleeps = spinning.fetch_and(!1, Ordering::AcqRel) & 1 == 0;
    trace::note(Kind::HandsOver, [block as u64, sleeps.into(), 0]);
    if sleeps {
        // SAFETY: the waiter has committed to sleeping, so the event is initialised and stays until it is set.
        event::set(unsafe { &(*block).wake }, 0);
    }
}

/// Begins run-down and waits until every reference has been given back.
fn wait_for_release(word: &AtomicU64) {
    // Success AcqRel; failure Acquire: an old value of 1 returns at once.
    let mut value = match word.compare_exchange(0, ACTIVE, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) | Err(ACTIVE) => return count_way_out(WayOut::Drained),
        Err(value) => value,
    };
    let block = WaitBlock::new(0, 1);
    loop {
        block.count.store(value >> 1, Ordering::Relaxed);
        // AcqRel: publishes the block; acquires what was released on the word.
        match word.compare_exchange(value, block.word(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => break,
            Err(now) => value = now,
        }
    }
    if value >> 1 == 0 {
        return count_way_out(WayOut::Drained);
    }
    let ended = || block.spinning.load(Ordering::Acquire) & 1 == 0;
    if irql::current() >= DISPATCH_LEVEL {
        while !ended() {
            core::hint::spin_loop();
        }
        return count_way_out(WayOut::Dispatch);
    }
    if let Some(way) = spin(&block.spinning, ended) {
        return count_way_out(way);
    }
    count_way_out(if block.sleep() {
        WayOut::Event
    } else {
        WayOut::Late
    });
}

/// Spins within the budget; the way out if the flag was cleared meanwhile.
fn spin(flag: &AtomicU32, ended: impl Fn() -> bool) -> Option<WayOut> {
    let config = config::get();
    if config.unparked() <= 1 {
        return None;
    }
    let budget = u64::from(config.spin_cycles());
    if config.monitorx {
        let mut before = cpu::rdtsc();
        let deadline = before + budget;
        loop {
            cpu::monitorx(flag.as_ptr());
            if ended() {
                return Some(WayOut::Mwaitx);
            }
            let now = cpu::rdtsc();
            if now < before || now >= deadline {
                return None;
            }
            before = now;
            cpu::mwaitx((deadline - now) as u32);
        }
    }
    for _ in 0..=budget / u64::from(config.cycles_per_yield.max(1)) {
        if ended() {
            return Some(WayOut::Pause);
        }
        core::hint::spin_loop();
    }
    None
}

macro_rules! export {
    ($(#[$documentation:meta])* $name:ident($word:ident $(, $more:ident: $type:ty)*) $(-> $result:ty)? $body:block) => {
        $(#[$documentation])*
        unsafe extern "win64" fn $name($word: *const AtomicU64 $(, $more: $type)*) $(-> $result)? {
            Reference::aligned($word as u64);
            // SAFETY: the DDI: an EX_RUNDOWN_REF lies there.
            let $word = unsafe { word($word) };
            $body
        }
    };
}

export!(ex_initialize(word) {
    reference(word).initializes();
    if native::INITIALIZE.call(word, 0).is_none() {
        word.store(0, Ordering::Relaxed);
    }
});
export!(ex_reinitialize(word) {
    reference(word).begins_anew();
    if native::REINITIALIZE.call(word, 0).is_none() {
        word.swap(0, Ordering::Release);
    }
});
export!(ex_completed(word) {
    reference(word).begins_anew();
    if native::COMPLETED.call(word, 0).is_none() {
        word.swap(ACTIVE, Ordering::Release);
    }
});
export!(ex_acquire(word) -> u8 {
    let granted = match native::ACQUIRE.call(word, 0) {
        Some(answer) => answer as u8 != 0,
        None => acquire(word, 1),
    };
    u8::from(counted(reference(word), granted, 1))
});
export!(ex_acquire_ex(word, count: u32) -> u8 {
    // NT doubles the count in 32 bits.
    let references = u64::from(count & 0x7FFF_FFFF);
    let granted = match native::ACQUIRE_EX.call(word, count.into()) {
        Some(answer) => answer as u8 != 0,
        None => acquire(word, references),
    };
    u8::from(counted(reference(word), granted, references))
});
export!(ex_release(word) {
    reference(word).releases(1);
    if native::RELEASE.call(word, 0).is_none() {
        release(word, 1);
    }
});
export!(ex_release_ex(word, count: u32) {
    reference(word).releases(count.into());
    if native::RELEASE_EX.call(word, count.into()).is_none() {
        release(word, u64::from(count));
    }
});
export!(ex_wait(word) {
    reference(word).waits();
    match native::wait(word) {
        None => wait_for_release(word),
        Some(way_out) => count_way_out(way_out),
    }
    reference(word).waited();
});

export!(exf_acquire(word) -> u8 { u8::from(acquire(word, 1)) });
export!(exf_release(word) { release(word, 1); });

/// What NT's fast paths go on in when a listing lacks it. Drivers do not import these, and what comes of them is counted where
/// the fast path returns.
pub static SLOW_PATHS: &[Export] = &[
    Export::function("ExfAcquireRundownProtection", 0..=2, exf_acquire as *const ()).quiet(),
    Export::function("ExfReleaseRundownProtection", 0..=2, exf_release as *const ()).quiet(),
];

const WAIT: &str = "ExWaitForRundownProtectionRelease";

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("ExInitializeRundownProtection", APC, ex_initialize as *const ()),
    Export::function(
        "ExReInitializeRundownProtection",
        APC,
        ex_reinitialize as *const (),
    ),
    Export::function("ExRundownCompleted", APC, ex_completed as *const ()),
    Export::function("ExAcquireRundownProtection", DISPATCH, ex_acquire as *const ()),
    Export::function(
        "ExAcquireRundownProtectionEx",
        DISPATCH,
        ex_acquire_ex as *const (),
    ),
    Export::function("ExReleaseRundownProtection", DISPATCH, ex_release as *const ()),
    Export::function(
        "ExReleaseRundownProtectionEx",
        DISPATCH,
        ex_release_ex as *const (),
    ),
    Export::function(WAIT, APC, ex_wait as *const ()),
];

/// What comes before these where [`Rule::RundownWait`](crate::config::Rule::RundownWait) may be broken: NT's wait polls at `DISPATCH_LEVEL`, which its DDI page does not promise, and a driver
/// that compares with it wants just that.
pub static TOLERATED: &[Export] = &[Export::function(WAIT, DISPATCH, ex_wait as *const ())];

/// The largest cache line that the cache-aware form spaces its slots by, bytes.
pub(super) const CACHE_LINE: u64 = 64;
