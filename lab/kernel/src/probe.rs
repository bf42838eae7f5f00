//! What a machine must be able to do at CPL 0 before a driver is judged on it, and in which time. TCG always can. KVM may be there and be of no use: a
//! hypervisor that is itself emulated takes microseconds for an instruction, and lacks some.
//!
//! Each step is named on the log before it is made, for many a failure is the end of the machine.

use crate::hal::{clock, power, trap};
use crate::{log, monitor};
use core::arch::{asm, naked_asm};
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How long a million turns of a loop may take, microseconds. They take hundreds on a processor, and under TCG.
const LIMIT: u64 = 10_000;
const TURNS: u64 = 1_000_000;

/// Breakpoints of the probe's that were delivered.
static BREAKPOINTS: AtomicU32 = AtomicU32::new(0);

/// Tries everything and switches off.
pub(crate) fn run() -> ! {
    for (name, step) in STEPS {
        log!("probe: {name}");
        if !step() {
            power::power_off(power::Exit::LabFailed);
        }
    }
    log!("probe: passed");
    power::power_off(power::Exit::Passed)
}

type Step = (&'static str, fn() -> bool);

/// Each step, and whether it came out right.
const STEPS: [Step; 5] = [
    ("int3 is delivered", breakpoint),
    ("cmpxchg16b exchanges", compare_exchange),
    ("SSE moves", vector_moves),
    ("MONITORX traps, so that it can be counted", monitor::is_emulated),
    ("a loop of a million turns takes less than 10 ms", turns),
];

/// A breakpoint's trap, if it is the probe's.
pub(crate) fn takes(frame: &trap::TrapFrame) -> bool {
    // INT3 is a trap: RIP is behind its one byte.
    let ours = frame.rip == int3 as *const () as u64 + 1;
    if ours {
        BREAKPOINTS.fetch_add(1, Relaxed);
    }
    ours
}

#[unsafe(naked)]
extern "C" fn int3() {
    naked_asm!("int3", "ret")
}

fn breakpoint() -> bool {
    int3();
    BREAKPOINTS.load(Relaxed) == 1
}

fn compare_exchange() -> bool {
    #[repr(align(16))]
    struct Pair([u64; 2]);
    let mut pair = Pair([1, 2]);
    let exchanged: u8;
    // SAFETY: the operand is 16 bytes, aligned, and this function's; RBX, which the compiler keeps for itself, is put back.
    unsafe {
        asm!("xchg {low}, rbx", "lock cmpxchg16b [{pair}]", "xchg {low}, rbx", "sete {exchanged}",
            low = inout(reg) 3_u64 => _, pair = in(reg) &raw mut pair, exchanged = out(reg_byte) exchanged,
            inout("rax") 1_u64 => _, inout("rdx") 2_u64 => _, in("rcx") 4_u64, options(nostack));
    }
    exchanged == 1 && black_box(pair.0) == [3, 4]
}

fn vector_moves() -> bool {
    #[repr(align(16))]
    struct Vectors([u64; 4]);
    let mut vectors = Vectors([5, 6, 0, 0]);
    // SAFETY: the operands are this function's, 16 bytes each and aligned where MOVAPS asks for it; nobody else has a vector register in use yet.
    unsafe {
        asm!("movaps xmm0, [{0}]", "movdqa xmm1, xmm0", "movups [{0} + 16], xmm1", in(reg) &raw mut vectors, options(nostack));
    }
    black_box(vectors.0) == [5, 6, 5, 6]
}

fn turns() -> bool {
    let start = clock::cycles();
    // SAFETY: counts a register down.
    unsafe { asm!("2:", "dec {0}", "jnz 2b", inout(reg) TURNS => _, options(nomem, nostack)) };
    let microseconds = (clock::cycles() - start) * 1_000_000 / clock::cycles_per_second();
    log!("probe: a loop of a million turns took {microseconds} us; the limit is {LIMIT} us");
    microseconds < LIMIT
}
