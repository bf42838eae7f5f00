//! Security descriptors in SDDL, as far as devices use them, and the access check over them.
//!
//! The grammar is the public one ("Security Descriptor String Format", learn.microsoft.com): `O:sid G:sid D:flags(ace)... S:flags(ace)...`.
//! Read are the DACL's allow and deny entries with the well-known trustees' abbreviations or a `S-1-...` text; anything else
//! is an error that says where, because a descriptor that is half understood protects nothing. Written here, since the one crate
//! that reads SDDL off Windows (`sddl`) is under the GPL.

use crate::frame::{Access, Caller};
use core::fmt;

/// `FILE_READ_DATA`: what a control code with `FILE_READ_ACCESS` demands of the handle.
pub const FILE_READ_DATA: u32 = 0x0001;
/// `FILE_WRITE_DATA`: what a control code with `FILE_WRITE_ACCESS` demands of the handle.
pub const FILE_WRITE_DATA: u32 = 0x0002;

const FILE_GENERIC_READ: u32 = 0x0012_0089;
const FILE_GENERIC_WRITE: u32 = 0x0012_0116;
const FILE_GENERIC_EXECUTE: u32 = 0x0012_00A0;
const FILE_ALL_ACCESS: u32 = 0x001F_01FF;
/// `FILE_READ_ATTRIBUTES | SYNCHRONIZE`, which `CreateFile` asks for whatever its caller wants.
const CREATE_FILE_ALWAYS: u32 = 0x0010_0080;

const GENERIC_ALL: u32 = 0x1000_0000;
const GENERIC_EXECUTE: u32 = 0x2000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_READ: u32 = 0x8000_0000;

/// Rights as SDDL abbreviates them (`sddl.h`).
const RIGHTS: &[(&str, u32)] = &[
    ("GA", GENERIC_ALL),
    ("GR", GENERIC_READ),
    ("GW", GENERIC_WRITE),
    ("GX", GENERIC_EXECUTE),
    ("RC", 0x0002_0000),
    ("SD", 0x0001_0000),
    ("WD", 0x0004_0000),
    ("WO", 0x0008_0000),
    ("FA", FILE_ALL_ACCESS),
    ("FR", FILE_GENERIC_READ),
    ("FW", FILE_GENERIC_WRITE),
    ("FX", FILE_GENERIC_EXECUTE),
    ("CC", 0x0001),
    ("DC", 0x0002),
    ("LC", 0x0004),
    ("SW", 0x0008),
    ("RP", 0x0010),
    ("WP", 0x0020),
    ("DT", 0x0040),
    ("LO", 0x0080),
    ("CR", 0x0100),
];

/// Trustees as SDDL abbreviates them, with their SIDs in text (`sddl.h`, "Well-known SIDs").
const TRUSTEES: &[(&str, &str)] = &[
    ("WD", "S-1-1-0"),
    ("SY", "S-1-5-18"),
    ("LS", "S-1-5-19"),
    ("NS", "S-1-5-20"),
    ("BA", "S-1-5-32-544"),
    ("BU", "S-1-5-32-545"),
    ("BG", "S-1-5-32-546"),
    ("PU", "S-1-5-32-547"),
    ("AU", "S-1-5-11"),
    ("IU", "S-1-5-4"),
    ("NU", "S-1-5-2"),
    ("SU", "S-1-5-6"),
    ("AN", "S-1-5-7"),
    ("RC", "S-1-5-12"),
    ("AC", "S-1-15-2-1"),
    ("CO", "S-1-3-0"),
    ("CG", "S-1-3-1"),
    ("OW", "S-1-3-4"),
    ("UD", "S-1-5-84-0-0-0-0-0"),
];

/// Groups in the token of an interactive user who is no administrator.
const USER_TOKEN: &[&str] = &["S-1-1-0", "S-1-5-32-545", "S-1-5-11", "S-1-5-4"];
/// The group that an elevated administrator has besides.
const ADMINISTRATORS: &str = "S-1-5-32-544";

/// Why a text is not a security descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SddlError {
    /// Byte offset in the text.
    pub offset: usize,
    /// What should have been there.
    pub expected: &'static str,
}

