//! Writes listings as `uf` does.

use std::{collections::BTreeMap, fmt::Write};

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Decoder, DecoderOptions, FlowControl, Formatter, Instruction,
    InstructionBlock, MasmFormatter, MemorySizeOptions,
};

use super::specimens::Program;

/// Where the listed machine has its kernel.
const SLIDE: u64 = 0xffff_f802_1000_0000;

/// What kind of listing.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent, and all combinations are tried"
)]
pub(crate) struct Variant {
    /// Source files in headers, and source lines before rows.
    pub(crate) sources: bool,
    /// Prompts, fences and sentences in between.
    pub(crate) prose: bool,
    /// Addresses without their backtick.
    pub(crate) plain_addresses: bool,
    /// Lines that end as in a Windows file.
    pub(crate) crlf: bool,
    /// The second half of each routine, from where no instruction falls into it, lies so far away.
    pub(crate) far: Option<u64>,
    /// What a tool made of the text.
    pub(crate) envelope: Envelope,
}

/// What people's tools make of the debugger's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Envelope {
    #[default]
    None,
    /// A byte order mark in front of the first header: PowerShell's `Out-File -Encoding utf8`.
    Mark,
    /// The prompt before each header: commands piped into `kd`.
    Prompts,
    /// A typewriter's apostrophe instead of the backtick, and a word processor's.
    Apostrophe,
    Curly,
    /// HTML's escapes.
    Html,
    /// A terminal's colours.
    Colours,
}

impl Envelope {
    pub(crate) const ALL: [Self; 7] = [
        Self::None,
        Self::Mark,
        Self::Prompts,
        Self::Apostrophe,
        Self::Curly,
        Self::Html,
        Self::Colours,
    ];

    fn around(self, text: &str) -> String {
        let each_line = |change: &dyn Fn(&str) -> String| {
            text.lines().map(|line| change(line) + "\n").collect::<String>()
        };
        match self {
            Self::None => text.to_owned(),
            Self::Mark => format!("\u{feff}{text}"),
            Self::Prompts => each_line(&|line| {
                if line.ends_with(':') && line.contains('!') {
                    format!("0: kd> {line}")
                } else {
                    line.to_owned()
                }
            }),
            Self::Apostrophe => text.replace('`', "'"),
            Self::Curly => text.replace('`', "\u{2019}"),
            Self::Html => text
                .replace('&', "&amp;")
                .replace('`', "&#96;")
                .replace('<', "&lt;")
                .replace('>', "&gt;"),
            Self::Colours => each_line(&|line| format!("\u{1b}[33m{line}\u{1b}[0m")),
        }
    }
}

/// Bytes as `uf` prints them.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// All combinations.
pub(crate) fn variants() -> impl Iterator<Item = Variant> {
    Envelope::ALL.into_iter().flat_map(|envelope| {
        // What an envelope meets are sentences and cold blocks.
        let all = 0..32;
        all.filter(move |bits| envelope == Envelope::None || bits & !(2 | 16) == 0)
            .map(move |bits: u32| Variant {
                sources: bits & 1 != 0,
                prose: bits & 2 != 0,
                plain_addresses: bits & 4 != 0,
                crlf: bits & 8 != 0,
                far: (bits & 16 != 0).then_some(0x31_0000),
                envelope,
            })
    })
}

/// What `uf` was asked to list: the expected bytes by address, and the text.
pub(crate) struct Written {
    pub(crate) code: BTreeMap<u64, Vec<u8>>,
    pub(crate) text: String,
}

pub(crate) fn write(program: &Program, names: &[&str], variant: Variant) -> Written {
    let mut written = Written {
        code: BTreeMap::new(),
        text: String::new(),
    };
    if variant.prose {
        written
            .text
            .push_str("---\ntitle: \"Specimens\"\n---\n\u{201c}Here they are\u{201d}:\n");
    }
    for name in names {
        if variant.prose {
            let _ = write!(written.text, "\nThis one is new.\n```jsx\n0: kd> uf nt!{name}\n");
        }
        routine(program, name, variant, &mut written);
        if variant.prose {
            written.text.push_str("```\n");
        }
    }
    written.text = variant.envelope.around(&written.text);
    if variant.crlf {
        written.text = written.text.replace('\n', "\r\n");
    }
    written
}

fn routine(program: &Program, name: &str, variant: Variant, written: &mut Written) {
    let (start, code) = program.code(name);
    let (start, rows) = (start + SLIDE, instructions(code, start + SLIDE, variant.far));
    let mut targets: Vec<u64> = rows
        .iter()
        .map(|(instruction, _)| instruction.near_branch_target())
        .collect();
    targets.sort_unstable();

    let mut formatter = Text::new(program, name, start, variant, &rows);
    let mut fell_through = false;
    for (line, (instruction, bytes)) in rows.iter().enumerate() {
        let address = instruction.ip();
        if !fell_through || targets.binary_search(&address).is_ok() {
            if line != 0 {
                written.text.push('\n');
            }
            let header = formatter.place(address);
            let source = if variant.sources {
                format!(" [src\\ex\\specimen.c @ {}]", line + 300)
            } else {
                String::new()
            };
            let _ = writeln!(written.text, "{header}{source}:");
        }
        if variant.sources {
            let _ = write!(written.text, "{:5} ", line + 300);
        }
        let digits = digits(bytes);
        let _ = writeln!(
            written.text,
            "{} {digits:15} {}",
            formatter.address(address),
            formatter.row(instruction)
        );
        written.code.insert(address, bytes.clone());
        fell_through = instruction.flow_control() == FlowControl::Next
            || instruction.flow_control() == FlowControl::Call;
    }
    written.text.push('\n');
}

