//! NT's code in place of the lab's reference: the path of a listing into the machine, and NT's own where there is one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    steps::verdict,
    tally::{Gate, Tally},
};
use crate::{
    lab::{
        Settings,
        boot::Boot,
        judge,
        scenario::{Arm, Scenario},
    },
    process,
    progress::Progress,
    tree::Tree,
};

/// Names a listing of NT's own routines, for whoever has one.
const LISTING: &str = "RUNDOWN_NATIVE_LISTING";
/// `rundown-lab`'s exit code for bad input.
const BAD_INPUT: i32 = 2;

/// The steps, those of NT's own code only with a listing of it.
pub(super) fn steps(gate: &mut Gate, tree: &Tree) {
    let own = own_listing(tree);
    gate.group("lab, a listing of our own", || verdict(tree, &settings(4, &own)));
    gate.step("lab, wrong listings", |progress| wrong_listings(tree, progress));
    let Some(listing) = env::var_os(LISTING).map(PathBuf::from) else {
        let why = format!("{LISTING} names no listing of it (docs/native.md)");
        return gate.not_run("lab, NT's own code", &why);
    };
    for cpus in [2, 4] {
        gate.group(format!("lab, NT's own code, {cpus} CPUs"), || {
            verdict(tree, &settings(cpus, &listing))
        });
    }
}

/// Routines that were written for tests: nobody's Windows is needed for them.
fn own_listing(tree: &Tree) -> PathBuf {
    tree.root().join("tools/native/tests/own.uf")
}

fn settings(cpus: u32, listing: &Path) -> Settings {
    Settings {
        cpus: vec![cpus],
        arms: vec![Arm::Nt],
        native: Some(listing.into()),
        ..Settings::default()
    }
}

/// A row that is changed, and what has to come of it.
struct Wrong {
    name: &'static str,
    row: &'static str,
    instead: &'static str,
    /// What the refusal has to say; `None` for a listing that is one, and whose code is wrong.
    refusal: Option<&'static str>,
}

const WRONG: [Wrong; 3] = [
    Wrong {
        name: "damaged.uf",
        row: "pause",
        instead: "nop",
        refusal: Some("the bytes mean `pause`"),
    },
    Wrong {
        name: "foreign.uf",
        row: "nt!KeYieldProcessorEx",
        instead: "nt!KeStallSomehow",
        refusal: Some("`uf nt!KeStallSomehow`"),
    },
    // Acquires whatever bit 0 of the word says.
    Wrong {
        name: "grants-always.uf",
        row: "a801            test    al,1",
        instead: "a800            test    al,0",
        refusal: None,
    },
];

fn wrong_listings(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let folder = tree.target().join("wrong-listings");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let own = own_listing(tree);
    let own = fs::read_to_string(&own).with_context(|| format!("{} cannot be read", own.display()))?;
    let mut tally = Tally::default();
    for wrong in &WRONG {
        // The first: that is acquire's.
        let changed = own.replacen(wrong.row, wrong.instead, 1);
        if changed == own {
            bail!("own.uf has no `{}`", wrong.row);
        }
        let file = folder.join(wrong.name);
        fs::write(&file, changed).with_context(|| format!("{} cannot be written", file.display()))?;
        tally.count(match wrong.refusal {
            Some(words) => is_refused(tree, &file, words, progress)?,
            None => is_found(tree, &file, progress)?,
        });
    }
    Ok(tally)
}

fn is_refused(tree: &Tree, listing: &Path, words: &str, progress: &Progress) -> Result<Option<String>> {
    let mut command = Command::new(tree.lab().join("rundown-lab"));
    command.args(["serve", "--native"]).arg(listing);
    let finished = process::watch(&mut command, progress)?;
    let as_expected = finished.status.code() == Some(BAD_INPUT)
        && finished.stderr.contains(words)
        && finished.stderr.lines().count() == 1
        && finished.stdout.is_empty();
    Ok((!as_expected).then(|| {
        format!(
            "exit code {BAD_INPUT} and one line with {words:?} were expected of `{}`, and ({}):\n{}",
            process::line(&command),
            finished.status,
            finished.tail()
        )
    }))
}

fn is_found(tree: &Tree, listing: &Path, progress: &Progress) -> Result<Option<String>> {
    let scenario = Scenario::all(2, Arm::Nt)[0];
    let report = tree.lab().join("reports/wrong-listing.json");
    let mut boot = Boot::new(tree, &scenario.target(Some(listing)), 1, &report);
    boot.stress(&scenario.stress(), Duration::from_secs(2), 1);
    let outcome = boot.run(progress)?;
    let faults = judge::faults(Some(scenario), &outcome.client, &outcome.lab);
    Ok(faults
        .is_empty()
        .then(|| format!("`{}` found nothing wrong", boot.line())))
}
