//! Every instruction of the driver with the functions and lines that it comes from.

use crate::driver::{self, DriverFile};
use crate::symbols::{DriverSymbols, Location};
use iced_x86::{Decoder, DecoderOptions};

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its address, relative to the image base.
    pub address: u32,
    /// Where it comes from, the innermost inlined function first.
    pub locations: Vec<Location>,
}

/// The instructions of all functions that the PDB knows, in the order of their addresses.
///
/// # Errors
/// One line if the PDB cannot answer.
pub fn lines(image: &DriverFile, symbols: &DriverSymbols) -> Result<Vec<Line>, String> {
    let mut addresses = Vec::new();
    for function in symbols.functions()? {
        let Some(code) = driver::code(&image.bytes, function.start, function.end) else {
            continue;
        };
        let decoder = Decoder::with_ip(64, code, function.start.into(), DecoderOptions::NONE);
        addresses.extend(
            decoder
                .into_iter()
                .filter_map(|instruction| u32::try_from(instruction.ip()).ok()),
        );
    }
    addresses.sort_unstable();
    addresses.dedup();
    let located = symbols.locate(&addresses);
    let lines = addresses.into_iter().zip(located);
    Ok(lines
        .map(|(address, locations)| Line { address, locations })
        .collect())
}
