//! `cargo kmdf`: what the kit does for `rundown.sys`, for the driver of anybody's package that uses windows-drivers-rs.
//!
//! This program is also the compiler wrapper and the linker of those builds, when it is called so.
//!
//! The package, its WDK configuration and its target folder are what cargo says of them; nothing in its folder is changed.

mod cli;
mod inf;
mod lab;
mod oldest;
mod package;
mod sysroot;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ArgMatches;

use rundown_kit::{
    Error,
    driver::{self, Profile, Workspace},
    exports::Windows,
    linker, pe,
    sysroot::Llvm,
    toolchain::{Target, Toolchain},
    wrapper,
};

use rundown_package::{Inputs, inf::Rules};

use self::package::Model;

/// The exit code for what is wrong with the command line or the package.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let called = env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_stem().and_then(|name| name.to_str()) {
        Some("kit-rustc-wrapper") => return wrapper::main(),
        Some("lld-link") => return linker::main(),
        _ => {}
    }
    let matches = cli::cli().get_matches();
    let (_, matches) = matches.subcommand().expect("it is `cargo kmdf`");
    match run(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, error)) => {
            rundown_streams::tell!("cargo kmdf: {error}");
            ExitCode::from(code)
        }
    }
}

/// An exit code, and what is wrong.
struct Failure(u8, String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(1, error.to_string())
    }
}

fn refuse(text: impl Into<String>) -> Failure {
    Failure(BAD_INPUT, text.into())
}

fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (subcommand, options) = matches.subcommand().expect("one is required");
    if subcommand == "sysroot" {
        return sysroot::run(options);
    }
    let driver = Driver::of(options)?;
    match subcommand {
        "check" => Ok(driver::check(&driver.workspace, &toolchain()?, driver.profile)?),
        "clippy" => Ok(driver::clippy(&driver.workspace, &toolchain()?, driver.profile)?),
        "lab" => {
            // Before a build of minutes.
            let lab = lab::Lab::find(options.get_one::<PathBuf>("lab"))?;
            let made = driver.build(options)?;
            let further = options.get_many::<OsString>("lab-options");
            let further: Vec<OsString> = further.unwrap_or_default().cloned().collect();
            Err(lab.run(&made, driver.model, &further))
        }
        "package" => {
            if driver.inf(options)?.is_none() {
                return Err(refuse(
                    "a driver is installed by its INF, and there is none; add a .inx file to the package, or name one with --inf",
                ));
            }
            let made = driver.build(options)?;
            println!("{}", packaged(&made, options.get_flag("strict"))?.display());
            Ok(())
        }
        _ => {
            let made = driver.build(options)?;
            for path in [Some(made.sys), Some(made.pdb), made.inf].into_iter().flatten() {
                println!("{}", path.display());
            }
            Ok(())
        }
    }
}

/// What is built, and how.
struct Driver {
    workspace: Workspace,
    model: Model,
    /// Whether the WDK is the user's own.
    own_wdk: bool,
    profile: Profile,
    package: cargo_metadata::Package,
}

/// What a build leaves.
struct Made {
    sys: PathBuf,
    pdb: PathBuf,
    /// If the package has one to stamp.
    inf: Option<PathBuf>,
}

impl Driver {
    fn of(options: &ArgMatches) -> Result<Self, Failure> {
        let metadata = package::metadata(options)?;
        let package = package::choose(&metadata, options)?;
        let wdk = options.get_one::<PathBuf>("wdk");
        let model = Model::of(&metadata, package, wdk)?;
        let profile = if options.get_flag("release") {
            Profile::Release
        } else {
            Profile::Dev
        };
        let own = env::current_exe()
            .map_err(|error| refuse(format!("cannot tell where this program is: {error}")))?;
        let built = driver::Package {
            name: package.name.to_string().into(),
            inx: "",
        };
        // wdk-build finds the workspace by the Cargo.lock above the target folder.
        let (root, target) = (&metadata.workspace_root, &metadata.target_directory);
        let inside = root.join("target");
        let target = if target.starts_with(root) { target } else { &inside };
        let mut workspace =
            Workspace::foreign(root.as_std_path(), target.as_std_path(), &own, arguments(options))
                .with_package(built)
                .with_unknown_versions(options.get_flag("try-anyway"));
        if let Some(folder) = options.get_one::<PathBuf>("llvm") {
            workspace = workspace.with_llvm(Llvm::at(folder));
        }
        if let Some(wdk) = wdk {
            workspace = workspace.with_wdk(wdk, model.kmdf());
        }
        Ok(Self {
            workspace,
            model,
            own_wdk: wdk.is_some(),
            profile,
            package: package.clone(),
        })
    }

