//! The registry, as far as a driver sees it here: its service's key, and what lies below.

use crate::lock::IrqLock;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use lab_wire::boot::{Boot, Value};

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
}

impl Data {
    /// The type's number.
    pub fn kind(&self) -> u32 {
        match self {
            Self::Dword(_) => REG_DWORD,
            Self::Text(_) => REG_SZ,
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

/// Whether there is such a key.
pub fn exists(key: &str) -> bool {
    KEYS.lock().iter().any(|known| known.eq_ignore_ascii_case(key))
}

/// A value of a key; names ignore case.
pub fn query(key: &str, name: &str) -> Option<Data> {
    let values = VALUES.lock();
    let found = values
        .iter()
        .find(|v| v.key.eq_ignore_ascii_case(key) && v.name.eq_ignore_ascii_case(name));
    found.map(|value| value.data.clone())
}
