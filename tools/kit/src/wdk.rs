//! The user's own WDK in place of the stand-in: a copy of Windows' folder `Windows Kits/10`, or what xwin lays out.
//!
//! Windows does not tell `DriverSpecs.h` from `driverspecs.h`, and its headers count on that; nor do two copies agree on the names of
//! folders. So the kit reads the folder once and makes one of links, in the layout that wdk-build looks for. Each file is there under
//! its own name, under that in lower case, and under each that a header includes it by. Nothing is downloaded, and nothing copied.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::{
    Error,
    sysroot::{self, make_folder},
};

/// What xwin's layout poses as, which has no folders of versions: the stand-in's.
const UNVERSIONED: &str = sysroot::VERSION;
/// The names of the processor's folder: Windows', xwin's, and NT's.
const X64: &[&str] = &["x64", "x86_64", "amd64"];
/// The libraries that wdk-build names, as it spells them.
pub(crate) const LIBRARIES: &[&str] = &[
    "BufferOverflowFastFailK.lib",
    "ntoskrnl.lib",
    "hal.lib",
    "wmilib.lib",
];
pub(crate) const KMDF_LIBRARIES: &[&str] = &["WdfLdr.lib", "WdfDriverEntry.lib"];
/// What the links were made of.
const MADE_OF: &str = "made-of";

/// Makes the folder `root` of links to what a driver of WDM needs of `wdk`, or of KMDF 1.`kmdf`; answers with the WDK's version, and
/// whether it is another than the links were made of before.
///
/// # Errors
///
/// One line that names all that `wdk` lacks; or a file or folder cannot be read or written.
pub fn gather(wdk: &Path, root: &Path, kmdf: Option<u32>) -> Result<(String, bool), Error> {
    let wdk = fs::canonicalize(wdk).map_err(Error::file("find", wdk))?;
    let places = places(&wdk);
    let version = version(&places);
    let mut files = Files::default();
    for place in &places {
        for of in ["km", "shared"] {
            let to = Path::new("Include").join(&version).join(of);
            for from in [&["Include", &version, of][..], &["Include", of]] {
                files.add(inside(place, from), &to)?;
            }
        }
        files.add(
            inside(place, &["Include", "wdf", "kmdf"]),
            Path::new("Include/wdf/kmdf"),
        )?;
        for x64 in X64 {
            let to = Path::new("Lib").join(&version).join("km/x64");
            for from in [&["Lib", &version, "km", x64][..], &["Lib", "km", x64]] {
                files.add(inside(place, from), &to)?;
            }
            let frameworks = inside(place, &["Lib", "wdf", "kmdf", x64]);
            files.add(frameworks, Path::new("Lib/wdf/kmdf/x64"))?;
        }
    }
    let lacking = files.lacking(&version, kmdf);
    if !lacking.is_empty() {
        return Err(Error::new(format!(
            "{} is no WDK for this driver: it lacks {}; name a copy of Windows' `Windows Kits/10` with Include and Lib, or what `xwin splat --include-wdk` made",
            wdk.display(),
            lacking.join(", ")
        )));
    }
    let changed = files.link(root)?;
    // wdk-build wants it to exist, whether or not the driver has anything of USB's.
    make_folder(&root.join("Include").join(&version).join("km/ufx/1.1"))?;
    Ok((version, changed))
}

/// The folders that may have Include and Lib: the one that is named, and what is known to lie in it.
fn places(wdk: &Path) -> Vec<PathBuf> {
    let below = [&["Windows Kits", "10"][..], &["wdk"], &["sdk"]];
    let below = below.into_iter().filter_map(|names| inside(wdk, names));
    [wdk.to_path_buf()].into_iter().chain(below).collect()
}

/// The newest version that has headers for the kernel.
fn version(places: &[PathBuf]) -> String {
    let includes = places.iter().filter_map(|place| inside(place, &["Include"]));
    let mut versions: Vec<(Vec<u32>, String)> = Vec::new();
    for include in includes {
        for entry in fs::read_dir(&include).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let numbers: Option<Vec<u32>> = name.split('.').map(|part| part.parse().ok()).collect();
            if let Some(numbers) = numbers
                && inside(&include, &[&name, "km"]).is_some()
            {
                versions.push((numbers, name));
            }
        }
    }
    versions
        .into_iter()
        .max()
        .map_or_else(|| UNVERSIONED.to_owned(), |(_, name)| name)
}

