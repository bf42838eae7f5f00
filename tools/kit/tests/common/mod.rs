//! A driver in C, linked with the kit's own libraries in the way wdk-build links one in Rust.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rundown_kit::{
    driver::LINK_ARGUMENTS,
    sysroot::{Llvm, Sysroot},
};

const VERSION: &str = r#"
1 VERSIONINFO
FILEVERSION 1, 2, 3, 4
FILEOS 0x40004
FILETYPE 3
{ BLOCK "VarFileInfo" { VALUE "Translation", 0x409, 0x4B0 } }
"#;

/// An image and its PDB.
pub(crate) struct Fixture {
    pub(crate) image: Vec<u8>,
    pub(crate) symbols: Vec<u8>,
}

/// Compiles `source` and links it, in a folder called `name`.
pub(crate) fn link(name: &str, source: &str, arguments: &[&str]) -> Fixture {
    let llvm = Llvm::find().unwrap_or_else(|error| panic!("{error}"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let sysroot = Sysroot::prepare(&folder.join("wdk"), &llvm).unwrap_or_else(|error| panic!("{error}"));
    let path = |extension: &str| folder.join(name).with_extension(extension);
    fs::write(path("c"), source).unwrap();
    run(Command::new(llvm.program("clang"))
        .args([
            "--target=x86_64-pc-windows-msvc",
            "-O2",
            "-g",
            "-gcodeview",
            "-Xclang",
            "-cfguard",
            "-c",
        ])
        .arg(path("c"))
        .arg("-o")
        .arg(path("obj")));

    // The resource compiler's own, not the driver's. It takes an absolute path for an option: `/check/driver.rc` is `/C` with "heck/driver.rc".
    fs::write(path("rc"), VERSION).unwrap();
    run(Command::new(llvm.program("llvm-rc")).current_dir(&folder).args([
        "/FO",
        &format!("{name}.res"),
        &format!("{name}.rc"),
    ]));
    let lib = |inside: &str| -> PathBuf { sysroot.root().join("Lib").join(inside) };
    let mut linker = Command::new(llvm.program("lld-link"));
    linker
        .current_dir(&folder)
        .arg(path("obj"))
        .arg(path("res"))
        .args(
            ["BufferOverflowFastFailK", "ntoskrnl", "hal"]
                .map(|file| lib(&format!("10.0.26100.0/km/x64/{file}.lib"))),
        )
        .args(["WdfLdr", "WdfDriverEntry"].map(|file| lib(&format!("wdf/kmdf/x64/1.31/{file}.lib"))))
        .args([
            "/NOLOGO",
            "/DLL",
            "/DRIVER",
            "/NODEFAULTLIB",
            "/SUBSYSTEM:NATIVE",
            "/ENTRY:FxDriverEntry",
            "/NXCOMPAT",
        ])
        .args([
            "/DYNAMICBASE",
            "/INTEGRITYCHECK",
            "/DEBUG",
            "/PDBALTPATH:%_PDB%",
            "/GUARD:CF",
            "/OPT:REF,ICF",
        ])
        .args(LINK_ARGUMENTS)
        .args(arguments)
        .arg(format!("/OUT:{name}.sys"));
    run(&mut linker);
    Fixture {
        image: fs::read(path("sys")).unwrap(),
        symbols: fs::read(path("pdb")).unwrap(),
    }
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
