//! What a thread sees of the machine: its IRQL, the kernel's shared data, and who counts and watches.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ex_rundown::{Irql, PASSIVE_LEVEL};

/// `KUSER_SHARED_DATA` in the kernel's address space.
pub(crate) const SHARED_DATA: u64 = 0xffff_f780_0000_0000;
/// Its size: a page.
pub(crate) const SHARED_DATA_SIZE: usize = 0x1000;
// Offsets of its fields, ntddk.h.
const PROCESSOR_FEATURES_MONITORX: usize = 0x274 + 35;
const CYCLES_PER_YIELD: usize = 0x2d6;
const UNPARKED_PROCESSOR_COUNT: usize = 0x36a;

/// The IRQL and the fields of `KUSER_SHARED_DATA`, as the calling thread sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The IRQL that the thread claims to run at: what CR8 says.
    pub irql: Irql,
    /// `ExpSpinCycleCount`, for ours. NT's code reads its own: [`crate::Native::set_spin_cycles`].
    pub spin_cycles: u32,
    /// `UnparkedProcessorCount`.
    pub unparked_processors: u16,
    /// `ProcessorFeatures[PF_MONITORX_INSTRUCTION_AVAILABLE]`.
    pub monitorx: bool,
    /// `CyclesPerYield`.
    pub cycles_per_yield: u16,
}

impl Settings {
    /// A two-processor machine that does not use `MONITORX`, at `PASSIVE_LEVEL`.
    pub const DEFAULT: Self = Self {
        irql: PASSIVE_LEVEL,
        spin_cycles: 10_240,
        unparked_processors: 2,
        monitorx: false,
        cycles_per_yield: 40,
    };

    /// Those of the calling thread.
    #[must_use]
    pub fn current() -> Self {
        THIS.with(|this| this.settings.get())
    }

    /// Makes them those of the calling thread while `body` runs.
    pub fn with<R>(self, body: impl FnOnce() -> R) -> R {
        struct Restore(Settings);
        impl Drop for Restore {
            fn drop(&mut self) {
                self.0.set();
            }
        }
        let _restore = Restore(Self::current());
        self.set();
        body()
    }

    fn set(self) {
        THIS.with(|this| {
            this.settings.set(self);
            this.shared
                .write(PROCESSOR_FEATURES_MONITORX, [u8::from(self.monitorx)]);
            this.shared
                .write(CYCLES_PER_YIELD, self.cycles_per_yield.to_le_bytes());
            this.shared
                .write(UNPARKED_PROCESSOR_COUNT, self.unparked_processors.to_le_bytes());
        });
    }
}

/// A question that a wait asks of the machine. NT's code and ours ask the same ones in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seam {
    /// The IRQL: a read of CR8.
    Irql,
    /// `UnparkedProcessorCount`.
    UnparkedProcessors,
    /// `ProcessorFeatures[PF_MONITORX_INSTRUCTION_AVAILABLE]`.
    Monitorx,
    /// `CyclesPerYield`.
    CyclesPerYield,
    /// `KeYieldProcessorEx` at `DISPATCH_LEVEL`.
    Yield,
    /// `KeWaitForSingleObject`.
    Sleep,
}

impl Seam {
    /// The question behind a read of the shared data.
    pub(crate) fn of_shared_data(offset: usize) -> Option<Self> {
        match offset {
            UNPARKED_PROCESSOR_COUNT => Some(Self::UnparkedProcessors),
            PROCESSOR_FEATURES_MONITORX => Some(Self::Monitorx),
            CYCLES_PER_YIELD => Some(Self::CyclesPerYield),
            _ => None,
        }
    }
}

/// Calls of the event functions, by all threads that count here.
#[derive(Debug, Default)]
pub struct Counts {
    /// `KeWaitForSingleObject`.
    pub waits: AtomicU64,
    /// `KeSetEvent`.
    pub sets: AtomicU64,
    /// Of both: calls with an argument or an event other than a wait block's.
    pub wrong: AtomicU64,
}

impl Counts {
    /// Makes the calling thread count here while `body` runs.
    pub fn with<R>(self: &Arc<Self>, body: impl FnOnce() -> R) -> R {
        let before = COUNTS.replace(Some(Arc::clone(self)));
        let result = body();
        COUNTS.replace(before);
        result
    }

    /// Counts one call on the calling thread's counters.
    pub(crate) fn count(field: fn(&Self) -> &AtomicU64) {
        COUNTS.with_borrow(|counts| {
            if let Some(counts) = counts {
                // A counter; nothing is ordered by it.
                field(counts).fetch_add(1, Relaxed);
            }
        });
    }
}

/// What a wait asked, for those who have to tell afterwards how it ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) irql: Option<Irql>,
    pub(crate) slept: bool,
    /// Whether it spun, and whether by `MONITORX`.
    pub(crate) spin: Option<bool>,
}

/// The shared data's page, as this thread's code reads it.
#[repr(align(64))]
pub(crate) struct SharedPage([Cell<u8>; SHARED_DATA_SIZE]);

impl SharedPage {
    fn write<const N: usize>(&self, offset: usize, bytes: [u8; N]) {
        for (cell, byte) in self.0[offset..].iter().zip(bytes) {
            cell.set(byte);
        }
    }

    pub(crate) fn address(&self) -> usize {
        (&raw const self.0).expose_provenance()
    }
}

pub(crate) struct ThisThread {
    settings: Cell<Settings>,
    asked: Cell<Asked>,
    pub(crate) shared: SharedPage,
}

type Hook = Box<dyn FnMut(Seam)>;

thread_local! {
    static THIS: ThisThread = const {
        ThisThread {
            settings: Cell::new(Settings::DEFAULT),
            asked: Cell::new(Asked { irql: None, slept: false, spin: None }),
            shared: SharedPage([const { Cell::new(0) }; SHARED_DATA_SIZE]),
        }
    };
    static COUNTS: RefCell<Option<Arc<Counts>>> = const { RefCell::new(None) };
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Calls `hook` at every seam that a wait of the calling thread passes while `body` runs.
///
/// The waiter stands still meanwhile, its block published: a hook that releases does, on one thread and at a known
/// place, what a releaser on another thread does at some time. It must not panic.
pub fn on_seam<R>(hook: impl FnMut(Seam) + 'static, body: impl FnOnce() -> R) -> R {
    let before = HOOK.replace(Some(Box::new(hook)));
    let result = body();
    HOOK.replace(before);
    result
}

/// A wait of this thread passes `seam`.
pub(crate) fn pass(seam: Seam) {
    let settings = Settings::current();
    THIS.with(|this| {
        let mut asked = this.asked.get();
        match seam {
            Seam::Irql => asked.irql = Some(settings.irql),
            Seam::Monitorx => asked.spin = Some(settings.monitorx),
            Seam::Sleep => asked.slept = true,
            Seam::UnparkedProcessors | Seam::CyclesPerYield | Seam::Yield => (),
        }
        this.asked.set(asked);
    });
    // Taken out while it runs: it may call what passes here.
    if let Some(mut hook) = HOOK.take() {
        hook(seam);
        HOOK.set(Some(hook));
    }
}

/// What was asked since the last call.
pub(crate) fn take_asked() -> Asked {
    THIS.with(|this| this.asked.take())
}

/// The address of the calling thread's shared data.
pub(crate) fn shared_page() -> usize {
    // The page of a thread that has never set its settings is still blank.
    Settings::current().set();
    THIS.with(|this| this.shared.address())
}
