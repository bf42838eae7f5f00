//! Structures of Windows, byte by byte, as far as a kernel dump has them.
//!
//! Sources: wdbgexts.h of the Debugging Tools (`KDDEBUGGER_DATA64`, and by `KD_SECONDARY_VERSION_AMD64_CONTEXT` what lies in the header's
//! context record), winnt.h (`CONTEXT`, `EXCEPTION_RECORD64`), and what `dt` prints of `nt!_KPCR`, `_KPRCB`, `_KTHREAD`, `_KPROCESS`,
//! `_EPROCESS`, `_KLDR_DATA_TABLE_ENTRY`, `_KPROCESSOR_STATE` and `_KSPECIAL_REGISTERS` of Windows 10, version 2004, with the public symbols;
//! the dump's own headers as the readers of dumps describe them (`kdmp-parser`, Volatility's `crash64`, Rekall's overlays).

/// A structure's bytes, written field by field.
#[derive(Debug, Clone)]
pub(in crate::crash_dump) struct Fields(pub(in crate::crash_dump) Vec<u8>);

impl Fields {
    /// So many zeroes.
    pub(in crate::crash_dump) fn new(size: usize) -> Self {
        Self(vec![0; size])
    }

    /// Writes a field; its offset and size are the structure's.
    pub(in crate::crash_dump) fn put(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// A field of 8 bytes.
    pub(in crate::crash_dump) fn u64(&mut self, offset: usize, value: u64) -> &mut Self {
        self.put(offset, &value.to_le_bytes())
    }

    /// A field of 4 bytes.
    pub(in crate::crash_dump) fn u32(&mut self, offset: usize, value: u32) -> &mut Self {
        self.put(offset, &value.to_le_bytes())
    }

    /// A field of 2 bytes.
    pub(in crate::crash_dump) fn u16(&mut self, offset: usize, value: u16) -> &mut Self {
        self.put(offset, &value.to_le_bytes())
    }
}

/// `DUMP_HEADER64`.
pub(in crate::crash_dump) mod header {
    /// Its size, which is where the bitmap's header begins.
    pub(in crate::crash_dump) const SIZE: usize = 0x2000;
    /// Windows' version: 0xF for a free build, and the build's number.
    pub(in crate::crash_dump) const MAJOR_VERSION: usize = 0x8;
    pub(in crate::crash_dump) mod at {
        pub(in crate::crash_dump) const MINOR_VERSION: usize = 0xC;
        pub(in crate::crash_dump) const DIRECTORY_TABLE_BASE: usize = 0x10;
        pub(in crate::crash_dump) const PS_LOADED_MODULE_LIST: usize = 0x20;
        pub(in crate::crash_dump) const PS_ACTIVE_PROCESS_HEAD: usize = 0x28;
        pub(in crate::crash_dump) const MACHINE_IMAGE_TYPE: usize = 0x30;
        pub(in crate::crash_dump) const NUMBER_PROCESSORS: usize = 0x34;
        pub(in crate::crash_dump) const BUG_CHECK_CODE: usize = 0x38;
        pub(in crate::crash_dump) const BUG_CHECK_PARAMETERS: usize = 0x40;
        pub(in crate::crash_dump) const VERSION_USER: usize = 0x60;
        pub(in crate::crash_dump) const KD_DEBUGGER_DATA_BLOCK: usize = 0x80;
        pub(in crate::crash_dump) const PHYSICAL_MEMORY_BLOCK: usize = 0x88;
        pub(in crate::crash_dump) const CONTEXT_RECORD: usize = 0x348;
        pub(in crate::crash_dump) const EXCEPTION: usize = 0xF00;
        pub(in crate::crash_dump) const DUMP_TYPE: usize = 0xF98;
        pub(in crate::crash_dump) const REQUIRED_DUMP_SPACE: usize = 0xFA0;
        pub(in crate::crash_dump) const SYSTEM_TIME: usize = 0xFA8;
        pub(in crate::crash_dump) const COMMENT: usize = 0xFB0;
        pub(in crate::crash_dump) const SYSTEM_UP_TIME: usize = 0x1030;
        pub(in crate::crash_dump) const PRODUCT_TYPE: usize = 0x1040;
        pub(in crate::crash_dump) const KD_SECONDARY_VERSION: usize = 0x104D;
    }
    /// Longest comment, with its zero.
    pub(in crate::crash_dump) const COMMENT_SIZE: usize = 128;
    /// `DUMP_TYPE_BITMAP_FULL` as readers call it: which pages are there says a bitmap.
    pub(in crate::crash_dump) const BITMAP: u32 = 5;
}

/// The header of a dump's bitmap, behind [`header::SIZE`].
pub(in crate::crash_dump) mod bitmap {
    pub(in crate::crash_dump) const SIZE: usize = 0x38;
    pub(in crate::crash_dump) const HEADER_SIZE: usize = 0x20;
    pub(in crate::crash_dump) const PRESENT_PAGES: usize = 0x28;
    pub(in crate::crash_dump) const BITS: usize = 0x30;
}

/// `CONTEXT` of x64.
pub(in crate::crash_dump) mod context {
    use super::Fields;

