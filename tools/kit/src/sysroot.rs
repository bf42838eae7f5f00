//! The stand-in for the Windows Driver Kit: the folder that `WDKContentRoot` names for the build.
//!
//! ```text
//! Include/V/km/crt              the kit's headers that fill mingw-w64's gaps; searched first
//! Include/V/km                  mingw-w64's kernel headers; wdm.h, ntddk.h and ntifs.h corrected
//! Include/V/km/ufx/1.1          empty; wdk-build wants it to exist
//! Include/V/shared              mingw-w64's other headers
//! Include/wdf/kmdf/1.31         the kit's KMDF headers
//! Lib/V/km/x64                  ntoskrnl, hal, wmilib, rpcrt4 (import libraries); BufferOverflowFastFailK
//! Lib/wdf/kmdf/x64/1.31         WdfLdr (import library); WdfDriverEntry
//! ```
//!
//! Everything the kit adds is embedded in this crate. A file is written only when its content differs, so that a
//! second build finds nothing to do.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Error, corrections,
    exports::{self, Image},
    kmdf, wdk,
};

/// The version of the WDK that the folder poses as: the newest that the pinned wdk-build was released for.
pub(crate) const VERSION: &str = "10.0.26100.0";

/// Where Debian's mingw-w64-common puts its headers.
const MINGW_HEADERS: &str = "/usr/share/mingw-w64/include";

const CRT_HEADERS: &[(&str, &str)] = &[
    ("intrin.h", include_str!("../sysroot/include/crt/intrin.h")),
    ("ntifs.h", include_str!("../sysroot/include/crt/ntifs.h")),
    ("wdm.h", include_str!("../sysroot/include/crt/wdm.h")),
];
const WDF_HEADER: &str = include_str!("../sysroot/include/kmdf/wdf.h");
const WDF_INIT_HEADER: &str = include_str!("../sysroot/include/kmdf/wdfinit.h");

/// The exports of WDFLDR.SYS that a driver may import; see [`exports`].
pub const WDFLDR: &str = include_str!("../sysroot/lib/wdfldr.def");
/// The export of rpcrt4.dll that has to resolve, though no driver may import it; see [`exports`].
pub const RPCRT4: &str = include_str!("../sysroot/lib/rpcrt4.def");
const EMPTY: &str = include_str!("../sysroot/lib/empty.def");
const WDF_DRIVER_ENTRY: &str = include_str!("../sysroot/lib/wdf_driver_entry.c");
const BUFFER_OVERFLOW: &str = include_str!("../sysroot/lib/buffer_overflow.c");

/// The image that a module definition file is for, and the names that it exports.
///
/// # Panics
///
/// If `definition` has no LIBRARY line: the files are part of this crate.
#[must_use]
pub fn exports(definition: &str) -> (&str, Vec<&str>) {
    let mut lines = definition
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(';'));
    let library = lines
        .find_map(|line| line.strip_prefix("LIBRARY "))
        .expect("the kit's definitions name a library");
    let names = lines
        .filter(|line| *line != "EXPORTS")
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    (library, names)
}

/// The programs of LLVM and clang that the kit runs.
#[derive(Debug, Clone)]
pub struct Llvm {
    folder: PathBuf,
}

impl Llvm {
    /// The release that the kit is known to work with. bindgen reads the headers with the same one's libclang.
    pub const RELEASE: u32 = 19;

