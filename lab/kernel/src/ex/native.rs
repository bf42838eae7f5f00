//! NT's own routines in place of the reference: code that the host has read from a listing.
//!
//! It lies at its own distances, read and execute only, and not one byte of it is changed; what is not listed is a
//! breakpoint. Where it calls a function that is not listed there is a jump to that export's thunk, so its calls are checked,
//! counted and delayed as the driver's are. The driver's imports still name the kernel's functions, and those call the code
//! and count what comes back: what the routine answered, and by the questions that its wait asked the machine, how that ended.

use crate::config::{self, Foreign};
use crate::export::Export;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::thread;
use crate::ldr;
use crate::ldr::export;
use crate::mm::paging::{self, Protection};
use crate::mm::{NATIVE, PAGE};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use lab_wire::native::Native;

/// A routine that may be NT's.
pub(crate) struct Routine {
    name: &'static str,
    address: AtomicU64,
}

impl Routine {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            address: AtomicU64::new(0),
        }
    }

    /// Calls NT's code, if there is some; what it leaves in RAX. `reference` is what the routine works on, a word or the
    /// cache-aware structure; `number` is a count, or that one's size.
    pub(crate) fn call<T>(&self, reference: *const T, number: u64) -> Option<u64> {
        match self.address.load(Relaxed) {
            0 => None,
            // SAFETY: listed and checked code of this routine, which takes no more than a reference and a number.
            address => Some(unsafe { ldr::call(address, [reference as u64, number, 0, 0]) }),
        }
    }
}

/// One static for each routine, and all of them.
macro_rules! routines {
    ($($routine:ident = $name:literal,)*) => {
        $(pub(crate) static $routine: Routine = Routine::new($name);)*
        static ROUTINES: &[&Routine] = &[$(&$routine),*];
    };
}

routines! {
    INITIALIZE = "ExInitializeRundownProtection",
    REINITIALIZE = "ExReInitializeRundownProtection",
    COMPLETED = "ExRundownCompleted",
    ACQUIRE = "ExAcquireRundownProtection",
    ACQUIRE_EX = "ExAcquireRundownProtectionEx",
    RELEASE = "ExReleaseRundownProtection",
    RELEASE_EX = "ExReleaseRundownProtectionEx",
    WAIT = "ExWaitForRundownProtectionRelease",
    SIZE_OF_CACHE_AWARE = "ExSizeOfRundownProtectionCacheAware",
    INITIALIZE_CACHE_AWARE = "ExInitializeRundownProtectionCacheAware",
    REINITIALIZE_CACHE_AWARE = "ExReInitializeRundownProtectionCacheAware",
    COMPLETED_CACHE_AWARE = "ExRundownCompletedCacheAware",
    ACQUIRE_CACHE_AWARE = "ExAcquireRundownProtectionCacheAware",
    ACQUIRE_CACHE_AWARE_EX = "ExAcquireRundownProtectionCacheAwareEx",
    RELEASE_CACHE_AWARE = "ExReleaseRundownProtectionCacheAware",
    RELEASE_CACHE_AWARE_EX = "ExReleaseRundownProtectionCacheAwareEx",
    WAIT_CACHE_AWARE = "ExWaitForRundownProtectionReleaseCacheAware",
}

/// The name of the spin budget.
const SPIN_CYCLES: &str = "ExpSpinCycleCount";

/// How much the code spans; 0 without any.
static SIZE: AtomicU64 = AtomicU64::new(0);
static CR8_READS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Why code was not taken.
#[derive(Debug)]
pub enum NativeError<'a> {
    /// It refers to something that the kernel does not have.
    Missing(&'a str),
    /// It is to be run and cannot be: the host knows routines that the kernel does not.
    Routine(&'a str),
    /// Code and data share a page.
    Mixed,
    /// More reads of CR8 than can be watched.
    Reads(usize),
    /// Memory is short.
    NoMemory,
}

impl fmt::Display for NativeError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(symbol) => {
                write!(
                    f,
                    "the native code refers to {symbol}, which the lab does not have"
                )
            }
            Self::Routine(symbol) => write!(f, "the lab's own {symbol} cannot be replaced by native code"),
            Self::Mixed => write!(
                f,
                "the native code and its data share a page; these are not addresses of one kernel"
            ),
            Self::Reads(count) => write!(f, "the native code reads CR8 in {count} places; 4 can be watched"),
            Self::NoMemory => write!(f, "the machine has not enough memory for the native code"),
        }
    }
}

