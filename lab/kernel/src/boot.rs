//! From QEMU's entry to the first thread, and the same for every further processor.

use crate::config::{self, Config, Mode};
use crate::hal::direct_map::{DIRECT_MAP, physical};
use crate::hal::memory_map::MemoryRange;
use crate::hal::{apic, clock, descriptors, hpet, pcr, serial};
use crate::{ke, log, mm, probe, rng, trace};
use core::arch::global_asm;
use core::sync::atomic::Ordering;

global_asm!(include_str!("boot.s"), options(att_syntax));

/// PVH start info (Xen's public/arch-x86/hvm/start_info.h), version 1.
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
struct Module {
    address: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

unsafe extern "C" {
    static trampoline_load: u8;
    static trampoline_size: u8;
    static mut trampoline_cr3: u64;
    static mut trampoline_stack: u64;
    static mut trampoline_number: u64;
}

unsafe extern "Rust" {
    /// What the image does once the kernel is up, in the first thread, at `PASSIVE_LEVEL`; see [`crate::entry`].
    safe fn rundown_lab_main(config: &'static Config);
}

/// How long one processor of a machine that counts instructions runs while the others stand, microseconds: short, beside the 100
/// that a stay at `DISPATCH_LEVEL` may last, and long enough for QEMU.
const SLICE: u64 = 1;
/// Physical page that processors start in.
const TRAMPOLINE_PAGE: u8 = 8;

fn read_physical<T>(address: u64) -> &'static T {
    // SAFETY: QEMU wrote the structure below 4 GiB, which the direct map covers, and nothing reuses it before `mm` starts.
    unsafe { &*physical(address).cast::<T>() }
}

fn slice_physical<T>(address: u64, count: usize) -> &'static [T] {
    // SAFETY: as in `read_physical`; `count` comes from the same start info.
    unsafe { core::slice::from_raw_parts(physical(address).cast::<T>(), count) }
}

fn command_line(address: u64) -> &'static [u8] {
    let line = slice_physical::<u8>(address, config::MAX_COMMAND_LINE);
    &line[..line.iter().position(|&byte| byte == 0).unwrap_or(line.len())]
}

/// The boot processor's entry, on the boot stack.
#[unsafe(no_mangle)]
extern "C" fn start_boot_processor(start_info: u64) -> ! {
    pcr::install(0);
    descriptors::initialize(0);
    serial::initialize();
    let info = read_physical::<StartInfo>(start_info);
    let module = if info.module_count == 0 {
        &[][..]
    } else {
        let module = read_physical::<Module>(info.module_list);
        slice_physical(module.address, module.size as usize)
    };
    let ranges = slice_physical::<MemoryRange>(info.memory_map, info.memory_map_entries as usize);
    let line = command_line(info.command_line);
    let config = config::install(line, module);
    initialize_memory(ranges, module);
    apic::mask_pic();
    clock::calibrate();
    if config.mode == Mode::Counted {
        hpet::cut(SLICE);
    }
    if config.trace {
        start_trace(config.cpus as u64);
    }
    rng::seed(0, config.seed);
    mm::shared::initialize(config);
    apic::initialize(config::TICK);
    pcr::of(0).online.store(true, Ordering::Release);
    ke::sched::adopt_idle_thread();
    if config.probe {
        probe::run();
    }
    for number in 1..config.cpus {
        start_processor(number);
    }
    mm::paging::drop_identity_map();
    log!(
        "log: rundown-lab kernel: cpus={} seed={} mode={} tsc={} MHz",
        config.cpus,
        config.seed,
        config.mode.name(),
        clock::cycles_per_second() / 1_000_000
    );
    ke::spawn::spawn("System", move || rundown_lab_main(config));
    ke::sched::idle()
}

/// Starts the timeline, and tells the host where it is.
fn start_trace(cpus: u64) {
    let bytes = trace::bytes_of_a_ring(cpus) * cpus;
    match mm::frames::allocate_contiguous(bytes) {
        Some(address) => log!("{}", trace::start(address, cpus)),
        None => log!("log: no timeline: there are no {bytes} bytes of memory in one piece for it"),
    }
}

/// Takes over the memory that the map calls RAM, except the first MiB, the kernel and the module.
fn initialize_memory(ranges: &[MemoryRange], module: &[u8]) {
    mm::paging::initialize();
    let module_start = if module.is_empty() {
        0
    } else {
        module.as_ptr() as u64 - DIRECT_MAP
    };
    mm::frames::initialize(ranges, (module_start, module_start + module.len() as u64));
    mm::heap::initialize();
}

/// Starts processor `number` and waits until it is up.
fn start_processor(number: usize) {
    let size = (&raw const trampoline_size) as usize;
    let target = physical(u64::from(TRAMPOLINE_PAGE) << 12);
    let source = physical((&raw const trampoline_load) as u64);
    // SAFETY: the page below 1 MiB is left out of the page allocator; the source is the image's own section.
    unsafe { core::ptr::copy_nonoverlapping(source, target, size) };
    let stack = ke::thread::Stack::new().expect("boot has memory for one stack per processor");
    for (word, value) in [
        (&raw mut trampoline_cr3, mm::paging::root()),
        (&raw mut trampoline_stack, stack.top()),
        (&raw mut trampoline_number, number as u64),
    ] {
        // SAFETY: only boot touches these words, while the lower half is still mapped, and one processor starts at a time.
        unsafe { word.write_volatile(value) };
    }
    // The idle thread owns its stack for ever.
    core::mem::forget(stack);
    apic::start_processor(number, TRAMPOLINE_PAGE);
    let start = clock::interrupt_time();
    // Acquire: pairs with the Release in `start_application_processor`.
    while !pcr::of(number).online.load(Ordering::Acquire) {
        assert!(
            clock::interrupt_time() - start < 10 * clock::UNITS_PER_SECOND,
            "processor {number} did not start"
        );
        core::hint::spin_loop();
    }
}

/// A further processor's entry, on its idle thread's stack.
#[unsafe(no_mangle)]
extern "C" fn start_application_processor(number: usize) -> ! {
    pcr::install(number);
    descriptors::initialize(number);
    rng::seed(number, config::get().seed);
    apic::initialize(config::TICK);
    ke::sched::adopt_idle_thread();
    // Release: everything above is visible to whoever sees this processor.
    pcr::of(number).online.store(true, Ordering::Release);
    ke::sched::idle()
}
