//! Binding imports to exports, and the shim that every call from the driver goes through.
//!
//! An import is bound to a thunk that loads its `Binding`'s address and jumps to the shim. The shim checks the IRQL, counts,
//! lets chaos delay, calls the routine with up to [`STACK_WORDS`] words of the caller's stack arguments, and does the same on
//! the way back. So the rules of the DDI pages are checked in one place.

use crate::bug::{self, code};
use crate::burst;
use crate::config::{self, Rule};
use crate::export::{Export, HAL, Kind, NTOSKRNL};
use crate::hal::direct_map::physical;
use crate::ke::{irql, stay, thread};
use crate::lock::IrqLock;
use crate::mm::{self, PAGE, frames, pageable, paging};
use crate::{chaos, points, replay};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Words above the return address that the shim hands on: the home area and twelve more arguments.
pub const STACK_WORDS: usize = 16;
/// An export that an import was bound to.
struct Binding {
    export: &'static Export,
    thunk: u64,
    calls: AtomicU64,
}

static TABLES: IrqLock<Vec<&'static [Export]>> = IrqLock::new(Vec::new());
static THUNKS: IrqLock<Thunks> = IrqLock::new(Thunks {
    bound: BTreeMap::new(),
    next: THUNK_PAGES,
});

/// Adds a table of exports; later tables do not hide earlier ones.
pub fn register(table: &'static [Export]) {
    TABLES.lock().push(table);
}

/// Every registered export.
pub fn for_each(mut f: impl FnMut(&'static Export)) {
    TABLES
        .lock()
        .iter()
        .flat_map(|table| table.iter())
        .for_each(&mut f);
}

/// The export of that name; `module` in any case, as PE images write it.
pub fn find(module: &str, name: &str) -> Option<&'static Export> {
    let tables = TABLES.lock();
    tables
        .iter()
        .flat_map(|table| table.iter())
        .find(|export| export.name == name && export.module.eq_ignore_ascii_case(module))
}

/// The export of that name in any module of the kernel's own: for `MmGetSystemRoutineAddress`.
pub fn find_routine(name: &str) -> Option<&'static Export> {
    find(NTOSKRNL, name).or_else(|| find(HAL, name))
}

const THUNK_SIZE: u64 = 32;
/// Thunks lie in pages from here on, up to the first driver image.
const THUNK_PAGES: u64 = 0xFFFF_F800_0000_0000;

struct Thunks {
    bound: BTreeMap<u64, &'static Binding>,
    /// The page of the next.
    next: u64,
}

/// What the driver's import slot is to hold for this export: a thunk for a function, the address of anything else.
/// `None` when memory is short.
pub fn bind(export: &'static Export) -> Option<u64> {
    if let Kind::Data(address) | Kind::Direct(address) = export.kind {
        return Some(address as u64);
    }
    let key = (&raw const *export) as u64;
    let mut thunks = THUNKS.lock();
    if let Some(binding) = thunks.bound.get(&key) {
        return Some(binding.thunk);
    }
    // At the end of a page of its own, with nothing behind it: whoever reads a routine's code beyond its page is found.
    let (page, frame, offset) = (thunks.next, frames::allocate()?, PAGE - THUNK_SIZE);
    paging::map_frame(page, frame, paging::Protection::ReadExecute).then_some(())?;
    thunks.next += 2 * PAGE;
    let thunk = page + offset;
    let binding: &'static Binding = Box::leak(Box::new(Binding {
        export,
        thunk,
        calls: AtomicU64::new(0),
    }));
    // mov rax, binding; mov r11, shim; jmp r11
    let mut bytes = [0xCC_u8; THUNK_SIZE as usize];
    bytes[..2].copy_from_slice(&[0x48, 0xB8]);
    bytes[2..10].copy_from_slice(&((&raw const *binding) as u64).to_le_bytes());
    bytes[10..12].copy_from_slice(&[0x49, 0xBB]);
    bytes[12..20].copy_from_slice(&(shim as *const () as u64).to_le_bytes());
    bytes[20..23].copy_from_slice(&[0x41, 0xFF, 0xE3]);
    let target = physical(frame + offset);
    // SAFETY: inside the frame that was taken for thunks, through the direct map; nobody runs this one yet.
    unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    thunks.bound.insert(key, binding);
    Some(thunk)
}

