//! What a thread's next wait finds.

use std::cell::Cell;

use ex_rundown::{Irql, PASSIVE_LEVEL};

use crate::processor;

thread_local! {
    static CURRENT: Cell<Settings> = const { Cell::new(Settings::DEFAULT) };
}

/// The IRQL and the shared-data fields, as the calling thread sees them.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The IRQL that the thread claims to run at.
    pub irql: Irql,
    /// `ExpSpinCycleCount`.
    pub spin_cycles: u32,
    /// `KUSER_SHARED_DATA.UnparkedProcessorCount`.
    pub unparked_processors: u16,
    /// `KUSER_SHARED_DATA.ProcessorFeatures[35]`. The monitor is then played by polling.
    pub monitorx: bool,
    /// `KUSER_SHARED_DATA.CyclesPerYield`.
    pub cycles_per_yield: u16,
    /// The processor that the thread claims to run on; `None` for the one that it does run on.
    pub processor: Option<u32>,
}

impl Settings {
    /// A two-processor machine without `MONITORX`, at `PASSIVE_LEVEL`.
    pub const DEFAULT: Self = Self {
        irql: PASSIVE_LEVEL,
        spin_cycles: 10_240,
        unparked_processors: 2,
        monitorx: false,
        cycles_per_yield: 40,
        processor: None,
    };

    /// Those of the calling thread.
    #[inline]
    #[must_use]
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// Makes them those of the calling thread while `body` runs.
    pub fn with<R>(self, body: impl FnOnce() -> R) -> R {
        struct Restore(Settings);
        impl Drop for Restore {
            fn drop(&mut self) {
                self.0.enter();
            }
        }
        let _restore = Restore(self.enter());
        body()
    }

    /// Makes them current, and gives those that were.
    pub(crate) fn enter(self) -> Self {
        processor::claim(self.processor);
        CURRENT.replace(self)
    }
}
