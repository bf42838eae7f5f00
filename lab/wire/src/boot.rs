//! The container that QEMU passes to the kernel as its initrd: the driver, and what its INF says. The run's configuration
//! (processors, seed, mode, ...) is needed before there is a heap, and travels on the kernel's command line.
//!
//! ```text
//! 0   8  magic "RUNDLAB\x01"
//! 8   4  version
//! 12  4  length of all records
//! 16     records: u32 tag, u32 length, that many bytes
//! ```
//! Every record occurs once, but for [`Parameter`]s, and none is optional, so that nothing has a hidden default; but for
//! [`Native`] and the framework, which are there when the user has brought them.

use crate::codec::{Put, Reader, Result, WireError, length_u32};
use crate::native::Native;
use alloc::vec::Vec;

const MAGIC: &[u8; 8] = b"RUNDLAB\x01";
const VERSION: u32 = 3;

/// Where the kernel puts the first image of the driver; one that is loaded again lies behind it.
pub const IMAGES: u64 = 0xFFFF_F800_1000_0000;
/// Where the kernel puts a framework that the user brought: apart, so that the driver lies where it lies without one.
pub const FRAMEWORKS: u64 = 0xFFFF_F880_0000_0000;
/// The last address that an image can have.
pub const IMAGES_END: u64 = 0xFFFF_F8FF_FFFF_FFFF;

/// A value of the service's registry key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The key below the service's, `Parameters` as a rule, without a leading backslash; empty for the service's own.
    pub key: &'a str,
    /// The value's name.
    pub name: &'a str,
    /// Type and data.
    pub value: Value<'a>,
}

/// Type and data of a registry value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_SZ`.
    Text(&'a str),
}

/// Everything that the kernel is told before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot<'a> {
    /// The driver's file name, for messages: `rundown.sys`.
    pub driver_name: &'a str,
    /// The service's name from the INF's `AddService`; its key is `\Registry\Machine\System\CurrentControlSet\Services\<this>`.
    pub service: &'a str,
    /// The hardware id of the root device: `Root\Rundown`; empty for a driver that is no Plug and Play driver, for which there is none.
    pub hardware_id: &'a str,
    /// The setup class's name from `[Version]`.
    pub class: &'a str,
    /// The device's security descriptor in SDDL, or an empty text where the INF sets none.
    pub security: &'a str,
    /// Values of the service's key.
    pub parameters: Vec<Parameter<'a>>,
    /// A [`script`](crate::script) for the kernel to carry out by itself; empty if a client steers the run.
    pub script: &'a [u8],
    /// The driver's file, byte for byte.
    pub driver: &'a [u8],
    /// Where the driver reads the time-stamp counter, relative to its base; empty if that is not known.
    pub tsc_reads: Vec<u32>,
    /// A `Wdf01000.sys`, byte for byte, for the driver to run on; `None` for the lab's own framework.
    pub framework: Option<&'a [u8]>,
    /// NT's own run-down routines; `None` for the kernel's reference.
    pub native: Option<Native<'a>>,
}

/// The records' tags, and what messages call them.
macro_rules! tags {
    ($($name:ident = $value:literal $text:literal,)*) => {
        $(const $name: u32 = $value;)*
        fn tag_name(tag: u32) -> Result<&'static str> {
            match tag {
                $($name => Ok($text),)*
                other => Err(WireError::Value("a boot record's tag", u64::from(other))),
            }
        }
    };
}

tags! {
    DRIVER_NAME = 1 "the driver's name",
    SERVICE = 2 "the service's name",
    HARDWARE_ID = 3 "the hardware id",
    CLASS = 4 "the setup class",
    SECURITY = 5 "the security descriptor",
    PARAMETER = 6 "a registry value",
    DRIVER = 7 "the driver's file",
    SCRIPT = 8 "the script",
    NATIVE = 9 "the native code",
    TSC_READS = 10 "the reads of the time-stamp counter",
    FRAMEWORK = 11 "the framework's file",
}

