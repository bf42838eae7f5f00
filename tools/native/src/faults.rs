//! Answers for what a user process may not do: read CR8, and read the kernel's shared data.
//!
//! The code is known beforehand, so the signal handler looks the faulting instruction up in a table. A read of CR8
//! gets the IRQL of the thread's settings, and execution goes on behind it. A read of the shared data gets the register that
//! its address comes from pointed into the thread's private page, and is tried again; one with the address in itself is
//! carried out here, on that page.

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    sync::OnceLock,
};

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};

use crate::{
    Seam, Settings,
    machine::{self, SHARED_DATA, SHARED_DATA_SIZE},
};

/// What to do when an instruction faults. Registers are indices into `gregs`.
#[derive(Clone, Copy, Debug)]
enum Answer {
    ReadCr8 {
        into: usize,
        length: u8,
    },
    /// The address comes from registers.
    ReadShared(Instruction),
    /// The address is in the instruction: `mov rax, [address]`, of so many bytes.
    LoadShared {
        address: u64,
        bytes: u8,
        length: u8,
    },
}

/// The instructions that may fault, by address, in order.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(usize, Answer)>);

impl Faults {
    /// Finds them in `code`, which runs at `address`.
    pub(crate) fn add(&mut self, code: &[u8], address: usize) {
        for instruction in &mut Decoder::with_ip(64, code, address as u64, DecoderOptions::NONE) {
            let answer = Self::answer_to(&instruction);
            #[expect(clippy::cast_possible_truncation, reason = "x86-64 only")]
            self.0
                .extend(answer.map(|answer| (instruction.ip() as usize, answer)));
        }
        self.0.sort_unstable_by_key(|(address, _)| *address);
    }

    fn answer_to(instruction: &Instruction) -> Option<Answer> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an instruction has at most 15 bytes"
        )]
        let length = instruction.len() as u8;
        let load = |bytes| Answer::LoadShared {
            address: instruction.memory_displacement64(),
            bytes,
            length,
        };
        match instruction.code() {
            Code::Mov_r64_cr if instruction.op1_register() == Register::CR8 => {
                general(instruction.op0_register()).map(|into| Answer::ReadCr8 { into, length })
            }
            Code::Mov_AL_moffs8 => Some(load(1)),
            Code::Mov_AX_moffs16 => Some(load(2)),
            Code::Mov_EAX_moffs32 => Some(load(4)),
            Code::Mov_RAX_moffs64 => Some(load(8)),
            _ => (0..instruction.op_count())
                .any(|operand| addressed_by(instruction, operand).is_some())
                .then_some(Answer::ReadShared(*instruction)),
        }
    }

    fn find(&self, address: usize) -> Option<Answer> {
        let index = self
            .0
            .binary_search_by_key(&address, |(address, _)| *address)
            .ok()?;
        Some(self.0[index].1)
    }

    /// Answers for these instructions while `body` runs on this thread.
    pub(crate) fn with<R>(&self, body: impl FnOnce() -> R) -> R {
        install();
        let before = CURRENT.replace(self);
        let result = body();
        CURRENT.set(before);
        result
    }
}

thread_local! {
    static CURRENT: Cell<*const Faults> = const { Cell::new(std::ptr::null()) };
}

/// The register that has to be pointed elsewhere for a memory operand to lie elsewhere: its base, or an index that is not scaled.
/// With a scaled index alone no address of the kernel's can be reached.
fn addressed_by(instruction: &Instruction, operand: u32) -> Option<usize> {
    general(match instruction.op_kind(operand) {
        OpKind::Memory if instruction.memory_base() != Register::None => instruction.memory_base(),
        OpKind::Memory if instruction.memory_index_scale() == 1 => instruction.memory_index(),
        OpKind::MemorySegRSI => Register::RSI,
        OpKind::MemorySegRDI | OpKind::MemoryESRDI => Register::RDI,
        _ => return None,
    })
}

/// The index of a 64-bit general register in a signal's context.
fn general(register: Register) -> Option<usize> {
    let index = match register {
        Register::RAX => libc::REG_RAX,
        Register::RBX => libc::REG_RBX,
        Register::RCX => libc::REG_RCX,
        Register::RDX => libc::REG_RDX,
        Register::RSI => libc::REG_RSI,
        Register::RDI => libc::REG_RDI,
        Register::RBP => libc::REG_RBP,
        Register::R8 => libc::REG_R8,
        Register::R9 => libc::REG_R9,
        Register::R10 => libc::REG_R10,
        Register::R11 => libc::REG_R11,
        Register::R12 => libc::REG_R12,
        Register::R13 => libc::REG_R13,
        Register::R14 => libc::REG_R14,
        Register::R15 => libc::REG_R15,
        _ => return None,
    };
    usize::try_from(index).ok()
}

