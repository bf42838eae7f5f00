//! Bug checks: how anything in the kernel ends the run, with NT's code and parameters for a violation by the driver. The
//! report itself is the judge's, which lies above everything that it looks at: [`crate::judge`].

use crate::hal::power::Exit;
use crate::hal::trap::TrapFrame;
use core::fmt;

pub use lab_wire::code;

/// A run that has ended, and why.
pub struct BugCheck<'a> {
    /// One of [`code`].
    pub code: u32,
    /// Its parameters, as NT documents them.
    pub parameters: [u64; 4],
    /// One line for people.
    pub text: fmt::Arguments<'a>,
    /// What a trap interrupted; nothing for a call.
    pub frame: Option<&'a TrapFrame>,
    /// How the machine is switched off.
    pub exit: Exit,
    /// Writes lines of its own into the report, on the frozen machine and without a lock.
    pub details: &'a mut dyn FnMut(),
}

unsafe extern "Rust" {
    /// The judge's report; see [`crate::reporter!`].
    safe fn rundown_lab_report(bug: BugCheck<'_>) -> !;
}

/// Names the function that reports a bug check and switches the machine off: `fn(BugCheck<'_>) -> !`.
macro_rules! reporter {
    ($function:path) => {
        // SAFETY: the only definition of this symbol, with the signature that `bug` declares.
        #[unsafe(no_mangle)]
        fn rundown_lab_report(bug: $crate::bug::BugCheck<'_>) -> ! {
            $function(bug)
        }
    };
}
pub(crate) use reporter;

/// Ends the run: freezes the machine, reports, and switches off as "the driver failed".
pub fn bugcheck(code: u32, parameters: [u64; 4], text: fmt::Arguments<'_>) -> ! {
    bugcheck_with(code, parameters, text, || {})
}

/// A violation that Driver Verifier finds, or would: the first parameter says which.
pub fn violation(first: u64, [second, third, fourth]: [u64; 3], text: fmt::Arguments<'_>) -> ! {
    bugcheck(
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        [first, second, third, fourth],
        text,
    )
}

/// As [`bugcheck`], with lines of its own in the report; `details` runs on the frozen machine and takes no lock.
pub fn bugcheck_with(
    code: u32,
    parameters: [u64; 4],
    text: fmt::Arguments<'_>,
    mut details: impl FnMut(),
) -> ! {
    rundown_lab_report(BugCheck {
        code,
        parameters,
        text,
        frame: None,
        exit: Exit::DriverFailed,
        details: &mut details,
    })
}

/// The same, for what a trap interrupted.
pub fn bugcheck_at(frame: &TrapFrame, code: u32, parameters: [u64; 4], text: fmt::Arguments<'_>) -> ! {
    rundown_lab_report(BugCheck {
        code,
        parameters,
        text,
        frame: Some(frame),
        exit: Exit::DriverFailed,
        details: &mut || {},
    })
}

/// Ends the run because the lab itself failed, which is no verdict about the driver.
pub fn lab_failure(text: fmt::Arguments<'_>) -> ! {
    rundown_lab_report(BugCheck {
        code: code::LAB_FAILURE,
        parameters: [0; 4],
        text,
        frame: None,
        exit: Exit::LabFailed,
        details: &mut || {},
    })
}
