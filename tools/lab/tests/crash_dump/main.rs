//! Crash dumps of the lab's machine in readers that others wrote: the crate `kdmp-parser` here, and with `--ignored` the package of that
//! name in Python's package index and Volatility 3. Not part of a plain `cargo test`: `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test crash_dump`.
//!
//! What they read is compared with what the kernel said on the debug console, which went another way; the stack's words come from both.

#[path = "../client/mod.rs"]
mod client;
#[path = "../images/mod.rs"]
mod images;

use client::{Ended, Lab, artefact, serve};
use kdmp_parser::{Context, Gpa, Gva, Gxa as _, KernelDumpParser};
use lab_wire::code;
use lab_wire::dump::Dump;
use rundown_lab::driver::DriverFile;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PAGE: u64 = 0x1000;
const MACHINE: u64 = 256 << 20;
/// Where the lab keeps pool, and how much of it is searched.
const POOL: u64 = 0xFFFF_A000_0000_0000;
const SEARCHED: u64 = 1 << 10;

/// A machine that ended in a bug check: what it left.
struct Crash {
    folder: tempfile::TempDir,
    report: Dump,
    ended: Ended,
}

impl Crash {
    /// A request to the specimen `device`.
    fn of_specimen(function: u32, options: &[&str]) -> Self {
        Self::run("specimens.sys", options, |lab| {
            let handle = lab.open("open 22334455-6677-8899-0102-030405060708 rw");
            let id = lab.send(&format!("ioctl {handle} {:#x} 8 -", 0x22_0000 | function << 2));
            lab.settle(id, Duration::from_secs(30));
        })
    }

