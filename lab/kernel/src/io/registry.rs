//! The registry, as far as a driver sees it here: its service's key, and what lies below or what the driver makes. It is gone with the machine.

use crate::lock::IrqLock;
use crate::status;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use lab_wire::boot::{Boot, Value};

/// The root of all keys.
const ROOT: &str = "\\Registry";

/// `REG_SZ`.
pub const REG_SZ: u32 = 1;
/// `REG_DWORD`.
pub const REG_DWORD: u32 = 4;

/// Where the services' keys are.
const SERVICES: &str = "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\";

/// Type and data of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_SZ`, without its terminating zero.
    Text(String),
    /// Anything else: its type, and what is stored.
    Other(u32, Vec<u8>),
}

impl Data {
    /// The type's number.
    pub fn kind(&self) -> u32 {
        match self {
            Self::Dword(_) => REG_DWORD,
            Self::Text(_) => REG_SZ,
            Self::Other(kind, _) => *kind,
        }
    }

    /// The data as the registry stores it; a text with its terminating zero.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Dword(value) => value.to_le_bytes().to_vec(),
            Self::Text(text) => text
                .encode_utf16()
                .chain([0])
                .flat_map(u16::to_le_bytes)
                .collect(),
            Self::Other(_, bytes) => bytes.clone(),
        }
    }

    /// What a driver stores as a value of that type.
    pub fn of(kind: u32, bytes: &[u8]) -> Self {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        match (kind, bytes) {
            (REG_DWORD, &[a, b, c, d]) => Self::Dword(u32::from_le_bytes([a, b, c, d])),
            // Only what reads back as the same bytes.
            (REG_SZ, _) if bytes.len().is_multiple_of(2) => match units.split_last() {
                Some((0, text)) if !text.contains(&0) => {
                    String::from_utf16(text).map_or_else(|_| Self::Other(kind, bytes.to_vec()), Self::Text)
                }
                _ => Self::Other(kind, bytes.to_vec()),
            },
            _ => Self::Other(kind, bytes.to_vec()),
        }
    }
}

struct Stored {
    /// The key's whole path.
    key: String,
    name: String,
    data: Data,
}

static VALUES: IrqLock<Vec<Stored>> = IrqLock::new(Vec::new());
static KEYS: IrqLock<Vec<String>> = IrqLock::new(Vec::new());

/// The path of a service's key.
pub fn service_key(service: &str) -> String {
    SERVICES.to_string() + service
}

/// Writes what the INF says about the service.
pub fn install(boot: &Boot<'_>) {
    let service = service_key(boot.service);
    let parameters = service.clone() + "\\Parameters";
    *KEYS.lock() = alloc::vec![service.clone(), parameters];
    for parameter in &boot.parameters {
        let key = if parameter.key.is_empty() {
            service.clone()
        } else {
            service.clone() + "\\" + parameter.key
        };
        let known = KEYS.lock().iter().any(|other| other.eq_ignore_ascii_case(&key));
        if !known {
            KEYS.lock().push(key.clone());
        }
        let data = match parameter.value {
            Value::Dword(value) => Data::Dword(value),
            Value::Text(text) => Data::Text(text.to_string()),
        };
        VALUES.lock().push(Stored {
            key,
            name: parameter.name.to_string(),
            data,
        });
    }
}

/// Whether there is such a key, or one below it.
pub fn exists(key: &str) -> bool {
    key.eq_ignore_ascii_case(ROOT)
        || KEYS
            .lock()
            .iter()
            .any(|known| known.eq_ignore_ascii_case(key) || name_below(key, known).is_some())
}

/// What follows `key` in the path of a key below it.
fn name_below<'a>(key: &str, path: &'a str) -> Option<&'a str> {
    let head = path.get(..key.len())?;
    let rest = path.get(key.len()..)?;
    head.eq_ignore_ascii_case(key)
        .then(|| rest.strip_prefix('\\'))
        .flatten()
}

/// Makes a key below one that there is; whether it was made, or was there.
///
/// # Errors
/// An NTSTATUS: the key above is not there, or the path is none.
pub fn create(key: &str) -> Result<bool, i32> {
    if name_below(ROOT, key).is_none_or(|rest| rest.is_empty() || rest.ends_with('\\')) {
        return Err(status::OBJECT_PATH_SYNTAX_BAD);
    }
    if exists(key) {
        return Ok(false);
    }
    let (above, _) = key.rsplit_once('\\').unwrap_or((key, ""));
    if !exists(above) {
        return Err(status::OBJECT_NAME_NOT_FOUND);
    }
    KEYS.lock().push(key.to_string());
    Ok(true)
}

/// Deletes a key with its values.
///
/// # Errors
/// `STATUS_CANNOT_DELETE` if there are keys below it (`ZwDeleteKey`'s page).
pub fn delete(key: &str) -> Result<(), i32> {
    if !keys_below(key).is_empty() {
        return Err(status::CANNOT_DELETE);
    }
    KEYS.lock().retain(|known| !known.eq_ignore_ascii_case(key));
    VALUES.lock().retain(|value| !value.key.eq_ignore_ascii_case(key));
    Ok(())
}

/// The names of the keys right below.
pub fn keys_below(key: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for known in KEYS.lock().iter() {
        let Some(name) = name_below(key, known).and_then(|rest| rest.split('\\').next()) else {
            continue;
        };
        if !names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            names.push(name.to_string());
        }
    }
    names
}

/// The values of a key, with their names.
pub fn values(key: &str) -> Vec<(String, Data)> {
    let values = VALUES.lock();
    let own = values.iter().filter(|value| value.key.eq_ignore_ascii_case(key));
    own.map(|value| (value.name.clone(), value.data.clone()))
        .collect()
}

/// Stores a value of a key.
pub fn set(key: &str, name: &str, data: Data) {
    remove(key, name);
    VALUES.lock().push(Stored {
        key: key.to_string(),
        name: name.to_string(),
        data,
    });
}

/// Deletes a value of a key; false if there was none.
pub fn remove(key: &str, name: &str) -> bool {
    let mut values = VALUES.lock();
    let before = values.len();
    values.retain(|value| !(value.key.eq_ignore_ascii_case(key) && value.name.eq_ignore_ascii_case(name)));
    values.len() != before
}

/// A value of a key; names ignore case.
pub fn query(key: &str, name: &str) -> Option<Data> {
    let values = VALUES.lock();
    let found = values
        .iter()
        .find(|v| v.key.eq_ignore_ascii_case(key) && v.name.eq_ignore_ascii_case(name));
    found.map(|value| value.data.clone())
}
