//! The lists of storeys in `ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::Module;

/// The storeys of one crate.
#[derive(Debug, PartialEq, Eq)]
pub struct Storeys {
    /// The crate's source folder, from the repository's root.
    pub folder: String,
    /// How many storeys lie below a module that the list names.
    heights: BTreeMap<Module, usize>,
}

/// Every list in the text of a Markdown page.
///
/// # Errors
/// A list names a module twice, or none at all.
pub fn lists(page: &str) -> Result<Vec<Storeys>, String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(folder) = line.strip_prefix("storeys of ") else {
            continue;
        };
        let from_the_top: Vec<&str> = lines
            .by_ref()
            .take_while(|line| !line.starts_with("```"))
            .map(|line| line.split_once('|').map_or(line, |(modules, _)| modules))
            .collect();
        let mut heights = BTreeMap::new();
        for (height, modules) in from_the_top.iter().rev().enumerate() {
            for module in modules.split_whitespace() {
                // The root of a crate has no name of its own.
                let module = if module == "lib" || module == "main" {
                    ""
                } else {
                    module
                };
                if heights.insert(module.to_owned(), height).is_some() {
                    return Err(format!("the list of {folder} names `{module}` twice"));
                }
            }
        }
        if heights.is_empty() {
            return Err(format!("the list of {folder} names no module"));
        }
        let folder = folder.trim().to_owned();
        found.push(Storeys { folder, heights });
    }
    Ok(found)
}

impl Storeys {
    /// How high `module` lies, by its own name or by the nearest module around it that the list names.
    #[must_use]
    pub fn height(&self, module: &str) -> Option<usize> {
        let mut name = module;
        loop {
            if let Some(&height) = self.heights.get(name) {
                return Some(height);
            }
            name = name.rsplit_once("::")?.0;
        }
    }

    /// What the list names and is not there.
    pub(crate) fn unknown(&self, modules: &BTreeSet<Module>) -> Vec<String> {
        let is_there = |name: &str| {
            modules.iter().any(|module| {
                module == name
                    || module
                        .strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with("::"))
            })
        };
        self.heights
            .keys()
            .filter(|name| !is_there(name))
            .map(|name| format!("the list names `{name}`, which is no module"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_its_fence() {
        let page = "text\n```text\nstoreys of some/src\nb c | above\na\n```\nd\n";
        let list = lists(page).unwrap().remove(0);
        assert_eq!(list.folder, "some/src");
        assert_eq!(
            ["a", "b", "c::inner", "d"].map(|module| list.height(module)),
            [Some(0), Some(1), Some(1), None]
        );
    }

    #[test]
    fn a_module_is_on_one_storey() {
        assert!(
            lists("storeys of x\na\nb a\n```")
                .unwrap_err()
                .contains("`a` twice")
        );
        assert!(lists("storeys of x\n```").unwrap_err().contains("no module"));
    }
}
