//! Every row is decoded again from its bytes.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, MasmFormatter, MemorySizeOptions};

use crate::{Error, Place, Row, operand::Operand, spelling::Spelling};

/// A row whose bytes and text say the same.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) row: Row,
    pub(crate) instruction: Instruction,
    /// The name in an operand, with the address that it stands for.
    pub(crate) named: Option<(Place, u64)>,
}

/// Decodes rows.
pub(crate) struct Checker(MasmFormatter);

impl Checker {
    pub(crate) fn new() -> Self {
        let mut formatter = MasmFormatter::new();
        let options = formatter.options_mut();
        options.set_memory_size_options(MemorySizeOptions::Always);
        options.set_rip_relative_addresses(false);
        options.set_show_branch_size(false);
        Self(formatter)
    }

    /// Compares a row's text with its bytes.
    pub(crate) fn decode(&mut self, row: Row) -> Result<Decoded, Error> {
        const AGAIN: &str = "this row is damaged or not x64 code: copy it anew from an x64 target; if it is the same again, the \
             debugger spells it in a way that is not known here: please report the row";
        let wrong = |what: String| Error::at(row.line, what, AGAIN);
        if row.text.contains("???") {
            return Err(Error::at(
                row.line,
                "this debugger does not know the instruction",
                "give the same `uf` commands in a newer WinDbg",
            ));
        }

        let mut decoder = Decoder::with_ip(64, &row.bytes, row.address, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() || instruction.len() != row.bytes.len() {
            return Err(wrong(format!(
                "the bytes are not one instruction, but the text says `{}`",
                row.text
            )));
        }
        let mut text = String::new();
        self.0.format(&instruction, &mut text);
        let listed = Spelling::of(&row.text, &instruction);
        if !listed.agrees(&Spelling::of(&text, &instruction)) {
            return Err(wrong(format!(
                "the bytes mean `{text}`, but the text says `{}`",
                row.text
            )));
        }
        let named = listed.operands.iter().find_map(|operand| match operand {
            Operand::Target(address, Some(place)) => Some((place.clone(), *address)),
            Operand::Memory(memory) => Some((memory.place.clone()?, memory.displacement)),
            _ => None,
        });
        Ok(Decoded {
            row,
            instruction,
            named,
        })
    }
}
