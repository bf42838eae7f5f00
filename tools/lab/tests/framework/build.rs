//! Builds the test drivers by clang, llvm-dlltool and lld-link: version 19 as everywhere, or what `CLANG`, `LLVM_DLLTOOL` and
//! `LLD_LINK` name.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a build tool, which must succeed.
fn tool(variable: &str, default: &str, arguments: &[&str]) {
    let program = std::env::var(variable).unwrap_or_else(|_| default.into());
    let output = Command::new(&program).args(arguments).output();
    let output =
        output.unwrap_or_else(|e| panic!("{program} cannot be started ({variable} may name another): {e}"));
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Builds `source`.c with the definitions, in a folder `name` of its own; where `source`.sys lies, its INF and PDB beside it.
pub(crate) fn driver(source: &str, name: &str, definitions: &[&str]) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/framework");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("framework")
        .join(name);
    std::fs::create_dir_all(&folder).expect("cargo's folder for tests can be written");
    let given = |name: &str| sources.join(name).display().to_string();
    let built = |name: &str| folder.join(name).display().to_string();
    let (object, image) = (
        built(&format!("{source}.obj")),
        folder.join(format!("{source}.sys")),
    );
    let code = given(&format!("{source}.c"));
    let mut arguments = vec![
        "--target=x86_64-pc-windows-msvc",
        "-c",
        "-O1",
        "-g",
        "-gcodeview",
        "-ffreestanding",
        "-fasynchronous-unwind-tables",
        "-fno-stack-protector",
        "-fshort-wchar",
        "-Wall",
        "-Wno-unused-function",
        "-Werror",
        "-o",
        &object,
        &code,
    ];
    arguments.extend(definitions);
    tool("CLANG", "clang-19", &arguments);
    for module in ["ntoskrnl", "wdfldr"] {
        let (definition, library) = (given(&format!("{module}.def")), built(&format!("{module}.lib")));
        tool(
            "LLVM_DLLTOOL",
            "llvm-dlltool-19",
            &["-m", "i386:x86-64", "-d", &definition, "-l", &library],
        );
    }
    tool(
        "LLD_LINK",
        "lld-link-19",
        &[
            "/DRIVER",
            "/SUBSYSTEM:NATIVE",
            "/SECTION:INIT,ERD",
            "/ENTRY:DriverEntry",
            "/NODEFAULTLIB",
            "/DEBUG",
            &format!("/OUT:{}", image.display()),
            &format!("/PDB:{}", built(&format!("{source}.pdb"))),
            &object,
            &built("ntoskrnl.lib"),
            &built("wdfldr.lib"),
        ],
    );
    std::fs::copy(sources.join("driver.inf"), folder.join(format!("{source}.inf"))).expect("as above");
    image
}
