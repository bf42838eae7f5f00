//! Corrects mingw-w64's kernel headers by the facts in `sysroot/corrections.txt`.

const FACTS: &str = include_str!("../sysroot/corrections.txt");

/// The headers that are corrected.
pub const HEADERS: [&str; 3] = ["wdm.h", "ntddk.h", "ntifs.h"];

/// The text of the header `name` with its structures as the WDK has them.
///
/// # Errors
///
/// If the text does not define a structure once: it is of another mingw-w64 then.
pub fn correct(name: &str, text: &str) -> Result<String, String> {
    let heading = format!("[{name}]");
    let lines = FACTS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip_while(|line| **line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let mut records: Vec<(&str, String)> = Vec::new();
    for line in lines {
        match (line.strip_prefix("struct "), records.last_mut()) {
            (Some(record), _) => records.push((record, String::new())),
            (None, Some((_, members))) => {
                members.push_str(line);
                members.push('\n');
            }
            (None, None) => {}
        }
    }
    let mut text = text.to_owned();
    for (record, members) in records {
        text = replace(&text, record, &members)?;
    }
    Ok(text)
}

/// The text with other members of a structure, or with more of them where `record` ends in `+`.
fn replace(text: &str, record: &str, members: &str) -> Result<String, String> {
    let (name, behind) = match record.strip_suffix(" +") {
        Some(name) => (name, true),
        None => (record, false),
    };
    let wrong = || format!("does not define struct _{name} once, as mingw-w64 10 does");
    let begin = format!("typedef struct _{name} {{\n");
    let (before, rest) = text.split_once(&begin).ok_or_else(wrong)?;
    if rest.contains(&begin) {
        return Err(wrong());
    }
    // What closes a structure stands at the beginning of a line.
    let (own, after) = rest.split_once("\n}").ok_or_else(wrong)?;
    let own = if behind { format!("{own}\n") } else { String::new() };
    Ok(format!("{before}{begin}{own}{members}}}{after}"))
}

#[test]
fn structures_get_other_members_or_more() {
    let text = "a;\ntypedef struct _X {\n  ULONG A;\n  union {\n    ULONG B;\n  } u;\n} X, *PX;\nb;\n";
    assert_eq!(
        replace(text, "X", "  ULONG C;\n").unwrap(),
        "a;\ntypedef struct _X {\n  ULONG C;\n} X, *PX;\nb;\n"
    );
    assert_eq!(
        replace(text, "X +", "  ULONG C;\n").unwrap(),
        text.replace("  } u;\n", "  } u;\n  ULONG C;\n")
    );
    assert!(replace(text, "Y", "").unwrap_err().contains("struct _Y once"));
    assert!(
        replace(&text.repeat(2), "X", "")
            .unwrap_err()
            .contains("struct _X once")
    );
}

#[test]
fn every_line_belongs_to_a_structure_of_a_header() {
    let headings: Vec<&str> = FACTS.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(headings, HEADERS.map(|name| format!("[{name}]")));
    assert!(correct("wdm.h", "").unwrap_err().contains("_DEVICE_DESCRIPTION"));
    assert_eq!(correct("other.h", "as it is").as_deref(), Ok("as it is"));
}
