//! What a driver finds by Microsoft's pages: each of these must pass. Beside each check is the page, or the conformance test for the NT kernel
//! that passes on Windows.

use crate::Specimen;
use crate::nt::{self, *};
use core::arch::asm;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound-irps", irps),
    ("sound-names", names),
    ("sound-signals", signals),
    ("sound-timers", timers),
    ("sound-threads", threads),
    ("sound-mutex", mutex),
    ("sound-code-in-pool", code_in_pool),
    ("sound-time", time),
    ("sound-text", text),
    ("sound-strings", strings),
];

const SUCCESS: i32 = 0;
const TIMEOUT: i32 = 0x102;
/// `STATUS_MORE_PROCESSING_REQUIRED`, `STATUS_OBJECT_PATH_NOT_FOUND`, `STATUS_OBJECT_PATH_SYNTAX_BAD`, `STATUS_INVALID_HANDLE`,
/// `STATUS_OBJECT_TYPE_MISMATCH`.
const MORE_PROCESSING: i32 = 0xC000_0016_u32 as i32;
const PATH_NOT_FOUND: i32 = 0xC000_003A_u32 as i32;
const PATH_SYNTAX_BAD: i32 = 0xC000_003B_u32 as i32;
const INVALID_HANDLE: i32 = 0xC000_0008_u32 as i32;
const TYPE_MISMATCH: i32 = 0xC000_0024_u32 as i32;
/// `STATUS_BUFFER_OVERFLOW` and `STATUS_BUFFER_TOO_SMALL`.
const BUFFER_OVERFLOW: i32 = 0x8000_0005_u32 as i32;
const BUFFER_TOO_SMALL: i32 = 0xC000_0023_u32 as i32;
/// `SL_INVOKE_ON_ERROR`, and with it `SL_INVOKE_ON_SUCCESS` and `SL_INVOKE_ON_CANCEL`.
const ON_ERROR: u8 = 0x80;
const ALWAYS: u8 = 0xE0;
const DEVICE_CONTROL: usize = 0xE;
const DO_DEVICE_HAS_NAME: u32 = 0x40;
const DO_DEVICE_INITIALIZING: u32 = 0x80;
const FILE_DEVICE_UNKNOWN: u32 = 0x22;

/// What the routines below have seen.
static SEEN: AtomicU64 = AtomicU64::new(0);

unsafe extern "system" fn cancel(device: *mut c_void, irp: *mut c_void) {
    unsafe {
        SEEN.fetch_add(if device.is_null() { 1 } else { 100 }, SeqCst);
        IoReleaseCancelSpinLock(nt::irp::CANCEL_IRQL.read(irp));
    }
}

/// The location of the next driver, and its completion routine.
unsafe fn prepare(irp: *mut c_void, routine: u64, context: u64, control: u8) {
    unsafe {
        let next = nt::irp::STACK.read(irp).byte_sub(nt::stack::SIZE);
        next.cast::<u8>().write_volatile(DEVICE_CONTROL as u8);
        nt::stack::PARAMETERS.write(next, [7; 4]);
        nt::stack::ROUTINE.write(next, routine);
        nt::stack::CONTEXT.write(next, context);
        nt::stack::CONTROL.write(next, control);
    }
}

/// Passes on to the device in the extension, with a routine that turns success into failure; the lowest completes.
unsafe extern "system" fn pass_or_complete(device: *mut c_void, irp: *mut c_void) -> i32 {
    unsafe {
        let below = nt::device::EXTENSION.read(device).cast::<*mut c_void>().read();
        if below.is_null() {
            nt::irp::STATUS.write(irp, SUCCESS);
            IofCompleteRequest(irp, 0);
            return SUCCESS;
        }
        prepare(irp, fail as *const () as u64, 1, ALWAYS);
        IofCallDriver(below, irp)
    }
}

