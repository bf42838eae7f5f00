//! The package's INF, stamped as the WDK's stampinf does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::Package;

use rundown_kit::inf;

use crate::{Failure, package::Model, refuse};

/// The package's INF with its stamps: ASCII as it is, other text as UTF-16, which setup reads everywhere.
pub(crate) fn stamped(
    package: &Package,
    model: Model,
    named: Option<&PathBuf>,
) -> Result<Option<Vec<u8>>, Failure> {
    let folder = package
        .manifest_path
        .parent()
        .map_or(Path::new("."), |path| path.as_std_path());
    let Some(path) = named.cloned().or_else(|| only_inx(folder)) else {
        return Ok(None);
    };
    let wrong = |what: String| refuse(format!("{}: {what}", path.display()));
    let bytes = fs::read(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let text = rundown_inf::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
    let version = &package.version;
    let mut stamp = inf::Stamp::new(&format!("{}.{}.{}", version.major, version.minor, version.patch));
    if let Model::Kmdf(minor) = model {
        stamp.kmdf = format!("1.{minor}");
    }
    let text = inf::stamp(&text, &stamp).map_err(wrong)?;
    let parsed = rundown_inf::Inf::parse(&text).map_err(|error| wrong(error.to_string()))?;
    if !parsed
        .sections
        .iter()
        .any(|section| section.entry("AddService").is_some())
    {
        return Err(wrong(format!(
            "has no AddService, without which Windows starts no driver; add `AddService = {}, 2, SECTION` to the install \
             section's [....Services]",
            package.name.replace('-', "_")
        )));
    }
    if text.is_ascii() {
        return Ok(Some(text.into_bytes()));
    }
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    Ok(Some(units.flat_map(u16::to_le_bytes).collect()))
}

/// The only .inx file of a folder.
fn only_inx(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let mut found = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "inx"));
    found.next().filter(|_| found.next().is_none())
}
