//! `cargo xtask test`, the gate: every check that a change has to pass, with one count at the end.
//!
//! A step that fails does not stop the others. Every single test and check counts, so a step that ran nothing shows.

mod argued;
mod bare;
mod cargo_kmdf;
pub(crate) mod coverage;
mod crate_mutants;
mod deep;
mod dump_readers;
mod example;
mod native;
mod outside;
mod packages;
mod reproducible;
mod steps;
mod tally;
mod windows;

use anyhow::Result;
use rundown_kit::{driver::Profile, toolchain::Toolchain};

use self::tally::Gate;
use crate::{setup::Consent, tree::Tree};

/// Runs all steps, or those whose name has one of the words in `only`, and prints the count; whether all passed.
pub(crate) fn run(
    tree: &Tree,
    toolchain: &Toolchain,
    for_client: &Toolchain,
    consent: Consent,
    all: bool,
    only: Vec<String>,
) -> Result<bool> {
    let mut gate = Gate::of(only);
    steps::sources(&mut gate, tree, toolchain);
    steps::models(&mut gate, tree);
    packages::steps(&mut gate, tree, all);
    if steps::artefacts(&mut gate, tree, toolchain) {
        steps::image(&mut gate, tree, Profile::Release);
        steps::code(&mut gate, tree);
        windows::steps(&mut gate, tree, toolchain, for_client);
        // One of the lab's tests looks at it.
        let example = example::build(&mut gate, tree, toolchain);
        steps::lab(&mut gate, tree, toolchain);
        dump_readers::steps(&mut gate, tree);
        steps::suite(&mut gate, tree);
        steps::dev(&mut gate, tree, toolchain);
        steps::sweeps(&mut gate, tree);
        steps::verdicts(&mut gate, tree);
        if example {
            example::steps(&mut gate, tree, toolchain);
        }
        cargo_kmdf::steps(&mut gate, tree, toolchain);
        outside::steps(&mut gate, tree, toolchain);
        native::steps(&mut gate, tree);
        if all {
            deep::steps(&mut gate, tree, toolchain, consent);
        }
    }
    rundown_streams::line(gate.summary())?;
    Ok(gate.passed())
}