    /// The INF's text, stamped, if there is one.
    fn inf(&self, options: &ArgMatches) -> Result<Option<Vec<u8>>, Failure> {
        inf::stamped(&self.package, self.model, options.get_one::<PathBuf>("inf"))
    }

    fn build(&self, options: &ArgMatches) -> Result<Made, Failure> {
        // What is wrong with the INF is said before anything is built.
        let stamped = self.inf(options)?;
        if stamped.is_none() {
            let folder = self.package.manifest_path.with_file_name("");
            rundown_streams::tell!("cargo kmdf: {folder} has no .inx file; no INF is made");
        }
        let [sys, pdb] = driver::image(&self.workspace, &toolchain()?, self.profile)?;
        let text = stamped
            .as_deref()
            .and_then(|bytes| rundown_inf::decode(bytes).ok());
        let oldest = oldest::oldest(text.as_deref(), self.model.kmdf());
        self.judge(&sys, &pdb, oldest, options.get_flag("strict"))?;
        let mut inf = None;
        if let Some(text) = stamped {
            let path = sys.with_extension("inf");
            fs::write(&path, text)
                .map_err(|error| Failure(1, format!("cannot write {}: {error}", path.display())))?;
            inf = Some(path);
        }
        Ok(Made { sys, pdb, inf })
    }

    /// The image against what is asked of it. What is linked by the user's own WDK has Windows' word for its imports and its entry.
    fn judge(&self, sys: &Path, pdb: &Path, oldest: Windows, strict: bool) -> Result<(), Failure> {
        let framework = self.model != Model::Wdm && !self.own_wdk;
        let checks = pe::check(sys, pdb, oldest)?;
        let wrong: Vec<String> = pe::failed(&checks, framework, strict)
            .filter(|check| !(self.own_wdk && check.name == "imports"))
            .map(ToString::to_string)
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Failure(
            1,
            format!("{} is not fit for Windows:\n{}", sys.display(), wrong.join("\n")),
        ))
    }
}

fn toolchain() -> Result<Toolchain, Error> {
    Toolchain::choose_for(None, &[Target::Driver])
}

/// The folder that a test machine installs, where cargo-wdk makes it too.
fn packaged(made: &Made, strict: bool) -> Result<PathBuf, Failure> {
    let inf = made.sys.with_extension("inf");
    let name = made.sys.file_stem().unwrap_or_default();
    let inputs = Inputs {
        inf: inf.clone(),
        driver: made.sys.clone(),
        pdb: made.pdb.clone(),
        beside: Vec::new(),
        rules: if strict { Rules::Project } else { Rules::Windows },
        output: made.sys.with_file_name(format!("{}_package", name.display())),
    };
    let package = rundown_package::build(&inputs).map_err(|error| Failure(1, error.to_string()))?;
    for warning in &package.warnings {
        rundown_streams::tell!(
            "cargo kmdf: {}:{}: {} [{}]",
            inf.display(),
            warning.line,
            warning.what,
            warning.rule
        );
    }
    Ok(package.folder)
}

/// What of the options is cargo's.
fn arguments(options: &ArgMatches) -> Vec<OsString> {
    let mut arguments = Vec::new();
    if let Some(features) = options.get_one::<String>("features") {
        arguments.extend(["--features".into(), features.into()]);
    }
    for flag in ["no-default-features", "locked", "offline"] {
        if options.get_flag(flag) {
            arguments.push(format!("--{flag}").into());
        }
    }
    arguments
}