impl fmt::Display for SddlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "character {} of the security descriptor: {} expected",
            self.offset + 1,
            self.expected
        )
    }
}

impl core::error::Error for SddlError {}

/// Whether an entry of the access control list grants or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AceType {
    Allow,
    Deny,
}

/// One entry of the access control list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ace<'a> {
    kind: AceType,
    /// Only for children: no part of the check of the object itself.
    inherit_only: bool,
    mask: u32,
    sid: &'a str,
}

/// A security descriptor that was read without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityDescriptor<'a> {
    text: &'a str,
    /// Offset of the DACL's first entry; `None`: there is no DACL, and everybody may do everything.
    dacl: Option<usize>,
}

impl<'a> SecurityDescriptor<'a> {
    /// Reads a descriptor. An empty text is a descriptor without a DACL.
    ///
    /// # Errors
    /// [`SddlError`] says where and what.
    pub fn parse(text: &'a str) -> Result<Self, SddlError> {
        let mut cursor = Cursor { text, offset: 0 };
        let mut dacl = None;
        while !cursor.rest().is_empty() {
            match cursor.section()? {
                Section::Owner | Section::Group => {
                    cursor.sid()?;
                }
                Section::Dacl => {
                    let null = cursor.acl_flags();
                    dacl = (!null).then_some(cursor.offset);
                    while let Some(ace) = cursor.ace(false)? {
                        // Only its correctness matters here; the check reads it again.
                        let _ = ace;
                    }
                }
                Section::Sacl => {
                    cursor.acl_flags();
                    while cursor.ace(true)?.is_some() {}
                }
            }
        }
        Ok(Self { text, dacl })
    }

    /// The access check of an open: the rights that the new handle gets, or `None` for `STATUS_ACCESS_DENIED`.
    ///
    /// Entries are taken in their order; a deny entry that hits a right not granted so far ends the check ("How access check
    /// works", learn.microsoft.com).
    #[must_use]
    pub fn check(&self, caller: Caller, access: Access) -> Option<u32> {
        let mut desired = CREATE_FILE_ALWAYS;
        if access.read {
            desired |= FILE_GENERIC_READ;
        }
        if access.write {
            desired |= FILE_GENERIC_WRITE;
        }
        let Some(offset) = self.dacl else {
            return Some(desired);
        };
        let mut cursor = Cursor {
            text: self.text,
            offset,
        };
        let mut missing = desired;
        while missing != 0 {
            let Ok(Some(ace)) = cursor.ace(false) else {
                return None;
            };
            if ace.inherit_only || !in_token(caller, ace.sid) {
                continue;
            }
            match ace.kind {
                AceType::Allow => missing &= !ace.mask,
                AceType::Deny if missing & ace.mask != 0 => return None,
                AceType::Deny => {}
            }
        }
        Some(desired)
    }
}

fn in_token(caller: Caller, sid: &str) -> bool {
    USER_TOKEN.contains(&sid) || (caller != Caller::User && sid == ADMINISTRATORS)
}

enum Section {
    Owner,
    Group,
    Dacl,
    Sacl,
}

