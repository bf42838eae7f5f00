//! `DISPATCH_LEVEL`, played by a lock per processor: who has it is alone on that processor.

use std::{
    cell::Cell,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use ex_rundown::{AtMostApcLevel, DISPATCH_LEVEL, DispatchPlatform, ProcessorPlatform};

use crate::{Settings, Std};

thread_local! {
    /// The processor that the thread is kept on.
    static KEPT: Cell<Option<u32>> = const { Cell::new(None) };
}

fn processors() -> &'static [Mutex<()>] {
    static LOCKS: OnceLock<Vec<Mutex<()>>> = OnceLock::new();
    LOCKS.get_or_init(|| (0..Std::processor_count()).map(|_| Mutex::new(())).collect())
}

fn lock(processor: u32) -> MutexGuard<'static, ()> {
    // A section that panicked has left nothing behind: its guards were dropped.
    processors()[processor as usize]
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// A thread at `DISPATCH_LEVEL`.
#[derive(Debug)]
pub struct Raised {
    processor: u32,
    before: Settings,
    /// None in a section within another one.
    lock: Option<MutexGuard<'static, ()>>,
}

impl Drop for Raised {
    fn drop(&mut self) {
        if self.lock.is_some() {
            KEPT.set(None);
        }
        self.before.enter();
    }
}

// SAFETY: sections on a processor have its lock one after the other. The number that is given is the lock's, and while there is a section
// the thread claims to be there. A grace period has each lock once: what had it before happens before, what has it later after.
unsafe impl DispatchPlatform for Std {
    type Raised = Raised;

    fn raise() -> Raised {
        let (processor, lock) = if let Some(processor) = KEPT.get() {
            (processor, None)
        } else {
            let processor = Self::processor_number() % Self::processor_count();
            (processor, Some(lock(processor)))
        };
        KEPT.set(Some(processor));
        let now = Settings {
            irql: DISPATCH_LEVEL,
            processor: Some(processor),
            ..Settings::current()
        };
        Raised {
            processor,
            before: now.enter(),
            lock,
        }
    }

    fn processor(raised: &Raised) -> u32 {
        raised.processor
    }

    /// Not what [`Settings`] claim: whether there is a section.
    fn is_at_dispatch_level() -> bool {
        KEPT.get().is_some()
    }

    fn grace_period(level: &AtMostApcLevel) {
        level.debug_check::<Self>();
        assert!(
            KEPT.get().is_none(),
            "a grace period within a section would not end"
        );
        (0..Self::processor_count()).map(lock).for_each(drop);
    }
}
