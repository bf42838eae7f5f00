//! What is known of the run-down references that the driver uses NT's routines on, and whether it uses them as their DDI pages say.
//!
//! NT itself checks nothing: a word that is released once too often wraps, and what becomes of that shows in a wait that never ends, or
//! in a stack that somebody wrote to. Here it is a bug check at the call, whether the lab's routine comes next or NT's own code.
//!
//! A grant is noted after the routine has given it, a return before the routine is told. So never more is noted than is held, and of a
//! sound driver's references always what whoever asks may give back. Of a plain reference the word is asked as well, since a driver may
//! work on it itself, by code of its own or by a 1 that it stores. Of a cache-aware one only the sum of the slots means anything, and
//! nobody can read that while others go on; there the notes are all there is.

use crate::bug::{bugcheck, code};
use crate::ex::native;
use crate::ke::thread;
use crate::lock::IrqLock;
use crate::mm::{paging, pool};
use crate::trace::{self, Kind};
use core::fmt;
use core::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Bit 0 of a word: run-down has begun.
const ACTIVE: u64 = 1;
/// The word of a reference that is run down.
const RUN_DOWN: u64 = 1;

/// What the routines did with one reference. All but the address is Relaxed: what a call may rely on happened before it in its own thread,
/// or was handed over by the driver, which orders it.
struct Notes {
    /// The reference; 0 for none.
    address: AtomicU64,
    cache_aware: AtomicBool,
    /// Granted and not given back.
    held: AtomicI64,
    /// Where the call returns to that was granted last.
    granted: AtomicU64,
    /// The same of the one that was refused last, and its thread.
    refused: AtomicU64,
    refused_to: AtomicU32,
    /// The same of the one that waits; 0 for none.
    waits: AtomicU64,
    /// Whether a wait has come back and nothing of NT's has made it live again.
    came_back: AtomicBool,
    /// The word as the last wait left it, if that is a pointer to its block, which is gone.
    left: AtomicU64,
}

impl Notes {
    const fn none() -> Self {
        Self {
            address: AtomicU64::new(0),
            cache_aware: AtomicBool::new(false),
            held: AtomicI64::new(0),
            granted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_to: AtomicU32::new(0),
            waits: AtomicU64::new(0),
            came_back: AtomicBool::new(false),
            left: AtomicU64::new(0),
        }
    }

    fn begin(&self, reference: Reference) {
        self.cache_aware.store(reference.cache_aware, Relaxed);
        self.came_back.store(false, Relaxed);
        self.held.store(0, Relaxed);
        for field in [&self.granted, &self.refused, &self.waits, &self.left] {
            field.store(0, Relaxed);
        }
        // Release: pairs with the Acquire of whoever finds it.
        self.address.store(reference.address, Release);
    }

    /// Whether a wait is over that has left `word`.
    fn left(&self, word: u64) -> bool {
        word > RUN_DOWN && self.left.load(Relaxed) == word
    }
}

const SETS: usize = 128;
const WAYS: usize = 8;

/// Found without a lock, since the routines run on all processors at once and are there to race: an address belongs into one set, and
/// lies in any of its places. A reference for which there is no place is not judged where that takes notes.
static NOTES: [[Notes; WAYS]; SETS] = [const { [const { Notes::none() }; WAYS] }; SETS];
/// Held by those who begin.
static BEGINNING: IrqLock<()> = IrqLock::new(());
/// Whether a reference found no place.
static CROWDED: AtomicBool = AtomicBool::new(false);

/// One `EX_RUNDOWN_REF` or `EX_RUNDOWN_REF_CACHE_AWARE`, as a routine finds it.
#[derive(Clone, Copy)]
pub(crate) struct Reference {
    /// Its address.
    pub(crate) address: u64,
    /// Whether it has a slot for each processor.
    pub(crate) cache_aware: bool,
    /// Its word; of a cache-aware one the first slot's.
    pub(crate) word: u64,
    /// Whether a wait would never return although run-down is over: one that sums up several slots, all of them 1.
    pub(crate) sums_up: bool,
}

impl Reference {
    fn set(&self) -> &'static [Notes; WAYS] {
        // Words are 8 bytes apart at least, and pool blocks often lie at one offset of their pages.
        let hash = (self.address >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57;
        &NOTES[hash as usize % SETS]
    }

