//! A test certificate: self-signed, for code signing, with a key that lives as long as one package is made.

use std::{str::FromStr, time::Duration};

use der::{EncodePem, oid::db::rfc5280::ID_KP_CODE_SIGNING, pem::LineEnding};
use rsa::{RsaPrivateKey, pkcs1v15, pkcs8::EncodePrivateKey, rand_core::OsRng, rand_core::RngCore};
use sha2::Sha256;
use x509_cert::{
    Certificate,
    builder::{Builder, CertificateBuilder, Profile},
    ext::pkix::ExtendedKeyUsage,
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::Validity,
};

use crate::Error;

/// Who the certificate names: what people see in the certificate stores, and look for to remove it.
pub const SUBJECT: &str = "CN=rundown test signing (do not trust elsewhere)";
/// 2048 bits: what the kernel's code integrity takes on every Windows 10.
const BITS: usize = 2048;
const DAY: Duration = Duration::from_hours(24);
const LIFETIME_DAYS: u32 = 365;

/// A certificate and its key.
pub struct TestCertificate {
    certificate: Certificate,
    key: RsaPrivateKey,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Certificate(error.to_string())
}

impl TestCertificate {
    /// Makes a key and its certificate, valid from now on for a year.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new() -> Result<Self, Error> {
        let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(failed)?;
        let signer = pkcs1v15::SigningKey::<Sha256>::new(key.clone());
        let public = SubjectPublicKeyInfoOwned::from_key(key.to_public_key()).map_err(failed)?;
        let mut serial = [0; 16];
        OsRng.fill_bytes(&mut serial);
        // Positive, and without leading zeros.
        serial[0] = serial[0] & 0x3f | 0x40;
        let subject = Name::from_str(SUBJECT).map_err(failed)?;
        // Its own issuer, but a leaf and not a CA: it must not be able to vouch for anybody else, in whosever root
        // store it lands.
        let profile = Profile::Leaf {
            issuer: subject.clone(),
            enable_key_agreement: false,
            enable_key_encipherment: false,
        };
        let mut builder = CertificateBuilder::new(
            profile,
            SerialNumber::new(&serial).map_err(failed)?,
            Validity::from_now(DAY * LIFETIME_DAYS).map_err(failed)?,
            subject,
            public,
            &signer,
        )
        .map_err(failed)?;
        builder
            .add_extension(&ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]))
            .map_err(failed)?;
        let certificate = builder.build::<pkcs1v15::Signature>().map_err(failed)?;
        Ok(Self { certificate, key })
    }

    /// The certificate, in the form that both osslsigncode and certutil read.
    ///
    /// # Errors
    /// None that can be named: it was encoded before.
    pub fn pem(&self) -> Result<String, Error> {
        self.certificate.to_pem(LineEnding::LF).map_err(failed)
    }

    /// The private key, as osslsigncode wants it.
    ///
    /// # Errors
    /// See [`Self::pem`].
    pub fn key_pem(&self) -> Result<impl AsRef<[u8]>, Error> {
        Ok(self
            .key
            .to_pkcs8_pem(rsa::pkcs8::LineEnding::LF)
            .map_err(failed)?
            .as_bytes()
            .to_vec())
    }
}