    /// Debian's packages with what the kit needs of LLVM and of mingw-w64.
    pub const PACKAGES: &'static [&'static str] = &[
        "clang-19",
        "libclang1-19",
        "llvm-19",
        "lld-19",
        "mingw-w64-common",
    ];

    /// Finds LLVM where Debian and Ubuntu, and apt.llvm.org, install it.
    ///
    /// # Errors
    ///
    /// As [`Llvm::complete`].
    pub fn find() -> Result<Self, Error> {
        let llvm = Self::default();
        llvm.complete(true)?;
        Ok(llvm)
    }

    /// LLVM in the folder that has its `bin` and `lib`.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// Whether all is there that the kit runs; and of what it reads mingw-w64's headers, which the stand-in is made of.
    ///
    /// # Errors
    ///
    /// If a program or the headers are missing; the message names the packages.
    pub fn complete(&self, stand_in: bool) -> Result<(), Error> {
        let programs = ["clang", "lld-link", "llvm-dlltool", "llvm-lib"].map(|name| self.program(name));
        let headers = Path::new(MINGW_HEADERS).join("ddk/wdm.h");
        let wanted: Vec<_> = programs.into_iter().chain(stand_in.then_some(headers)).collect();
        let missing: Vec<_> = wanted
            .iter()
            .filter(|path| !path.exists())
            .map(|path| path.display().to_string())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!(
            "the driver cannot be built: missing {}. On Debian or Ubuntu: apt-get install {}",
            missing.join(", "),
            Self::PACKAGES.join(" ")
        )))
    }

    /// The path of one of its programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The folder with libclang.
    #[must_use]
    pub fn libraries(&self) -> PathBuf {
        self.folder.join("lib")
    }
}

impl Default for Llvm {
    fn default() -> Self {
        Self::at(format!("/usr/lib/llvm-{}", Self::RELEASE).as_ref())
    }
}

/// A stand-in WDK that is complete and up to date.
#[derive(Debug, Clone)]
pub struct Sysroot {
    root: PathBuf,
    /// The WDK's, by which its folders are called.
    version: String,
    /// Whether it is the kit's own.
    stand_in: bool,
    /// Whether a header was written anew: what was generated from the old ones is stale then.
    pub(crate) headers_changed: bool,
    /// Whether a library was made anew: what was linked with the old one is stale then.
    pub(crate) libraries_changed: bool,
}

impl Sysroot {
    /// Makes the folder `root`, or brings it up to date.
    ///
    /// # Errors
    ///
    /// If a file cannot be written, mingw-w64's wdm.h is not as expected, or a tool of LLVM fails.
    pub fn prepare(root: &Path, llvm: &Llvm) -> Result<Self, Error> {
        let mut sysroot = Self {
            root: root.to_path_buf(),
            version: VERSION.to_owned(),
            stand_in: true,
            headers_changed: false,
            libraries_changed: false,
        };
        sysroot.headers()?;
        sysroot.libraries(llvm)?;
        Ok(sysroot)
    }

    /// Makes the folder `root` of links to the user's own WDK, for a driver of WDM or of KMDF 1.`kmdf`.
    ///
    /// # Errors
    ///
    /// As [`wdk::gather`].
    pub fn of_wdk(root: &Path, wdk: &Path, kmdf: Option<u32>) -> Result<Self, Error> {
        let (version, changed) = wdk::gather(wdk, root, kmdf)?;
        Ok(Self {
            root: root.to_path_buf(),
            version,
            stand_in: false,
            headers_changed: changed,
            libraries_changed: changed,
        })
    }