/// A folder by a path whose case does not matter.
fn inside(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().try_fold(folder.to_path_buf(), |folder, name| {
        let entries = fs::read_dir(&folder).ok()?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        paths.find(|path| {
            path.file_name()
                .is_some_and(|found| found.eq_ignore_ascii_case(name))
                && path.is_dir()
        })
    })
}

/// The WDK's files: by where they belong, and where they are.
#[derive(Default)]
struct Files {
    by_path: BTreeMap<PathBuf, PathBuf>,
    /// The paths in lower case, by which the first of several places has a file.
    known: HashMap<String, PathBuf>,
}

impl Files {
    /// All files of a folder, if there is one, for the folder `to`.
    fn add(&mut self, from: Option<PathBuf>, to: &Path) -> Result<(), Error> {
        let Some(from) = from else {
            return Ok(());
        };
        for entry in fs::read_dir(&from).map_err(Error::file("list", &from))? {
            let path = entry.map_err(Error::file("list", &from))?.path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() {
                // Subfolders that are named in code are in lower case.
                self.add(Some(path.clone()), &to.join(name.to_ascii_lowercase()))?;
                continue;
            }
            let to = to.join(name);
            let known = self.known.entry(lower(&to)).or_insert_with(|| to.clone());
            if *known == to {
                self.by_path.entry(to).or_insert(path);
            }
        }
        Ok(())
    }

    fn has(&self, path: &Path) -> bool {
        self.known.contains_key(&lower(path))
    }

    /// What a driver cannot do without and is not there.
    fn lacking(&self, version: &str, kmdf: Option<u32>) -> Vec<String> {
        let headers = Path::new("Include").join(version);
        let libraries = Path::new("Lib").join(version).join("km/x64");
        let mut wanted = vec![headers.join("km/ntddk.h"), headers.join("km/wdm.h")];
        wanted.extend(LIBRARIES.iter().map(|name| libraries.join(name)));
        if let Some(minor) = kmdf {
            wanted.push(format!("Include/wdf/kmdf/1.{minor}/wdf.h").into());
            let folder = PathBuf::from(format!("Lib/wdf/kmdf/x64/1.{minor}"));
            wanted.extend(KMDF_LIBRARIES.iter().map(|name| folder.join(name)));
        }
        let mut lacking: Vec<String> = wanted
            .iter()
            .filter(|path| !self.has(path))
            .map(|path| path.display().to_string())
            .collect();
        for folder in ["km/crt", "shared"] {
            let folder = headers.join(folder);
            if !self.by_path.keys().any(|path| path.starts_with(&folder)) {
                lacking.push(folder.display().to_string());
            }
        }
        lacking
    }

    /// The links, unless they are there already; whether they were not.
    fn link(&self, root: &Path) -> Result<bool, Error> {
        let made_of = self.described()?;
        let mark = root.join(MADE_OF);
        if fs::read_to_string(&mark).is_ok_and(|text| text == made_of) {
            return Ok(false);
        }
        if root.exists() {
            fs::remove_dir_all(root).map_err(Error::file("remove", root))?;
        }
        for (path, names) in self.names()? {
            let folder = root.join(path.parent().unwrap_or(Path::new("")));
            make_folder(&folder)?;
            for name in names {
                sysroot::link(&self.by_path[path], &folder.join(name))?;
            }
        }
        fs::write(&mark, made_of).map_err(Error::file("write", &mark))?;
        Ok(true)
    }

    /// Each file, with its length and its time: what the links depend on.
    fn described(&self) -> Result<String, Error> {
        let mut text = String::new();
        for (to, from) in &self.by_path {
            let about = fs::metadata(from).map_err(Error::file("read", from))?;
            let time = about
                .modified()
                .ok()
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let time = time.unwrap_or_default().as_nanos();
            writeln!(text, "{} {} {} {time}", to.display(), from.display(), about.len())
                .expect("a String takes everything");
        }
        Ok(text)
    }

