//! The log: lines of text on port 0xE9, which QEMU's `-debugcon` writes to the host.
//!
//! The first word names a line's kind: `log:` for people, `dbg:` the driver's own `DbgPrint`, `etw:` an event that it wrote (see [`crate::etw`]), `bad-input:` an input that
//! was refused, `bug:`, `reg:`, `module:`, `thread:`, `stack:`, `code:`, `leak:` and `end:` a report (see [`crate::judge`]).

use crate::hal::{cpu, nmi};
use crate::lock::IrqLock;
use core::fmt::{self, Write};

const PORT: u16 = 0xE9;

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| cpu::out8(PORT, byte));
        Ok(())
    }
}

static CONSOLE: IrqLock<Console> = IrqLock::new(Console);

/// Writes one line, whole. On a frozen machine the lock's holder may stand still, so it is passed by.
pub fn line(arguments: fmt::Arguments<'_>) {
    // The console cannot fail.
    if nmi::frozen() {
        let _ = writeln!(Console, "{arguments}");
    } else {
        let _ = writeln!(CONSOLE.lock(), "{arguments}");
    }
}

/// Writes bytes as they are, as one line that begins with `prefix`; control bytes become dots.
pub fn text(prefix: &str, text: &[u8]) {
    struct Printable<'a>(&'a [u8]);
    impl fmt::Display for Printable<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|&byte| {
                f.write_char(if (0x20..0x7F).contains(&byte) {
                    byte as char
                } else {
                    '.'
                })
            })
        }
    }
    for text in text.split(|&byte| byte == b'\n').filter(|text| !text.is_empty()) {
        line(format_args!(
            "{prefix} {}",
            Printable(text.strip_suffix(b"\r").unwrap_or(text))
        ));
    }
}

/// Writes a line for people to the log.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => { $crate::log::line(format_args!($($argument)*)) };
}
