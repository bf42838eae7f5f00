//! The processor control region: one per processor, found through GS.

use super::MAX_PROCESSORS;
use super::cpu::{self, FX_SIZE};
use super::trap::{REGISTERS, TrapFrame};
use core::arch::asm;
use core::ffi::c_void;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Where inlines of the driver kits' headers, and NT's own code, look on x64, as `dt nt!_KPCR` and `dt nt!_KPRCB` print with Microsoft's
/// public symbols. `KPCR.Self`:
const SELF: usize = 0x18;
/// `KPCR.Prcb.LegacyNumber`: the processor's number as `KeGetCurrentProcessorNumber` reads it.
const LEGACY_NUMBER: usize = 0x184;
/// `KPCR.Prcb.CurrentThread`, which `KeGetCurrentThread` and `PsGetCurrentThread` are where they are no exports.
const CURRENT_THREAD: usize = 0x188;
/// `KPCR.Prcb.Number`.
const NUMBER: usize = 0x1A4;

/// What a processor keeps for itself. Others read the counters; only the requests are written by others.
#[repr(C)]
pub struct Pcr {
    before_this: [u8; SELF],
    this: AtomicPtr<Pcr>,
    before_legacy_number: [u8; LEGACY_NUMBER - SELF - size_of::<usize>()],
    legacy_number: AtomicU8,
    /// The running thread: what that is is the dispatcher's business. It stays until it has been switched away from for good.
    pub current: AtomicPtr<c_void>,
    before_number: [u8; NUMBER - CURRENT_THREAD - size_of::<usize>()],
    number: AtomicU32,
    /// The thread that runs when no other can.
    pub idle: AtomicPtr<c_void>,
    /// A thread that ended here and is still to be taken from the thread table.
    pub dead: AtomicPtr<c_void>,
    /// Whether a DPC routine runs here.
    pub in_dpc: AtomicBool,
    /// Clock ticks in a row that interrupted code at `DISPATCH_LEVEL` or above.
    pub raised_ticks: AtomicU32,
    /// Who raised the IRQL to `DISPATCH_LEVEL` for the driver, 0 while nobody has; and the time-stamp counter then (`stay`).
    pub raiser: AtomicU64,
    /// As above.
    pub raised_at: AtomicU64,
    /// Whether the lab does something on its own account during that.
    pub apart: AtomicBool,
    /// The clock's period, ticks of the local APIC's timer.
    pub clock_period: AtomicU32,
    /// Clock ticks left to the running thread.
    pub quantum: AtomicU32,
    /// Whether the running thread should give way.
    pub reschedule: AtomicBool,
    /// State of this processor's random numbers.
    pub random: AtomicU64,
    /// The flush generation that this processor has reached (`nmi`).
    pub flushed: AtomicU64,
    /// Whether it sleeps, and does what it is asked for before it does anything else (`nmi`).
    pub dozing: AtomicBool,
    /// Whether the processor is up.
    pub online: AtomicBool,
    /// Where it stood when the machine was frozen.
    pub frozen: Frozen,
    /// Clock ticks so far.
    pub ticks: AtomicU64,
    /// The breakpoint generation that its debug registers hold (`breakpoints`).
    pub breakpoints: AtomicU32,
}

const _: () = {
    assert!(offset_of!(Pcr, this) == SELF);
    assert!(offset_of!(Pcr, legacy_number) == LEGACY_NUMBER);
    assert!(offset_of!(Pcr, current) == CURRENT_THREAD);
    assert!(offset_of!(Pcr, number) == NUMBER);
};

/// What a processor of a frozen machine was at. It writes this itself, and the reporting processor reads it later.
pub struct Frozen {
    registers: [AtomicU64; REGISTERS.len()],
    /// CR2 and CR8.
    control: [AtomicU64; 2],
    /// What FXSAVE64 wrote: the kernel touches no vector register, so they are still the interrupted code's.
    vectors: [AtomicU64; FX_SIZE / 8],
}

impl Frozen {
    const fn new() -> Self {
        Self {
            registers: [const { AtomicU64::new(0) }; _],
            control: [const { AtomicU64::new(0) }; _],
            vectors: [const { AtomicU64::new(0) }; _],
        }
    }