/// What the driver below had in its location, when its IRP has passed it.
unsafe fn is_cleared(irp: *mut c_void) -> bool {
    unsafe {
        let below = nt::irp::STACK.read(irp).byte_sub(nt::stack::SIZE);
        nt::stack::CONTROL.read(below) == 0 && nt::stack::PARAMETERS.read(below) == [0; 4]
    }
}

unsafe extern "system" fn fail(_device: *mut c_void, irp: *mut c_void, _context: *mut c_void) -> i32 {
    unsafe {
        SEEN.fetch_add(if is_cleared(irp) { 10 } else { 1000 }, SeqCst);
        nt::irp::STATUS.write(irp, FAILED);
    }
    SUCCESS
}

unsafe extern "system" fn keep(_device: *mut c_void, irp: *mut c_void, context: *mut c_void) -> i32 {
    unsafe {
        let right = is_cleared(irp) && nt::irp::STATUS.read(irp) == FAILED && context.addr() == 5;
        SEEN.fetch_add(if right { 1 } else { 1000 }, SeqCst);
    }
    MORE_PROCESSING
}

unsafe fn device(name: *const UnicodeString) -> Result<*mut c_void, i32> {
    let mut device = core::ptr::null_mut();
    let status = unsafe { IoCreateDevice(DRIVER, 8, name, FILE_DEVICE_UNKNOWN, 0, 0, &mut device) };
    if status < 0 { Err(status) } else { Ok(device) }
}

unsafe fn irps() -> i32 {
    unsafe {
        let irp = IoAllocateIrp(1, 0);
        // The test of `IoAllocateIrp`: an empty list, IRP_ALLOCATED_FIXED_SIZE. Its page: no thread is associated with the IRP.
        let list = nt::irp::THREAD_LIST.of(irp);
        check!(nt::irp::THREAD_LIST.read(irp) == [list.cast(), list.cast()]);
        check!(nt::irp::ALLOCATION_FLAGS.read(irp) == 4);
        check!(nt::irp::THREAD.read(irp) == 0);
        // Cancelled before it was sent: the routine is called, for no device.
        nt::irp::CANCEL_ROUTINE.write(irp, cancel as *const () as u64);
        check!(IoCancelIrp(irp) == 1 && SEEN.swap(0, SeqCst) == 1);
        check!(IoCancelIrp(irp) == 0 && KeGetCurrentIrql() == PASSIVE_LEVEL);
        IoFreeIrp(irp);

        // A completion routine sets an error: the one above, for errors only, is called (IoSetCompletionRoutine's page), and the locations
        // that the IRP has passed are clear (the test of completion).
        let mut major = nt::driver::MAJOR.read(DRIVER);
        major[DEVICE_CONTROL] = pass_or_complete as *const () as u64;
        nt::driver::MAJOR.write(DRIVER, major);
        let (Ok(lower), Ok(upper)) = (device(core::ptr::null()), device(core::ptr::null())) else {
            return FAILED;
        };
        nt::device::EXTENSION
            .read(upper)
            .cast::<*mut c_void>()
            .write(lower);
        let irp = IoAllocateIrp(2, 0);
        prepare(irp, keep as *const () as u64, 5, ON_ERROR);
        IofCallDriver(upper, irp);
        check!(SEEN.load(SeqCst) == 11);
        // As if it were fresh (IoReuseIrp's page), but for what says how it was allocated.
        IoReuseIrp(irp, TIMEOUT);
        check!(nt::irp::STATUS.read(irp) == TIMEOUT && nt::irp::LOCATION.read(irp) == 3);
        check!(nt::irp::ALLOCATION_FLAGS.read(irp) == 4 && nt::irp::CANCEL_ROUTINE.read(irp) == 0);
        IoFreeIrp(irp);
        // The device stays while it is referenced, though it is deleted (IoGetAttachedDeviceReference's page).
        check!(IoGetAttachedDeviceReference(lower) == lower);
        let answer = ask(lower);
        check!(answer == [0, 3]);
        IoDeleteDevice(upper);
        IoDeleteDevice(lower);
        check!(nt::device::FLAGS.read(lower) != 0);
        ObfDereferenceObject(lower);
    }
    0
}

