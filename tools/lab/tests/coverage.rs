//! What of a driver ran (`--coverage`): exactly the lines that its requests lead through, summed over boots. Not part of a plain `cargo test`:
//! `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test coverage`.

mod client;

use client::{artefact, output};
use rundown_lcov::{Coverage, File};
use std::path::Path;
use std::process::Command;

/// A run of the specimens, as a driver that is not Plug and Play's or as the device of its INF.
fn run(coverage: &Path, options: &[&str]) -> Option<i32> {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
    command.arg("run").arg(artefact("specimens.sys")).args(options);
    command.arg("--kernel").arg(artefact("rundown-lab-kernel"));
    command.arg("--failure").arg(folder.path().join("failed.json"));
    command.arg("--coverage").arg(coverage);
    output(&mut command).0
}

/// The specimens' root file, and what of it ran.
fn root(path: &Path) -> (String, File) {
    let text = std::fs::read_to_string(path).expect("it was written");
    let coverage = Coverage::parse(&text).expect("it is lcov's");
    let (_, file) = coverage
        .files
        .into_iter()
        .find(|(path, _)| path.replace('\\', "/").ends_with("specimens/src/lib.rs"))
        .expect("the PDB names the file");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/specimens/src/lib.rs");
    (
        std::fs::read_to_string(source).expect("the sources are there"),
        file,
    )
}

/// How often the line ran that has `text`; none if it has no code.
fn hits((source, file): &(String, File), text: &str) -> Option<u64> {
    let at = source
        .lines()
        .position(|line| line.contains(text))
        .expect("the sources have it");
    file.lines
        .get(&u32::try_from(at + 1).expect("it is short"))
        .copied()
}

const ENTRY: &str = "nt::DRIVER = driver;";
const LEGACY: &str = "return unsafe { legacy::initialize(driver) };";
const DEVICE: &str = "return unsafe { device::initialize(driver) };";
const PANIC: &str = "nt::KeBugCheckEx(0xE, 0, 0, 0, 0)";

#[test]
fn the_way_that_a_run_took_is_what_ran() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("specimens.info");
    assert_eq!(run(&path, &["--legacy", "--cpus", "1"]), Some(0));
    let first = root(&path);
    assert_eq!(hits(&first, LEGACY), Some(1), "{:?}", first.1);
    assert_eq!(hits(&first, DEVICE), Some(0), "{:?}", first.1);
    assert_eq!(hits(&first, ENTRY), Some(1), "{:?}", first.1);
    let entered = |file: &File, name: &str| {
        file.functions
            .iter()
            .find(|(own, _)| own.ends_with(name))
            .map(|(_, it)| it.1)
    };
    assert_eq!(entered(&first.1, "DriverEntry"), Some(1));
    assert_eq!(entered(&first.1, "unload"), Some(1));
    // A boot on the other way is added, line by line.
    assert_eq!(run(&path, &["--mode", "chaos"]), Some(0));
    let both = root(&path);
    assert_eq!(
        (hits(&both, LEGACY), hits(&both, DEVICE), hits(&both, ENTRY)),
        (Some(1), Some(1), Some(2))
    );
    assert_eq!(
        first.1.lines.len(),
        both.1.lines.len(),
        "what has code stays the same"
    );
    assert!(matches!(hits(&both, PANIC), None | Some(0)), "nothing panicked");
}

/// What cannot be measured is said in a line, before anything boots.
#[test]
fn bad_input_is_found_first() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let other = folder.path().join("other.info");
    std::fs::write(&other, "TN:other\nSF:a.rs\nDA:1,1\nend_of_record\n").expect("it is our folder");
    let text = folder.path().join("text");
    std::fs::write(&text, "hello\n").expect("it is our folder");
    let alone = folder.path().join("specimens.sys");
    std::fs::copy(artefact("specimens.sys"), &alone).expect("it can be copied");
    let good = folder.path().join("good.info");
    let (specimens, kernel) = (artefact("specimens.sys"), artefact("rundown-lab-kernel"));
    for (driver, file, more, code, why) in [
        (
            &specimens,
            "/proc/nowhere/x.info".as_ref(),
            "tcg",
            7,
            "/proc/nowhere/x.info",
        ),
        (&specimens, folder.path(), "tcg", 7, "cannot write the coverage"),
        (&specimens, &other, "tcg", 2, "another build"),
        (&specimens, &text, "tcg", 2, "line 1, `hello`"),
        (
            &alone,
            &good,
            "tcg",
            2,
            "--coverage needs the driver's PDB (--pdb FILE)",
        ),
        (&specimens, &good, "kvm", 2, "leave --accel kvm out"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
        command
            .arg("run")
            .arg(driver)
            .args(["--legacy", "--accel", more, "--kernel"]);
        let ended = command
            .arg(&kernel)
            .arg("--coverage")
            .arg(file)
            .output()
            .expect("cargo has built it");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    }
    // A sweep boots several machines, and says it once.
    let script = folder.path().join("script");
    std::fs::write(&script, "sleep 1\n").expect("it is our folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
    command
        .arg("sweep")
        .arg("--driver")
        .arg(&specimens)
        .arg("--script")
        .arg(&script);
    command
        .arg("--kernel")
        .arg(&kernel)
        .args(["--coverage", "/proc/nowhere/x.info"]);
    let ended = command.output().expect("cargo has built it");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(
        (ended.status.code(), said.lines().count()),
        (Some(7), 1),
        "{said}"
    );
    assert!(ended.stdout.is_empty(), "nothing was swept");
}
