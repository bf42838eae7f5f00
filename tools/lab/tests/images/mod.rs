//! Memory images for the tests of `debugger/rundown.js`, and those tests.

use crate::client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder for images.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// An image, with what the extension must answer; `image` is what it has besides memory.
pub(crate) fn save(folder: &Path, name: &str, memory: &[(u64, Vec<u8>)], mut image: Value, expect: &Value) {
    let pieces: Vec<Value> = memory
        .iter()
        .map(|(address, bytes)| {
            let hex = bytes
                .iter()
                .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            json!({ "address": format!("{address:#x}"), "hex": hex })
        })
        .collect();
    image["memory"] = pieces.into();
    image["expect"] = json!([expect]);
    let text = serde_json::to_string_pretty(&image).unwrap() + "\n";
    std::fs::write(folder.join(name).with_extension("json"), text).unwrap();
}

/// What a command must answer.
pub(crate) fn expect(command: &str, address: u64, headline: &str, fields: &Value) -> Value {
    json!({ "command": command, "address": format!("{address:#x}"), "headline": headline, "fields": fields })
}

/// Runs the extension's tests on the images in `folder`; what they said.
pub(crate) fn test(folder: &Path) -> String {
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter", "tap"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../debugger/test/rundown.test.js"
        ))
        .env("RUNDOWN_IMAGES", folder);
    let (code, said) = client::output(&mut node);
    assert_eq!(code, Some(0), "{said}");
    said
}