/// Sends a buffered control request, which the lowest device answers: the status block, once the event is set; a byte more in its second word if
/// the output is right.
unsafe fn ask(device: *mut c_void) -> [u64; 2] {
    let (mut event, mut block, mut output) = (Event([0; 3]), [9_u64; 2], [1_u8, 2, 3, 4]);
    unsafe {
        KeInitializeEvent(&mut event, 0, 0);
        let input = [5_u8, 6];
        let irp = IoBuildDeviceIoControlRequest(
            0x22_2000,
            device,
            input.as_ptr(),
            2,
            output.as_mut_ptr(),
            4,
            0,
            &mut event,
            &mut block,
        );
        nt::irp::INFORMATION.write(irp, 2);
        IofCallDriver(device, irp);
        wait_for(&raw mut event);
    }
    // Two bytes came back: what the driver was given.
    block[1] += u64::from(output == [5, 6, 3, 4]);
    [block[0] & 0xFFFF_FFFF, block[1]]
}

static DEVICE_NAME: [u16; 9] = utf16("\\Device\\X");
static NO_DIRECTORY: [u16; 10] = utf16("\\Device1\\X");
static NO_PATH: [u16; 8] = utf16("Device\\X");

unsafe fn names() -> i32 {
    unsafe {
        // The test of device objects: a name in no directory. What is no path: `OBJECT_ATTRIBUTES`' page has names begin at the root.
        check!(device(&unicode(&NO_DIRECTORY)) == Err(PATH_NOT_FOUND));
        check!(device(&unicode(&NO_PATH)) == Err(PATH_SYNTAX_BAD));
        let (Ok(named), Ok(other)) = (device(&unicode(&DEVICE_NAME)), device(core::ptr::null())) else {
            return FAILED;
        };
        // The same test: DO_DEVICE_HAS_NAME, and an extension that names the object.
        check!(nt::device::FLAGS.read(named) & DO_DEVICE_HAS_NAME != 0);
        check!(nt::device::FLAGS.read(other) & DO_DEVICE_HAS_NAME == 0);
        let extension = nt::device::OBJECT_EXTENSION.read(named);
        check!(!extension.is_null() && nt::device::EXTENDED.read(extension) == named);
        // Nothing is attached above a device that is being initialised ("What does DO_DEVICE_INITIALIZING really do?").
        check!(IoAttachDeviceToDeviceStack(other, named).is_null());
        nt::device::FLAGS.write(named, nt::device::FLAGS.read(named) & !DO_DEVICE_INITIALIZING);
        check!(IoAttachDeviceToDeviceStack(other, named) == named);
        IoDetachDevice(named);
        IoDeleteDevice(other);
        IoDeleteDevice(named);
        // The same test: the registry path has no room for a zero.
        check!((*PATH).maximum == (*PATH).length);
    }
    0
}

static mut FIRST: Event = Event([0; 3]);
static mut SECOND: Event = Event([0; 3]);
static mut SEMAPHORE: Semaphore = Semaphore([0; 4]);

unsafe extern "system" fn woken(_context: *mut c_void) {
    unsafe {
        KeSetSystemAffinityThreadEx(1);
        wait_for(&raw mut SECOND);
        SEEN.store(1, SeqCst);
        KeRevertToUserAffinityThreadEx(0);
    }
}

