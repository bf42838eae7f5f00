//! The list of survivors that are argued: by part, `MUTANT = WHY NOBODY CAN TELL IT APART`, where `*` stands for anything.

use anyhow::{Context as _, Result};

/// A line of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Survivor {
    pub(crate) part: String,
    pub(crate) pattern: String,
    pub(crate) why: String,
}

/// Reads the list.
pub(crate) fn read(text: &str) -> Result<Vec<Survivor>> {
    let mut part = String::new();
    let mut survivors = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut part);
            continue;
        }
        // The reason is after the last: a mutant's name may have the sign.
        let (pattern, why) = line
            .rsplit_once(" = ")
            .filter(|(_, why)| !why.trim().is_empty())
            .with_context(|| format!("`{line}` has no reason: write `MUTANT = WHY`"))?;
        survivors.push(Survivor {
            part: part.clone(),
            pattern: pattern.to_owned(),
            why: why.to_owned(),
        });
    }
    Ok(survivors)
}

impl Survivor {
    /// Whether it means a mutant.
    pub(crate) fn is(&self, name: &str) -> bool {
        let Some((first, rest)) = self.pattern.split_once('*') else {
            return self.pattern == name;
        };
        let Some(mut left) = name.strip_prefix(first) else {
            return false;
        };
        let mut pieces = rest.split('*').peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return left.ends_with(piece);
            }
            match left.find(piece) {
                Some(at) => left = &left[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs, path::Path};

    use serde::Deserialize;

    use super::*;
    use crate::rules;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, is) in [
            ("a.rs: f: limit `1`", "a.rs: f: limit `1`", true),
            ("a.rs: f: limit `1`", "a.rs: f: limit `1` #2", false),
            ("a.rs: *: ordering *", "a.rs: X::f: ordering `Acquire`", true),
            ("a.rs: *: ordering *", "b.rs: X::f: ordering `Acquire`", false),
            ("*: ordering `Acq*`", "b.rs: f: ordering `AcqRel`", true),
            ("*: ordering `Acq*`", "b.rs: f: ordering `Release`", false),
        ] {
            let survivor = Survivor {
                part: String::new(),
                pattern: pattern.into(),
                why: "so".into(),
            };
            assert_eq!(survivor.is(name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn a_list_says_why() {
        assert!(read("a.rs: f: limit `1`").is_err() && read("a.rs: f: limit `1` = ").is_err());
        let list = read("# so\n[one]\na.rs: f: compare `a = b` = why\n").unwrap();
        assert_eq!(
            (&*list[0].part, &*list[0].pattern),
            ("one", "a.rs: f: compare `a = b`")
        );
    }

    #[derive(Deserialize)]
    struct Part {
        name: String,
        root: String,
        files: Vec<String>,
    }

    fn sources(root: &Path, place: &str, files: &mut Vec<String>) {
        let path = root.join(place);
        if path.is_file() {
            files.push(place.to_owned());
            return;
        }
        for entry in fs::read_dir(&path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if root.join(place).join(&name).is_dir() || name.split('.').next_back() == Some("rs") {
                sources(root, &format!("{place}/{name}"), files);
            }
        }
    }

    /// The parts' files are there, and each line of the list names a mutant that still is.
    #[test]
    fn the_parts_and_the_list_are_of_this_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read_file = |name: &str| fs::read_to_string(root.join("tools/mutants").join(name)).unwrap();
        let parts: Vec<Part> = serde_json::from_str(&read_file("parts.json")).unwrap();
        let list = read(&read_file("survivors.txt")).unwrap();
        for survivor in &list {
            assert!(
                parts.iter().any(|part| part.name == survivor.part),
                "{survivor:?}: no such part"
            );
        }
        for part in parts {
            assert!(root.join(&part.root).is_file(), "{}", part.root);
            let mut files = Vec::new();
            part.files
                .iter()
                .for_each(|place| sources(&root, place, &mut files));
            let mut names = HashSet::new();
            for file in &files {
                let text = fs::read_to_string(root.join(file)).unwrap();
                let found = rules::mutants(file, &text, &HashSet::new()).unwrap();
                names.extend(rules::names(&found.mutants));
            }
            assert!(names.len() > 60, "{}: {} mutants", part.name, names.len());
            for survivor in list.iter().filter(|survivor| survivor.part == part.name) {
                let is_there = names.iter().any(|name| survivor.is(name));
                assert!(is_there, "{}: there is no such mutant any more", survivor.pattern);
            }
        }
    }
}
