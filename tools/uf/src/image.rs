//! The code of a listing, laid out as it was in memory.

use std::collections::BTreeMap;

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use crate::{Error, Listing, flow, place::Address};

/// A page of memory.
const PAGE: u64 = 0x1000;

/// A listing's bytes at their own distances, and the names of what they refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The lowest address of anything listed or referred to, rounded down to a page.
    pub base: u64,
    /// The address behind the highest, rounded up to a page. It is less than 2 GiB above the base.
    pub end: u64,
    /// The code, without its gaps, by address.
    pub segments: Vec<Segment>,
    /// The address of everything that has a name: the routines, and what they refer to.
    pub symbols: BTreeMap<String, u64>,
    /// What the code refers to beyond itself, by the address of the instruction.
    pub references: Vec<Reference>,
}

/// A run of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub address: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Segment {
    /// The address behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address + self.bytes.len() as u64
    }
}

/// An instruction that refers to something which is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its line in the listing.
    pub line: usize,
    /// Its address.
    pub at: u64,
    /// The name that it refers to, a key of [`Image::symbols`]; of a [field of the processor's](Kind::Processor) how the
    /// debugger spells it.
    pub name: String,
    /// How.
    pub kind: Kind,
}

/// How an instruction refers to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It calls it.
    Call,
    /// It goes there.
    Jump,
    /// It reads, writes or points to so many bytes of memory; 0 when it only computes the address.
    Data(usize),
    /// It reads or writes a field of the processor's own region, through GS: `dword ptr gs:[1A4h]`.
    Processor,
    /// It reads or writes memory at a fixed address, other than reading `KUSER_SHARED_DATA`, which every kernel has there.
    Absolute,
}

impl Image {
    /// Lays a listing out.
    ///
    /// # Errors
    /// When its parts are too far from each other for relative addressing.
    pub fn new(listing: &Listing) -> Result<Self, Error> {
        let mut image = Self {
            base: u64::MAX,
            end: 0,
            segments: Vec::new(),
            symbols: BTreeMap::new(),
            references: Vec::new(),
        };
        for routine in listing.routines().iter().filter(|routine| routine.has_entry) {
            image.symbols.insert(routine.name.clone(), routine.address);
        }
        for decoded in listing.rows.values() {
            let row = &decoded.row;
            image.place(row.address, row.end());
            match image.segments.last_mut() {
                Some(segment) if segment.end() == row.address => segment.bytes.extend(&row.bytes),
                _ => image.segments.push(Segment {
                    address: row.address,
                    bytes: row.bytes.clone(),
                }),
            }
            let instruction = &decoded.instruction;
            if let Some(name) = segmented(instruction) {
                image.references.push(Reference {
                    line: row.line,
                    at: row.address,
                    name,
                    kind: Kind::Processor,
                });
                continue;
            }
            if let Some(name) = absolute(instruction) {
                image.references.push(Reference {
                    line: row.line,
                    at: row.address,
                    name,
                    kind: Kind::Absolute,
                });
                continue;
            }
            let (address, kind) = if let Some(target) = flow::branch_target(instruction) {
                let call = instruction.flow_control() == FlowControl::Call;
                (target, if call { Kind::Call } else { Kind::Jump })
            } else if instruction.is_ip_rel_memory_operand() {
                let size = instruction.memory_size().size();
                (instruction.ip_rel_memory_address(), Kind::Data(size))
            } else {
                continue;
            };
            if listing.rows.contains_key(&address) {
                continue;
            }
            let name = match &decoded.named {
                Some((place, _)) => place.to_string(),
                None => Address(address).to_string(),
            };
            let size = if let Kind::Data(size) = kind {
                size.max(1)
            } else {
                1
            };
            image.place(address, address.saturating_add(size as u64));
            image.symbols.insert(name.clone(), address);
            image.references.push(Reference {
                line: row.line,
                at: row.address,
                name,
                kind,
            });
        }
        image.base &= !(PAGE - 1);
        image.end = image.end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        if image.end - image.base > 1 << 31 {
            return Err(Error::whole(
                format!(
                    "what is listed spans {} to {}, more than the 2 GiB that one module can",
                    Address(image.base),
                    Address(image.end)
                ),
                "dump all routines again, from one boot of one build",
            ));
        }
        Ok(image)
    }

    fn place(&mut self, address: u64, end: u64) {
        self.base = self.base.min(address);
        self.end = self.end.max(end);
    }

    /// Whether there is code at `address`.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.segments
            .iter()
            .any(|segment| (segment.address..segment.end()).contains(&address))
    }

    /// The names that the code refers to and that are not listed, each once: what is missing.
    pub fn unlisted(&self) -> impl Iterator<Item = &str> {
        self.symbols
            .iter()
            .filter(|(_, address)| !self.is_code(**address))
            .map(|(name, _)| name.as_str())
    }
}

/// Where `KUSER_SHARED_DATA` lies in the kernel's half, and its page's end (ntddk.h, `KI_USER_SHARED_DATA`).
const SHARED_DATA: std::ops::Range<u64> = 0xFFFF_F780_0000_0000..0xFFFF_F780_0000_1000;

/// Memory at an address that the instruction has in itself, but for what everybody may read.
fn absolute(instruction: &Instruction) -> Option<String> {
    let is_fixed = instruction.op_kinds().any(|kind| kind == OpKind::Memory)
        && instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None;
    // `lea`, and prefetches of nothing.
    if !is_fixed || instruction.memory_size().size() == 0 || instruction.mnemonic() == Mnemonic::Lea {
        return None;
    }
    let address = instruction.memory_displacement64();
    let last = address.wrapping_add(instruction.memory_size().size() as u64 - 1);
    let reads = InstructionInfoFactory::new()
        .info(instruction)
        .used_memory()
        .iter()
        .all(|memory| matches!(memory.access(), OpAccess::Read | OpAccess::CondRead));
    let shared = SHARED_DATA.contains(&address) && SHARED_DATA.contains(&last);
    (!shared || !reads).then(|| format!("the memory at {}", Address(address)))
}

/// Memory in GS or FS, as the debugger spells it, but for registers.
fn segmented(instruction: &Instruction) -> Option<String> {
    let segment = match instruction.segment_prefix() {
        Register::GS => "gs",
        Register::FS => "fs",
        _ => return None,
    };
    let size = match instruction.memory_size().size() {
        0 => return None,
        1 => "byte ptr ",
        2 => "word ptr ",
        4 => "dword ptr ",
        8 => "qword ptr ",
        _ => "",
    };
    // Not so for string instructions, whose registers are implied.
    let is_fixed = instruction.op_kinds().any(|kind| kind == OpKind::Memory)
        && instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None;
    if !is_fixed {
        return Some(format!("{size}{segment}:[...]"));
    }
    let digits = format!("{:X}h", instruction.memory_displacement64());
    let zero = if digits.starts_with(|c: char| c.is_ascii_digit()) {
        ""
    } else {
        "0"
    };
    Some(format!("{size}{segment}:[{zero}{digits}]"))
}
