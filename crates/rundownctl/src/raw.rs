//! `rundownctl raw`: one request, byte by byte, for trying what a well-behaved client never sends.

use crate::{
    cli::RawOptions,
    error::Error,
    target::{Ioctl, Target, User},
};

/// Opens the device, sends the request, closes the device.
///
/// # Errors
/// [`Error::Refused`] with the NTSTATUS, which is what one mostly wants to see.
pub fn send(target: &mut dyn Target, options: &RawOptions) -> Result<Vec<u8>, Error> {
    let user = if options.user {
        User::Other
    } else {
        User::Administrator
    };
    let handle = target.open(options.access, user)?;
    let name = format!("request 0x{:08X}", options.code);
    let request = Ioctl {
        name: &name,
        code: options.code,
        input: &options.input,
        capacity: options.out,
    };
    let answer = target.ioctl(handle, &request);
    let closed = target.close(handle);
    let answer = answer?;
    closed?;
    Ok(answer)
}

/// Bytes as hexadecimal digits; none are a dash.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "-".into()
    } else {
        hex::encode(bytes)
    }
}

/// The bytes that [`hex()`] wrote; `None` when it did not.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        Some(Vec::new())
    } else {
        hex::decode(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_there_and_back() {
        for bytes in [&[][..], &[0], &[0xff, 0x00, 0x5a]] {
            assert_eq!(unhex(&hex(bytes)).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn what_is_not_hex_is_refused() {
        for text in ["0", "0g", "0x00", "é0", "01 02"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