    /// Its size, bytes.
    pub(in crate::crash_dump) const SIZE: usize = 0x4D0;
    /// `CONTEXT_AMD64` with control, integer, segment and floating-point registers.
    const FLAGS: u32 = 0x0010_000F;
    const FLOATING: usize = 0x100;
    const MXCSR_IN_FLOATING: usize = 24;
    const GENERAL: [(&str, usize); 17] = [
        ("rax", 0x78),
        ("rcx", 0x80),
        ("rdx", 0x88),
        ("rbx", 0x90),
        ("rsp", 0x98),
        ("rbp", 0xA0),
        ("rsi", 0xA8),
        ("rdi", 0xB0),
        ("r8", 0xB8),
        ("r9", 0xC0),
        ("r10", 0xC8),
        ("r11", 0xD0),
        ("r12", 0xD8),
        ("r13", 0xE0),
        ("r14", 0xE8),
        ("r15", 0xF0),
        ("rip", 0xF8),
    ];

    /// Registers by name, and what FXSAVE64 wrote; what is not known is zero.
    pub(in crate::crash_dump) fn encode(
        register: impl Fn(&str) -> Option<u64>,
        vectors: Option<&[u8]>,
    ) -> Vec<u8> {
        let low = |name: &str| register(name).unwrap_or(0).to_le_bytes();
        let mut context = Fields::new(SIZE);
        context.u32(0x30, FLAGS);
        context.put(0x38, &low("cs")[..2]);
        context.put(0x42, &low("ss")[..2]);
        context.put(0x44, &low("rflags")[..4]);
        for (name, offset) in GENERAL {
            context.put(offset, &low(name));
        }
        if let Some(vectors) = vectors {
            context.put(FLOATING, vectors);
            context.put(0x34, &vectors[MXCSR_IN_FLOATING..MXCSR_IN_FLOATING + 4]);
        }
        context.0
    }
}

/// `KSPECIAL_REGISTERS`: those that the lab reports.
pub(in crate::crash_dump) mod special {
    use super::Fields;

    /// Its size, bytes.
    pub(in crate::crash_dump) const SIZE: usize = 0xF0;
    const KNOWN: [(&str, usize); 6] = [
        ("cr0", 0x0),
        ("cr2", 0x8),
        ("cr3", 0x10),
        ("cr4", 0x18),
        ("cr8", 0xA0),
        ("gs", 0xA8),
    ];

