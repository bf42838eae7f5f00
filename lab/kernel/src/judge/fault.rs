//! Faults of the driver, or of the kernel on the driver's behalf.

use crate::bug::{bugcheck_at, code, lab_failure};
use crate::hal::trap::TrapFrame;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::thread;
use crate::ldr::image::{self, Role};
use crate::ldr::missing;
use crate::mm::{self, pageable, pool, user};

const STATUS_ACCESS_VIOLATION: u64 = 0xFFFF_FFFF_C000_0005;
const STATUS_ILLEGAL_INSTRUCTION: u64 = 0xFFFF_FFFF_C000_001D;
const STATUS_INTEGER_DIVIDE_BY_ZERO: u64 = 0xFFFF_FFFF_C000_0094;
const STATUS_BREAKPOINT: u64 = 0xFFFF_FFFF_8000_0003;
const STATUS_ASSERTION_FAILURE: u64 = 0xFFFF_FFFF_C000_0420;
const STATUS_FLOAT_INVALID_OPERATION: u64 = 0xFFFF_FFFF_C000_0090;

/// A fault in the kernel's own code, outside any export, is the lab's fault.
fn blame(frame: &TrapFrame, what: &str) {
    if frame.rip >= mm::KERNEL && thread::current().inside().is_none() {
        lab_failure(format_args!(
            "{what} at rip={:#x} rsp={:#x} cr2={:#x}",
            frame.rip,
            frame.rsp,
            crate::hal::cpu::read_cr2()
        ));
    }
}

/// `#PF`.
pub fn page_fault(frame: &TrapFrame, address: u64) {
    if frame.error & 1 == 0 && pageable::page_in(address) {
        return;
    }
    // Before anybody is blamed: `__chkstk` touches a frame's pages for the driver, outside any export.
    if let Some((low, _)) = thread::current().stack()
        && (low - mm::PAGE..low).contains(&address)
    {
        stack_overflow(frame);
    }
    // What is paged out is the driver's, and so is the fault, whoever touches it: a timer in paged pool, say.
    if !pageable::contains(address) {
        blame(frame, "page fault");
    }
    let irql = irql::current();
    let (operation, verb) = match frame.error {
        error if error & 0x10 != 0 => (8, "executes"),
        error if error & 2 != 0 => (1, "writes"),
        _ => (0, "reads"),
    };
    // Where nothing can be executed, nobody else jumped to.
    let who = match image::holder(frame.rip) {
        Some(Role::Framework) => "the framework",
        None if operation != 8 => "the kernel, for the driver,",
        _ => "the driver",
    };
    let present = frame.error & 1 != 0;
    if irql >= DISPATCH_LEVEL && !present {
        let code = if image::holder(frame.rip).is_some() {
            code::DRIVER_IRQL_NOT_LESS_OR_EQUAL
        } else {
            code::IRQL_NOT_LESS_OR_EQUAL
        };
        bugcheck_at(
            frame,
            code,
            [address, u64::from(irql), operation, frame.rip],
            format_args!("{who} {verb} {address:#x} at IRQL {irql}{}", place(address)),
        );
    }
    if address >> 47 == 0 {
        let what = match address {
            _ if user::contains(address) => {
                "which is its client's memory, and was not probed (ProbeForRead, ProbeForWrite, or an MDL)"
            }
            mm::USER.. => "which is a client's address where nothing is, or no longer",
            _ => "which is no kernel address (a null pointer, if it is small)",
        };
        bugcheck_at(
            frame,
            code::KMODE_EXCEPTION_NOT_HANDLED,
            [STATUS_ACCESS_VIOLATION, frame.rip, operation, address],
            format_args!("{who} {verb} {address:#x}, {what}"),
        );
    }
    let code = match (present, operation) {
        (true, 8) => code::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY,
        (true, 1) => code::ATTEMPTED_WRITE_TO_READONLY_MEMORY,
        _ => code::PAGE_FAULT_IN_NONPAGED_AREA,
    };
    bugcheck_at(
        frame,
        code,
        [address, operation, frame.rip, 0],
        format_args!("{who} {verb} {address:#x}{}", place(address)),
    )
}

/// What is known about a bad address.
fn place(address: u64) -> Place {
    Place(address)
}

