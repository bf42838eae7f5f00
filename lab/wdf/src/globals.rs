//! The driver's globals, which every call carries.

use crate::layout::DriverGlobals;
use rundown_lab_kernel::io::object::Field;

static GLOBALS: DriverGlobals = DriverGlobals {
    driver: Field::new(0),
    flags: Field::new(0),
    tag: Field::new(u32::from_le_bytes(*b"FxDr")),
    name: Field::new([0; 32]),
    displace_driver_unload: Field::new(0),
};

/// The driver's globals, which every call carries; there is one driver.
pub fn globals() -> &'static DriverGlobals {
    &GLOBALS
}
