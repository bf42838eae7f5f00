//! Frame sizes, from the image's unwind data: what Windows itself walks the stack by.
//!
//! Layouts and codes: <https://learn.microsoft.com/cpp/build/exception-handling-x64>.

use std::collections::BTreeMap;

/// Bytes of a return address.
pub(super) const RETURN_ADDRESS: u32 = 8;

/// A stretch of code with unwind data of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// Where it ends, relative to the image's base.
    pub(super) end: u32,
    /// Where the function that it is a part of begins: itself, unless its unwind data is chained to another's.
    pub(super) function: u32,
    /// Bytes of its frame with the return address.
    pub(super) frame: u32,
    /// Where its prologue ends.
    pub(super) prologue_end: u32,
}

/// The regions of an image by where they begin, from its exception directory. `at` answers with the bytes at an address
/// relative to the image's base, up to the end of the section.
///
/// # Errors
///
/// If the data is malformed, or has a code that is not for a function's frame.
pub(super) fn regions<'a>(
    directory: &[u8],
    at: &impl Fn(u32) -> Option<&'a [u8]>,
) -> Result<BTreeMap<u32, Region>, String> {
    let mut regions = BTreeMap::new();
    for entry in directory.chunks_exact(12) {
        let (begin, end, unwind) = (word(entry, 0)?, word(entry, 4)?, word(entry, 8)?);
        // What the linker leaves of an entry that was dropped.
        if begin == 0 && end == 0 {
            continue;
        }
        let (mut function, mut frame, mut information, mut prologue) = (begin, RETURN_ADDRESS, unwind, 0);
        // A chain ends with the function's first region; a longer one than this is a circle.
        for depth in 0.. {
            if depth == 32 {
                return Err(format!(
                    "the unwind data at {unwind:#x} is chained without an end"
                ));
            }
            let bytes = at(information).ok_or_else(|| outside(information))?;
            let one = Information::parse(bytes)
                .map_err(|what| format!("unwind data at {information:#x}: {what}"))?;
            frame += one.frame;
            if depth == 0 {
                prologue = one.prologue;
            }
            let Some((parent, next)) = one.chained else { break };
            (function, information) = (parent, next);
        }
        let prologue_end = begin + u32::from(prologue);
        let region = Region {
            end,
            function,
            frame,
            prologue_end,
        };
        regions.insert(begin, region);
    }
    Ok(regions)
}

/// An `UNWIND_INFO`.
#[derive(Debug, PartialEq, Eq)]
struct Information {
    /// Bytes that its prologue takes from the stack.
    frame: u32,
    /// Bytes of code in its prologue.
    prologue: u8,
    /// The function and the unwind data that it continues.
    chained: Option<(u32, u32)>,
}

impl Information {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        const CHAINED: u8 = 4;
        let &[head, prologue, count, _, ..] = bytes else {
            return Err("is cut short".into());
        };
        let (version, flags, count) = (head & 7, head >> 3, usize::from(count));
        if version != 1 {
            return Err(format!("version {version}, not 1"));
        }
        let codes = bytes.get(4..4 + 2 * count).ok_or("is cut short")?;
        let frame = frame(codes)?;
        let chained = if flags & CHAINED == 0 {
            None
        } else {
            // Behind the codes, of which there is an even number of slots: the parent's RUNTIME_FUNCTION.
            let parent = bytes.get(4 + 2 * count.next_multiple_of(2)..).unwrap_or_default();
            Some((word(parent, 0)?, word(parent, 8)?))
        };
        Ok(Self {
            frame,
            prologue,
            chained,
        })
    }
}

