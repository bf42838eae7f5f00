//! Exports: one table entry each, and the shim that every call from the driver goes through.
//!
//! An import is bound to a thunk that loads its `Binding`'s address and jumps to the shim. The shim checks the IRQL, counts,
//! lets chaos delay, calls the routine with up to [`STACK_WORDS`] words of the caller's stack arguments, and does the same on
//! the way back. So the rules of the DDI pages are checked in one place.

use crate::hal::pcr;
use crate::judge::{self, code};
use crate::lock::IrqLock;
use crate::mm::{self, PAGE, frames, pageable, paging};
use crate::{chaos, ke::irql, points, replay, step};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};

/// Words above the return address that the shim hands on: the home area and twelve more arguments.
pub const STACK_WORDS: usize = 16;
/// The kernel's module.
pub const NTOSKRNL: &str = "ntoskrnl.exe";
/// The hardware abstraction layer's.
pub const HAL: &str = "HAL.dll";
/// The framework loader's.
pub const WDFLDR: &str = "WDFLDR.SYS";

/// What an export is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A win64 function.
    Function(*const ()),
    /// A variable.
    Data(*const ()),
    /// A function that the lab does not have: importing it is fine, calling it is a bug check with its name.
    Trap,
}

/// One export.
pub struct Export {
    /// Its name.
    pub name: &'static str,
    /// The module that Windows exports it from.
    pub module: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The IRQLs that its DDI page allows.
    pub irql: RangeInclusive<u8>,
    /// Whether chaos may delay or preempt here.
    pub chaos: bool,
}

// SAFETY: the pointers name functions and statics.
unsafe impl Sync for Export {}

/// An export that an import was bound to.
struct Binding {
    export: &'static Export,
    thunk: u64,
    calls: AtomicU64,
}

impl Export {
    /// A function that may be called at these IRQLs.
    pub const fn function(name: &'static str, irql: RangeInclusive<u8>, function: *const ()) -> Self {
        Self {
            name,
            module: NTOSKRNL,
            kind: Kind::Function(function),
            irql,
            chaos: true,
        }
    }

    /// A variable.
    pub const fn data(name: &'static str, data: *const ()) -> Self {
        Self {
            kind: Kind::Data(data),
            ..Self::function(name, 0..=15, data)
        }
    }

    /// A function that traps when called.
    pub const fn trap(name: &'static str) -> Self {
        Self {
            kind: Kind::Trap,
            ..Self::function(name, 0..=15, core::ptr::null())
        }
    }

    /// The same, from another module.
    #[must_use]
    pub const fn of(mut self, module: &'static str) -> Self {
        self.module = module;
        self
    }

    /// The same, never delayed by chaos: for routines that are called very often or that cannot race.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.chaos = false;
        self
    }
}

static TABLES: IrqLock<Vec<&'static [Export]>> = IrqLock::new(Vec::new());
static THUNKS: IrqLock<Thunks> = IrqLock::new(Thunks {
    bound: BTreeMap::new(),
    page: 0,
    frame: 0,
    used: PAGE,
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
/// Thunks lie in their own pages, up to the first driver image.
const THUNK_PAGES: u64 = 0xFFFF_F800_0000_0000;

struct Thunks {
    bound: BTreeMap<u64, &'static Binding>,
    page: u64,
    frame: u64,
    used: u64,
}

/// What the driver's import slot is to hold for this export: a thunk for a function, the address of a variable.
/// `None` when memory is short.
pub fn bind(export: &'static Export) -> Option<u64> {
    if let Kind::Data(data) = export.kind {
        return Some(data as u64);
    }
    let key = (&raw const *export) as u64;
    let mut thunks = THUNKS.lock();
    if let Some(binding) = thunks.bound.get(&key) {
        return Some(binding.thunk);
    }
    if thunks.used + THUNK_SIZE > PAGE {
        let page = if thunks.page == 0 {
            THUNK_PAGES
        } else {
            thunks.page + PAGE
        };
        thunks.frame = frames::allocate()?;
        paging::map_frame(page, thunks.frame, paging::Protection::ReadExecute).then_some(())?;
        thunks.page = page;
        thunks.used = 0;
    }
    let thunk = thunks.page + thunks.used;
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
    let target = mm::physical(thunks.frame + thunks.used);
    // SAFETY: inside the frame that was taken for thunks, through the direct map; nobody runs this one yet.
    unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    thunks.used += THUNK_SIZE;
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

/// The way in: what to call.
extern "C" fn enter(binding: &'static Binding, caller: u64) -> *const () {
    let export = binding.export;
    let irql = irql::current();
    binding.calls.fetch_add(1, Ordering::Relaxed);
    if !export.irql.contains(&irql) {
        judge::irql_violation(export, irql, caller);
    }
    let Kind::Function(function) = export.kind else {
        judge::bugcheck(
            code::LAB_MISSING_EXPORT,
            [caller, 0, 0, 0],
            format_args!(
                "the driver calls {}, which the lab does not implement",
                export.name
            ),
        );
    };
    pcr::current_thread().enter(export, caller);
    points::call();
    replay::note(caller);
    if export.chaos {
        chaos::delay_point();
    }
    function
}

/// The way back: whether the driver is to be stepped through further.
extern "C" fn leave(binding: &'static Binding) -> bool {
    let export = binding.export;
    let thread = pcr::current_thread();
    if export.chaos {
        chaos::delay_point();
    }
    pageable::page_out();
    judge::stay::returned(thread.caller());
    thread.leave();
    step::provoke_return(thread)
}
