//! Who called whom on a dumped stack.
//!
//! A stack goes through two kinds of code: the driver's, which `.pdata` and `.xdata` describe, and the kernel's, which `.debug_frame`
//! does. `framehop` follows both. Where it loses its way, or the driver has no tables, every word that is a plausible return address is listed
//! instead, and the report says so.

use crate::symbols::{DriverSymbols, KernelSymbols, Location};
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{FrameAddress, Module, ModuleSectionInfo, Unwinder};
use lab_wire::dump::{Dump, Thread};
use object::{Object, ObjectSection, ObjectSegment};
use std::ops::Range;

/// No stack is deeper than this.
const DEEPEST: usize = 64;
/// Where the kernel's part of the address space begins that its ELF covers.
const KERNEL_BASE: u64 = 0xFFFF_FFFF_8000_0000;

/// How far below the driver's return address the shim's own calls leave theirs: behind five saved registers the one that goes in, behind
/// sixteen more words the export's.
const SHIM_CALLS: [u64; 2] = [(5 + 1) * 8, (5 + 16 + 1) * 8];

/// How a stack was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By the unwind tables: these are the callers.
    Unwound,
    /// By looking at each word: some may be left over from earlier calls.
    Scanned,
}

/// A `.sys`, with whatever symbols there are.
pub struct Image<'a> {
    /// Its file's name: `rundown.sys`.
    pub name: String,
    /// Its file.
    pub bytes: &'a [u8],
    /// Its symbols.
    pub symbols: Option<&'a DriverSymbols>,
}

/// What lay in the machine.
pub struct Images<'a> {
    /// The driver under test.
    pub driver: Image<'a>,
    /// The framework below it, if it is not the lab's own.
    pub framework: Option<Image<'a>>,
    /// The kernel's ELF.
    pub kernel: &'a [u8],
    /// The kernel's symbols.
    pub kernel_symbols: Option<&'a KernelSymbols>,
}

impl<'a> Images<'a> {
    /// Each `.sys` with its base and size in the machine of this report.
    pub fn loaded(&self, dump: &Dump) -> impl Iterator<Item = (&Image<'a>, (u64, u64))> {
        let framework = self.framework.as_ref().map(|image| (image, dump.framework));
        std::iter::once((&self.driver, dump.driver)).chain(framework)
    }

    /// The `.sys` that `address` lies in, and its base.
    fn at(&self, dump: &Dump, address: u64) -> Option<(&Image<'a>, u64)> {
        let mut loaded = self.loaded(dump);
        let found = loaded.find(|(_, (base, size))| address.wrapping_sub(*base) < *size);
        found.map(|(image, (base, _))| (image, base))
    }
}

/// An address on the stack, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// `rundown.sys`, or `nt` for the kernel.
    pub module: String,
    /// The instruction, or the return address.
    pub address: u64,
    /// Relative to the image's base; the address itself in the kernel.
    pub offset: u64,
    /// What is there, the innermost inlined function first.
    pub locations: Vec<Location>,
}

/// The stack of `thread`, innermost first. For the guilty thread (the first) the registers of the report are used.
#[must_use]
pub fn walk(dump: &Dump, thread: &Thread, images: &Images<'_>) -> (Vec<Frame>, Method) {
    let guilty = dump
        .threads
        .first()
        .is_some_and(|first| std::ptr::eq(first, thread));
    let starts = starts(dump, thread, guilty, images.kernel_symbols);
    let tables = Sections::parse(images.driver.bytes)
        .is_some_and(|sections| sections.file.section_by_name(".pdata").is_some());
    let ways = if tables { &starts[..] } else { &[] };
    let longest = ways
        .iter()
        .map(|&start| unwind(dump, thread, start, images))
        .max_by_key(Vec::len)
        .unwrap_or_default();
    let judged = |&(address, _): &(u64, bool)| images.at(dump, address).is_some();
    let (addresses, method) = if longest.iter().any(judged) {
        (longest, Method::Unwound)
    } else {
        let running = guilty || thread.running.0 != 0;
        let interrupted = starts
            .first()
            .filter(|_| running)
            .map(|start| (start.ip(), false));
        let returns = scan(dump, thread, images)
            .into_iter()
            .map(|address| (address, true));
        (interrupted.into_iter().chain(returns).collect(), Method::Scanned)
    };
    let resolved = addresses
        .into_iter()
        .map(|(address, returns)| resolve(dump, address, returns, images));
    (resolved.collect(), method)
}

