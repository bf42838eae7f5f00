//! A package, verified: signatures, and every file against the catalogue.

use std::path::Path;

use crate::{
    Error,
    catalogue::{self, Member},
    checked_inf,
    inf::{Resolved, Rules},
    name, read, sign,
};

/// The test certificate's name in a package.
pub const CERTIFICATE: &str = "rundown-test.cer";

/// Verifies a package: its INF keeps these rules, catalogue and driver carry good signatures of the package's own
/// certificate, and the catalogue vouches for exactly the INF and the files that the INF installs, as they are now.
///
/// The certificate is the folder's own, so this shows that the package is whole, not who made it.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(folder: &Path, rules: Rules) -> Result<Vec<Member>, Error> {
    let inf_path = find_inf(folder)?;
    let (inf, _) = checked_inf(&inf_path, rules)?;
    let catalogue = folder.join(inf.value("Version", "CatalogFile").unwrap_or_default());
    let certificate = folder.join(CERTIFICATE);
    sign::verify(&catalogue, &certificate, None)?;
    let mut members = catalogue::decode(&read(&catalogue)?).map_err(|source| Error::Catalogue {
        path: catalogue.clone(),
        source,
    })?;
    let all = members.clone();

    let resolved = Resolved::new(&inf);
    for file in resolved.source_files().iter().chain([&name(&inf_path)]) {
        let path = folder.join(file);
        let now = Member::of(file.as_str(), &read(&path)?);
        let now = now.map_err(|source| Error::Pe {
            path: path.clone(),
            source,
        })?;
        let Some(position) = members.iter().position(|member| *member == now) else {
            return Err(Error::Changed { file: path });
        };
        members.swap_remove(position);
        if now.image {
            sign::verify(&path, &certificate, None)?;
            // The same answer from a second, independent reader of catalogues.
            sign::verify(&path, &certificate, Some(&catalogue))?;
        }
    }
    if members.is_empty() {
        Ok(all)
    } else {
        Err(Error::Superfluous(
            members.into_iter().map(|member| member.file).collect(),
        ))
    }
}

fn find_inf(folder: &Path) -> Result<std::path::PathBuf, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("cannot be read", folder, error))?;
    let mut infs = entries.flatten().map(|entry| entry.path());
    infs.find(|path| {
        path.extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("inf"))
    })
    .ok_or_else(|| {
        Error::io(
            "is no package",
            folder,
            std::io::Error::new(std::io::ErrorKind::NotFound, "there is no .inf in it"),
        )
    })
}
