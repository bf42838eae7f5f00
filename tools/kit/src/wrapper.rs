//! The `RUSTC_WRAPPER` that lets wdk-build compile on a host that is not Windows.
//!
//! wdk-build (0.5 and 0.6) runs in build scripts, on the host. It depends on `windows`, which does not compile off
//! Windows, and has itself two `compile_error!`s and two uses of `std::os::windows`. This wrapper hands rustc another
//! source file for exactly those crates; `Cargo.lock`, `--locked`, the registry's files and every crate that ends up
//! in the driver stay as they are. Off its list it is transparent.
//!
//! A crate is known by its name, its series of versions, and what its text says: each line that is changed has to be there as often as it is
//! known to be. So a release, a git revision and a checkout beside the driver are treated alike; that a release is the registry's is what
//! cargo checks against `Cargo.lock`. Anything else stops the build with a message, because a stand-in for unknown code would be a guess;
//! [`TRY_VARIABLE`] lets the compiler be the judge of that guess.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    ops::RangeInclusive,
    path::{self, Path, PathBuf},
    process::{Command, ExitCode},
};

use sha2::{Digest as _, Sha256};

/// Names the folder that the wrapper writes its stand-ins to.
pub const STAND_INS_VARIABLE: &str = "RUNDOWN_KIT_STAND_INS";
/// Names the wrapper that the caller used before (sccache, say); it is run in front of rustc.
pub const CHAINED_VARIABLE: &str = "RUNDOWN_KIT_CHAINED_WRAPPER";
/// If it is set to something, versions and texts that the kit does not know are treated like those that it does.
pub const TRY_VARIABLE: &str = "RUNDOWN_KIT_TRY_ANYWAY";

/// A crate that gets another source on hosts that are not Windows.
struct Replacement {
    /// As in `--crate-name`.
    crate_name: &'static str,
    /// The versions that were looked at: `0.5` is every 0.5.x.
    series: &'static [&'static str],
    source: Source,
}