unsafe fn signals() -> i32 {
    let now = 0_i64;
    unsafe {
        // Wait=TRUE: from the call to the wait at DISPATCH_LEVEL (KeSetEvent's page), for each routine that has it.
        KeInitializeEvent(&raw mut FIRST, 1, 0);
        KeInitializeSemaphore(&raw mut SEMAPHORE, 0, 5);
        check!(KeSetEvent(&raw mut FIRST, 0, 1) == 0);
        check!(wait_for(&raw mut FIRST) == SUCCESS && KeGetCurrentIrql() == PASSIVE_LEVEL);
        KeReleaseSemaphore(&raw mut SEMAPHORE, 0, 1, 1);
        let objects = [(&raw mut SEMAPHORE).cast(), (&raw mut FIRST).cast()];
        let waited = KeWaitForMultipleObjects(2, objects.as_ptr(), 1, 0, 0, 0, &now, core::ptr::null_mut());
        check!(waited == SUCCESS && KeGetCurrentIrql() == PASSIVE_LEVEL);
        KeSetEvent(&raw mut FIRST, 0, 1);
        let waited = KeWaitForSingleObject((&raw mut SEMAPHORE).cast(), 0, 0, 0, &now);
        check!(waited == TIMEOUT && KeGetCurrentIrql() == PASSIVE_LEVEL);

        // Whoever is woken with an increment runs before the setter goes on (the test of event scheduling), on one processor.
        KeInitializeEvent(&raw mut SECOND, 1, 0);
        KeSetSystemAffinityThreadEx(1);
        let thread = start(woken, core::ptr::null_mut());
        while !waits(&raw mut SECOND) {
            sleep(1);
        }
        KeSetEvent(&raw mut SECOND, 2, 0);
        check!(SEEN.load(SeqCst) == 1);
        join(thread);
        KeRevertToUserAffinityThreadEx(0);
    }
    0
}

unsafe extern "system" fn expired(_dpc: *mut Dpc, _context: *mut c_void, _first: u64, _second: u64) {
    SEEN.fetch_add(1, SeqCst);
}

static mut TIMER: Timer = Timer([0; 8]);
static mut DPC: Dpc = Dpc([0; 8]);

/// Waits for a timer that is due before the wait's limit.
unsafe extern "system" fn wait_for_timer(_context: *mut c_void) {
    let limit = -400_000_i64;
    unsafe {
        KeSetTimer(&raw mut TIMER, -200_000, core::ptr::null_mut());
        let waited = KeWaitForSingleObject((&raw mut TIMER).cast(), 0, 0, 0, &limit);
        SEEN.store(waited as u64 + 1, SeqCst);
    }
}

unsafe fn timers() -> i32 {
    let now = 0_i64;
    unsafe {
        // Due already: it expires in the call.
        KeInitializeTimer(&raw mut TIMER);
        check!(KeReadStateTimer(&raw mut TIMER) == 0);
        KeInitializeDpc(&raw mut DPC, expired, core::ptr::null_mut());
        for due in [0, 1_000_000] {
            check!(KeSetTimerEx(&raw mut TIMER, due, 0, &raw mut DPC) == 0);
            check!(KeWaitForSingleObject((&raw mut TIMER).cast(), 0, 0, 0, &now) == SUCCESS);
            check!(KeCancelTimer(&raw mut TIMER) == 0 && KeReadStateTimer(&raw mut TIMER) == 1);
        }
        KeFlushQueuedDpcs();
        check!(SEEN.swap(0, SeqCst) == 2);

        // However late the tick that finds both due: the clock's processor takes no interrupt meanwhile.
        KeSetSystemAffinityThreadEx(1);
        let thread = start(wait_for_timer, core::ptr::null_mut());
        while !waits((&raw mut TIMER).cast()) && SEEN.load(SeqCst) == 0 {
            sleep(1);
        }
        let old = KfRaiseIrql(15);
        KeStallExecutionProcessor(60_000);
        KeLowerIrql(old);
        KeRevertToUserAffinityThreadEx(0);
        join(thread);
        check!(SEEN.load(SeqCst) == 1);
    }
    0
}

unsafe extern "system" fn nothing(_context: *mut c_void) {}

