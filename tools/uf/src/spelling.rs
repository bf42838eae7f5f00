//! How `WinDbg` and iced-x86 spell the same instruction.
//!
//! Both follow the Microsoft assembler, with differences in operands that an instruction implies, in string
//! instructions, and in the synonyms of conditions.

use iced_x86::{Instruction, Mnemonic};

use crate::operand::{self, Operand};

/// An instruction's text, taken apart.
#[derive(Debug)]
pub(crate) struct Spelling {
    prefixes: Vec<String>,
    mnemonic: String,
    pub(crate) operands: Vec<Operand>,
}

impl Spelling {
    /// Takes `text` apart. `instruction` is what the bytes say, since `movsd` is two instructions.
    pub(crate) fn of(text: &str, instruction: &Instruction) -> Self {
        let mut prefixes = Vec::new();
        let mut rest = text.trim();
        let mnemonic = loop {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let word = rest[..end].to_ascii_lowercase();
            rest = rest[end..].trim_start();
            match word.as_str() {
                "rep" | "repe" | "repz" => prefixes.push("rep".to_owned()),
                "repne" | "repnz" => prefixes.push("repne".to_owned()),
                "lock" | "xacquire" | "xrelease" | "bnd" | "notrack" => prefixes.push(word),
                _ => break word,
            }
        };
        let mut spelling = Self {
            prefixes,
            mnemonic: synonym(&mnemonic).unwrap_or(mnemonic),
            operands: operand::split(rest).into_iter().map(Operand::parse).collect(),
        };
        spelling.settle(instruction);
        spelling
    }

    /// Whether the debugger's text says what the bytes say.
    pub(crate) fn agrees(&self, decoded: &Self) -> bool {
        let commutes = matches!(self.mnemonic.as_str(), "xchg" | "test");
        self.prefixes == decoded.prefixes
            && self.mnemonic == decoded.mnemonic
            && (all_agree(self.operands.iter(), &decoded.operands)
                || commutes && all_agree(self.operands.iter().rev(), &decoded.operands))
    }

    fn settle(&mut self, instruction: &Instruction) {
        if instruction.is_string_instruction() {
            // `rep stos qword ptr [rdi]` is `rep stosq`: only the width is not implied.
            if let Some(size) = self.operands.iter().find_map(memory_size)
                && !self.mnemonic.ends_with(size)
            {
                self.mnemonic.push(size);
            }
            self.operands.clear();
            return;
        }
        match instruction.mnemonic() {
            // All operands are implied; the debugger prints them at other widths.
            Mnemonic::Monitor | Mnemonic::Mwait | Mnemonic::Monitorx | Mnemonic::Mwaitx | Mnemonic::Xlatb => {
                self.operands.clear();
            }
            // The debugger prints the implied accumulator.
            Mnemonic::Mul | Mnemonic::Imul | Mnemonic::Div | Mnemonic::Idiv
                if instruction.op_count() == 1 && self.operands.len() == 2 =>
            {
                let accumulator = matches!(&self.operands[0],
                    Operand::Word(word) if matches!(word.as_str(), "al" | "ax" | "eax" | "rax"));
                if accumulator {
                    self.operands.remove(0);
                }
            }
            // With equal registers there are two spellings.
            Mnemonic::Imul if self.operands.len() == 3 && self.operands[0] == self.operands[1] => {
                self.operands.remove(1);
            }
            Mnemonic::Int3 => {
                self.mnemonic = if self.mnemonic == "int" && self.operands == [Operand::Number(3)] {
                    "int3".to_owned()
                } else {
                    std::mem::take(&mut self.mnemonic)
                };
                self.operands.clear();
            }
            _ => (),
        }
    }
}

fn all_agree<'a>(listed: impl ExactSizeIterator<Item = &'a Operand>, decoded: &[Operand]) -> bool {
    listed.len() == decoded.len()
        && listed
            .zip(decoded)
            .all(|(listed, decoded)| listed.agrees(decoded))
}

fn memory_size(operand: &Operand) -> Option<char> {
    match operand {
        Operand::Memory(memory) => match memory.size.as_deref()? {
            "byte" => Some('b'),
            "word" => Some('w'),
            "dword" => Some('d'),
            "qword" => Some('q'),
            _ => None,
        },
        _ => None,
    }
}

/// The one name of an instruction that has several.
fn synonym(mnemonic: &str) -> Option<String> {
    let name = match mnemonic {
        "retn" => "ret",
        "sal" => "shl",
        "fwait" => "wait",
        "movabs" => "mov",
        _ => {
            return ["cmov", "set", "j"].iter().find_map(|family| {
                let condition = condition(mnemonic.strip_prefix(family)?)?;
                Some(format!("{family}{condition}"))
            });
        }
    };
    Some(name.to_owned())
}

fn condition(name: &str) -> Option<&'static str> {
    Some(match name {
        "z" => "e",
        "nz" => "ne",
        "c" | "nae" => "b",
        "nc" | "nb" => "ae",
        "na" => "be",
        "nbe" => "a",
        "pe" => "p",
        "po" => "np",
        "nge" => "l",
        "nl" => "ge",
        "ng" => "le",
        "nle" => "g",
        _ => return None,
    })
}
