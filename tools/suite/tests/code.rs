//! The machine code that the driver tells of itself and of the system.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};
use rundown_abi::{Code, CodeQuery, ObjectKind, Refusal, ioctl};
use rundown_codegen::{
    path,
    rules::{RULES, Rule},
};
use rundown_suite::Machine;

fn rule(probe: &str) -> &'static Rule {
    let rule = RULES.iter().find(|rule| rule.probes.contains(&probe));
    rule.expect("every probe is under a rule")
}

/// The fast path at the start of `bytes`; `None` when they end before it does, as they may at a page's end.
fn fast_path(bytes: &[u8], room: usize) -> Option<Vec<Instruction>> {
    let code: Vec<Instruction> = Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE)
        .into_iter()
        .take_while(|instruction| !instruction.is_invalid())
        .collect();
    let path = path::fast(&code);
    let whole = path
        .last()
        .is_some_and(|last| last.flow_control() == FlowControl::Return);
    (whole || bytes.len() == room).then_some(path)
}

/// By the rules that the probes' code is under.
#[test]
fn ours_is_the_code_of_its_design() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let mut whole = 0;
    for (kind, name) in [
        (ObjectKind::Ours, "plain_strict"),
        (ObjectKind::OursWide, "wide_strict"),
        (ObjectKind::OursCacheAware, "cache_aware_strict"),
    ] {
        let code: Code = machine
            .ask(handle, ioctl::QUERY_CODE, &CodeQuery::new(kind))
            .unwrap();
        assert_eq!(code.kind, kind as u32);
        for (operation, bytes, room) in [
            ("acquire", code.acquire(), code.acquire.len()),
            ("release", code.release(), code.release.len()),
        ] {
            let probe = format!("{name}_{operation}");
            let Some(path) = fast_path(bytes, room) else {
                println!("{probe}: cut at a page's end, after {} bytes", bytes.len());
                continue;
            };
            assert_eq!(
                rule(&probe).broken_by(&path),
                None,
                "{probe}\n{}",
                path::listing(&path)
            );
            whole += 1;
        }
    }
    println!("{whole} of 6 fast paths, each as its rule wants it");
    assert!(whole >= 3, "more than half of them were cut");
    machine.close(handle);
    machine.quit().assert_passed();
}

#[test]
fn every_kind_has_code_and_nothing_else_has() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    for &kind in ObjectKind::ALL {
        let code: Code = machine
            .ask(handle, ioctl::QUERY_CODE, &CodeQuery::new(kind))
            .unwrap();
        for (told, room) in [(code.acquire(), &code.acquire), (code.release(), &code.release)] {
            assert!(!told.is_empty(), "{kind:?}");
            let rest = &room[told.len()..];
            assert!(rest.iter().all(|byte| *byte == 0), "{kind:?}: {rest:02x?}");
        }
    }
    for (query, why) in [
        (
            CodeQuery {
                kind: 0,
                ..CodeQuery::new(ObjectKind::Ours)
            },
            Refusal::Kind,
        ),
        (
            CodeQuery {
                kind: 6,
                ..CodeQuery::new(ObjectKind::Ours)
            },
            Refusal::Kind,
        ),
        (
            CodeQuery {
                reserved: 1,
                ..CodeQuery::new(ObjectKind::Ours)
            },
            Refusal::Reserved,
        ),
    ] {
        let answer: Result<Code, Refusal> = machine.ask(handle, ioctl::QUERY_CODE, &query);
        assert_eq!(answer, Err(why), "{query:?}");
    }
    machine.close(handle);
    machine.quit().assert_passed();
}
