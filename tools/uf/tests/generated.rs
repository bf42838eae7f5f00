//! Listings of our own compiled functions, in every variant, whole and damaged.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod support;

use proptest::prelude::*;
use rundown_uf::{Image, Kind, Listing, protection};
use support::{
    specimens::{NAMES, Program},
    writer::{self, Envelope, Variant, Written},
};

fn written(variant: Variant) -> Written {
    writer::write(&Program::this(), &NAMES, variant)
}

#[test]
fn every_variant_gives_back_every_byte() {
    for variant in writer::variants() {
        let Written { code, text } = written(variant);
        let listing = Listing::read(&text).unwrap_or_else(|error| panic!("{variant:?}: {error}\n{text}"));
        for row in listing.rows() {
            assert_eq!(
                code.get(&row.address),
                Some(&row.bytes),
                "{variant:?}: line {}",
                row.line
            );
            // An envelope changes the text; the row has what the debugger printed.
            if variant.envelope == Envelope::None {
                assert!(text.lines().nth(row.line - 1).unwrap().contains(&row.text));
            }
        }
        assert_eq!(listing.rows().count(), code.len());
        for name in NAMES {
            let routine = listing
                .routine(name)
                .unwrap_or_else(|| panic!("{variant:?}: {name}"));
            assert!(code.contains_key(&routine.address));
            assert!(routine.first_line < routine.last_line);
        }
    }
}

#[test]
fn the_image_keeps_distances_and_names_what_is_not_there() {
    let far = Variant {
        far: Some(0x31_0000),
        ..Variant::default()
    };
    let Written { code, text } = written(far);
    let image = Image::new(&Listing::read(&text).unwrap()).unwrap();
    for (address, bytes) in &code {
        let segment = image
            .segments
            .iter()
            .find(|segment| (segment.address..segment.end()).contains(address))
            .unwrap();
        let at = usize::try_from(address - segment.address).unwrap();
        assert_eq!(&segment.bytes[at..at + bytes.len()], bytes);
    }
    let distance = image.segments.last().unwrap().address - image.segments[0].address;
    assert!(distance > 0x30_0000, "a part lies far away: {distance:#x}");
    assert_eq!(image.base % 0x1000, 0);
    assert_eq!(image.end % 0x1000, 0);

    // `specimen_calls` calls a specimen, which is listed, counts its calls, and loads a constant.
    assert!(!image.unlisted().any(|name| name.contains("specimen_acquire")));
    let counter = image
        .references
        .iter()
        .find(|reference| reference.name.contains("CALLS"))
        .unwrap();
    assert!(matches!(counter.kind, Kind::Data(_)), "{counter:?}");
    let alone = writer::write(&Program::this(), &["specimen_calls"], Variant::default()).text;
    let image = Image::new(&Listing::read(&alone).unwrap()).unwrap();
    assert!(image.unlisted().any(|name| name == "nt!specimen_acquire"));
}

#[test]
fn a_file_may_be_utf_16() {
    let Written { code, text } = written(Variant::default());
    for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let bytes: Vec<u8> = "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(to_bytes)
            .collect();
        assert_eq!(Listing::read_bytes(&bytes).unwrap().rows().count(), code.len());
    }
    assert_eq!(
        Listing::read_bytes(text.as_bytes()).unwrap().rows().count(),
        code.len()
    );
}

#[test]
fn every_flipped_bit_of_every_byte_is_found_at_its_line() {
    let mut synonyms = 0;
    let mut found = 0;
    // The reader is the same for all routines: the first two are enough.
    let text = &writer::write(&Program::this(), &NAMES[..2], Variant::default()).text;
    let lines: Vec<&str> = text.lines().collect();
    for row in Listing::read(text).unwrap().rows() {
        for bit in 0..row.bytes.len() * 8 {
            let mut bytes = row.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let old = writer::digits(&row.bytes);
            let new = writer::digits(&bytes);
            // Its address may have the same digits.
            let (address, rest) = lines[row.line - 1].split_once(' ').unwrap();
            let damaged = format!("{address} {}", rest.replacen(&old, &new, 1));
            let text: Vec<&str> = lines
                .iter()
                .enumerate()
                .map(|(i, line)| if i + 1 == row.line { &damaged } else { *line })
                .collect();
            match Listing::read(&text.join("\n")) {
                Err(error) => {
                    assert_eq!(error.line, Some(row.line), "{damaged}: {error}");
                    found += 1;
                }
                // Some instructions have two encodings, and some prefixes and bits mean nothing.
                Ok(_) => synonyms += 1,
            }
        }
    }
    assert!(
        found > 1_000 && synonyms * 20 < found,
        "{found} found, {synonyms} mean the same"
    );
}

