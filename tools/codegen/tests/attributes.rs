//! What the compiler promises LLVM about memory that a release is given. An owner may free the object, with the reference in it, as
//! soon as the last reference is given back, and the call that gave it back has not returned then. So no function on that path
//! may say of a pointer that it can be dereferenced as long as the function runs, that nobody else writes there, or that
//! nobody writes at all: a Rust reference to memory without an `UnsafeCell` says all three.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a pointer on the path of a release must not be said to be.
const PROMISES: [&str; 3] = ["noalias", "readonly", "dereferenceable("];

/// What is wrong with the functions of a module whose names have `release` in them; and how many there are.
fn promises(ir: &str) -> (usize, Vec<String>) {
    let releases: Vec<(&str, &str)> = ir
        .lines()
        .filter(|line| line.starts_with("define "))
        .filter_map(|line| line.split_once('@')?.1.split_once('('))
        .filter(|(name, _)| name.contains("release"))
        .collect();
    let faults = releases
        .iter()
        .filter(|(_, rest)| {
            // Up to the attributes of the function itself.
            let parameters = rest.rsplit_once(')').map_or(*rest, |(parameters, _)| parameters);
            PROMISES.iter().any(|promise| parameters.contains(promise))
        })
        .map(|(name, parameters)| format!("{name}({parameters}"))
        .collect();
    (releases.len(), faults)
}

#[test]
fn a_release_promises_nothing_about_its_memory() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attributes");
    let ir: PathBuf = target.join("ways_back.ll");
    let built = Command::new(env!("CARGO"))
        .args(["rustc", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(repository.join("crates/rundown-probes/Cargo.toml"))
        .args(["--example", "ways_back", "--target-dir"])
        .arg(&target)
        // As rustc writes it, before LLVM adds what it finds by itself and drops what it has inlined.
        .args(["--", "-Cno-prepopulate-passes", "-Ccodegen-units=1"])
        .arg(format!("--emit=link,llvm-ir={}", ir.display()))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the example does not build");
    let text = fs::read_to_string(&ir).unwrap_or_else(|error| panic!("{}: {error}", ir.display()));
    let (releases, faults) = promises(&text);
    assert!(
        faults.is_empty(),
        "{} of {releases}:\n{}",
        faults.len(),
        faults.join("\n")
    );
    // By value, by pointer and in parts, of three references and an allocated one.
    assert!(releases >= 25, "{releases} functions are not all that release");
    println!("{releases} functions release, and promise nothing");
}

#[test]
fn a_promise_is_found() {
    let line = |parameter: &str| {
        format!(
            "define internal void @_ZN2ex7release17h0E(ptr {parameter} %self, i64 %count) unnamed_addr #2 {{\n"
        )
    };
    assert_eq!(promises(&line("noundef nonnull align 8")), (1, vec![]));
    for promise in ["noalias", "readonly align 8", "dereferenceable(24)"] {
        assert_eq!(promises(&line(promise)).1.len(), 1, "{promise}");
    }
    assert_eq!(
        promises("declare void @release(ptr noalias)\ndefine void @acquire(ptr noalias %0) {\n"),
        (0, vec![])
    );
}
