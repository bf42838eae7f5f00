//! The obvious design of a wide reference, which is wrong: a refused acquire takes its addition back, and whoever
//! brings the state's count to zero swaps the waiter with null and hands over. See `docs/wide.md`.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::seam::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicUsize},
    thread::{self, Thread},
};

use crate::protocol::Protocol;

/// A waiter's event, ready before it is published. Each generation has its own, so that a stale wake finds it.
struct Event {
    waiter: UnsafeCell<Option<Thread>>,
    signalled: AtomicBool,
}

pub(crate) struct Undo {
    /// Bit 0: run-down has begun. Above: references, and refused acquires that are not yet undone.
    state: AtomicUsize,
    /// The number of a registered waiter's event plus 1, or 0 for null.
    waiter: AtomicUsize,
    events: [Event; 2],
    /// Whose turn it is; only the owner uses it.
    generation: AtomicUsize,
}

impl Undo {
    /// Takes one off the state, and hands over with the last.
    fn leave(&self) {
        if self.state.fetch_sub(2, AcqRel) == (2 | 1) {
            // Between these two lines the world may move on by a generation.
            let waiter = self.waiter.swap(0, AcqRel);
            if let Some(number) = waiter.checked_sub(1) {
                let event = &self.events[number];
                // SAFETY: written before the waiter was registered.
                let thread = event.waiter.with(|thread| unsafe { (*thread).clone() });
                event.signalled.store(true, Release);
                thread.expect("registered").unpark();
            }
        }
    }
}

impl Protocol for Undo {
    fn new() -> Self {
        let event = || Event {
            waiter: UnsafeCell::new(None),
            signalled: AtomicBool::new(false),
        };
        Self {
            state: AtomicUsize::new(0),
            waiter: AtomicUsize::new(0),
            events: [event(), event()],
            generation: AtomicUsize::new(0),
        }
    }

    fn acquire(&self, _who: usize) -> bool {
        if self.state.fetch_add(2, AcqRel) & 1 == 0 {
            return true;
        }
        self.leave();
        false
    }

    fn release(&self, _who: usize) {
        self.leave();
    }

    fn wait(&self) {
        let number = self.generation.fetch_add(1, Relaxed);
        let event = &self.events[number];
        // SAFETY: not registered yet.
        event
            .waiter
            .with_mut(|thread| unsafe { *thread = Some(thread::current()) });
        assert_eq!(self.waiter.swap(number + 1, AcqRel), 0);
        // Nobody inside: nobody will hand over, unless a refused acquire is about to.
        if self.state.fetch_or(1, AcqRel) < 2 && self.waiter.swap(0, AcqRel) != 0 {
            return;
        }
        while !event.signalled.load(Acquire) {
            thread::park();
        }
    }

    fn reinitialize(&self) {
        // Not a store of 0: refused acquires that are not yet undone will still take theirs off.
        self.state.fetch_and(!1, AcqRel);
    }
}
