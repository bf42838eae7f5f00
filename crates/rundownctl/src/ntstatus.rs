//! NTSTATUS values in one line for people.
//!
//! The driver's own refusals are explained by [`rundown_abi::Refusal`]; here are those that Windows or the framework
//! answers in the driver's place. Names and values: `ntstatus.h`.

use rundown_abi::Refusal;

const SYSTEM: &[(u32, &str, &str)] = &[
    (0x0000_0000, "STATUS_SUCCESS", "it was done"),
    (
        0xC000_0001,
        "STATUS_UNSUCCESSFUL",
        "the driver failed without saying why; see its trace",
    ),
    (
        0xC000_0002,
        "STATUS_NOT_IMPLEMENTED",
        "this driver or lab does not have it",
    ),
    (
        0xC000_0008,
        "STATUS_INVALID_HANDLE",
        "the device is no longer open",
    ),
    (0xC000_000D, "STATUS_INVALID_PARAMETER", "a parameter is wrong"),
    (
        0xC000_000E,
        "STATUS_NO_SUCH_DEVICE",
        "the device is gone; is the driver installed and started?",
    ),
    (
        0xC000_0022,
        "STATUS_ACCESS_DENIED",
        "the device is for SYSTEM and Administrators, and a request needs a handle with its access; run it elevated",
    ),
    (
        0xC000_0034,
        "STATUS_OBJECT_NAME_NOT_FOUND",
        "there is no such device; is the driver installed and started?",
    ),
    (
        0xC000_0056,
        "STATUS_DELETE_PENDING",
        "the device is being removed",
    ),
    (
        0xC000_00A3,
        "STATUS_DEVICE_NOT_READY",
        "the device has not started yet; try again",
    ),
    (0xC000_0120, "STATUS_CANCELLED", "the request was cancelled"),
    (
        0xC000_0184,
        "STATUS_INVALID_DEVICE_STATE",
        "the device is starting or stopping; try again",
    ),
];

/// Explains `status` in one line: value, name, meaning.
#[must_use]
pub fn explain(status: u32) -> String {
    if let Some(refusal) = Refusal::from_status(status) {
        return format!("0x{status:08X} {}: {}", refusal.status_name(), refusal.explain());
    }
    match SYSTEM.iter().find(|(value, ..)| *value == status) {
        Some((_, name, meaning)) => format!("0x{status:08X} {name}: {meaning}"),
        None => format!("0x{status:08X}, which none of our requests answers; `ntstatus.h` has its name"),
    }
}

/// Whether a request that completed with `status` did its work (`NT_SUCCESS`, `ntdef.h`).
#[must_use]
pub const fn is_success(status: u32) -> bool {
    status >> 31 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_explained_by_name() {
        for &refusal in Refusal::ALL {
            let line = explain(refusal.status());
            assert!(line.contains(refusal.status_name()), "{line}");
            assert!(!line.contains('\n'), "one line: {line}");
        }
    }

    #[test]
    fn a_status_has_one_explanation() {
        for (index, (status, name, _)) in SYSTEM.iter().enumerate() {
            assert!(
                Refusal::from_status(*status).is_none(),
                "{name} is a refusal of the driver's"
            );
            assert!(
                SYSTEM[index + 1..].iter().all(|(other, ..)| other != status),
                "{name} is there twice"
            );
        }
    }

    #[test]
    fn an_unknown_status_keeps_its_value() {
        assert!(explain(0xC0FF_EE00).starts_with("0xC0FFEE00"));
    }

    #[test]
    fn success_is_what_nt_says_it_is() {
        assert!(is_success(0) && is_success(0x103) && is_success(0x4000_0000));
        assert!(!is_success(0x8000_0011) && !is_success(0xC000_0010));
    }
}
