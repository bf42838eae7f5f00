//! osslsigncode: signs and verifies.

use std::{
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Error, certificate::TestCertificate};

const PROGRAM: &str = "osslsigncode";

/// Signs files with a test certificate. Its key is on disk, readable by this user only, while this lives.
pub struct Signer {
    folder: TempDir,
}

impl Signer {
    /// Lays certificate and key where osslsigncode can read them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn new(certificate: &TestCertificate) -> Result<Self, Error> {
        // A TempDir is mode 0700.
        let folder =
            TempDir::new().map_err(|error| Error::io("a temporary folder cannot be made", ".", error))?;
        let signer = Self { folder };
        fs::write(signer.certificate(), certificate.pem()?)
            .map_err(|error| Error::io("cannot be written", signer.certificate(), error))?;
        let mut options = fs::OpenOptions::new();
        let mut file = (options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(signer.key()))
        .map_err(|error| Error::io("cannot be written", signer.key(), error))?;
        std::io::Write::write_all(&mut file, certificate.key_pem()?.as_ref())
            .map_err(|error| Error::io("cannot be written", signer.key(), error))?;
        Ok(signer)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Signs an image, with the hashes of its pages, so that the kernel can check a page when it reads it.
    ///
    /// # Errors
    /// What osslsigncode says.
    pub fn sign_image(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.sign(from, to, &["-ph"])
    }

    /// Signs a catalogue.
    ///
    /// # Errors
    /// What osslsigncode says.
    pub fn sign_catalogue(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.sign(from, to, &[])
    }

    fn sign(&self, from: &Path, to: &Path, options: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(PROGRAM);
        command.args(["sign", "-h", "sha256"]).args(options);
        command
            .arg("-certs")
            .arg(self.certificate())
            .arg("-key")
            .arg(self.key());
        command.arg("-in").arg(from).arg("-out").arg(to);
        run(command, from)
    }
}

/// Checks the signature of a file against a certificate that is trusted, in PEM.
///
/// # Errors
/// What osslsigncode says.
pub fn verify(file: &Path, certificate: &Path, catalogue: Option<&Path>) -> Result<(), Error> {
    let mut command = Command::new(PROGRAM);
    command.arg("verify").arg("-CAfile").arg(certificate);
    if let Some(catalogue) = catalogue {
        command.arg("-catalog").arg(catalogue);
    }
    command.arg("-in").arg(file);
    run(command, file)
}

fn run(mut command: Command, file: &Path) -> Result<(), Error> {
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::MissingTool { tool: PROGRAM },
        _ => Error::io("cannot be started", OsStr::new(PROGRAM), error),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Signature {
        file: file.to_owned(),
        said: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}
