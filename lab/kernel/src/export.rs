//! What an export is: a name, a function or variable, and the IRQLs of its DDI page. The tables of them are in [`crate::ddi`];
//! binding them is the loader's.

use core::ops::RangeInclusive;

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
    /// Code with a calling convention of its own, which the shim would not keep: neither checked nor counted.
    Direct(*const ()),
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
    /// Whether it is the wait that a routine with `Wait` promises.
    pub waits: bool,
}

// SAFETY: the pointers name functions and statics.
unsafe impl Sync for Export {}

impl Export {
    /// A function that may be called at these IRQLs.
    pub const fn function(name: &'static str, irql: RangeInclusive<u8>, function: *const ()) -> Self {
        Self {
            name,
            module: NTOSKRNL,
            kind: Kind::Function(function),
            irql,
            chaos: true,
            waits: false,
        }
    }

    /// A variable.
    pub const fn data(name: &'static str, data: *const ()) -> Self {
        Self {
            kind: Kind::Data(data),
            ..Self::function(name, 0..=15, data)
        }
    }

    /// Code with a calling convention of its own.
    pub const fn direct(name: &'static str, code: *const ()) -> Self {
        Self {
            kind: Kind::Direct(code),
            ..Self::function(name, 0..=15, code)
        }
    }

    /// A function that traps when called.
    pub const fn trap(name: &'static str) -> Self {
        Self {
            kind: Kind::Trap,
            ..Self::function(name, 0..=15, core::ptr::null())
        }
    }

    /// Whether calling it is a bug check.
    pub const fn is_trap(&self) -> bool {
        matches!(self.kind, Kind::Trap)
    }

    /// The same, from another module.
    #[must_use]
    pub const fn of(mut self, module: &'static str) -> Self {
        self.module = module;
        self
    }

    /// The same, which a routine that is told `Wait` may be followed by.
    #[must_use]
    pub const fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    /// The same, never delayed by chaos: for routines that are called very often or that cannot race.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.chaos = false;
        self
    }
}