/// A place in the text.
struct Cursor<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or("")
    }

    fn error<T>(&self, expected: &'static str) -> Result<T, SddlError> {
        Err(SddlError {
            offset: self.offset,
            expected,
        })
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.offset += prefix.len();
        }
        found
    }

    /// Everything up to the next `end`, which is taken too.
    fn field(&mut self, end: char, expected: &'static str) -> Result<(usize, &'a str), SddlError> {
        let start = self.offset;
        let Some(length) = self.rest().find(end) else {
            return self.error(expected);
        };
        let field = &self.rest()[..length];
        self.offset += length + end.len_utf8();
        Ok((start, field))
    }

    fn section(&mut self) -> Result<Section, SddlError> {
        for (prefix, section) in [
            ("O:", Section::Owner),
            ("G:", Section::Group),
            ("D:", Section::Dacl),
            ("S:", Section::Sacl),
        ] {
            if self.take(prefix) {
                return Ok(section);
            }
        }
        self.error("one of O:, G:, D: or S:")
    }

    /// Skips an ACL's flags; true if they say that there is no ACL (`NO_ACCESS_CONTROL`).
    fn acl_flags(&mut self) -> bool {
        let mut null = false;
        loop {
            if self.take("NO_ACCESS_CONTROL") {
                null = true;
            } else if !(self.take("P") || self.take("AR") || self.take("AI")) {
                return null;
            }
        }
    }

    fn sid(&mut self) -> Result<&'a str, SddlError> {
        let rest = self.rest();
        if rest.starts_with("S-1-") {
            let length = rest[1..]
                .find(|c: char| !c.is_ascii_digit() && c != '-')
                .map_or(rest.len(), |n| n + 1);
            self.offset += length;
            return Ok(&rest[..length]);
        }
        for (abbreviation, sid) in TRUSTEES {
            if self.take(abbreviation) {
                return Ok(sid);
            }
        }
        self.error("a trustee such as SY, BA, WD or S-1-5-18")
    }

    /// The next entry, or `None` where the list ends. Audit entries (of a SACL) are skipped over.
    fn ace(&mut self, audit: bool) -> Result<Option<Ace<'a>>, SddlError> {
        if !self.take("(") {
            return Ok(None);
        }
        let (start, kind) = self.field(';', "an entry's type and ';'")?;
        let kind = match kind {
            "A" => AceType::Allow,
            "D" => AceType::Deny,
            _ if audit => AceType::Allow,
            _ => {
                return Err(SddlError {
                    offset: start,
                    expected: "A (allow) or D (deny)",
                });
            }
        };
        let (start, flags) = self.field(';', "an entry's flags and ';'")?;
        let inherit_only = inherit_only(flags).ok_or(SddlError {
            offset: start,
            expected: "an entry's flags (OI, CI, NP, IO, ID, SA, FA)",
        })?;
        let (start, rights) = self.field(';', "an entry's rights and ';'")?;
        let mask = rights_mask(rights, audit).ok_or(SddlError {
            offset: start,
            expected: "rights such as GA, GRGW or 0x1f01ff",
        })?;
        for expected in ["no object type, and ';'", "no inherited object type, and ';'"] {
            let (start, guid) = self.field(';', expected)?;
            if !guid.is_empty() {
                return Err(SddlError {
                    offset: start,
                    expected,
                });
            }
        }
        let sid = self.sid()?;
        if !self.take(")") {
            return self.error("')'");
        }
        Ok(Some(Ace {
            kind,
            inherit_only,
            mask,
            sid,
        }))
    }
}

fn inherit_only(flags: &str) -> Option<bool> {
    let mut found = false;
    for pair in pairs(flags) {
        match pair? {
            "IO" => found = true,
            "OI" | "CI" | "NP" | "ID" | "SA" | "FA" => {}
            _ => return None,
        }
    }
    Some(found)
}

/// The rights with the generic ones mapped to the file object's; rights of a SACL's label entries (`NW`, `NR`, `NX`) mean nothing here.
fn rights_mask(text: &str, audit: bool) -> Option<u32> {
    let mask = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u32::from_str_radix(hex, 16).ok()?
    } else if text.starts_with(|c: char| c.is_ascii_digit()) {
        text.parse().ok()?
    } else {
        let mut mask = 0;
        for pair in pairs(text) {
            let pair = pair?;
            match RIGHTS.iter().find(|(name, _)| *name == pair) {
                Some((_, bits)) => mask |= bits,
                None if audit => {}
                None => return None,
            }
        }
        mask
    };
    let mapping = [
        (GENERIC_READ, FILE_GENERIC_READ),
        (GENERIC_WRITE, FILE_GENERIC_WRITE),
        (GENERIC_EXECUTE, FILE_GENERIC_EXECUTE),
        (GENERIC_ALL, FILE_ALL_ACCESS),
    ];
    let specific = mapping
        .iter()
        .filter(|(generic, _)| mask & generic != 0)
        .fold(0, |bits, (_, mapped)| bits | mapped);
    Some((mask & 0x0FFF_FFFF) | specific)
}

