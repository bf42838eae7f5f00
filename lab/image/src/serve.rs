//! A driver with its INF's facts: it is loaded, its device is started, and the host is served until it says quit.

use lab_wire::boot::Boot;
use lab_wire::frame::Reply;
use rundown_lab_kernel::config::Config;
use rundown_lab_kernel::ex::native;
use rundown_lab_kernel::hal::power::Exit;
use rundown_lab_kernel::io::pnp::NotStarted;
use rundown_lab_kernel::io::{control, driver, pnp, registry};
use rundown_lab_kernel::ldr::image::Image;
use rundown_lab_kernel::{judge, log, step};

/// Runs the driver; ends with the machine.
pub(crate) fn run(config: &Config, boot: &Boot<'_>) -> ! {
    registry::install(boot);
    if let Some(code) = &boot.native
        && let Err(error) = native::install(code)
    {
        refuse("native code", &error);
    }
    let image = match Image::load(boot.driver) {
        Ok(image) => image,
        Err(error) => refuse(boot.driver_name, &error),
    };
    log!(
        "log: {} at {:#x}, {:#x} bytes",
        boot.driver_name,
        image.base,
        image.size
    );
    step::watch(&native::watched(config.watched(image.base)));
    let object = match driver::enter(&image, boot.service) {
        Ok(object) => object,
        Err(status) => not_started(&NotStarted {
            stage: "DriverEntry",
            status,
        }),
    };
    match pnp::start(object, boot.security) {
        Ok(root) => control::serve(root, image, config.cpus as u32),
        Err(error) => {
            driver::unload(object);
            not_started(&error)
        }
    }
}

/// Tells the host why something cannot be loaded.
fn refuse(what: &str, error: &dyn core::fmt::Display) -> ! {
    let reason = alloc::format!("{error}");
    log!("bad-input: {what}: {reason}");
    control::give_up(Reply::Refused { reason: &reason }, Exit::BadInput)
}

/// Tells the host which routine failed, after a look at what it left behind.
fn not_started(error: &NotStarted) -> ! {
    log!("log: {} returned {:#010x}", error.stage, error.status);
    judge::unload::check();
    let reply = Reply::NotStarted {
        status: error.status as u32,
        stage: error.stage,
    };
    control::give_up(reply, Exit::DriverFailed)
}
