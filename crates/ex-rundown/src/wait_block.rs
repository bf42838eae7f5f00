//! The block that a waiter publishes in the word: NT's, to the byte.
//!
//! | offset (x64) | field | |
//! |---|---|---|
//! | 0x00 | `Count` | references still to be released |
//! | 0x08 | `WakeEvent` | a `KEVENT`, initialised only when the waiter decides to sleep |
//! | 0x20 | `SpinFlag` | bit 0 set while the releaser may hand over without the event |
//!
//! It lies on the waiter's stack, so the only question is when the last releaser is done with it. The answer is
//! in the [crate's documentation](crate#the-hand-over).
//!
//! The layout is compared with NT's at compile time for 64-bit targets, and was read off x64 code. That ARM64's is the same
//! follows from the public declarations of its parts; nobody has run it beside native code there.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::Ordering::{AcqRel, Relaxed},
};

use crate::{
    AtMostApcLevel, AtomicU32, AtomicUsize, Check, Misuse, Platform, State, WayOut,
    spin::{self, SPINNING},
    sync::Lifetime,
};

/// A wait block. `E` is the platform's event.
///
/// ```
/// use ex_rundown::wait_block::WaitBlock;
///
/// # #[cfg(target_pointer_width = "64")]
/// assert_eq!(size_of::<WaitBlock<[u64; 3]>>(), 0x28, "with an event of a KEVENT's size");
/// ```
#[derive(Debug)]
#[repr(C)]
pub struct WaitBlock<E> {
    count: AtomicUsize,
    wake_event: UnsafeCell<MaybeUninit<E>>,
    spin_flag: AtomicU32,
    /// NT stores `SpinFlag` as eight bytes and works on the lower four.
    spin_flag_high: u32,
    frame: Lifetime,
}

// With an event of a KEVENT's size the block is NT's.
#[cfg(all(target_pointer_width = "64", not(any(ex_rundown_loom, ex_rundown_shuttle))))]
const _: () = {
    type Block = WaitBlock<[u64; 3]>;
    assert!(core::mem::offset_of!(Block, count) == 0x00);
    assert!(core::mem::offset_of!(Block, wake_event) == 0x08);
    assert!(core::mem::offset_of!(Block, spin_flag) == 0x20);
    assert!(size_of::<Block>() == 0x28);
    assert!(align_of::<Block>() == 8);
};

impl<E> WaitBlock<E> {
    /// A block that is not yet published: no count, and the waiter spins.
    pub(crate) fn spinning() -> Self {
        Self::with_flag(SPINNING)
    }

    /// A block that is not yet published: no count, and the waiter does not spin. The last releaser finds the bit
    /// clear and sets the event.
    pub(crate) fn not_spinning() -> Self {
        Self::with_flag(0)
    }

    fn with_flag(flag: u32) -> Self {
        Self {
            count: AtomicUsize::new(0),
            wake_event: UnsafeCell::new(MaybeUninit::uninit()),
            spin_flag: AtomicU32::new(flag),
            spin_flag_high: 0,
            frame: Lifetime::new(),
        }
    }

    /// The word that publishes this block.
    pub(crate) fn word(&self) -> usize {
        // The word is an integer that C code shares, so the pointer's provenance is exposed here and taken up
        // again by `from_word`.
        State::Waiting((&raw const *self).expose_provenance()).word()
    }

    /// The block's address, for a pointer that publishes it.
    pub(crate) fn address(&self) -> *mut () {
        (&raw const *self).cast_mut().cast()
    }

    /// The block behind a word that is [`State::Waiting`].
    pub(crate) fn from_word(block: usize) -> *const Self {
        core::ptr::with_exposed_provenance(block)
    }

    /// Sets the number of references to wait for. The block is not published yet.
    pub(crate) fn set_count(&self, references: usize) {
        // Ordered by the exchange that publishes the block.
        self.count.store(references, Relaxed);
    }

    /// Adds references to wait for, when the block was published before they were known and its releasers may have
    /// brought the count below zero. `true` when all of them are released: then none of them touches the block
    /// again, because none of them found itself the last.
    pub(crate) fn add_to_count(&self, references: usize) -> bool {
        // Acquire: when this reaches zero, what the holders did reaches the waiter by no other path. Release: it
        // publishes the event to the last releaser where that was initialised before.
        self.count.fetch_add(references, AcqRel).wrapping_add(references) == 0
    }

    /// The waiter is about to return without having waited: nobody may touch the block any more.
    pub(crate) fn end(&self) {
        self.frame.end();
    }

