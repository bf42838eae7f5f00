//! The bootable image: what the kernel does with its module, or its self-test. A boot container is served ([`serve`]); a bare
//! driver runs from entry to unload ([`driver`]).

#![no_std]
#![no_main]

extern crate alloc;

mod driver;
mod selftest;
mod serve;

use lab_wire::WireError;
use lab_wire::boot::Boot;
use rundown_lab_kernel::config::Config;
use rundown_lab_kernel::hal::power::{self, Exit};
use rundown_lab_kernel::ldr::export;
use rundown_lab_kernel::ldr::image::{Image, Role};
use rundown_lab_kernel::{counters, judge, log, step};

rundown_lab_kernel::entry!(main);

/// A line for each routine and variable that a driver can import, and for each function of the framework; what only traps says so.
fn list_exports() {
    let trap = |is: bool| if is { " trap" } else { "" };
    export::for_each(|export| {
        log!(
            "export: {} {}{}",
            export.module,
            export.name,
            trap(export.is_trap())
        );
    });
    rundown_lab_wdf::table::for_each(|name, implemented| log!("export: KMDF {name}{}", trap(!implemented)));
}

fn main(config: &'static Config) {
    rundown_lab_kernel::register_exports();
    if config.exports {
        rundown_lab_wdf::register_exports();
        list_exports();
        power::power_off(Exit::Passed);
    }
    if config.selftest {
        let failed = selftest::run(config);
        power::power_off(if failed == 0 {
            Exit::Passed
        } else {
            Exit::LabFailed
        });
    }
    if config.module.is_empty() {
        log!("bad-input: no driver: QEMU was started without -initrd");
        power::power_off(Exit::BadInput);
    }
    match Boot::decode(config.module) {
        Ok(boot) => serve::run(config, boot),
        // Any other module is a driver by itself: the kernel's own tests boot like that.
        Err(WireError::Magic(_)) => {}
        Err(error) => {
            log!("bad-input: the module: {error}");
            power::power_off(Exit::BadInput);
        }
    }
    let image = match Image::load(Role::Driver, config.module) {
        Ok(image) => image,
        Err(error) => {
            log!("bad-input: {error}");
            power::power_off(Exit::BadInput);
        }
    };
    step::watch(&config.watched(image.base));
    driver::run(&image, config.case.as_str());
    image.unload();
    log!("log:{}", judge::Words(&counters::all()));
    log!("log: passed");
    power::power_off(Exit::Passed)
}
