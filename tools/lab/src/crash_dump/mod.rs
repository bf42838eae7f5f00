//! A kernel dump of the machine, as Windows leaves one after a bug check: it opens in `WinDbg`.
//!
//! Memory and registers are the machine's own. What Windows' kernel has for debuggers and the lab's has not, the list of modules, control
//! blocks of the processors, the debugger data block, lies in pages that this module appends behind the machine's RAM, and maps where
//! the machine had nothing, by the one entry of its top page table that differs from the machine's. `docs/windbg.md` lists every field.

mod layout;
mod memory;

use crate::stack::{self, Images};
use lab_wire::dump::{Dump, Processor, Thread};
use layout::{Fields, bitmap, context, debugger, header, module, process, processor, special, thread};
pub use memory::Memory;
use memory::{PAGE, PAGE_LENGTH, Page};
use object::LittleEndian as LE;
use object::read::pe::{ImageNtHeaders, PeFile64};
use object::{Object as _, ObjectSegment as _};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// How much of the machine a dump has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the driver can see: its image, pool, stacks and `KUSER_SHARED_DATA`, page tables, and the heap, where wait blocks lie.
    Driver,
    /// All RAM.
    Full,
}

/// Where the kernel puts NT's own routines, when the user has brought some (`mm` there).
const NATIVE: std::ops::Range<u64> = 0xFFFF_F900_0000_0000..0xFFFF_F980_0000_0000;
/// Where the kernel itself begins.
const KERNEL: u64 = 0xFFFF_FFFF_8000_0000;
const DIRECT_MAP: u64 = 0xFFFF_8000_0000_0000;
/// `KUSER_SHARED_DATA`: its interrupt time and system time.
const SHARED_TIMES: (u64, u64) = (0xFFFF_F780_0000_0008, 0xFFFF_F780_0000_0014);
/// The build that the lab's `KUSER_SHARED_DATA` tells, too.
const BUILD: u32 = 19041;
/// Where the appended pages are mapped: a whole entry of the top table that the machine leaves empty.
const APPENDED: u64 = 0xFFFF_FA00_0000_0000;
/// Present, writable, accessed, dirty; and for pages never executable.
const TABLE_BITS: u64 = 0x63;
const DATA_BITS: u64 = TABLE_BITS | 1 << 63;

/// Bug checks of a page fault, with the places of the address and the operation among the parameters.
const PAGE_FAULTS: [(u32, usize, usize); 6] = [
    (0xA, 0, 2),
    (0x50, 0, 1),
    (0xBE, 0, 1),
    (0xD1, 0, 2),
    (0xFC, 0, 1),
    (KMODE_EXCEPTION_NOT_HANDLED, 3, 2),
];
const KMODE_EXCEPTION_NOT_HANDLED: u32 = 0x1E;
const STATUS_BREAKPOINT: u32 = 0x8000_0003;
const STATUS_ACCESS_VIOLATION: u32 = 0xC000_0005;

/// What is dumped.
pub struct CrashDump<'a> {
    /// The kernel's report.
    pub dump: &'a Dump,
    /// The machine's memory.
    pub memory: Memory<'a>,
    /// The files and symbols of what lay in the machine.
    pub images: &'a Images<'a>,
    /// Whether code of Windows' own is on board: NT's, or its framework's.
    pub windows_code: bool,
    /// What of it is written.
    pub scope: Scope,
}

/// The pages that are appended, while they are filled.
struct Appended {
    physical: u64,
    /// From the first of three page tables on; the rest is mapped from [`APPENDED`] on.
    bytes: Vec<u8>,
}

const TABLES: usize = 3 * PAGE_LENGTH;

impl Appended {
    fn new(physical: u64) -> Self {
        Self {
            physical,
            bytes: vec![0; TABLES],
        }
    }

