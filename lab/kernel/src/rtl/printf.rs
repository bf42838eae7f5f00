//! The formats of `DbgPrint`: `% [-0+ #] [width|*] [.precision|.*] [h|l|ll|I|I64|I32|w|z] [d i u x X o p c C s S Z %]`.
//!
//! No crate knows `%wZ`, `%Z` and `%I64`; `printf-compat`, which knows C's, takes its arguments from a nightly compiler's `VaList`.

use core::fmt::Write;

/// The longest message, as on NT, bytes.
pub const LONGEST: usize = 512;

/// A message; what is too long is cut off.
pub struct Output {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Output {
    /// An empty message.
    #[allow(clippy::new_without_default, reason = "a buffer, made where it is filled")]
    pub const fn new() -> Self {
        Self {
            bytes: [0; LONGEST],
            length: 0,
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

/// Where arguments come from.
trait Arguments {
    fn next(&mut self) -> u64;
}

impl Arguments for core::slice::Iter<'_, u64> {
    fn next(&mut self) -> u64 {
        Iterator::next(self).copied().unwrap_or(0)
    }
}

struct List(*const u64);

impl Arguments for List {
    fn next(&mut self) -> u64 {
        // SAFETY: `format_list`'s caller promises a word for every conversion.
        let value = unsafe { self.0.read() };
        self.0 = self.0.wrapping_add(1);
        value
    }
}

/// Formats with these arguments; missing ones are 0.
///
/// # Safety
/// `format` is terminated, and every string conversion's argument points to such a string.
pub unsafe fn format(output: &mut Output, format: *const u8, arguments: &[u64]) {
    // SAFETY: the caller promises it.
    unsafe { run(output, format, arguments.iter()) };
}

/// Formats with a `va_list`.
///
/// # Safety
/// As [`format`], and the list has a word for every conversion.
pub unsafe fn format_list(output: &mut Output, format: *const u8, arguments: *const u64) {
    // SAFETY: the caller promises it.
    unsafe { run(output, format, List(arguments)) };
}

/// Appends a terminated string.
///
/// # Safety
/// `text` is one, or null.
pub unsafe fn string(output: &mut Output, text: *const u8) {
    // SAFETY: the caller promises that all bytes up to the zero can be read.
    unsafe { string_up_to(output, text, LONGEST) };
}

#[derive(Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the flags of a conversion are independent of each other"
)]
struct Conversion {
    left: bool,
    zeros: bool,
    plus: bool,
    space: bool,
    prefix: bool,
    width: usize,
    precision: Option<usize>,
    bits: u32,
    wide: bool,
}

/// Reads a format byte by byte; behind its end there are only zeros.
struct Format(*const u8);

impl Format {
    fn peek(&self) -> u8 {
        // SAFETY: `run`'s caller promises a terminated text, and nothing moves past its zero.
        unsafe { self.0.read() }
    }

    fn next(&mut self) -> u8 {
        let byte = self.peek();
        if byte != 0 {
            self.0 = self.0.wrapping_add(1);
        }
        byte
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        if found {
            self.next();
        }
        found
    }

    fn number(&mut self, arguments: &mut impl Arguments) -> usize {
        if self.accept(b'*') {
            return (arguments.next() as u32 as usize).min(LONGEST);
        }
        let mut number = 0_usize;
        while self.peek().is_ascii_digit() {
            number = (number * 10 + usize::from(self.next() - b'0')).min(LONGEST);
        }
        number
    }

