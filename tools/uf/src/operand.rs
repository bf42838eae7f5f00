//! Operands, read from assembly text into a form that can be compared.

use crate::{
    Place,
    place::{is_hex, parse_address},
};

/// One operand. What Microsoft's debugger and iced-x86 spell differently is the same here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A register, or anything else that is a word.
    Word(String),
    /// An immediate.
    Number(u64),
    /// Where a branch goes.
    Target(u64, Option<Place>),
    /// Memory.
    Memory(Memory),
}

/// A memory operand.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Memory {
    /// `dword`, and so on.
    pub(crate) size: Option<String>,
    /// `gs` and `fs`: the others are flat.
    pub(crate) segment: Option<String>,
    /// `rax`, `rcx*8`, sorted.
    pub(crate) registers: Vec<String>,
    /// The displacement; relative to RIP it is the address.
    pub(crate) displacement: u64,
    /// Its name, if it has one.
    pub(crate) place: Option<Place>,
}

impl Operand {
    /// Reads one operand. What cannot be read stays a word, and then equals only itself.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        number(text)
            .map(Self::Number)
            .or_else(|| target(text).map(|(address, place)| Self::Target(address, place)))
            .or_else(|| memory(text).map(Self::Memory))
            .unwrap_or_else(|| Self::Word(text.to_ascii_lowercase().replace(char::is_whitespace, "")))
    }

    /// Whether both mean the same, `self` as the debugger printed it and `decoded` from the bytes.
    pub(crate) fn agrees(&self, decoded: &Self) -> bool {
        match (self, decoded) {
            (Self::Number(a) | Self::Target(a, _), Self::Number(b) | Self::Target(b, _)) => {
                same_number(*a, *b)
            }
            (Self::Memory(a), Self::Memory(b)) => {
                let sizes = match (&a.size, &b.size) {
                    (Some(a), Some(b)) => a == b,
                    // The debugger prints none for prefetches and lea.
                    _ => true,
                };
                sizes
                    && a.segment == b.segment
                    && a.registers == b.registers
                    && same_number(a.displacement, b.displacement)
            }
            (a, b) => a == b,
        }
    }
}

/// An immediate is printed at its own width, at its operand's, or at 64 bits.
fn same_number(a: u64, b: u64) -> bool {
    let narrow = |wide: u64, bits: u32| {
        let mask = (1 << bits) - 1;
        let sign_extended = wide >> (bits - 1) == u64::MAX >> (bits - 1);
        (wide <= mask || sign_extended).then_some(wide & mask)
    };
    a == b
        || [8, 16, 32]
            .iter()
            .any(|&bits| matches!((narrow(a, bits), narrow(b, bits)), (Some(a), Some(b)) if a == b && a >> (bits - 1) == 1))
}

