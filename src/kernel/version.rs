//! Versions: the driver's and the system's.

use wdk_sys::{RTL_OSVERSIONINFOW, ntddk::RtlGetVersion};

use super::size_of_u32;

/// The driver's version, from its manifest.
pub(crate) const fn driver() -> [u16; 3] {
    [
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        number(env!("CARGO_PKG_VERSION_PATCH")),
    ]
}

const fn number(text: &str) -> u16 {
    match u16::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a version number beyond 65535"),
    }
}

/// The system's major, minor and build number.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn system() -> [u32; 3] {
    let mut version = RTL_OSVERSIONINFOW {
        dwOSVersionInfoSize: size_of_u32::<RTL_OSVERSIONINFOW>(),
        ..RTL_OSVERSIONINFOW::default()
    };
    // SAFETY: the structure is of the size that it names. The routine always succeeds.
    let _ = unsafe { RtlGetVersion(&raw mut version) };
    [
        version.dwMajorVersion,
        version.dwMinorVersion,
        version.dwBuildNumber,
    ]
}
