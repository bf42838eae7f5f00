//! Security catalogues (`.cat`): a CMS message whose content is a certificate trust list of files.
//!
//! Sources: object identifiers from `mscat.h` and `wintrust.h` as windows-rs carries them
//! (`Win32::Security::Cryptography::Catalog`); the structures are those of "Windows Authenticode Portable
//! Executable Signature Format" and of catalogues that makecat and `Inf2Cat` make, as published tools describe them. This
//! is version 2: members are named by their SHA-256.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cms::{
    cert::x509::spki::AlgorithmIdentifierOwned,
    content_info::{CmsVersion, ContentInfo},
    signed_data::{EncapsulatedContentInfo, SignedData, SignerInfos},
};
use der::{
    Any, Decode, Encode, Sequence, Tag, TagNumber,
    asn1::{BmpString, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime},
};
use sha2::{Digest, Sha256};
use x509_cert::{attr::Attribute, ext::Extension};

use crate::pe;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// `szOID_CTL`.
const CTL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.1");
/// `szOID_CATALOG_LIST`.
const CATALOG_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.1");
/// `szOID_CATALOG_LIST_MEMBER2`: version 2.
const CATALOG_LIST_MEMBER2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.3");
/// `CAT_NAMEVALUE_OBJID`.
const CAT_NAMEVALUE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.1");
/// `CAT_MEMBERINFO2_OBJID`.
const CAT_MEMBERINFO2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.3");
/// `SPC_INDIRECT_DATA_OBJID`.
const SPC_INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// `SPC_PE_IMAGE_DATA_OBJID`.
const SPC_PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
/// `SPC_CAB_DATA_OBJID`, which stands for any file that is hashed as a whole.
const SPC_CAB_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.25");

/// Authenticated, in plain text, replaces what it stands for: what `Inf2Cat` writes (`CRYPTCAT_ATTR_*`, `mscat.h`).
const ATTRIBUTE_FLAGS: u32 = 0x1001_0001;
/// Windows NT 10.0 on, for a member.
const MEMBER_OS: &str = "2:10.0";
/// x64 Windows 10 on, for the catalogue: `Inf2Cat`'s `10_X64`.
const CATALOGUE_OS: &str = "_v100_X64";

/// `SpcPeImageData` with the flags that `Inf2Cat` sets and an empty link to a file.
const PE_IMAGE_DATA: &[u8] = &[
    0x30, 0x0a, 0x03, 0x02, 0x05, 0xa0, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00,
];
/// An `SpcLink` to a file without a name.
const EMPTY_LINK: &[u8] = &[0xa2, 0x02, 0x80, 0x00];

#[derive(Clone, Debug, Sequence)]
struct TrustList {
    subject_usage: Vec<ObjectIdentifier>,
    list_identifier: OctetString,
    this_update: UtcTime,
    subject_algorithm: AlgorithmIdentifierOwned,
    subjects: Vec<Subject>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

#[derive(Clone, Debug, Sequence)]
struct Subject {
    identifier: OctetString,
    attributes: SetOfVec<Attribute>,
}

#[derive(Clone, Debug, Sequence)]
struct NameValue {
    name: BmpString,
    flags: u32,
    value: OctetString,
}

#[derive(Clone, Debug, Sequence)]
struct IndirectData {
    data: TypeAndValue,
    digest: DigestInfo,
}

#[derive(Clone, Debug, Sequence)]
struct TypeAndValue {
    kind: ObjectIdentifier,
    value: Any,
}

#[derive(Clone, Debug, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// A file of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub file: String,
    /// Whether it is hashed as an image, without its own signature.
    pub image: bool,
    /// Its hash.
    pub digest: [u8; 32],
}

impl Member {
    /// The member for a file with this content.
    ///
    /// # Errors
    /// When it claims to be an image and is not.
    pub fn of(file: impl Into<String>, content: &[u8]) -> Result<Self, pe::PeError> {
        let image = pe::is_image(content);
        let digest = if image {
            pe::authenticode_hash(content)?
        } else {
            Sha256::digest(content).into()
        };
        Ok(Self {
            file: file.into(),
            image,
            digest,
        })
    }