/// The whole way up from where a thread stood when it ran, the kernel's part too; behind a trap, what is found of the driver by looking.
#[must_use]
pub fn walk_all(dump: &Dump, thread: &Thread, images: &Images<'_>) -> Vec<Frame> {
    let mut addresses: Vec<(u64, bool)> = starts(dump, thread, false, images.kernel_symbols)
        .into_iter()
        .flat_map(|start| unwind(dump, thread, start, images))
        .collect();
    if !addresses
        .iter()
        .any(|&(address, _)| images.at(dump, address).is_some())
    {
        let returns = scan(dump, thread, images);
        addresses.extend(returns.into_iter().map(|address| (address, true)));
    }
    let resolved = addresses.into_iter();
    resolved
        .map(|(address, returns)| resolve(dump, address, returns, images))
        .collect()
}

/// Registers from which the way up may begin.
///
/// After a trap they are those of the interrupted code. Otherwise the thread is inside an export, or was switched away from: the
/// innermost call from the driver is then found by its return address, above which the export shim has saved the
/// driver's RBP (see the kernel's `ldr::export::shim`). The same number may lie on the stack elsewhere too, left over or as a
/// parameter; the kernel's symbols tell the shim's frame from those.
fn starts(
    dump: &Dump,
    thread: &Thread,
    guilty: bool,
    kernel: Option<&KernelSymbols>,
) -> Vec<UnwindRegsX86_64> {
    if guilty
        && let (Some(rip), Some(rsp), Some(rbp)) =
            (dump.register("rip"), dump.register("rsp"), dump.register("rbp"))
    {
        return vec![UnwindRegsX86_64::new(rip, rsp, rbp)];
    }
    if let (rip @ 1.., rbp) = thread.running {
        return vec![UnwindRegsX86_64::new(rip, thread.rsp, rbp)];
    }
    let slots: Vec<u64> = (0..thread.stack.len())
        .filter(|&index| thread.caller != 0 && thread.stack[index] == thread.caller)
        .map(|index| thread.stack_start + index as u64 * 8)
        .collect();
    let of_shim: Vec<u64> = slots
        .iter()
        .copied()
        .filter(|&slot| kernel.is_some_and(|kernel| is_of_shim(thread, slot, kernel)))
        .collect();
    let chosen = if of_shim.is_empty() { slots } else { of_shim };
    let registers = |slot: u64| {
        Some(UnwindRegsX86_64::new(
            thread.caller,
            slot + 8,
            thread.word(slot.checked_sub(8)?)?,
        ))
    };
    chosen.into_iter().filter_map(registers).collect()
}

/// The registers of the driver, by name, where it called the export that the guilty thread failed in: where it goes on, and what the export
/// shim has saved; empty if it is in none.
#[must_use]
pub fn call(dump: &Dump, kernel: Option<&KernelSymbols>) -> Vec<(&'static str, u64)> {
    let Some((thread, start)) = dump
        .threads
        .first()
        .and_then(|thread| Some((thread, starts(dump, thread, true, kernel).into_iter().next()?)))
    else {
        return Vec::new();
    };
    let (rsp, rip, rbp) = (start.sp(), start.ip(), start.bp());
    // Below the return address and RBP, in the order of the shim's pushes.
    let saved = ["rbx", "rsi", "rdi", "r12"];
    let saved = saved.into_iter().enumerate().filter_map(|(index, name)| {
        let below = (index as u64 + 3) * 8;
        Some((name, thread.word(rsp.checked_sub(below)?)?))
    });
    [("rip", rip), ("rsp", rsp), ("rbp", rbp)]
        .into_iter()
        .chain(saved)
        .collect()
}

/// Whether the return address in `slot` is the one that the export shim will take: what the shim called will return into it.
fn is_of_shim(thread: &Thread, slot: u64, kernel: &KernelSymbols) -> bool {
    SHIM_CALLS.iter().any(|below| {
        let returns = slot.checked_sub(*below).and_then(|word| thread.word(word));
        returns
            .map(|address| kernel.locate(address.wrapping_sub(1)))
            .unwrap_or_default()
            .iter()
            .any(|location| {
                let function = location.function.as_deref();
                function.is_some_and(|name| name.contains("ldr::export::shim"))
            })
    })
}

