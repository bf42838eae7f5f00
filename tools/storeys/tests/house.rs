//! The crates of this repository against the lists of storeys in `ARCHITECTURE.md`.

use std::{fs, path::Path};

use rundown_storeys::{Sources, lists};

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
