//! The kit's headers, asked by compiling.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use rundown_kit::kmdf::Version;
use rundown_kit::sysroot::{Llvm, Sysroot};

use crate::signature::Signature;

const INCLUDES: &str = "#include <ntifs.h>\n#include <ntddk.h>\n#include <wdf.h>\n";

pub(crate) struct Headers {
    llvm: Llvm,
    sysroot: Sysroot,
    folder: PathBuf,
}

impl Headers {
    /// `name`: the test's, since tests run at once.
    pub(crate) fn new(name: &str) -> Self {
        let llvm = Llvm::find().unwrap_or_else(|error| panic!("{error}"));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join("meaning")
            .join(name);
        let sysroot = Sysroot::prepare(&folder.join("wdk"), &llvm).unwrap_or_else(|error| panic!("{error}"));
        Self {
            llvm,
            sysroot,
            folder,
        }
    }

    fn compile(&self, file: &str, text: &str) -> (bool, String) {
        let source = self.folder.join(file);
        fs::write(&source, text).unwrap();
        let mut clang: Command = self.sysroot.compiler(&self.llvm, Version::V31);
        let output = clang
            .args(["-fsyntax-only", "-ferror-limit=0"])
            .arg(&source)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }

    /// The first error that the compiler has of each line, by the line's index.
    pub(crate) fn errors(&self, lines: &[String]) -> BTreeMap<usize, String> {
        let before = INCLUDES.lines().count() + 1;
        let (_, said) = self.compile("errors.c", &format!("{INCLUDES}{}\n", lines.join("\n")));
        let mut errors = BTreeMap::new();
        for line in said.lines() {
            let place = line
                .split_once("errors.c:")
                .and_then(|(_, rest)| rest.split_once(": error: "));
            if let Some((place, what)) = place {
                let number: usize = place
                    .split(':')
                    .next()
                    .and_then(|number| number.parse().ok())
                    .expect("a line");
                errors.entry(number - before).or_insert_with(|| what.to_owned());
            }
        }
        errors
    }

    /// Panics with the compiler's errors unless it accepts the lines.
    pub(crate) fn accept(&self, lines: &[String]) {
        let (accepted, said) = self.compile("lines.c", &format!("{INCLUDES}{}\n", lines.join("\n")));
        assert!(accepted, "{said}");
    }

    /// The same with a line in front of the headers.
    pub(crate) fn accept_before(&self, line: &str, lines: &[String]) {
        let (accepted, said) = self.compile("lines.c", &format!("{line}\n{INCLUDES}{}\n", lines.join("\n")));
        assert!(accepted, "{said}");
    }

    /// The same without the headers.
    pub(crate) fn accept_alone(&self, lines: &[String]) {
        let (accepted, said) = self.compile("lines.c", &format!("{}\n", lines.join("\n")));
        assert!(accepted, "{said}");
    }

    /// The compiler's errors; panics if it accepts the lines.
    pub(crate) fn refuse(&self, lines: &[String]) -> String {
        let (accepted, said) = self.compile("lines.c", &format!("{INCLUDES}{}\n", lines.join("\n")));
        assert!(!accepted, "{lines:?}");
        said
    }

    /// The signatures of functions. C++ can take a type apart, and clang names it in full when a template lacks it.
    pub(crate) fn signatures(&self, functions: &[&str]) -> Vec<Signature> {
        let shown: Vec<String> = functions
            .iter()
            .map(|name| format!("Show<decltype(&{name})> Show{name};\n"))
            .collect();
        let shown = shown.concat();
        let text = format!("extern \"C\" {{\n{INCLUDES}}}\ntemplate<class T> struct Show;\n{shown}");
        let (_, said) = self.compile("signatures.cpp", &text);
        let signatures: Vec<Signature> = said
            .lines()
            .filter_map(|line| line.split_once("undefined template 'Show<")?.1.strip_suffix(">'"))
            .map(Signature::of_c)
            .collect();
        assert_eq!(signatures.len(), functions.len(), "{said}");
        signatures
    }
}
