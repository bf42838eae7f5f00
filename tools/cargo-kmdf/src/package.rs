//! Which package is built, and as what: what cargo says of it, and its WDK configuration.

use std::{env, fs, path::PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};
use clap::ArgMatches;

use rundown_kit::kmdf;

use crate::{Failure, refuse};

/// What cargo says of the packages.
pub(crate) fn metadata(options: &ArgMatches) -> Result<Metadata, Failure> {
    let mut command = MetadataCommand::new();
    command.no_deps();
    if let Some(path) = options.get_one::<PathBuf>("manifest-path") {
        command.manifest_path(path);
    }
    command.exec().map_err(|error| match error {
        // As cargo has it, causes and all: where a manifest is wrong is in its last lines.
        cargo_metadata::Error::CargoMetadata { stderr } => {
            refuse(stderr.trim().trim_start_matches("error: "))
        }
        error => refuse(error.to_string()),
    })
}

/// The package with the driver: the one that is named, else the one in whose folder this runs, else the only one that there is.
pub(crate) fn choose<'a>(metadata: &'a Metadata, options: &ArgMatches) -> Result<&'a Package, Failure> {
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
        "no package here is a driver, a cdylib that depends on wdk-sys; run this in a driver's folder, or name its Cargo.toml with --manifest-path".to_owned()
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
pub(crate) enum Model {
    Wdm,
    /// With the number behind `1.`.
    Kmdf(u32),
}

impl Model {
    /// The number behind `1.` of KMDF's version, if it is KMDF.
    pub(crate) fn kmdf(self) -> Option<u32> {
        match self {
            Self::Wdm => None,
            Self::Kmdf(minor) => Some(minor),
        }
    }

    /// The package's model; any version of KMDF if the headers are not the kit's but of the user's `wdk`.
    pub(crate) fn of(metadata: &Metadata, package: &Package, wdk: Option<&PathBuf>) -> Result<Self, Failure> {
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
                let number = |key: &str| number(key).unwrap_or_default();
                let (major, minor) = (number("kmdf-version-major"), number("target-kmdf-version-minor"));
                let minor_known = u32::try_from(minor).ok().filter(|&minor| has_headers(minor, wdk));
                minor_known.filter(|_| major == 1).map(Self::Kmdf).ok_or_else(|| {
                    refuse(format!(
                        "KMDF {major}.{minor} is asked for; the kit has the headers of 1.31 and 1.33, so set target-kmdf-version-minor to 31 or 33, or name a WDK that has others with --wdk"
                    ))
                })
            }
            "UMDF" => Err(refuse(
                "a UMDF driver is no kernel driver, and the kit builds none; `cargo wdk build` on Windows does",
            )),
            other => Err(refuse(format!(
                "{}: the driver type `{other}` is none of KMDF and WDM; set driver-type in [package.metadata.wdk.driver-model] to one of them",
                package.manifest_path
            ))),
        }
    }
}

/// Whether there are headers of KMDF 1.`minor`; what the user's own WDK has is looked for when it is read.
pub(crate) fn has_headers(minor: u32, wdk: Option<&PathBuf>) -> bool {
    wdk.is_some() || kmdf::Version::ALL.iter().any(|version| version.minor() == minor)
}
