//! The native cache-aware run-down protection: one word per processor, `EX_RUNDOWN_REF_CACHE_AWARE`.
//!
//! Where the user has brought NT's code ([`native`]), that is called instead, but for what allocates and frees: this is the pool's.

use super::rundown::{self, CACHE_LINE, WaitBlock};
use crate::bug::{self, code};
use crate::ex::native::{self, WayOut};
use crate::ex::references::{self, Reference};
use crate::export::Export;
use crate::hal::pcr;
use crate::ke::processor;
use crate::ke::thread;
use crate::mm::pool::{self, Placement, Tag};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// `EX_RUNDOWN_REF_CACHE_AWARE`, 0x18 bytes.
#[repr(C)]
struct CacheAware {
    slots: AtomicU64,
    pool_to_free: AtomicU64,
    stride: AtomicU32,
    number: AtomicU32,
}

const _: () = assert!(size_of::<CacheAware>() == 0x18);

const ACTIVE: u64 = 1;

fn stride() -> u64 {
    if processor::count() > 1 { CACHE_LINE } else { 8 }
}

/// The structure, and room for the slots: with more than one processor one line more, to align them.
fn size() -> u64 {
    let number = processor::count() as u64;
    size_of::<CacheAware>() as u64 + if number > 1 { (number + 1) * CACHE_LINE } else { 8 }
}

impl CacheAware {
    /// # Safety
    /// An initialised structure lies there and stays during the call.
    unsafe fn at<'a>(address: *const Self) -> &'a Self {
        // SAFETY: the caller promises it.
        unsafe { &*address }
    }

    fn initialize(&self, pool_to_free: u64) {
        let behind = (&raw const *self) as u64 + size_of::<Self>() as u64;
        self.slots
            .store(behind.next_multiple_of(stride()), Ordering::Relaxed);
        self.pool_to_free.store(pool_to_free, Ordering::Relaxed);
        self.stride.store(stride() as u32, Ordering::Relaxed);
        self.number.store(processor::count() as u32, Ordering::Relaxed);
        self.slots().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }

    fn slot(&self, index: u32) -> &AtomicU64 {
        let offset = u64::from(index) * u64::from(self.stride.load(Ordering::Relaxed));
        let address = self.slots.load(Ordering::Relaxed) + offset;
        // SAFETY: `initialize` laid `number` slots out behind the structure, and `index` is less.
        unsafe { rundown::word(address as *const AtomicU64) }
    }

    fn slots(&self) -> impl Iterator<Item = &AtomicU64> {
        (0..self.number.load(Ordering::Relaxed)).map(|index| self.slot(index))
    }

    /// The slot of the processor that the caller runs on, or ran on.
    fn current(&self) -> &AtomicU64 {
        self.slot(pcr::current_number() as u32 % self.number.load(Ordering::Relaxed).max(1))
    }

    /// This, as a reference.
    fn reference(&self) -> Reference {
        Reference {
            address: (&raw const *self) as u64,
            cache_aware: true,
            word: self.slot(0).load(Ordering::Relaxed),
            sums_up: self.number.load(Ordering::Relaxed) > 1,
        }
    }

    /// The same before there is anything in it.
    fn unborn(&self) -> Reference {
        Reference {
            address: (&raw const *self) as u64,
            cache_aware: true,
            word: 0,
            sums_up: false,
        }
    }

    fn wait(&self) {
        // No spinning: with the flag set the last releaser would not set the event.
        let block = WaitBlock::new(0, 0);
        block
            .wake
            .initialize(crate::ke::object::Kind::SynchronizationEvent, 6, 0);
        let named = block.word();
        // AcqRel: publishes the block; acquires what was released on the slot.
        let sum = self
            .slots()
            .map(|slot| slot.swap(named, Ordering::AcqRel))
            .fold(0, u64::wrapping_add);
        let references = sum >> 1;
        if references == 0 {
            rundown::count_way_out(WayOut::Drained);
            return;
        }
        // The count only went down until now. AcqRel: pairs with the releasers' subtractions.
        if block
            .count
            .fetch_add(references, Ordering::AcqRel)
            .wrapping_add(references)
            != 0
        {
            block.sleep_on_event();
            rundown::count_way_out(WayOut::Event);
        } else {
            rundown::count_way_out(WayOut::Late);
        }
    }
}

macro_rules! export {
    ($name:ident($this:ident $(, $more:ident: $type:ty)*) $(-> $result:ty)? $body:block) => {
        unsafe extern "win64" fn $name($this: *const CacheAware $(, $more: $type)*) $(-> $result)? {
            Reference::aligned($this as u64);
            // SAFETY: the DDI: an EX_RUNDOWN_REF_CACHE_AWARE lies there.
            let $this = unsafe { CacheAware::at($this) };
            $body
        }
    };
}

unsafe extern "win64" fn ex_size_of() -> u64 {
    native::SIZE_OF_CACHE_AWARE
        .call::<CacheAware>(core::ptr::null(), 0)
        .unwrap_or_else(size)
}

unsafe extern "win64" fn ex_allocate(_pool_type: u32, tag: u32) -> *const CacheAware {
    let caller = thread::current().caller();
    let Some(memory) = pool::allocate(size(), Tag(tag), true, Placement::Block, caller) else {
        return core::ptr::null();
    };
    let this = memory.cast::<CacheAware>().cast_const();
    // SAFETY: the block is large enough, zeroed, and the caller's alone.
    unsafe { CacheAware::at(this) }.initialize(memory as u64);
    this
}

