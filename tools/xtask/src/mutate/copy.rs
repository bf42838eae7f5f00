//! A copy of the tree that keeps the times of unchanged files, so that cargo builds only what a patch changed.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// What is not part of the sources.
const LEFT_OUT: &[&str] = &["target", ".git"];

/// Makes `copy` equal to the sources in `tree`.
pub(crate) fn refresh(tree: &Path, copy: &Path) -> Result<()> {
    fs::create_dir_all(copy).with_context(|| format!("{} cannot be made", copy.display()))?;
    for name in names(copy)? {
        if !tree.join(&name).exists() || LEFT_OUT.iter().any(|left_out| name == *left_out) {
            remove(&copy.join(name))?;
        }
    }
    for name in names(tree)?
        .into_iter()
        .filter(|name| !LEFT_OUT.iter().any(|left_out| name == *left_out))
    {
        let (from, to) = (tree.join(&name), copy.join(&name));
        if from.is_dir() {
            if to.is_file() {
                remove(&to)?;
            }
            refresh(&from, &to)?;
        } else {
            let bytes = fs::read(&from).with_context(|| format!("{} cannot be read", from.display()))?;
            if to.is_dir() {
                remove(&to)?;
            }
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::write(&to, bytes).with_context(|| format!("{} cannot be written", to.display()))?;
            }
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let unreadable = || format!("{} cannot be read", folder.display());
    let entries = fs::read_dir(folder).with_context(unreadable)?;
    entries
        .map(|entry| Ok(entry.with_context(unreadable)?.file_name()))
        .collect()
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.with_context(|| format!("{} cannot be removed", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_becomes_equal_and_keeps_what_is() {
        let folder = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        let (tree, copy) = (folder.join("tree"), folder.join("copy"));
        for (file, text) in [
            ("a", "1"),
            ("src/b", "2"),
            ("target/big", "no"),
            ("src/deep/c", "3"),
        ] {
            let file = tree.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        refresh(&tree, &copy).unwrap();
        assert!(!copy.join("target").exists());
        assert_eq!(fs::read_to_string(copy.join("src/deep/c")).unwrap(), "3");

        let before = fs::metadata(copy.join("a")).unwrap().modified().unwrap();
        fs::write(copy.join("src/b"), "mutated").unwrap();
        fs::write(copy.join("src/added"), "by a patch").unwrap();
        fs::remove_file(tree.join("src/deep/c")).unwrap();
        refresh(&tree, &copy).unwrap();
        assert_eq!(fs::read_to_string(copy.join("src/b")).unwrap(), "2");
        assert!(!copy.join("src/added").exists() && !copy.join("src/deep/c").exists());
        assert_eq!(fs::metadata(copy.join("a")).unwrap().modified().unwrap(), before);
        fs::remove_dir_all(folder).unwrap();
    }
}