/// Bytes that the unwind codes take from the stack.
fn frame(codes: &[u8]) -> Result<u32, String> {
    let slot = |index: usize| -> Result<u32, String> {
        let bytes = codes.get(2 * index..2 * index + 2).ok_or("a code is cut short")?;
        Ok(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    };
    let (mut index, mut size) = (0, 0);
    while 2 * index < codes.len() {
        let code = slot(index)? >> 8;
        let (operation, information) = (code & 15, code >> 4);
        let slots = match (operation, information) {
            // UWOP_PUSH_NONVOL
            (0, _) => {
                size += 8;
                1
            }
            // UWOP_ALLOC_LARGE
            (1, 0) => {
                size += 8 * slot(index + 1)?;
                2
            }
            (1, 1) => {
                size += slot(index + 1)? | slot(index + 2)? << 16;
                3
            }
            // UWOP_ALLOC_SMALL
            (2, _) => {
                size += 8 * information + 8;
                1
            }
            // UWOP_SET_FPREG
            (3, _) => 1,
            // UWOP_SAVE_NONVOL, UWOP_SAVE_XMM128, and both _FAR: into what is allocated
            (4 | 8, _) => 2,
            (5 | 9, _) => 3,
            // UWOP_PUSH_MACHFRAME is for interrupts' entries, which a driver has none of.
            (operation, _) => return Err(format!("operation {operation}")),
        };
        index += slots;
    }
    Ok(size)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, String> {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_le_bytes).ok_or_else(|| "is cut short".into())
}

fn outside(address: u32) -> String {
    format!("unwind data at {address:#x}, outside the image")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unwind data by the layout of <https://learn.microsoft.com/cpp/build/exception-handling-x64>: version and flags, bytes
    /// of prologue, slots, no frame register; the slots.
    fn information(flags: u8, slots: &[u16]) -> Vec<u8> {
        let count = u8::try_from(slots.len()).unwrap();
        let slots = slots.iter().flat_map(|slot| slot.to_le_bytes());
        [1 | flags << 3, 20, count, 0].into_iter().chain(slots).collect()
    }

    /// A code: its operation and what it says, at some offset in the prologue.
    const fn code(operation: u16, information: u16) -> u16 {
        7 | operation << 8 | information << 12
    }

    fn bytes(slots: &[u16]) -> Result<u32, String> {
        Ok(Information::parse(&information(0, slots))?.frame)
    }

    #[test]
    fn each_operation_takes_what_it_says() {
        for (slots, taken) in [
            (&[][..], 0),
            (&[code(0, 5)], 8),
            (&[code(2, 0)], 8),
            (&[code(2, 15)], 128),
            (&[code(1, 0), 17], 136),
            (&[code(1, 0), 0xFFFF], 8 * 0xFFFF),
            (&[code(1, 1), 0x5678, 0x1234], 0x1234_5678),
            // Saved into what is allocated: a register, an XMM register, and both far away.
            (&[code(4, 3), 9, code(2, 3)], 32),
            (&[code(8, 6), 9, code(2, 3)], 32),
            (&[code(5, 3), 9, 9, code(2, 3)], 32),
            (&[code(9, 6), 9, 9, code(2, 3)], 32),
            // With a frame pointer: push rbp, push rsi, sub rsp 4096, lea rbp.
            (&[code(3, 0), code(1, 0), 512, code(0, 6), code(0, 5)], 4096 + 16),
        ] {
            assert_eq!(bytes(slots), Ok(taken), "{slots:x?}");
        }
    }

    #[test]
    fn what_is_no_frame_of_a_function_is_refused() {
        // A trap's, one of version 2, one that is not there.
        for operation in [6, 7, 10, 11, 15] {
            assert_eq!(
                bytes(&[code(operation, 0), 0]),
                Err(format!("operation {operation}"))
            );
        }
        for cut in [
            &[1][..],
            &[1, 0, 0],
            &[1, 0, 1, 0],
            &information(0, &[code(1, 0)]),
        ] {
            assert!(
                Information::parse(cut).unwrap_err().contains("cut short"),
                "{cut:x?}"
            );
        }
        let mut later = information(0, &[]);
        later[0] = 2;
        assert_eq!(Information::parse(&later), Err("version 2, not 1".into()));
    }

    #[test]
    fn a_part_adds_to_the_frame_of_its_function() {
        const CHAINED: u8 = 4;
        let whole = information(0, &[code(2, 3)]);
        // One slot, and one for an even number; the function's entry: begin, end, unwind data.
        let mut part = information(CHAINED, &[code(0, 3)]);
        part.extend([0, 0]);
        part.extend(
            [0x1000_u32, 0x1100, 0x5000]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
        // One that is chained to itself.
        let mut circle = information(CHAINED, &[]);
        circle.extend(
            [0x3000_u32, 0x3100, 0x5200]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
        let at = |address| match address {
            0x5000 => Some(&*whole),
            0x5100 => Some(&*part),
            0x5200 => Some(&*circle),
            _ => None,
        };
        let directory = |entries: &[[u32; 3]]| -> Vec<u8> {
            entries
                .iter()
                .flatten()
                .flat_map(|word| word.to_le_bytes())
                .collect()
        };
        let two = directory(&[[0x1000, 0x1100, 0x5000], [0, 0, 0], [0x1100, 0x1180, 0x5100]]);
        let regions = regions(&two, &at).unwrap();
        let expected = [
            (
                0x1000,
                Region {
                    end: 0x1100,
                    function: 0x1000,
                    frame: 8 + 32,
                    prologue_end: 0x1014,
                },
            ),
            (
                0x1100,
                Region {
                    end: 0x1180,
                    function: 0x1000,
                    frame: 8 + 32 + 8,
                    prologue_end: 0x1114,
                },
            ),
        ];
        assert_eq!(regions, BTreeMap::from(expected));
        let circle = directory(&[[0x3000, 0x3100, 0x5200]]);
        assert!(
            super::regions(&circle, &at)
                .unwrap_err()
                .contains("without an end")
        );
        let outside = directory(&[[0x3000, 0x3100, 0x9000]]);
        assert!(
            super::regions(&outside, &at)
                .unwrap_err()
                .contains("outside the image")
        );
    }
}