#[test]
fn every_missing_row_is_missed() {
    for variant in [
        Variant::default(),
        Variant {
            far: Some(0x31_0000),
            ..Variant::default()
        },
    ] {
        let Written { text, .. } = written(variant);
        let lines: Vec<&str> = text.lines().collect();
        for row in Listing::read(&text).unwrap().rows() {
            let without: Vec<&str> = lines
                .iter()
                .enumerate()
                .filter(|(i, _)| i + 1 != row.line)
                .map(|(_, line)| *line)
                .collect();
            let error = Listing::read(&without.join("\n"))
                .expect_err(lines[row.line - 1])
                .to_string();
            assert!(error.contains("`uf nt!specimen"), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
    }
}

#[test]
fn two_boots_in_one_file_are_found() {
    let Written { text, .. } = written(Variant::default());
    let other = text.replace("fffff802`1", "fffff803`1");
    let error = Listing::read(&[text.as_str(), &other].concat()).unwrap_err();
    assert!(
        error.to_string().contains("from one boot of one build"),
        "{error}"
    );
    // The same twice is fine.
    let twice = Listing::read(&[text.as_str(), &text].concat()).unwrap();
    assert_eq!(twice.rows().count(), Listing::read(&text).unwrap().rows().count());
}

#[test]
fn foreign_listings_are_refused_in_one_line() {
    let arm64 = "nt!X:\nfffff802`10001000 d503237f pacibsp\nfffff802`10001004 d65f0fff retab\n";
    let x86 = "nt!X:\n82801000 8bff            mov     edi,edi\n82801002 c3              ret\n";
    let objdump =
        "0000000140001000 <x>:\n   140001000:\t48 83 ec 28\tsub    $0x28,%rsp\n   140001004:\tc3\tret\n";
    let no_bytes = "nt!X:\nfffff802`10001000 xor     eax,eax\nfffff802`10001002 ret\n";
    for (text, what) in [
        (arm64, "line 2: "),
        (x86, "line 2: this row has a 32-bit address"),
        (objdump, "there is no row"),
        (no_bytes, "line 2: the row has no instruction bytes"),
        ("", "there is no row"),
        (
            "fffff802`10001000 c3 ret",
            "line 1: this row stands under no name",
        ),
        (
            "nt!X:\nnt!Y:\nfffff802`10001000 c3 ret",
            "line 1: no instruction follows nt!X",
        ),
        (
            "nt!X:\nfffff802`10001000 eb10 jmp fffff802`10001012",
            "line 2: this goes to fffff802`10001012",
        ),
    ] {
        let error = Listing::read(text).expect_err(text).to_string();
        assert!(error.starts_with(what), "{error}");
        assert!(error.contains("; ") && error.lines().count() == 1, "{error}");
    }
}

/// Rows as `WinDbg` spells them where iced-x86 spells otherwise.
#[test]
fn windbgs_own_spellings_are_understood() {
    for row in [
        "0f01fa          monitorx rax,rcx,rdx",
        "0f01fb          mwaitx  rax,rcx,rbx",
        "f00fba3100      lock btr dword ptr [rcx],0",
        "0f0d0a          prefetchw [rdx]",
        "f390            pause",
        "f7f3            div     eax,ebx",
        "48f7e1          mul     rax,rcx",
        "440f20c1        mov     rcx,cr8",
        "f348ab          rep stos qword ptr [rdi]",
        "f3a4            rep movs byte ptr [rdi],byte ptr [rsi]",
        "cc              int     3",
        "65488b042588010000 mov   rax,qword ptr gs:[188h]",
        "658b0425a4010000 mov     eax,dword ptr gs:[1A4h]",
        "658b0c25a4010000 mov     ecx,dword ptr gs:[000001A4h]",
        "660f1f440000    nop     word ptr [rax+rax]",
        "4883e1fe        and     rcx,0FFFFFFFFFFFFFFFEh",
        "b9ffffffff      mov     ecx,0FFFFFFFFh",
        "6aff            push    0FFFFFFFFFFFFFFFFh",
        "480f44c1        cmovz   rax,rcx",
        "87d1            xchg    edx,ecx",
        "4084d6          test    sil,dl",
        "488b05f90f0000  mov     rax,qword ptr [nt!Word (fffff802`10002000)]",
        "f20f1005f80f0000 movsd   xmm0,mmword ptr [nt!Word (fffff802`10002000)]",
        // Absolute addresses have no leading zero.
        "48a10800000080f7ffff mov rax,qword ptr [FFFFF78000000008h]",
        "a12003000080f7ffff mov eax,dword ptr [FFFFF78000000320h]",
        "66a16a03000080f7ffff mov ax,word ptr [FFFFF7800000036Ah]",
        "a0d402000080f7ffff mov al,byte ptr [FFFFF780000002D4h]",
        "a0d402000080f7ffff mov al,byte ptr [0FFFFF780000002D4h]",
        // Equal registers have two spellings, others one.
        "4869c010270000  imul    rax,rax,2710h",
        "4869c010270000  imul    rax,2710h",
        "6bc138          imul    eax,ecx,38h",
        // A name of the debugger's own.
        "f604250803fe7f01 test    byte ptr [SharedUserData+0x308 (00000000`7ffe0308)],1",
        "e8fb0f0000      call    nt! ?? ::FNODOBFM::`string'+0x1f2 (fffff802`10002000)",
    ] {
        let text = format!(
            "nt!X:\nfffff802`10001000 {row}\nfffff802`{:08x} c3 ret\n",
            0x1000_1000 + length(row)
        );
        if let Err(error) = Listing::read(&text) {
            panic!("{row}: {error}");
        }
    }
    for row in [
        "0f01fa          mwaitx  rax,rcx,rbx",
        "f00fba3100      btr     dword ptr [rcx],0",
        "f00fba3100      lock btr dword ptr [rcx],1",
        "f00fba3100      lock btr qword ptr [rcx],0",
        "f7f3            div     eax,edx",
        "f348ab          rep stos dword ptr [rdi]",
        "f348ab          stos    qword ptr [rdi]",
        "480f44c1        cmovnz  rax,rcx",
        "488b05f90f0000  mov     rax,qword ptr [nt!Word (fffff802`10002008)]",
        "65488b042588010000 mov   rax,qword ptr fs:[188h]",
        "658b0425a4010000 mov     eax,dword ptr [1A4h]",
        "658b0425a4010000 mov     eax,dword ptr gs:[184h]",
        "658b0425a4010000 mov     eax,word ptr gs:[1A4h]",
        "48a10800000080f7ffff mov rax,qword ptr [FFFFF78000000009h]",
        "66a16a03000080f7ffff mov ax,word ptr [FFFFF7800000036Bh]",
        "4869c010270000  imul    rcx,rax,2710h",
        "6bc138          imul    eax,38h",
        "f604250803fe7f01 test    byte ptr [SharedUserData+0x308 (00000000`7ffe0309)],1",
    ] {
        let text = format!(
            "nt!X:\nfffff802`10001000 {row}\nfffff802`{:08x} c3 ret\n",
            0x1000_1000 + length(row)
        );
        let error = Listing::read(&text).expect_err(row);
        assert_eq!(error.line, Some(2), "{row}");
    }
}

/// A cold block of Windows 7 to 8.1: the linker gave it a name with blanks.
#[test]
fn cold_blocks_have_names_with_blanks() {
    let text = "\
nt!X:
fffff802`10001000 85c9            test    ecx,ecx
fffff802`10001002 0f85f80f0000    jne     nt! ?? ::NNGAKEGL::`string'+0x49631 (fffff802`10002000)  Branch

nt!X+0x8:
fffff802`10001008 c3              ret

nt! ?? ::NNGAKEGL::`string'+0x49631:
fffff802`10002000 90              nop
fffff802`10002001 e902f0ffff      jmp     nt!X+0x8 (fffff802`10001008)  Branch
";
    let listing = Listing::read(text).unwrap();
    assert_eq!(listing.rows().count(), 5);
    assert!(listing.routine("X").is_some());
    let error = Listing::read(&text.replace("90              nop\nfffff802`10002001 ", "")).unwrap_err();
    assert!(error.line.is_some(), "{error}");
}

/// One address, two names: the debugger prints the one that was not asked for. Only its own word makes them one.
#[test]
fn a_routine_has_the_other_name_that_the_debugger_says_it_has() {
    let text = "0: kd> uf nt!ExAsked\nnt!ExPrinted:\nfffff802`10001000 c3              ret\n";
    assert!(Listing::read(text).unwrap().routine("ExAsked").is_none());
    let proven = format!("{text}0: kd> x nt!ExAsked\nfffff802`10001000          nt!ExAsked (void)\n");
    let listing = Listing::read(&proven).unwrap();
    assert_eq!(listing.routine("ExAsked").unwrap().address, 0xffff_f802_1000_1000);
    // Another address, or a routine of that name: nothing is renamed.
    let elsewhere = proven.replace("10001000          nt!", "10001010          nt!");
    assert!(Listing::read(&elsewhere).unwrap().routine("ExAsked").is_none());
    let moved = format!("{elsewhere}nt!ExAsked:\nfffff802`10001020 c3              ret\n");
    assert!(Listing::read(&moved).unwrap_err().to_string().contains("line 5"));
}

#[test]
fn what_was_printed_instead_is_told() {
    let text =
        "0: kd> uf nt!ExAcquireRundownProtection\nnt!ExPrinted:\nfffff802`10001000 c3              ret\n";
    let listing = Listing::read(text).unwrap();
    let error = protection::entries(&listing, &Image::new(&listing).unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "where ExAcquireRundownProtection was asked for, the debugger printed nt!ExPrinted; if both are one routine, add what \
         `x nt!ExAcquireRundownProtection` prints, which says so"
    );
    // What does not follow the command is no answer to it.
    let failed = text.replace("nt!ExPrinted", "Couldn't resolve error at 'nt!ExA'\nnt!ExPrinted");
    let listing = Listing::read(&failed).unwrap();
    let error = protection::entries(&listing, &Image::new(&listing).unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("ExAcquireRundownProtection is not listed"),
        "{error}"
    );
}

/// Each shape has a remedy that helps.
#[test]
fn remedies_fit_what_is_wrong() {
    for (text, what, remedy) in [
        (
            "nt!X:\nfffff802`10001000 0f01fa          ???\n",
            "line 2: this debugger does not know the instruction",
            "newer WinDbg",
        ),
        (
            "nt+0x2c8d80:\nfffff802`10001000 c3              ret\n",
            "line 1: the debugger has no symbols",
            ".reload /f nt",
        ),
        (
            "nt!X:\nfffff802`10001000 31c0            xor     ecx,ecx\n",
            "line 2: the bytes mean `xor eax,eax`",
            "please report the row",
        ),
    ] {
        let error = Listing::read(text).unwrap_err().to_string();
        assert!(error.starts_with(what) && error.contains(remedy), "{error}");
    }
    let export_symbols = "\
*** ERROR: Symbol file could not be found.  Defaulted to export symbols for ntkrnlmp.exe - 
nt!ExAcquireRundownProtection:
fffff802`10001000 488b05f90f0000  mov     rax,qword ptr [nt!PsInitialSystemProcess+0x728 (fffff802`10002000)]
fffff802`10001007 c3              ret
";
    let listing = Listing::read(export_symbols).unwrap();
    let image = Image::new(&listing).unwrap();
    let error = protection::entries(&listing, &image).unwrap_err().to_string();
    assert!(
        error.starts_with("line 1: the debugger has no symbols"),
        "{error}"
    );
}

/// `KUSER_SHARED_DATA` by an address in the instruction can be read and nothing else can.
#[test]
fn memory_at_a_fixed_address_is_the_shared_data_or_refused() {
    for (row, refused) in [
        ("66a16a03000080f7ffff mov ax,word ptr [FFFFF7800000036Ah]", false),
        (
            "48a1f80f000080f7ffff mov rax,qword ptr [FFFFF78000000FF8h]",
            false,
        ),
        ("48a1f90f000080f7ffff mov rax,qword ptr [FFFFF78000000FF9h]", true),
        ("66a36a03000080f7ffff mov word ptr [FFFFF7800000036Ah],ax", true),
        (
            "8b04250803fe7f  mov     eax,dword ptr [SharedUserData+0x308 (00000000`7ffe0308)]",
            true,
        ),
        ("8d042508000000  lea     eax,[8]", false),
    ] {
        let end = 0x1000_1000 + length(row);
        let text = format!("nt!X:\nfffff802`10001000 {row}\nfffff802`{end:08x} c3 ret\n");
        let listing = Listing::read(&text).unwrap_or_else(|error| panic!("{row}: {error}"));
        let image = Image::new(&listing).unwrap();
        let found = protection::unbound(&listing, &image, 0xffff_f802_1000_1000);
        assert_eq!(
            found.is_some_and(|found| found.kind == Kind::Absolute),
            refused,
            "{row}"
        );
    }
}

