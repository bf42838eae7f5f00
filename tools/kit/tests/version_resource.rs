//! The driver's build script writes the version resource as the resource compiler does.

use std::{fs, path::Path, process::Command};

use rundown_kit::sysroot::Llvm;

#[path = "../../../build/version_resource.rs"]
mod version_resource;

const SOURCE: &str = r#"
1 VERSIONINFO
FILEVERSION 3, 14, 159, 0
PRODUCTVERSION 3, 14, 159, 0
FILEFLAGSMASK 0x3F
FILEOS 0x40004
FILETYPE 3
FILESUBTYPE 7
{
    BLOCK "StringFileInfo"
    {
        BLOCK "040904b0"
        {
            VALUE "ProductName", "odd"
            VALUE "FileDescription", "even"
        }
    }
    BLOCK "VarFileInfo" { VALUE "Translation", 0x409, 0x4B0 }
}
"#;

#[test]
fn the_same_bytes_as_the_resource_compilers() {
    let llvm = Llvm::find().unwrap_or_else(|error| panic!("{error}"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("version");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("version.rc"), SOURCE).unwrap();
    let status = Command::new(llvm.program("llvm-rc"))
        .current_dir(&folder)
        .args(["/FO", "version.res", "version.rc"])
        .status()
        .unwrap();
    assert!(status.success());
    let compiled = fs::read(folder.join("version.res")).unwrap();
    let written = version_resource::encode(
        [3, 14, 159],
        &[("ProductName", "odd"), ("FileDescription", "even")],
    );
    assert_eq!(written, compiled, "\n{written:x?}\n{compiled:x?}");
}
