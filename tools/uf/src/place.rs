//! Names and addresses, as the debugger writes them.

use std::fmt;

/// A named place: `nt!ExSomething`, or `nt!ExSomething+0x21`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The symbol with its module: `nt!ExSomething`.
    pub symbol: String,
    /// The distance from it in bytes.
    pub offset: u64,
}

impl Place {
    /// Reads a name. It has a module, `!`, a symbol without blanks, and perhaps `+0x` and an offset. A cold block that the linker
    /// moved away has a symbol with blanks, of one form: ``nt! ?? ::FNODOBFM::`string'``.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (module, name) = text.split_once('!')?;
        let is_module = !module.is_empty()
            && module
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        let symbol_may_have_blanks = name.starts_with(" ?? ::") || name.starts_with("?? ::");
        if !is_module || name.is_empty() || name.contains(char::is_whitespace) && !symbol_may_have_blanks {
            return None;
        }
        let (symbol, offset) = match text.rsplit_once("+0x") {
            Some((symbol, offset)) => (symbol, u64::from_str_radix(offset, 16).ok()?),
            None => (text, 0),
        };
        (!symbol.ends_with('!')).then(|| Self {
            symbol: symbol.to_owned(),
            offset,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => f.write_str(&self.symbol),
            offset => write!(f, "{}+{offset:#x}", self.symbol),
        }
    }
}

/// Reads a 64-bit address, with the debugger's backtick in its middle or without.
pub(crate) fn parse_address(text: &str) -> Option<u64> {
    let digits = match text.split_once('`') {
        Some((high, low)) if high.len() == 8 && low.len() == 8 => [high, low].concat(),
        None if text.len() == 16 => text.to_owned(),
        _ => return None,
    };
    is_hex(&digits).then(|| u64::from_str_radix(&digits, 16).ok())?
}

/// Whether there is nothing but hexadecimal digits. (`from_str_radix` would also take a sign.)
pub(crate) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An address as the debugger writes it.
pub(crate) struct Address(pub(crate) u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}`{:08x}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_with_or_without_an_offset() {
        let place = |symbol: &str, offset| {
            Some(Place {
                symbol: symbol.to_owned(),
                offset,
            })
        };
        assert_eq!(Place::parse("nt!KeWait"), place("nt!KeWait", 0));
        assert_eq!(Place::parse("nt!KeWait+0x1c7"), place("nt!KeWait", 0x1c7));
        assert_eq!(Place::parse("a_b.c-d!f"), place("a_b.c-d!f", 0));
        assert_eq!(
            Place::parse("nt! ?? ::NNGAKEGL::`string'+0x49631"),
            place("nt! ?? ::NNGAKEGL::`string'", 0x49631)
        );
        for no in [
            "",
            "KeWait",
            "!KeWait",
            "nt!",
            "no way! it is",
            "nt!a+0xzz",
            "nt!+0x1",
            "\"so\"!x",
        ] {
            assert_eq!(Place::parse(no), None, "{no}");
        }
    }

    #[test]
    fn addresses_have_sixteen_digits() {
        assert_eq!(parse_address("fffff802`1a2b3c40"), Some(0xffff_f802_1a2b_3c40));
        assert_eq!(parse_address("fffff8021a2b3c40"), Some(0xffff_f802_1a2b_3c40));
        for no in [
            "1a2b3c40",
            "fffff80`1a2b3c40",
            "+ffff802`1a2b3c40",
            "fffff802`1a2b3c4g",
            "`",
        ] {
            assert_eq!(parse_address(no), None, "{no}");
        }
        assert_eq!(Address(0xffff_f802_1a2b_3c40).to_string(), "fffff802`1a2b3c40");
    }
}