    /// What clang has to be told before it reads the headers.
    pub(crate) fn compatibility(&self) -> &'static str {
        if self.stand_in { MINGW_COMPATIBILITY } else { "" }
    }

    /// The folder for `WDKContentRoot`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn km(&self) -> PathBuf {
        self.root.join("Include").join(&self.version).join("km")
    }

    fn shared(&self) -> PathBuf {
        self.root.join("Include").join(&self.version).join("shared")
    }

    fn kmdf(&self, minor: u32) -> PathBuf {
        self.root.join(format!("Include/wdf/kmdf/1.{minor}"))
    }

    fn headers(&mut self) -> Result<(), Error> {
        let mingw = Path::new(MINGW_HEADERS);
        let km = self.km();
        make_folder(&km.join("ufx/1.1"))?;
        link(mingw, &self.shared())?;

        let ddk = mingw.join("ddk");
        for entry in fs::read_dir(&ddk).map_err(Error::file("list", &ddk))? {
            let path = entry.map_err(Error::file("list", &ddk))?.path();
            let name = path.file_name().unwrap_or_default().to_owned();
            if !corrections::HEADERS.iter().any(|corrected| name == *corrected) {
                link(&path, &km.join(name))?;
            }
        }
        for name in corrections::HEADERS {
            let path = ddk.join(name);
            let trouble = |what: String| Error::new(format!("{}: {what}", path.display()));
            let mut text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
            text = corrections::correct(name, &text).map_err(trouble)?;
            if name == "wdm.h" {
                text = align_objects(&text).map_err(trouble)?;
            }
            self.headers_changed |= write(&km.join(name), text.as_bytes())?;
        }

        for (name, text) in CRT_HEADERS {
            self.headers_changed |= write(&km.join("crt").join(name), text.as_bytes())?;
        }
        for version in kmdf::Version::ALL {
            let minor = version.minor();
            let which = format!(
                "#define KIT_KMDF_MINOR {minor}\n#define KIT_WDF_FUNCTIONS WdfFunctions_010{minor}\n"
            );
            for (name, text) in [
                ("wdf.h", WDF_HEADER),
                ("wdfversion.h", &which),
                ("wdfapi.h", &kmdf::header(version)),
                ("wdfusb.h", &kmdf::usb_header(version)),
                ("wdfcalls.h", &kmdf::calls(version)),
                ("wdfinit.h", WDF_INIT_HEADER),
            ] {
                self.headers_changed |= write(&self.kmdf(minor).join(name), text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn libraries(&mut self, llvm: &Llvm) -> Result<(), Error> {
        let km = self.root.join("Lib").join(VERSION).join("km/x64");
        let source = self.root.join("Lib/source");
        self.imports(
            llvm,
            &source,
            &km,
            &[
                ("ntoskrnl.lib", &exports::definition(Image::Ntoskrnl)),
                ("hal.lib", &exports::definition(Image::Hal)),
                ("wmilib.lib", EMPTY),
                ("rpcrt4.lib", RPCRT4),
            ],
        )?;
        let fail_fast = km.join("BufferOverflowFastFailK.lib");
        self.compiled(llvm, &source, &fail_fast, BUFFER_OVERFLOW, kmdf::Version::V31)?;
        for version in kmdf::Version::ALL {
            let name = format!("1.{}", version.minor());
            let (kmdf, source) = (self.root.join("Lib/wdf/kmdf/x64").join(&name), source.join(name));
            self.imports(llvm, &source, &kmdf, &[("WdfLdr.lib", WDFLDR)])?;
            let entry = kmdf.join("WdfDriverEntry.lib");
            self.compiled(llvm, &source, &entry, WDF_DRIVER_ENTRY, version)?;
        }
        Ok(())
    }

    /// Import libraries in `folder`, each from its module definition.
    fn imports(
        &mut self,
        llvm: &Llvm,
        source: &Path,
        folder: &Path,
        libraries: &[(&str, &str)],
    ) -> Result<(), Error> {
        make_folder(folder)?;
        for (name, definition) in libraries {
            let library = folder.join(name);
            let source = source.join(name).with_extension("def");
            if stale(&library, write(&source, definition.as_bytes())?)? {
                self.libraries_changed = true;
                run(Command::new(llvm.program("llvm-dlltool"))
                    .args(["-m", "i386:x86-64", "-d"])
                    .arg(&source)
                    .arg("-l")
                    .arg(&library))?;
            }
        }
        Ok(())
    }

    /// A static library of one C file, compiled beside it in the folder `source`.
    fn compiled(
        &mut self,
        llvm: &Llvm,
        source: &Path,
        library: &Path,
        text: &str,
        version: kmdf::Version,
    ) -> Result<(), Error> {
        let name = library.with_extension("c");
        let file = source.join(name.file_name().unwrap_or_default());
        let mut clang = self.library_compiler(llvm, &file, version);
        let changed = write(&file, text.as_bytes())?
            | write(&file.with_extension("command"), format!("{clang:?}").as_bytes())?;
        if stale(library, changed || self.headers_changed)? {
            self.libraries_changed = true;
            run(&mut clang)?;
            run(Command::new(llvm.program("llvm-lib"))
                .current_dir(source)
                .arg("/nologo")
                .arg(format!("/out:{}", library.display()))
                .arg(file.with_extension("obj").file_name().unwrap_or_default()))?;
        }
        Ok(())
    }

    /// clang, set up to compile C for the kernel with these headers, warnings denied; the caller names what to compile.
    #[must_use]
    pub fn compiler(&self, llvm: &Llvm, version: kmdf::Version) -> Command {
        let mut clang = Command::new(llvm.program("clang"));
        clang
            .args(self.compiler_flags(Some(version.minor())))
            .args(["-Wall", "-Werror"]);
        clang
    }

    /// What clang is told of C for the kernel, for a driver of KMDF 1.`kmdf` or of WDM.
    #[must_use]
    pub fn compiler_flags(&self, kmdf: Option<u32>) -> Vec<OsString> {
        let flags = [
            "--target=x86_64-pc-windows-msvc",
            self.compatibility(),
            "-fms-extensions",
            "-fno-builtin",
            "-D_WIN64",
            "-D_AMD64_",
            "-DAMD64",
            "-D_KERNEL_MODE",
        ];
        let mut flags: Vec<OsString> = flags
            .into_iter()
            .filter(|flag| !flag.is_empty())
            .map(Into::into)
            .collect();
        let mut folders = vec![self.km().join("crt"), self.km(), self.shared()];
        if let Some(minor) = kmdf {
            flags.push("-DKMDF_VERSION_MAJOR=1".into());
            flags.push(format!("-DKMDF_VERSION_MINOR={minor}").into());
            folders.push(self.kmdf(minor));
        }
        // As system folders: mingw-w64's headers and Windows' have warnings of their own.
        flags.extend(
            folders
                .into_iter()
                .flat_map(|folder| ["-isystem".into(), folder.into()]),
        );
        flags
    }

    /// The libraries that a driver of KMDF 1.`kmdf` or of WDM is linked with, as wdk-build names them.
    #[must_use]
    pub fn libraries_of(&self, kmdf: Option<u32>) -> Vec<PathBuf> {
        let km = self.root.join("Lib").join(&self.version).join("km/x64");
        let mut libraries: Vec<_> = wdk::LIBRARIES.iter().map(|name| km.join(name)).collect();
        if let Some(minor) = kmdf {
            let folder = self.root.join(format!("Lib/wdf/kmdf/x64/1.{minor}"));
            libraries.extend(wdk::KMDF_LIBRARIES.iter().map(|name| folder.join(name)));
        }
        libraries
    }

    /// clang, set up to compile one C file beside itself, with Control Flow Guard as the driver itself.
    fn library_compiler(&self, llvm: &Llvm, source: &Path, version: kmdf::Version) -> Command {
        let file = source.file_name().unwrap_or_default().display();
        let object = source.with_extension("obj");
        let object = object.file_name().unwrap_or_default().display();
        let mut clang = self.compiler(llvm, version);
        clang
            .args(["-O2", "-g", "-gcodeview", "-Xclang", "-cfguard"])
            // The object depends neither on where the folder lies nor on the command line.
            .current_dir(source.parent().unwrap_or(Path::new(".")))
            .arg(format!("-ffile-prefix-map={}=/wdk", self.root.display()))
            .args([
                "-gno-codeview-command-line",
                "-Xclang",
                &format!("-object-file-name={object}"),
            ])
            .args(["-c", &file.to_string(), "-o", &object.to_string()]);
        clang
    }
}

/// Lets mingw-w64's headers take the compiler for a GCC that they know, although the target is MSVC's.
pub(crate) const MINGW_COMPATIBILITY: &str = "-fgnuc-version=4.8.0";

/// Gives `DEVICE_OBJECT` and `IRP` the alignment that the WDK's wdm.h gives them and mingw-w64's omits, which makes the
/// first eight bytes too short on x64.
fn align_objects(wdm: &str) -> Result<String, String> {
    let mut text = wdm.to_owned();
    for name in ["_DEVICE_OBJECT", "_IRP"] {
        let plain = format!("typedef struct {name} {{");
        let aligned = format!("typedef struct DECLSPEC_ALIGN(MEMORY_ALLOCATION_ALIGNMENT) {name} {{");
        if text.contains(&aligned) {
            continue;
        }
        if text.matches(&plain).count() != 1 {
            return Err(format!(
                "does not define struct {name} once, as mingw-w64 10 does"
            ));
        }
        text = text.replace(&plain, &aligned);
    }
    Ok(text)
}

pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::file("make the folder", path))
}

/// Writes a file unless it is there with this content; answers whether it wrote.
fn write(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    // A link is from a kit that did not change this file, and leads to the system's.
    if path.is_symlink() {
        fs::remove_file(path).map_err(Error::file("remove", path))?;
    } else if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    fs::write(path, bytes).map_err(Error::file("write", path))?;
    Ok(true)
}

/// Whether a library has to be made; one whose source changed is removed first, so that a failure leaves none.
fn stale(library: &Path, changed: bool) -> Result<bool, Error> {
    let present = library.exists();
    if present && changed {
        fs::remove_file(library).map_err(Error::file("remove", library))?;
    }
    Ok(changed || !present)
}

/// Makes `path` a symbolic link to `target`, unless it is one.
pub(crate) fn link(target: &Path, path: &Path) -> Result<(), Error> {
    if fs::read_link(path).is_ok_and(|present| present == target) {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).map_err(Error::file("remove", path))?;
    }
    std::os::unix::fs::symlink(target, path).map_err(Error::file("make the link", path))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .map_err(|error| Error::new(format!("cannot run {program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{program} failed ({}):\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_lists_are_read_without_comments() {
        let (library, names) = exports("; text\nLIBRARY x.sys\nEXPORTS\n; more\nFirst\nSecond CONSTANT\n\n");
        assert_eq!((library, names), ("x.sys", vec!["First", "Second"]));
    }

    #[test]
    fn export_lists_name_each_routine_once() {
        for definition in [WDFLDR, RPCRT4] {
            let (_, mut names) = exports(definition);
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn what_a_link_leads_to_is_not_written() {
        let folder = std::env::temp_dir().join(format!("rundown-kit-sysroot-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (system, own) = (folder.join("system.h"), folder.join("own.h"));
        fs::write(&system, "the system's").unwrap();
        link(&system, &own).unwrap();
        for (text, written) in [("the kit's", true), ("the kit's", false)] {
            assert_eq!(write(&own, text.as_bytes()), Ok(written));
            assert_eq!(fs::read_to_string(&system).unwrap(), "the system's");
            assert_eq!(fs::read_to_string(&own).unwrap(), text);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn device_objects_and_irps_are_aligned() {
        let wdm = "a;\ntypedef struct _DEVICE_OBJECT {\n};\ntypedef struct _IRP {\n};\n";
        let aligned = align_objects(wdm).unwrap();
        assert!(aligned.contains("typedef struct DECLSPEC_ALIGN(MEMORY_ALLOCATION_ALIGNMENT) _IRP {\n"));
        assert!(
            aligned.contains("typedef struct DECLSPEC_ALIGN(MEMORY_ALLOCATION_ALIGNMENT) _DEVICE_OBJECT {\n")
        );
        assert_eq!(
            align_objects(&aligned).as_ref(),
            Ok(&aligned),
            "a corrected header stays as it is"
        );
        assert!(
            align_objects("typedef struct _IRP {")
                .unwrap_err()
                .contains("_DEVICE_OBJECT")
        );
    }
}
