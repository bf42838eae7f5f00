//! The `RUSTC_WRAPPER` that lets wdk-build compile on a host that is not Windows.
//!
//! wdk-build (0.5.1 and 0.6.0) runs in build scripts, on the host. It depends on `windows`, which does not compile off
//! Windows, and has itself two `compile_error!`s and two uses of `std::os::windows`. This wrapper hands rustc another
//! source file for exactly those crates; `Cargo.lock`, `--locked`, the registry's files and every crate that ends up
//! in the driver stay as they are. Off its list it is transparent.
//!
//! A replacement is keyed to the crate's name, its version and the SHA-256 of each file it stands for; anything else
//! stops the build with a message, because a stand-in for unknown code would be a guess.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use sha2::{Digest as _, Sha256};

/// Names the folder that the wrapper writes its stand-ins to.
pub const STAND_INS_VARIABLE: &str = "RUNDOWN_KIT_STAND_INS";
/// Names the wrapper that the caller used before (sccache, say); it is run in front of rustc.
pub const CHAINED_VARIABLE: &str = "RUNDOWN_KIT_CHAINED_WRAPPER";

/// A crate that gets another source on hosts that are not Windows.
struct Replacement {
    /// As in `--crate-name`.
    crate_name: &'static str,
    version: &'static str,
    source: Source,
}