    fn conversion(&mut self, arguments: &mut impl Arguments) -> Conversion {
        let mut conversion = Conversion {
            bits: 32,
            ..Conversion::default()
        };
        loop {
            match self.peek() {
                b'-' => conversion.left = true,
                b'0' => conversion.zeros = true,
                b'+' => conversion.plus = true,
                b'#' => conversion.prefix = true,
                b' ' => conversion.space = true,
                _ => break,
            }
            self.next();
        }
        conversion.width = self.number(arguments);
        if self.accept(b'.') {
            conversion.precision = Some(self.number(arguments));
        }
        loop {
            match self.peek() {
                b'h' => conversion.bits = if conversion.bits == 16 { 8 } else { 16 },
                b'l' => {
                    // `l` is 32 bits for integers on Windows and wide for strings; `ll` is 64 bits.
                    conversion.bits = if conversion.wide { 64 } else { 32 };
                    conversion.wide = true;
                }
                b'w' => conversion.wide = true,
                b'z' | b'j' | b't' => conversion.bits = 64,
                b'I' => {
                    self.next();
                    conversion.bits = if self.accept(b'3') { 32 } else { 64 };
                    self.accept(b'6');
                    self.accept(b'4');
                    self.accept(b'2');
                    continue;
                }
                _ => break,
            }
            self.next();
        }
        conversion
    }
}

unsafe fn run(output: &mut Output, format: *const u8, mut arguments: impl Arguments) {
    let mut format = Format(format);
    loop {
        match format.next() {
            0 => break,
            b'%' => {
                let conversion = format.conversion(&mut arguments);
                let kind = format.next();
                if kind == b'%' {
                    output.push(b'%');
                    continue;
                }
                // SAFETY: the caller promises that the argument fits the conversion.
                unsafe { convert(output, &conversion, kind, arguments.next()) };
            }
            byte => output.push(byte),
        }
    }
}

/// A number, by the rules of C: sign or prefix, then as many zeros as precision or width ask for, then the digits.
fn number(output: &mut Output, conversion: &Conversion, kind: u8, value: u64) {
    let shift = 64 - conversion.bits;
    let unsigned = value << shift >> shift;
    let signed = (value << shift) as i64 >> shift;
    let is_signed = matches!(kind, b'd' | b'i');
    let magnitude = if is_signed {
        signed.unsigned_abs()
    } else {
        unsigned
    };
    let before = match kind {
        b'd' | b'i' if signed < 0 => "-",
        b'd' | b'i' if conversion.plus => "+",
        b'd' | b'i' if conversion.space => " ",
        b'x' if conversion.prefix && magnitude != 0 => "0x",
        b'X' if conversion.prefix && magnitude != 0 => "0X",
        _ => "",
    };
    let mut digits = Output::new();
    // An `Output` takes whatever is written. No precision is one of 1: a 0 with precision 0 has no digit.
    let _ = match kind {
        _ if magnitude == 0 && conversion.precision == Some(0) => Ok(()),
        b'x' => write!(digits, "{magnitude:x}"),
        b'X' => write!(digits, "{magnitude:X}"),
        b'o' => write!(digits, "{magnitude:o}"),
        _ => write!(digits, "{magnitude}"),
    };
    // An octal number's prefix is a zero more, where it does not begin with one.
    let octal = usize::from(kind == b'o' && conversion.prefix && digits.bytes[0] != b'0');
    let least = conversion.precision.unwrap_or(1).max(digits.length + octal);
    let least = if conversion.precision.is_none() && conversion.zeros && !conversion.left {
        least.max(conversion.width.saturating_sub(before.len()))
    } else {
        least
    };
    let padding = conversion
        .width
        .saturating_sub(before.len() + least.max(digits.length));
    if !conversion.left {
        (0..padding).for_each(|_| output.push(b' '));
    }
    let _ = output.write_str(before);
    (digits.length..least).for_each(|_| output.push(b'0'));
    digits.as_bytes().iter().for_each(|&byte| output.push(byte));
    if conversion.left {
        (0..padding).for_each(|_| output.push(b' '));
    }
}

unsafe fn convert(output: &mut Output, conversion: &Conversion, kind: u8, value: u64) {
    if matches!(kind, b'd' | b'i' | b'u' | b'x' | b'X' | b'o') {
        return number(output, conversion, kind, value);
    }
    let limit = conversion.precision.unwrap_or(LONGEST);
    let mut text = Output::new();
    // An `Output` takes whatever is written.
    let _ = match kind {
        b'p' => write!(text, "{value:016X}"),
        b'c' | b'C' => {
            text.push(value as u8);
            Ok(())
        }
        b's' | b'S' if conversion.wide == (kind == b's') => {
            // SAFETY: the caller promises a UTF-16 string up to a zero or the precision.
            unsafe { wide_string(&mut text, value as *const u16, limit) };
            Ok(())
        }
        b's' | b'S' => {
            // SAFETY: the caller promises a string up to a zero or the precision.
            unsafe { string_up_to(&mut text, value as *const u8, limit) };
            Ok(())
        }
        b'Z' if value == 0 => write!(text, "(null)"),
        b'Z' => {
            // SAFETY: the caller promises a UNICODE_STRING (`%wZ`) or ANSI_STRING, which are laid out alike.
            let counted = unsafe { (value as *const super::UnicodeString).read() };
            let length = usize::from(counted.length);
            if conversion.wide {
                // SAFETY: as above: `length` bytes.
                unsafe { wide_string(&mut text, counted.buffer, limit.min(length / 2)) };
            } else {
                // SAFETY: as above.
                unsafe { string_up_to(&mut text, counted.buffer.cast(), limit.min(length)) };
            }
            Ok(())
        }
        other => write!(text, "%{}", other as char),
    };
    let padding = conversion.width.saturating_sub(text.length);
    if !conversion.left {
        (0..padding).for_each(|_| output.push(if conversion.zeros { b'0' } else { b' ' }));
    }
    text.as_bytes().iter().for_each(|&byte| output.push(byte));
    if conversion.left {
        (0..padding).for_each(|_| output.push(b' '));
    }
}

/// As [`string`], but `limit` bytes at most, which then need no zero.
unsafe fn string_up_to(output: &mut Output, text: *const u8, limit: usize) {
    if text.is_null() {
        let _ = output.write_str("(null)");
        return;
    }
    for index in 0..limit.min(LONGEST) {
        // SAFETY: the caller promises `limit` bytes, or fewer and a zero.
        let byte = unsafe { text.wrapping_add(index).read() };
        if byte == 0 {
            break;
        }
        output.push(byte);
    }
}

/// Appends UTF-16 up to a zero or `limit` units; what is not ASCII becomes a question mark.
unsafe fn wide_string(output: &mut Output, text: *const u16, limit: usize) {
    if text.is_null() {
        let _ = output.write_str("(null)");
        return;
    }
    for index in 0..limit.min(LONGEST) {
        // SAFETY: the caller promises units up to a zero or the limit.
        let unit = unsafe { text.wrapping_add(index).read() };
        if unit == 0 {
            break;
        }
        output.push(u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(b'?'));
    }
}
