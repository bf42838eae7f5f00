//! Where things are in the source tree and below `target/`.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A copy of the sources, mostly the one that this program was started in.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree of this program.
    pub(crate) fn here() -> Result<Self> {
        // `cargo run` sets it anew, so a tree that was moved finds itself.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest
            .ancestors()
            .nth(2)
            .context("xtask must be in tools/xtask of its tree")?;
        Ok(Self::at(root))
    }

    /// The tree at `root`.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its root: the driver's package.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Everything that is built.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The folder that has all that a run of the lab needs.
    pub(crate) fn lab(&self) -> PathBuf {
        self.target().join("lab")
    }

    /// The same, with the dev profile's driver.
    pub(crate) fn dev_lab(&self) -> PathBuf {
        self.target().join("lab-dev")
    }

    /// The target folder of the workspace tools/.
    pub(crate) fn tools_target(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// The target folder of the workspace lab/.
    pub(crate) fn lab_target(&self) -> PathBuf {
        self.target().join("lab-build")
    }

    /// The folder that a Windows test machine can install.
    pub(crate) fn package(&self) -> PathBuf {
        self.target().join("rundown_package")
    }

    /// The patch files that plant defects.
    pub(crate) fn mutants(&self) -> PathBuf {
        self.root.join("tools/xtask/mutants")
    }
}
