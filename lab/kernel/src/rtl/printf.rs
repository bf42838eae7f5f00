//! The formats of `DbgPrint` and of C's functions, in bytes or in UTF-16: `% [-0+ #] [width|*] [.precision|.*] [h|l|ll|I|I64|I32|w|z]
//! [d i u x X o p c C s S Z %]`. Which of `%s` and `%S` is a wide string depends on the format, unless a prefix says it.
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
}

impl Sink for Output {
    fn push(&mut self, unit: u16) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = <u8 as Unit>::of(unit);
            self.length += 1;
        }
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| self.push(byte.into()));
        Ok(())
    }
}

/// Where formatted text goes, a unit at a time.
trait Sink {
    fn push(&mut self, unit: u16);

    fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.push(byte.into()));
    }

    fn pad(&mut self, unit: u8, count: usize) {
        (0..count).for_each(|_| self.push(unit.into()));
    }
}

/// What texts consist of: bytes, or UTF-16.
pub trait Unit: Copy {
    /// Whether `%s` in a format of these is a string of them that is wide.
    const WIDE: bool;
    /// A unit of another text in this one; what is no ASCII becomes a question mark in bytes.
    fn of(unit: u16) -> Self;
    /// The unit's value.
    fn value(self) -> u16;
}

impl Unit for u8 {
    const WIDE: bool = false;
    fn of(unit: u16) -> Self {
        Self::try_from(unit).ok().filter(Self::is_ascii).unwrap_or(b'?')
    }
    fn value(self) -> u16 {
        self.into()
    }
}

impl Unit for u16 {
    const WIDE: bool = true;
    fn of(unit: u16) -> Self {
        unit
    }
    fn value(self) -> u16 {
        self
    }
}

/// A caller's buffer: what does not fit is counted.
pub struct Bounded<T> {
    place: *mut T,
    room: usize,
    length: usize,
}

impl<T: Unit> Bounded<T> {
    /// A buffer of `room` units.
    ///
    /// # Safety
    /// They can be written as long as this is used.
    pub const unsafe fn new(place: *mut T, room: usize) -> Self {
        Self {
            place,
            room,
            length: 0,
        }
    }

    /// Ends the text as `_vsnprintf` does: with a zero if there is room for it. How long it is, or -1 if it is cut off.
    pub fn end(self) -> i32 {
        if self.length < self.room {
            // SAFETY: `new`'s caller promises the room.
            unsafe { self.place.wrapping_add(self.length).write(T::of(0)) };
        }
        if self.length > self.room {
            -1
        } else {
            self.length as i32
        }
    }
}

impl<T: Unit> Sink for Bounded<T> {
    fn push(&mut self, unit: u16) {
        if self.length < self.room {
            // SAFETY: `new`'s caller promises the room.
            unsafe { self.place.wrapping_add(self.length).write(T::of(unit)) };
        }
        self.length += 1;
    }
}

/// Formats with a `va_list` into a caller's buffer, as [`Bounded::end`] says.
///
/// # Safety
/// As [`format_list`].
pub unsafe fn format_bounded<T: Unit>(
    mut output: Bounded<T>,
    format: *const T,
    arguments: *const u64,
) -> i32 {
    // SAFETY: the caller promises it.
    unsafe { run(&mut output, format, List(arguments)) };
    output.end()
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
    if text.is_null() {
        return output.text("(null)");
    }
    // SAFETY: the caller promises that all bytes up to the zero can be read.
    let length = unsafe { length(text, LONGEST) };
    // SAFETY: as above.
    unsafe { copy(output, text, length) };
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
    /// Of a string: a prefix says that it is wide, or that it is not.
    wide: Option<bool>,
}

impl Conversion {
    /// Whether a string or character of this kind is wide, in a format that is or is not.
    fn is_wide(&self, kind: u8, format: bool) -> bool {
        self.wide.unwrap_or(format == kind.is_ascii_lowercase())
    }
}

/// Widths and precisions beyond this are taken for it.
const WIDEST: usize = 1 << 16;

/// Reads a format unit by unit; behind its end there are only zeros.
struct Format<T>(*const T);

impl<T: Unit> Format<T> {
    /// The next unit, as the ASCII that all of a conversion is.
    fn peek(&self) -> u8 {
        // SAFETY: `run`'s caller promises a terminated text, and nothing moves past its zero.
        let unit = unsafe { self.0.read() }.value();
        if unit == 0 {
            0
        } else {
            u8::try_from(unit).unwrap_or(b'?')
        }
    }

