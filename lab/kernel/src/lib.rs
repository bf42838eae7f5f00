//! The lab's kernel: a small NT-shaped executive that maps a Windows driver's own `.sys`, binds its imports, runs it at
//! CPL 0 on 1 to 8 processors of a QEMU machine, and judges it as Driver Verifier would.
//!
//! Where to look:
//! - [`hal`]: boot, processors, traps, the local APIC, clocks, ports
//! - [`mm`]: frames, page tables, the heap, the driver's pool, `KUSER_SHARED_DATA`
//! - [`ke`]: IRQLs, threads and the dispatcher, waits, DPCs, timers, spin locks
//! - [`ps`], [`ob`], [`rtl`], [`ex`], [`etw`]: what else a driver imports from ntoskrnl.exe, the native run-down routines included
//! - [`ldr`]: the image loader and the table of exports, through whose shim every call from the driver goes
//! - [`judge`]: bug checks, faults, watchdogs; [`chaos`], [`step`] and [`points`]: provocation; [`monitor`]: MONITORX and MWAITX
//!
//! The library boots and then calls what the image named with [`entry!`], in the first thread, at `PASSIVE_LEVEL`.
//!
//! # Trying it
//! `tools/lab/tests/specimens.rs` boots the image many times: the kernel's own tests on 1 to 8 processors, and bad drivers, one
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

pub mod chaos;
pub mod config;
pub mod counters;
pub mod etw;
pub mod ex;
pub mod hal;
pub mod io;
pub mod judge;
pub mod ke;
pub mod ldr;
pub mod lock;
pub mod log;
pub mod mm;
pub mod monitor;
pub mod ob;
pub mod points;
pub mod ps;
pub mod replay;
pub mod rng;
pub mod rtl;
pub mod se;
pub mod step;

/// Registers every export of ntoskrnl.exe and HAL.dll that the kernel itself has.
pub fn register_exports() {
    let tables = [
        ob::EXPORTS,
        ps::EXPORTS,
        se::EXPORTS,
        etw::EXPORTS,
        rtl::EXPORTS,
        mm::verifier::EXPORTS,
        ex::pool::EXPORTS,
        ex::rundown::EXPORTS,
        ex::rundown_cache_aware::EXPORTS,
        io::EXPORTS,
    ];
    ke::exports::TABLES
        .into_iter()
        .chain(tables)
        .for_each(ldr::export::register);
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
        Some(place) => judge::lab_failure(format_args!("panicked at {place}: {}", info.message())),
        None => judge::lab_failure(format_args!("panicked: {}", info.message())),
    }
}
