//! What the fast path of each probe may consist of: one table for every image.

use std::ops::RangeInclusive;

use iced_x86::{FlowControl, Instruction, Mnemonic};

use crate::{
    image::Functions,
    path::{self, is_locked},
};

/// What one probe's fast path has to be.
#[derive(Debug)]
pub struct Rule {
    /// The probes' names, without what they all begin with.
    pub probes: &'static [&'static str],
    /// The one locked instruction, or that there is none.
    pub locked: Option<Mnemonic>,
    /// `prefetchw`s.
    pub prefetches: usize,
    /// Conditional branches, none of which is taken.
    pub branches: RangeInclusive<usize>,
    /// Calls at most.
    pub calls: usize,
    /// The whole permitted sequence, in this order. A step may be empty.
    pub steps: &'static [Step],
}

/// A part of a sequence: what it is for, and the instructions that it may consist of.
pub type Step = (&'static str, &'static [Mnemonic]);

use Mnemonic::{
    Add, And, Call, Cmove, Cmovne, Cmp, Cmpxchg, Dec, Imul, Inc, Jae, Jb, Je, Jle, Jne, Lea, Mov, Pop,
    Prefetchw, Push, Ret, Ror, Sete, Shl, Sub, Test, Xadd, Xor,
};

/// The word is fetched, bit 0 of what was read is cleared, and it is exchanged: a failure is the only branch.
const PLAIN: [Step; 4] = [
    ("prefetch", &[Prefetchw]),
    ("expected value", &[Mov, And]),
    ("new value", &[Lea, Mov, Add, Sub]),
    ("exchange", &[Cmpxchg, Jne]),
];

/// Rotated by one, a word that is live with a reference outstanding is positive.
const HELD: Step = ("held", &[Mov, Ror, Test, Jle]);
const RESULT: Step = ("result", &[Mov, Sete]);
const RETURN: Step = ("return", &[Ret]);

/// Every probe is under exactly one rule.
pub const RULES: &[Rule] = &[
    Rule {
        probes: &[
            "plain_strict_acquire",
            "plain_parity_acquire",
            "plain_parity_release",
        ],
        locked: Some(Cmpxchg),
        prefetches: 1,
        branches: 1..=1,
        calls: 0,
        steps: &[PLAIN[0], PLAIN[1], PLAIN[2], PLAIN[3], RESULT, RETURN],
    },
    Rule {
        // One branch more, for misuse and run-down; bit 0 needs no clearing after it.
        probes: &["plain_strict_release"],
        locked: Some(Cmpxchg),
        prefetches: 1,
        branches: 2..=2,
        calls: 0,
        steps: &[PLAIN[0], HELD, PLAIN[2], PLAIN[3], RETURN],
    },
    Rule {
        probes: &["wide_strict_acquire", "wide_parity_acquire"],
        locked: Some(Xadd),
        prefetches: 0,
        branches: 0..=0,
        calls: 0,
        steps: &[("addition", &[Mov, Xadd]), ("result", &[Test, And, Sete]), RETURN],
    },
    Rule {
        probes: &["wide_parity_release"],
        locked: Some(Xadd),
        prefetches: 0,
        branches: 1..=1,
        calls: 0,
        steps: &[("addition", &[Mov, Xadd]), ("bit 0", &[Test, Jne]), RETURN],
    },
    Rule {
        // The same branch, for misuse as well.
        probes: &["wide_strict_release"],
        locked: Some(Xadd),
        prefetches: 0,
        branches: 1..=1,
        calls: 0,
        steps: &[("addition", &[Mov, Xadd]), HELD, RETURN],
    },
    Rule {
        // Claimed or real number (or a conditional move; the driver has no claims); reduced or not; the plain operation's.
        // The division is out of line, for platforms that number their processors with gaps.
        probes: &[
            "cache_aware_strict_acquire",
            "cache_aware_parity_acquire",
            "cache_aware_strict_release",
            "cache_aware_parity_release",
        ],
        locked: Some(Cmpxchg),
        prefetches: 1,
        branches: 1..=3,
        calls: 1,
        steps: &[
            ("frame, for the call's sake", &[Push, Sub, Mov]),
            // std: whether the test claims one, in thread-local storage, else the C library's. NT: its routine's.
            (
                "processor's number",
                &[Mov, Xor, Cmp, Je, Jne, Cmove, Cmovne, Call],
            ),
            // The frame of the division's call may be made here only.
            ("reduction to a slot", &[Push, Mov, Cmp, Jae, Jb]),
            ("slot's address", &[Mov, Imul, Add, Lea]),
            PLAIN[0],
            // No check: only the sum of the slots says how many references there are.
            ("expected value", &[Mov, And]),
            PLAIN[2],
            ("exchange", &[Cmpxchg, Pop, Jne]),
            RESULT,
            ("frame", &[Add, Pop]),
            RETURN,
        ],
    },
    Rule {
        // The cache-aware one's way to the word, and the wide one's addition.
        probes: &["wide_cache_aware_acquire", "wide_cache_aware_release"],
        locked: Some(Xadd),
        prefetches: 0,
        branches: 0..=3,
        calls: 1,
        steps: &[
            ("frame, for the call's sake", &[Push, Sub, Mov]),
            (
                "processor's number",
                &[Mov, Xor, Cmp, Je, Jne, Cmove, Cmovne, Call],
            ),
            ("reduction to a word", &[Push, Mov, Cmp, Jae, Jb]),
            ("word's address", &[Mov, Shl, Add, Lea]),
            ("addition", &[Mov, Xadd]),
            ("bit 0", &[Test, And, Sete, Pop, Jne]),
            ("frame", &[Add, Pop]),
            RETURN,
        ],
    },
    Rule {
        // What the reference is for: nothing is locked, and nothing is called.
        probes: &["dispatch_acquire", "dispatch_release"],
        locked: None,
        prefetches: 0,
        branches: 1..=1,
        calls: 0,
        steps: &[
            ("run-down", &[Mov, Cmp, Test, Jne]),
            ("counter's address", &[Mov, Shl, Add, Lea]),
            ("addition", &[Mov, Inc, Dec, Add, Sub]),
            // What was read once more, for one exit; where it is inlined into a branch, that goes.
            ("result", &[Mov, Test, Sete]),
            RETURN,
        ],
    },
];