    /// Registers by name; what is not known is zero.
    pub(in crate::crash_dump) fn encode(register: impl Fn(&str) -> Option<u64>) -> Vec<u8> {
        let mut special = Fields::new(SIZE);
        for (name, offset) in KNOWN {
            special.u64(offset, register(name).unwrap_or(0));
        }
        special.0
    }
}

/// `KLDR_DATA_TABLE_ENTRY`.
pub(in crate::crash_dump) mod module {
    pub(in crate::crash_dump) const SIZE: usize = 0xA0;
    pub(in crate::crash_dump) const EXCEPTION_TABLE: usize = 0x10;
    pub(in crate::crash_dump) const EXCEPTION_TABLE_SIZE: usize = 0x18;
    pub(in crate::crash_dump) const DLL_BASE: usize = 0x30;
    pub(in crate::crash_dump) const ENTRY_POINT: usize = 0x38;
    pub(in crate::crash_dump) const SIZE_OF_IMAGE: usize = 0x40;
    pub(in crate::crash_dump) const FULL_DLL_NAME: usize = 0x48;
    pub(in crate::crash_dump) const BASE_DLL_NAME: usize = 0x58;
    pub(in crate::crash_dump) const FLAGS: usize = 0x68;
    /// `LDRP_ENTRY_PROCESSED`.
    pub(in crate::crash_dump) const PROCESSED: u32 = 0x4000;
    pub(in crate::crash_dump) const LOAD_COUNT: usize = 0x6C;
    pub(in crate::crash_dump) const CHECK_SUM: usize = 0x78;
    pub(in crate::crash_dump) const TIME_DATE_STAMP: usize = 0x9C;
}

/// `KPCR`, with its `KPRCB`.
pub(in crate::crash_dump) mod processor {
    use super::{context, special};

    pub(in crate::crash_dump) const SELF: usize = 0x18;
    pub(in crate::crash_dump) const CURRENT_PRCB: usize = 0x20;
    pub(in crate::crash_dump) const IRQL: usize = 0x50;
    pub(in crate::crash_dump) const MAJOR_VERSION: usize = 0x60;
    pub(in crate::crash_dump) const MINOR_VERSION: usize = 0x62;
    /// `KPCR.Prcb`.
    pub(in crate::crash_dump) const PRCB: usize = 0x180;
    /// In `KPRCB`, from here on.
    pub(in crate::crash_dump) const CURRENT_THREAD: usize = 0x8;
    pub(in crate::crash_dump) const IDLE_THREAD: usize = 0x18;
    pub(in crate::crash_dump) const NUMBER: usize = 0x24;
    /// `ProcessorState`: the special registers, then the context.
    pub(in crate::crash_dump) const SPECIAL_REGISTERS: usize = 0x100;
    pub(in crate::crash_dump) const CONTEXT_FRAME: usize = SPECIAL_REGISTERS + special::SIZE;
    /// `Context`, which is elsewhere in every Windows: the debugger data block says where.
    pub(in crate::crash_dump) const CONTEXT: usize = CONTEXT_FRAME + context::SIZE;
    pub(in crate::crash_dump) const PRCB_SIZE: usize = CONTEXT + 8;
    pub(in crate::crash_dump) const SIZE: usize = PRCB + PRCB_SIZE;
}

/// `KTHREAD`, at the head of an `ETHREAD`.
pub(in crate::crash_dump) mod thread {
    pub(in crate::crash_dump) const SIZE: usize = 0x898;
    pub(in crate::crash_dump) const INITIAL_STACK: usize = 0x28;
    pub(in crate::crash_dump) const STACK_LIMIT: usize = 0x30;
    pub(in crate::crash_dump) const STACK_BASE: usize = 0x38;
    pub(in crate::crash_dump) const KERNEL_STACK: usize = 0x58;
    pub(in crate::crash_dump) const PROCESS: usize = 0xB8;
    pub(in crate::crash_dump) const TEB: usize = 0xF0;
    pub(in crate::crash_dump) const STATE: usize = 0x184;
    /// `KTHREAD_STATE`: `Running`.
    pub(in crate::crash_dump) const RUNNING: u8 = 2;
    /// `KOBJECTS`: `ThreadObject`.
    pub(in crate::crash_dump) const OBJECT: u8 = 6;
}

/// `EPROCESS`, with its `KPROCESS`.
pub(in crate::crash_dump) mod process {
    pub(in crate::crash_dump) const SIZE: usize = 0xA40;
    pub(in crate::crash_dump) const DIRECTORY_TABLE_BASE: usize = 0x28;
    pub(in crate::crash_dump) const UNIQUE_PROCESS_ID: usize = 0x440;
    pub(in crate::crash_dump) const PARENT: usize = 0x540;
    pub(in crate::crash_dump) const PEB: usize = 0x550;
    pub(in crate::crash_dump) const IMAGE_FILE_NAME: usize = 0x5A8;
    /// `KOBJECTS`: `ProcessObject`.
    pub(in crate::crash_dump) const OBJECT: u8 = 3;
    /// The id of `System`.
    pub(in crate::crash_dump) const SYSTEM: u64 = 4;
}

/// `KDDEBUGGER_DATA64`.
pub(in crate::crash_dump) mod debugger {
    use super::{process, processor, thread};

