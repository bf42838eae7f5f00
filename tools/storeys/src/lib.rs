//! Which module of a crate imports which, held against a list of storeys: imports may only point down, and form no circle.
//!
//! The list is part of `ARCHITECTURE.md`, a fenced block for each crate, the highest storey first:
//! ```text
//! storeys of lab/kernel/src
//! boot vectors   | whatever the line wants to tell its reader
//! mm             | a module stands for those below it that the list does not name
//! hal::cpu lock
//! ```
//! A storey's modules may import each other, as long as no circle of files comes of it.

pub mod imports;
mod list;
pub mod platform;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

pub use self::list::{Storeys, lists};

/// A module's path from the crate's root, `ke::sched`; the root itself is the empty path.
pub type Module = String;

/// An import of one module's file by another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// Who imports.
    pub from: Module,
    /// From where.
    pub to: Module,
    /// The first line that does.
    pub line: usize,
}

/// The files of a crate, and what each imports of the others.
#[derive(Debug, Default)]
pub struct Sources {
    modules: BTreeSet<Module>,
    /// One arrow for each pair, so that a finding is listed once.
    arrows: Vec<Arrow>,
}

impl Sources {
    /// Reads every `.rs` file below `folder`, a crate's `src`.
    ///
    /// # Errors
    /// A file cannot be read, or is no Rust.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut texts = BTreeMap::new();
        for file in files(folder)? {
            let module = module_of(file.strip_prefix(folder).unwrap_or(&file));
            // A test may look at everything.
            if module.split("::").any(|part| part == "tests") {
                continue;
            }
            texts.insert(module, fs::read_to_string(&file)?);
        }
        Self::parse(&texts)
    }

    /// The same from texts by module.
    ///
    /// # Errors
    /// A text is no Rust.
    pub fn parse(texts: &BTreeMap<Module, String>) -> io::Result<Self> {
        let modules: BTreeSet<Module> = texts.keys().cloned().collect();
        let mut first_lines = BTreeMap::new();
        for (from, text) in texts {
            let children: Vec<&str> = modules
                .iter()
                .filter_map(|module| child_of(from, module))
                .collect();
            let found = imports::of(text, from, &children)
                .map_err(|error| io::Error::other(format!("the module `{from}`: {error}")))?;
            for import in found {
                let to = file_of(&import.path, &modules);
                if to != *from {
                    first_lines.entry((from.clone(), to)).or_insert(import.line);
                }
            }
        }
        let arrows = first_lines
            .into_iter()
            .map(|((from, to), line)| Arrow { from, to, line })
            .collect();
        Ok(Self { modules, arrows })
    }

    /// What breaks the rule, each finding in a line of its own; nothing if all is well.
    #[must_use]
    pub fn findings(&self, storeys: &Storeys) -> Vec<String> {
        let mut findings = storeys.unknown(&self.modules);
        for module in &self.modules {
            if storeys.height(module).is_none() {
                findings.push(format!("`{module}` is on no storey"));
            }
        }
        for arrow in &self.arrows {
            if let (Some(from), Some(to)) = (storeys.height(&arrow.from), storeys.height(&arrow.to))
                && from < to
            {
                let Arrow { from, to, line } = arrow;
                findings.push(format!("`{from}`, line {line}, imports from `{to}` above it"));
            }
        }
        findings.extend(self.circles().into_iter().map(|circle| {
            let names: Vec<String> = circle.iter().map(|module| format!("`{module}`")).collect();
            format!("these import each other: {}", names.join(", "))
        }));
        findings
    }

    /// Modules that reach each other, each group sorted.
    #[must_use]
    pub fn circles(&self) -> Vec<Vec<Module>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = self
            .modules
            .iter()
            .map(|module| (module.as_str(), self.reached_from(module)))
            .collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for module in &self.modules {
            let from_here = &reached[module.as_str()];
            if !from_here.contains(module.as_str()) || seen.contains(module.as_str()) {
                continue;
            }
            let circle: Vec<&str> = from_here
                .iter()
                .copied()
                .filter(|other| reached[other].contains(module.as_str()))
                .collect();
            seen.extend(circle.iter().copied());
            circles.push(circle.into_iter().map(str::to_owned).collect());
        }
        circles
    }

    fn reached_from<'a>(&'a self, module: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut next = vec![module];
        while let Some(from) = next.pop() {
            let targets = self.arrows.iter().filter(|arrow| arrow.from == from);
            next.extend(
                targets
                    .map(|arrow| arrow.to.as_str())
                    .filter(|to| reached.insert(*to)),
            );
        }
        reached
    }

    /// Every import of one file by another.
    #[must_use]
    pub fn arrows(&self) -> &[Arrow] {
        &self.arrows
    }
}

/// The last part of `module`'s path, if it lies directly in `parent`.
fn child_of<'a>(parent: &str, module: &'a str) -> Option<&'a str> {
    let (around, name) = module.rsplit_once("::").unwrap_or(("", module));
    (around == parent && !name.is_empty()).then_some(name)
}

/// The file that a path leads into: the longest module that begins it.
fn file_of(path: &[String], modules: &BTreeSet<Module>) -> Module {
    (0..=path.len())
        .rev()
        .map(|length| path[..length].join("::"))
        .find(|module| modules.contains(module))
        .unwrap_or_default()
}

fn module_of(file: &Path) -> Module {
    let mut parts: Vec<String> = file
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] || parts == ["main"] {
        parts.pop();
    }
    parts.join("::")
}

/// Every `.rs` file below `folder`.
///
/// # Errors
/// A folder cannot be read.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[(&str, &str)]) -> Sources {
        let texts = texts
            .iter()
            .map(|(module, text)| ((*module).to_owned(), (*text).to_owned()))
            .collect();
        Sources::parse(&texts).unwrap()
    }

    fn storeys(text: &str) -> Storeys {
        let page = format!("```text\nstoreys of x\n{text}\n```\n");
        lists(&page).unwrap().remove(0)
    }

    #[test]
    fn imports_may_point_down() {
        let sources = sources(&[
            ("high", "use crate::low::Thing;"),
            (
                "low",
                "// crate::high is only named in a comment\nconst TEXT: &str = \"crate::high\";",
            ),
        ]);
        assert_eq!(sources.findings(&storeys("high\nlow")), [""; 0]);
        assert_eq!(
            sources.findings(&storeys("low\nhigh")),
            ["`high`, line 1, imports from `low` above it"]
        );
    }

    #[test]
    fn a_storey_has_no_circle() {
        let sources = sources(&[
            ("a", "use super::b;"),
            ("b", "fn f() { crate::c::g() }"),
            ("c", "\nuse crate::{a::Thing, d};"),
            ("d", ""),
        ]);
        assert_eq!(
            sources.findings(&storeys("a b c d")),
            ["these import each other: `a`, `b`, `c`"]
        );
    }

    #[test]
    fn the_list_and_the_files_name_each_other() {
        let sources = sources(&[("a", ""), ("b::inner", "")]);
        assert_eq!(
            sources.findings(&storeys("a c")),
            [
                "the list names `c`, which is no module",
                "`b::inner` is on no storey"
            ]
        );
        assert_eq!(sources.findings(&storeys("a\nb")), [""; 0]);
    }

    #[test]
    fn files_have_the_names_of_their_modules() {
        for (file, module) in [
            ("lib.rs", ""),
            ("main.rs", ""),
            ("a.rs", "a"),
            ("a/mod.rs", "a"),
            ("a/b.rs", "a::b"),
        ] {
            assert_eq!(module_of(Path::new(file)), module);
        }
    }
}