enum Source {
    /// One file in place of the whole crate, whose root file has this line.
    StandIn { mark: &'static str, text: &'static str },
    /// The crate's own files, with some texts changed.
    Edited(&'static [Edit]),
}

/// A change to one file below `src/`.
struct Edit {
    file: &'static str,
    find: &'static str,
    put: &'static str,
    /// How often it is found in what the kit knows; every occurrence is changed.
    times: RangeInclusive<usize>,
}

const WINDOWS: &str = include_str!("../stand-ins/windows.rs");
const EMPTY: &str = include_str!("../stand-ins/empty.rs");
const BINDINGS: &str = "pub use bindings::*;";

static REPLACEMENTS: &[Replacement] = &[
    Replacement {
        crate_name: "wdk_build",
        series: &["0.5", "0.6"],
        source: Source::Edited(&[
            Edit {
                // `set_var` and `remove_var` are for cargo-make's tasks, which do not run here; they must compile.
                file: "utils.rs",
                find: "compile_error!(",
                put: "panic!(",
                times: 2..=2,
            },
            Edit {
                // The options of RegOpenKeyExA, which became an Option with `windows` 0.62.
                file: "utils.rs",
                find: "sub_key, 0, KEY_READ",
                put: "sub_key, None, KEY_READ",
                times: 0..=1,
            },
            Edit {
                file: "cargo_make.rs",
                find: "std::os::windows::fs::symlink_file(",
                put: "std::os::unix::fs::symlink(",
                times: 2..=2,
            },
        ]),
    },
    Replacement {
        crate_name: "windows",
        series: &["0.58", "0.62"],
        source: Source::StandIn {
            mark: "include!(\"Windows/mod.rs\");",
            text: WINDOWS,
        },
    },
    Replacement {
        crate_name: "windows_collections",
        series: &["0.3"],
        source: Source::StandIn {
            mark: BINDINGS,
            text: EMPTY,
        },
    },
    Replacement {
        crate_name: "windows_future",
        series: &["0.3"],
        source: Source::StandIn {
            mark: BINDINGS,
            text: EMPTY,
        },
    },
    Replacement {
        crate_name: "windows_numerics",
        series: &["0.3"],
        source: Source::StandIn {
            mark: BINDINGS,
            text: EMPTY,
        },
    },
];

/// Why the wrapper stopped the build.
#[derive(Debug)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The program: replaces what has to be replaced and runs the compiler.
#[must_use]
pub fn main() -> ExitCode {
    match wrap(env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(refusal) => {
            rundown_streams::tell!("kit-rustc-wrapper: {refusal}");
            ExitCode::FAILURE
        }
    }
}

fn wrap(mut arguments: Vec<OsString>) -> Result<ExitCode, Refusal> {
    if let Some(invocation) = Invocation::of(&arguments)
        && !cfg!(windows)
    {
        let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
        let try_anyway = env::var_os(TRY_VARIABLE).is_some_and(|value| !value.is_empty());
        if let Some(replacement) = find(invocation.crate_name, &version, try_anyway)? {
            let folder = env::var_os(STAND_INS_VARIABLE).ok_or_else(|| {
                Refusal(format!(
                    "{STAND_INS_VARIABLE} is not set; the kit sets it when it runs cargo"
                ))
            })?;
            let root = replacement.materialise(Path::new(invocation.root), Path::new(&folder), try_anyway)?;
            let position = invocation.root_position;
            arguments[position] = root.into_os_string();
        }
    }

    if let Some(chained) = env::var_os(CHAINED_VARIABLE).filter(|value| !value.is_empty()) {
        arguments.insert(0, chained);
    }
    let Some((program, rest)) = arguments.split_first() else {
        return Err(Refusal(
            "is run by cargo, with the compiler and its arguments".into(),
        ));
    };
    let status = Command::new(program)
        .args(rest)
        .status()
        .map_err(|error| Refusal(format!("cannot run {}: {error}", program.display())))?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What matters of a compiler's command line; queries (`-vV`, `--print`) and Windows targets have none.
struct Invocation<'a> {
    crate_name: &'a str,
    root: &'a OsStr,
    root_position: usize,
}

impl<'a> Invocation<'a> {
    /// `arguments` begin with the compiler: `rustc ...`, or `clippy-driver rustc ...`.
    fn of(arguments: &'a [OsString]) -> Option<Self> {
        let value = |name: &str| {
            arguments.iter().enumerate().find_map(|(index, argument)| {
                let argument = argument.to_str()?;
                if argument == name {
                    arguments.get(index + 1)?.to_str()
                } else {
                    argument.strip_prefix(name)?.strip_prefix('=')
                }
            })
        };
        if value("--target").is_some_and(|target| target.contains("windows")) {
            return None;
        }
        let crate_name = value("--crate-name")?;
        let (root_position, root) = arguments.iter().enumerate().find(|(_, argument)| {
            Path::new(argument).extension() == Some(OsStr::new("rs"))
                && !argument.as_encoded_bytes().starts_with(b"-")
        })?;
        Some(Self {
            crate_name,
            root,
            root_position,
        })
    }
}

/// What to do about a crate that the kit does not know.
const REMEDY: &str = "Depend on a release of wdk-build that it knows (0.5.1 or 0.6.0), or let the compiler judge: `cargo kmdf --try-anyway`, or \
                      RUNDOWN_KIT_TRY_ANYWAY=1 in the environment.";

/// The replacement for a crate, or `None` where it needs none.
fn find(crate_name: &str, version: &str, try_anyway: bool) -> Result<Option<&'static Replacement>, Refusal> {
    let Some(replacement) = REPLACEMENTS.iter().find(|known| known.crate_name == crate_name) else {
        return Ok(None);
    };
    let is_of = |series: &str| {
        version
            .strip_prefix(series)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if replacement.series.iter().any(|series| is_of(series)) {
        return Ok(Some(replacement));
    }
    if try_anyway {
        rundown_streams::tell!("kit-rustc-wrapper: {crate_name} {version} is not known, and tried anyway");
        return Ok(Some(replacement));
    }
    Err(Refusal(format!(
        "the kit does not know {crate_name} {version}, only {}. {REMEDY}",
        replacement.series.join(" and ")
    )))
}

impl Replacement {
    /// Writes the replacement below `folder` and answers with its root file.
    ///
    /// `root` is the crate's own root file, `src/lib.rs` in all of them.
    fn materialise(&self, root: &Path, folder: &Path, try_anyway: bool) -> Result<PathBuf, Refusal> {
        // A release and a git revision may have one version.
        let place = path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
        let place = format!("{:x}", Sha256::digest(place.as_os_str().as_encoded_bytes()));
        let folder = folder.join(format!("{}-{}", self.crate_name, &place[..16]));
        match &self.source {
            Source::StandIn { mark, text } => {
                let own = String::from_utf8_lossy(&read(root)?).into_owned();
                if !own.contains(mark) && !try_anyway {
                    return Err(Refusal(format!(
                        "{} is not the `{}` that the kit has a stand-in for: it lacks `{mark}`. {REMEDY}",
                        root.display(),
                        self.crate_name
                    )));
                }
                let copy = folder.join("lib.rs");
                write_if_different(&copy, text.as_bytes())?;
                Ok(copy)
            }
            Source::Edited(edits) => {
                let own = root
                    .parent()
                    .ok_or_else(|| Refusal(format!("{} has no folder", root.display())))?;
                let mut originals = Vec::new();
                let copier = Copier { edits, try_anyway };
                copier.copy(own, &folder, Path::new(""), &mut originals)?;
                let copy = folder.join(root.file_name().unwrap_or_default());
                // cargo looks at the files that rustc has read, and someone may edit a crate of his own.
                let watched = originals
                    .iter()
                    .map(|path| format!("const _: &[u8] = include_bytes!(r#\"{}\"#);\n", path.display()));
                let text =
                    String::from_utf8_lossy(&read(root)?).into_owned() + "\n" + &watched.collect::<String>();
                write_if_different(&copy, text.as_bytes())?;
                Ok(copy)
            }
        }
    }
}

struct Copier<'a> {
    edits: &'a [Edit],
    try_anyway: bool,
}

