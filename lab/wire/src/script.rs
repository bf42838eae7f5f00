//! A script that the machine carries out by itself: requests in order, with bytes of earlier answers put into later ones. A run that
//! nobody outside talks to can be repeated exactly.

use crate::codec::{Put, Reader, Result, length_u32};
use alloc::vec::Vec;

/// Bytes of a frame that come from an earlier step's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Where in the frame.
    pub offset: u32,
    /// Which step's output, from 0.
    pub step: u32,
    /// Where in the output.
    pub from: u32,
    /// How many bytes.
    pub length: u32,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// Milliseconds to sleep before it.
    pub sleep: u32,
    /// Whether the next step does not wait for its answer.
    pub pending: bool,
    /// The request's frame; empty for a step that only sleeps.
    pub frame: Vec<u8>,
    /// What is put into it; if the source failed or is too short, the step is left out.
    pub patches: Vec<Patch>,
}

/// The steps' bytes.
#[must_use]
pub fn encode(steps: &[Step]) -> Vec<u8> {
    let mut out = Vec::new();
    for step in steps {
        out.put_u32(step.sleep);
        out.put_flag(step.pending);
        out.put_u32(length_u32(step.frame.len()));
        out.put_bytes(&step.frame);
        out.put_u32(length_u32(step.patches.len()));
        for patch in &step.patches {
            for value in [patch.offset, patch.step, patch.from, patch.length] {
                out.put_u32(value);
            }
        }
    }
    out
}

/// Reads them.
///
/// # Errors
/// [`WireError`](crate::WireError) names the first item that is wrong.
pub fn decode(bytes: &[u8]) -> Result<Vec<Step>> {
    const ITEM: &str = "a script";
    let mut reader = Reader::new(bytes);
    let mut steps = Vec::new();
    while !reader.is_empty() {
        let mut step = Step {
            sleep: reader.u32(ITEM)?,
            pending: reader.flag(ITEM)?,
            ..Step::default()
        };
        let length = reader.u32(ITEM)? as usize;
        step.frame = reader.bytes(length, ITEM)?.to_vec();
        for _ in 0..reader.u32(ITEM)? {
            step.patches.push(Patch {
                offset: reader.u32(ITEM)?,
                step: reader.u32(ITEM)?,
                from: reader.u32(ITEM)?,
                length: reader.u32(ITEM)?,
            });
        }
        steps.push(step);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn round_trip_and_truncation() {
        let steps = vec![
            Step {
                sleep: 5,
                ..Step::default()
            },
            Step {
                pending: true,
                frame: vec![1, 2, 3],
                patches: vec![Patch {
                    offset: 1,
                    step: 0,
                    from: 2,
                    length: 8,
                }],
                ..Step::default()
            },
        ];
        let bytes = encode(&steps);
        assert_eq!(decode(&bytes), Ok(steps));
        assert_eq!(decode(&[]), Ok(vec![]));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
    }
}
