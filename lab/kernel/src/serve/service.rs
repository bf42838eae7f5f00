//! The driver as a service: loaded and its device started; the device removed and the driver unloaded; and both under load.

use crate::config;
use crate::ex::native;
use crate::io::object::DriverObject;
use crate::io::pnp::{self, NotStarted, Root};
use crate::io::{client, driver};
use crate::judge;
use crate::ldr::image::{Image, LoadError, Role};
use crate::lock::IrqLock;
use crate::points::{self, Point};
use crate::{bug, log, status, step, suspend};
use lab_wire::boot::Boot;
use lab_wire::frame::{Action, Seen};

/// A running driver.
pub struct Service {
    boot: &'static Boot<'static>,
    driver: &'static DriverObject,
    /// `None` for a legacy driver, whose devices are its own affair.
    root: Option<Root>,
    image: Image,
}

/// Why there is none.
pub enum Refused {
    /// The file cannot be loaded.
    Image(LoadError),
    /// A routine of the driver failed; nothing of it is left.
    Driver(NotStarted),
}

static RUNNING: IrqLock<Option<Service>> = IrqLock::new(None);

impl Service {
    /// Loads the driver, and adds and starts its device. What a driver that refuses leaves behind is a bug check.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn start(boot: &'static Boot<'static>) -> Result<Self, Refused> {
        let image = Image::load(Role::Driver, boot.driver).map_err(Refused::Image)?;
        step::watch(&native::watched(config::get().watched(image.base)));
        suspend::loaded();
        let refused = match driver::enter(&image, boot.service) {
            Ok(object) => {
                let is_legacy = boot.hardware_id.is_empty();
                let root = (!is_legacy).then(|| pnp::start(object, boot.security));
                match root.transpose() {
                    Ok(root) => {
                        return Ok(Self {
                            boot,
                            driver: object,
                            root,
                            image,
                        });
                    }
                    Err(error) => {
                        driver::unload(object, Role::Driver);
                        error
                    }
                }
            }
            Err(status) => NotStarted {
                stage: "DriverEntry",
                status,
            },
        };
        judge::unload::check(Role::Driver);
        image.unload();
        Err(Refused::Driver(refused))
    }

    /// Removes the device and unloads the driver; what stays behind is a bug check.
    pub fn stop(self, by_surprise: bool) {
        if by_surprise {
            if let Some(root) = self.root {
                root.hide();
                root.surprise_remove();
            }
            client::die();
        }
        client::close_all();
        if let Some(root) = self.root {
            root.remove();
            driver::check_devices_are_deleted(self.driver);
        }
        driver::unload(self.driver, Role::Driver);
        if driver::can_unload(self.driver) {
            judge::unload::check(Role::Driver);
            self.image.unload();
        }
    }

    /// Makes it the one that serves the host.
    pub fn run(self) {
        *RUNNING.lock() = Some(self);
    }
}

/// The root device of the running service, if it has one.
pub fn root() -> Option<Root> {
    RUNNING.lock().as_ref().and_then(|service| service.root)
}

/// Takes the running service away from the host, once.
pub fn take() -> Option<Service> {
    RUNNING.lock().take()
}

/// Surprise removal of the device, whatever is under way; its client's handles are closed, the driver is unloaded, loaded again, and started.
pub fn restart() {
    let Some(service) = take() else { return };
    if !driver::can_unload(service.driver) {
        log!("log: the driver has no unload routine, so it is not started again");
        return service.run();
    }
    let boot = service.boot;
    service.stop(true);
    match Service::start(boot) {
        Ok(service) => service.run(),
        Err(Refused::Image(error)) => {
            bug::lab_failure(format_args!("the driver was loaded before, and now: {error}"))
        }
        Err(Refused::Driver(error)) => {
            log!(
                "log: started again, {} returned {:#010x}",
                error.stage,
                error.status
            );
        }
    }
}

/// Arms what is to happen at the `nth` creation or call of an export, 0 for now, and says what was seen since this was done
/// last: first everything that is under way is waited for.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn arm(nth: u64, action: Action) -> Seen {
    points::disarm();
    client::wait_for_closes();
    points::arm(match action {
        Action::Nothing => Point::Never,
        Action::Fail => Point::Fails(nth),
        Action::Cancel => Point::Does(nth, client::cancel_all),
        Action::Close => Point::Does(nth, client::close_all),
        Action::Die => Point::Does(nth, client::die),
        Action::Restart => Point::Does(nth, restart),
    })
}

/// Starts and stops the driver again and again, with each of the creations that a start makes failing once; a line `point:` for each.
pub fn sweep_start(boot: &'static Boot<'static>) {
    for nth in 1.. {
        arm(nth, Action::Fail);
        let started = Service::start(boot);
        let seen = arm(0, Action::Nothing);
        let (stage, returned) = match started {
            Ok(service) => {
                service.stop(false);
                ("start", status::SUCCESS)
            }
            Err(Refused::Driver(error)) => (error.stage, error.status),
            Err(Refused::Image(error)) => {
                bug::lab_failure(format_args!("the driver was loaded before, and now: {error}"))
            }
        };
        if seen.creations < nth {
            log!("log: a start makes {} creations", seen.creations);
            return;
        }
        log!("point: {nth} {returned:#010x} {stage}");
    }
}
