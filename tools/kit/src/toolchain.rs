//! Which Rust compiles for the kernel: two routes, and how one is chosen.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Error;

/// What the project is compiled for, besides the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The driver: `core` and `alloc`.
    Driver,
    /// The lab's kernel: `core` and `alloc`.
    Bare,
    /// The client for Windows: `std`.
    WindowsUser,
    /// The driver's crates for ARM64, as far as they go: checked, not linked. `core` and `alloc`.
    Arm64,
}

impl Target {
    /// The name that rustc knows it by.
    #[must_use]
    pub const fn triple(self) -> &'static str {
        match self {
            Self::Driver => "x86_64-pc-windows-msvc",
            Self::Bare => "x86_64-unknown-none",
            Self::WindowsUser => "x86_64-pc-windows-gnu",
            Self::Arm64 => "aarch64-pc-windows-msvc",
        }
    }

    /// What cargo has to build of the standard library where it is not installed.
    const fn build_std(self) -> &'static str {
        match self {
            Self::Driver | Self::Bare | Self::Arm64 => "-Zbuild-std=core,alloc",
            Self::WindowsUser => "-Zbuild-std=std,panic_abort",
        }
    }
}

/// A way to a compiler and a standard library that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The toolchain in use, with the targets' standard libraries installed (by rustup, or by a distribution).
    Installed,
    /// Debian's rustc-web set: its compiler, its cargo, and the standard library built from its source package.
    Debian,
}

/// A route that was found to work.
#[derive(Debug, Clone)]
pub struct Toolchain {
    route: Route,
    version: String,
}

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LLD: &str = "/usr/lib/llvm-19/bin/ld.lld";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library";
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];

impl Toolchain {
    /// Chooses a route for the driver and the lab's kernel, and says on standard error what it does to get there.
    ///
    /// Without `forced`: the targets that are installed, else `rustup target add`, else Debian's set.
    ///
    /// # Errors
    ///
    /// If no route, or not the forced one, leads to a compiler; the message names the command that would help.
    pub fn choose(forced: Option<Route>) -> Result<Self, Error> {
        Self::choose_for(forced, &[Target::Driver, Target::Bare])
    }

    /// As [`Toolchain::choose`], for other targets.
    ///
    /// # Errors
    ///
    /// As [`Toolchain::choose`].
    pub fn choose_for(forced: Option<Route>, targets: &[Target]) -> Result<Self, Error> {
        match forced {
            Some(Route::Installed) => installed(targets),
            Some(Route::Debian) => debian(),
            None => installed(targets).or_else(|first| {
                debian().map_err(|second| {
                    Error::new(format!(
                        "no Rust toolchain for the driver.\n  {first}\n  {second}"
                    ))
                })
            }),
        }
    }

    /// The route that was taken.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.route
    }

    /// cargo, set up for `target`; the caller adds the subcommand and must not name a target.
    #[must_use]
    pub fn cargo(&self, target: Target) -> Command {
        let mut command = self.host_cargo();
        command.env("CARGO_BUILD_TARGET", target.triple());
        if self.route == Route::Debian {
            // Allows the unstable -Zbuild-std with a release compiler.
            command.env("RUSTC_BOOTSTRAP", "1").arg(target.build_std());
            // Unoptimised compiler_builtins call fma, which nothing provides. It is a package of this build only
            // where cargo builds the standard library, so the profile cannot have it in Cargo.toml.
            command.args(["--config", "profile.dev.package.compiler_builtins.opt-level=3"]);
            // The bare target links with rustup's rust-lld, which Debian's compiler does not bring.
            command.env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", DEBIAN_LLD);
        }
        command
    }

    /// cargo, set up for this machine, with none of the settings of the cargo that may be running the caller.
    #[must_use]
    pub fn host_cargo(&self) -> Command {
        match self.route {
            Route::Installed => {
                let mut command = Command::new(current("CARGO", "cargo"));
                clear_settings(&mut command);
                command
            }
            Route::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                clear_settings(&mut command);
                command
                    .env_remove("RUSTUP_TOOLCHAIN")
                    // The cargo around this program points it to its own toolchain's libraries.
                    .env_remove("LD_LIBRARY_PATH")
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTDOC", "/usr/bin/rustdoc")
                    .env("PATH", path_without_rustup());
                command
            }
        }
    }

    /// `cargo clippy`, set up for `target` as [`Toolchain::cargo`] is; the caller adds clippy's arguments.
    #[must_use]
    pub fn clippy(&self, target: Target) -> Command {
        let mut command = self.cargo(target);
        command.arg("clippy");
        command
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.route {
            Route::Installed => write!(f, "{}, targets installed", self.version),
            Route::Debian => write!(
                f,
                "{}, Debian's, standard library built from source",
                self.version
            ),
        }
    }
}