/// What is wrong with the probes of an image, each in words; nothing when all is well.
#[must_use]
pub fn faults(probes: &Functions) -> Vec<String> {
    let mut faults = Vec::new();
    for rule in RULES {
        for name in rule.probes {
            match probes.get(*name) {
                None => faults.push(format!("{name}: the image does not have it")),
                Some(code) => faults.extend(
                    rule.broken_by(&path::fast(code))
                        .into_iter()
                        .map(|why| format!("{name}: {why}\n{}", path::listing(code))),
                ),
            }
        }
    }
    let ruled = |name: &&String| RULES.iter().all(|rule| !rule.probes.contains(&name.as_str()));
    faults.extend(
        probes
            .keys()
            .filter(ruled)
            .map(|name| format!("{name}: no rule is for it")),
    );
    faults
}

impl Rule {
    /// Why a fast path breaks it, if it does.
    #[must_use]
    pub fn broken_by(&self, path: &[Instruction]) -> Option<String> {
        let count = |matches: &dyn Fn(&Instruction) -> bool| path.iter().filter(|i| matches(i)).count();
        let locked: Vec<Mnemonic> = path
            .iter()
            .filter(|i| is_locked(i))
            .map(Instruction::mnemonic)
            .collect();
        if locked != self.locked.as_slice() {
            return Some(format!(
                "its locked instructions are {locked:?}, not {:?}",
                self.locked.as_slice()
            ));
        }
        let prefetches = count(&|i| i.mnemonic() == Prefetchw);
        if prefetches != self.prefetches {
            return Some(format!("{prefetches} prefetchw, not {}", self.prefetches));
        }
        let branches = count(&|i| i.flow_control() == FlowControl::ConditionalBranch);
        if !self.branches.contains(&branches) {
            return Some(format!(
                "{branches} conditional branches, not {:?}",
                self.branches
            ));
        }
        let calls = count(&|i| matches!(i.flow_control(), FlowControl::Call | FlowControl::IndirectCall));
        if calls > self.calls {
            return Some(format!("{calls} calls, more than {}", self.calls));
        }
        self.out_of_sequence(path)
    }