    fn run(driver: &str, options: &[&str], ask: impl FnOnce(&mut Lab)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = serve();
        command.arg("--driver").arg(artefact(driver)).args(options);
        command.arg("--log").arg(folder.path().join("log"));
        command
            .arg("--failure")
            .arg(folder.path().join("mine.failed.json"));
        let mut lab = Lab::ready(&mut command);
        ask(&mut lab);
        let ended = lab.end();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        let report = Dump::parse(&log).expect("it ended in a bug check");
        assert!(report.complete, "{log}");
        Self {
            folder,
            report,
            ended,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("mine.failed.dmp")
    }

    /// In the crate's reader.
    fn open(&self) -> KernelDumpParser {
        KernelDumpParser::new(self.path()).expect("the reader takes the dump")
    }
}

fn read(parser: &KernelDumpParser, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    parser
        .virt_read_exact(Gva::new(address), &mut bytes)
        .ok()
        .map(|()| bytes)
}

fn word(parser: &KernelDumpParser, address: u64) -> u64 {
    let bytes = read(parser, address, 8).unwrap_or_else(|| panic!("{address:#x} is in the dump"));
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn half(parser: &KernelDumpParser, address: u64) -> u64 {
    word(parser, address & !7) >> ((address & 7) * 8) & 0xFFFF_FFFF
}

/// The reader's registers by the names of the kernel's report.
fn registers(context: &Context) -> [(&'static str, u64); 20] {
    [
        ("rip", context.rip),
        ("rsp", context.rsp),
        ("rflags", context.eflags.into()),
        ("rax", context.rax),
        ("rbx", context.rbx),
        ("rcx", context.rcx),
        ("rdx", context.rdx),
        ("rsi", context.rsi),
        ("rdi", context.rdi),
        ("rbp", context.rbp),
        ("r8", context.r8),
        ("r9", context.r9),
        ("r10", context.r10),
        ("r11", context.r11),
        ("r12", context.r12),
        ("r13", context.r13),
        ("r14", context.r14),
        ("r15", context.r15),
        ("cs", context.seg_cs.into()),
        ("ss", context.seg_ss.into()),
    ]
}

/// What every dump has: the bug check, the driver with its PDB's identity, and the guilty stack from the driver's frame up.
fn check(crash: &Crash, parser: &KernelDumpParser, driver: &str) {
    let (report, header) = (&crash.report, parser.headers());
    assert_eq!(header.bug_check_code, report.code);
    assert_eq!(header.bug_check_code_parameters, report.parameters);
    assert_eq!(header.machine_image_type, 0x8664);
    assert_eq!(header.number_processors as usize, report.processors.len());
    assert_eq!(
        header.directory_table_base,
        report.of_machine("cr3").expect("it says so")
    );
    let size = std::fs::metadata(crash.path()).unwrap().len();
    assert_eq!(header.required_dump_space.cast_unsigned(), size);

    let (base, length) = report.driver;
    let modules: Vec<(u64, u64, &str)> = parser
        .kernel_modules()
        .map(|(at, path)| (at.start.u64(), at.end.u64(), path))
        .collect();
    let path = format!(r"\SystemRoot\System32\drivers\{driver}");
    assert!(
        modules.contains(&(base, base + length, path.as_str())),
        "{modules:x?}"
    );
    assert_eq!(modules.len(), 2, "the kernel and the driver: {modules:x?}");
    let file = DriverFile::read(&artefact(driver)).unwrap();
    assert_eq!(read(parser, base, 0x100).unwrap(), file.bytes[..0x100]);
    assert_eq!(identity(parser, base), file.pdb.expect("it has a PDB"));

    let guilty = &report.threads[0];
    let rsp = parser.context_record().rsp;
    let (low, high) = (guilty.low, guilty.high);
    assert!((low..high).contains(&rsp), "{rsp:#x} in {low:#x}..{high:#x}");
    let mut compared = 0;
    for address in (rsp.next_multiple_of(8)..high).step_by(8) {
        let said = guilty.word(address);
        assert_eq!(
            Some(word(parser, address)),
            said,
            "{address:#x}, of the guilty stack"
        );
        compared += 1;
    }
    assert!(compared > 8, "{compared} words");
}

/// GUID and age in the image in memory, by its headers (PE format: debug directory, `CodeView` record `RSDS`).
fn identity(parser: &KernelDumpParser, base: u64) -> ([u8; 16], u32) {
    const DEBUG_DIRECTORY: u64 = 24 + 112 + 6 * 8;
    const CODE_VIEW: u64 = 2;
    let headers = base + half(parser, base + 0x3C);
    let (mut entry, size) = (
        base + half(parser, headers + DEBUG_DIRECTORY),
        half(parser, headers + DEBUG_DIRECTORY + 4),
    );
    let end = entry + size;
    while half(parser, entry + 12) != CODE_VIEW {
        entry += 28;
        assert!(entry < end, "a CodeView record");
    }
    let record = read(parser, base + half(parser, entry + 20), 24).unwrap();
    assert_eq!(record[..4], *b"RSDS");
    let age = u32::from_le_bytes(record[20..].try_into().unwrap());
    (record[4..20].try_into().unwrap(), age)
}

/// Where the debugger data block leads: the processors, each with its thread, its stack and its registers.
fn check_processors(crash: &Crash, parser: &KernelDumpParser) {
    // wdbgexts.h: OwnerTag, and the fields by which a debugger goes on.
    let block = parser.headers().kd_debugger_data_block;
    assert_eq!(read(parser, block + 0x10, 4).unwrap(), b"KDBG");
    let offset = |field: u64| {
        u64::from(u16::from_le_bytes(
            read(parser, block + field, 2).unwrap().try_into().unwrap(),
        ))
    };
    assert_eq!(word(parser, block + 0x48), parser.headers().ps_loaded_module_list);
    let data = word(parser, block + 0x88);
    assert_eq!(word(parser, data), u64::from(crash.report.code));
    let processors = word(parser, block + 0x218);
    for (index, reported) in (0_u64..).zip(&crash.report.processors) {
        let prcb = word(parser, processors + 8 * index);
        assert_eq!(half(parser, prcb + offset(0x2BE)), index);
        let context = prcb + offset(0x2BC);
        assert_eq!(word(parser, prcb + offset(0x338)), context);
        let context = parser.virt_read_struct::<Context>(Gva::new(context)).unwrap();
        let special = prcb + offset(0x2F2);
        assert_eq!(Some(word(parser, special + 0x10)), crash.report.of_machine("cr3"));
        let guilty = &crash.report.threads[0];
        if reported.register("rip").is_some() {
            for (name, value) in registers(&context) {
                assert_eq!(
                    Some(value),
                    reported.register(name),
                    "{name} of processor {index}"
                );
            }
            assert_eq!(
                Some(word(parser, special + 0xA0)),
                reported.register("cr8"),
                "CR8 of processor {index}"
            );
        } else if index != u64::from(guilty.cpu) {
            // A processor that the host did not let run in time.
            assert_eq!(context.rip, 0, "of processor {index}");
        }
        if index == u64::from(guilty.cpu) {
            assert_eq!(context.rsp, parser.context_record().rsp);
            let thread = word(parser, prcb + offset(0x2B4));
            assert_eq!(word(parser, thread + offset(0x29E)), guilty.high, "InitialStack");
            // nt!_KTHREAD: StackLimit and StackBase, which have no field in the block.
            assert_eq!(word(parser, thread + 0x30), guilty.low);
            assert_eq!(word(parser, thread + 0x38), guilty.high);
            let process = word(parser, thread + offset(0x2A0));
            assert_eq!(
                Some(word(parser, process + offset(0x2AE))),
                crash.report.of_machine("cr3"),
                "the process has the machine's page tables"
            );
        }
    }
}

/// The byte behind the IRP: a page fault, whose registers are the driver's at that instruction.
#[test]
fn a_fault_opens_in_a_foreign_reader() {
    let crash = Crash::of_specimen(0x822, &["--cpus", "2"]);
    assert_eq!(crash.report.code, code::PAGE_FAULT_IN_NONPAGED_AREA);
    let parser = crash.open();
    check(&crash, &parser, "specimens.sys");
    check_processors(&crash, &parser);
    for (name, value) in registers(parser.context_record()) {
        assert_eq!(Some(value), crash.report.register(name), "{name}");
    }
    // winnt.h: an access violation has the operation and the address.
    let exception = parser.exception_record();
    assert_eq!(exception.exception_code, 0xC000_0005);
    assert_eq!(Some(exception.exception_address), crash.report.register("rip"));
    assert_eq!(exception.number_parameters, 2);
    let [address, operation, ..] = crash.report.parameters;
    assert_eq!(exception.exception_information[..2], [operation, address]);
    assert!(
        read(&parser, address, 1).is_none(),
        "what was not mapped is not in the dump"
    );
    assert!(
        crash.ended.errors.contains("DUMP:") && crash.ended.errors.contains("mine.failed.dmp"),
        "{:?}",
        crash.ended
    );
}

/// An IRP completed twice: the kernel found it in a call, and the registers are the driver's behind that call.
#[test]
fn a_found_offence_opens_where_the_driver_called() {
    let crash = Crash::of_specimen(0x801, &["--cpus", "1"]);
    assert_eq!(crash.report.code, code::MULTIPLE_IRP_COMPLETE_REQUESTS);
    let parser = crash.open();
    check(&crash, &parser, "specimens.sys");
    check_processors(&crash, &parser);
    let context = parser.context_record();
    assert_eq!(
        Some(context.rip),
        crash.report.register("rip"),
        "the return address"
    );
    assert_eq!(
        word(&parser, context.rsp - 8),
        context.rip,
        "which lies below RSP"
    );
    // The instruction before it is a call: E8, FF 15 through the import's slot, or FF D0 to FF D7 through a register.
    let before = read(&parser, context.rip - 6, 6).unwrap();
    let calls =
        before[1] == 0xE8 || before[..2] == [0xFF, 0x15] || matches!(before[4..], [0xFF, 0xD0..=0xD7]);
    assert!(calls, "{before:x?}");
    // KeBugCheckEx leaves a breakpoint.
    assert_eq!(parser.exception_record().exception_code, 0x8000_0003);
}

#[test]
fn the_scope_says_how_much_memory_there_is() {
    let driver = Crash::of_specimen(0x801, &[]);
    let full = Crash::of_specimen(0x801, &["--dump-scope", "full"]);
    let pages =
        |parser: &KernelDumpParser| -> Vec<u64> { parser.physmem().map(|(page, _)| page.u64()).collect() };
    let all = full.open();
    let machine: Vec<u64> = pages(&all).into_iter().filter(|&page| page < MACHINE).collect();
    assert_eq!(machine.len() as u64, MACHINE / PAGE);
    check(&full, &all, "specimens.sys");
    let comment = |parser: &KernelDumpParser| {
        let comment = parser.headers().comment;
        let end = comment.iter().position(|&byte| byte == 0).unwrap();
        String::from_utf8(comment[..end].to_vec()).unwrap()
    };
    assert!(comment(&all).ends_with("scope full; no code of Windows"));
    let some = driver.open();
    assert!(comment(&some).ends_with("scope driver; no code of Windows"));
    assert!(pages(&some).len() * 4 < machine.len(), "{}", pages(&some).len());
    // The kernel's own code is in the one and not in the other.
    let mut byte = [0];
    let kernel = Gpa::new(1 << 20);
    assert!(all.phys_read_exact(kernel, &mut byte).is_ok());
    assert!(some.phys_read_exact(kernel, &mut byte).is_err());

    let none = Crash::of_specimen(0x801, &["--dump-scope", "none"]);
    assert!(!none.path().exists() && !none.ended.errors.contains("DUMP:"));
}

/// A file that cannot be written is said in one line, and the verdict stands.
#[test]
fn a_dump_that_cannot_be_written_changes_no_verdict() {
    let crash = Crash::of_specimen(0x801, &["--dump", "/nowhere/mine.dmp"]);
    let line = "rundown-lab: cannot write the dump /nowhere/mine.dmp: ";
    assert!(crash.ended.errors.contains(line), "{:?}", crash.ended);
}

/// A wait that is not answered in time ends the machine while the waiter sleeps; `!rundown` finds it in the dump, read by `kdmp-parser`.
#[test]
fn the_extension_reads_a_dump() {
    const REFERENCES: u64 = 0x0bad_cafe;
    let request = |handle: &str, code: u32, capacity: u32, body: &[u32]| {
        let size = u32::try_from(8 + 4 * body.len()).unwrap();
        let words = [size, 3].into_iter().chain(body.iter().copied());
        let input: String = words
            .flat_map(u32::to_le_bytes)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("ioctl {handle} {code:#x} {capacity} {input}")
    };
    let crash = Crash::run("rundown.sys", &["--cpus", "2", "--patience", "2"], |lab| {
        let handle = lab.open("open 5b0ff8a3-6a1d-4a2c-9f6e-8d6c1d2b7e41 rw");
        // An object of ours; its number is the answer's second eight bytes.
        let (status, answer) = lab.ask(&request(&handle, 0x8052_e084, 16, &[1, 0]));
        assert_eq!(status, 0);
        let number = u64::from_str_radix(&answer[16..32], 16).unwrap().swap_bytes();
        let [low, high] = [number & 0xFFFF_FFFF, number >> 32].map(|half| u32::try_from(half).unwrap());
        let references = u32::try_from(REFERENCES).unwrap();
        assert_eq!(
            lab.ask(&request(&handle, 0x8052_e088, 24, &[low, high, references, 0]))
                .0,
            0
        );
        let wait = lab.send(&request(&handle, 0x8052_e090, 32, &[low, high]));
        lab.settle(wait, Duration::from_mins(1));
    });
    assert_eq!(crash.report.code, code::STACK_WAIT_TIMEOUT);
    let parser = crash.open();
    let on_stack = |address: u64| {
        let of = |thread: &&lab_wire::dump::Thread| (thread.low..thread.high).contains(&address);
        crash.report.threads.iter().find(of)
    };
    let (address, block) = (0..SEARCHED)
        .filter_map(|page| Some((POOL + page * PAGE, read(&parser, POOL + page * PAGE, 0x1000)?)))
        .flat_map(|(page, bytes)| {
            let words: Vec<(u64, u64)> = bytes
                .chunks(8)
                .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
                .zip(0..)
                .map(|(word, index)| (page + 8 * index, word))
                .collect();
            words
        })
        .filter(|&(_, found)| found & 1 == 1)
        .find(|&(_, found)| {
            on_stack(found & !1).is_some()
                && read(&parser, found & !1, 8) == Some(REFERENCES.to_le_bytes().to_vec())
        })
        .map(|(address, found)| (address, found & !1))
        .expect("a word in the pool leads to a wait block with that many references");
    let sleeper = word(&parser, block + 0x10);
    let waiter = word(&parser, sleeper + 0x18);
    let thread = on_stack(block).unwrap();
    assert_eq!(waiter, thread.at, "the event's list leads to the stack's thread");
    let memory = [
        (address, read(&parser, address, 8).unwrap()),
        (sleeper, read(&parser, sleeper, 0x30).unwrap()),
        (block, read(&parser, block, 40).unwrap()),
    ];
    let threads = json!([{
        "address": format!("{waiter:#x}"), "process": "System", "processId": 4, "threadId": 4, "state": 5,
        "stackBase": format!("{:#x}", thread.high), "stackLimit": format!("{:#x}", thread.low),
        "kernelStack": format!("{:#x}", thread.low), "startAddress": "0x0"
    }]);
    let headline = format!("waiting: {REFERENCES} references still out, and the waiter sleeps on the event");
    let folder = images::folder("images-of-dumps");
    let sleeper_text = format!("!thread 0x{:08x}`{:08x}", waiter >> 32, waiter & 0xFFFF_FFFF);
    let fields = json!({ "Count": REFERENCES, "sleeper": sleeper_text });
    images::save(
        &folder,
        "dump-waiting",
        &memory,
        json!({ "threads": threads }),
        &images::expect("rundown", address, &headline, &fields),
    );
    let said = images::test(&folder);
    assert!(said.contains("image dump-waiting.json"), "{said}");
}

/// The same dump in two readers of other authors in Python; `RUNDOWN_PYTHON` has both.
#[test]
#[ignore = "needs a Python with kdmp_parser and volatility3, which `cargo xtask test` makes"]
fn a_fault_opens_in_pythons_readers() {
    let crash = Crash::of_specimen(0x822, &["--cpus", "2"]);
    let guilty = &crash.report.threads[0];
    let rsp = crash.report.register("rsp").unwrap();
    let words: Vec<_> = (rsp.next_multiple_of(8)..guilty.high)
        .step_by(8)
        .map(|address| json!([address, guilty.word(address)]))
        .collect();
    let expected = json!({
        "code": crash.report.code,
        "parameters": crash.report.parameters,
        "registers": crash.report.registers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "cr3": crash.report.of_machine("cr3"),
        "driver": { "base": crash.report.driver.0, "size": crash.report.driver.1, "name": "specimens.sys" },
        "stack": words,
    });
    let file = crash.folder.path().join("expected.json");
    std::fs::write(&file, expected.to_string()).unwrap();
    let python = std::env::var_os("RUNDOWN_PYTHON").expect("RUNDOWN_PYTHON names an interpreter");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash_dump/readers.py");
    let (code, said) = client::output(Command::new(python).arg(script).arg(crash.path()).arg(file));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("kdmp_parser: ") && said.contains("volatility3: "),
        "{said}"
    );
}