fn length(row: &str) -> usize {
    row.split_whitespace().next().unwrap().len() / 2
}

/// One piece of damage.
fn damage() -> impl Strategy<Value = (usize, usize, String)> {
    (any::<usize>(), 0..40_usize, "[0-9a-f`!+:\\[\\](), x\n]{0,12}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Listing::read(&text);
    }

    #[test]
    fn no_rows_panic(rows in prop::collection::vec(
        ("(  [0-9]{1,3} |)", "[0-9a-f]{8}`[0-9a-f]{7,8}", "([0-9a-f]{2}){1,8}", "[a-z]{2,5} +[a-z0-9,\\[\\]+*h-]{0,20}"), 0..8)) {
        let rows: Vec<String> = rows.iter().map(|(n, a, b, t)| format!("{n}{a} {b} {t}")).collect();
        let _ = Listing::read(&format!("nt!X:\n{}", rows.join("\n")));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Listing::read_bytes(&bytes);
        let _ = Listing::read_bytes(&[&[0xff, 0xfe], bytes.as_slice()].concat());
    }

    /// A damaged listing is refused at one of its lines, or it still says what it said.
    #[test]
    fn damage_is_found_or_harmless((at, length, with) in damage(), bits in 0..writer::variants().count()) {
        let variant = writer::variants().nth(bits).unwrap();
        let Written { code, mut text } = SPECIMENS.with(|program| writer::write(program, &NAMES[..3], variant));
        let mut start = at % text.len();
        while !text.is_char_boundary(start) { start -= 1; }
        let mut end = (start + length).min(text.len());
        while !text.is_char_boundary(end) { end += 1; }
        text.replace_range(start..end, &with);
        match Listing::read(&text) {
            Err(error) => {
                prop_assert!(error.line.is_none_or(|line| (1..=text.lines().count()).contains(&line)));
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
            Ok(listing) => {
                let same = listing.rows().filter(|row| code.get(&row.address) == Some(&row.bytes)).count();
                // A routine that was lost whole, or moved whole to another address, is not damage that can be seen.
                prop_assert!(same == listing.rows().count(), "{} of {}", same, listing.rows().count());
                let _ = Image::new(&listing);
            }
        }
    }
}

thread_local! {
    static SPECIMENS: Program = Program::this();
}