    fn notes(&self) -> Option<&'static Notes> {
        let mut set = self.set().iter();
        // Acquire: pairs with the Release of whoever began it.
        set.find(|notes| notes.address.load(Acquire) == self.address)
    }

    /// The notes, begun if there are none yet.
    fn noted(&self) -> Option<&'static Notes> {
        if let Some(notes) = self.notes() {
            return Some(notes);
        }
        let _alone = BEGINNING.lock();
        if let Some(notes) = self.notes() {
            return Some(notes);
        }
        let free = self.set().iter().find(|notes| notes.address.load(Relaxed) == 0);
        match free {
            Some(notes) => notes.begin(*self),
            None => CROWDED.store(true, Relaxed),
        }
        free
    }

    /// How many references are out by the word: exactly, for one who holds some of them.
    fn held(&self, notes: Option<&Notes>) -> i64 {
        match self.word {
            word if word & ACTIVE == 0 => word as i64 >> 1,
            RUN_DOWN => 0,
            word if notes.is_some_and(|notes| notes.left(word)) => 0,
            // The block stays until the last reference is back, so that where there is none any more, there are none.
            word => paging::peek((word & !ACTIVE) + native::before_wait_block()).unwrap_or(0) as i64,
        }
    }

    /// Whether the word of a plain reference says that it is held, and nobody waits for it.
    fn is_live(&self) -> bool {
        !self.cache_aware && self.word & ACTIVE == 0 && self.word as i64 > 0
    }

    /// Whether something that the routines granted is still out, by the word too.
    fn still_held(&self, notes: &Notes) -> bool {
        (self.cache_aware || self.is_live()) && notes.held.load(Relaxed) > 0
    }

    /// Ends the run.
    fn offence(&self, offence: u64, last: u64, text: fmt::Arguments<'_>) -> ! {
        let name = thread::current().inside().map_or("", |export| export.name);
        bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [offence, self.address, self.word, last],
            format_args!(
                "{name} of the {}reference {:#x}, whose word is {:#x}{text}",
                if self.cache_aware { "cache-aware " } else { "" },
                self.address,
                self.word
            ),
        )
    }

    /// For every routine: the words have to be aligned, or no exchange is atomic. Before the word is read.
    pub(crate) fn aligned(address: u64) {
        if !address.is_multiple_of(8) {
            let name = thread::current().inside().map_or("", |export| export.name);
            bugcheck(
                code::DRIVER_VERIFIER_DETECTED_VIOLATION,
                [code::sub::RUNDOWN_MISALIGNED, address, 0, 0],
                format_args!("{name} of {address:#x}: a run-down reference lies at a multiple of 8"),
            );
        }
    }

    /// An acquire has come back.
    pub(crate) fn acquired(&self, granted: bool, count: u64) {
        trace::note(Kind::Acquires, [self.address, count, u64::from(!granted)]);
        let (thread, Some(notes)) = (thread::current(), self.noted()) else {
            return;
        };
        if granted {
            notes.granted.store(thread.caller(), Relaxed);
            notes.left.store(0, Relaxed);
            if notes.refused_to.load(Relaxed) == thread.id {
                notes.refused.store(0, Relaxed);
            }
            notes.held.fetch_add(count as i64, Relaxed);
        } else {
            notes.refused_to.store(thread.id, Relaxed);
            notes.refused.store(thread.caller(), Relaxed);
        }
    }

    /// `count` references are about to be given back. It is an offence if neither the notes nor the word know of so many: the word alone
    /// may be that of a routine which let its waiter go too early.
    pub(crate) fn releases(&self, count: u64) {
        trace::note(Kind::Releases, [self.address, count, 0]);
        let notes = self.notes();
        let count = count as i64;
        let noted = match notes {
            Some(notes) => notes.held.fetch_sub(count, Relaxed),
            None if self.cache_aware && CROWDED.load(Relaxed) => return,
            None => 0,
        };
        let complete = self.word == RUN_DOWN || notes.is_some_and(|notes| notes.left(self.word));
        let held = if self.cache_aware { noted } else { self.held(notes) };
        // Where there is nothing to give back, not even 0 can be.
        let least = if complete { count.max(1) } else { count };
        if noted < least && held < least {
            let offence = if complete {
                code::sub::RUNDOWN_RELEASED_AFTER
            } else {
                code::sub::RUNDOWN_OVER_RELEASED
            };
            self.over_released(offence, notes, held);
        }
    }

    fn over_released(&self, offence: u64, notes: Option<&Notes>, held: i64) -> ! {
        let granted = notes.map_or(0, |notes| notes.granted.load(Relaxed));
        let refused = notes.filter(|notes| {
            notes.refused.load(Relaxed) != 0 && notes.refused_to.load(Relaxed) == thread::current().id
        });
        let (last, why) = match refused {
            Some(notes) => (
                notes.refused.load(Relaxed),
                "; this thread's last acquire was refused, and was called from",
            ),
            None => (granted, "; the last acquire that was granted was called from"),
        };
        let what = if offence == code::sub::RUNDOWN_RELEASED_AFTER {
            ": run-down is complete, so there is nothing to give back"
        } else {
            ": more is given back than was acquired"
        };
        self.offence(
            offence,
            last,
            format_args!("{what} ({held} held){}", From { why, last }),
        )
    }

    /// It is about to be initialised; what lies there until now need not be a reference.
    pub(crate) fn initializes(&self) {
        let Some(notes) = self.notes() else { return };
        self.not_in_use(notes, self.still_held(notes));
        notes.address.store(0, Relaxed);
    }

    /// It is about to be re-initialised or marked as run down.
    pub(crate) fn begins_anew(&self) {
        trace::note(Kind::BeginsAnew, [self.address, 0, 0]);
        match self.notes() {
            Some(notes) => {
                self.not_in_use(notes, self.is_live() || self.still_held(notes));
                notes.left.store(0, Relaxed);
                notes.came_back.store(false, Relaxed);
            }
            None if self.is_live() => self.in_use(0, ""),
            None => {}
        }
    }

    fn not_in_use(&self, notes: &Notes, held: bool) {
        match notes.waits.load(Relaxed) {
            // A wait has said that nobody holds it, and the driver believes that.
            0 if notes.came_back.load(Relaxed) => {}
            0 if held => self.in_use(
                notes.granted.load(Relaxed),
                "; the last acquire that was granted was called from",
            ),
            0 => {}
            waits => self.in_use(waits, "; it is waited for, called from"),
        }
    }

    fn in_use(&self, last: u64, why: &str) -> ! {
        self.offence(
            code::sub::RUNDOWN_INITIALIZED_IN_USE,
            last,
            format_args!(
                ": it is in use, and whoever gives its reference back will not find it{}",
                From { why, last }
            ),
        )
    }

    /// A wait is about to begin.
    pub(crate) fn waits(&self) {
        trace::note(Kind::RunDownBegins, [self.address, 0, 0]);
        let Some(notes) = self.noted() else { return };
        let caller = thread::current().caller();
        let other = notes.waits.load(Relaxed);
        let twice = if other != 0 && self.word > RUN_DOWN {
            Some((
                other,
                ": another thread waits for it, and neither of the two would return; called from",
            ))
        } else if notes.left(self.word) {
            Some((
                0,
                ": a wait for it is over and has left its pointer, so that NT would wait for ever; ExRundownCompleted or a \
                      re-initialisation belongs in between",
            ))
        } else if self.sums_up && self.word & ACTIVE != 0 {
            Some((
                0,
                ": it is run down already, and NT, which sums its slots up, would wait for ever",
            ))
        } else {
            None
        };
        if let Some((last, why)) = twice {
            self.offence(
                code::sub::RUNDOWN_WAITED_TWICE,
                last,
                format_args!("{}", From { why, last }),
            );
        }
        notes.waits.store(caller, Relaxed);
    }

    /// A wait has come back; the word as it is now.
    pub(crate) fn waited(&self) {
        if let Some(notes) = self.notes() {
            let left = if self.word & ACTIVE != 0 && self.word != RUN_DOWN {
                self.word
            } else {
                0
            };
            notes.left.store(left, Relaxed);
            notes.came_back.store(true, Relaxed);
            notes.waits.store(0, Relaxed);
        }
    }
}