    /// Room for a structure; its virtual address.
    fn reserve(&mut self, size: usize) -> u64 {
        let start = self.bytes.len().next_multiple_of(16);
        self.bytes.resize(start + size, 0);
        APPENDED + (start - TABLES) as u64
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        let start = TABLES + usize::try_from(address - APPENDED).expect("`reserve` gave the address");
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn place(&mut self, bytes: &[u8]) -> u64 {
        let address = self.reserve(bytes.len());
        self.write(address, bytes);
        address
    }

    /// The number of pages, and what the top table has to have for them. All of it fits one page table: 2 MiB.
    fn close(&mut self) -> (u64, u64) {
        let pages = self.bytes.len().div_ceil(PAGE_LENGTH);
        self.bytes.resize(pages * PAGE_LENGTH, 0);
        let [third, second, first] = [0, 1, 2].map(|index| self.physical + index * PAGE);
        let mut entry = |table: usize, index: usize, value: u64| {
            let slot = table * PAGE_LENGTH + index * 8;
            self.bytes[slot..slot + 8].copy_from_slice(&value.to_le_bytes());
        };
        entry(0, 0, second | TABLE_BITS);
        entry(1, 0, first | TABLE_BITS);
        for index in 3..pages {
            entry(2, index - 3, (self.physical + index as u64 * PAGE) | DATA_BITS);
        }
        (pages as u64, third | TABLE_BITS)
    }
}

/// Where the structures lie.
struct Addresses {
    modules: u64,
    processes: u64,
    debugger: u64,
}

/// A module of the list.
struct Module {
    name: String,
    path: String,
    base: u64,
    size: u64,
    /// Entry point, its exception directory's address and size, checksum and time stamp; zeroes for what is no PE image.
    entry: u64,
    exceptions: (u64, u32),
    checksum: u32,
    time: u32,
}

impl CrashDump<'_> {
    /// Writes the dump to `path`, whole or not at all.
    ///
    /// # Errors
    /// One line that says what is missing, or names the file.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let root = self
            .dump
            .of_machine("cr3")
            .ok_or("the kernel's report does not say where its page tables are")?;
        let (mut appended, addresses) = self.appended(root);
        let (count, entry) = appended.close();
        let pages = self.pages(root);
        let cannot = |e: &dyn std::fmt::Display| format!("cannot write the dump {}: {e}", path.display());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::NamedTempFile::new_in(folder).map_err(|e| cannot(&e))?;
        let last = appended.physical / PAGE + count;
        // Whole words of a bitmap, for readers that take it in those.
        let bits = last.next_multiple_of(64);
        let bitmap_size = usize::try_from(bits / 8).map_err(|e| cannot(&e))?;
        let mut bitmap = vec![0; bitmap_size];
        let present = || {
            let behind = (0..count).map(|index| appended.physical + index * PAGE);
            pages.iter().copied().chain(behind)
        };
        for page in present() {
            let bit = usize::try_from(page / PAGE).map_err(|e| cannot(&e))?;
            bitmap[bit / 8] |= 1 << (bit % 8);
        }
        let first = (header::SIZE + bitmap::SIZE + bitmap_size).next_multiple_of(PAGE_LENGTH);
        let total = first as u64 + (pages.len() as u64 + count) * PAGE;
        let mut head = self.header(root, &addresses, (&appended, count), total);
        head.0.resize(first, 0);
        let signature = match self.scope {
            Scope::Driver => b"SDMP",
            Scope::Full => b"FDMP",
        };
        head.put(header::SIZE, signature);
        head.put(header::SIZE + 4, b"DUMP");
        head.u64(header::SIZE + bitmap::HEADER_SIZE, first as u64);
        head.u64(header::SIZE + bitmap::PRESENT_PAGES, pages.len() as u64 + count);
        head.u64(header::SIZE + bitmap::BITS, bits);
        head.put(header::SIZE + bitmap::SIZE, &bitmap);
        let contents = |page: u64| -> Option<Page> {
            if let Some(offset) = page.checked_sub(appended.physical) {
                let start = usize::try_from(offset).ok()?;
                return appended.bytes[start..].first_chunk().copied();
            }
            let mut bytes = self.memory.page(page)?;
            if page == root {
                let slot = usize::try_from(APPENDED >> 39 & 511).ok()? * 8;
                bytes[slot..slot + 8].copy_from_slice(&entry.to_le_bytes());
            }
            Some(bytes)
        };
        let write = |file: &File| -> io::Result<()> {
            file.write_all_at(&head.0, 0)?;
            // A page of zeroes is a hole.
            file.set_len(total)?;
            for (index, page) in (0_u64..).zip(present()) {
                let bytes = contents(page).ok_or(io::ErrorKind::UnexpectedEof)?;
                if bytes.iter().any(|&byte| byte != 0) {
                    file.write_all_at(&bytes, first as u64 + index * PAGE)?;
                }
            }
            Ok(())
        };
        write(file.as_file()).map_err(|e| cannot(&e))?;
        file.persist(path).map_err(|e| cannot(&e.error))?;
        Ok(())
    }

    /// The machine's pages that are written, in order.
    fn pages(&self, root: u64) -> BTreeSet<u64> {
        let runs = self.memory.runs();
        if self.scope == Scope::Full {
            let all = runs
                .iter()
                .flat_map(|&(start, length)| (start..start + length).step_by(PAGE_LENGTH));
            return all.collect();
        }
        let (base, size) = self.dump.framework;
        let framework = base..base + size;
        let mapped = self.memory.mapped(root);
        let mut pages = mapped.tables;
        let seen = mapped
            .pages
            .iter()
            .filter(|(address, _)| !NATIVE.contains(address) && !framework.contains(address))
            .map(|&(_, page)| page);
        pages.extend(seen);
        if let Some((start, size)) = self
            .dump
            .of_machine("heap")
            .zip(self.dump.of_machine("heap_size"))
        {
            let start = start.saturating_sub(DIRECT_MAP) & !(PAGE - 1);
            // What was never used is left out.
            let used = (start..start.saturating_add(size))
                .step_by(PAGE_LENGTH)
                .filter(|&page| {
                    self.memory
                        .page(page)
                        .is_some_and(|bytes| bytes.iter().any(|&byte| byte != 0))
                });
            pages.extend(used);
        }
        pages.retain(|page| {
            runs.iter()
                .any(|(start, length)| (*start..start + length).contains(page))
        });
        pages
    }

    /// The structures that Windows' kernel has for debuggers.
    fn appended(&self, root: u64) -> (Appended, Addresses) {
        let top = self
            .memory
            .runs()
            .last()
            .map_or(0, |(start, length)| start + length);
        let mut appended = Appended::new(top);
        let modules = self.module_list(&mut appended);
        let processes = appended.reserve(16);
        appended.write(processes, &[processes.to_le_bytes(); 2].concat());
        let mut system = Fields::new(process::SIZE);
        system
            .put(0, &[process::OBJECT])
            .u64(process::DIRECTORY_TABLE_BASE, root)
            .u64(process::UNIQUE_PROCESS_ID, process::SYSTEM)
            .put(process::IMAGE_FILE_NAME, b"System");
        let system = appended.place(&system.0);
        let processors: Vec<u64> = self
            .dump
            .processors
            .iter()
            .map(|processor| self.processor(&mut appended, processor, system))
            .collect();
        let block: Vec<u8> = processors.iter().flat_map(|prcb| prcb.to_le_bytes()).collect();
        let block = appended.place(&block);
        let words = |words: &[u64]| {
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let [p1, p2, p3, p4] = self.dump.parameters;
        let bug_check = appended.place(&words(&[self.dump.code.into(), p1, p2, p3, p4]));
        let lab = appended.place(concat!(19041, ".rundown-lab.", env!("CARGO_PKG_VERSION"), "\0").as_bytes());
        let limits =
            [0x7FFF_FFFE_FFFF, DIRECT_MAP, 0x7FFF_FFFF_0000].map(|limit| appended.place(&words(&[limit])));
        let service_pack = appended.place(&words(&[0]));
        let block_address = appended.reserve(debugger::SIZE);
        let mut data = Fields::new(debugger::SIZE);
        data.u64(0, block_address)
            .u64(8, block_address)
            .put(debugger::OWNER_TAG, b"KDBG")
            .u32(debugger::SIZE_FIELD, 0x388)
            .u64(debugger::KERN_BASE, self.kernel().0)
            .u16(debugger::PAGING, debugger::PAGING_OF_X64)
            .u64(debugger::PS_LOADED_MODULE_LIST, modules)
            .u64(debugger::PS_ACTIVE_PROCESS_HEAD, processes)
            .u64(debugger::KI_BUG_CHECK_DATA, bug_check)
            .u64(debugger::MM_HIGHEST_USER_ADDRESS, limits[0])
            .u64(debugger::MM_SYSTEM_RANGE_START, limits[1])
            .u64(debugger::MM_USER_PROBE_ADDRESS, limits[2])
            .u64(debugger::NT_BUILD_LAB, lab)
            .u64(debugger::KI_PROCESSOR_BLOCK, block)
            .u64(debugger::CM_NT_CSD_VERSION, service_pack);
        for (field, value) in debugger::OFFSETS {
            data.u16(field, value);
        }
        appended.write(block_address, &data.0);
        let addresses = Addresses {
            modules,
            processes,
            debugger: block_address,
        };
        (appended, addresses)
    }

    /// Where the lab's kernel lies, by its ELF.
    fn kernel(&self) -> (u64, u64) {
        let Ok(file) = object::File::parse(self.images.kernel) else {
            return (KERNEL, 0);
        };
        let high = || file.segments().filter(|segment| segment.address() >= KERNEL);
        let start = high().map(|segment| segment.address() & !(PAGE - 1)).min();
        let end = high().map(|segment| segment.address() + segment.size()).max();
        let (start, end) = (start.unwrap_or(KERNEL), end.unwrap_or(KERNEL));
        (start, (end - start).next_multiple_of(PAGE))
    }

    fn modules(&self) -> Vec<Module> {
        let (base, size) = self.kernel();
        let kernel = Module {
            name: "ntoskrnl.exe".into(),
            path: r"\SystemRoot\system32\ntoskrnl.exe".into(),
            base,
            size,
            entry: 0,
            exceptions: (0, 0),
            checksum: 0,
            time: 0,
        };
        let mut modules = vec![kernel];
        let loaded = self.images.loaded(self.dump);
        for (image, (base, size)) in loaded.filter(|(_, (base, _))| *base != 0) {
            let name = image.name.clone();
            let file = PeFile64::parse(image.bytes).ok();
            let headers = file.as_ref().map(PeFile64::nt_headers);
            let optional = headers.map(ImageNtHeaders::optional_header);
            let exceptions = file
                .as_ref()
                .and_then(|file| file.data_directory(object::pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION))
                .map(|directory| {
                    let address = directory.virtual_address.get(LE);
                    (base + u64::from(address), directory.size.get(LE))
                });
            modules.push(Module {
                path: format!(r"\SystemRoot\System32\drivers\{name}"),
                name,
                base,
                size,
                entry: optional.map_or(0, |optional| {
                    base + u64::from(optional.address_of_entry_point.get(LE))
                }),
                exceptions: exceptions.unwrap_or_default(),
                checksum: optional.map_or(0, |optional| optional.check_sum.get(LE)),
                time: headers.map_or(0, |headers| headers.file_header().time_date_stamp.get(LE)),
            });
        }
        modules
    }

    /// `PsLoadedModuleList`: its head's address.
    fn module_list(&self, appended: &mut Appended) -> u64 {
        let head = appended.reserve(16);
        let modules = self.modules();
        let entries: Vec<u64> = modules.iter().map(|_| appended.reserve(module::SIZE)).collect();
        let ring: Vec<u64> = std::iter::once(head).chain(entries).collect();
        let around = |index: usize| {
            let next = ring[(index + 1) % ring.len()];
            let previous = ring[(index + ring.len() - 1) % ring.len()];
            [next.to_le_bytes(), previous.to_le_bytes()].concat()
        };
        appended.write(head, &around(0));
        for (index, module) in (1..).zip(&modules) {
            let mut entry = Fields::new(module::SIZE);
            let mut text = |at: usize, text: &str| {
                let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                let length = u16::try_from(units.len()).unwrap_or(0);
                let address = appended.place(&units);
                entry.u16(at, length).u16(at + 2, length).u64(at + 8, address);
            };
            text(module::FULL_DLL_NAME, &module.path);
            text(module::BASE_DLL_NAME, &module.name);
            entry
                .put(0, &around(index))
                .u64(module::EXCEPTION_TABLE, module.exceptions.0)
                .u32(module::EXCEPTION_TABLE_SIZE, module.exceptions.1)
                .u64(module::DLL_BASE, module.base)
                .u64(module::ENTRY_POINT, module.entry)
                .u32(
                    module::SIZE_OF_IMAGE,
                    u32::try_from(module.size).unwrap_or(u32::MAX),
                )
                .u32(module::FLAGS, module::PROCESSED)
                .u16(module::LOAD_COUNT, 1)
                .u32(module::CHECK_SUM, module.checksum)
                .u32(module::TIME_DATE_STAMP, module.time);
            appended.write(ring[index], &entry.0);
        }
        head
    }

    /// A processor's control region and what belongs to it; the address of its `KPRCB`.
    fn processor(&self, appended: &mut Appended, which: &Processor, system: u64) -> u64 {
        let guilty = self.guilty();
        let runs = |thread: &&Thread| thread.cpu == which.number && thread.state == "Running";
        let is_guilty = guilty.is_some_and(|thread| thread.cpu == which.number);
        let running = if is_guilty {
            guilty
        } else {
            self.dump.threads.iter().find(runs)
        };
        let rsp = self.registers(which)("rsp").unwrap_or(0);
        let [current, idle] = [running, None].map(|thread| {
            let mut fields = Fields::new(thread::SIZE);
            fields
                .put(0, &[thread::OBJECT])
                .u64(thread::PROCESS, system)
                .put(thread::STATE, &[thread::RUNNING]);
            if let Some(thread) = thread {
                fields
                    .u64(thread::INITIAL_STACK, thread.high)
                    .u64(thread::STACK_BASE, thread.high)
                    .u64(thread::STACK_LIMIT, thread.low)
                    .u64(thread::KERNEL_STACK, rsp);
            }
            appended.place(&fields.0)
        });
        let current = if running.is_some() { current } else { idle };
        let kpcr = appended.reserve(processor::SIZE);
        let prcb = kpcr + processor::PRCB as u64;
        let irql = self.registers(which)("cr8").unwrap_or(0);
        let mut fields = Fields::new(processor::SIZE);
        fields
            .u64(processor::SELF, kpcr)
            .u64(processor::CURRENT_PRCB, prcb)
            .put(processor::IRQL, &irql.to_le_bytes()[..1])
            .u16(processor::MAJOR_VERSION, 1)
            .u16(processor::MINOR_VERSION, 1);
        let number = which.number;
        let in_prcb = |offset: usize| processor::PRCB + offset;
        fields
            .u64(in_prcb(processor::CURRENT_THREAD), current)
            .u64(in_prcb(processor::IDLE_THREAD), idle)
            .u32(in_prcb(processor::NUMBER), number)
            .put(in_prcb(processor::SPECIAL_REGISTERS), &self.special(which))
            .put(in_prcb(processor::CONTEXT_FRAME), &self.context(which))
            .u64(
                in_prcb(processor::CONTEXT),
                prcb + processor::CONTEXT_FRAME as u64,
            );
        appended.write(kpcr, &fields.0);
        prcb
    }

    fn guilty(&self) -> Option<&Thread> {
        self.dump.threads.first()
    }

    /// The processor that reported.
    fn failing(&self) -> Option<&Processor> {
        let number = self.guilty()?.cpu;
        self.dump
            .processors
            .iter()
            .find(|processor| processor.number == number)
    }

    /// A processor's registers by name. Of the one that failed they are those of the driver: at a fault what the trap interrupted, otherwise
    /// where it had called the kernel.
    fn registers<'s>(&'s self, which: &'s Processor) -> impl Fn(&str) -> Option<u64> + 's {
        let is_failing = self
            .failing()
            .is_some_and(|failing| failing.number == which.number);
        let calls = which.register("rip").is_none() && is_failing;
        let call = if calls {
            stack::call(self.dump, self.images.kernel_symbols)
        } else {
            Vec::new()
        };
        move |name| {
            let called = call.iter().find(|(register, _)| *register == name);
            let reported = || {
                let of_report = self.dump.register(name).filter(|_| is_failing);
                which.register(name).or(of_report)
            };
            called
                .map(|&(_, value)| value)
                .or_else(reported)
                .or_else(|| self.dump.of_machine(name))
        }
    }

    fn context(&self, which: &Processor) -> Vec<u8> {
        const FXSAVE: usize = 512;
        let root = self.dump.of_machine("cr3").unwrap_or(0);
        let vectors = which
            .register("vectors")
            .and_then(|address| self.memory.read(root, address, FXSAVE));
        context::encode(self.registers(which), vectors.as_deref())
    }

    fn special(&self, which: &Processor) -> Vec<u8> {
        special::encode(self.registers(which))
    }

    fn header(&self, root: u64, addresses: &Addresses, appended: (&Appended, u64), total: u64) -> Fields {
        use header::at;
        let mut head = Fields::new(header::SIZE);
        // What nobody writes is this word, in Windows' dumps.
        for word in head.0.as_chunks_mut::<4>().0 {
            *word = *b"PAGE";
        }
        let time = |address| {
            let bytes = self.memory.read(root, address, 8);
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        head.put(0, b"PAGEDU64")
            .u32(header::MAJOR_VERSION, 0xF)
            .u32(at::MINOR_VERSION, BUILD)
            .u64(at::DIRECTORY_TABLE_BASE, root)
            .u64(at::DIRECTORY_TABLE_BASE + 8, 0)
            .u64(at::PS_LOADED_MODULE_LIST, addresses.modules)
            .u64(at::PS_ACTIVE_PROCESS_HEAD, addresses.processes)
            .u32(
                at::MACHINE_IMAGE_TYPE,
                object::pe::IMAGE_FILE_MACHINE_AMD64.0.into(),
            )
            .u32(
                at::NUMBER_PROCESSORS,
                u32::try_from(self.dump.processors.len()).unwrap_or(u32::MAX),
            )
            .u32(at::BUG_CHECK_CODE, self.dump.code);
        for (index, parameter) in self.dump.parameters.iter().enumerate() {
            head.u64(at::BUG_CHECK_PARAMETERS + 8 * index, *parameter);
        }
        head.put(at::VERSION_USER, &[0; 32])
            .u64(at::KD_DEBUGGER_DATA_BLOCK, addresses.debugger);
        let (appended, count) = appended;
        let mut runs = self.memory.runs();
        runs.push((appended.physical, count * PAGE));
        let block = at::PHYSICAL_MEMORY_BLOCK;
        head.u32(block, u32::try_from(runs.len()).unwrap_or(0));
        head.u32(block + 4, 0);
        head.u64(block + 8, runs.iter().map(|(_, length)| length / PAGE).sum());
        for (index, (start, length)) in runs.iter().enumerate() {
            head.u64(block + 16 + 16 * index, start / PAGE);
            head.u64(block + 24 + 16 * index, length / PAGE);
        }
        if let Some(failing) = self.failing() {
            head.put(at::CONTEXT_RECORD, &self.context(failing));
            head.put(at::CONTEXT_RECORD + context::SIZE, &self.special(failing));
            head.put(at::EXCEPTION, &self.exception(failing));
        }
        let mut comment = self.comment().into_bytes();
        comment.resize(header::COMMENT_SIZE, 0);
        head.u32(at::DUMP_TYPE, header::BITMAP)
            .u64(at::REQUIRED_DUMP_SPACE, total)
            .u64(at::SYSTEM_TIME, time(SHARED_TIMES.1))
            .put(at::COMMENT, &comment)
            .u64(at::SYSTEM_UP_TIME, time(SHARED_TIMES.0))
            // VER_NT_WORKSTATION; then no suites, and the writer's status.
            .u32(at::PRODUCT_TYPE, 1)
            .u64(at::PRODUCT_TYPE + 4, 0)
            // No flags of a mini dump, no secondary data; no attributes, and no boot's number.
            .u64(at::SYSTEM_UP_TIME + 8, 0)
            .u64(at::PRODUCT_TYPE + 16, 0)
            // KD_SECONDARY_VERSION_AMD64_CONTEXT: a CONTEXT, and the special registers behind it.
            .put(at::KD_SECONDARY_VERSION - 1, &[0, 2, 0, 0]);
        head
    }

    /// What the comment says: who wrote it, how much it is, and whether it may be passed on.
    fn comment(&self) -> String {
        let scope = match self.scope {
            Scope::Driver => "driver",
            Scope::Full => "full",
        };
        let code = match (self.windows_code, self.scope) {
            (false, _) => "no code of Windows",
            (true, Scope::Driver) => "Windows' code, which was on board, is left out",
            (true, Scope::Full) => "HAS WINDOWS' OWN CODE: NOT TO BE PASSED ON",
        };
        format!(
            "rundown-lab {}, not Windows; scope {scope}; {code}",
            env!("CARGO_PKG_VERSION")
        )
    }

    /// `EXCEPTION_RECORD64`: what a fault was, or the breakpoint that `KeBugCheckEx` leaves.
    fn exception(&self, failing: &Processor) -> Vec<u8> {
        let parameters = self.dump.parameters;
        let faulted = failing.register("rip").is_some();
        let low = |value: u64| u32::try_from(value & 0xFFFF_FFFF).unwrap_or_default();
        let code = match self.dump.code {
            _ if !faulted => STATUS_BREAKPOINT,
            KMODE_EXCEPTION_NOT_HANDLED => low(parameters[0]),
            code if PAGE_FAULTS.iter().any(|(fault, ..)| *fault == code) => STATUS_ACCESS_VIOLATION,
            _ => STATUS_BREAKPOINT,
        };
        let mut record = Fields::new(0x98);
        record
            .u32(0, code)
            .u64(0x10, self.registers(failing)("rip").unwrap_or(0));
        let fault = PAGE_FAULTS.iter().find(|(fault, ..)| *fault == self.dump.code);
        if let Some((_, address, operation)) = fault.filter(|_| code == STATUS_ACCESS_VIOLATION) {
            record
                .u32(0x18, 2)
                .u64(0x20, parameters[*operation])
                .u64(0x28, parameters[*address]);
        }
        record.0
    }
}

#[cfg(test)]
mod tests {
    use super::memory::tests::{RAM, ROOT, Ram};
    use super::*;
    use crate::stack::Image;
    use kdmp_parser::{Gva, Gxa as _, KernelDumpParser};

    const DRIVER: u64 = 0xFFFF_F800_1000_0000;
    const FRAMEWORK: u64 = 0xFFFF_F800_2000_0000;
    const STACK: u64 = 0xFFFF_9000_0000_1000;
    const HEAP: u64 = DIRECT_MAP + 0x10_0000;

    /// What stands for NT's own code: bytes that no text has.
    const NATIVE_CODE: &[u8] = &[0xF3, 0x90, 0xC3, 0xCC];

    /// A machine of a few pages, stopped at a breakpoint on its first processor, with a page of NT's code and one of a framework.
    fn machine() -> (Ram, String) {
        let mut ram = Ram::new();
        let (image, stack, native) = (ram.map(DRIVER, 1), ram.map(STACK, 1), ram.map(NATIVE.start, 1));
        let framework = ram.map(FRAMEWORK, 1);
        ram.set(framework, b"MZ");
        ram.set(image, b"MZ");
        ram.set(stack + 8, &7_u64.to_le_bytes());
        ram.set(native, NATIVE_CODE);
        ram.set(HEAP - DIRECT_MAP + PAGE, b"in use");
        let log = format!(
            "bug: 0x0000001e KMODE_EXCEPTION_NOT_HANDLED 0xffffffff80000003 {DRIVER:#x} 0x0 0x0 text\n\
             module: driver {DRIVER:#x} 0x1000\n\
             module: framework {FRAMEWORK:#x} 0x1000\n\
             reg: rip={DRIVER:#x} rsp={STACK:#x} rax=0x1 cr8=0x0\n\
             machine: cr0=0x1 cr3={ROOT:#x} cr4=0x20 heap={HEAP:#x} heap_size=0x3000\n\
             processor: 0 gs=0x0 vectors={STACK:#x} rip={DRIVER:#x} rsp={STACK:#x} rax=0x1 cr8=0x0\n\
             processor: 1 gs=0x0 vectors={STACK:#x} rip={:#x} cr8=0x2\n\
             thread: 1 Driver Running cpu=0 at=0x0 rsp={STACK:#x} low={STACK:#x} high={:#x} inside=- caller=0x0\n\
             end: bug\n",
            DRIVER + 5,
            STACK + PAGE
        );
        (ram, log)
    }

    fn written(scope: Scope, windows_code: bool) -> (tempfile::TempDir, KernelDumpParser) {
        let (ram, log) = machine();
        let folder = tempfile::tempdir().unwrap();
        let bytes = crate::driver::tests::minimal_pe();
        let image = |name: &str| Image {
            name: name.into(),
            bytes: &bytes,
            symbols: None,
        };
        let images = Images {
            driver: image("mine.sys"),
            framework: Some(image("Wdf01000.sys")),
            kernel: &[],
            kernel_symbols: None,
        };
        let path = folder.path().join("mine.dmp");
        CrashDump {
            dump: &Dump::parse(&log).unwrap(),
            memory: Memory::new(&ram.file, RAM),
            images: &images,
            windows_code,
            scope,
        }
        .write(&path)
        .unwrap();
        let parser = KernelDumpParser::new(&path).unwrap();
        (folder, parser)
    }

    fn read(parser: &KernelDumpParser, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = parser.virt_read_exact(Gva::new(address), &mut bytes);
        read.is_ok().then_some(bytes)
    }

    #[test]
    fn a_small_machine_opens() {
        let (_folder, parser) = written(Scope::Full, false);
        let header = parser.headers();
        assert_eq!(header.bug_check_code, 0x1E);
        assert_eq!(parser.exception_record().exception_code, STATUS_BREAKPOINT);
        let context = parser.context_record();
        assert_eq!((context.rip, context.rsp, context.rax), (DRIVER, STACK, 1));
        assert_eq!(read(&parser, DRIVER, 2).unwrap(), b"MZ");
        assert_eq!(read(&parser, STACK + 8, 8).unwrap(), 7_u64.to_le_bytes());
        let driver = parser.kernel_modules().find(|(at, _)| at.start.u64() == DRIVER);
        let (at, path) = driver.expect("it is in the list");
        assert_eq!(
            (at.end.u64(), path),
            (DRIVER + PAGE, r"\SystemRoot\System32\drivers\mine.sys")
        );
        let (_, path) = (parser.kernel_modules())
            .find(|(at, _)| at.start.u64() == FRAMEWORK)
            .expect("and so is its framework");
        assert_eq!(path, r"\SystemRoot\System32\drivers\Wdf01000.sys");
        assert_eq!(header.number_processors, 2);
    }

    #[test]
    fn code_of_windows_is_in_a_full_dump_only_which_says_so() {
        let comment = |parser: &KernelDumpParser| {
            String::from_utf8_lossy(&parser.headers().comment)
                .trim_end_matches('\0')
                .to_owned()
        };
        let (_folder, full) = written(Scope::Full, true);
        assert_eq!(read(&full, NATIVE.start, 4).unwrap(), NATIVE_CODE);
        assert_eq!(read(&full, FRAMEWORK, 2).unwrap(), b"MZ");
        assert!(comment(&full).ends_with("HAS WINDOWS' OWN CODE: NOT TO BE PASSED ON"));
        let (folder, driver) = written(Scope::Driver, true);
        assert_eq!(read(&driver, NATIVE.start, 4), None);
        assert_eq!(read(&driver, FRAMEWORK, 2), None);
        let bytes = std::fs::read(folder.path().join("mine.dmp")).unwrap();
        assert!(!bytes.windows(4).any(|word| word == NATIVE_CODE));
        assert!(comment(&driver).ends_with("is left out"));
        assert_eq!(read(&driver, STACK + 8, 8).unwrap(), 7_u64.to_le_bytes());
    }

    #[test]
    fn of_the_heap_there_is_what_is_in_use() {
        let (_folder, driver) = written(Scope::Driver, false);
        let heap: Vec<u64> = driver
            .physmem()
            .map(|(page, _)| page.u64())
            .filter(|page| (0x10_0000..RAM).contains(page))
            .collect();
        assert_eq!(heap, [0x10_1000]);
    }

    #[test]
    fn a_report_without_page_tables_is_no_dump() {
        let (ram, log) = machine();
        let dump = Dump::parse(log.split("machine:").next().unwrap()).unwrap();
        let driver = Image {
            name: "mine.sys".into(),
            bytes: &[],
            symbols: None,
        };
        let images = Images {
            driver,
            framework: None,
            kernel: &[],
            kernel_symbols: None,
        };
        let written = CrashDump {
            dump: &dump,
            memory: Memory::new(&ram.file, RAM),
            images: &images,
            windows_code: false,
            scope: Scope::Full,
        }
        .write(Path::new("/nowhere/mine.dmp"));
        assert!(written.unwrap_err().contains("page tables"));
    }
}
