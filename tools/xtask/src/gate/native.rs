//! NT's code in place of the lab's reference: the path of a listing into the machine, and NT's own where there is one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    steps::verdict,
    tally::{Gate, Tally},
};
use crate::{
    lab::{
        self, Settings,
        boot::{Boot, value},
        judge,
        report::Lab,
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
/// `rundownctl`'s for a violation, or a difference.
const VIOLATION: i32 = 1;
/// For each kind of reference.
const CONFORMANCE_STEPS: &str = "100000";

/// Both kinds of NT's routines.
const ARMS: [Arm; 2] = [Arm::Nt, Arm::NtCacheAware];

/// The steps, those of NT's own code only with a listing of it.
pub(super) fn steps(gate: &mut Gate, tree: &Tree) {
    let own = own_listing(tree);
    gate.group("lab, a listing of our own", || {
        let tally = verdict(tree, &settings(4, &own))?;
        // One that lacks routines would have fewer.
        let scenarios: usize = ARMS.map(|arm| arm.ways().len()).iter().sum();
        if tally.failures.is_empty() && tally.passed != scenarios as u64 {
            bail!("{} of {scenarios} scenarios were run", tally.passed);
        }
        Ok(tally)
    });
    gate.step("conformance, a listing of our own", |progress| {
        conformance(tree, &own, progress)
    });
    gate.step("lab, wrong listings", |progress| wrong_listings(tree, progress));
    gate.step("violations by a listing arrive", |progress| {
        violations(tree, progress)
    });
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
        arms: ARMS.into(),
        native: Some(listing.into()),
        ..Settings::default()
    }
}

/// Ours and the listing's, step by step: what the stress does not call, the counted forms, re-initialise and completed,
/// is called here.
fn conformance(tree: &Tree, listing: &Path, progress: &Progress) -> Result<Tally> {
    let report = tree.lab().join("reports/conformance-NT.json");
    if report.exists() {
        fs::remove_file(&report).with_context(|| format!("{} cannot be removed", report.display()))?;
    }
    let target = format!(
        "lab:cpus=4,seed=1,timeout=60,native={},report={}",
        value(listing),
        value(&report)
    );
    let mut command = Command::new(tree.lab().join("rundownctl"));
    command.args([
        "--target",
        &target,
        "conform",
        "--json",
        "--steps",
        CONFORMANCE_STEPS,
    ]);
    command.args(["--pair", "plain,cache-aware"]);
    // It fails when it finds a difference.
    let mut tally = Tally::of_program(&process::watch(&mut command, progress)?);
    let lab = Lab::read(&report)?;
    // It lists them all.
    let cache_aware = lab
        .routines
        .iter()
        .filter(|(name, _)| name.contains("CacheAware"));
    let (nt, others): (Vec<_>, Vec<_>) = cache_aware.partition(|(_, code)| judge::ran_nt(code));
    tally.count((!lab.passed).then(|| format!("the lab failed `{}`", process::line(&command))));
    tally.count((nt.is_empty() || !others.is_empty()).then(|| format!("not the listing's: {others:?}")));
    Ok(tally)
}

/// A row that is changed, and what has to come of it.
struct Wrong {
    name: &'static str,
    /// Whose run shows it, where it is the code that is wrong.
    arm: Arm,
    row: &'static str,
    instead: &'static str,
    expect: Expect,
}

/// What has to come of a wrong listing.
enum Expect {
    /// It is no listing, or not of all that it calls: the refusal says this.
    Refused(&'static str),
    /// The code is wrong: the run fails, each reason being one of [`GONE_ASTRAY`].
    Found,
}

/// What may come of code that counts wrongly: a waiter that is left too early or never, or, since its release may then take anything
/// for a wait block and write there, any bug check at all. A lab that cannot be reached and a machine that hangs are not among them.
const GONE_ASTRAY: &[&str] = &[
    "bugcheck 0x",
    "wait(s) stalled",
    "saw the poison",
    "holders inside",
];

const WRONG: [Wrong; 5] = [
    Wrong {
        name: "damaged.uf",
        arm: Arm::Nt,
        row: "pause",
        instead: "nop",
        expect: Expect::Refused("the bytes mean `pause`"),
    },
    Wrong {
        name: "foreign.uf",
        arm: Arm::Nt,
        row: "nt!KeYieldProcessorEx",
        instead: "nt!KeStallSomehow",
        expect: Expect::Refused("`uf nt!KeStallSomehow`"),
    },
    // Acquires whatever bit 0 of the word says.
    Wrong {
        name: "grants-always.uf",
        arm: Arm::Nt,
        row: "a801            test    al,1",
        instead: "a800            test    al,0",
        // It takes the pointer to the wait block for a count, and its release follows it, two bytes further: what it finds there may be
        // no canonical address.
        expect: Expect::Found,
    },
    // Acquires in a slot of its own making: the number of slots is not how far they are apart.
    Wrong {
        name: "takes-the-number-for-the-stride.uf",
        arm: Arm::NtCacheAware,
        row: "8b4110          mov     eax,dword ptr [rcx+10h]",
        instead: "8b4114          mov     eax,dword ptr [rcx+14h]",
        // What it acquires is in no slot that a waiter sums.
        expect: Expect::Found,
    },
    // Waits only if a releaser was faster than its sum.
    Wrong {
        name: "does-not-sleep.uf",
        arm: Arm::NtCacheAware,
        row: "741a            je      nt!ExWaitForRundownProtectionReleaseCacheAware",
        instead: "731a            jae     nt!ExWaitForRundownProtectionReleaseCacheAware",
        // It returns with holders inside, whose last release then signals a wait block that is no more.
        expect: Expect::Found,
    },
];

fn wrong_listings(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let mut tally = Tally::default();
    for wrong in &WRONG {
        let file = changed(tree, wrong.name, &[(wrong.row, wrong.instead)])?;
        tally.count(match wrong.expect {
            Expect::Refused(words) => is_refused(tree, &file, words, progress)?,
            Expect::Found => is_found(tree, wrong.arm, &file, progress)?,
        });
    }
    Ok(tally)
}

/// Rows that are changed so that a wait waits for nobody, and a release takes its count off whatever the word says: every wait
/// that finds a holder inside is a violation, and nothing stops the machine.
const WAITS_FOR_NOBODY: [(&str, &str); 2] = [
    (
        "7701            ja      nt!ExWaitForRundownProtectionRelease+0x13",
        "7001            jo      nt!ExWaitForRundownProtectionRelease+0x13",
    ),
    (
        "a801            test    al,1\nfffff802`20001105",
        "a800            test    al,0\nfffff802`20001105",
    ),
];

/// An acquire that takes two references.
const TAKES_TWO: (&str, &str) = (
    "488d5002        lea     rdx,[rax+2]",
    "488d5004        lea     rdx,[rax+4]",
);

/// Our own listing with these rows changed, each of which it has at least once; the first of several counts.
fn changed(tree: &Tree, name: &str, rows: &[(&str, &str)]) -> Result<PathBuf> {
    let folder = tree.target().join("wrong-listings");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let own = own_listing(tree);
    let mut listing =
        fs::read_to_string(&own).with_context(|| format!("{} cannot be read", own.display()))?;
    for (row, instead) in rows {
        if !listing.contains(row) {
            bail!("own.uf has no `{row}`");
        }
        // The first: where there are several, that is acquire's.
        listing = listing.replacen(row, instead, 1);
    }
    let file = folder.join(name);
    fs::write(&file, listing).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file)
}

/// What the driver itself counts arrives: both sorts of violation in the client's text, JSON, page and exit code and in the
/// verdict, and the differences that conform and interop find.
fn violations(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let file = changed(tree, "waits-for-nobody.uf", &WAITS_FOR_NOBODY)?;
    let takes_two = changed(tree, "takes-two.uf", &[TAKES_TWO])?;
    let mut tally = Tally::default();
    let verdict = lab::run(
        tree,
        &Settings {
            arms: vec![Arm::Nt],
            ..settings(2, &file)
        },
    )?;
    for sort in ["saw the poison", "returned with holders inside"] {
        let told = verdict.faults().any(|fault| fault.contains(sort));
        tally.count((!told || verdict.passed()).then(|| format!("{sort}: not so in\n{}", verdict.table())));
    }
    let page = tree.lab().join("reports/violations.html");
    let stress = format!(
        "stress --arm native --threads 1 --gap 2000 --duration 1000 --report {}",
        page.display()
    );
    let conform = "conform --pair plain --steps 1000";
    let interop = "interop --pairing native-acquires-ours-releases --rounds 10";
    for (command, listing, text, json) in [
        (
            &*stress,
            &file,
            "VIOLATED: ",
            &["/violations/poisoned", "/violations/inside"][..],
        ),
        (conform, &takes_two, "DIFFERENCE ", &["/pairs/0/differences"]),
        (
            interop,
            &takes_two,
            "FAILED at ",
            &["/pairings/0/failed/expected"],
        ),
    ] {
        let client = |options: &[&str]| {
            let mut client = Command::new(tree.lab().join("rundownctl"));
            let target = format!("lab:cpus=2,seed=1,timeout=60,native={}", value(listing));
            client
                .args(["--target", &target])
                .args(command.split(' '))
                .args(options);
            process::watch(&mut client, progress)
        };
        let (said, object) = (client(&[])?, client(&["--json"])?);
        let value: Value = serde_json::from_str(&object.stdout)
            .with_context(|| format!("`{command}` printed no JSON but:\n{}", object.tail()))?;
        let missing = json
            .iter()
            .find(|place| value.pointer(place).is_none_or(|value| *value == 0));
        for (failed, what) in [
            (
                said.status.code() != Some(VIOLATION) || object.status.code() != Some(VIOLATION),
                "exit code",
            ),
            (!said.stdout.contains(text), "text"),
            (missing.is_some(), "JSON"),
        ] {
            tally.count(failed.then(|| {
                format!(
                    "{command}: its {what} tells nothing\n{}\n{}",
                    said.tail(),
                    object.tail()
                )
            }));
        }
    }
    let page = fs::read_to_string(&page).with_context(|| format!("{} was not written", page.display()))?;
    let none = page.contains(">0 violations in ") || !page.contains(" violations in ");
    tally.count(none.then(|| "the page tells nothing".to_owned()));
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

fn is_found(tree: &Tree, arm: Arm, listing: &Path, progress: &Progress) -> Result<Option<String>> {
    let scenario = Scenario::all(2, arm)[0];
    let report = tree.lab().join("reports/wrong-listing.json");
    let mut boot = Boot::new(tree, &scenario.target(Some(listing)), 1, &report);
    boot.stress(&scenario.stress(), Duration::from_secs(2), 1);
    let outcome = boot.run(progress)?;
    let faults = judge::faults(Some(scenario), &outcome.client, &outcome.lab);
    Ok(another_reason(&faults).map(|why| format!("`{}`: {why}", boot.line())))
}

/// What is wrong with the faults that were found, when each has to be one of [`GONE_ASTRAY`].
fn another_reason(faults: &[String]) -> Option<String> {
    let expected = |fault: &&String| GONE_ASTRAY.iter().any(|reason| fault.contains(reason));
    match faults.iter().find(|fault| !expected(fault)) {
        Some(strange) => Some(format!(
            "{} was expected, and not: {strange}",
            GONE_ASTRAY.join(", or ")
        )),
        None => faults.is_empty().then(|| "nothing wrong was found".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lab that cannot be reached, or a machine that hangs, is no proof that wrong code is found.
    #[test]
    fn only_the_expected_reasons_count() {
        let faults = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let poisoned = "1 holder(s) saw the poison";
        assert_eq!(
            another_reason(&faults(&[poisoned, "bugcheck 0x0000001E A_NAME: a text"])),
            None
        );
        for wrong in [&[][..], &["rundownctl: no lab"], &[poisoned, "it hung"]] {
            assert!(another_reason(&faults(wrong)).is_some(), "{wrong:?}");
        }
    }
}
