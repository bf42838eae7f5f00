//! What every structure of the protocol begins with, and how a request's bytes become one.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Refusal;

/// The protocol's version. A driver refuses every other one, so that neither side guesses at a structure.
pub const VERSION: u32 = 3;

/// The first eight bytes of every input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Header {
    /// Offset 0: the size of the whole structure in bytes.
    pub size: u32,
    /// Offset 4: [`VERSION`].
    pub version: u32,
}

impl Header {
    /// The header of a structure `T`.
    ///
    /// # Panics
    /// At compile time, for a structure of 4 GiB or more.
    #[must_use]
    pub const fn of<T>() -> Self {
        assert!(size_of::<T>() <= u32::MAX as usize);
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        Self {
            size: size_of::<T>() as u32,
            version: VERSION,
        }
    }
}

/// The input structure of a request.
pub trait Request: FromBytes + KnownLayout + Immutable + Copy {
    /// The header that the sender filled.
    fn header(&self) -> Header;

    /// Checks everything that can be judged without knowing the machine.
    ///
    /// # Errors
    /// The first field that is wrong, as a [`Refusal`].
    fn check(&self) -> Result<(), Refusal>;
}

/// Reads a request from the bytes that a client sent, and checks it; nothing about them is taken for granted.
///
/// # Errors
/// As [`read`], then what the request's own [`Request::check`] finds.
pub fn parse<T: Request>(input: &[u8]) -> Result<T, Refusal> {
    let request: T = read(input)?;
    request.check()?;
    Ok(request)
}

/// Reads a request from the bytes that a client sent. Its fields are still to be [checked](Request::check).
///
/// # Errors
/// [`Refusal::InputTooShort`], [`Refusal::InputTooLong`], [`Refusal::Version`], [`Refusal::Size`].
pub fn read<T: Request>(input: &[u8]) -> Result<T, Refusal> {
    // The version comes first: a newer client's structure has another length, and "other version" is what
    // its user has to hear.
    let (header, _) = Header::read_from_prefix(input).map_err(|_| Refusal::InputTooShort)?;
    if header.version != VERSION {
        return Err(Refusal::Version);
    }
    let request = match input.len().cmp(&size_of::<T>()) {
        core::cmp::Ordering::Less => return Err(Refusal::InputTooShort),
        core::cmp::Ordering::Greater => return Err(Refusal::InputTooLong),
        core::cmp::Ordering::Equal => T::read_from_bytes(input).map_err(|_| Refusal::InputTooShort)?,
    };
    if request.header() != Header::of::<T>() {
        return Err(Refusal::Size);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InfoRequest, StressQuery};

    #[test]
    fn a_request_survives_the_way_through_bytes() {
        let request = StressQuery::new(7);
        assert_eq!(parse::<StressQuery>(request.as_bytes()), Ok(request));
    }

    #[test]
    fn every_truncation_is_too_short() {
        let request = StressQuery::new(7);
        for length in 0..size_of::<StressQuery>() {
            assert_eq!(
                parse::<StressQuery>(&request.as_bytes()[..length]),
                Err(Refusal::InputTooShort)
            );
        }
    }

    #[test]
    fn a_longer_input_is_refused() {
        let mut bytes = [0; size_of::<InfoRequest>() + 1];
        bytes[..size_of::<InfoRequest>()].copy_from_slice(InfoRequest::new().as_bytes());
        assert_eq!(parse::<InfoRequest>(&bytes), Err(Refusal::InputTooLong));
    }

    #[test]
    fn another_version_is_named_before_its_length() {
        let mut request = StressQuery::new(7);
        request.header.version = VERSION + 1;
        assert_eq!(parse::<StressQuery>(request.as_bytes()), Err(Refusal::Version));
        assert_eq!(
            parse::<StressQuery>(&request.as_bytes()[..8]),
            Err(Refusal::Version)
        );
    }

    #[test]
    fn a_header_that_lies_about_the_size_is_refused() {
        let mut request = StressQuery::new(7);
        request.header.size += 8;
        assert_eq!(parse::<StressQuery>(request.as_bytes()), Err(Refusal::Size));
    }
}
