//! The crates of this repository against the lists of storeys in `ARCHITECTURE.md`, and what only the NT platform's crate may have.

use std::{collections::BTreeSet, fs, path::Path};

use rundown_storeys::{Sources, files, lists, platform};

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let lists = lists(&page).unwrap();
    assert!(!lists.is_empty(), "the page has no list");
    let mut findings = Vec::new();
    for list in &lists {
        let sources = Sources::read(&root.join(&list.folder)).unwrap();
        assert!(
            !sources.arrows().is_empty(),
            "{}: no imports were found",
            list.folder
        );
        let found = sources.findings(list).into_iter();
        findings.extend(found.map(|finding| format!("{}: {finding}", list.folder)));
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The one crate that implements the primitive's seams for NT.
const NT: &str = "crates/ex-rundown-nt/src";

/// What else goes into a driver, of ours and of those who copy. (`ex-rundown` has the instructions of the fast paths, and defines the
/// system's names.)
const DRIVERS: [&str; 5] = [
    "src",
    "example/src",
    "crates/rundown-probes/driver/src",
    "crates/rundown-stress/src",
    "crates/rundown-abi/src",
];

#[test]
fn nothing_of_an_nt_platform_stands_elsewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let things = |folder: &str| -> Vec<(String, &str)> {
        let files = files(&root.join(folder)).unwrap();
        assert!(!files.is_empty(), "{folder} has no source");
        files
            .iter()
            .flat_map(|file| {
                let found = platform::of(&fs::read_to_string(file).unwrap()).unwrap();
                let name = file.strip_prefix(&root).unwrap().display().to_string();
                found
                    .into_iter()
                    .map(move |(line, what)| (format!("{name}:{line}: {what}"), what))
            })
            .collect()
    };
    let strays: Vec<String> = DRIVERS
        .iter()
        .flat_map(|folder| things(folder))
        .map(|(stray, _)| stray)
        .collect();
    assert!(strays.is_empty(), "not in {NT}:\n{}", strays.join("\n"));

    let kinds: BTreeSet<&str> = things(NT).into_iter().map(|(_, what)| what).collect();
    assert_eq!(kinds.len(), 4, "of {NT} only these are recognised: {kinds:?}");
}
