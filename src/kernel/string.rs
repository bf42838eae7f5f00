//! Names as NT takes them: counted UTF-16.

use wdk_sys::UNICODE_STRING;

/// An ASCII literal in UTF-16.
macro_rules! wide {
    ($text:literal) => {{
        const WIDE: [u16; $text.len()] = {
            let mut wide = [0; $text.len()];
            let mut index = 0;
            while index < wide.len() {
                assert!($text.as_bytes()[index].is_ascii());
                wide[index] = $text.as_bytes()[index] as u16;
                index += 1;
            }
            wide
        };
        &WIDE
    }};
}
pub(crate) use wide;

/// The structure over a name, which is only to be read; `None` when it is longer than 32,767 characters.
pub(super) fn unicode_string(name: &[u16]) -> Option<UNICODE_STRING> {
    let length = u16::try_from(size_of_val(name)).ok()?;
    Some(UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: name.as_ptr().cast_mut(),
    })
}
