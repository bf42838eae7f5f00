//! Makes a folder that a Windows test machine can install, on Linux, and reads what such a machine reports back.
//!
//! - [`inf`]: the INF is parsed, every reference is followed, and `InfVerif`'s published rules are checked.
//! - [`catalogue`]: the files' hashes, in the form that Windows' setup looks them up in.
//! - [`certificate`]: a test certificate for one package; its key is thrown away.
//! - [`sign`]: osslsigncode signs driver and catalogue, and judges them.
//! - [`natvis`]: the debugger's view of the driver's types still fits the PDB.
//! - [`report`]: the output of the 20-minute walk, judged.
//!
//! The package is for test machines: nobody but them trusts its certificate, and a driver that was linked by the kit binds
//! to KMDF through the kit's own entry. The reference is the package that the WDK makes.
#![forbid(unsafe_code)]

pub mod catalogue;
pub mod certificate;
mod error;
pub mod inf;
pub mod natvis;
pub mod pe;
pub mod report;
pub mod sign;
mod verify;

use std::{
    borrow::Cow,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rundown_inf::{Inf, decode};

use self::{
    catalogue::Member,
    certificate::TestCertificate,
    inf::{Finding, Resolved, Rules, Severity},
    sign::Signer,
};
pub use self::{
    error::Error,
    report::{Report, windows_report},
    verify::{CERTIFICATE, verify},
};

/// What goes into a package.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The INF, stamped.
    pub inf: PathBuf,
    /// The driver.
    pub driver: PathBuf,
    /// Its PDB.
    pub pdb: PathBuf,
    /// Files that are only laid beside: the client, the debugger's files, the walk's script.
    pub beside: Vec<PathBuf>,
    /// Whose rules the INF has to keep.
    pub rules: Rules,
    /// The folder to make. What it holds is replaced when it is a package, and left alone otherwise.
    pub output: PathBuf,
}

/// A package that was made and verified.
#[derive(Debug)]
pub struct Package {
    /// The folder.
    pub folder: PathBuf,
    /// The files that the catalogue vouches for.
    pub members: Vec<Member>,
    /// What the INF's rules warn of.
    pub warnings: Vec<Finding>,
}

/// Makes a package and verifies it.
///
/// # Errors
/// What is wrong with the inputs, or missing on this machine. The output folder is then as it was.
pub fn build(inputs: &Inputs) -> Result<Package, Error> {
    let (inf, warnings) = checked_inf(&inputs.inf, inputs.rules)?;
    let resolved = Resolved::new(&inf);
    let driver_name = name(&inputs.driver);
    let files = resolved.source_files();
    if !matches!(files.as_slice(), [only] if only.eq_ignore_ascii_case(&driver_name)) {
        return Err(Error::Files {
            inf: files,
            given: driver_name,
        });
    }
    for file in inputs
        .beside
        .iter()
        .filter(|file| file.extension() == Some(OsStr::new("natvis")))
    {
        natvis::check(file, &inputs.pdb)?;
    }
    let staging = stage(&inputs.output)?;
    let folder = staging.path();
    let inf_path = folder.join(name(&inputs.inf));
    copy(&inputs.inf, &inf_path)?;
    for file in inputs.beside.iter().chain([&inputs.pdb]) {
        copy(file, &folder.join(name(file)))?;
    }

    let certificate = TestCertificate::new()?;
    let signer = Signer::new(&certificate)?;
    write(&folder.join(CERTIFICATE), certificate.pem()?.as_bytes())?;
    let driver = folder.join(&files[0]);
    signer.sign_image(&inputs.driver, &driver)?;

    let mut members = Vec::new();
    for path in [&driver, &inf_path] {
        let member = Member::of(name(path), &read(path)?);
        members.push(member.map_err(|source| Error::Pe {
            path: path.clone(),
            source,
        })?);
    }
    let catalogue = folder.join(inf.value("Version", "CatalogFile").unwrap_or_default());
    let bytes =
        catalogue::encode(&members, &resolved.hardware_ids(), SystemTime::now()).map_err(|source| {
            Error::Catalogue {
                path: catalogue.clone(),
                source,
            }
        })?;
    let unsigned = catalogue.with_extension("unsigned");
    write(&unsigned, &bytes)?;
    signer.sign_catalogue(&unsigned, &catalogue)?;
    fs::remove_file(&unsigned).map_err(|error| Error::io("cannot be removed", &unsigned, error))?;

    let members = verify(folder, inputs.rules)?;
    replace(staging, &inputs.output)?;
    Ok(Package {
        folder: inputs.output.clone(),
        members,
        warnings,
    })
}

/// Reads and checks an INF; its warnings beside it.
fn checked_inf(path: &Path, rules: Rules) -> Result<(Inf, Vec<Finding>), Error> {
    let wrong = |source| Error::Inf {
        path: path.to_owned(),
        source,
    };
    let text = decode(&read(path)?).map_err(wrong)?;
    let inf = Inf::parse(&text).map_err(wrong)?;
    let findings = inf::lint(&text, &inf, rules);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Error::Lint {
            path: path.to_owned(),
            findings,
        });
    }
    Ok((inf, findings))
}

/// A folder beside the output, which takes its place in the end.
fn stage(output: &Path) -> Result<tempfile::TempDir, Error> {
    if let Ok(mut entries) = fs::read_dir(output)
        && entries.next().is_some()
        && !output.join(CERTIFICATE).is_file()
    {
        return Err(Error::OutputInUse(output.to_owned()));
    }
    let parent = output
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| Error::io("cannot be made", parent, error))?;
    let staging = tempfile::Builder::new().prefix(".package-").tempdir_in(parent);
    staging.map_err(|error| Error::io("no folder can be made in it", parent, error))
}

fn replace(staging: tempfile::TempDir, output: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    if output.exists() {
        fs::remove_dir_all(output).map_err(|error| Error::io("cannot be replaced", output, error))?;
    }
    let folder = staging.keep();
    fs::rename(&folder, output).map_err(|error| Error::io("cannot be made", output, error))?;
    // A temporary folder is its user's only; a package is for others too.
    let permissions = fs::Permissions::from_mode(0o755);
    fs::set_permissions(output, permissions)
        .map_err(|error| Error::io("cannot be opened to others", output, error))
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::io("cannot be read", path, error))
}

/// The text of a file, by its byte order mark: Windows' tools like to write UTF-16.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    encoding_rs::UTF_8.decode(bytes).0
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::io("cannot be written", path, error))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    write(to, &read(from)?)
}