/// From what a word publishes to the first field of the wait block: in the reference's foreign layouts some bytes.
pub(crate) fn before_wait_block() -> u64 {
    match config::get().foreign_layout {
        _ if WAIT.address.load(Relaxed) != 0 => 0,
        Foreign::No => 0,
        Foreign::Shifted => 8,
        Foreign::Elsewhere => 1 << 41,
    }
}

/// Whether `address` lies in NT's code.
pub fn contains(address: u64) -> bool {
    address.wrapping_sub(NATIVE) < SIZE.load(Relaxed)
}

/// The places to watch, NT's reads of CR8 put into the free slots.
pub fn watched(mut places: [u64; 4]) -> [u64; 4] {
    let own = CR8_READS.iter().map(|read| read.load(Relaxed));
    let free = places.iter_mut().filter(|place| **place == 0);
    for (place, own) in free.zip(own) {
        *place = own;
    }
    places
}

/// `jmp qword ptr [rip]`, and the address behind it.
fn jump(to: u64) -> [u8; 14] {
    let mut code = [0; 14];
    code[..2].copy_from_slice(&[0xFF, 0x25]);
    code[6..].copy_from_slice(&to.to_le_bytes());
    code
}

/// The thunk of a function that the code calls.
fn thunk<'a>(symbol: &'a str, slow_paths: &'static [Export]) -> Result<u64, NativeError<'a>> {
    let slow = slow_paths.iter().find(|export| export.name == symbol);
    let export = slow
        .or_else(|| export::find_routine(symbol))
        .ok_or(NativeError::Missing(symbol))?;
    export::bind(export).ok_or(NativeError::NoMemory)
}