    /// The names of each file.
    fn names(&self) -> Result<BTreeMap<&Path, BTreeSet<String>>, Error> {
        let mut spellings: HashMap<String, BTreeSet<String>> = HashMap::new();
        let mut spelt = |name: &str| {
            spellings
                .entry(name.to_ascii_lowercase())
                .or_default()
                .insert(name.to_owned());
        };
        LIBRARIES
            .iter()
            .chain(KMDF_LIBRARIES)
            .copied()
            .for_each(&mut spelt);
        for (to, from) in &self.by_path {
            if to.starts_with("Include") {
                let bytes = fs::read(from).map_err(Error::file("read", from))?;
                included(&String::from_utf8_lossy(&bytes)).for_each(&mut spelt);
            }
        }
        let names = |path: &Path| {
            let own = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let lower = own.to_ascii_lowercase();
            let mut names = spellings.get(&lower).cloned().unwrap_or_default();
            names.extend([own, lower]);
            names
        };
        Ok(self
            .by_path
            .keys()
            .map(|path| (path.as_path(), names(path)))
            .collect())
    }
}

fn lower(path: &Path) -> String {
    path.as_os_str().to_ascii_lowercase().display().to_string()
}

/// The files that a header includes, without their folders.
fn included(header: &str) -> impl Iterator<Item = &str> {
    header.lines().filter_map(|line| {
        let rest = line
            .trim_start()
            .strip_prefix('#')?
            .trim_start()
            .strip_prefix("include")?;
        let rest = rest.trim_start().strip_prefix(['<', '"'])?;
        let path = rest.split(['>', '"']).next()?;
        path.rsplit(['/', '\\']).next().filter(|name| !name.is_empty())
    })
}

