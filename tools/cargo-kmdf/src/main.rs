//! `cargo kmdf`: what the kit does for `rundown.sys`, for the driver of anybody's package that uses windows-drivers-rs.
//!
//! This program is also the compiler wrapper and the linker of those builds, when it is called so.
//!
//! The package, its WDK configuration and its target folder are what cargo says of them; nothing in its folder is changed.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use cargo_metadata::{Metadata, MetadataCommand, Package};
use clap::{Arg, ArgAction, ArgMatches, Command as Cli, value_parser};

use rundown_kit::{
    Error,
    driver::{self, Profile, Workspace},
    inf, kmdf, linker, pe,
    toolchain::{Target, Toolchain},
    wrapper,
};

/// The exit code for what is wrong with the command line or the package.
const BAD_INPUT: u8 = 2;
/// The checks that a driver may fail: this project asks for a version resource, the loader does not.
const STRICT_ONLY: &[&str] = &["version"];
/// The checks of what only a driver of KMDF has: its entry library, and that in its symbols.
const KMDF_ONLY: &[&str] = &["entry", "bind-info", "pdb-symbols"];

fn main() -> ExitCode {
    let called = env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_stem().and_then(|name| name.to_str()) {
        Some("kit-rustc-wrapper") => return wrapper::main(),
        Some("lld-link") => return linker::main(),
        _ => {}
    }
    let matches = cli().get_matches();
    let (_, matches) = matches.subcommand().expect("it is `cargo kmdf`");
    match run(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, error)) => {
            rundown_streams::tell!("cargo kmdf: {error}");
            ExitCode::from(code)
        }
    }
}

struct Failure(u8, String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(1, error.to_string())
    }
}

fn refuse(text: impl Into<String>) -> Failure {
    Failure(BAD_INPUT, text.into())
}

fn cli() -> Cli {
    let options = [
        Arg::new("manifest-path")
            .long("manifest-path")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("The Cargo.toml [default: the folder's, or the next one above it]"),
        Arg::new("package")
            .short('p')
            .long("package")
            .value_name("NAME")
            .help("The driver's package [default: the only one]"),
        Arg::new("release")
            .long("release")
            .action(ArgAction::SetTrue)
            .help("With the profile `release` instead of `dev`"),
        Arg::new("features")
            .short('F')
            .long("features")
            .value_name("FEATURES")
            .help("Features of the package, with commas between them"),
        Arg::new("no-default-features")
            .long("no-default-features")
            .action(ArgAction::SetTrue)
            .help("Without its default features"),
        Arg::new("locked")
            .long("locked")
            .action(ArgAction::SetTrue)
            .help("Cargo.lock must be up to date"),
        Arg::new("offline")
            .long("offline")
            .action(ArgAction::SetTrue)
            .help("Without the network"),
    ];
    let build = Cli::new("build")
        .about("Build the driver, its symbols and its stamped INF")
        .args(&options)
        .arg(
            Arg::new("inf")
                .long("inf")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The INF to stamp [default: the package's .inx file, if there is one]"),
        )
        .arg(
            Arg::new("strict")
                .long("strict")
                .action(ArgAction::SetTrue)
                .help("The image must have all that rundown.sys has: a version resource"),
        );
    let clippy = Cli::new("clippy")
        .about("Run clippy over the driver, with warnings denied")
        .args(&options);
    Cli::new("cargo")
        .bin_name("cargo")
        .subcommand_required(true)
        .subcommand(
            Cli::new("kmdf")
                .about("Builds Windows kernel drivers that use windows-drivers-rs, on Linux")
                .version(env!("CARGO_PKG_VERSION"))
                .subcommand_required(true)
                .subcommand(build)
                .subcommand(clippy),
        )
}

fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (subcommand, options) = matches.subcommand().expect("one is required");
    let metadata = metadata(options)?;
    let package = choose(&metadata, options)?;
    let model = Model::of(&metadata, package)?;
    let profile = if options.get_flag("release") {
        Profile::Release
    } else {
        Profile::Dev
    };
    let own =
        env::current_exe().map_err(|error| refuse(format!("cannot tell where this program is: {error}")))?;
    let built = driver::Package {
        // One for each run of the program.
        name: package.name.to_string().leak(),
        inx: "",
    };
    // wdk-build finds the workspace by the Cargo.lock above the target folder.
    let (root, target) = (&metadata.workspace_root, &metadata.target_directory);
    let inside = root.join("target");
    let target = if target.starts_with(root) { target } else { &inside };
    let workspace = Workspace::foreign(root.as_std_path(), target.as_std_path(), &own, arguments(options))
        .with_package(built);
    let toolchain = Toolchain::choose_for(None, &[Target::Driver])?;
    if subcommand == "clippy" {
        return Ok(driver::clippy(&workspace, &toolchain, profile)?);
    }
    // What is wrong with the INF is said before anything is built.
    let inf = stamped(package, model, options.get_one::<PathBuf>("inf"))?;
    let [sys, pdb] = driver::image(&workspace, &toolchain, profile)?;
    judge(&sys, &pdb, model, options.get_flag("strict"))?;
    let mut made = vec![sys.clone(), pdb];
    if let Some(text) = inf {
        let path = sys.with_extension("inf");
        fs::write(&path, text)
            .map_err(|error| Failure(1, format!("cannot write {}: {error}", path.display())))?;
        made.push(path);
    }
    for path in made {
        println!("{}", path.display());
    }
    Ok(())
}