    fn subject(&self) -> der::Result<Subject> {
        let (kind, value, number) = if self.image {
            (SPC_PE_IMAGE_DATA, PE_IMAGE_DATA, TagNumber::N0)
        } else {
            (SPC_CAB_DATA, EMPTY_LINK, TagNumber::N2)
        };
        let indirect = IndirectData {
            data: TypeAndValue {
                kind,
                value: Any::from_der(value)?,
            },
            digest: DigestInfo {
                algorithm: algorithm(SHA_256),
                digest: OctetString::new(self.digest)?,
            },
        };
        let info = Any::new(
            Tag::ContextSpecific {
                constructed: false,
                number,
            },
            [],
        )?;
        let attributes = [
            attribute(CAT_MEMBERINFO2, info)?,
            attribute(CAT_NAMEVALUE, Any::encode_from(&name_value("File", &self.file)?)?)?,
            attribute(
                CAT_NAMEVALUE,
                Any::encode_from(&name_value("OSAttr", MEMBER_OS)?)?,
            )?,
            attribute(SPC_INDIRECT_DATA, Any::encode_from(&indirect)?)?,
        ];
        Ok(Subject {
            identifier: OctetString::new(self.digest)?,
            attributes: attributes.to_vec().try_into()?,
        })
    }
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::from(Null)),
    }
}

fn attribute(oid: ObjectIdentifier, value: Any) -> der::Result<Attribute> {
    Ok(Attribute {
        oid,
        values: vec![value].try_into()?,
    })
}

fn name_value(name: &str, value: &str) -> der::Result<NameValue> {
    // The value is Windows' own: UTF-16, little-endian, with a zero at its end.
    let value: Vec<u8> = value
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    Ok(NameValue {
        name: BmpString::from_utf8(name)?,
        flags: ATTRIBUTE_FLAGS,
        value: OctetString::new(value)?,
    })
}

fn extension(name: &str, value: &str) -> der::Result<Extension> {
    let extn_value = OctetString::new(name_value(name, value)?.to_der()?)?;
    Ok(Extension {
        extn_id: CAT_NAMEVALUE,
        critical: false,
        extn_value,
    })
}

/// A catalogue of these files for devices with these hardware IDs, not yet signed.
///
/// # Errors
/// What the DER encoder cannot write, such as a name outside of the Basic Multilingual Plane.
pub fn encode(members: &[Member], hardware_ids: &[String], at: SystemTime) -> der::Result<Vec<u8>> {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by_key(|member| member.digest);
    // Any 16 bytes will do; these follow from the content.
    let identifier = members
        .iter()
        .fold(Sha256::new(), |hash, member| hash.chain_update(member.digest))
        .finalize();
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut extensions = vec![extension("OS", CATALOGUE_OS)?];
    for (index, id) in hardware_ids.iter().enumerate() {
        extensions.push(extension(
            &format!("HWID{}", index + 1),
            &id.to_ascii_lowercase(),
        )?);
    }
    let list = TrustList {
        subject_usage: vec![CATALOG_LIST],
        list_identifier: OctetString::new(&identifier[..16])?,
        this_update: UtcTime::from_unix_duration(Duration::from_secs(seconds))?,
        subject_algorithm: algorithm(CATALOG_LIST_MEMBER2),
        subjects: members
            .into_iter()
            .map(Member::subject)
            .collect::<der::Result<_>>()?,
        extensions: Some(extensions),
    };
    let signed = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::new(),
        // The list itself, not an octet string around it: PKCS #7 of 1993, which Authenticode is built on.
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: CTL,
            econtent: Some(Any::encode_from(&list)?),
        },
        certificates: None,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::new()),
    };
    ContentInfo {
        content_type: SIGNED_DATA,
        content: Any::encode_from(&signed)?,
    }
    .to_der()
}

