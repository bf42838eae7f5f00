//! The control codes.
//!
//! A code is `device type << 16 | access << 14 | function << 2 | method` (`CTL_CODE`, `devioctl.h`).

/// The vendor-defined device type; Microsoft reserves those below `0x8000`.
pub const DEVICE_TYPE: u32 = 0x8052;

const METHOD_BUFFERED: u32 = 0;
const FILE_READ_ACCESS: u32 = 1;
const FILE_WRITE_ACCESS: u32 = 2;

const fn ctl_code(function: u32, access: u32) -> u32 {
    // Function codes below 0x800 are Microsoft's.
    assert!(function >= 0x800 && function < 0x1000);
    DEVICE_TYPE << 16 | access << 14 | function << 2 | METHOD_BUFFERED
}

/// Describes the driver and the machine.
pub const QUERY_INFO: u32 = ctl_code(0x800, FILE_READ_ACCESS);
/// Shows the machine code of a kind's acquire and release.
pub const QUERY_CODE: u32 = ctl_code(0x801, FILE_READ_ACCESS);
/// Starts a stress run.
pub const STRESS_START: u32 = ctl_code(0x810, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Fetches how far a run is and the sums over its arms, also while it goes on.
pub const STRESS_RESULT: u32 = ctl_code(0x811, FILE_READ_ACCESS);
/// Stops a run; returns when its threads are gone.
pub const STRESS_STOP: u32 = ctl_code(0x812, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Fetches one arm's counters and latencies, also while the run goes on.
pub const STRESS_ARM: u32 = ctl_code(0x813, FILE_READ_ACCESS);
/// Fetches the figures of the turns that are over.
pub const STRESS_TURNS: u32 = ctl_code(0x814, FILE_READ_ACCESS);
/// Tells what objects may cost.
pub const OBJECT_LIMITS: u32 = ctl_code(0x820, FILE_READ_ACCESS);
/// Makes an object.
pub const OBJECT_CREATE: u32 = ctl_code(0x821, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Acquires references on an object.
pub const OBJECT_ACQUIRE: u32 = ctl_code(0x822, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Releases references on an object.
pub const OBJECT_RELEASE: u32 = ctl_code(0x823, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Begins the run-down of an object and waits for its references; pends until then.
pub const OBJECT_WAIT: u32 = ctl_code(0x824, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Marks an object as run down.
pub const OBJECT_COMPLETED: u32 = ctl_code(0x825, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Makes an object live again.
pub const OBJECT_REINITIALIZE: u32 = ctl_code(0x826, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Shows an object's words.
pub const OBJECT_STATE: u32 = ctl_code(0x827, FILE_READ_ACCESS);
/// Destroys an object.
pub const OBJECT_DESTROY: u32 = ctl_code(0x828, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Compares ours with the operating system's, step by step.
pub const CONFORMANCE_RUN: u32 = ctl_code(0x830, FILE_READ_ACCESS | FILE_WRITE_ACCESS);
/// Runs ours and the operating system's routines on one word.
pub const INTEROP_RUN: u32 = ctl_code(0x840, FILE_READ_ACCESS | FILE_WRITE_ACCESS);

#[cfg(test)]
mod tests {
    #[test]
    fn codes_are_those_of_the_documentation() {
        assert_eq!(super::QUERY_INFO, 0x8052_6000);
        assert_eq!(super::QUERY_CODE, 0x8052_6004);
        assert_eq!(super::STRESS_START, 0x8052_e040);
        assert_eq!(super::STRESS_RESULT, 0x8052_6044);
        assert_eq!(super::STRESS_STOP, 0x8052_e048);
        assert_eq!(super::STRESS_ARM, 0x8052_604c);
        assert_eq!(super::STRESS_TURNS, 0x8052_6050);
        assert_eq!(super::OBJECT_LIMITS, 0x8052_6080);
        assert_eq!(super::OBJECT_CREATE, 0x8052_e084);
        assert_eq!(super::OBJECT_ACQUIRE, 0x8052_e088);
        assert_eq!(super::OBJECT_RELEASE, 0x8052_e08c);
        assert_eq!(super::OBJECT_WAIT, 0x8052_e090);
        assert_eq!(super::OBJECT_COMPLETED, 0x8052_e094);
        assert_eq!(super::OBJECT_REINITIALIZE, 0x8052_e098);
        assert_eq!(super::OBJECT_STATE, 0x8052_609c);
        assert_eq!(super::OBJECT_DESTROY, 0x8052_e0a0);
        assert_eq!(super::CONFORMANCE_RUN, 0x8052_e0c0);
        assert_eq!(super::INTEROP_RUN, 0x8052_e100);
    }
}
