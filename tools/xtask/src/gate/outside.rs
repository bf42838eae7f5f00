//! The example as a stranger has it: copied out of this repository, over the packed crates and nothing else of it, built by the kit and run in
//! the lab.

use std::{
    borrow::Cow,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rundown_kit::{
    driver::{self, Package, Profile, Workspace},
    toolchain::Toolchain,
};
use serde::Deserialize;

use super::{
    example, packages,
    tally::{Gate, Tally},
};
use crate::{build, mutate::copy, progress::Progress, setup::host_cargo, tree::Tree};

const STRANGER: Package = Package {
    name: Cow::Borrowed("inflight"),
    inx: "inflight.inx",
};

/// What the example has from this repository's workspace. The kernel does not unwind.
const WORKSPACE: &str = "
[workspace]

[profile.dev]
panic = \"abort\"

[profile.release]
panic = \"abort\"
lto = true
debug = true

[patch.crates-io]
";

pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    gate.group("example, outside of the repository", || {
        // Below the tree cargo would read the tree's settings.
        let folder = env::temp_dir().join(format!("rundown-outside-{}", std::process::id()));
        let tally = driven(tree, toolchain, &folder);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        tally
    });
}

fn driven(tree: &Tree, toolchain: &Toolchain, folder: &Path) -> Result<Tally> {
    let progress = Progress::begin("packing");
    packages::pack(tree, &progress)?;
    for name in packages::PUBLISHED {
        packages::unpack(tree, name, folder, &progress)?;
    }
    progress.done("");

    let sources = folder.join("inflight");
    copy::refresh(&tree.root().join("example"), &sources)?;
    let manifest = sources.join("Cargo.toml");
    let text =
        fs::read_to_string(&manifest).with_context(|| format!("{} cannot be read", manifest.display()))?;
    fs::write(&manifest, standing_alone(&text, folder)?)
        .with_context(|| format!("{} cannot be written", manifest.display()))?;
    // With the versions that everything here is tested with. cargo leaves out the other crates' when it looks at it.
    fs::copy(tree.root().join("Cargo.lock"), sources.join("Cargo.lock"))
        .with_context(|| format!("Cargo.lock cannot be copied to {}", sources.display()))?;
    let mut tally = Tally::default();
    tally.count(ours_beside_the_archives(tree, &sources)?);

    let workspace = Workspace::copy(tree.root(), &sources, &folder.join("built"))
        .with_package(STRANGER)
        .with_target(&sources.join("target"));
    let artefacts = driver::build(&workspace, toolchain, Profile::Release)?;
    let progress = Progress::begin("running it in the lab");
    tally.count(example::undisturbed(tree, &artefacts.sys, "outside", &progress)?);
    progress.done("");
    Ok(tally)
}

/// The example's manifest in a package that stands alone, as its own comment says that a copy has it; the packed crates, which no registry
/// has yet, are taken from `folder`.
fn standing_alone(manifest: &str, folder: &Path) -> Result<String> {
    let mut text = manifest.replace("\n[lints]\nworkspace = true\n", "") + WORKSPACE;
    for name in packages::PUBLISHED {
        let here = format!("{name} = {{ path = \"../crates/{name}\" }}\n");
        if !text.contains(&here) {
            bail!("the example does not say `{}`", here.trim());
        }
        text = text.replace(&here, &format!("{name} = \"{}\"\n", env!("CARGO_PKG_VERSION")));
        let archive = folder.join(packages::unpacked(name));
        text.extend([name, " = { path = '", &archive.display().to_string(), "' }\n"]);
    }
    Ok(text)
}

/// The crates of this repository that cargo would take from the repository after all.
fn ours_beside_the_archives(tree: &Tree, sources: &Path) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Manifest>,
    }
    #[derive(Deserialize)]
    struct Manifest {
        manifest_path: PathBuf,
    }
    let mut command = host_cargo();
    command
        .args(["metadata", "--format-version", "1"])
        .current_dir(sources);
    let finished = build::finish(&mut command, Progress::begin("asking cargo what it takes"))?;
    let metadata: Metadata =
        serde_json::from_str(&finished.stdout).context("cargo's metadata cannot be read")?;
    let ours: Vec<_> = metadata
        .packages
        .iter()
        .map(|package| &package.manifest_path)
        .filter(|path| path.starts_with(tree.root()))
        .collect();
    Ok((!ours.is_empty()).then(|| format!("it takes from the repository: {ours:?}")))
}

#[test]
fn a_copy_depends_on_versions() {
    let manifest = "[package]\nname = \"inflight\"\n\n[dependencies]\nex-rundown = { path = \"../crates/ex-rundown\" }\n\
                    ex-rundown-nt = { path = \"../crates/ex-rundown-nt\" }\nwdk-sys = \"0.5.2\"\n\n[lints]\nworkspace = true\n";
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        standing_alone(manifest, Path::new("/away")).unwrap(),
        format!(
            "[package]\nname = \"inflight\"\n\n[dependencies]\nex-rundown = \"{version}\"\nex-rundown-nt = \"{version}\"\n\
             wdk-sys = \"0.5.2\"\n{WORKSPACE}ex-rundown = {{ path = '/away/ex-rundown-{version}' }}\n\
             ex-rundown-nt = {{ path = '/away/ex-rundown-nt-{version}' }}\n"
        )
    );
    assert!(standing_alone("[dependencies]\nex-rundown = \"0.1\"\n", Path::new("/away")).is_err());
}