/// Maps the code and puts it in the reference's place. For boot, before the driver is loaded. `slow_paths` are what NT's fast
/// paths go on in when the code lacks it.
///
/// # Errors
/// See [`NativeError`]; the run is then over.
pub fn install<'a>(native: &Native<'a>, slow_paths: &'static [Export]) -> Result<(), NativeError<'a>> {
    if native.cr8_reads.len() > CR8_READS.len() {
        return Err(NativeError::Reads(native.cr8_reads.len()));
    }
    let mut writes: Vec<(u64, &[u8])> = native
        .segments
        .iter()
        .map(|segment| (u64::from(segment.offset), segment.bytes))
        .collect();
    let mut jumps = Vec::new();
    let mut spin = None;
    for name in &native.missing {
        if name.symbol == SPIN_CYCLES {
            spin = Some(u64::from(name.offset));
        } else {
            jumps.push((u64::from(name.offset), jump(thunk(name.symbol, slow_paths)?)));
        }
    }
    writes.extend(jumps.iter().map(|(offset, jump)| (*offset, &jump[..])));
    let pages = |offset: u64, bytes: usize| offset / PAGE..=(offset + bytes as u64 - 1) / PAGE;
    let code: BTreeSet<u64> = writes
        .iter()
        .flat_map(|(offset, bytes)| pages(*offset, bytes.len()))
        .collect();
    for &page in &code {
        let start = NATIVE + page * PAGE;
        if !paging::map(start, 1, Protection::ReadWrite) {
            return Err(NativeError::NoMemory);
        }
        // SAFETY: a page that was just mapped, writable, for this code alone.
        unsafe { (start as *mut u8).write_bytes(0xCC, PAGE as usize) };
    }
    for (offset, bytes) in writes {
        let to = (NATIVE + offset) as *mut u8;
        // SAFETY: `code` has every page of these bytes, mapped and writable above.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
    for &page in &code {
        paging::protect(NATIVE + page * PAGE, 1, Protection::ReadExecute);
    }
    if let Some(offset) = spin {
        install_spin_cycles(offset, &code)?;
    }
    for routine in &native.routines {
        let known = ROUTINES.iter().find(|known| known.name == routine.symbol);
        let known = known.ok_or(NativeError::Routine(routine.symbol))?;
        known.address.store(NATIVE + u64::from(routine.offset), Relaxed);
    }
    for (slot, offset) in CR8_READS.iter().zip(&native.cr8_reads) {
        slot.store(NATIVE + u64::from(*offset), Relaxed);
    }
    let size = u64::from(native.size).next_multiple_of(PAGE) + PAGE;
    SIZE.store(size, Relaxed);
    Ok(())
}

/// Gives the code its spin budget, four bytes on a page of their own.
fn install_spin_cycles<'a>(offset: u64, code: &BTreeSet<u64>) -> Result<(), NativeError<'a>> {
    let page = offset / PAGE;
    if code.contains(&page) || !offset.is_multiple_of(4) {
        return Err(NativeError::Mixed);
    }
    if !paging::map(NATIVE + page * PAGE, 1, Protection::ReadWrite) {
        return Err(NativeError::NoMemory);
    }
    let variable = (NATIVE + offset) as *mut u32;
    // SAFETY: aligned, on a page that was just mapped, writable.
    unsafe { AtomicU32::from_ptr(variable) }.store(config::get().spin_cycles(), Relaxed);
    Ok(())
}

/// What a wait of NT's code asks the machine; the thread notes it ([`crate::ke::thread::Thread::asked`]).
#[derive(Clone, Copy, Debug)]
pub enum Question {
    /// It has read CR8: it waits.
    Irql = 1,
    /// It has executed MONITORX.
    Monitor = 2,
    /// It sleeps on its wait block's event.
    Sleep = 4,
}

/// Notes a question of the current thread's.
pub fn note(question: Question) {
    thread::current().asked.fetch_or(question as u32, Relaxed);
}

/// How a wait of NT's code ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WayOut {
    Drained,
    Mwaitx,
    Pause,
    Dispatch,
    Event,
    Late,
}

/// Calls a wait of NT's, if there is one; the questions that it asked, bits of [`Question`].
fn ask<T>(wait: &Routine, reference: *const T) -> Option<u32> {
    let thread = thread::current();
    thread.asked.store(0, Relaxed);
    wait.call(reference, 0)?;
    Some(thread.asked.swap(0, Relaxed))
}

/// Calls NT's wait, if there is one, and finds out how it ended. What cannot be told from outside is a hand-over between the
/// end of a spin and the sleep: it counts as one during the spin. `Late` is one of a wait that did not spin.
pub(crate) fn wait(word: *const AtomicU64) -> Option<WayOut> {
    let irql = irql::current();
    let asked = ask(&WAIT, word)?;
    let has = |question: Question| asked & question as u32 != 0;
    Some(if !has(Question::Irql) {
        WayOut::Drained
    } else if irql >= DISPATCH_LEVEL {
        WayOut::Dispatch
    } else if has(Question::Sleep) {
        WayOut::Event
    } else if has(Question::Monitor) {
        WayOut::Mwaitx
    } else if config::get().unparked() <= 1 {
        WayOut::Late
    } else {
        WayOut::Pause
    })
}

/// Calls NT's cache-aware wait, if there is one, and finds out how it ended. It asks nothing before it sleeps. So what cannot
/// be told from outside is whether all references were back when it began or came back while it added the slots up: both
/// count as drained.
pub(crate) fn wait_cache_aware<T>(reference: *const T) -> Option<WayOut> {
    let asked = ask(&WAIT_CACHE_AWARE, reference)?;
    Some(if asked & Question::Sleep as u32 != 0 {
        WayOut::Event
    } else {
        WayOut::Drained
    })
}
