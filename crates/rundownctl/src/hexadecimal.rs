//! Bytes as the lab's pipe and `rundownctl raw` write them.

/// Bytes as hexadecimal digits; none are a dash.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "-".into()
    } else {
        hex::encode(bytes)
    }
}

/// The bytes that [`encode`] wrote; `None` when it did not.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
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
    fn there_and_back() {
        for bytes in [&[][..], &[0], &[0xff, 0x00, 0x5a]] {
            assert_eq!(decode(&encode(bytes)).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn what_is_not_hexadecimal_is_refused() {
        for text in ["0", "0g", "0x00", "é0", "01 02"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