/// What cargo says of the packages.
fn metadata(options: &ArgMatches) -> Result<Metadata, Failure> {
    let mut command = MetadataCommand::new();
    command.no_deps();
    if let Some(path) = options.get_one::<PathBuf>("manifest-path") {
        command.manifest_path(path);
    }
    command.exec().map_err(|error| match error {
        cargo_metadata::Error::CargoMetadata { stderr } => refuse(
            stderr
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: "),
        ),
        error => refuse(error.to_string()),
    })
}

/// The package with the driver: the one that is named, else the one in whose folder this runs, else the only one that there is.
fn choose<'a>(metadata: &'a Metadata, options: &ArgMatches) -> Result<&'a Package, Failure> {
    let is_driver = |package: &&Package| {
        package.targets.iter().any(cargo_metadata::Target::is_cdylib)
            && package.dependencies.iter().any(|of| of.name == "wdk-sys")
    };
    let drivers: Vec<&Package> = metadata
        .workspace_packages()
        .into_iter()
        .filter(is_driver)
        .collect();
    let names: Vec<&str> = drivers.iter().map(|package| package.name.as_str()).collect();
    let names = if names.is_empty() {
        "no package here is a driver: a cdylib that depends on wdk-sys".to_owned()
    } else {
        format!("the drivers here are {}", names.join(", "))
    };
    if let Some(name) = options.get_one::<String>("package") {
        let mut wanted = drivers.into_iter().filter(|package| package.name == name);
        return wanted
            .next()
            .ok_or_else(|| refuse(format!("`{name}` is no driver's package; {names}")));
    }
    let manifest = options.get_one::<PathBuf>("manifest-path").cloned();
    let place = manifest.unwrap_or_else(|| env::current_dir().unwrap_or_default().join("Cargo.toml"));
    let place = fs::canonicalize(&place).unwrap_or(place);
    let own = drivers.iter().find(|package| package.manifest_path == place);
    match (own, &drivers[..]) {
        (Some(driver), _) | (None, [driver]) => Ok(driver),
        (None, []) => Err(refuse(names)),
        (None, _) => Err(refuse(format!("{names}; name one with --package"))),
    }
}

/// The driver model, as `[package.metadata.wdk]` or the workspace's has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Model {
    Wdm,
    Kmdf(kmdf::Version),
}

impl Model {
    fn of(metadata: &Metadata, package: &Package) -> Result<Self, Failure> {
        let tables = [&package.metadata, &metadata.workspace_metadata];
        let Some(model) = tables
            .iter()
            .find_map(|table| table.get("wdk")?.get("driver-model"))
        else {
            return Err(refuse(format!(
                "{} has no [package.metadata.wdk.driver-model], which wdk-build asks for (`cargo wdk new` writes it)",
                package.manifest_path
            )));
        };
        let number = |key: &str| model.get(key).and_then(serde_json::Value::as_u64);
        match model
            .get("driver-type")
            .and_then(|kind| kind.as_str())
            .unwrap_or_default()
        {
            "WDM" => Ok(Self::Wdm),
            "KMDF" => {
                let asked = (number("kmdf-version-major"), number("target-kmdf-version-minor"));
                let known = kmdf::Version::ALL.into_iter();
                let mut found = known.filter(|version| asked == (Some(1), Some(version.minor().into())));
                found.next().map(Self::Kmdf).ok_or_else(|| {
                    let (major, minor) = (asked.0.unwrap_or_default(), asked.1.unwrap_or_default());
                    refuse(format!(
                        "KMDF {major}.{minor} is asked for; the kit has the headers of 1.31 and 1.33"
                    ))
                })
            }
            "UMDF" => Err(refuse(
                "a UMDF driver is no kernel driver, and the kit builds none",
            )),
            other => Err(refuse(format!(
                "the driver type `{other}` is none of KMDF and WDM"
            ))),
        }
    }
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

/// The package's INF with its stamps: ASCII as it is, other text as UTF-16, which setup reads everywhere.
fn stamped(package: &Package, model: Model, named: Option<&PathBuf>) -> Result<Option<Vec<u8>>, Failure> {
    let folder = package
        .manifest_path
        .parent()
        .map_or(Path::new("."), |path| path.as_std_path());
    let Some(path) = named.cloned().or_else(|| only_inx(folder)) else {
        rundown_streams::tell!(
            "cargo kmdf: {} has no .inx file; no INF is made",
            folder.display()
        );
        return Ok(None);
    };
    let wrong = |what: String| refuse(format!("{}: {what}", path.display()));
    let bytes = fs::read(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let text = rundown_inf::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
    let version = &package.version;
    let mut stamp = inf::Stamp::new(&format!("{}.{}.{}", version.major, version.minor, version.patch));
    if let Model::Kmdf(version) = model {
        stamp.kmdf = format!("1.{}", version.minor());
    }
    let text = inf::stamp(&text, &stamp).map_err(wrong)?;
    if text.is_ascii() {
        return Ok(Some(text.into_bytes()));
    }
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    Ok(Some(units.flat_map(u16::to_le_bytes).collect()))
}

/// The only .inx file of a folder.
fn only_inx(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let mut found = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "inx"));
    found.next().filter(|_| found.next().is_none())
}

/// What Windows' loader asks of the image.
fn judge(sys: &Path, pdb: &Path, model: Model, strict: bool) -> Result<(), Failure> {
    let excused = |name: &str| {
        (!strict && STRICT_ONLY.contains(&name)) || (model == Model::Wdm && KMDF_ONLY.contains(&name))
    };
    let checks = pe::check(sys, pdb)?;
    let wrong: Vec<String> = checks
        .iter()
        .filter(|check| check.result.is_err() && !excused(check.name))
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
