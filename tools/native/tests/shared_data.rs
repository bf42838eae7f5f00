//! `KUSER_SHARED_DATA` by every form of address that the instruction set has, in a process that has no such page.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(unsafe_code, reason = "the word's value is read as C would")]

use std::{cell::Cell, fmt::Write, rc::Rc};

use iced_x86::{Decoder, DecoderOptions, Formatter, MasmFormatter, MemorySizeOptions};
use rundown_native::{Arm, Native, Seam, Settings, Word, on_seam};

/// `UnparkedProcessorCount` lies at 36Ah. Each form leaves it, or its low byte, in RAX, and RSI, RDI and RBX as they were.
const FORMS: [(&str, &str); 9] = [
    // mov rdx,0FFFFF78000000000h; movzx eax,word ptr [rdx+36Ah]
    ("base and displacement", "48ba0000000080f7ffff 0fb7826a030000"),
    // mov rdx,0FFFFF7800000036Ah; movzx eax,word ptr [rdx]
    ("base", "48ba6a03000080f7ffff 0fb702"),
    // mov rdx,0FFFFF78000000000h; movzx eax,word ptr [rdx*1+36Ah]
    ("index alone", "48ba0000000080f7ffff 0fb704156a030000"),
    // mov rdx,0FFFFF78000000000h; mov eax,1B5h; movzx eax,word ptr [rdx+rax*2]
    ("base and index", "48ba0000000080f7ffff b8b5010000 0fb70442"),
    // xor eax,eax; mov al,[0FFFFF7800000036Ah], and the same of two bytes
    ("address in the instruction, a byte", "31c0 a06a03000080f7ffff"),
    (
        "address in the instruction, two bytes",
        "31c0 66a16a03000080f7ffff",
    ),
    // mov eax,[0FFFFF7800000036Ah]; movzx eax,ax
    (
        "address in the instruction, four bytes",
        "a16a03000080f7ffff 0fb7c0",
    ),
    // push rsi; mov rsi,0FFFFF7800000036Ah; xor eax,eax; lods word ptr [rsi]; pop rsi
    ("string", "56 48be6a03000080f7ffff 31c0 66ad 5e"),
    // push rbx; mov rbx,0FFFFF78000000300h; mov eax,6Ah; xlat; pop rbx
    ("table", "53 48bb0003000080f7ffff b86a000000 d7 5b"),
];

/// A listing whose wait reads the field in one form, and stores what it has read into the run-down word.
fn listing(form: &str) -> String {
    let mut formatter = MasmFormatter::new();
    formatter
        .options_mut()
        .set_memory_size_options(MemorySizeOptions::Always);
    let mut text = String::new();
    let mut routine = |name: &str, address: u64, code: &str| {
        let digits: Vec<u8> = code.bytes().filter(u8::is_ascii_hexdigit).collect();
        let code: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        writeln!(text, "nt!{name}:").unwrap();
        for instruction in &mut Decoder::with_ip(64, &code, address, DecoderOptions::NONE) {
            let at = usize::try_from(instruction.ip() - address).unwrap();
            let (ip, mut spelled, mut bytes) = (instruction.ip(), String::new(), String::new());
            formatter.format(&instruction, &mut spelled);
            for byte in &code[at..at + instruction.len()] {
                write!(bytes, "{byte:02x}").unwrap();
            }
            writeln!(
                text,
                "{:08x}`{:08x} {bytes} {spelled}",
                ip >> 32,
                ip & 0xffff_ffff
            )
            .unwrap();
        }
    };
    routine("ExAcquireRundownProtection", 0xffff_f802_1000_1000, "b001 c3");
    routine("ExReleaseRundownProtection", 0xffff_f802_1000_1010, "c3");
    // mov [rcx],rax; ret
    let wait = format!("{form} 488901 c3");
    routine("ExWaitForRundownProtectionRelease", 0xffff_f802_1000_1020, &wait);
    text
}

#[test]
fn every_form_of_address_reads_it() {
    for (form, code) in FORMS {
        let native = Native::load(listing(code).as_bytes()).unwrap_or_else(|error| panic!("{form}: {error}"));
        // SAFETY: one thread waits for it.
        let word = unsafe { Word::new() };
        let looks = Rc::new(Cell::new(0));
        let seen = Rc::clone(&looks);
        let settings = Settings {
            unparked_processors: 0x5a,
            ..Settings::DEFAULT
        };
        settings.with(|| {
            let hook = move |seam| seen.set(seen.get() + u32::from(seam == Seam::UnparkedProcessors));
            on_seam(hook, || native.wait(&word));
        });
        // SAFETY: the word is this function's own, and nobody else has it any more.
        let stored = unsafe { word.as_ptr().read() };
        assert_eq!(stored, 0x5a, "{form}");
        assert_eq!(looks.get(), 1, "{form}");
    }
}

#[test]
fn what_cannot_be_read_here_is_refused_before_it_runs() {
    for (code, what) in [
        // mov eax,[7FFE036Ah]: where user mode has the same data.
        ("8b04256a03fe7f", "the memory at 00000000`7ffe036a"),
        // mov word ptr [0FFFFF7800000036Ah],ax
        ("66a36a03000080f7ffff", "the memory at fffff780`0000036a"),
    ] {
        let error = Native::load(listing(code).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what) && error.lines().count() == 1, "{error}");
    }
}