/// Calls `f` with every export that was bound and how often it has been called through its thunk.
pub fn for_each_bound(mut f: impl FnMut(&'static Export, u64)) {
    THUNKS
        .lock()
        .bound
        .values()
        .for_each(|binding| f(binding.export, binding.calls.load(Ordering::Relaxed)));
}

/// Whether `rip` lies in a thunk.
pub fn is_thunk(rip: u64) -> bool {
    (THUNK_PAGES..mm::IMAGES).contains(&rip)
}

/// Whether `rip` lies in the last few instructions of the shim, which single steps may pass on the way back to the driver.
pub fn is_way_back(rip: u64) -> bool {
    let end = shim_end as *const () as u64;
    (end..end + 32).contains(&rip)
}

/// Called with the binding's address in RAX, on the driver's stack: `[rsp]` is its return address.
///
/// RBX, RSI, RDI, RBP and R12 belong to a win64 caller. Vector registers are left alone: the kernel is built without them.
/// TF is cleared on the way in and, if a burst goes on, set on the way back, so that only the driver is stepped through.
#[unsafe(naked)]
unsafe extern "C" fn shim() {
    naked_asm!(
        "pushfq",
        "and qword ptr [rsp], -257",
        "popfq",
        "push rbp",
        "mov rbp, rsp",
        "push rbx; push rsi; push rdi; push r12",
        "mov [rbp + 16], rcx",
        "mov [rbp + 24], rdx",
        "mov [rbp + 32], r8",
        "mov [rbp + 40], r9",
        "mov rbx, rax",
        "mov rdi, rax",
        "mov rsi, [rbp + 8]",
        "lea rdx, [rbp + 16]",
        "call {enter}",
        "mov r12, rax",
        "sub rsp, {stack_words} * 8",
        "lea rsi, [rbp + 16]",
        "mov rdi, rsp",
        "mov ecx, {stack_words}",
        "rep movsq",
        "mov rcx, [rbp + 16]",
        "mov rdx, [rbp + 24]",
        "mov r8, [rbp + 32]",
        "mov r9, [rbp + 40]",
        "call r12",
        "mov r12, rax",
        "mov rdi, rbx",
        "call {leave}",
        "test al, al",
        "mov rax, r12",
        "lea rsp, [rbp - 32]",
        "pop r12; pop rdi; pop rsi; pop rbx; pop rbp",
        "jnz {shim_end}",
        "ret",
        enter = sym enter,
        leave = sym leave,
        shim_end = sym shim_end,
        stack_words = const STACK_WORDS,
    )
}

/// The end of the shim when single steps go on: the processor traps after the instruction that follows POPFQ.
#[unsafe(naked)]
unsafe extern "C" fn shim_end() {
    naked_asm!(
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        "ret",
        ".balign 32, 0xCC"
    )
}

/// The way in: what to call. The home area of the arguments is at `arguments`.
extern "C" fn enter(binding: &'static Binding, caller: u64, arguments: u64) -> *const () {
    let export = binding.export;
    let irql = irql::current();
    binding.calls.fetch_add(1, Ordering::Relaxed);
    let too_high = irql > *export.irql.end();
    if !export.irql.contains(&irql) && (!too_high || !config::allows(Rule::Irql)) {
        irql_violation(export, irql, caller);
    }
    let Kind::Function(function) = export.kind else {
        bug::bugcheck(
            code::LAB_MISSING_EXPORT,
            [caller, 0, 0, 0],
            format_args!(
                "the driver calls {}!{}, which the lab does not implement; --missing refuse lists at the start all that it lacks of the imports",
                export.module, export.name
            ),
        );
    };
    let thread = thread::current();
    if thread.has_promised_wait() && !export.waits {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::WAIT_DOES_NOT_FOLLOW, caller, 0, 0],
            format_args!(
                "{} is called where KeWaitForSingleObject or its like must follow: the routine before was told Wait=TRUE",
                export.name
            ),
        );
    }
    thread.enter(export, caller, arguments);
    points::call();
    replay::note(caller);
    if export.chaos {
        chaos::delay_point();
    }
    function
}

/// An export was called at an IRQL that its DDI page does not allow.
fn irql_violation(export: &Export, irql: u8, caller: u64) -> ! {
    let (least, most) = (*export.irql.start(), *export.irql.end());
    if irql < least {
        bug::bugcheck(
            code::IRQL_NOT_GREATER_OR_EQUAL,
            [caller, u64::from(irql), u64::from(least), 0],
            format_args!(
                "{} called at IRQL {irql}; it needs IRQL {least} or above",
                export.name
            ),
        );
    }
    let rule = if most < irql::DISPATCH_LEVEL {
        code::sub::IRQL_APC_LTE
    } else {
        code::sub::IRQL_DISPATCH
    };
    bug::bugcheck(
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        [rule, u64::from(irql), u64::from(most), caller],
        format_args!(
            "{} called at IRQL {irql}; it may be called at IRQL {most} or below",
            export.name
        ),
    )
}

/// The way back: whether the driver is to be stepped through further.
extern "C" fn leave(binding: &'static Binding) -> bool {
    let export = binding.export;
    let thread = thread::current();
    if export.chaos {
        chaos::delay_point();
    }
    stay::apart(pageable::page_out);
    thread.leave();
    burst::provoke_return(thread)
}