unsafe fn threads() -> i32 {
    unsafe {
        // A thread that has ended and is still referenced has its priority (the test of events, at its end).
        let thread = start(nothing, core::ptr::null_mut());
        wait_for(thread);
        check!(KeQueryPriorityThread(thread) == 8);
        check!(KeSetPriorityThread(thread, 9) == 8 && KeQueryPriorityThread(thread) == 9);
        ObfDereferenceObject(thread);
        // KPCR.Prcb.CurrentThread, and the processor's number, where inlines of the headers read them.
        let (current, own): (*mut c_void, u64);
        asm!("mov {}, gs:[0x188]", out(reg) current);
        asm!("mov {}, gs:[0x18]", out(reg) own);
        check!(current == PsGetCurrentThread() && own >> 47 == 0x1_FFFF);
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        let number: u32;
        asm!("movzx {:e}, byte ptr gs:[0x184]", out(reg) number);
        check!(number == KeGetCurrentProcessorNumberEx(core::ptr::null_mut()));
        KeLowerIrql(old);
        // No handle, whatever the type (the test of object references).
        let mut object = core::ptr::null_mut();
        let other = c"another type".as_ptr().cast();
        check!(ObReferenceObjectByHandle(0, 0, other, 0, &mut object, 0) == INVALID_HANDLE);
        let handle = handle_of(nothing, core::ptr::null_mut());
        check!(ObReferenceObjectByHandle(handle, 0, other, 0, &mut object, 0) == TYPE_MISMATCH);
        join(object_of(handle));
        ZwClose(handle);
        // NtCurrentProcess(), in the system's process (the test of object references).
        let process = u64::MAX;
        check!(ObReferenceObjectByHandle(process, 0, *PsProcessType, 0, &mut object, 0) == SUCCESS);
        check!(object == PsGetCurrentProcess() && object == PsInitialSystemProcess);
        ObfDereferenceObject(object);
        check!(ObReferenceObjectByHandle(process, 0, *PsThreadType, 0, &mut object, 0) == TYPE_MISMATCH);
        queued_locks()
    }
}

/// KeAcquireInStackQueuedSpinLock's page: at DISPATCH_LEVEL until the release, which goes back.
unsafe fn queued_locks() -> i32 {
    let (mut lock, mut handle) = (0_u64, [0_u64; 3]);
    unsafe {
        KeAcquireInStackQueuedSpinLock(&mut lock, &mut handle);
        check!(KeGetCurrentIrql() == DISPATCH_LEVEL && KeTestSpinLock(&mut lock) == 0);
        check!(KeTryToAcquireSpinLockAtDpcLevel(&mut lock) == 0);
        KeReleaseInStackQueuedSpinLock(&mut handle);
        check!(KeGetCurrentIrql() == PASSIVE_LEVEL && KeTestSpinLock(&mut lock) == 1);
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        check!(KeTryToAcquireSpinLockAtDpcLevel(&mut lock) == 1);
        KeReleaseSpinLockFromDpcLevel(&mut lock);
        KeLowerIrql(old);
    }
    0
}

static mut MUTEX: Mutex = Mutex([0x55; 7]);

unsafe fn mutex() -> i32 {
    unsafe {
        // Abandoned and ApcDisable, whatever was there (the test of mutexes); and its owner takes no normal kernel APC ("Introduction to
        // Mutex Objects").
        KeInitializeMutex(&raw mut MUTEX, 0);
        let bytes = (&raw const MUTEX).cast::<u8>();
        check!(bytes.add(0x30).read_volatile() == 0 && bytes.add(0x31).read_volatile() == 1);
        check!(KeAreApcsDisabled() == 0);
        wait_for(&raw mut MUTEX);
        wait_for(&raw mut MUTEX);
        KeReleaseMutex(&raw mut MUTEX, 0);
        check!(KeAreApcsDisabled() == 1);
        KeReleaseMutex(&raw mut MUTEX, 0);
        check!(KeAreApcsDisabled() == 0);
    }
    0
}

/// `mov eax, 7` and `ret`.
const CODE: [u8; 6] = [0xB8, 7, 0, 0, 0, 0xC3];