export!(ex_initialize(this, size: u64) {
    this.unborn().initializes();
    if native::INITIALIZE_CACHE_AWARE.call(this, size).is_none() {
        this.initialize(0);
    }
});
// Declared in wdm.h and documented nowhere: taken for the routine with a size, and for `ExRundownCompletedCacheAware`. Flags mean
// nothing to this.
export!(ex_initialize_ex(this, _flags: u32) {
    this.unborn().initializes();
    // SAFETY: it takes nothing.
    let size = unsafe { ex_size_of() };
    if native::INITIALIZE_CACHE_AWARE.call(this, size).is_none() {
        this.initialize(0);
    }
});
export!(ex_cleanup(this) {
    this.reference().begins_anew();
    if native::COMPLETED_CACHE_AWARE.call(this, 0).is_none() {
        this.slots().for_each(|slot| { slot.swap(ACTIVE, Ordering::Release); });
    }
});
export!(ex_free(this) {
    let memory = this.pool_to_free.load(Ordering::Relaxed);
    references::freed(memory);
    if pool::free(memory, None, thread::current().caller()).is_err() {
        bug::bugcheck(code::BAD_POOL_CALLER, [code::pool::NEVER_ALLOCATED, memory, 0, 0],
            format_args!("ExFreeCacheAwareRundownProtection of what ExAllocateCacheAwareRundownProtection did not give, or was overrun"));
    }
});
export!(ex_acquire(this) -> u8 {
    let granted = match native::ACQUIRE_CACHE_AWARE.call(this, 0) {
        Some(answer) => answer as u8 != 0,
        None => rundown::acquire(this.current(), 1),
    };
    u8::from(rundown::counted(this.reference(), granted, 1))
});
export!(ex_acquire_ex(this, count: u32) -> u8 {
    // NT doubles the count in 32 bits.
    let references = u64::from(count & 0x7FFF_FFFF);
    let granted = match native::ACQUIRE_CACHE_AWARE_EX.call(this, count.into()) {
        Some(answer) => answer as u8 != 0,
        None => rundown::acquire(this.current(), references),
    };
    u8::from(rundown::counted(this.reference(), granted, references))
});
export!(ex_release(this) {
    this.reference().releases(1);
    if native::RELEASE_CACHE_AWARE.call(this, 0).is_none() {
        rundown::release(this.current(), 1);
    }
});
export!(ex_release_ex(this, count: u32) {
    this.reference().releases(count.into());
    if native::RELEASE_CACHE_AWARE_EX.call(this, count.into()).is_none() {
        rundown::release(this.current(), u64::from(count));
    }
});
export!(ex_wait(this) {
    this.reference().waits();
    match native::wait_cache_aware(this) {
        None => this.wait(),
        Some(way_out) => rundown::count_way_out(way_out),
    }
    this.reference().waited();
});
export!(ex_completed(this) {
    this.reference().begins_anew();
    if native::COMPLETED_CACHE_AWARE.call(this, 0).is_none() {
        this.slots().for_each(|slot| { slot.swap(ACTIVE, Ordering::Release); });
    }
});
export!(ex_reinitialize(this) {
    this.reference().begins_anew();
    if native::REINITIALIZE_CACHE_AWARE.call(this, 0).is_none() {
        this.slots().for_each(|slot| { slot.swap(0, Ordering::Release); });
    }
});

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "ExSizeOfRundownProtectionCacheAware",
        0..=1,
        ex_size_of as *const (),
    ),
    Export::function(
        "ExAllocateCacheAwareRundownProtection",
        0..=1,
        ex_allocate as *const (),
    ),
    Export::function(
        "ExInitializeRundownProtectionCacheAware",
        0..=1,
        ex_initialize as *const (),
    ),
    Export::function(
        "ExInitializeRundownProtectionCacheAwareEx",
        0..=1,
        ex_initialize_ex as *const (),
    ),
    Export::function(
        "ExCleanupRundownProtectionCacheAware",
        0..=1,
        ex_cleanup as *const (),
    ),
    Export::function("ExFreeCacheAwareRundownProtection", 0..=1, ex_free as *const ()),
    Export::function(
        "ExAcquireRundownProtectionCacheAware",
        0..=2,
        ex_acquire as *const (),
    ),
    Export::function(
        "ExAcquireRundownProtectionCacheAwareEx",
        0..=2,
        ex_acquire_ex as *const (),
    ),
    Export::function(
        "ExReleaseRundownProtectionCacheAware",
        0..=2,
        ex_release as *const (),
    ),
    Export::function(
        "ExReleaseRundownProtectionCacheAwareEx",
        0..=2,
        ex_release_ex as *const (),
    ),
    Export::function(
        "ExWaitForRundownProtectionReleaseCacheAware",
        0..=1,
        ex_wait as *const (),
    ),
    Export::function("ExRundownCompletedCacheAware", 0..=1, ex_completed as *const ()),
    Export::function(
        "ExReInitializeRundownProtectionCacheAware",
        0..=1,
        ex_reinitialize as *const (),
    ),
];
