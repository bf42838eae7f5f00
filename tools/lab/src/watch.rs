//! Which instructions of the driver the machine has to watch: the reads of CR8, or of the TSC, in the functions that the user names.

use crate::driver::{self, DriverFile};
use crate::symbols::DriverSymbols;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register};
use object::{Object, ObjectSection, SectionKind};

/// How many instructions can be watched at once: a processor has four breakpoint registers, DR0 to DR3.
pub const MAXIMUM: usize = 4;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// `mov r64, cr8`
    Cr8,
    /// `rdtsc`
    Tsc,
}

impl Read {
    const fn name(self) -> &'static str {
        match self {
            Self::Cr8 => "`mov r64, cr8`",
            Self::Tsc => "`rdtsc`",
        }
    }

    fn is(self, instruction: &Instruction) -> bool {
        match self {
            Self::Cr8 => {
                instruction.code() == Code::Mov_r64_cr && instruction.op1_register() == Register::CR8
            }
            Self::Tsc => instruction.code() == Code::Rdtsc,
        }
    }
}

/// The addresses, relative to the image base, of every such read in the driver.
///
/// # Errors
/// One line if the PDB cannot answer.
pub fn all_reads(driver: &DriverFile, symbols: &DriverSymbols, what: Read) -> Result<Vec<u32>, String> {
    let mut reads = Vec::new();
    for function in symbols.functions()? {
        if let Some(code) = driver::code(&driver.bytes, function.start, function.end) {
            let in_function = reads_in(code, function.start.into(), what);
            reads.extend(
                in_function
                    .into_iter()
                    .filter_map(|read| u32::try_from(read).ok()),
            );
        }
    }
    reads.sort_unstable();
    reads.dedup();
    Ok(reads)
}

/// The addresses, relative to the image base, of every such read in a function whose name contains `pattern`; code that was inlined counts
/// as the function that it came from as well as the one that it went to.
///
/// # Errors
/// One line if the PDB cannot answer, if there is no such instruction, or more than [`MAXIMUM`].
pub fn reads(
    driver: &DriverFile,
    symbols: &DriverSymbols,
    pattern: &str,
    what: Read,
) -> Result<Vec<u32>, String> {
    let reads = all_reads(driver, symbols, what)?;
    let located = symbols.locate(&reads);
    let named = |locations: &[crate::symbols::Location]| {
        locations
            .iter()
            .any(|l| l.function.as_ref().is_some_and(|name| name.contains(pattern)))
    };
    let watched: Vec<u32> = reads
        .iter()
        .zip(&located)
        .filter(|(_, locations)| named(locations))
        .map(|(&address, _)| address)
        .collect();
    match watched.len() {
        0 => Err(format!(
            "no {} in a function whose name contains \"{pattern}\" ({} found elsewhere in {})",
            what.name(),
            reads.len(),
            driver.name()
        )),
        1..=MAXIMUM => Ok(watched),
        count => {
            let places: Vec<String> = watched
                .iter()
                .map(|rva| format!("{}+{rva:#x}", driver.name()))
                .collect();
            Err(format!(
                "{count} {} in functions whose name contains \"{pattern}\" ({}): a processor can watch {MAXIMUM}; \
                 give a longer name",
                what.name(),
                places.join(", ")
            ))
        }
    }
}

/// The address, relative to the image base, of the first `mov cr8, r64` in the driver: it raises or lowers the IRQL past the lab.
#[must_use]
pub fn write_of_cr8(driver: &DriverFile) -> Option<u64> {
    let pe = object::read::pe::PeFile64::parse(&*driver.bytes).ok()?;
    pe.sections()
        .filter(|section| section.kind() == SectionKind::Text)
        .find_map(|section| {
            let at = write_in(section.data().ok()?)?;
            Some(section.address() - pe.relative_address_base() + at as u64)
        })
}

/// Where `mov cr8, r64` is: REX with R, 0F 22, and a `ModRM` with register 0. Code and data are not told apart.
fn write_in(code: &[u8]) -> Option<usize> {
    code.windows(4).position(
        |bytes| matches!(bytes, [0x44..=0x47 | 0x4C..=0x4F, 0x0F, 0x22, modrm] if modrm & (7 << 3) == 0),
    )
}

/// The addresses of every such read in code that lies at `start`.
pub(crate) fn reads_in(code: &[u8], start: u64, what: Read) -> Vec<u64> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    decoder.iter().filter(|i| what.is(i)).map(|i| i.ip()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reads_that_are_asked_for_count() {
        let code = [
            0x44, 0x0F, 0x20, 0xC0, // mov rax, cr8
            0x0F, 0x20, 0xD8, // mov rax, cr3
            0x44, 0x0F, 0x22, 0xC1, // mov cr8, rcx
            0x45, 0x0F, 0x20, 0xC1, // mov r9, cr8
            0x0F, 0x31, // rdtsc
            0xC3,
        ];
        assert_eq!(reads_in(&code, 0x1000, Read::Cr8), [0x1000, 0x100B]);
        assert_eq!(reads_in(&code, 0x1000, Read::Tsc), [0x100F]);
        assert_eq!(write_in(&code), Some(7));
        assert_eq!(write_in(&code[8..]), None);
    }
}
