//! Whether user mode may execute `MONITORX` and `MWAITX` here.

use std::{
    arch::x86_64::__cpuid,
    cell::Cell,
    ffi::{c_int, c_void},
    fmt,
    sync::OnceLock,
};

use ex_rundown::arch;

use crate::faults::{replace_handler, restore_handler};

/// What the processor says and does. A hypervisor may hide the instructions and still execute them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitorx {
    /// CPUID `8000_0001h`, ECX bit 29.
    pub announced: bool,
    /// Neither instruction raises an invalid-opcode exception.
    pub executes: bool,
    /// What an `MWAITX` with a timer of 20000 cycles takes, in cycles of the time stamp counter: the median.
    pub median_cycles: u64,
}

impl Monitorx {
    /// Probes once.
    #[must_use]
    pub fn probe() -> Self {
        static PROBED: OnceLock<Monitorx> = OnceLock::new();
        *PROBED.get_or_init(probe)
    }
}

impl fmt::Display for Monitorx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let announced = if self.announced {
            "announced by CPUID"
        } else {
            "not announced by CPUID"
        };
        if self.executes {
            write!(
                f,
                "executes in user mode ({announced}; MWAITX for 20000 cycles takes {})",
                self.median_cycles
            )
        } else {
            write!(f, "not available here ({announced})")
        }
    }
}

thread_local! {
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Both instructions have three bytes.
const LENGTH: libc::greg_t = 3;

extern "C" fn on_invalid_opcode(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the third argument is the interrupted thread's context, this thread's, writable.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    REFUSED.set(true);
    registers[libc::REG_RIP as usize] += LENGTH;
}

fn probe() -> Monitorx {
    let highest = __cpuid(0x8000_0000).eax;
    let announced = highest >= 0x8000_0001 && __cpuid(0x8000_0001).ecx >> 29 & 1 == 1;
    let before = replace_handler(libc::SIGILL, on_invalid_opcode);
    let line = 0_u32;
    let mut cycles: Vec<u64> = (0..31)
        .map(|_| {
            let start = arch::timestamp();
            // SAFETY: where the instruction does not exist the handler skips it.
            unsafe { arch::monitorx(&raw const line) };
            // SAFETY: as above.
            unsafe { arch::mwaitx(20_000) };
            arch::timestamp() - start
        })
        .collect();
    restore_handler(libc::SIGILL, &before);
    cycles.sort_unstable();
    Monitorx {
        announced,
        executes: !REFUSED.get(),
        median_cycles: cycles[cycles.len() / 2],
    }
}