/// Addresses by the unwind tables, as long as they are code; with each whether it is a return address.
fn unwind(
    dump: &Dump,
    thread: &Thread,
    registers: UnwindRegsX86_64,
    images: &Images<'_>,
) -> Vec<(u64, bool)> {
    let mut unwinder = UnwinderX86_64::<Vec<u8>>::new();
    for (image, (base, size)) in images.loaded(dump) {
        if let Some(sections) = Sections::parse(image.bytes) {
            unwinder.add_module(Module::new(image.name.clone(), base..base + size, base, sections));
        }
    }
    if let Some(sections) = Sections::parse(images.kernel) {
        unwinder.add_module(Module::new(
            "nt".into(),
            KERNEL_BASE..u64::MAX,
            KERNEL_BASE,
            sections,
        ));
    }
    let mut cache = CacheX86_64::<_>::new();
    let mut read_stack = |address| thread.word(address).ok_or(());
    // A return address starts the way when the thread is inside an export. That matters: a jump behind the call would
    // otherwise be taken for the end of the function.
    let mut registers = registers;
    let ip = registers.ip();
    let mut next = if ip == thread.caller {
        FrameAddress::from_return_address(ip)
    } else {
        Some(FrameAddress::from_instruction_pointer(ip))
    };
    let mut addresses = Vec::new();
    while let Some(frame) = next.filter(|_| addresses.len() < DEEPEST) {
        let address = frame.address();
        if images.at(dump, address).is_none() && address < KERNEL_BASE && !addresses.is_empty() {
            break;
        }
        addresses.push((address, frame.is_return_address()));
        let caller = unwinder.unwind_frame(frame, &mut registers, &mut cache, &mut read_stack);
        next = caller.ok().flatten().and_then(FrameAddress::from_return_address);
    }
    addresses
}

/// Every word of the stack that is the address behind a call instruction of the driver, or of the framework below it.
fn scan(dump: &Dump, thread: &Thread, images: &Images<'_>) -> Vec<u64> {
    let returns = |&word: &u64| {
        images
            .at(dump, word)
            .is_some_and(|(image, base)| follows_call(image.bytes, word - base))
    };
    let words = thread.stack.iter().copied();
    words.filter(returns).take(DEEPEST).collect()
}

/// Whether a call instruction of the image's code ends at `offset`: `E8 rel32`, or `FF /2` in its lengths of 2 to 7 bytes.
fn follows_call(image: &[u8], offset: u64) -> bool {
    let Ok(file) = object::read::pe::PeFile64::parse(image) else {
        return false;
    };
    let address = file.relative_address_base() + offset;
    file.sections().any(|section| {
        let Ok(data) = section.data() else { return false };
        let Some(end) = address
            .checked_sub(section.address())
            .and_then(|end| usize::try_from(end).ok())
        else {
            return false;
        };
        let Some(before) = data.get(..end) else {
            return false;
        };
        let near = before.len() >= 5 && before[before.len() - 5] == 0xE8;
        let indirect = (2..=7)
            .filter_map(|length| before.get(before.len().checked_sub(length)?..))
            .any(|call| {
                let call = if call[0] & 0xF0 == 0x40 { &call[1..] } else { call };
                matches!(call, [0xFF, modrm, ..] if modrm >> 3 & 7 == 2)
            });
        near || indirect
    })
}

/// What is at `address`; a return address stands for the call before it.
#[must_use]
pub fn resolve(dump: &Dump, address: u64, returns: bool, images: &Images<'_>) -> Frame {
    // A return address may belong to the next line, or even function; the call is before it.
    let probe = if returns {
        address.saturating_sub(1)
    } else {
        address
    };
    if let Some((image, base)) = images.at(dump, address) {
        let probe = u32::try_from(probe.saturating_sub(base)).unwrap_or(u32::MAX);
        let locations = image
            .symbols
            .and_then(|symbols| symbols.locate(&[probe]).pop())
            .unwrap_or_default();
        Frame {
            module: image.name.clone(),
            address,
            offset: address - base,
            locations,
        }
    } else {
        let locations = images
            .kernel_symbols
            .map(|symbols| symbols.locate(probe))
            .unwrap_or_default();
        Frame {
            module: "nt".into(),
            address,
            offset: address,
            locations,
        }
    }
}

/// An image's sections, as the unwinder asks for them.
struct Sections<'a> {
    file: object::File<'a>,
    base: u64,
}

impl<'a> Sections<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let file = object::File::parse(bytes).ok()?;
        let base = if let object::File::Pe64(_) = file {
            file.relative_address_base()
        } else {
            KERNEL_BASE
        };
        Some(Self { file, base })
    }
}

