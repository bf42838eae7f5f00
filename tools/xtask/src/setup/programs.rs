//! Every program that the tools and the tests start by its name is one that the set-up brings, or that every Debian has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{GDB, MAKE, MINGW, NODE, OSSLSIGNCODE, PATCH, QEMU};
use crate::tree::Tree;

/// What `debootstrap --variant=minbase` leaves, by package: Debian's packages of priority `required`, which no installed
/// system lacks. `kill` is not among them, it is of procps.
const REQUIRED: [(&str, &str); 7] = [
    ("sh", "dash"),
    ("false", "coreutils"),
    ("timeout", "coreutils"),
    ("dpkg-query", "dpkg"),
    ("unshare", "util-linux"),
    ("apt-get", "apt"),
    ("tar", "tar"),
];

/// What README.md names before the first command: rustup, and gcc with the assembler of binutils.
const NAMED: [&str; 3] = ["cargo", "rustup", "as"];

/// What the package `PACKAGES` of the kit's own route has; the kit looks for each before it starts it.
const KIT: [&str; 2] = ["/usr/bin/cargo", "/usr/bin/rustc"];

/// The programs that Rust sources start by a literal or by a constant, each with the file that does.
fn started(sources: &BTreeMap<PathBuf, String>) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for (path, text) in sources {
        // clap has a type of that name, too.
        let imports_claps = text.split("use clap::").skip(1).any(|import| {
            let import = import.split(';').next().unwrap_or_default();
            import.split(['{', '}', ',']).any(|name| name.trim() == "Command")
        });
        let calls = text.match_indices("Command::new(").filter(|(at, _)| {
            let explicit = text[..*at].ends_with("process::");
            explicit || !imports_claps && !text[..*at].ends_with(|c: char| c.is_alphanumeric())
        });
        for (at, call) in calls {
            let argument = &text[at + call.len()..];
            if let Some(literal) = argument.strip_prefix('"') {
                let name = literal.split('"').next().unwrap_or_default();
                found.insert(name.to_owned(), path.clone());
                continue;
            }
            let name = argument
                .split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                .next()
                .and_then(|path| path.rsplit("::").next())
                .unwrap_or_default();
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                continue;
            }
            let definition = format!("const {name}: &str = \"");
            let mut everywhere = [text].into_iter().chain(sources.values());
            let value = everywhere
                .find_map(|text| text.split_once(&definition)?.1.split('"').next())
                .unwrap_or_else(|| panic!("{} starts {name}, which is defined nowhere", path.display()));
            found.insert(value.to_owned(), path.clone());
        }
    }
    found
}

/// The Rust sources below `folder`.
fn sources(folder: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                sources(&path, into);
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_program_that_is_started_is_there() {
    let tree = Tree::here().unwrap();
    let mut all = BTreeMap::new();
    for folder in ["tools", "crates", "lab", "src"] {
        sources(&tree.root().join(folder), &mut all);
    }
    let set_up = [QEMU, PATCH, OSSLSIGNCODE, NODE, GDB, MAKE, MINGW].map(|tool| tool.program);
    let here: BTreeSet<&str> = REQUIRED
        .iter()
        .map(|(program, _)| *program)
        .chain(NAMED)
        .chain(KIT)
        .chain(set_up)
        .collect();
    let started = started(&all);
    for (program, file) in &started {
        // A name in no folder is what a test starts to see it fail; the tests below have such a call in their text.
        if program.starts_with("/nowhere/") || file.ends_with("setup/programs.rs") {
            continue;
        }
        assert!(
            here.contains(program.as_str()),
            "{} starts `{program}`: install it in the set-up, or do without it",
            file.display()
        );
    }
    // The search sees literals, constants of the same file, and another file's.
    for known in ["rustup", QEMU.program, OSSLSIGNCODE.program, MINGW.program] {
        assert!(
            started.contains_key(known),
            "{known} is started, and was not found"
        );
    }
    for listed in here {
        assert!(
            started.contains_key(listed),
            "nothing starts `{listed}`: take it off the list"
        );
    }
}

#[test]
fn calls_are_found_in_all_their_spellings() {
    let text = |text: &str| BTreeMap::from([(PathBuf::from("a.rs"), text.to_owned())]);
    let names = |source: &str| started(&text(source)).into_keys().collect::<Vec<_>>();
    assert_eq!(names("Command::new(\"kill\").arg(1)"), ["kill"]);
    assert_eq!(
        names("const TOOL: &str = \"ps\"; x(Command::new(a::TOOL))"),
        ["ps"]
    );
    assert_eq!(names("Command::new(cargo()); Command::new(&program)"), [""; 0]);
    assert_eq!(
        names("use clap::{Arg, Command}; Command::new(\"serve\")"),
        [""; 0]
    );
    assert_eq!(
        names("use clap::{Arg, Command}; std::process::Command::new(\"ps\")"),
        ["ps"]
    );
    assert_eq!(
        names("use clap::{Arg, Command as Sub}; Sub::new(\"x\"); Command::new(\"ps\")"),
        ["ps"]
    );
}

/// dpkg, where there is one, says that each is of the package that is named, and that the package is required.
#[test]
fn what_is_called_required_is_required() {
    for (program, package) in REQUIRED {
        let ask = |arguments: &[&str]| {
            let output = Command::new("dpkg-query").args(arguments).arg(package).output();
            String::from_utf8(output.expect("this system has dpkg").stdout).unwrap()
        };
        let files = ask(&["--listfiles"]);
        assert!(
            files
                .lines()
                .any(|file| Path::new(file).file_name().is_some_and(|name| name == program)),
            "{package} has no {program}"
        );
        let importance = ask(&["--show", "--showformat", "${Essential} ${Priority}"]);
        assert!(
            importance.starts_with("yes") || importance.ends_with("required") || package == "apt",
            "{package}: {importance}"
        );
    }
}