/// Two characters at a time; `None` in the iterator for an odd one at the end.
fn pairs(text: &str) -> impl Iterator<Item = Option<&str>> {
    (0..text.len())
        .step_by(2)
        .map(move |start| text.get(start..start + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: Access = Access {
        read: true,
        write: false,
    };
    const W: Access = Access {
        read: false,
        write: true,
    };
    const NONE: Access = Access {
        read: false,
        write: false,
    };

    fn check(text: &str, caller: Caller, access: Access) -> Option<u32> {
        SecurityDescriptor::parse(text).expect(text).check(caller, access)
    }

    #[test]
    fn system_and_administrators_only() {
        let text = "D:P(A;;GA;;;SY)(A;;GA;;;BA)";
        assert_eq!(check(text, Caller::Admin, R), Some(0x0012_0089));
        assert_eq!(
            check(text, Caller::Admin, W).map(|m| m & FILE_WRITE_DATA),
            Some(FILE_WRITE_DATA)
        );
        assert_eq!(check(text, Caller::Admin, NONE), Some(0x0010_0080));
        assert_eq!(check(text, Caller::User, R), None);
        assert_eq!(check(text, Caller::User, NONE), None);
    }

    #[test]
    fn world_may_read() {
        let text = "O:BAG:SYD:P(A;;GA;;;BA)(A;;GR;;;WD)S:(AU;SAFA;GA;;;WD)";
        assert_eq!(check(text, Caller::User, R), Some(0x0012_0089));
        assert_eq!(check(text, Caller::User, W), None);
    }

    #[test]
    fn order_decides_between_deny_and_allow() {
        assert_eq!(check("D:(D;;GW;;;BU)(A;;GA;;;WD)", Caller::User, W), None);
        assert!(check("D:(A;;GA;;;WD)(D;;GW;;;BU)", Caller::User, W).is_some());
        // Denied rights that nobody asks for do not matter; GENERIC_WRITE shares SYNCHRONIZE with every open, so FILE_WRITE_DATA alone.
        assert!(check("D:(D;;0x2;;;BU)(A;;GA;;;WD)", Caller::User, R).is_some());
    }

    #[test]
    fn no_dacl_and_empty_dacl_differ() {
        assert!(check("", Caller::User, W).is_some());
        assert!(check("O:BA", Caller::User, W).is_some());
        assert!(check("D:NO_ACCESS_CONTROL", Caller::User, W).is_some());
        assert_eq!(check("D:P", Caller::Admin, R), None);
    }

    #[test]
    fn inherit_only_entries_do_not_count() {
        assert_eq!(check("D:(A;OICIIO;GA;;;WD)", Caller::User, R), None);
    }

    #[test]
    fn full_sids_and_numbers() {
        assert!(check("D:(A;;0x1f01ff;;;S-1-5-32-544)", Caller::Admin, W).is_some());
        assert_eq!(check("D:(A;;0x1f01ff;;;S-1-5-32-5440)", Caller::Admin, W), None);
    }

    #[test]
    fn errors_say_where() {
        for (text, offset) in [
            ("D:P(A;;GA;;;XX)", 12),
            ("D:P(A;;GA;;;SY", 14),
            ("D:P(A;;G;;;SY)", 7),
            ("D:P(Q;;GA;;;SY)", 4),
            ("D:P(A;ZZ;GA;;;SY)", 6),
            ("D:P(A;;GA;x;;SY)", 10),
            ("X:P", 0),
            ("D:P(A;;GA;;;SY)junk", 15),
            ("D:(A;;Gä;;;SY)", 6),
        ] {
            let error = SecurityDescriptor::parse(text).expect_err(text);
            assert_eq!(error.offset, offset, "{text}: {error}");
        }
    }

    #[test]
    fn no_truncation_panics() {
        let text = "O:BAG:SYD:PAI(D;OICI;GRGW;;;S-1-5-32-545)(A;;0x1f;;;BA)S:(AU;SA;GA;;;WD)";
        for end in 0..=text.len() {
            if let Ok(descriptor) = SecurityDescriptor::parse(&text[..end]) {
                let _ = descriptor.check(Caller::User, R);
            }
        }
    }
}
