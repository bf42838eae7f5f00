//! The Authenticode hash of an image.
//!
//! Source: "Windows Authenticode Portable Executable Signature Format" (Microsoft): SHA-256 over the file without its
//! checksum, without the entry of the certificate table in the data directories, and without that table. The crate `authenticode` has the
//! digest too; osslsigncode, which the tests ask, is nobody's dependency and so the better witness.

use sha2::{Digest, Sha256};

/// Offset of the new header's offset in the DOS header.
const E_LFANEW: usize = 0x3c;
/// Signature and file header, in front of the optional header.
const FILE_HEADERS: usize = 4 + 20;
const PE32_PLUS: u16 = 0x20b;
/// In the optional header of PE32+.
const CHECKSUM: usize = 64;
/// The fifth data directory of PE32+, the certificate table: file offset and size.
const CERTIFICATE_TABLE: usize = 112 + 4 * 8;

/// Why a file has no Authenticode hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// It is no image.
    #[error("it is no 64-bit PE image")]
    NotAnImage,
    /// The certificate table is not the end of the file.
    #[error("its certificate table is not at its end")]
    CertificateTable,
}

/// Whether a file says that it is an image.
#[must_use]
pub fn is_image(bytes: &[u8]) -> bool {
    bytes.starts_with(b"MZ")
}

fn read<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], PeError> {
    let field = offset
        .checked_add(N)
        .and_then(|end| bytes.get(offset..end))
        .ok_or(PeError::NotAnImage)?;
    field.try_into().map_err(|_| PeError::NotAnImage)
}

fn read_u32(bytes: &[u8], offset: usize) -> Result<usize, PeError> {
    usize::try_from(u32::from_le_bytes(read(bytes, offset)?)).map_err(|_| PeError::NotAnImage)
}

/// The Authenticode SHA-256 of a 64-bit image, signed or not.
///
/// # Errors
/// What is wrong with the image.
pub fn authenticode_hash(bytes: &[u8]) -> Result<[u8; 32], PeError> {
    let header = read_u32(bytes, E_LFANEW)?;
    if !is_image(bytes) || read(bytes, header)? != *b"PE\0\0" {
        return Err(PeError::NotAnImage);
    }
    let optional = header + FILE_HEADERS;
    if u16::from_le_bytes(read(bytes, optional)?) != PE32_PLUS {
        return Err(PeError::NotAnImage);
    }
    let checksum = optional + CHECKSUM;
    let directory = optional + CERTIFICATE_TABLE;
    let (table, size) = (read_u32(bytes, directory)?, read_u32(bytes, directory + 4)?);
    let end = if size == 0 {
        bytes.len()
    } else if table >= directory + 8 && table.checked_add(size) == Some(bytes.len()) {
        table
    } else {
        return Err(PeError::CertificateTable);
    };
    let mut hash = Sha256::new();
    hash.update(&bytes[..checksum]);
    hash.update(&bytes[checksum + 4..directory]);
    hash.update(&bytes[directory + 8..end]);
    // Signing pads the file to eight bytes, and the padding is hashed.
    hash.update(&[0; 7][..end.next_multiple_of(8) - end]);
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers only, enough for the hash.
    fn image() -> Vec<u8> {
        let mut bytes = vec![0; 0x203];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[E_LFANEW] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x40 + FILE_HEADERS..][..2].copy_from_slice(&PE32_PLUS.to_le_bytes());
        bytes
    }

    const OPTIONAL: usize = 0x40 + FILE_HEADERS;

    #[test]
    fn the_checksum_and_the_signature_do_not_count() {
        let plain = image();
        let hash = authenticode_hash(&plain).unwrap();
        let mut signed = plain.clone();
        signed[OPTIONAL + CHECKSUM] = 0x55;
        signed.resize(0x208, 0);
        signed[OPTIONAL + CERTIFICATE_TABLE..][..8].copy_from_slice(&[0x08, 2, 0, 0, 0x10, 0, 0, 0]);
        signed.extend([7; 16]);
        assert_eq!(authenticode_hash(&signed), Ok(hash));
    }

    #[test]
    fn every_other_byte_counts() {
        let plain = image();
        let hash = authenticode_hash(&plain).unwrap();
        let skipped = [
            OPTIONAL + CHECKSUM..OPTIONAL + CHECKSUM + 4,
            OPTIONAL + CERTIFICATE_TABLE..OPTIONAL + CERTIFICATE_TABLE + 8,
        ];
        for position in
            (0..plain.len()).filter(|position| !skipped.iter().any(|range| range.contains(position)))
        {
            let mut changed = plain.clone();
            changed[position] ^= 0x40;
            assert_ne!(authenticode_hash(&changed), Ok(hash), "byte {position:#x}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let plain = image();
        for length in 0..OPTIONAL + CERTIFICATE_TABLE + 8 {
            assert_eq!(
                authenticode_hash(&plain[..length]),
                Err(PeError::NotAnImage),
                "{length} bytes"
            );
        }
        let mut table = plain;
        table[OPTIONAL + CERTIFICATE_TABLE..][..8].copy_from_slice(&[0, 1, 0, 0, 8, 0, 0, 0]);
        assert_eq!(authenticode_hash(&table), Err(PeError::CertificateTable));
    }
}