/// "The memory allocated with NonPagedPool is executable", says `POOL_TYPE`'s page; and so is `POOL_FLAG_NON_PAGED_EXECUTE`'s.
unsafe fn code_in_pool() -> i32 {
    unsafe {
        let blocks = [ExAllocatePoolWithTag(0, 40, TAG), ExAllocatePool2(0x80, 40, TAG)];
        for block in blocks {
            check!(!block.is_null());
            block.copy_from_nonoverlapping(CODE.as_ptr(), CODE.len());
            let run: extern "system" fn() -> i32 = core::mem::transmute(block);
            check!(run() == 7);
            ExFreePoolWithTag(block, TAG);
        }
    }
    0
}

/// `InterruptTime` and `TickCount` in KUSER_SHARED_DATA, their low parts.
const INTERRUPT_TIME: *const u32 = core::ptr::without_provenance(0xFFFF_F780_0000_0008);
const TICK_COUNT: *const u32 = core::ptr::without_provenance(0xFFFF_F780_0000_0320);

/// "Multiply the returned TickCount by the KeQueryTimeIncrement return value", says the page of `KeQueryTickCount`.
unsafe fn time() -> i32 {
    unsafe {
        sleep(50);
        let increment = u64::from(KeQueryTimeIncrement());
        let before = u64::from(INTERRUPT_TIME.read_volatile());
        let ticks = u64::from(TICK_COUNT.read_volatile());
        let after = u64::from(INTERRUPT_TIME.read_volatile());
        check!(ticks > 0 && ticks * increment <= after && (ticks + 1) * increment > before);
    }
    0
}

/// As many arguments as there are; `specimens.rs` knows what must come out.
unsafe fn text() -> i32 {
    unsafe {
        DbgPrint(
            c"%d %d %d %d %d %d %d %d %d %d %d %d %d %d %d %d\n"
                .as_ptr()
                .cast(),
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            9,
            10,
            11,
            12,
            13,
            14,
            15,
            16,
        );
    }
    0
}

static UPPER: [u16; 4] = utf16("ABCD");
static LOWER: [u16; 4] = utf16("abcd");
static TERMINATED: [u16; 3] = [b'x' as u16, b'y' as u16, 0];

/// C's functions by C's standard, NT's by their pages.
unsafe fn strings() -> i32 {
    unsafe {
        check!(strlen(c"text".as_ptr().cast()) == 4 && strlen(c"".as_ptr().cast()) == 0);
        check!(wcslen(TERMINATED.as_ptr()) == 2);
        check!(strcmp(c"ab".as_ptr().cast(), c"ab".as_ptr().cast()) == 0);
        check!(strcmp(c"ab".as_ptr().cast(), c"abc".as_ptr().cast()) < 0);
        check!(strncmp(c"abX".as_ptr().cast(), c"abY".as_ptr().cast(), 2) == 0);
        let (upper, lower) = (unicode(&UPPER), unicode(&LOWER));
        check!(
            RtlEqualUnicodeString(&upper, &lower, 1) == 1 && RtlEqualUnicodeString(&upper, &lower, 0) == 0
        );
        check!(
            RtlCompareUnicodeString(&upper, &lower, 0) < 0 && RtlCompareUnicodeString(&upper, &lower, 1) == 0
        );
        // Room for three units: what does not fit is not appended, and where there is room there is a zero behind.
        let mut units = [7_u16; 4];
        let mut target = UnicodeString {
            length: 0,
            maximum: 6,
            buffer: units.as_mut_ptr(),
        };
        check!(RtlAppendUnicodeToString(&mut target, TERMINATED.as_ptr()) == 0 && target.length == 4);
        check!(target.buffer.add(2).read() == 0 && target.buffer.add(1).read() == u16::from(b'y'));
        check!(RtlAppendUnicodeStringToString(&mut target, &upper) == BUFFER_TOO_SMALL && target.length == 4);
        check!(RtlAppendUnicodeToString(&mut target, core::ptr::null()) == 0 && target.length == 4);
        check!(units[3] == 7);
        let mut bytes = [1_u8, 2, 3, 4];
        RtlMoveMemory(bytes.as_mut_ptr().add(1), bytes.as_ptr(), 3);
        check!(bytes == [1, 1, 2, 3]);
        RtlFillMemory(bytes.as_mut_ptr(), 2, 9);
        RtlZeroMemory(bytes.as_mut_ptr().add(2), 1);
        check!(bytes == [9, 9, 0, 3]);
        let text: *const u8 = c"abcab".as_ptr().cast();
        check!(
            strstr(text, c"ca".as_ptr().cast()) == text.add(2)
                && strstr(text, c"cb".as_ptr().cast()).is_null()
        );
        check!(_stricmp(c"aBc".as_ptr().cast(), c"AbC".as_ptr().cast()) == 0);
        check!(wcschr(TERMINATED.as_ptr(), b'y'.into()) == TERMINATED.as_ptr().add(1));
        check!(_wcsnicmp(UPPER.as_ptr(), LOWER.as_ptr(), 4) == 0);
        converts() && formats() && guids() && dates() && lists()
    }
    .then_some(0)
    .unwrap_or(FAILED)
}