impl Boot<'_> {
    /// The container's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut records = Vec::with_capacity(self.driver.len() + 1024);
        let mut record = |tag, bytes: &[u8]| {
            records.put_u32(tag);
            records.put_u32(length_u32(bytes.len()));
            records.put_bytes(bytes);
        };
        record(DRIVER_NAME, self.driver_name.as_bytes());
        record(SERVICE, self.service.as_bytes());
        record(HARDWARE_ID, self.hardware_id.as_bytes());
        record(CLASS, self.class.as_bytes());
        record(SECURITY, self.security.as_bytes());
        for parameter in &self.parameters {
            record(PARAMETER, &encode_parameter(parameter));
        }
        record(SCRIPT, self.script);
        record(DRIVER, self.driver);
        let reads: Vec<u8> = self
            .tsc_reads
            .iter()
            .flat_map(|read| read.to_le_bytes())
            .collect();
        record(TSC_READS, &reads);
        if let Some(framework) = self.framework {
            record(FRAMEWORK, framework);
        }
        if let Some(native) = &self.native {
            record(NATIVE, &native.encode());
        }

        let mut container = Vec::with_capacity(records.len() + 16);
        container.put_bytes(MAGIC);
        container.put_u32(VERSION);
        container.put_u32(length_u32(records.len()));
        container.put_bytes(&records);
        container
    }
}

impl<'a> Boot<'a> {
    /// Reads a container; the result borrows from `bytes`. Bytes after the container are ignored, since a boot loader may
    /// round a module up to whole pages.
    ///
    /// # Errors
    /// [`WireError`] names the first item that is wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        if reader.bytes(MAGIC.len(), "the boot container")? != MAGIC {
            return Err(WireError::Magic("the boot container"));
        }
        let version = reader.u32("the boot container")?;
        if version != VERSION {
            return Err(WireError::Version("the boot container", version));
        }
        let length = reader.u32("the boot container")? as usize;
        let mut records = Reader::new(reader.bytes(length, "the boot container")?);

        let [
            mut driver_name,
            mut service,
            mut hardware_id,
            mut class,
            mut security,
        ] = [None; 5];
        let [mut script, mut driver] = [None; 2];
        let mut tsc_reads = None;
        let (mut native, mut framework) = (None, None);
        let mut parameters = Vec::new();
        while !records.is_empty() {
            let tag = records.u32("a boot record")?;
            let name = tag_name(tag)?;
            let length = records.u32(name)? as usize;
            let body = records.bytes(length, name)?;
            match tag {
                DRIVER_NAME => once(&mut driver_name, text(body, name)?, name)?,
                SERVICE => once(&mut service, text(body, name)?, name)?,
                HARDWARE_ID => once(&mut hardware_id, text(body, name)?, name)?,
                CLASS => once(&mut class, text(body, name)?, name)?,
                SECURITY => once(&mut security, text(body, name)?, name)?,
                PARAMETER => parameters.push(decode_parameter(body)?),
                SCRIPT => once(&mut script, body, name)?,
                TSC_READS => once(&mut tsc_reads, decode_reads(body, name)?, name)?,
                FRAMEWORK => once(&mut framework, body, name)?,
                NATIVE => once(&mut native, Native::decode(body)?, name)?,
                _ => once(&mut driver, body, name)?,
            }
        }
        Ok(Self {
            driver_name: found(driver_name, DRIVER_NAME)?,
            service: found(service, SERVICE)?,
            hardware_id: found(hardware_id, HARDWARE_ID)?,
            class: found(class, CLASS)?,
            security: found(security, SECURITY)?,
            parameters,
            script: found(script, SCRIPT)?,
            driver: found(driver, DRIVER)?,
            tsc_reads: found(tsc_reads, TSC_READS)?,
            framework,
            native,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(WireError::Twice(name)),
    }
}

fn found<T>(place: Option<T>, tag: u32) -> Result<T> {
    place.map_or_else(|| Err(WireError::Missing(tag_name(tag)?)), Ok)
}

fn text<'a>(bytes: &'a [u8], name: &'static str) -> Result<&'a str> {
    core::str::from_utf8(bytes).map_err(|_| WireError::Text(name))
}

