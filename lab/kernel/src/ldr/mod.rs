//! Loading a driver: the image, its imports, and the calls in both directions.

pub mod export;
pub mod image;
pub mod missing;
pub mod pe;

use crate::ke::stay;
use core::mem::transmute;

/// Calls a win64 function of the driver's.
///
/// # Safety
/// `address` is a function that takes these arguments (fewer are fine) and returns at most a word in RAX.
pub unsafe fn call(address: u64, arguments: [u64; 4]) -> u64 {
    type Routine = unsafe extern "win64" fn(u64, u64, u64, u64) -> u64;
    // SAFETY: the caller promises that a function lies there.
    let routine = unsafe { transmute::<u64, Routine>(address) };
    let [first, second, third, fourth] = arguments;
    stay::during(address, || {
        // SAFETY: and that these are its arguments.
        unsafe { routine(first, second, third, fourth) }
    })
}