    /// The next unit as it is.
    fn unit(&self) -> u16 {
        // SAFETY: as above.
        unsafe { self.0.read() }.value()
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
            return (arguments.next() as u32 as usize).min(WIDEST);
        }
        let mut number = 0_usize;
        while self.peek().is_ascii_digit() {
            number = (number * 10 + usize::from(self.next() - b'0')).min(WIDEST);
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
                b'h' => {
                    conversion.bits = if conversion.bits == 16 { 8 } else { 16 };
                    conversion.wide = Some(false);
                }
                b'l' => {
                    // `l` is 32 bits for integers on Windows and wide for strings; `ll` is 64 bits.
                    conversion.bits = if conversion.wide == Some(true) { 64 } else { 32 };
                    conversion.wide = Some(true);
                }
                b'w' => conversion.wide = Some(true),
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

unsafe fn run<T: Unit>(output: &mut impl Sink, format: *const T, mut arguments: impl Arguments) {
    let mut format = Format(format);
    loop {
        let unit = format.unit();
        match format.next() {
            0 => break,
            b'%' => {
                let conversion = format.conversion(&mut arguments);
                let kind = format.next();
                if kind == b'%' {
                    output.push(unit);
                    continue;
                }
                // SAFETY: the caller promises that the argument fits the conversion.
                unsafe { convert(output, &conversion, kind, T::WIDE, arguments.next()) };
            }
            _ => output.push(unit),
        }
    }
}

/// A number, by the rules of C: sign or prefix, then as many zeros as precision or width ask for, then the digits.
fn number(output: &mut impl Sink, conversion: &Conversion, kind: u8, value: u64) {
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
        output.pad(b' ', padding);
    }
    output.text(before);
    output.pad(b'0', least.saturating_sub(digits.length));
    digits
        .as_bytes()
        .iter()
        .for_each(|&byte| output.push(byte.into()));
    if conversion.left {
        output.pad(b' ', padding);
    }
}

unsafe fn convert(output: &mut impl Sink, conversion: &Conversion, kind: u8, wide_format: bool, value: u64) {
    if matches!(kind, b'd' | b'i' | b'u' | b'x' | b'X' | b'o') {
        return number(output, conversion, kind, value);
    }
    let limit = conversion.precision.unwrap_or(usize::MAX);
    let wide = conversion.is_wide(kind, wide_format);
    match kind {
        b'c' | b'C' => {
            let unit = if wide {
                value as u16
            } else {
                u16::from(value as u8)
            };
            padded(output, conversion, 1, |output| output.push(unit));
        }
        b's' | b'S' | b'Z' if value == 0 => short(output, conversion, format_args!("(null)")),
        b's' | b'S' if wide => {
            let text = value as *const u16;
            // SAFETY: the caller promises a UTF-16 string up to a zero or the precision.
            let length = unsafe { length(text, limit) };
            // SAFETY: as above.
            unsafe { counted(output, conversion, text, length) };
        }
        b's' | b'S' => {
            let text = value as *const u8;
            // SAFETY: the caller promises a string up to a zero or the precision.
            let length = unsafe { length(text, limit) };
            // SAFETY: as above.
            unsafe { counted(output, conversion, text, length) };
        }
        b'Z' => {
            // SAFETY: the caller promises a UNICODE_STRING (`%wZ`) or ANSI_STRING, which are laid out alike.
            let string = unsafe { (value as *const super::UnicodeString).read() };
            let length = usize::from(string.length);
            if conversion.wide == Some(true) {
                // SAFETY: as above: `length` bytes.
                unsafe { counted(output, conversion, string.buffer, limit.min(length / 2)) };
            } else {
                // SAFETY: as above.
                unsafe { counted(output, conversion, string.buffer.cast::<u8>(), limit.min(length)) };
            }
        }
        b'p' => short(output, conversion, format_args!("{value:016X}")),
        other => short(output, conversion, format_args!("%{}", other as char)),
    }
}

/// A text of `length` units between what fills it up to the width.
fn padded<S: Sink>(output: &mut S, conversion: &Conversion, length: usize, text: impl FnOnce(&mut S)) {
    let padding = conversion.width.saturating_sub(length);
    if !conversion.left {
        output.pad(if conversion.zeros { b'0' } else { b' ' }, padding);
    }
    text(output);
    if conversion.left {
        output.pad(b' ', padding);
    }
}

/// What is shorter than any message.
fn short(output: &mut impl Sink, conversion: &Conversion, text: core::fmt::Arguments<'_>) {
    let mut whole = Output::new();
    // An `Output` takes whatever is written.
    let _ = whole.write_fmt(text);
    padded(output, conversion, whole.length, |output| {
        whole.as_bytes().iter().for_each(|&byte| output.push(byte.into()));
    });
}

/// So many units of a string.
///
/// # Safety
/// They can be read.
unsafe fn counted<T: Unit>(output: &mut impl Sink, conversion: &Conversion, text: *const T, length: usize) {
    padded(output, conversion, length, |output| {
        // SAFETY: the caller promises it.
        unsafe { copy(output, text, length) };
    });
}

/// Appends so many units.
///
/// # Safety
/// As [`counted`].
unsafe fn copy<T: Unit>(output: &mut impl Sink, text: *const T, length: usize) {
    for index in 0..length {
        // SAFETY: the caller promises it.
        output.push(unsafe { text.wrapping_add(index).read_unaligned() }.value());
    }
}

/// Units before the zero, `limit` at most, which then need no zero.
///
/// # Safety
/// They can be read.
unsafe fn length<T: Unit>(text: *const T, limit: usize) -> usize {
    let mut length = 0;
    // SAFETY: the caller promises units up to a zero or the limit.
    while length < limit && unsafe { text.wrapping_add(length).read_unaligned() }.value() != 0 {
        length += 1;
    }
    length
}