fn decode_reads(bytes: &[u8], name: &'static str) -> Result<Vec<u32>> {
    let mut reader = Reader::new(bytes);
    let mut reads = Vec::new();
    while !reader.is_empty() {
        reads.push(reader.u32(name)?);
    }
    Ok(reads)
}

fn encode_parameter(parameter: &Parameter<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_text(parameter.key);
    out.put_text(parameter.name);
    match parameter.value {
        Value::Dword(value) => {
            out.put_u8(0);
            out.put_u32(value);
        }
        Value::Text(value) => {
            out.put_u8(1);
            out.put_text(value);
        }
    }
    out
}

fn decode_parameter(bytes: &[u8]) -> Result<Parameter<'_>> {
    const ITEM: &str = "a registry value";
    let mut reader = Reader::new(bytes);
    let parameter = Parameter {
        key: reader.text(ITEM)?,
        name: reader.text(ITEM)?,
        value: match reader.u8(ITEM)? {
            0 => Value::Dword(reader.u32(ITEM)?),
            1 => Value::Text(reader.text(ITEM)?),
            other => return Err(WireError::Value("a registry value's type", u64::from(other))),
        },
    };
    reader.end(ITEM)?;
    Ok(parameter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample() -> Boot<'static> {
        Boot {
            driver_name: "rundown.sys",
            service: "rundown",
            hardware_id: "Root\\Rundown",
            class: "Rundown",
            security: "D:P(A;;GA;;;SY)(A;;GA;;;BA)",
            parameters: vec![
                Parameter {
                    key: "Parameters",
                    name: "SpinCycles",
                    value: Value::Dword(10240),
                },
                Parameter {
                    key: "",
                    name: "Note",
                    value: Value::Text("größer"),
                },
            ],
            script: b"steps",
            driver: b"MZ\0\x01\x02",
            tsc_reads: vec![0x1013, 0x20_0000],
            framework: Some(b"MZ\0\x03"),
            native: Some(Native {
                size: 0x1000,
                segments: vec![],
                routines: vec![],
                missing: vec![],
                cr8_reads: vec![7],
            }),
        }
    }

    #[test]
    fn round_trip() {
        let bytes = sample().encode();
        assert_eq!(Boot::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn what_the_user_brings_may_be_absent() {
        let plain = Boot {
            framework: None,
            native: None,
            ..sample()
        };
        assert_eq!(Boot::decode(&plain.encode()), Ok(plain));
    }

    #[test]
    fn a_module_rounded_up_to_pages_is_read() {
        let mut bytes = sample().encode();
        bytes.resize(4096, 0);
        assert_eq!(Boot::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert!(
                Boot::decode(&bytes[..length]).is_err(),
                "{length} bytes were accepted"
            );
        }
    }

    /// Flips each byte in turn: whatever comes out, it must be a value or an error, never a panic.
    #[test]
    fn every_flipped_byte_is_survived() {
        let bytes = sample().encode();
        for position in 0..bytes.len() {
            for bit in [0x01, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[position] ^= bit;
                let _ = Boot::decode(&changed);
            }
        }
    }

    #[test]
    fn errors_name_the_item() {
        assert_eq!(
            Boot::decode(&[0; 64]),
            Err(WireError::Magic("the boot container"))
        );

        let mut other_version = sample().encode();
        other_version[8] = 9;
        assert_eq!(
            Boot::decode(&other_version),
            Err(WireError::Version("the boot container", 9))
        );

        let mut empty = Vec::new();
        empty.put_bytes(MAGIC);
        empty.put_u32(VERSION);
        empty.put_u32(0);
        assert_eq!(Boot::decode(&empty), Err(WireError::Missing("the driver's name")));

        let mut twice = Vec::new();
        twice.put_bytes(MAGIC);
        twice.put_u32(VERSION);
        twice.put_u32(16);
        for _ in 0..2 {
            twice.put_u32(SERVICE);
            twice.put_u32(0);
        }
        assert_eq!(Boot::decode(&twice), Err(WireError::Twice("the service's name")));
    }
}
