//! Names of objects that drivers make: an absolute path whose directories are there.

use crate::status;

/// The directories below the root that every Windows has and drivers make objects in. `\DosDevices` and `\??` are one.
const DIRECTORIES: &[&str] = &[
    "Device",
    "Driver",
    "FileSystem",
    "Callback",
    "BaseNamedObjects",
    "ObjectTypes",
    "DosDevices",
    "DosDevices\\Global",
    "??",
    "??\\Global",
    "GLOBAL??",
];

/// Whether an object of that name can be made, if there is none yet.
///
/// # Errors
/// `STATUS_OBJECT_PATH_SYNTAX_BAD` for what does not begin at the root, `STATUS_OBJECT_NAME_INVALID` where the name ends too early, and
/// `STATUS_OBJECT_PATH_NOT_FOUND` for one in no directory (the values of `ZwCreateDirectoryObject`'s and `ZwOpenKey`'s pages).
pub fn check(name: &str) -> Result<(), i32> {
    let path = name.strip_prefix('\\').ok_or(status::OBJECT_PATH_SYNTAX_BAD)?;
    let (directory, last) = path.rsplit_once('\\').unwrap_or(("", path));
    if last.is_empty() {
        return Err(status::OBJECT_NAME_INVALID);
    }
    let known = directory.is_empty()
        || DIRECTORIES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(directory));
    known.then_some(()).ok_or(status::OBJECT_PATH_NOT_FOUND)
}