/// The handler that was there before: Rust's own, which reports stack overflows.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

fn install() {
    PREVIOUS.get_or_init(|| replace_handler(libc::SIGSEGV, on_fault));
}

/// A signal handler that is told about the fault.
pub(crate) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Puts `handler` in place, and returns what was there.
///
/// # Panics
/// When there is no such signal.
pub(crate) fn replace_handler(signal: c_int, handler: Handler) -> libc::sigaction {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let address = (handler as *const c_void).expose_provenance();
    // SAFETY: all of it is integers and null pointers, for which zero is a value.
    let new = unsafe { action.assume_init_mut() };
    new.sa_sigaction = address;
    // Not on the alternate stack, which is small: a hook at a seam runs here, and the interrupted code is known.
    new.sa_flags = libc::SA_SIGINFO;
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: both point to structures of their own, and the handler has the prototype that SA_SIGINFO asks for.
    let failed = unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) };
    assert!(
        failed == 0,
        "sigaction({signal}): {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: zeroed, and then filled by the call.
    unsafe { old.assume_init() }
}

/// Puts a handler back.
pub(crate) fn restore_handler(signal: c_int, action: &libc::sigaction) {
    // SAFETY: what sigaction returned may be given to it.
    unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
}

extern "C" fn on_fault(signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the third argument is the interrupted thread's context, this thread's, writable.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    if answer(registers).is_none()
        && let Some(previous) = PREVIOUS.get()
    {
        // Not ours. The instruction is tried again, and faults again, for whoever was here before.
        restore_handler(signal, previous);
    }
}

/// The offset of an address in the shared data, whose field the reader is about to see.
fn shared_offset(address: u64) -> Option<usize> {
    let offset = usize::try_from(address.checked_sub(SHARED_DATA)?).ok()?;
    if offset >= SHARED_DATA_SIZE {
        return None;
    }
    if let Some(seam) = Seam::of_shared_data(offset) {
        machine::pass(seam);
    }
    Some(offset)
}

/// Answers for the instruction that faulted, if it is one of the running code's.
fn answer(registers: &mut [libc::greg_t; 23]) -> Option<()> {
    const RIP: usize = libc::REG_RIP as usize;
    const RAX: usize = libc::REG_RAX as usize;
    let faults = CURRENT.get();
    if faults.is_null() {
        return None;
    }
    // SAFETY: `with` has set it on this thread and is still on its stack.
    let faults = unsafe { &*faults };
    match faults.find(usize::try_from(registers[RIP]).ok()?)? {
        Answer::ReadCr8 { into, length } => {
            machine::pass(Seam::Irql);
            registers[into] = Settings::current().irql.into();
            registers[RIP] += libc::greg_t::from(length);
        }
        Answer::ReadShared(instruction) => {
            let value = |register: Register, _, _| {
                if register.is_segment_register() {
                    return Some(0);
                }
                let whole = registers[general(register.full_register())?].cast_unsigned();
                // `xlat` adds AL.
                Some(if register == Register::AL {
                    whole & 0xff
                } else {
                    whole
                })
            };
            let (moved, address, offset) = (0..instruction.op_count()).find_map(|operand| {
                let moved = addressed_by(&instruction, operand)?;
                let address = instruction.virtual_address(operand, 0, value)?;
                Some((moved, address, shared_offset(address)?))
            })?;
            let private = (machine::shared_page() + offset) as u64;
            registers[moved] += private.wrapping_sub(address).cast_signed();
        }
        Answer::LoadShared {
            address,
            bytes,
            length,
        } => {
            let from = machine::shared_page() + shared_offset(address)?;
            let mut value = [0; 8];
            for (at, byte) in value.iter_mut().enumerate().take(usize::from(bytes)) {
                let cell = std::ptr::with_exposed_provenance::<u8>(from + at);
                // SAFETY: `shared_offset` is inside the page, and `Image` refuses reads that leave it; the thread's own.
                *byte = unsafe { cell.read() };
            }
            let read = u64::from_le_bytes(value);
            let before = registers[RAX].cast_unsigned();
            // A 32-bit load clears the upper half, a shorter one leaves the rest.
            let kept = match bytes {
                1 => before & !0xff,
                2 => before & !0xffff,
                _ => 0,
            };
            registers[RAX] = (kept | read).cast_signed();
            registers[RIP] += libc::greg_t::from(length);
        }
    }
    Some(())
}
