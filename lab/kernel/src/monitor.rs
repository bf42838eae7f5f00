//! MONITORX and MWAITX for the driver, for NT's own routines and for the reference that stands in for them: TCG has neither and
//! raises `#UD`, so the handler does what they do.
//!
//! MONITORX (0F 01 FA) notes the address in RAX and the double word there, per thread. MWAITX (0F 01 FB) returns when that
//! double word differs from what was noted, or, with ECX bit 1 set, when EBX cycles are over; interrupts may end neither here,
//! but are taken. Watching one double word instead of the whole line misses stores beside it, which the driver may not rely on.

use crate::ex::native::{self, Question};
use crate::hal::cpu;
use crate::hal::trap::{RESUME_FLAG, TrapFrame};
use crate::ke::thread;
use crate::ldr::image;
use crate::mm;
use crate::rng;
use crate::trace::{self, Kind};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// MONITORX instructions of the driver and of NT's routines emulated.
pub static MONITORX: AtomicU64 = AtomicU64::new(0);
/// The same of MWAITX.
pub static MWAITX: AtomicU64 = AtomicU64::new(0);
/// MONITORX instructions that did not follow an MWAITX of the same thread: spins that were begun.
pub static MONITORX_SERIES: AtomicU64 = AtomicU64::new(0);

const LENGTH: u64 = 3;
/// ECX bit 1: EBX holds a time limit.
const TIMER: u64 = 2;
/// Without a limit, or with one that is longer, MWAITX ends like this: it may always end early.
const LONGEST: u64 = 1 << 24;

fn double_word(address: u64) -> u32 {
    // SAFETY: the driver's own MONITORX names it, and on hardware reads it; if it is not mapped this faults, as there.
    unsafe { ((address & !3) as *const u32).read_volatile() }
}

/// Whether MONITORX comes here. A processor that carries it out by itself, as one of AMD's does under KVM, leaves nothing to count.
pub fn is_emulated() -> bool {
    let word = 0;
    cpu::monitorx(&raw const word);
    thread::current().monitor.swap(0, Relaxed) == (&raw const word) as u64
}

/// Emulates the instruction at RIP, if it is one of the two.
pub fn emulate(frame: &mut TrapFrame) -> bool {
    let whole = |lies_in: fn(u64) -> bool| lies_in(frame.rip) && lies_in(frame.rip + LENGTH);
    let (by_driver, by_native) = (whole(image::in_driver), whole(native::contains));
    if !by_driver && !by_native && frame.rip < mm::KERNEL {
        return false;
    }
    // SAFETY: the processor has just fetched these bytes, which lie in a mapped image, in NT's code, or in the kernel's.
    let opcode = unsafe { (frame.rip as *const [u8; LENGTH as usize]).read_volatile() };
    let thread = thread::current();
    match opcode {
        [0x0F, 0x01, 0xFA] => {
            let begins = !thread.waited.swap(false, Relaxed);
            if by_native {
                native::note(Question::Monitor);
            }
            if by_driver || by_native {
                MONITORX.fetch_add(1, Relaxed);
                MONITORX_SERIES.fetch_add(u64::from(begins), Relaxed);
            }
            thread.monitored.store(double_word(frame.rax), Relaxed);
            thread.monitor.store(frame.rax, Relaxed);
        }
        [0x0F, 0x01, 0xFB] => {
            if by_driver || by_native {
                MWAITX.fetch_add(1, Relaxed);
            }
            thread.waited.store(true, Relaxed);
            let limit = if frame.rcx & TIMER == 0 {
                LONGEST
            } else {
                (frame.rbx & 0xFFFF_FFFF).min(LONGEST)
            };
            let (address, before) = (thread.monitor.swap(0, Relaxed), thread.monitored.load(Relaxed));
            trace::note(Kind::MonitorBegins, [address, 0, 0]);
            wait(address, before, limit, frame.interrupts());
            if trace::is_on() {
                let changed = address != 0 && double_word(address) != before;
                trace::note(Kind::MonitorEnds, [address, changed.into(), 0]);
            }
        }
        _ => return false,
    }
    frame.rip += LENGTH;
    frame.rflags &= !RESUME_FLAG;
    true
}

/// Waits as MWAITX does. Without an armed monitor it does not wait at all.
fn wait(address: u64, before: u32, limit: u64, interrupts: bool) {
    // One in 64 ends at once, as hardware may.
    if address == 0 || rng::one_in(64) {
        return;
    }
    let start = cpu::rdtsc();
    cpu::restore_interrupts(interrupts);
    while double_word(address) == before && cpu::rdtsc().wrapping_sub(start) < limit {
        core::hint::spin_loop();
    }
    cpu::disable_interrupts();
}