impl ModuleSectionInfo<Vec<u8>> for Sections<'_> {
    fn base_svma(&self) -> u64 {
        self.base
    }

    fn section_svma_range(&mut self, name: &[u8]) -> Option<Range<u64>> {
        let section = self.file.section_by_name_bytes(name)?;
        Some(section.address()..section.address() + section.size())
    }

    fn section_data(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        // The kernel's own code is in .debug_frame only; what lies in .eh_frame is a rest of the core library's.
        if name == b".eh_frame" && self.file.section_by_name(".debug_frame").is_some() {
            return None;
        }
        self.file
            .section_by_name_bytes(name)?
            .data()
            .ok()
            .map(<[u8]>::to_vec)
    }

    fn segment_svma_range(&mut self, name: &[u8]) -> Option<Range<u64>> {
        let segment = self
            .file
            .segments()
            .find(|s| s.name_bytes().ok().flatten() == Some(name))?;
        Some(segment.address()..segment.address() + segment.size())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::driver::tests::minimal_pe;

    /// The smallest PE file with one executable section, `.text` at 0x1000, that holds `code`.
    pub(crate) fn with_code(code: &[u8]) -> Vec<u8> {
        let mut file = minimal_pe();
        file[0x46] = 1; // NumberOfSections
        let header = 0x58 + 240;
        file[header..header + 5].copy_from_slice(b".text");
        file[header + 8..header + 12].copy_from_slice(&0x1000_u32.to_le_bytes()); // VirtualSize
        file[header + 12..header + 16].copy_from_slice(&0x1000_u32.to_le_bytes()); // VirtualAddress
        file[header + 16..header + 20].copy_from_slice(&0x200_u32.to_le_bytes()); // SizeOfRawData
        file[header + 20..header + 24].copy_from_slice(&0x200_u32.to_le_bytes()); // PointerToRawData
        file[0x200..0x200 + code.len()].copy_from_slice(code);
        file
    }

    #[test]
    fn only_addresses_behind_calls_are_taken_from_a_scan() {
        let code = [
            0x90, 0xE8, 1, 2, 3, 4, // 1006: behind call rel32
            0xFF, 0x15, 1, 2, 3, 4, // 100c: behind call [rip+..]
            0x41, 0xFF, 0xD1, // 100f: behind call r9
            0xFF, 0x25, 1, 2, 3, 4, // 1015: behind a jmp
            0x90,
        ];
        let driver = with_code(&code);
        let base = 0xFFFF_F800_1000_0000;
        let dump = Dump {
            driver: (base, 0x3000),
            ..Dump::default()
        };
        let images = Images {
            driver: Image {
                name: "mine.sys".into(),
                bytes: &driver,
                symbols: None,
            },
            framework: None,
            kernel: &[],
            kernel_symbols: None,
        };
        let stack: Vec<u64> = [0x1006, 0x1001, 0x100C, 0x1015, 0x100F, 0x2FFF]
            .iter()
            .map(|o| base + o)
            .chain([5, u64::MAX])
            .collect();
        let thread = Thread {
            stack,
            stack_start: 0x1000,
            ..Thread::default()
        };
        assert_eq!(
            scan(&dump, &thread, &images),
            [base + 0x1006, base + 0x100C, base + 0x100F]
        );
    }

    /// With a framework between the driver and the kernel each address is its own image's.
    #[test]
    fn an_address_is_told_by_the_image_that_it_lies_in() {
        let code = with_code(&[0x90, 0xE8, 1, 2, 3, 4, 0x90]);
        let image = |name: &str| Image {
            name: name.into(),
            bytes: &code,
            symbols: None,
        };
        let images = Images {
            driver: image("mine.sys"),
            framework: Some(image("Wdf01000.sys")),
            kernel: &[],
            kernel_symbols: None,
        };
        let dump = Dump {
            driver: (0xFFFF_F800_1000_0000, 0x3000),
            framework: (0xFFFF_F800_2000_0000, 0x3000),
            ..Dump::default()
        };
        let (in_driver, in_framework) = (dump.driver.0 + 0x1006, dump.framework.0 + 0x1006);
        let thread = Thread {
            stack: vec![in_framework, dump.framework.0 + 0x3006, 7, in_driver],
            ..Thread::default()
        };
        let (frames, method) = walk(&dump, &thread, &images);
        let told: Vec<_> = (frames.iter())
            .map(|frame| (frame.module.as_str(), frame.offset))
            .collect();
        assert_eq!(told, [("Wdf01000.sys", 0x1006), ("mine.sys", 0x1006)]);
        assert_eq!(method, Method::Scanned);
        assert_eq!(resolve(&dump, 0xFFFF_F800_3000_0000, true, &images).module, "nt");
    }

    #[test]
    fn a_thread_inside_an_export_starts_behind_the_shim() {
        let caller = 0xFFFF_F800_1000_1006;
        let dump = Dump {
            driver: (0xFFFF_F800_1000_0000, 0x3000),
            ..Dump::default()
        };
        let thread = Thread {
            caller,
            stack_start: 0x8000,
            stack: vec![1, 2, 0xB0B, caller, 9],
            ..Thread::default()
        };
        let [registers] = starts(&dump, &thread, true, None)[..] else {
            panic!("the call is on the stack once")
        };
        assert_eq!(
            (registers.ip(), registers.sp(), registers.bp()),
            (caller, 0x8020, 0xB0B)
        );
        assert!(starts(&dump, &Thread { caller: 0, ..thread }, true, None).is_empty());
    }
}