    /// Waits for the last releaser, with the block published and references outstanding.
    ///
    /// # IRQL
    /// Any: it reads the level. At `DISPATCH_LEVEL` and above it polls with no deadline.
    #[expect(
        clippy::inline_always,
        reason = "the slow wait of each reference stays one function by name, in which the lab watches the read of CR8"
    )]
    #[inline(always)]
    pub(crate) fn wait<P: Platform<Event = E>>(&self) -> WayOut {
        let way_out = match AtMostApcLevel::check::<P>() {
            None => spin::poll::<P>(&self.spin_flag),
            Some(level) => {
                spin::spin::<P>(&self.spin_flag).unwrap_or_else(|| self.sleep_unless_handed_over::<P>(&level))
            }
        };
        self.frame.end();
        way_out
    }

    /// Adds `references` to a block that is [not spinning](Self::not_spinning) and published, and sleeps until the
    /// last of them is released.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, or references that are all released; else a [misuse](Misuse::WaitAtDispatchLevel), which cannot be
    /// taken back any more: the block is published.
    pub(crate) fn wait_asleep<P: Platform<Event = E>>(&self, references: usize) -> WayOut {
        let event = self.wake_event.get().cast::<E>();
        // SAFETY: until the count is complete no releaser is the last, and only the last touches the event. The
        // block does not move: it is published.
        unsafe { P::initialize_event(event) };
        let way_out = if self.add_to_count(references) {
            WayOut::Late
        } else {
            let Some(level) = AtMostApcLevel::check::<P>() else {
                P::misuse(Misuse::WaitAtDispatchLevel, self.word());
            };
            // SAFETY: initialised, and its one waiter is this one. The flag is clear, so the last releaser sets it.
            unsafe { P::wait_for_event(event, &level) };
            WayOut::Event
        };
        // SAFETY: initialised above, and the last releaser is done with it, if there was one.
        unsafe { core::ptr::drop_in_place(event) };
        self.frame.end();
        way_out
    }

    fn sleep_unless_handed_over<P: Platform<Event = E>>(&self, level: &AtMostApcLevel) -> WayOut {
        let event = self.wake_event.get().cast::<E>();
        // SAFETY: while the flag is set no releaser touches the event, and the block does not move: it is
        // published.
        unsafe { P::initialize_event(event) };
        let way_out = if test_and_clear(&self.spin_flag) {
            // SAFETY: the event is initialised, and its one waiter is this one. The bit was set, so the last
            // releaser will find it clear and set the event.
            unsafe { P::wait_for_event(event, level) };
            WayOut::Event
        } else {
            WayOut::Late
        };
        // SAFETY: initialised above, and the last releaser is done with it: either it never touched it (Late) or
        // it has set it, which was its last touch (Event).
        unsafe { core::ptr::drop_in_place(event) };
        way_out
    }

    /// Gives back `references` of those that the waiter waits for, and hands over with the last.
    ///
    /// Under an unchecked `C` the count may be below zero, as it is while it is not
    /// [complete](Self::add_to_count).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// `block` came out of a word, and the caller owns `references` of the references that its waiter counted:
    /// the waiter cannot return, and the block cannot vanish, before they are given back.
    pub(crate) unsafe fn release<P: Platform<Event = E>, C: Check>(block: *const Self, references: usize) {
        // A raw pointer, never a reference to the block: after the hand-over the waiter's frame may be gone, and a
        // reference promises memory until the function that has it returns. One to an atomic alone does not.
        // SAFETY: the caller's references keep the block alive.
        let frame = unsafe { &raw const (*block).frame };
        // SAFETY: as above.
        unsafe { (*frame).touch() };
        // SAFETY: as above.
        let count = unsafe { &raw const (*block).count };
        // Release, for what this holder did; Acquire, for what the others did: the last one hands all of it over.
        // SAFETY: as above.
        let before = unsafe { (*count).fetch_sub(references, AcqRel) };
        if C::CHECKED && (before < references || before > isize::MAX.cast_unsigned()) {
            if before != 0 {
                // Put back, so that a dump shows the block as it was; the waiter still waits for `before` references.
                // SAFETY: as above: this was no last reference.
                unsafe { (*count).fetch_add(references, Relaxed) };
            }
            P::misuse(Misuse::ReleaseTooMany, State::Waiting(block.addr()).word());
        }
        if before != references {
            return;
        }
        // This was the last reference. The waiter still cannot return: it waits for what follows.
        // SAFETY: see the line above.
        let flag = unsafe { &raw const (*block).spin_flag };
        // SAFETY: as above.
        if test_and_clear(unsafe { &*flag }) {
            // The waiter was still spinning; from here on the block is gone.
            return;
        }
        // SAFETY: the waiter found the bit set, so it has initialised the event and cannot return before it is
        // set.
        let event = unsafe { &raw const (*block).wake_event };
        // SAFETY: as above.
        unsafe { P::set_event(UnsafeCell::raw_get(event).cast::<E>()) };
    }
}

/// Ends the program if a panic would unwind while a block is published: the block's frame would be gone, its address still in
/// the word, and the next release would write there. (A panic in a drop during unwinding aborts. With `panic = "abort"`, as
/// in a driver, nothing unwinds and there is no code for this.)
pub(crate) struct NoUnwind(());

impl NoUnwind {
    pub(crate) const fn begin() -> Self {
        Self(())
    }

    pub(crate) const fn end(self) {
        core::mem::forget(self);
    }
}

impl Drop for NoUnwind {
    fn drop(&mut self) {
        // The checkers end a run by unwinding, and run none of its threads again.
        #[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
        panic!("a wait for run-down unwinds while its wait block is published");
    }
}

/// Clears bit 0 of a `SpinFlag` and says whether it was set. Of the waiter's and the last releaser's call exactly one
/// returns true.
fn test_and_clear(spin_flag: &AtomicU32) -> bool {
    // The waiter's publishes the initialised event and the releaser's acquires it; the releaser's publishes what all
    // holders did and the waiter's acquires that.
    spin_flag.fetch_and(!SPINNING, AcqRel) & SPINNING != 0
}