impl Copier<'_> {
    /// Copies the folder `own` to `folder`, edited, but for the root file, and names what it read; `inside` is the path from the crate's `src/`.
    fn copy(
        &self,
        own: &Path,
        folder: &Path,
        inside: &Path,
        originals: &mut Vec<PathBuf>,
    ) -> Result<(), Refusal> {
        let trouble = |error| Refusal(format!("cannot list {}: {error}", own.display()));
        for entry in fs::read_dir(own).map_err(trouble)? {
            let path = entry.map_err(trouble)?.path();
            let name = path.file_name().unwrap_or_default();
            let inside = inside.join(name);
            if path.is_dir() {
                self.copy(&path, &folder.join(name), &inside, originals)?;
                continue;
            }
            originals.push(path::absolute(&path).unwrap_or_else(|_| path.clone()));
            if inside == Path::new("lib.rs") {
                continue;
            }
            let mut bytes = read(&path)?;
            for edit in self.edits.iter().filter(|edit| Path::new(edit.file) == inside) {
                bytes = edit.apply(&path, bytes, self.try_anyway)?;
            }
            write_if_different(&folder.join(name), &bytes)?;
        }
        originals.sort();
        Ok(())
    }
}

impl Edit {
    /// The file with the change made, if it is there as often as the kit knows it.
    fn apply(&self, path: &Path, bytes: Vec<u8>, try_anyway: bool) -> Result<Vec<u8>, Refusal> {
        let text = String::from_utf8(bytes).map_err(|_| Refusal(format!("{} is no text", path.display())))?;
        let found = text.matches(self.find).count();
        if !try_anyway && !self.times.contains(&found) {
            return Err(Refusal(format!(
                "{} has `{}` {found} times, where the kit knows {}. {REMEDY}",
                path.display(),
                self.find,
                self.times.end()
            )));
        }
        Ok(text.replace(self.find, self.put).into_bytes())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    fs::read(path).map_err(|error| Refusal(format!("cannot read {}: {error}", path.display())))
}

/// Leaves an equal file alone; another one appears in one step, since cargo runs several compilers at a time.
fn write_if_different(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let trouble = |error| Refusal(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(trouble)?;
    }
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&unfinished, bytes).map_err(trouble)?;
    fs::rename(&unfinished, path).map_err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("rundown-kit-wrapper-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn finds_crate_and_root_as_cargo_and_clippy_pass_them() {
        for line in [
            "rustc --crate-name windows --edition=2021 /r/windows-0.62.2/src/lib.rs --crate-type lib",
            "clippy-driver rustc --crate-name windows --edition=2021 /r/windows-0.62.2/src/lib.rs --cap-lints allow",
            "rustc --crate-name=windows /r/windows-0.62.2/src/lib.rs --target x86_64-unknown-linux-gnu",
        ] {
            let arguments = arguments(line);
            let invocation = Invocation::of(&arguments).unwrap();
            assert_eq!(invocation.crate_name, "windows", "{line}");
            assert_eq!(invocation.root, "/r/windows-0.62.2/src/lib.rs", "{line}");
            assert_eq!(arguments[invocation.root_position], invocation.root);
        }
    }

