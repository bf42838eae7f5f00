//! A package, made and verified with the real osslsigncode, and then damaged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rundown_package::{CERTIFICATE, Error, Inputs, build, catalogue, inf::Rules, pe, verify};
use tempfile::TempDir;

const GOOD: &str = include_str!("fixtures/good.inf");

/// A 64-bit native image with one section: what the signing tools need of one.
fn image() -> Vec<u8> {
    let mut bytes = vec![0; 0x800];
    let mut put = |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &0x8664_u16.to_le_bytes()); // machine: x64
    put(0x46, &1_u16.to_le_bytes()); // sections
    put(0x54, &240_u16.to_le_bytes()); // size of the optional header
    put(0x56, &0x22_u16.to_le_bytes()); // executable, large addresses
    let optional = 0x58;
    put(optional, &0x20b_u16.to_le_bytes());
    put(optional + 16, &0x1000_u32.to_le_bytes()); // entry
    put(optional + 24, &0x1_4000_0000_u64.to_le_bytes());
    put(optional + 32, &0x1000_u32.to_le_bytes()); // section alignment
    put(optional + 36, &0x200_u32.to_le_bytes()); // file alignment
    put(optional + 56, &0x2000_u32.to_le_bytes()); // size of the image
    put(optional + 60, &0x400_u32.to_le_bytes()); // size of the headers
    put(optional + 68, &1_u16.to_le_bytes()); // subsystem: native
    put(optional + 108, &16_u32.to_le_bytes()); // data directories
    let section = optional + 240;
    put(section, b".text");
    put(section + 8, &0x400_u32.to_le_bytes());
    put(section + 12, &0x1000_u32.to_le_bytes());
    put(section + 16, &0x400_u32.to_le_bytes());
    put(section + 20, &0x400_u32.to_le_bytes());
    put(section + 36, &0x6800_0020_u32.to_le_bytes());
    for (index, byte) in bytes[0x400..].iter_mut().enumerate() {
        *byte = u8::try_from(index % 251).unwrap();
    }
    bytes
}

struct Folder {
    folder: TempDir,
    inputs: Inputs,
}