struct Place(u64);

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let address = self.0;
        match address {
            mm::MAPPINGS..0xFFFF_F000_0000_0000 => {
                write!(f, ", behind what an MDL maps, or no longer mapped")
            }
            mm::POOL..mm::MAPPINGS => match pool::block_near(address) {
                Some(block) if address < block.address + block.size => write!(
                    f,
                    ", in the {} block {:#x} of {} bytes, tag '{}', allocated from {:#x}",
                    if block.paged { "paged pool" } else { "pool" },
                    block.address,
                    block.size,
                    block.tag,
                    block.caller
                ),
                Some(block) => write!(
                    f,
                    ", {} bytes behind the end of the pool block {:#x} of {} bytes, tag '{}', allocated from {:#x}",
                    address - block.address - block.size,
                    block.address,
                    block.size,
                    block.tag,
                    block.caller
                ),
                None => write!(f, ", which is freed or no pool"),
            },
            mm::STACKS..mm::POOL => write!(f, ", the stack of a thread that is gone"),
            mm::shared::ADDRESS..=0xFFFF_F780_0000_0FFF => {
                write!(f, ", KUSER_SHARED_DATA, which is read-only")
            }
            mm::MISSING..mm::IMAGES if missing::variable_at(address).is_some() => write!(
                f,
                ", the variable {}, which the lab does not have",
                missing::variable_at(address).unwrap_or_default()
            ),
            mm::IMAGES.. if pageable::contains(address) => {
                write!(f, ", in a pageable section of the driver's image")
            }
            mm::IMAGES.. => write!(f, ", in or near a driver's image"),
            _ => Ok(()),
        }
    }
}

/// `#UD` on anything but MONITORX and MWAITX.
pub fn invalid_opcode(frame: &TrapFrame) {
    blame(frame, "invalid opcode");
    bugcheck_at(
        frame,
        code::KMODE_EXCEPTION_NOT_HANDLED,
        [STATUS_ILLEGAL_INSTRUCTION, frame.rip, 0, 0],
        format_args!("an invalid instruction (a Rust panic or unreachable code ends in one)"),
    )
}

/// `#DF`: the stack ran into its guard page, or worse.
pub fn double_fault(frame: &TrapFrame) {
    let thread = thread::current();
    let overflow = thread
        .stack()
        .is_some_and(|(low, high)| !(low..=high).contains(&frame.rsp) || frame.rsp - low < 512);
    // Before anybody is blamed: an interrupt may take what the driver left of its stack.
    if overflow {
        stack_overflow(frame);
    }
    blame(frame, "double fault");
    bugcheck_at(
        frame,
        code::UNEXPECTED_KERNEL_MODE_TRAP,
        [8, frame.rip, frame.rsp, 0],
        format_args!("double fault"),
    )
}

fn stack_overflow(frame: &TrapFrame) -> ! {
    bugcheck_at(
        frame,
        code::UNEXPECTED_KERNEL_MODE_TRAP,
        [8, frame.rip, frame.rsp, 0],
        format_args!("the kernel stack of 24 KiB overflowed into its guard page"),
    )
}

/// Every other vector that nobody expects.
pub fn other(frame: &TrapFrame) {
    blame(
        frame,
        &alloc::format!(
            "trap {:#x} (error {:#x}, rdx {:#x})",
            frame.vector,
            frame.error,
            frame.rdx
        ),
    );
    let exception = |status, text| {
        bugcheck_at(
            frame,
            code::KMODE_EXCEPTION_NOT_HANDLED,
            [status, frame.rip, 0, u64::MAX],
            format_args!("{text}"),
        )
    };
    match frame.vector {
        0 => exception(STATUS_INTEGER_DIVIDE_BY_ZERO, "a division by zero"),
        3 => exception(
            STATUS_BREAKPOINT,
            "a breakpoint (int 3), with no debugger to take it",
        ),
        13 => exception(
            STATUS_ACCESS_VIOLATION,
            "a general protection fault: a non-canonical address, or an aligned vector move of unaligned memory",
        ),
        16 | 19 => exception(STATUS_FLOAT_INVALID_OPERATION, "a floating-point exception"),
        0x29 => bugcheck_at(
            frame,
            code::KERNEL_SECURITY_CHECK_FAILURE,
            [frame.rcx, frame.rip, 0, 0],
            format_args!("__fastfail with code {}", frame.rcx),
        ),
        0x2C => exception(STATUS_ASSERTION_FAILURE, "an assertion failed (int 2c)"),
        vector => bugcheck_at(
            frame,
            code::UNEXPECTED_KERNEL_MODE_TRAP,
            [vector, frame.error, frame.rip, 0],
            format_args!("vector {vector:#x}"),
        ),
    }
}
