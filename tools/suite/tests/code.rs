//! The machine code that the driver tells of itself and of the system.

use iced_x86::{Code as Instruction, Decoder, DecoderOptions, FlowControl, Mnemonic};
use rundown_abi::{Code, CodeQuery, ObjectKind, Refusal, ioctl};
use rundown_suite::Machine;

/// The mnemonics of a fast path, with the locked ones told apart: what is executed as long as no branch is taken.
fn fast_path(bytes: &[u8]) -> Vec<(Mnemonic, bool)> {
    let mut path = Vec::new();
    for instruction in Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE) {
        assert_ne!(instruction.code(), Instruction::INVALID, "{bytes:02x?}");
        path.push((instruction.mnemonic(), instruction.has_lock_prefix()));
        if instruction.flow_control() == FlowControl::Return {
            break;
        }
    }
    path
}

#[test]
fn ours_is_the_code_of_its_design() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    for (kind, exchange) in [
        (ObjectKind::Ours, Mnemonic::Cmpxchg),
        (ObjectKind::OursWide, Mnemonic::Xadd),
    ] {
        let code: Code = machine
            .ask(handle, ioctl::QUERY_CODE, &CodeQuery::new(kind))
            .unwrap();
        assert_eq!(code.kind, kind as u32);
        for bytes in [code.acquire(), code.release()] {
            let path = fast_path(bytes);
            let locked: Vec<_> = path.iter().filter(|(_, locked)| *locked).collect();
            assert_eq!(locked, [&(exchange, true)], "{kind:?}: {path:?}");
            println!("{kind:?}: {} bytes told, {path:?}", bytes.len());
        }
    }
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
