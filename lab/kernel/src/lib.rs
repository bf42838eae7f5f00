//! The lab's kernel: a small NT-shaped executive that maps a Windows driver's own `.sys`, binds its imports, runs it at
//! CPL 0 on 1 to 64 processors of a QEMU machine, and judges it as Driver Verifier would.
//!
//! Where to look:
//! - [`boot`] and [`vectors`]: from QEMU's entry to the first thread, and where each interrupt goes
//! - [`serve`]: the host's requests over COM1
//! - [`ddi`]: what of ntoskrnl.exe and HAL.dll a driver can import, the native run-down routines included
//! - [`judge`]: the report, faults, watchdogs, what an unload leaves; called through [`bug`], which everybody may call
//! - [`io`]: the I/O manager and Plug and Play
//! - [`ldr`]: the image loader, and the shim through which every call from the driver goes; [`callout`]: every call into it
//! - [`ke`]: IRQLs, threads and the dispatcher, waits, DPCs, timers, spin locks
//! - [`mm`]: frames, page tables, the heap, the driver's pool, `KUSER_SHARED_DATA`
//! - [`hal`]: processors, traps, the local APIC, clocks, ports
//! - [`trace`]: the timeline
//! - [`chaos`], [`burst`], [`step`], [`points`] and [`creations`]: provocation; [`monitor`]: MONITORX and MWAITX; [`suspend`]: sleep
//!
//! Each imports only what stands below it in `ARCHITECTURE.md`, and a test holds that.
//!
//! The library boots and then calls what the image named with [`entry!`], in the first thread, at `PASSIVE_LEVEL`.
//!
//! # Trying it
//! `tools/lab/tests/specimens.rs` boots the image many times: the kernel's own tests on 1 to 8 of its up to 64 processors, and bad drivers, one
//! offence each (`lab/specimens`). By hand, from `lab/`:
//! ```text
//! cargo build --release --target x86_64-unknown-none -p rundown-lab-image
//! timeout 60 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 4 -m 256 -display none -nodefaults -no-reboot \
//!   -debugcon stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel rundown-lab-kernel -append "cpus=4 seed=7 selftest"
//! ```
//! It prints `N passed, N failed`; QEMU exits with 33 if all is well (see [`hal::power::Exit`]). The command line's words are
//! in [`config`].

#![no_std]

extern crate alloc;

mod boot;
pub mod bug;
pub mod burst;
pub mod callout;
pub mod chaos;
pub mod config;
pub mod counters;
pub mod creations;
pub mod ddi;
pub mod ex;
pub mod export;
pub mod hal;
pub mod interrupt;
pub mod io;
pub mod judge;
pub mod ke;
pub mod ldr;
pub mod lock;
pub mod log;
pub mod mm;
pub mod monitor;
pub mod points;
mod probe;
pub mod replay;
pub mod rng;
pub mod rtl;
pub mod serve;
pub mod status;
pub mod step;
pub mod suspend;
pub mod trace;
mod vectors;

/// Registers every export of ntoskrnl.exe and HAL.dll that the kernel itself has.
pub fn register_exports() {
    ddi::tables().for_each(ldr::export::register);
}

/// Names the function that the kernel calls once it is up, in the first thread: `fn(&'static Config)`.
#[macro_export]
macro_rules! entry {
    ($function:path) => {
        // SAFETY: the only definition of this symbol in an image, with the signature that boot declares.
        #[unsafe(no_mangle)]
        fn rundown_lab_main(config: &'static $crate::config::Config) {
            $function(config)
        }
    };
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // In one line: the report is read line by line.
    match info.location() {
        Some(place) => bug::lab_failure(format_args!("panicked at {place}: {}", info.message())),
        None => bug::lab_failure(format_args!("panicked: {}", info.message())),
    }
}