/// Inputs of a good package.
fn inputs() -> Folder {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("sample.inf"), GOOD).unwrap();
    fs::write(path("sample.sys"), image()).unwrap();
    fs::write(path("sample.pdb"), "symbols").unwrap();
    fs::write(path("walk.ps1"), "script").unwrap();
    let inputs = Inputs {
        inf: path("sample.inf"),
        driver: path("sample.sys"),
        pdb: path("sample.pdb"),
        beside: vec![path("walk.ps1")],
        rules: Rules::Project,
        output: path("package"),
    };
    Folder { folder, inputs }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn change(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_package_is_made_verified_and_every_change_to_it_detected() {
    let made = inputs();
    let output = &made.inputs.output;
    let package = build(&made.inputs).unwrap();
    assert_eq!(package.warnings, []);
    assert_eq!(
        names(output),
        [
            CERTIFICATE,
            "sample.cat",
            "sample.inf",
            "sample.pdb",
            "sample.sys",
            "walk.ps1"
        ]
    );
    let members: Vec<_> = package
        .members
        .iter()
        .map(|member| (member.file.as_str(), member.image))
        .collect();
    assert!(
        members.contains(&("sample.sys", true)) && members.contains(&("sample.inf", false)),
        "{members:?}"
    );
    assert!(
        !names(made.folder.path())
            .iter()
            .any(|name| name.contains("key") || name.starts_with('.'))
    );

    // The hash does not change by signing, and ours is the one that osslsigncode computes.
    let signed = fs::read(output.join("sample.sys")).unwrap();
    let hash = pe::authenticode_hash(&signed).unwrap();
    assert_eq!(pe::authenticode_hash(&image()).unwrap(), hash);
    let said = Command::new("osslsigncode")
        .arg("verify")
        .arg("-in")
        .arg(output.join("sample.sys"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).to_ascii_lowercase();
    let text = hash.map(|byte| format!("{byte:02x}")).concat();
    assert!(said.contains(&text), "{said}");
    assert!(said.contains("page hash"), "{said}");

    // Every file that counts, changed and changed back.
    for (file, position) in [("sample.sys", 0x500), ("sample.inf", 3), ("sample.cat", 400)] {
        let flip = |bytes: &mut Vec<u8>| bytes[position] ^= 1;
        change(output.join(file), flip);
        let error = verify(output, Rules::Project).expect_err(file);
        let expected = match file {
            "sample.cat" => matches!(error, Error::Signature { .. }),
            _ => matches!(error, Error::Changed { .. }),
        };
        assert!(expected, "{file}: {error}");
        change(output.join(file), flip);
        verify(output, Rules::Project).unwrap();
    }
    // A driver whose signature was taken away keeps its hash, but is refused.
    fs::write(output.join("sample.sys"), image()).unwrap();
    assert!(matches!(
        verify(output, Rules::Project),
        Err(Error::Signature { .. })
    ));
    fs::write(output.join("sample.sys"), signed).unwrap();

    // A good catalogue of another certificate.
    let other = inputs();
    build(&other.inputs).unwrap();
    fs::copy(other.inputs.output.join("sample.cat"), output.join("sample.cat")).unwrap();
    assert!(matches!(
        verify(output, Rules::Project),
        Err(Error::Signature { .. })
    ));
    // A package is replaced by the next one.
    build(&made.inputs).unwrap();
    verify(output, Rules::Project).unwrap();
}

#[test]
fn inputs_that_do_not_fit_leave_the_output_alone() {
    let made = inputs();
    let path = |name: &str| made.folder.path().join(name);

    fs::write(path("other.sys"), image()).unwrap();
    let wrong = Inputs {
        driver: path("other.sys"),
        ..made.inputs.clone()
    };
    assert!(matches!(build(&wrong), Err(Error::Files { .. })));

    fs::write(
        path("bad.inf"),
        GOOD.replace("CopyFiles = Sample_Files", "CopyFiles = Missing"),
    )
    .unwrap();
    let wrong = Inputs {
        inf: path("bad.inf"),
        ..made.inputs.clone()
    };
    let error = build(&wrong).unwrap_err();
    assert!(error.to_string().contains("[1203]"), "{error}");

    let wrong = Inputs {
        pdb: path("missing.pdb"),
        ..made.inputs.clone()
    };
    assert!(build(&wrong).unwrap_err().to_string().contains("missing.pdb"));

    fs::write(&made.inputs.driver, b"MZ and no more").unwrap();
    assert!(matches!(
        build(&made.inputs),
        Err(Error::Signature { .. } | Error::Pe { .. })
    ));
    assert!(!made.inputs.output.exists());

    fs::create_dir(&made.inputs.output).unwrap();
    fs::write(made.inputs.output.join("thesis.txt"), "years of work").unwrap();
    assert!(matches!(build(&made.inputs), Err(Error::OutputInUse(_))));
    assert_eq!(names(&made.inputs.output), ["thesis.txt"]);
    assert!(
        names(made.folder.path())
            .iter()
            .all(|name| !name.starts_with('.')),
        "a staging folder is left"
    );
}

#[test]
fn a_catalogue_that_vouches_for_more_than_the_package_is_refused() {
    let made = inputs();
    let package = build(&made.inputs).unwrap();
    let bytes = fs::read(made.inputs.output.join("sample.cat")).unwrap();
    assert_eq!(
        catalogue::decode(&bytes).unwrap(),
        package.members,
        "signing keeps the members"
    );
    // The INF no longer installs the driver's file under this name.
    let wider = GOOD.replace("sample.sys", "wider.sys");
    fs::write(made.inputs.output.join("sample.inf"), wider).unwrap();
    let error = verify(&made.inputs.output, Rules::Project).unwrap_err();
    assert!(error.to_string().contains("wider.sys"), "{error}");
}