/// The folder beside cargo's own for what is built with this WDK: wdk-sys does not see that another WDK is meant.
#[must_use]
pub fn target(target: &Path, wdk: &Path) -> PathBuf {
    use sha2::{Digest as _, Sha256};
    let wdk = fs::canonicalize(wdk).unwrap_or_else(|_| wdk.to_path_buf());
    let digest = format!("{:x}", Sha256::digest(wdk.as_os_str().as_encoded_bytes()));
    target.join(OsStr::new("wdk")).join(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, empty but for what is given.
    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rundown-kit-wdk-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const WINDOWS: &[(&str, &str)] = &[
        ("Include/10.0.9600.0/km/ntddk.h", "older"),
        (
            "Include/10.0.26100.0/km/ntddk.h",
            "#include <DriverSpecs.h>\n # include \"sys\\Types.H\"\n",
        ),
        ("Include/10.0.26100.0/km/wdm.h", ""),
        ("Include/10.0.26100.0/km/crt/sys/types.h", ""),
        ("Include/10.0.26100.0/shared/driverspecs.h", "found"),
        ("Include/wdf/kmdf/1.33/Wdf.h", ""),
        ("Lib/10.0.26100.0/km/x64/bufferoverflowfastfailk.lib", ""),
        ("Lib/10.0.26100.0/km/x64/ntoskrnl.lib", ""),
        ("Lib/10.0.26100.0/km/x64/hal.lib", ""),
        ("Lib/10.0.26100.0/km/x64/wmilib.lib", ""),
        ("Lib/10.0.26100.0/km/x64/ucx/1.6/ucxstub.lib", ""),
        ("Lib/wdf/kmdf/x64/1.33/WdfLdr.lib", ""),
        ("Lib/wdf/kmdf/x64/1.33/wdfdriverentry.lib", ""),
    ];

    #[test]
    fn a_copy_of_windows_folder_has_every_name_that_is_asked_for() {
        let wdk = folder("windows", WINDOWS);
        let root = wdk.join("links");
        assert_eq!(gather(&wdk, &root, Some(33)).unwrap().0, "10.0.26100.0");
        for file in [
            "Include/10.0.26100.0/km/ntddk.h",
            "Include/10.0.26100.0/km/crt/sys/Types.H",
            "Include/10.0.26100.0/shared/DriverSpecs.h",
            "Include/10.0.26100.0/shared/driverspecs.h",
            "Include/wdf/kmdf/1.33/Wdf.h",
            "Include/wdf/kmdf/1.33/wdf.h",
            "Lib/10.0.26100.0/km/x64/BufferOverflowFastFailK.lib",
            "Lib/10.0.26100.0/km/x64/ucx/1.6/ucxstub.lib",
            "Lib/wdf/kmdf/x64/1.33/WdfDriverEntry.lib",
        ] {
            assert!(root.join(file).is_file(), "{file}");
        }
        // wdk-build asks whether it is a folder, not a link to one.
        assert!(
            root.join("Lib/10.0.26100.0/km/x64/ucx/1.6")
                .symlink_metadata()
                .unwrap()
                .is_dir()
        );
        assert!(root.join("Include/10.0.26100.0/km/ufx/1.1").is_dir());
        assert!(!root.join("Include/10.0.9600.0").exists());
        assert_eq!(
            fs::read_to_string(root.join("Include/10.0.26100.0/shared/DriverSpecs.h")).unwrap(),
            "found"
        );
        fs::remove_dir_all(wdk).unwrap();
    }

    #[test]
    fn a_wdk_that_changed_is_read_anew_and_another_is_not() {
        let wdk = folder("changed", WINDOWS);
        let root = wdk.join("links");
        let changed = || gather(&wdk, &root, None).unwrap().1;
        assert!(changed());
        assert!(!changed());
        fs::write(wdk.join("Include/10.0.26100.0/km/new.h"), "#include <Wdm.h>").unwrap();
        assert!(changed() && root.join("Include/10.0.26100.0/km/Wdm.h").exists());
        assert!(!changed());
        fs::remove_dir_all(wdk).unwrap();
    }

    /// As xwin's pull request 177 (<https://github.com/Jake-Shadle/xwin/pull/177>) describes it: the WDK beside the SDK, which has most of the shared headers.
    #[test]
    fn what_xwin_lays_out_is_found() {
        let splat = folder(
            "xwin",
            &[
                ("wdk/include/km/ntddk.h", ""),
                ("wdk/include/km/wdm.h", ""),
                ("wdk/include/km/crt/excpt.h", ""),
                ("wdk/include/shared/acpiioct.h", ""),
                ("sdk/include/shared/ntdef.h", ""),
                ("wdk/include/wdf/kmdf/1.33/wdf.h", ""),
                ("wdk/lib/km/x86_64/BufferOverflowFastFailK.lib", ""),
                ("wdk/lib/km/x86_64/ntoskrnl.lib", ""),
                ("wdk/lib/km/x86_64/hal.lib", ""),
                ("wdk/lib/km/x86_64/wmilib.lib", ""),
                ("wdk/lib/wdf/kmdf/x86_64/1.33/WdfLdr.lib", ""),
                ("wdk/lib/wdf/kmdf/x86_64/1.33/WdfDriverEntry.lib", ""),
            ],
        );
        let root = splat.join("links");
        let (version, _) = gather(&splat, &root, Some(33)).unwrap();
        for file in [
            "Include/{}/shared/acpiioct.h",
            "Include/{}/shared/ntdef.h",
            "Lib/{}/km/x64/hal.lib",
        ] {
            assert!(root.join(file.replace("{}", &version)).is_file(), "{file}");
        }
        assert!(root.join("Lib/wdf/kmdf/x64/1.33/WdfLdr.lib").is_file());
        fs::remove_dir_all(splat).unwrap();
    }

    #[test]
    fn what_a_folder_lacks_is_told_in_one_line() {
        let said = |name: &str, without: &[&str], kmdf| {
            let kept: Vec<_> = WINDOWS
                .iter()
                .filter(|(file, _)| !without.iter().any(|part| file.contains(part)))
                .copied()
                .collect();
            let wdk = folder(name, &kept);
            let text = gather(&wdk, &wdk.join("links"), kmdf).unwrap_err().to_string();
            assert_eq!(text.lines().count(), 1, "{text}");
            fs::remove_dir_all(wdk).unwrap();
            text
        };
        for (without, kmdf, lacks) in [
            (
                &["entry"][..],
                Some(33),
                "lacks Lib/wdf/kmdf/x64/1.33/WdfDriverEntry.lib;",
            ),
            (
                &[],
                Some(31),
                "lacks Include/wdf/kmdf/1.31/wdf.h, Lib/wdf/kmdf/x64/1.31/WdfLdr.lib, Lib/wdf/kmdf/x64/1.31/WdfDriverEntry.lib;",
            ),
            (&["shared"], None, "lacks Include/10.0.26100.0/shared;"),
            (&["crt"], None, "lacks Include/10.0.26100.0/km/crt;"),
            (&["hal.lib"], None, "lacks Lib/10.0.26100.0/km/x64/hal.lib;"),
        ] {
            let text = said("lacking", without, kmdf);
            assert!(
                text.contains(lacks) && text.contains("xwin splat --include-wdk"),
                "{text}"
            );
        }
        assert!(
            gather(Path::new("/nowhere/wdk"), Path::new("/nowhere/links"), None)
                .unwrap_err()
                .to_string()
                .contains("/nowhere/wdk")
        );
    }
}
