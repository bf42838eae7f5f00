//! What the run-time library knows that others need as well: strings, formats, GUIDs in text.

pub mod guid;
pub mod printf;
mod unicode_string;

pub use unicode_string::UnicodeString;
