//! Builds the repository's driver and checks the image: `cargo run -p rundown-kit --example driver -- [OPTIONS]`.
//!
//! `--debian` or `--installed` forces a route to a toolchain, `--dev` builds with the dev profile, `--clippy` lints instead,
//! `--target-dir DIR` takes another target folder (below the repository), `--copy DIR` a changed copy of the driver's
//! sources, whose artefacts go to its `artefacts/`.

use std::{env, error::Error, path::PathBuf, time::Instant};

use rundown_kit::{
    driver::{self, Profile, Workspace},
    exports::Windows,
    pe, residence,
    toolchain::{Route, Toolchain},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let route = [("--debian", Route::Debian), ("--installed", Route::Installed)]
        .into_iter()
        .find_map(|(name, route)| has(name).then_some(route));
    let profile = if has("--dev") {
        Profile::Dev
    } else {
        Profile::Release
    };

    let repository = env::current_dir()?;
    let mut workspace = Workspace::new(&repository);
    let folder = |name: &str| -> Result<Option<PathBuf>, Box<dyn Error>> {
        let Some(position) = arguments.iter().position(|argument| argument == name) else {
            return Ok(None);
        };
        let folder = arguments
            .get(position + 1)
            .ok_or_else(|| format!("{name} needs a folder"))?;
        Ok(Some(repository.join(folder)))
    };
    if let Some(copy) = folder("--copy")? {
        workspace = Workspace::copy(&repository, &copy, &copy.join("artefacts"));
    }
    if let Some(target) = folder("--target-dir")? {
        workspace = workspace.with_target(&target);
    }

    let toolchain = Toolchain::choose(route)?;
    println!("{toolchain}");
    let start = Instant::now();
    if has("--clippy") {
        driver::clippy(&workspace, &toolchain, profile)?;
    } else {
        let artefacts = driver::build(&workspace, &toolchain, profile)?;
        println!("{}", artefacts.sys.display());
        let checks = pe::check(&artefacts.sys, &artefacts.pdb, Windows::V2004)?;
        for check in &checks {
            println!("{check}");
        }
        for function in residence::not_resident(&artefacts.sys, &artefacts.pdb)? {
            println!(
                "{:5} {}, with {}",
                function.section,
                function.function,
                function.inlined.join(", ")
            );
        }
        if checks.iter().any(|check| check.result.is_err()) {
            return Err("the image is not fit for Windows".into());
        }
    }
    println!("{:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