enum Source {
    /// One file in place of the whole crate, whose root file has this SHA-256.
    StandIn {
        root_sha256: &'static str,
        text: &'static str,
    },
    /// The crate's own files, with some lines changed in those that are listed.
    Edited(&'static [Edit]),
}

/// Changes to one file below `src/`, whose SHA-256 is known, so that each text to find is in it.
struct Edit {
    file: &'static str,
    sha256: &'static str,
    /// What to find (every occurrence) and what to put there.
    changes: &'static [(&'static str, &'static str)],
}

const WINDOWS: &str = include_str!("../stand-ins/windows.rs");
const EMPTY: &str = include_str!("../stand-ins/empty.rs");

static REPLACEMENTS: &[Replacement] = &[
    Replacement {
        crate_name: "wdk_build",
        version: "0.6.0",
        source: Source::Edited(&[
            Edit {
                // `set_var` and `remove_var` are for cargo-make's tasks, which do not run here; they must compile.
                file: "utils.rs",
                sha256: "21c431ffecb238478f0318286f2dd48bb957fe773043102e49b34d478d9bc5b6",
                changes: &[("compile_error!(", "panic!(")],
            },
            Edit {
                file: "cargo_make.rs",
                sha256: "171382c8cec8af77ebaa0a0c8c2ebdffddfed52f3da786742c16f2f22de77f22",
                changes: &[(
                    "std::os::windows::fs::symlink_file(",
                    "std::os::unix::fs::symlink(",
                )],
            },
        ]),
    },
    Replacement {
        crate_name: "wdk_build",
        version: "0.5.1",
        source: Source::Edited(&[
            Edit {
                file: "utils.rs",
                sha256: "ada12e51a8e98752157477dfddfcad3eaca4516633d3a39dd8f4405d60b98856",
                changes: &[
                    ("compile_error!(", "panic!("),
                    // The options of RegOpenKeyExA, which became an Option with `windows` 0.62.
                    ("sub_key, 0, KEY_READ", "sub_key, None, KEY_READ"),
                ],
            },
            Edit {
                file: "cargo_make.rs",
                sha256: "9c3afb26322f7a8838cc775566e453eb9c63d04e4b326bc27aa29bc0e0e138e5",
                changes: &[(
                    "std::os::windows::fs::symlink_file(",
                    "std::os::unix::fs::symlink(",
                )],
            },
        ]),
    },
    Replacement {
        crate_name: "windows",
        version: "0.58.0",
        source: Source::StandIn {
            root_sha256: "064be93bb699faaad5b803679704eed29ee5c9ab3b81dfdedc38cab421a29e01",
            text: WINDOWS,
        },
    },
    Replacement {
        crate_name: "windows",
        version: "0.62.2",
        source: Source::StandIn {
            root_sha256: "d74f1ecad63b22960e7f0b3b721bf4091b1d34c9c11a1d58fdfca789d13a8988",
            text: WINDOWS,
        },
    },
    Replacement {
        crate_name: "windows_collections",
        version: "0.3.2",
        source: Source::StandIn {
            root_sha256: "5fb05de300eff98f8497a1b4f6ef2fc0ae74deb0acea34f677edc5c52c3383b4",
            text: EMPTY,
        },
    },
    Replacement {
        crate_name: "windows_future",
        version: "0.3.2",
        source: Source::StandIn {
            root_sha256: "d986973fb214b5c652eb4ed53ff43e0b4d6e93ceaad202c720fbe148fd5ef8c4",
            text: EMPTY,
        },
    },
    Replacement {
        crate_name: "windows_numerics",
        version: "0.3.1",
        source: Source::StandIn {
            root_sha256: "ff2134611669c2ca59e6517d46474750b2b15223aef92ae626e5267463df5d8d",
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
        if let Some(replacement) = find(invocation.crate_name, &version)? {
            let folder = env::var_os(STAND_INS_VARIABLE).ok_or_else(|| {
                Refusal(format!(
                    "{STAND_INS_VARIABLE} is not set; the kit sets it when it runs cargo"
                ))
            })?;
            let root = replacement.materialise(Path::new(invocation.root), Path::new(&folder))?;
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

/// The replacement for a crate, or `None` where it needs none.
fn find(crate_name: &str, version: &str) -> Result<Option<&'static Replacement>, Refusal> {
    let known = || REPLACEMENTS.iter().filter(|known| known.crate_name == crate_name);
    let replacement = known().find(|known| known.version == version);
    if replacement.is_some() || known().next().is_none() {
        return Ok(replacement);
    }
    let versions: Vec<_> = known().map(|known| known.version).collect();
    Err(Refusal(format!(
        "does not know {crate_name} {version}, only {}. Pin one of these versions in Cargo.toml, or teach the kit the \
         new one (tools/kit/src/wrapper.rs).",
        versions.join(" and ")
    )))
}

impl Replacement {
    /// Writes the replacement below `folder` and answers with its root file.
    ///
    /// `root` is the crate's own root file, `src/lib.rs` in all of them.
    fn materialise(&self, root: &Path, folder: &Path) -> Result<PathBuf, Refusal> {
        let folder = folder.join(format!("{}-{}", self.crate_name, self.version));
        match &self.source {
            Source::StandIn { root_sha256, text } => {
                self.expect(root, &read(root)?, root_sha256)?;
                let copy = folder.join("lib.rs");
                write_if_different(&copy, text.as_bytes())?;
                Ok(copy)
            }
            Source::Edited(edits) => {
                let own = root
                    .parent()
                    .ok_or_else(|| Refusal(format!("{} has no folder", root.display())))?;
                self.copy(own, &folder, Path::new(""), edits)?;
                Ok(folder.join(root.file_name().unwrap_or_default()))
            }
        }
    }

    /// Copies the folder `own` to `folder`, edited; `inside` is the path from the crate's `src/`.
    fn copy(&self, own: &Path, folder: &Path, inside: &Path, edits: &[Edit]) -> Result<(), Refusal> {
        let trouble = |error| Refusal(format!("cannot list {}: {error}", own.display()));
        for entry in fs::read_dir(own).map_err(trouble)? {
            let path = entry.map_err(trouble)?.path();
            let name = path.file_name().unwrap_or_default();
            let inside = inside.join(name);
            if path.is_dir() {
                self.copy(&path, &folder.join(name), &inside, edits)?;
                continue;
            }
            let mut bytes = read(&path)?;
            if let Some(edit) = edits.iter().find(|edit| Path::new(edit.file) == inside) {
                self.expect(&path, &bytes, edit.sha256)?;
                bytes = edit.apply(&bytes).ok_or_else(|| {
                    Refusal(format!(
                        "{} lacks a line that the kit has to change",
                        path.display()
                    ))
                })?;
            }
            write_if_different(&folder.join(name), &bytes)?;
        }
        Ok(())
    }

    fn expect(&self, path: &Path, bytes: &[u8], sha256: &str) -> Result<(), Refusal> {
        let found = format!("{:x}", Sha256::digest(bytes));
        if found == sha256 {
            return Ok(());
        }
        Err(Refusal(format!(
            "{} is not the file of {} {} that the kit knows (its SHA-256 is {found}, known is {sha256}). Was the \
             registry's copy edited? Delete its folder and let cargo fetch it again.",
            path.display(),
            self.crate_name,
            self.version
        )))
    }
}

impl Edit {
    /// The file with every change made, or `None` if a text to find is not in it.
    fn apply(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = String::from_utf8(bytes.to_vec()).ok()?;
        for (find, put) in self.changes {
            if !text.contains(find) {
                return None;
            }
            text = text.replace(find, put);
        }
        Some(text.into_bytes())
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

    fn sha256(text: &str) -> &'static str {
        Box::leak(format!("{:x}", Sha256::digest(text)).into_boxed_str())
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
        assert!(find("wdk_build", "0.6.0").unwrap().is_some());
        assert!(find("windows", "0.62.2").unwrap().is_some());
        for other in [
            "wdk_sys",
            "windows_sys",
            "windows_core",
            "build_script_build",
            "serde",
        ] {
            assert!(find(other, "0.6.0").unwrap().is_none(), "{other}");
        }
        let Err(Refusal(message)) = find("wdk_build", "0.7.0") else {
            panic!("0.7.0 is not known")
        };
        assert!(
            message.contains("wdk_build 0.7.0") && message.contains("0.6.0"),
            "{message}"
        );
    }

    #[test]
    fn stand_in_takes_the_place_of_the_file_it_was_made_for() {
        let folder = folder("stand-in");
        let root = folder.join("lib.rs");
        fs::write(&root, "#![cfg(windows)]").unwrap();
        let known = |root_sha256| Replacement {
            crate_name: "windows",
            version: "1.2.3",
            source: Source::StandIn {
                root_sha256,
                text: "// stand-in",
            },
        };

        let copy = known(sha256("#![cfg(windows)]"))
            .materialise(&root, &folder.join("out"))
            .unwrap();
        assert_eq!(fs::read_to_string(copy).unwrap(), "// stand-in");

        let Refusal(message) = known(sha256("something else"))
            .materialise(&root, &folder.join("out"))
            .unwrap_err();
        assert!(
            message.contains("lib.rs is not the file of windows 1.2.3"),
            "{message}"
        );
    }

    #[test]
    fn edited_copy_keeps_every_other_file() {
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
        let edits = |sha256, find| -> &'static [Edit] {
            let changes: &'static [(&str, &str)] = Box::leak(Box::new([(find, "c")]));
            Box::leak(Box::new([Edit {
                file: "utils.rs",
                sha256,
                changes,
            }]))
        };
        let known = |edits| Replacement {
            crate_name: "x",
            version: "1.0.0",
            source: Source::Edited(edits),
        };
        let out = folder.join("out");

        let root = known(edits(sha256("a b a"), "a"))
            .materialise(&own.join("lib.rs"), &out)
            .unwrap();
        assert_eq!(root, out.join("x-1.0.0/lib.rs"));
        let text = |file: &str| fs::read_to_string(out.join("x-1.0.0").join(file)).unwrap();
        assert_eq!(
            [text("lib.rs"), text("utils.rs"), text("metadata/utils.rs")],
            ["mod utils;", "c b c", "a"]
        );

        let stale = known(edits(sha256("a"), "a")).materialise(&own.join("lib.rs"), &out);
        assert!(stale.unwrap_err().0.contains("is not the file of x 1.0.0"));
        let lacking = known(edits(sha256("a b a"), "d")).materialise(&own.join("lib.rs"), &out);
        assert!(lacking.unwrap_err().0.contains("lacks a line"));
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