/// Debian's packages that a driver build by `route` needs. None of them is rustup's, which is the user's to install.
#[must_use]
pub fn packages(route: Route) -> Vec<&'static str> {
    let rust = match route {
        Route::Installed => &[][..],
        Route::Debian => DEBIAN_PACKAGES,
    };
    [rust, crate::sysroot::Llvm::PACKAGES].concat()
}

/// The toolchain in use, targets added if they are missing.
fn installed(targets: &[Target]) -> Result<Toolchain, Error> {
    let rustc = current("RUSTC", "rustc");
    let version = ask(Command::new(&rustc).arg("--version"))?;
    let sysroot = PathBuf::from(ask(Command::new(&rustc).args(["--print", "sysroot"]))?);
    let missing = || -> Vec<&str> {
        let has = |triple: &&str| !sysroot.join("lib/rustlib").join(triple).join("lib").is_dir();
        targets.iter().map(|target| target.triple()).filter(has).collect()
    };
    if missing().is_empty() {
        return Ok(Toolchain {
            route: Route::Installed,
            version,
        });
    }

    let command = format!("rustup target add {}", missing().join(" "));
    // A distribution's compiler cannot be extended by rustup, which would add the targets to another one.
    if !sysroot.join("lib/rustlib/components").exists() {
        return Err(Error::new(format!(
            "{version} in {} has no {} and is not one of rustup's. With rustup (https://rustup.rs): {command}",
            sysroot.display(),
            missing().join(", ")
        )));
    }
    rundown_streams::tell!("kit: {version} lacks a standard library; running: {command}");
    let status = Command::new("rustup")
        .args(["target", "add"])
        .args(missing())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| Error::new(format!("cannot run {command}: {error}")))?;
    if status.success() && missing().is_empty() {
        return Ok(Toolchain {
            route: Route::Installed,
            version,
        });
    }
    Err(Error::new(format!(
        "the targets could not be added. With access to rustup's server: {command}"
    )))
}

/// Debian's set, if all of it is there.
fn debian() -> Result<Toolchain, Error> {
    let install = format!(
        "On Debian 12 or 13: apt-get install {}",
        DEBIAN_PACKAGES.join(" ")
    );
    for file in [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_LIBRARY] {
        if !Path::new(file).exists() {
            return Err(Error::new(format!("Debian's toolchain lacks {file}. {install}")));
        }
    }
    let version = ask(Command::new(DEBIAN_RUSTC)
        .env_remove("RUSTUP_TOOLCHAIN")
        .arg("--version"))?;
    // Debian's ordinary rustc and rust-src do not suffice: they are older than the project's rust-version.
    let source = Path::new(DEBIAN_LIBRARY).join("Cargo.lock");
    if !source.exists() {
        return Err(Error::new(format!(
            "Debian's toolchain lacks {}. {install}",
            source.display()
        )));
    }
    Ok(Toolchain {
        route: Route::Debian,
        version,
    })
}

/// The program that cargo or the caller's environment names, else the one on the path.
fn current(variable: &str, program: &str) -> std::ffi::OsString {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| program.into())
}

/// Takes the environment's build settings from a cargo: flags would replace the ones that a driver needs, wrappers are chained by
/// the kit, and another target or folder would put the program where nobody looks, beside an old one that is found.
pub fn clear_settings(command: &mut Command) {
    for name in [
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_TARGET_DIR",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTC_WRAPPER",
        "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_BOOTSTRAP",
    ] {
        command.env_remove(name);
    }
}

/// rustup's proxies are called cargo, rustc and cargo-clippy too; Debian's cargo must not find them.
fn path_without_rustup() -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let kept = env::split_paths(&path).filter(|folder| {
        let toolchain =
            folder.join("cargo").exists() && *folder != Path::new("/usr/bin") && *folder != Path::new("/bin");
        !toolchain && !folder.join("rustup").exists()
    });
    let system = [PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
    let mut folders: Vec<_> = system.into_iter().chain(kept).collect();
    // cargo puts CARGO_HOME/bin in front of the path when looking for a subcommand, unless it is somewhere on it.
    folders.extend(cargo_home().map(|home| home.join("bin")));
    env::join_paths(folders).unwrap_or(path)
}

