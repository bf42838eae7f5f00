//! What the crate tracelogging declares of the kernel by itself, past wdk-sys, and so past the kit's headers.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    metadata::Metadata,
    repository,
    signature::{Signature, Type},
};

/// The crate's declarations, of the release that the driver is locked to.
fn declarations() -> String {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(repository().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|package| package["name"] == "tracelogging");
    let manifest = PathBuf::from(found.unwrap()["manifest_path"].as_str().unwrap());
    fs::read_to_string(manifest.with_file_name("src/native.rs")).unwrap()
}

/// Each `fn Etw...` of its `extern` block with its signature.
fn routines(text: &str) -> Vec<(String, Signature)> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split("fn Etw")
        .skip(1)
        .map(|function| {
            let (name, rest) = function.split_once('(').unwrap();
            let (parameters, rest) = rest.split_once(") -> ").unwrap();
            let (result, _) = rest.split_once(';').unwrap();
            let parameters = parameters
                .split(", ")
                .filter_map(|parameter| Some(kind(parameter.split_once(": ")?.1.trim_end_matches(','))));
            let signature = Signature {
                result: kind(result),
                parameters: parameters.collect(),
            };
            (format!("Etw{}", name.trim()), signature)
        })
        .collect()
}

/// A Rust type; whatever is behind a reference is a pointer here, since the crate has its own names for ETW's structures.
fn kind(text: &str) -> Type {
    match text {
        "u32" => Type::Integer("u32"),
        "u64" => Type::Integer("u64"),
        // A context that is handed back.
        "usize" => Type::Pointer,
        _ if text.starts_with(['&', '*']) || text.starts_with("Option<&") || text.ends_with("Callback") => {
            Type::Pointer
        }
        other => Type::Other(other.to_owned()),
    }
}

/// The crate takes an NTSTATUS and an enumeration for unsigned.
fn unsigned(kind: &Type) -> Type {
    match kind {
        Type::Integer("i32") => Type::Integer("u32"),
        Type::Integer("i64") => Type::Integer("u64"),
        kind => kind.clone(),
    }
}

#[test]
fn its_declarations_are_microsofts() {
    let metadata = Metadata::read();
    let routines = routines(&declarations());
    let names: Vec<&str> = routines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "EtwUnregister",
            "EtwRegister",
            "EtwSetInformation",
            "EtwWriteTransfer",
            "EtwActivityIdControl"
        ]
    );
    for (name, here) in &routines {
        let theirs = metadata.function(name).unwrap_or_else(|| panic!("no {name}"));
        let theirs = Signature {
            result: unsigned(&theirs.result),
            parameters: theirs.parameters.iter().map(unsigned).collect(),
        };
        assert!(
            here.agrees_with(&theirs),
            "{name}: here {here}, Microsoft's {theirs}"
        );
    }
}

#[test]
fn a_difference_is_seen() {
    let metadata = Metadata::read();
    let theirs = metadata.function("EtwUnregister").unwrap();
    for wrong in [
        "fn EtwUnregister (reg_handle: u32) -> u32;",
        "fn EtwUnregister (reg_handle: u64, more: u32) -> u32;",
        "fn EtwUnregister (reg_handle: &mut u64) -> u32;",
    ] {
        let (_, wrong) = routines(wrong).remove(0);
        assert!(!wrong.agrees_with(&theirs), "{wrong}");
    }
}
