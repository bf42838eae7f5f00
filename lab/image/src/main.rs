//! The bootable image: what the kernel does with its module, or its self-test.

#![no_std]
#![no_main]

extern crate alloc;

mod driver;
mod selftest;

use rundown_lab_kernel::config::Config;
use rundown_lab_kernel::hal::power::{self, Exit};
use rundown_lab_kernel::ldr::{export, image::Image};
use rundown_lab_kernel::{ex, ke, log, ob, ps, rtl};

rundown_lab_kernel::entry!(main);

fn main(config: &'static Config) {
    for table in [
        ke::exports::EXPORTS, ob::EXPORTS, ps::EXPORTS, rtl::EXPORTS,
        ex::pool::EXPORTS, ex::rundown::EXPORTS, ex::rundown_cache_aware::EXPORTS,
    ] {
        export::register(table);
    }
    if config.selftest {
        let failed = selftest::run(config);
        power::power_off(if failed == 0 { Exit::Passed } else { Exit::LabFailed });
    }
    if config.module.is_empty() {
        log!("bad-input: no driver: QEMU was started without -initrd");
        power::power_off(Exit::BadInput);
    }
    let image = match Image::load(config.module) {
        Ok(image) => image,
        Err(error) => {
            log!("bad-input: {error}");
            power::power_off(Exit::BadInput);
        }
    };
    driver::run(&image, config.case);
    image.unload();
    log!("log: passed");
    power::power_off(Exit::Passed)
}
