//! Which instructions of the driver the machine has to watch: the reads of CR8 in the functions that the user names.

use crate::driver::DriverFile;
use crate::symbols::DriverSymbols;
use iced_x86::{Code, Decoder, DecoderOptions, Register};
use object::{Object, ObjectSection};

/// How many instructions can be watched at once: a processor has four breakpoint registers, DR0 to DR3.
pub const MAXIMUM: usize = 4;

/// The addresses, relative to the image base, of every `mov r64, cr8` in a function whose name contains `pattern`; code that was inlined counts
/// as the function that it came from as well as the one that it went to.
///
/// # Errors
/// One line if the PDB cannot answer, if there is no such instruction, or more than [`MAXIMUM`].
pub fn cr8_reads(driver: &DriverFile, symbols: &DriverSymbols, pattern: &str) -> Result<Vec<u32>, String> {
    let mut reads = Vec::new();
    for function in symbols.functions()? {
        if let Some(code) = code(&driver.bytes, function.start, function.end) {
            let in_function = reads_in(code, function.start.into());
            reads.extend(
                in_function
                    .into_iter()
                    .filter_map(|read| u32::try_from(read).ok()),
            );
        }
    }
    reads.sort_unstable();
    reads.dedup();
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
            "no `mov r64, cr8` in a function whose name contains \"{pattern}\" ({} found elsewhere in {})",
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
                "{count} reads of CR8 in functions whose name contains \"{pattern}\" ({}): a processor can watch {MAXIMUM}; \
                 give --watch-cr8 a longer name",
                places.join(", ")
            ))
        }
    }
}

/// The bytes of a function in the file.
fn code(file: &[u8], start: u32, end: u32) -> Option<&[u8]> {
    let pe = object::read::pe::PeFile64::parse(file).ok()?;
    let address = pe.relative_address_base() + u64::from(start);
    let section = pe
        .sections()
        .find(|s| (s.address()..s.address() + s.size()).contains(&address))?;
    let data = section.data().ok()?;
    let from = usize::try_from(address - section.address()).ok()?;
    data.get(from..from + usize::try_from(end.checked_sub(start)?).ok()?)
}

/// The addresses of every `mov r64, cr8` in code that lies at `start`.
pub(crate) fn reads_in(code: &[u8], start: u64) -> Vec<u64> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    decoder
        .iter()
        .filter(|i| i.code() == Code::Mov_r64_cr && i.op1_register() == Register::CR8)
        .map(|i| i.ip())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_of_cr8_count() {
        let code = [
            0x44, 0x0F, 0x20, 0xC0, // mov rax, cr8
            0x0F, 0x20, 0xD8, // mov rax, cr3
            0x44, 0x0F, 0x22, 0xC1, // mov cr8, rcx
            0x45, 0x0F, 0x20, 0xC1, // mov r9, cr8
            0xC3,
        ];
        assert_eq!(reads_in(&code, 0x1000), [0x1000, 0x100B]);
    }
}
