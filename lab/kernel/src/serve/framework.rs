//! A framework that the user brought, in place of the lab's own: loaded as the driver that it is, before the driver under test, and unloaded after it.

use crate::ddi::wdfldr;
use crate::io::object::DriverObject;
use crate::io::{driver, registry};
use crate::judge::unload;
use crate::ldr::export;
use crate::ldr::image::{Image, Role};
use crate::lock::IrqLock;
use crate::log;
use alloc::format;
use alloc::string::String;

/// Its service, as Windows has it.
const SERVICE: &str = "Wdf01000";

static RUNNING: IrqLock<Option<(Image, &'static DriverObject)>> = IrqLock::new(None);

/// Loads the framework, which registers and is commissioned: drivers are bound to it from now on.
///
/// # Errors
/// For people: what is wrong with it.
pub fn start(file: &[u8]) -> Result<(), String> {
    export::register(wdfldr::EXPORTS);
    registry::create(&registry::service_key(SERVICE)).map_err(|status| format!("no key: {status:#010x}"))?;
    let image = Image::load(Role::Framework, file).map_err(|error| format!("{error}"))?;
    let entered = driver::enter(&image, SERVICE);
    match (entered, wdfldr::registered()) {
        (Ok(object), Some((major, minor))) => {
            log!("log: the driver runs on the framework that was given, KMDF {major}.{minor}");
            unload::begin();
            *RUNNING.lock() = Some((image, object));
            Ok(())
        }
        (Ok(_), None) => {
            Err("its DriverEntry succeeds and calls no WdfRegisterLibrary: it is no library of KMDF".into())
        }
        (Err(status), None) => Err(format!("its DriverEntry returned {status:#010x}")),
        (Err(status), Some(_)) => Err(format!(
            "its DriverEntry returned {status:#010x} after WdfRegisterLibrary had succeeded"
        )),
    }
}

/// Decommissions and unloads it, if there is one; what it leaves behind is a bug check. It stays with a driver that has no unload routine.
pub fn stop() {
    if wdfldr::is_bound() {
        log!("log: the framework stays loaded, since its driver does");
        return;
    }
    let Some((image, object)) = RUNNING.lock().take() else {
        return;
    };
    unload::end();
    wdfldr::decommission();
    driver::unload(object, Role::Framework);
    unload::check(Role::Framework);
    image.unload();
}
