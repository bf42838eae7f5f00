//! `own.uf` is what `uf` would print of the code of `own.s`.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    process::Command,
};

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, MasmFormatter, MemorySizeOptions, Mnemonic,
};
use object::{Object, ObjectSection, ObjectSymbol};

/// Where the section lies in the listing.
const BASE: u64 = 0xffff_f802_2000_0000;
/// From here on there are only the names of what is not listed.
const UNLISTED: u64 = BASE + 0x2_0000;

#[test]
fn own_uf_is_the_listing_of_own_s() {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let object = made.join("own.o");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/own.s");
    // The linker of every Rust program on this system comes with it.
    let status = Command::new("as").arg("-o").arg(&object).arg(source).status();
    assert!(status.expect("GNU as is not there").success());

    let listing = listing(&fs::read(object).unwrap());
    let file = made.join("own.uf");
    fs::write(&file, &listing).unwrap();
    assert!(
        listing == include_str!("own.uf"),
        "own.s has another listing now: look at {}, and put it in own.uf's place",
        file.display()
    );
}

fn listing(object: &[u8]) -> String {
    let object = object::File::parse(object).unwrap();
    let text = object.section_by_name(".text").unwrap();
    let named = object.symbols().filter_map(|symbol| {
        let name = symbol.name().ok()?.to_owned();
        // The others are places inside of routines.
        name.starts_with(|c: char| c.is_ascii_uppercase())
            .then(|| (BASE + symbol.address(), name))
    });
    let program = Program {
        code: text.data().unwrap(),
        symbols: named.collect(),
    };
    let mut text = "Our own routines, for tests; own.s is their source.\n".to_owned();
    for (entry, name) in program.symbols.range(..UNLISTED) {
        let _ = write!(text, "\n\n0: kd> uf nt!{name}\n");
        program.list(*entry, &mut text);
    }
    text
}

struct Program<'a> {
    code: &'a [u8],
    symbols: BTreeMap<u64, String>,
}

impl Program<'_> {
    /// The instructions that a routine reaches without going to another's beginning, and where it branches to.
    fn reached(&self, entry: u64) -> (BTreeMap<u64, Instruction>, BTreeSet<u64>) {
        let mut rows = BTreeMap::new();
        let mut targets = BTreeSet::from([entry]);
        let mut work = vec![entry];
        while let Some(address) = work.pop() {
            if rows.contains_key(&address) || address != entry && self.symbols.contains_key(&address) {
                continue;
            }
            let at = usize::try_from(address - BASE).unwrap();
            let instruction = Decoder::with_ip(64, &self.code[at..], address, DecoderOptions::NONE).decode();
            rows.insert(address, instruction);
            let flow = instruction.flow_control();
            if is_branch(flow) {
                targets.insert(instruction.near_branch_target());
                work.push(instruction.near_branch_target());
            }
            if !matches!(flow, FlowControl::UnconditionalBranch | FlowControl::Return) {
                work.push(instruction.next_ip());
            }
        }
        (rows, targets)
    }

    fn list(&self, entry: u64, text: &mut String) {
        let (rows, targets) = self.reached(entry);
        let mut falls_through = false;
        for (address, instruction) in &rows {
            if !falls_through || targets.contains(address) {
                if *address != entry {
                    text.push('\n');
                }
                let _ = writeln!(text, "{}:", self.place(entry, *address));
            }
            let at = usize::try_from(address - BASE).unwrap();
            let mut bytes = String::new();
            for byte in &self.code[at..at + instruction.len()] {
                let _ = write!(bytes, "{byte:02x}");
            }
            let row = self.row(entry, instruction);
            let _ = writeln!(text, "{} {bytes:15} {row}", spelled(*address));
            falls_through = matches!(instruction.flow_control(), FlowControl::Next | FlowControl::Call);
        }
    }

    /// `nt!ExSomething`, or `nt!ExSomething+0x21` for a place in the routine that is listed.
    fn place(&self, entry: u64, address: u64) -> String {
        match self.symbols.get(&address) {
            Some(name) => format!("nt!{name}"),
            None => format!("nt!{}+{:#x}", self.symbols[&entry], address - entry),
        }
    }

    fn row(&self, entry: u64, instruction: &Instruction) -> String {
        let mut formatter = MasmFormatter::new();
        let options = formatter.options_mut();
        options.set_first_operand_char_index(8);
        options.set_memory_size_options(MemorySizeOptions::Always);
        options.set_show_branch_size(false);
        options.set_rip_relative_addresses(false);
        let mut row = String::new();
        formatter.format(instruction, &mut row);
        let named = |address| format!("{} ({})", self.place(entry, address), spelled(address));
        let flow = instruction.flow_control();
        if is_branch(flow) || flow == FlowControl::Call {
            let mnemonic = row.split_whitespace().next().unwrap_or_default();
            let remark = if is_branch(flow) { "  Branch" } else { "" };
            return format!("{mnemonic:8}{}{remark}", named(instruction.near_branch_target()));
        }
        if instruction.is_ip_rel_memory_operand() {
            let (before, rest) = row.split_once('[').unwrap();
            let (_, after) = rest.split_once(']').unwrap();
            return format!("{before}[{}]{after}", named(instruction.ip_rel_memory_address()));
        }
        // The debugger prints some implied operands, and does not print others. All divisions here are of EDX:EAX.
        match instruction.mnemonic() {
            Mnemonic::Div => row.replacen("div     ", "div     eax,", 1),
            Mnemonic::Monitorx | Mnemonic::Mwaitx => row.split_whitespace().take(1).collect(),
            _ => row,
        }
    }
}

fn is_branch(flow: FlowControl) -> bool {
    matches!(
        flow,
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
    )
}

/// An address as the debugger writes it.
fn spelled(address: u64) -> String {
    format!("{:08x}`{:08x}", address >> 32, address & 0xffff_ffff)
}
