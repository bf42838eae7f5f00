//! Names of bug checks that are the driver's own: a file beside it with a code and a name on each line. Windows has no such file; its
//! debugger shows the number.

use std::path::Path;

/// Code and name.
pub type Names = Vec<(u32, String)>;

/// Reads the file.
///
/// # Errors
/// One line that names the file and what is wrong with it.
pub fn read(path: &Path) -> Result<Names, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    parse(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The name for a code, if the driver has one.
#[must_use]
pub fn find(names: &Names, code: u32) -> Option<&str> {
    names
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, name)| name.as_str())
}

fn parse(text: &str) -> Result<Names, String> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (code, name) = line.split_once(' ').unwrap_or((line, ""));
            let code = code
                .strip_prefix("0x")
                .and_then(|hex| u32::from_str_radix(hex, 16).ok());
            let name = name.trim();
            match code {
                Some(code) if !name.is_empty() && !name.contains(' ') => Ok((code, name.to_owned())),
                _ => Err(format!("\"{line}\" is not a code such as 0xDEAD1234 and a name")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_codes_and_names() {
        let names = parse("# mine\n\n0x52444E50 ONE\n 0x2  TWO \n").unwrap();
        assert_eq!(
            (find(&names, 0x5244_4E50), find(&names, 2), find(&names, 3)),
            (Some("ONE"), Some("TWO"), None)
        );
        for wrong in ["1 ONE", "0x1", "0x1 two words", "0x1ffffffff BIG"] {
            assert!(parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