    fn out_of_sequence(&self, path: &[Instruction]) -> Option<String> {
        let mut steps = self.steps;
        for instruction in path {
            // An instruction belongs to the step at hand or to a later one.
            let Some(step) = steps
                .iter()
                .position(|(_, permitted)| permitted.contains(&instruction.mnemonic()))
            else {
                let after = steps.first().map_or("its end", |(name, _)| name);
                return Some(format!("{instruction} has no place at or after `{after}`"));
            };
            steps = &steps[step..];
        }
        // A path that ends elsewhere has left for a cold path without a condition.
        let returns = path.last().is_some_and(|last| last.mnemonic() == Ret);
        (!returns).then(|| "it does not return".into())
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    /// `plain_strict_release`, as the compiler made it.
    const RELEASE: &[u8] = &[
        0x0F, 0x0D, 0x09, // prefetchw [rcx]
        0x48, 0x8B, 0x01, // mov rax, [rcx]
        0x48, 0x89, 0xC2, // mov rdx, rax
        0x48, 0xD1, 0xCA, // ror rdx, 1
        0x48, 0x85, 0xD2, // test rdx, rdx
        0x7E, 0x0C, // jle cold
        0x48, 0x8D, 0x50, 0xFE, // lea rdx, [rax - 2]
        0xF0, 0x48, 0x0F, 0xB1, 0x11, // lock cmpxchg [rcx], rdx
        0x75, 0x01, // jne cold
        0xC3, // ret
    ];

    fn check(code: &[u8]) -> Option<String> {
        let code: Vec<Instruction> = Decoder::with_ip(64, code, 0x1000, DecoderOptions::NONE)
            .into_iter()
            .collect();
        RULES[1].broken_by(&path::fast(&code))
    }

    /// The code with the bytes at `at` replaced by others, of any number.
    fn patched(at: std::ops::Range<usize>, bytes: &[u8]) -> Vec<u8> {
        [&RELEASE[..at.start], bytes, &RELEASE[at.end..]].concat()
    }

    #[test]
    fn each_property_has_code_that_breaks_it() {
        assert_eq!(check(RELEASE), None);
        for (code, why) in [
            (patched(0..3, &[]), "0 prefetchw"),
            // prefetcht0 is another instruction.
            (patched(0..3, &[0x0F, 0x18, 0x09]), "0 prefetchw"),
            // The same without its prefix.
            (patched(21..22, &[]), "locked instructions are []"),
            // `lock xadd` in its place.
            (
                patched(21..26, &[0xF0, 0x48, 0x0F, 0xC1, 0x11]),
                "locked instructions are [Xadd]",
            ),
            // A second one, `xchg` with memory, which has no prefix.
            (patched(26..26, &[0x48, 0x87, 0x01]), "[Cmpxchg, Xchg]"),
            (patched(15..15, &[0x74, 0x00]), "3 conditional branches"),
            (patched(15..15, &[0xE8, 0, 0, 0, 0]), "1 calls"),
            // `pause` on the way.
            (patched(15..15, &[0xF3, 0x90]), "pause has no place"),
            // The prefetch after the load.
            (
                patched(0..6, &[0x48, 0x8B, 0x01, 0x0F, 0x0D, 0x09]),
                "has no place",
            ),
            // A jump away instead of the return.
            (patched(28..29, &[0xEB, 0x40]), "has no place"),
            (RELEASE[..28].to_vec(), "does not return"),
        ] {
            let found = check(&code).expect(why);
            assert!(found.contains(why), "{found:?} instead of {why:?}");
        }
    }

    /// `dispatch_release`, as the compiler made it for a driver.
    const WITHOUT_LOCK: &[u8] = &[
        0x48, 0x83, 0x39, 0x00, // cmp qword ptr [rcx], 0
        0x75, 0x0F, // jne cold
        0x8B, 0x02, // mov eax, [rdx]
        0x48, 0xC1, 0xE0, 0x06, // shl rax, 6
        0x48, 0x8B, 0x49, 0x10, // mov rcx, [rcx + 16]
        0x48, 0xFF, 0x0C, 0x01, // dec qword ptr [rcx + rax]
        0xC3, // ret
    ];

    #[test]
    fn a_lock_is_found_where_there_must_be_none() {
        let rule = RULES.last().expect("a rule");
        let check = |code: &[u8]| {
            let code: Vec<Instruction> = Decoder::with_ip(64, code, 0x1000, DecoderOptions::NONE)
                .into_iter()
                .collect();
            rule.broken_by(&path::fast(&code))
        };
        assert_eq!(check(WITHOUT_LOCK), None);
        let locked = [&WITHOUT_LOCK[..16], &[0xF0], &WITHOUT_LOCK[16..]].concat();
        assert!(check(&locked).is_some_and(|why| why.contains("[Dec]")));
        // `xchg` with memory has no prefix.
        let exchanged = [&WITHOUT_LOCK[..16], &[0x48, 0x87, 0x04, 0x01, 0xC3]].concat();
        assert!(check(&exchanged).is_some_and(|why| why.contains("[Xchg]")));
        let called = [&WITHOUT_LOCK[..6], &[0xE8, 0, 0, 0, 0], &WITHOUT_LOCK[6..]].concat();
        assert!(check(&called).is_some_and(|why| why.contains("1 calls")));
    }

    #[test]
    fn each_probe_has_one_rule() {
        let mut names: Vec<&str> = RULES.iter().flat_map(|rule| rule.probes).copied().collect();
        names.sort_unstable();
        let mut expected = Vec::new();
        for kind in ["cache_aware", "plain", "wide"] {
            for policy in ["parity", "strict"] {
                for operation in ["acquire", "release"] {
                    expected.push(format!("{kind}_{policy}_{operation}"));
                }
            }
        }
        for kind in ["dispatch", "wide_cache_aware"] {
            for operation in ["acquire", "release"] {
                expected.push(format!("{kind}_{operation}"));
            }
        }
        expected.sort_unstable();
        assert_eq!(names, expected);
        let none = faults(&Functions::new());
        assert_eq!(
            none.len(),
            expected.len(),
            "an image without probes breaks every rule"
        );
        let stray = Functions::from([("plain_lenient_acquire".to_owned(), Vec::new())]);
        assert!(
            faults(&stray)
                .iter()
                .any(|fault| fault.contains("no rule is for it"))
        );
    }
}