/// Between the two kinds of strings, into a buffer of the caller's and into a new one: by the routines' pages the Unicode string needs no zero,
/// and the ANSI string has one.
unsafe fn converts() -> bool {
    let lower = unicode(&LOWER);
    let mut bytes = [7_u8; 5];
    let mut ansi = UnicodeString {
        length: 0,
        maximum: 4,
        buffer: bytes.as_mut_ptr().cast(),
    };
    let mut made = UnicodeString {
        length: 0,
        maximum: 0,
        buffer: core::ptr::null(),
    };
    unsafe {
        // STATUS_BUFFER_OVERFLOW: four characters and the zero.
        let short = RtlUnicodeStringToAnsiString(&mut ansi, &lower, 0);
        ansi.maximum = 5;
        let fits = RtlUnicodeStringToAnsiString(&mut ansi, &lower, 0);
        let right = (short, fits, ansi.length, bytes) == (BUFFER_OVERFLOW, 0, 4, *b"abcd\0");
        let upper = RtlUpcaseUnicodeString(&mut made, &lower, 1) == 0
            && RtlEqualUnicodeString(&made, &unicode(&UPPER), 0) == 1;
        RtlFreeUnicodeString(&mut made);
        RtlInitAnsiString(&mut ansi, c"abcd".as_ptr().cast());
        let back = RtlAnsiStringToUnicodeString(&mut made, &ansi, 1) == 0
            && RtlEqualUnicodeString(&made, &lower, 0) == 1
            && made.maximum == 10;
        RtlFreeUnicodeString(&mut made);
        let again = RtlUnicodeStringToAnsiString(&mut made, &lower, 1) == 0 && made.length == 4;
        RtlFreeAnsiString(&mut made);
        right && upper && back && again && made.buffer.is_null()
    }
}

static WIDE_FORMAT: [u16; 15] = utf16("%s|%S|%03d|%wZ\0");

static GUID_TEXT: [u16; 38] = utf16("{22334455-6677-8899-0102-0304050607AB}");

/// By the pages of both routines.
unsafe fn guids() -> bool {
    let guid = [
        0x55, 0x44, 0x33, 0x22, 0x77, 0x66, 0x99, 0x88, 1, 2, 3, 4, 5, 6, 7, 0xAB,
    ];
    let (text, mut back) = (unicode(&GUID_TEXT), [0_u8; 16]);
    let mut made = UnicodeString {
        length: 0,
        maximum: 0,
        buffer: core::ptr::null(),
    };
    unsafe {
        let right =
            RtlStringFromGUID(guid.as_ptr(), &mut made) == 0 && RtlEqualUnicodeString(&made, &text, 0) == 1;
        RtlFreeUnicodeString(&mut made);
        let short = unicode(&GUID_TEXT[..37]);
        right
            && RtlGUIDFromString(&text, back.as_mut_ptr()) == 0
            && back == guid
            && RtlGUIDFromString(&short, back.as_mut_ptr()) < 0
            && RtlPrefixUnicodeString(&short, &text, 0) == 1
            && RtlPrefixUnicodeString(&text, &short, 0) == 0
            && RtlPrefixUnicodeString(&unicode(&LOWER), &unicode(&UPPER), 1) == 1
            && RtlPrefixUnicodeString(&unicode(&LOWER), &unicode(&UPPER), 0) == 0
    }
}