/// The files of a catalogue, signed or not, sorted by their hashes.
///
/// # Errors
/// What is no catalogue of version 2.
pub fn decode(bytes: &[u8]) -> der::Result<Vec<Member>> {
    let unexpected = |oid| der::ErrorKind::OidUnknown { oid };
    let info = ContentInfo::from_der(bytes)?;
    if info.content_type != SIGNED_DATA {
        return Err(unexpected(info.content_type).into());
    }
    let signed: SignedData = info.content.decode_as()?;
    if signed.encap_content_info.econtent_type != CTL {
        return Err(unexpected(signed.encap_content_info.econtent_type).into());
    }
    let content = signed.encap_content_info.econtent.ok_or(der::ErrorKind::Failed)?;
    let list: TrustList = content.decode_as()?;
    if list.subject_algorithm.oid != CATALOG_LIST_MEMBER2 {
        return Err(unexpected(list.subject_algorithm.oid).into());
    }
    list.subjects.iter().map(member).collect()
}

fn member(subject: &Subject) -> der::Result<Member> {
    let mut file = None;
    let mut indirect = None;
    for attribute in subject.attributes.iter() {
        for value in attribute.values.iter() {
            if attribute.oid == CAT_NAMEVALUE {
                let pair: NameValue = value.decode_as()?;
                if pair.name == BmpString::from_utf8("File")? {
                    file = Some(wide(pair.value.as_bytes()));
                }
            } else if attribute.oid == SPC_INDIRECT_DATA {
                indirect = Some(value.decode_as::<IndirectData>()?);
            }
        }
    }
    let (Some(file), Some(indirect)) = (file, indirect) else {
        return Err(der::ErrorKind::Failed.into());
    };
    let digest: [u8; 32] = indirect
        .digest
        .digest
        .as_bytes()
        .try_into()
        .map_err(|_| der::ErrorKind::Failed)?;
    if subject.identifier.as_bytes() != digest || indirect.digest.algorithm.oid != SHA_256 {
        // The name and the hash of a member are the same in version 2.
        return Err(der::ErrorKind::Failed.into());
    }
    Ok(Member {
        file,
        image: indirect.data.kind == SPC_PE_IMAGE_DATA,
        digest,
    })
}

fn wide(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<Member> {
        let mut members = vec![
            Member {
                file: "rundown.sys".into(),
                image: true,
                digest: [0x22; 32],
            },
            Member::of("rundown.inf", b"[Version]").unwrap(),
        ];
        members.sort_by_key(|member| member.digest);
        members
    }

    fn catalogue() -> Vec<u8> {
        encode(
            &members(),
            &[r"Root\Rundown".into()],
            UNIX_EPOCH + Duration::from_hours(490_896),
        )
        .unwrap()
    }

    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode(&catalogue()).unwrap(), members());
        assert_eq!(catalogue(), catalogue(), "the same input gives the same bytes");
    }

    #[test]
    fn the_bytes_that_windows_looks_for_are_there() {
        let bytes = catalogue();
        // CAT_MEMBERINFO2 of an image and of another file.
        for end in [0x80, 0x82] {
            let info = [
                0x30, 0x10, 0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x0c, 2, 3, 0x31, 2, end, 0,
            ];
            assert!(contains(&bytes, &info));
        }
        let wide = |text: &str| {
            text.encode_utf16()
                .chain([0])
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()
        };
        for text in ["2:10.0", "_v100_X64", r"root\rundown", "rundown.sys"] {
            assert!(contains(&bytes, &wide(text)), "{text}");
        }
        assert!(contains(&bytes, b"260101000000Z"));
    }

    #[test]
    fn what_is_no_catalogue_is_refused() {
        let bytes = catalogue();
        assert!(decode(&[]).is_err());
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        // The digest of a member, changed in one of its two places.
        let position = bytes.windows(32).position(|window| window == [0x22; 32]).unwrap();
        let mut changed = bytes;
        changed[position] = 0x23;
        assert!(decode(&changed).is_err());
    }
}
