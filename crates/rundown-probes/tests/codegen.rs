//! The machine code of the fast paths, from an optimised build of the probes.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::{collections::BTreeMap, env, fs, path::Path, process::Command, sync::OnceLock};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, Mnemonic};
use object::{Object, ObjectSection, ObjectSymbol};

/// Builds the probes with optimisations, whatever this test is built with, and decodes each.
fn probes() -> &'static BTreeMap<String, Vec<Instruction>> {
    static PROBES: OnceLock<BTreeMap<String, Vec<Instruction>>> = OnceLock::new();
    PROBES.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probes");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--bin", "rundown-probes"])
            .args([
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ])
            .arg("--target-dir")
            .arg(&target)
            // What this test is instrumented with is not what is shipped.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the probes do not build");
        let bytes = fs::read(target.join("release/rundown-probes")).expect("the probes were built");
        decode(&bytes)
    })
}

fn decode(bytes: &[u8]) -> BTreeMap<String, Vec<Instruction>> {
    let file = object::File::parse(bytes).expect("an executable");
    let mut probes = BTreeMap::new();
    for symbol in file.symbols() {
        let Some(name) = symbol.name().ok().and_then(|name| name.strip_prefix("probe_")) else {
            continue;
        };
        let section = file
            .section_by_index(symbol.section_index().expect("in a section"))
            .expect("there");
        let code = section
            .data_range(symbol.address(), symbol.size())
            .expect("readable")
            .expect("within the section");
        let decoder = Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE);
        // Two policies with the same code may share one body, reached by a jump: that body is the other's probe.
        probes.insert(name.to_owned(), decoder.into_iter().collect());
    }
    probes
}

/// What is counted in a probe. A cold path is a call or a jump out of it.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    locked: usize,
    prefetchw: usize,
    branches: usize,
    divisions: usize,
}

fn shape(name: &str) -> Shape {
    let code = probes().get(name).unwrap_or_else(|| panic!("no probe {name}"));
    println!("{name}:");
    for instruction in code {
        let mut line = String::new();
        GasFormatter::new().format(instruction, &mut line);
        println!("    {line}");
    }
    let count = |matches: &dyn Fn(&Instruction) -> bool| code.iter().filter(|i| matches(i)).count();
    Shape {
        // An exchange with memory locks without the prefix.
        locked: count(&|i| {
            i.has_lock_prefix() || (i.mnemonic() == Mnemonic::Xchg && i.op_count() == 2 && has_memory(i))
        }),
        prefetchw: count(&|i| i.mnemonic() == Mnemonic::Prefetchw),
        branches: count(&|i| i.flow_control() == FlowControl::ConditionalBranch),
        divisions: count(&|i| matches!(i.mnemonic(), Mnemonic::Div | Mnemonic::Idiv)),
    }
}

fn has_memory(instruction: &Instruction) -> bool {
    instruction
        .op_kinds()
        .any(|kind| kind == iced_x86::OpKind::Memory)
}

fn locked(name: &str) -> Vec<Mnemonic> {
    probes()[name]
        .iter()
        .filter(|instruction| instruction.has_lock_prefix())
        .map(Instruction::mnemonic)
        .collect()
}

const fn plain(branches: usize) -> Shape {
    Shape {
        locked: 1,
        prefetchw: 1,
        branches,
        divisions: 0,
    }
}

const fn wide(branches: usize) -> Shape {
    Shape {
        locked: 1,
        prefetchw: 0,
        branches,
        divisions: 0,
    }
}

#[test]
fn plain_is_one_exchange_and_one_branch() {
    for name in [
        "plain_strict_acquire",
        "plain_parity_acquire",
        "plain_parity_release",
    ] {
        assert_eq!(shape(name), plain(1), "{name}");
        assert_eq!(locked(name), [Mnemonic::Cmpxchg], "{name}");
    }
    // One branch more, which only misuse takes.
    assert_eq!(shape("plain_strict_release"), plain(2));
    assert_eq!(locked("plain_strict_release"), [Mnemonic::Cmpxchg]);
}

#[test]
fn wide_is_one_addition() {
    for name in ["wide_strict_acquire", "wide_parity_acquire"] {
        assert_eq!(shape(name), wide(0), "{name}");
    }
    assert_eq!(shape("wide_parity_release"), wide(1));
    assert_eq!(shape("wide_strict_release"), wide(2));
    for name in [
        "wide_strict_acquire",
        "wide_parity_acquire",
        "wide_strict_release",
        "wide_parity_release",
    ] {
        assert_eq!(locked(name), [Mnemonic::Xadd], "{name}");
    }
}

/// All that a cache-aware operation may consist of, in this order; a call or a jump leaves for a cold path.
const CACHE_AWARE: &[Mnemonic] = &[
    // The processor's number, from thread-local storage.
    Mnemonic::Mov,
    Mnemonic::Cmp,
    Mnemonic::Je,
    Mnemonic::Jne,
    Mnemonic::Cmove,
    Mnemonic::Cmovne,
    // Its reduction to a slot.
    Mnemonic::Jae,
    Mnemonic::Jb,
    // The slot's address.
    Mnemonic::Imul,
    Mnemonic::Add,
    Mnemonic::Lea,
    // The plain operation.
    Mnemonic::Prefetchw,
    Mnemonic::And,
    Mnemonic::Cmpxchg,
    // The frame, for the cold paths' sake.
    Mnemonic::Push,
    Mnemonic::Pop,
    Mnemonic::Sub,
    Mnemonic::Call,
    Mnemonic::Jmp,
    Mnemonic::Ret,
    Mnemonic::Ud2,
];

/// Cache-aware: the processor's number (std's: whether the test claims one, else the C library's), its reduction
/// (a comparison; the division is out of line, for platforms that number their processors with gaps), the slot's address (a multiplication and an addition), and the plain operation.
#[test]
fn cache_aware_is_the_plain_operation_in_a_slot() {
    for name in [
        "cache_aware_strict_acquire",
        "cache_aware_parity_acquire",
        "cache_aware_strict_release",
        "cache_aware_parity_release",
    ] {
        let seen = shape(name);
        assert_eq!((seen.locked, seen.prefetchw, seen.divisions), (1, 1, 0), "{name}");
        // Claimed or real number (or a conditional move); reduced or not; the plain operation's.
        assert!(seen.branches <= 3, "{name}: {} branches", seen.branches);
        assert_eq!(locked(name), [Mnemonic::Cmpxchg], "{name}");
        for instruction in &probes()[name] {
            assert!(
                CACHE_AWARE.contains(&instruction.mnemonic()),
                "{name}: {instruction}"
            );
        }
        let multiplications = probes()[name]
            .iter()
            .filter(|instruction| instruction.mnemonic() == Mnemonic::Imul)
            .count();
        assert_eq!(multiplications, 1, "{name}");
    }
}