/// Time 0 and its weekday (`TIME_FIELDS`' page); and 29 February 2000, a Tuesday, 11016 days after 1 January 1970, which is time
/// 116444736000000000 (`FILETIME`'s page).
unsafe fn dates() -> bool {
    let (mut fields, mut time) = ([0_i16; 8], 1_i64);
    let day = 116_444_736_000_000_000_i64 + 11_016 * 864_000_000_000 + 10_000;
    unsafe {
        RtlTimeToTimeFields(&0, &mut fields);
        let first = fields == [1601, 1, 1, 0, 0, 0, 0, 1];
        RtlTimeToTimeFields(&day, &mut fields);
        let leap = fields == [2000, 2, 29, 0, 0, 0, 1, 2];
        let back = RtlTimeFieldsToTime(&fields, &mut time) == 1 && time == day;
        fields[0] = 2001;
        first && leap && back && RtlTimeFieldsToTime(&fields, &mut time) == 0
    }
}

/// What was there before, or null (`ExInterlockedInsertHeadList`'s page and its like).
unsafe fn lists() -> bool {
    let (mut head, mut lock) = ([0_u64; 2], 0_u64);
    let [mut first, mut second] = [[0_u64; 2]; 2];
    let (list, a, b) = (&raw mut head, &raw mut first, &raw mut second);
    unsafe {
        list.write([list as u64; 2]);
        ExInterlockedInsertTailList(list, a, &mut lock).is_null()
            && ExInterlockedInsertHeadList(list, b, &mut lock) == a
            && ExInterlockedRemoveHeadList(list, &mut lock) == b
            && ExInterlockedRemoveHeadList(list, &mut lock) == a
            && ExInterlockedRemoveHeadList(list, &mut lock).is_null()
    }
}

/// What `ntstrsafe.h` calls: by the pages of `_vsnprintf` and of the format's types, `%s` is wide in a wide format, and `%S` is not; what is too
/// long is cut off, and -1; what just fits has no zero.
unsafe fn formats() -> bool {
    let (upper, mut bytes, mut units) = (unicode(&UPPER), [7_u8; 8], [7_u16; 32]);
    unsafe {
        let arguments = [c"abc".as_ptr() as u64, 5];
        let format = c"%s%d".as_ptr().cast();
        let all = _vsnprintf(bytes.as_mut_ptr(), 8, format, arguments.as_ptr()) == 4
            && bytes == *b"abc5\0\x07\x07\x07";
        let exact = _vsnprintf(
            bytes.as_mut_ptr(),
            4,
            c"%s%d".as_ptr().cast(),
            [c"xyz".as_ptr() as u64, 6].as_ptr(),
        ) == 4
            && bytes == *b"xyz6\0\x07\x07\x07";
        let cut = _snprintf(bytes.as_mut_ptr(), 2, c"%d".as_ptr().cast(), 345) == -1 && bytes[..3] == *b"34z";
        let arguments = [
            TERMINATED.as_ptr() as u64,
            c"n".as_ptr() as u64,
            7,
            &raw const upper as u64,
        ];
        let length = _vsnwprintf(units.as_mut_ptr(), 32, WIDE_FORMAT.as_ptr(), arguments.as_ptr());
        let wide = "xy|n|007|ABCD\0".encode_utf16().eq(units[..14].iter().copied());
        all && exact && cut && length == 13 && wide
    }
}