    /// Notes what the processor is at; without a frame, its vector registers only.
    pub fn note(&self, frame: Option<&TrapFrame>) {
        // Relaxed: a report is made of what has arrived until then, and says zero of the rest.
        let store = |to: &[AtomicU64], from: &[u64]| {
            to.iter()
                .zip(from)
                .for_each(|(to, &from)| to.store(from, Ordering::Relaxed));
        };
        store(&self.vectors, &cpu::FxArea::save().words());
        store(&self.control, &[cpu::read_cr2(), cpu::read_cr8().into()]);
        if let Some(frame) = frame {
            store(&self.registers, &frame.registers());
        }
    }

    /// RIP, RSP and the others by name, those of [`REGISTERS`] and then CR2 and CR8; RIP is 0 if the processor did not say.
    pub fn registers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = REGISTERS.into_iter().chain(["cr2", "cr8"]);
        let values = self.registers.iter().chain(&self.control);
        names.zip(values.map(|value| value.load(Ordering::Relaxed)))
    }

    /// Where the vector registers are kept, as FXSAVE64 lays them out.
    pub fn vectors(&self) -> u64 {
        (&raw const self.vectors) as u64
    }
}

impl Pcr {
    const fn new() -> Self {
        Self {
            before_this: [0; _],
            this: AtomicPtr::new(core::ptr::null_mut()),
            before_legacy_number: [0; _],
            legacy_number: AtomicU8::new(0),
            current: AtomicPtr::new(core::ptr::null_mut()),
            before_number: [0; _],
            number: AtomicU32::new(0),
            idle: AtomicPtr::new(core::ptr::null_mut()),
            dead: AtomicPtr::new(core::ptr::null_mut()),
            in_dpc: AtomicBool::new(false),
            raised_ticks: AtomicU32::new(0),
            raiser: AtomicU64::new(0),
            raised_at: AtomicU64::new(0),
            apart: AtomicBool::new(false),
            clock_period: AtomicU32::new(0),
            quantum: AtomicU32::new(0),
            reschedule: AtomicBool::new(false),
            random: AtomicU64::new(1),
            flushed: AtomicU64::new(0),
            dozing: AtomicBool::new(false),
            online: AtomicBool::new(false),
            frozen: Frozen::new(),
            ticks: AtomicU64::new(0),
            breakpoints: AtomicU32::new(0),
        }
    }

    /// The processor's number, which is also its APIC ID.
    pub fn number(&self) -> usize {
        self.number.load(Ordering::Relaxed) as usize
    }

    /// Whether it runs its idle thread; it may be about to switch.
    pub fn is_idle(&self) -> bool {
        self.current.load(Ordering::Relaxed) == self.idle.load(Ordering::Relaxed)
    }
}

static PCRS: [Pcr; MAX_PROCESSORS] = [const { Pcr::new() }; MAX_PROCESSORS];

/// The regions of all processors that are up, in order of their number.
pub fn online() -> impl Iterator<Item = &'static Pcr> {
    PCRS.iter().filter(|pcr| pcr.online.load(Ordering::Acquire))
}

/// The region of processor `number`.
pub fn of(number: usize) -> &'static Pcr {
    &PCRS[number]
}

/// Makes GS name processor `number`'s region, on that processor.
pub fn install(number: usize) {
    let pcr = &PCRS[number];
    pcr.number.store(number as u32, Ordering::Relaxed);
    pcr.legacy_number.store(number as u8, Ordering::Relaxed);
    pcr.this.store((&raw const *pcr).cast_mut(), Ordering::Relaxed);
    x86_64::registers::model_specific::GsBase::write(x86_64::VirtAddr::from_ptr(pcr));
}

/// This processor's region. Below `DISPATCH_LEVEL` with interrupts enabled the caller may have moved on before it looks.
pub fn this() -> &'static Pcr {
    let pcr: *const Pcr;
    // SAFETY: GS names a `Pcr` from `install` on, which holds its own address there.
    unsafe {
        asm!("mov {}, gs:[{this}]", out(reg) pcr, this = const SELF, options(nostack, readonly, preserves_flags));
    };
    // SAFETY: it is an element of the static `PCRS`.
    unsafe { &*pcr }
}

/// The running thread: one instruction, so right even where the caller may be moved to another processor.
pub fn current() -> *const c_void {
    let thread: *const c_void;
    // SAFETY: as in `this`; `current` lies where `offset_of` says.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) thread, offset = const offset_of!(Pcr, current),
            options(nostack, readonly, preserves_flags));
    };
    thread
}

/// The number of the processor that the caller runs on, or ran on a moment ago.
pub fn current_number() -> usize {
    this().number()
}