/// The instructions that are reached, with their bytes.
fn instructions(code: &[u8], start: u64, far: Option<u64>) -> Vec<(Instruction, Vec<u8>)> {
    let near: Vec<Instruction> = Decoder::with_ip(64, code, start, DecoderOptions::NONE)
        .into_iter()
        .collect();
    let cut = near
        .iter()
        .enumerate()
        .skip(near.len() / 2)
        .find(|(_, i)| {
            matches!(
                i.flow_control(),
                FlowControl::Return | FlowControl::UnconditionalBranch
            )
        })
        .map_or(near.len(), |(index, _)| index + 1);
    let mut blocks = vec![InstructionBlock::new(&near[..cut], start)];
    if cut < near.len() {
        blocks.push(InstructionBlock::new(
            &near[cut..],
            start + far.unwrap_or(near[cut].ip() - start),
        ));
    }
    let encoded = BlockEncoder::encode_slice(64, &blocks, BlockEncoderOptions::NONE).unwrap();
    let mut rows = BTreeMap::new();
    for block in &encoded {
        for instruction in &mut Decoder::with_ip(64, &block.code_buffer, block.rip, DecoderOptions::NONE) {
            let at = usize::try_from(instruction.ip() - block.rip).unwrap();
            rows.insert(
                instruction.ip(),
                (
                    instruction,
                    block.code_buffer[at..at + instruction.len()].to_vec(),
                ),
            );
        }
    }
    // `uf` lists what it can reach, and no padding.
    let mut reached = BTreeMap::new();
    let mut work = vec![start];
    while let Some(address) = work.pop() {
        let Some(row) = rows.get(&address) else { continue };
        if reached.insert(address, row.clone()).is_some() {
            continue;
        }
        let instruction = &row.0;
        match instruction.flow_control() {
            FlowControl::ConditionalBranch => {
                work.extend([instruction.next_ip(), instruction.near_branch_target()]);
            }
            FlowControl::UnconditionalBranch => work.push(instruction.near_branch_target()),
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                work.push(instruction.next_ip());
            }
            _ => (),
        }
    }
    reached.into_values().collect()
}

struct Text<'a> {
    program: &'a Program,
    name: &'a str,
    start: u64,
    variant: Variant,
    own: Vec<u64>,
    formatter: MasmFormatter,
}

impl<'a> Text<'a> {
    fn new(
        program: &'a Program,
        name: &'a str,
        start: u64,
        variant: Variant,
        rows: &[(Instruction, Vec<u8>)],
    ) -> Self {
        let mut formatter = MasmFormatter::new();
        formatter.options_mut().set_first_operand_char_index(8);
        formatter
            .options_mut()
            .set_memory_size_options(MemorySizeOptions::Always);
        formatter.options_mut().set_show_branch_size(false);
        Self {
            program,
            name,
            start,
            variant,
            own: rows.iter().map(|(instruction, _)| instruction.ip()).collect(),
            formatter,
        }
    }

    fn address(&self, address: u64) -> String {
        let text = format!("{address:016x}");
        if self.variant.plain_addresses {
            text
        } else {
            format!("{}`{}", &text[..8], &text[8..])
        }
    }

    /// `nt!specimen_sum+0x12`.
    fn place(&self, address: u64) -> String {
        let (name, offset) = if self.own.binary_search(&address).is_ok() {
            (self.name.to_owned(), address - self.start)
        } else {
            self.program.name(address - SLIDE)
        };
        if offset == 0 {
            format!("nt!{name}")
        } else {
            format!("nt!{name}+{offset:#x}")
        }
    }

    fn row(&mut self, instruction: &Instruction) -> String {
        let mut text = String::new();
        self.formatter.format(instruction, &mut text);
        let named = |address| format!("{} ({})", self.place(address), self.address(address));
        let target = instruction.near_branch_target();
        if target != 0 {
            let mnemonic = text.split_whitespace().next().unwrap_or_default();
            let branch = if instruction.flow_control() == FlowControl::Call {
                ""
            } else {
                "  Branch"
            };
            text = format!("{mnemonic:8}{}{branch}", named(target));
        } else if instruction.is_ip_rel_memory_operand() {
            let (before, rest) = text.split_once('[').unwrap();
            let (_, after) = rest.split_once(']').unwrap();
            text = format!("{before}[{}]{after}", named(instruction.ip_rel_memory_address()));
        }
        text
    }
}