/// A reason, and behind it an address if there is one.
struct From<'a> {
    why: &'a str,
    last: u64,
}

impl fmt::Display for From<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            0 if self.why.ends_with("from") => Ok(()),
            0 => f.write_str(self.why),
            last => write!(f, "{} {last:#x}", self.why),
        }
    }
}

/// A block of the driver's memory is about to go: nothing in it may be held or waited for, and what was noted of it is forgotten.
pub fn freed(block: u64) {
    let Some(block) = pool::block_near(block).filter(|found| found.address == block) else {
        return;
    };
    let memory = block.address..block.address + block.size;
    for notes in NOTES.as_flattened() {
        let address = notes.address.load(Relaxed);
        if !memory.contains(&address) {
            continue;
        }
        let reference = Reference {
            address,
            cache_aware: notes.cache_aware.load(Relaxed),
            word: paging::peek(address).unwrap_or(0),
            sums_up: false,
        };
        let waits = notes.waits.load(Relaxed);
        let held = reference.still_held(notes) && !notes.came_back.load(Relaxed);
        if waits != 0 || held {
            let (last, why) = if held {
                (
                    notes.granted.load(Relaxed),
                    "is held; the last acquire that was granted was called from",
                )
            } else {
                (waits, "is waited for, called from")
            };
            bugcheck(
                code::DRIVER_VERIFIER_DETECTED_VIOLATION,
                [code::sub::RUNDOWN_FREED_IN_USE, memory.start, address, last],
                format_args!(
                    "the memory at {:#x} is freed, and the run-down reference {address:#x} in it {why} {last:#x}",
                    memory.start
                ),
            );
        }
        notes.address.store(0, Relaxed);
    }
}

/// The driver is unloaded, and all of its memory with it.
pub fn forget_all() {
    for notes in NOTES.as_flattened() {
        notes.address.store(0, Relaxed);
    }
}
