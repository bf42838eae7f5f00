//! Calling a driver's callbacks.
use rundown_lab_kernel::callout;

/// A callback that a driver may leave out: its address, or 0.
pub type Callback = u64;

/// Calls a callback with up to five arguments, and checks how it comes back; what it returns, if anything, is in the result.
/// A callback that the driver left out (0) is not called.
pub fn invoke(name: &'static str, callback: Callback, arguments: [u64; 5]) -> Option<u64> {
    type Routine = unsafe extern "win64" fn(u64, u64, u64, u64, u64) -> u64;
    if callback == 0 {
        return None;
    }
    // SAFETY: the driver gave this address for a callback of that name; the win64 convention lets a callee take fewer arguments.
    let routine = unsafe { core::mem::transmute::<u64, Routine>(callback) };
    let [first, second, third, fourth, fifth] = arguments;
    Some(callout::call_driver(name, || {
        // SAFETY: the arguments are the callback's, by its declaration in the framework's headers.
        unsafe { routine(first, second, third, fourth, fifth) }
    }))
}

/// The same for a callback that returns an NTSTATUS; one that was left out succeeds.
pub fn invoke_for_status(name: &'static str, callback: Callback, arguments: [u64; 5]) -> i32 {
    invoke(name, callback, arguments).map_or(0, |status| status as i32)
}