/// `8`, `0Ah`, `0FFFFFFFEh`, `-1`.
fn number(text: &str) -> Option<u64> {
    if let Some(text) = text.strip_prefix('-') {
        return number(text).map(u64::wrapping_neg);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = text.strip_suffix(['h', 'H']);
    u64::from_str_radix(digits.unwrap_or(text), if digits.is_some() { 16 } else { 10 }).ok()
}

/// `FFFFF78000000008h`: of an absolute address the debugger prints no leading zero. No register ends like this.
fn bare_number(text: &str) -> Option<u64> {
    let digits = text.strip_suffix(['h', 'H'])?;
    (digits.len() > 1 && is_hex(digits)).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// A name with its address in parentheses, `nt!X+0x21 (...)`, or the address alone. The debugger has names of its own, without a
/// module, `SharedUserData+0x308`; what they mean is the address.
fn target(text: &str) -> Option<(u64, Option<Place>)> {
    if let Some((name, address)) = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        let place = Place::parse(name);
        let is_name = place.is_some()
            || !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_+".contains(c));
        return is_name.then_some((parse_address(address)?, place));
    }
    Some((parse_address(text)?, None))
}

/// `dword ptr gs:[rax+rcx*8-18h]`, `qword ptr [nt!X (...)]`.
fn memory(text: &str) -> Option<Memory> {
    let (before, inside) = text.strip_suffix(']')?.split_once('[')?;
    let mut memory = Memory::default();
    let before = before.trim().to_ascii_lowercase();
    let segment = match before.split_once("ptr") {
        Some((size, segment)) => {
            // The debugger calls a scalar double so.
            let size = size.trim();
            memory.size = Some(if size == "mmword" { "qword" } else { size }.to_owned());
            segment.trim()
        }
        None => &before,
    };
    memory.segment = match segment.strip_suffix(':') {
        Some(segment @ ("fs" | "gs")) => Some(segment.to_owned()),
        Some(_) => None,
        None if segment.is_empty() => None,
        None => return None,
    };
    if let Some((address, place)) = target(inside) {
        memory.displacement = address;
        memory.place = place;
        return Some(memory);
    }
    for (negative, term) in terms(inside) {
        if let Some(number) = number(term).or_else(|| bare_number(term)) {
            let number = if negative { number.wrapping_neg() } else { number };
            memory.displacement = memory.displacement.wrapping_add(number);
        } else if negative || term.is_empty() {
            return None;
        } else {
            let term = term.to_ascii_lowercase();
            // A scale of one is a matter of taste.
            memory
                .registers
                .push(term.strip_suffix("*1").unwrap_or(&term).to_owned());
        }
    }
    memory.registers.sort_unstable();
    Some(memory)
}

/// The terms of a sum, each with whether it is subtracted.
fn terms(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = text;
    let mut negative = false;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let (term, sign) = if let Some(at) = rest.find(['+', '-']) {
            let parts = (&rest[..at], rest[at..].starts_with('-'));
            rest = &rest[at + 1..];
            parts
        } else {
            done = true;
            (rest, false)
        };
        Some((std::mem::replace(&mut negative, sign), term.trim()))
    })
}

/// Splits the operands of an instruction at the commas that are not inside brackets of any kind.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut operands = Vec::new();
    let mut depth = 0_i32;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '<' | '{' => depth += 1,
            ')' | ']' | '>' | '}' => depth -= 1,
            ',' if depth == 0 => {
                operands.push(text[start..at].trim());
                start = at + 1;
            }
            _ => (),
        }
    }
    operands.push(text[start..].trim());
    operands.retain(|operand| !operand.is_empty());
    operands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_memory_in_other_words() {
        for (a, b) in [
            ("dword ptr [rax+rcx*1+10h]", "dword ptr [rcx+rax+16]"),
            ("[rcx]", "byte ptr [rcx]"),
            ("qword ptr gs:[188h]", "qword ptr gs:[0188h]"),
            ("qword ptr ds:[rax]", "qword ptr [rax]"),
            (
                "dword ptr [nt!X (fffff802`10001021)]",
                "dword ptr [0FFFFF80210001021h]",
            ),
            ("[rax-18h]", "[rax+0FFFFFFFFFFFFFFE8h]"),
            ("0FFFFFFFEh", "0FFFFFFFFFFFFFFFEh"),
            ("0FFh", "-1"),
        ] {
            assert!(Operand::parse(a).agrees(&Operand::parse(b)), "{a} {b}");
        }
    }

    #[test]
    fn other_memory_differs() {
        for (a, b) in [
            ("dword ptr [rax]", "qword ptr [rax]"),
            ("dword ptr [rax]", "dword ptr gs:[rax]"),
            ("[rax+rcx*8]", "[rax+rcx*4]"),
            ("[rax+8]", "[rax-8]"),
            ("7Fh", "0FFFFFF7Fh"),
            ("0FEh", "0FFFFFFFFh"),
            ("rax", "eax"),
            ("[rax", "[rax]"),
        ] {
            assert!(!Operand::parse(a).agrees(&Operand::parse(b)), "{a} {b}");
        }
    }

    #[test]
    fn operands_are_split_outside_of_brackets() {
        assert_eq!(
            split("xmm0,qword ptr [nt!a<b,c> (fffff802`10001021)], 8"),
            ["xmm0", "qword ptr [nt!a<b,c> (fffff802`10001021)]", "8"]
        );
        assert_eq!(split(""), [""; 0]);
    }
}
