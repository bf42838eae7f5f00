//! What Windows answers to an installation, in one line for people: why, and what to do.
//!
//! Numbers: `winerror.h`, `setupapi.h`; Device Manager's codes: *Error codes in Device Manager in Windows*
//! (Microsoft Support), `cfg.h`.

const SIGNATURE: &str = "the package's signer is not trusted; put its certificate into Root and TrustedPublisher of the local machine";
const IMAGE: &str = "the kernel does not accept the driver's signature; `bcdedit /set testsigning on`, restart, and leave rundown.sys as it was signed";

const WIN32: &[(u32, &str, &str)] = &[
    (
        2,
        "ERROR_FILE_NOT_FOUND",
        "the INF, or a file that it names, is not there; rundown.sys and rundown.cat belong beside it",
    ),
    (3, "ERROR_PATH_NOT_FOUND", "the INF's folder is not there"),
    (
        5,
        "ERROR_ACCESS_DENIED",
        "only an administrator may do it; run it from an elevated prompt",
    ),
    (
        259,
        "ERROR_NO_MORE_ITEMS",
        "the driver that is installed is as good as this one",
    ),
    (577, "ERROR_INVALID_IMAGE_HASH", IMAGE),
    (1223, "ERROR_CANCELLED", "somebody said no"),
    (
        0x800B_0100,
        "TRUST_E_NOSIGNATURE",
        "the package is not signed; `cargo xtask package` makes a signed one",
    ),
    (0x800B_0109, "CERT_E_UNTRUSTEDROOT", SIGNATURE),
    (
        0xE000_0100,
        "ERROR_WRONG_INF_STYLE",
        "this is no INF of a driver; name rundown.inf",
    ),
    (
        0xE000_020B,
        "ERROR_NO_SUCH_DEVINST",
        "there is no device with our hardware ID; install first",
    ),
    (
        0xE000_022F,
        "ERROR_NO_CATALOG_FOR_OEM_INF",
        "the package has no catalogue; `cargo xtask package` makes one",
    ),
    (
        0xE000_0235,
        "ERROR_IN_WOW64",
        "a 32-bit client cannot install a driver; use the x64 one",
    ),
    (
        0xE000_023D,
        "ERROR_INF_IN_USE_BY_DEVICES",
        "a device still uses the package; remove the device first",
    ),
    (0xE000_0242, "ERROR_AUTHENTICODE_TRUST_NOT_ESTABLISHED", SIGNATURE),
    (0xE000_0243, "ERROR_AUTHENTICODE_PUBLISHER_NOT_TRUSTED", SIGNATURE),
    (0xE000_0247, "ERROR_DRIVER_STORE_ADD_FAILED", SIGNATURE),
    (
        0xE000_0249,
        "ERROR_DRIVER_INSTALL_BLOCKED",
        "a policy of this machine forbids the installation",
    ),
    (
        0xE000_024B,
        "ERROR_FILE_HASH_NOT_IN_CATALOG",
        "a file was changed after the package was signed; take the package as it was made",
    ),
];

const PROBLEMS: &[(u32, &str)] = &[
    (1, "no driver is configured; install again"),
    (
        10,
        "DriverEntry or AddDevice came back with an error; Device Manager's Events tab has the status",
    ),
    (14, "restart Windows"),
    (22, "it is disabled; `pnputil /enable-device`"),
    (24, "it is not there, or not all of its driver is; install again"),
    (28, "no driver is installed for it; install again"),
    (31, "the driver could not be loaded; the System log says why"),
    (
        37,
        "DriverEntry failed, or the framework could not be bound; KMDF 1.31 needs Windows 10 2004",
    ),
    (
        38,
        "an earlier rundown.sys is still in memory; close every rundownctl, or restart",
    ),
    (
        39,
        "rundown.sys is damaged, missing, or imports what this Windows does not export",
    ),
    (45, "it is not connected; install again"),
    (47, "it is prepared for removal; restart Windows"),
    (52, IMAGE),
];

/// An error of Windows' routines: number, name, meaning.
#[must_use]
pub fn win32(code: u32) -> String {
    let number = if code > 0xFFFF {
        format!("0x{code:08X}")
    } else {
        code.to_string()
    };
    match WIN32.iter().find(|(value, ..)| *value == code) {
        Some((_, name, meaning)) => format!("error {number} {name}: {meaning}"),
        None => format!(
            r"error {number}; %windir%\INF\setupapi.dev.log has the story, look for !!! from its end upwards"
        ),
    }
}

/// What a problem code of Device Manager means.
#[must_use]
pub fn problem(code: u32) -> &'static str {
    PROBLEMS.iter().find(|(value, _)| *value == code).map_or(
        "Device Manager explains it, under the device's properties",
        |(_, meaning)| meaning,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_and_there_once() {
        for (index, (code, name, _)) in WIN32.iter().enumerate() {
            assert!(win32(*code).contains(name) && !win32(*code).contains('\n'));
            assert!(
                WIN32[index + 1..].iter().all(|(other, ..)| other > code),
                "{name} is out of order"
            );
        }
        assert!(PROBLEMS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn what_is_not_in_the_tables_keeps_its_number() {
        assert!(win32(0xE000_0999).contains("0xE0000999"));
        assert!(win32(1784).contains("error 1784"));
        assert!(problem(99).contains("Device Manager"));
    }
}