/// The folder with cargo's registry.
#[must_use]
pub fn cargo_home() -> Option<PathBuf> {
    let named = env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from);
    named.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// What a program prints.
fn ask(command: &mut Command) -> Result<String, Error> {
    let what = format!("{} {}", command.get_program().display(), args(command));
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        Error::new(format!(
            "cannot run {what}: {error}. Is Rust installed (https://rustup.rs)?"
        ))
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!(
            "{what} failed ({}): {}",
            output.status,
            why.trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn args(command: &Command) -> String {
    command
        .get_args()
        .map(|argument| argument.display().to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(route: Route) -> Toolchain {
        Toolchain {
            route,
            version: "rustc 1.2.3".to_owned(),
        }
    }

    fn variable(command: &Command, name: &str) -> Option<String> {
        command
            .get_envs()
            .find(|(found, _)| *found == name)?
            .1
            .map(|value| value.display().to_string())
    }

    #[test]
    fn installed_targets_need_nothing_unstable() {
        let cargo = toolchain(Route::Installed).cargo(Target::Driver);
        assert_eq!(
            variable(&cargo, "CARGO_BUILD_TARGET").as_deref(),
            Some("x86_64-pc-windows-msvc")
        );
        assert_eq!(variable(&cargo, "RUSTC_BOOTSTRAP"), None);
        assert_eq!(args(&cargo), "");
    }

    #[test]
    fn debian_builds_the_standard_library_and_keeps_to_its_own_programs() {
        for (target, library) in [
            (Target::Driver, "-Zbuild-std=core,alloc"),
            (Target::Bare, "-Zbuild-std=core,alloc"),
            (Target::WindowsUser, "-Zbuild-std=std,panic_abort"),
        ] {
            let cargo = toolchain(Route::Debian).cargo(target);
            assert_eq!(cargo.get_program(), DEBIAN_CARGO);
            assert_eq!(variable(&cargo, "RUSTC").as_deref(), Some(DEBIAN_RUSTC));
            assert_eq!(variable(&cargo, "RUSTC_BOOTSTRAP").as_deref(), Some("1"));
            assert!(args(&cargo).starts_with(library), "{}", args(&cargo));
            let path = variable(&cargo, "PATH").unwrap();
            let folders: Vec<_> = env::split_paths(&path).collect();
            assert_eq!(folders[0], Path::new("/usr/bin"));
            // rustup's folder may be last, where it keeps cargo from putting it first.
            let rustup = folders.iter().position(|folder| folder.join("rustup").exists());
            assert!(
                rustup.is_none_or(|position| position + 1 == folders.len()),
                "{path}"
            );
        }
    }

    #[test]
    fn flags_and_wrappers_of_the_environment_do_not_reach_the_build() {
        for route in [Route::Installed, Route::Debian] {
            let cargo = toolchain(route).host_cargo();
            for name in [
                "RUSTFLAGS",
                "CARGO_ENCODED_RUSTFLAGS",
                "RUSTC_WRAPPER",
                "CARGO_BUILD_TARGET_DIR",
                "CARGO_TARGET_DIR",
            ] {
                assert!(
                    cargo
                        .get_envs()
                        .any(|(found, value)| found == name && value.is_none()),
                    "{route:?} {name}"
                );
            }
        }
    }

    #[test]
    fn packages_are_those_of_the_route() {
        let installed = packages(Route::Installed);
        let debian = packages(Route::Debian);
        assert!(
            installed
                .iter()
                .all(|package| debian.contains(package) && !package.contains("rust"))
        );
        assert!(debian.contains(&"rustc-web") && debian.contains(&"rust-web-src"));
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_arguments() {
        let failed = ask(Command::new("false").arg("--version"))
            .unwrap_err()
            .to_string();
        assert!(failed.starts_with("false --version failed"), "{failed}");
        let missing = ask(&mut Command::new("/nowhere/rustc")).unwrap_err().to_string();
        assert!(
            missing.contains("cannot run /nowhere/rustc") && missing.contains("rustup.rs"),
            "{missing}"
        );
    }
}