    #[test]
    fn leaves_queries_and_windows_targets_alone() {
        for line in [
            "rustc -vV",
            "rustc - --crate-name ___ --print=file-names --crate-type bin",
            "rustc --crate-name windows src/lib.rs --target x86_64-pc-windows-msvc",
            "rustc --crate-name windows src/lib.rs --target=x86_64-pc-windows-gnu",
        ] {
            assert!(Invocation::of(&arguments(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn replaces_known_versions_only() {
        for (name, version) in [
            ("wdk_build", "0.5.1"),
            ("wdk_build", "0.6.0"),
            ("wdk_build", "0.6.7"),
            ("windows", "0.58.0"),
            ("windows", "0.62.2"),
        ] {
            assert!(find(name, version, false).unwrap().is_some(), "{name} {version}");
        }
        for other in [
            "wdk_sys",
            "windows_sys",
            "windows_core",
            "build_script_build",
            "serde",
        ] {
            assert!(find(other, "0.6.0", false).unwrap().is_none(), "{other}");
        }
        for version in ["0.7.0", "0.60.0", "1.0.0", "0.6", ""] {
            let Err(Refusal(message)) = find("wdk_build", version, false) else {
                panic!("{version} is not known")
            };
            assert!(
                message.contains(&format!("does not know wdk_build {version}, only 0.5 and 0.6. "))
                    && message.contains("--try-anyway"),
                "{message}"
            );
            assert!(find("wdk_build", version, true).unwrap().is_some());
        }
    }

    #[test]
    fn stand_in_takes_the_place_of_the_crate_it_was_made_for() {
        let folder = folder("stand-in");
        let root = folder.join("lib.rs");
        let known = Replacement {
            crate_name: "windows",
            series: &["1.2"],
            source: Source::StandIn {
                mark: "mod windows;",
                text: "// stand-in",
            },
        };
        fs::write(&root, "#![cfg(windows)]\nmod windows;\n").unwrap();
        let copy = known.materialise(&root, &folder.join("out"), false).unwrap();
        assert_eq!(fs::read_to_string(copy).unwrap(), "// stand-in");

        fs::write(&root, "mod panes;").unwrap();
        let Refusal(message) = known.materialise(&root, &folder.join("out"), false).unwrap_err();
        assert!(
            message.contains(
                "lib.rs is not the `windows` that the kit has a stand-in for: it lacks `mod windows;`"
            ),
            "{message}"
        );
        assert!(known.materialise(&root, &folder.join("out"), true).is_ok());
    }

    #[test]
    fn edited_copy_keeps_every_other_file() {
        static EDITS: [Edit; 2] = [
            Edit {
                file: "utils.rs",
                find: "a",
                put: "c",
                times: 2..=2,
            },
            Edit {
                file: "utils.rs",
                find: "d",
                put: "e",
                times: 0..=1,
            },
        ];
        let folder = folder("edited");
        let own = folder.join("src");
        fs::create_dir_all(own.join("metadata")).unwrap();
        for (file, text) in [
            ("lib.rs", "mod utils;"),
            ("utils.rs", "a b a"),
            ("metadata/utils.rs", "a"),
        ] {
            fs::write(own.join(file), text).unwrap();
        }
        let known = Replacement {
            crate_name: "x",
            series: &["1.0"],
            source: Source::Edited(&EDITS),
        };
        let out = folder.join("out");

        let root = known.materialise(&own.join("lib.rs"), &out, false).unwrap();
        let text = |file: &str| fs::read_to_string(root.with_file_name(file)).unwrap();
        assert_eq!([text("utils.rs"), text("metadata/utils.rs")], ["c b c", "a"]);
        // cargo compiles it again when a file of the crate's own changes.
        let lib = text("lib.rs");
        assert!(
            lib.starts_with("mod utils;\nconst _: &[u8] = include_bytes!(r#\"/"),
            "{lib}"
        );
        for file in ["lib.rs", "utils.rs", "metadata/utils.rs"] {
            assert!(
                lib.contains(&format!("{}\"#);\n", own.join(file).display())),
                "{file}: {lib}"
            );
        }

        fs::write(own.join("utils.rs"), "a b").unwrap();
        let Refusal(message) = known.materialise(&own.join("lib.rs"), &out, false).unwrap_err();
        assert!(
            message.contains("utils.rs has `a` 1 times, where the kit knows 2. "),
            "{message}"
        );
        known.materialise(&own.join("lib.rs"), &out, true).unwrap();
        assert_eq!(text("utils.rs"), "c b");
    }

    #[test]
    fn crates_of_one_version_do_not_share_a_copy() {
        let known = find("windows", "0.62.2", false).unwrap().unwrap();
        let folder = folder("shared");
        let copy = |name: &str| {
            let root = folder.join(name).join("lib.rs");
            fs::create_dir_all(root.parent().unwrap()).unwrap();
            fs::write(&root, "include!(\"Windows/mod.rs\");").unwrap();
            known.materialise(&root, &folder.join("out"), false).unwrap()
        };
        assert_ne!(copy("release"), copy("checkout"));
    }

    #[test]
    fn equal_files_are_not_written_again() {
        let file = folder("unchanged").join("file");
        write_if_different(&file, b"text").unwrap();
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        write_if_different(&file, b"text").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
        write_if_different(&file, b"other").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"other");
    }
}
