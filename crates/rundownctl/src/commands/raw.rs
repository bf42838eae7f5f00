//! `rundownctl raw`: one request, byte by byte, for trying what a well-behaved client never sends.

use std::sync::Arc;

use clap::Args;

use crate::{
    error::Error,
    hexadecimal, print,
    session::Session,
    target::{Access, Ioctl, Target, User},
};

/// One request, byte by byte.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The control code, such as 0x80526000
    #[arg(value_parser = code)]
    pub code: u32,
    /// The input in hexadecimal digits; `-` for none
    #[arg(value_parser = bytes, value_name = "HEX", default_value = "-", allow_hyphen_values = true)]
    pub input: Bytes,
    /// The size of the output buffer in bytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub out: usize,
    /// The access to open the device with
    #[arg(long, value_enum, default_value_t = Access::ReadWrite)]
    pub access: Access,
    /// Open the device as a user without rights (the lab only)
    #[arg(long)]
    pub user: bool,
}

/// Input bytes. A type of its own, because clap reads `Vec<u8>` as an argument that is given many times.
pub type Bytes = Arc<[u8]>;

fn code(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("a control code is a 32-bit number such as 0x80526000: {error}"))
}

fn bytes(text: &str) -> Result<Bytes, String> {
    hexadecimal::decode(text)
        .map(Bytes::from)
        .ok_or_else(|| "bytes are pairs of hexadecimal digits, or `-` for none".into())
}

/// Opens the device, sends the request, closes the device, prints the answer.
///
/// # Errors
/// [`Error::Refused`] with the NTSTATUS, which is what one mostly wants to see.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let mut target = session.connect()?;
    let output = send(&mut *target, options)?;
    target.finish()?;
    print::line(hexadecimal::encode(&output))?;
    Ok(0)
}

fn send(target: &mut dyn Target, options: &Options) -> Result<Vec<u8>, Error> {
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    #[test]
    fn codes_and_bytes_are_read() {
        let cli = Cli::parse_from([
            "rundownctl",
            "raw",
            "0x80526000",
            "0800000001000000",
            "--out",
            "80",
        ]);
        let Command::Raw(raw) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!((raw.code, raw.out), (0x8052_6000, 80));
        assert_eq!(&raw.input[..], [8, 0, 0, 0, 1, 0, 0, 0]);
        assert!(Cli::try_parse_from(["rundownctl", "raw", "0x180526000"]).is_err());
        assert!(Cli::try_parse_from(["rundownctl", "raw", "1", "0"]).is_err());
    }
}
