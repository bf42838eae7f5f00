//! From bytes to text.

use crate::ParseError;

/// The text of an INF: UTF-16 with a byte order mark, UTF-8, or ASCII.
///
/// # Errors
/// The line in which the text stops being one of these.
pub fn decode(bytes: &[u8]) -> Result<String, ParseError> {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => match std::str::from_utf8(rest) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let valid = &rest[..error.valid_up_to()];
                let line = valid.split(|&byte| byte == b'\n').count();
                let what = "is neither ASCII, UTF-8 nor UTF-16 with a byte order mark".into();
                Err(ParseError { line, what })
            }
        },
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, ParseError> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let mut decoded = char::decode_utf16(pairs.iter().copied().map(unit));
    let valid = decoded.by_ref().map_while(Result::ok);
    text.extend(valid);
    let whole = text.encode_utf16().count() == pairs.len();
    if whole && odd.is_empty() {
        return Ok(text);
    }
    Err(ParseError {
        line: text.matches('\n').count() + 1,
        what: "is not valid UTF-16".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[Version]\r\nProvider = \"Grüße\"\r\n";

    fn in_utf16(mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some(0xFEFF);
        mark.into_iter()
            .chain(TEXT.encode_utf16())
            .flat_map(bytes)
            .collect()
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        assert_eq!(decode(TEXT.as_bytes()).unwrap(), TEXT);
        assert_eq!(decode(format!("\u{FEFF}{TEXT}").as_bytes()).unwrap(), TEXT);
        assert_eq!(decode(&in_utf16(true, u16::to_le_bytes)).unwrap(), TEXT);
        assert_eq!(decode(&in_utf16(true, u16::to_be_bytes)).unwrap(), TEXT);
    }

    #[test]
    fn what_is_no_text_names_its_line() {
        assert_eq!(decode(b"[Version]\nx = \xFF").unwrap_err().line, 2);
        let mut odd = in_utf16(true, u16::to_le_bytes);
        odd.push(0);
        assert_eq!(decode(&odd).unwrap_err().line, 3);
        // The first half of a surrogate pair, alone.
        odd.truncate(24);
        odd.extend([0x3D, 0xD8]);
        assert_eq!(decode(&odd).unwrap_err().line, 2);
    }
}
