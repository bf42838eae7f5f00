//! A driver with its INF's facts: it is loaded, its device is started, and the host is served until it says quit.

use alloc::boxed::Box;
use lab_wire::boot::Boot;
use lab_wire::frame::Reply;
use lab_wire::script;
use rundown_lab_kernel::bug;
use rundown_lab_kernel::config::Config;
use rundown_lab_kernel::ddi::ex::rundown::SLOW_PATHS;
use rundown_lab_kernel::ex::native;
use rundown_lab_kernel::hal::power::Exit;
use rundown_lab_kernel::io::{interface, registry};
use rundown_lab_kernel::log;
use rundown_lab_kernel::serve::control;
use rundown_lab_kernel::serve::framework;
use rundown_lab_kernel::serve::service::{self, Refused, Service};
use rundown_lab_kernel::suspend;

/// Runs the driver; ends with the machine.
pub(crate) fn run(config: &Config, boot: Boot<'static>) -> ! {
    let boot: &'static Boot<'static> = Box::leak(Box::new(boot));
    registry::install(boot);
    interface::install(boot.class);
    suspend::install(&boot.tsc_reads);
    if let Some(code) = &boot.native
        && let Err(error) = native::install(code, SLOW_PATHS)
    {
        refuse(&alloc::format!("native code: {error}"));
    }
    match boot.framework.map(framework::start) {
        None => rundown_lab_wdf::register_exports(),
        Some(Ok(())) => {}
        Some(Err(reason)) => refuse(&alloc::format!("the framework that it is to run on: {reason}")),
    }
    if config.sweep_start {
        service::sweep_start(boot);
    }
    match Service::start(boot) {
        Ok(service) => match script::decode(boot.script) {
            Ok(steps) => control::serve(service, config.cpus as u32, steps),
            Err(error) => bug::lab_failure(format_args!("the boot container: {error}")),
        },
        Err(Refused::Image(error)) => refuse(&error),
        Err(Refused::Driver(error)) => {
            log!("log: {} returned {:#010x}", error.stage, error.status);
            framework::stop();
            let reply = Reply::NotStarted {
                status: error.status as u32,
                stage: error.stage,
            };
            control::give_up(reply, Exit::DriverFailed)
        }
    }
}

/// Tells the host why something cannot be loaded.
fn refuse(error: &dyn core::fmt::Display) -> ! {
    let reason = alloc::format!("{error}");
    log!("bad-input: {reason}");
    control::give_up(Reply::Refused { reason: &reason }, Exit::BadInput)
}
