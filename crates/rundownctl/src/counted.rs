//! What a machine in the lab can count. Its times say how the emulator translates code, so nothing here is one.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};

use crate::{
    hexadecimal,
    names::{Arm, Workload},
    record::{ArmFigures, Record},
};

/// What was counted of an arm in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted<'a> {
    /// The workload.
    pub workload: Workload,
    /// The arm's own counters.
    pub figures: &'a ArmFigures,
    /// Instructions that all processors together carried out for each operation, the hold and the engine's loop among them; only of a
    /// machine whose clock counts instructions.
    pub carried_out: Option<f64>,
    /// The code of an acquire and its release; only of an arm whose code the driver tells.
    pub path: Option<Path>,
}

/// The code that an acquire and its release run when nobody is in their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its instructions, both returns among them.
    pub instructions: usize,
    /// Those for which the processor locks a line.
    pub locked: usize,
}

/// What was counted in a run, an entry for each arm.
#[must_use]
pub fn of(record: &Record) -> Vec<Counted<'_>> {
    let entry = |figures| Counted {
        workload: record.workload,
        figures,
        carried_out: carried_out(record, figures.arm),
        path: path(record, figures.arm),
    };
    record.arms.iter().map(entry).collect()
}

impl Counted<'_> {
    /// Waits by way out; `None` of the system's routines, which do not tell.
    #[must_use]
    pub fn ways_out(&self) -> Option<[(&'static str, u64); 6]> {
        let tells = !matches!(self.figures.arm, Arm::Native | Arm::NativeCacheAware);
        tells.then(|| self.figures.ways_out.named())
    }
}

/// The time-stamp counter of such a machine is the number of instructions, of whatever processor.
fn carried_out(record: &Record, arm: Arm) -> Option<f64> {
    let turns = || record.turns.iter().filter(|turn| turn.arm == arm);
    let operations: u64 = turns().map(|turn| turn.operations).sum();
    let instructions: u64 = turns().map(|turn| turn.cycles).sum();
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough for one figure")]
    (record.counts_instructions() && operations > 0).then(|| instructions as f64 / operations as f64)
}

fn path(record: &Record, arm: Arm) -> Option<Path> {
    let code = record.code.iter().find(|code| code.arm == arm)?;
    let [acquire, release] = [&code.acquire, &code.release].map(|digits| fast(&hexadecimal::decode(digits)?));
    let (acquire, release) = (acquire?, release?);
    Some(Path {
        instructions: acquire.instructions + release.instructions,
        locked: acquire.locked + release.locked,
    })
}

/// From the first instruction to the return, with no conditional branch taken: the compiler lays what is `#[cold]` out behind one, and
/// `tools/codegen` holds the fast paths to that. `None` if the return is not in the bytes.
fn fast(bytes: &[u8]) -> Option<Path> {
    let mut path = Path {
        instructions: 0,
        locked: 0,
    };
    for instruction in Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE) {
        path.instructions += 1;
        path.locked += usize::from(is_locked(&instruction));
        match instruction.flow_control() {
            FlowControl::Return => return Some(path),
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            _ => return None,
        }
    }
    None
}

/// An exchange with memory locks without the prefix (Intel's manual, volume 2, XCHG).
fn is_locked(instruction: &Instruction) -> bool {
    let memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
    instruction.has_lock_prefix() || (instruction.mnemonic() == Mnemonic::Xchg && memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FastPath, tests::record};

    /// What the driver of this tree told: see docs/rundownctl-report.png.
    const ACQUIRE: &str = "0f0d09488b014883e0fe488d5002f0480fb1117503b001c34889c2e9b0100000";
    const RELEASE: &str = "0f0d09488b014889c248d1ca4885d27e0c488d50fef0480fb1117501c34889c2e9ab110000";

    #[test]
    fn the_path_ends_at_its_return_and_an_exchange_is_locked_without_a_prefix() {
        let fast =
            |digits| fast(&hexadecimal::decode(digits).unwrap()).map(|path| (path.instructions, path.locked));
        assert_eq!(fast(ACQUIRE), Some((8, 1)));
        assert_eq!(fast(RELEASE), Some((10, 1)));
        // xchg [rcx], rax; ret; and xchg rcx, rax; ret.
        assert_eq!(fast("488701c3"), Some((2, 1)));
        assert_eq!(fast("4891c3"), Some((2, 0)));
        for unknown in ["-", "0f0d09", "e9b0100000", "90ff", "e800000000c3"] {
            assert_eq!(fast(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn instructions_are_counted_only_where_they_are_the_clock() {
        let mut record = record(&[Arm::Ours, Arm::Native], |arm, _| {
            if arm == Arm::Ours { 1000 } else { 500 }
        });
        record.code = vec![FastPath {
            arm: Arm::Ours,
            acquire: ACQUIRE.into(),
            release: RELEASE.into(),
        }];
        for (mode, expected) in [("smp", [None, None]), ("counted", [Some(2000.0), Some(4000.0)])] {
            record.lab = Some(mode.into());
            let counted = of(&record);
            assert_eq!(
                [counted[0].carried_out, counted[1].carried_out],
                expected,
                "{mode}"
            );
            let path = Path {
                instructions: 18,
                locked: 2,
            };
            assert_eq!([counted[0].path, counted[1].path], [Some(path), None]);
            assert_eq!(counted[0].ways_out(), Some(counted[0].figures.ways_out.named()));
            assert_eq!(counted[1].ways_out(), None);
        }
    }
}
