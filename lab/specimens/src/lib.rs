//! Specimens: bad drivers for the lab's judge, one offence each, in one `.sys`. The last word of the registry path, which is the
//! service's name, says which one this run is: `rundown-lab-kernel` gets it by `case=NAME`, `tools/lab/tests/specimens.rs` has the
//! table of what each must end in. The specimen `device` is an ordinary WDM driver whose requests are the offences.
//!
//! The code is wrong on purpose, so the house's rules for `unsafe` have no meaning here: what a block does to the machine is what the
//! function's name says. What is right on purpose is in [`sound`].

#![no_std]
#![allow(non_snake_case, reason = "NT's names")]

mod conformance;
mod csq;
mod device;
mod etw;
mod faults;
mod files;
mod irql;
mod legacy;
mod locks;
mod mdl;
mod native_run_down;
mod nt;
mod objects;
mod owned;
mod pool;
mod registry;
mod run_down;
mod sound;

use core::ffi::c_void;
use nt::{FAILED, UnicodeString};

/// What a specimen does; its result is `DriverEntry`'s, an NTSTATUS.
type Specimen = unsafe fn() -> i32;

const SPECIMENS: [&[(&str, Specimen)]; 15] = [
    sound::SPECIMENS,
    conformance::SPECIMENS,
    csq::SPECIMENS,
    etw::SPECIMENS,
    faults::SPECIMENS,
    files::SPECIMENS,
    irql::SPECIMENS,
    locks::SPECIMENS,
    mdl::SPECIMENS,
    native_run_down::SPECIMENS,
    objects::SPECIMENS,
    owned::SPECIMENS,
    pool::SPECIMENS,
    registry::SPECIMENS,
    run_down::SPECIMENS,
];

unsafe extern "system" fn unload(_driver: *mut c_void) {
    unsafe {
        faults::read_kept_text();
        legacy::unload();
    }
}

#[unsafe(no_mangle)]
unsafe extern "system" fn DriverEntry(driver: *mut c_void, path: *const UnicodeString) -> i32 {
    unsafe {
        nt::driver::UNLOAD.write(driver, unload as *const () as u64);
        nt::DRIVER = driver;
        nt::PATH = path;
    }
    let path = unsafe { core::slice::from_raw_parts((*path).buffer, (*path).length as usize / 2) };
    let name = path
        .rsplit(|&unit| unit == u16::from(b'\\'))
        .next()
        .unwrap_or(path);
    let is = |word: &str| word.encode_utf16().eq(name.iter().copied());
    // The service of a driver that has no INF is called as its file.
    if is("specimens") {
        return unsafe { legacy::initialize(driver) };
    }
    if is("device") {
        return unsafe { device::initialize(driver) };
    }
    match SPECIMENS
        .iter()
        .flat_map(|table| table.iter())
        .find(|(word, _)| is(word))
    {
        Some((_, specimen)) => unsafe { specimen() },
        None => FAILED,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { nt::KeBugCheckEx(0xE, 0, 0, 0, 0) }
}