    pub(in crate::crash_dump) const SIZE: usize = 0x388;
    pub(in crate::crash_dump) const OWNER_TAG: usize = 0x10;
    pub(in crate::crash_dump) const SIZE_FIELD: usize = 0x14;
    pub(in crate::crash_dump) const KERN_BASE: usize = 0x18;
    /// `PaeEnabled` (bit 0) and `PagingLevels` (bits 2 to 5).
    pub(in crate::crash_dump) const PAGING: usize = 0x36;
    pub(in crate::crash_dump) const PAGING_OF_X64: u16 = 1 | 4 << 2;
    pub(in crate::crash_dump) const PS_LOADED_MODULE_LIST: usize = 0x48;
    pub(in crate::crash_dump) const PS_ACTIVE_PROCESS_HEAD: usize = 0x50;
    pub(in crate::crash_dump) const KI_BUG_CHECK_DATA: usize = 0x88;
    pub(in crate::crash_dump) const MM_HIGHEST_USER_ADDRESS: usize = 0x1C8;
    pub(in crate::crash_dump) const MM_SYSTEM_RANGE_START: usize = 0x1D0;
    pub(in crate::crash_dump) const MM_USER_PROBE_ADDRESS: usize = 0x1D8;
    pub(in crate::crash_dump) const NT_BUILD_LAB: usize = 0x208;
    pub(in crate::crash_dump) const KI_PROCESSOR_BLOCK: usize = 0x218;
    pub(in crate::crash_dump) const CM_NT_CSD_VERSION: usize = 0x268;

    /// Where the debugger finds what, in the structures above: the block's field, and what it says.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "offsets and sizes of these structures"
    )]
    pub(in crate::crash_dump) const OFFSETS: [(usize, u16); 21] = [
        (0x29A, thread::TEB as u16),
        (0x29C, thread::KERNEL_STACK as u16),
        (0x29E, thread::INITIAL_STACK as u16),
        (0x2A0, thread::PROCESS as u16),
        (0x2A2, thread::STATE as u16),
        (0x2A8, process::SIZE as u16),
        (0x2AA, process::PEB as u16),
        (0x2AC, process::PARENT as u16),
        (0x2AE, process::DIRECTORY_TABLE_BASE as u16),
        (0x2B0, processor::PRCB_SIZE as u16),
        (0x2B4, processor::CURRENT_THREAD as u16),
        (0x2BC, processor::CONTEXT_FRAME as u16),
        (0x2BE, processor::NUMBER as u16),
        (0x2C0, thread::SIZE as u16),
        (0x2E0, processor::SIZE as u16),
        (0x2E2, processor::SELF as u16),
        (0x2E4, processor::CURRENT_PRCB as u16),
        (0x2E6, processor::PRCB as u16),
        (0x2F2, processor::SPECIAL_REGISTERS as u16),
        // GdtR0Code and GdtR0Data are the lab's: its one code segment, and none.
        (0x2F4, 8),
        (0x338, processor::CONTEXT as u16),
    ];
}
