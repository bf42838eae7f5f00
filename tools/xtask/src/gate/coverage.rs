//! `cargo xtask coverage`: which lines of the driver its suite and the sweeps carry out, and why the others need not be.
//!
//! The driver is the dev profile's: every function that is called is in it, and the crates are not merged into one another, where the release profile folds and
//! removes lines until what is left says little about the sources. What a run of a line means is in docs/lab.md ("Which lines ran").

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use rundown_kit::toolchain::Toolchain;
use rundown_lcov::{Coverage, File};

use super::{
    argued::{Argued, Line},
    steps,
    tally::Tally,
};
use crate::{build, process, progress::Progress, table::table, tree::Tree};

/// The sources' folder, as the kit has the compiler call it.
const SOURCES: &str = "/rundown/";
/// Of the driver, and nothing else.
const DRIVER: &str = "src/";
/// The lines that need not run, each with the reason.
const LIST: &str = "tools/xtask/coverage.txt";

/// What a measurement came to.
pub(crate) struct Outcome {
    /// By path below the tree's root.
    files: BTreeMap<String, File>,
    argued: usize,
    /// What is wrong: a test that failed, a line that did not run and has no reason, a reason without a line.
    pub(crate) faults: Vec<String>,
}

/// Builds the driver, measures, and judges.
pub(crate) fn run(tree: &Tree, toolchain: &Toolchain) -> Result<Outcome> {
    build::dev(tree, toolchain)?;
    let folder = tree.target().join("coverage");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join("rundown.info");
    // What is there is of another run.
    fs::write(&path, "").with_context(|| format!("{} cannot be written", path.display()))?;
    let mut faults = measure(tree, &path)?;
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let coverage = Coverage::parse(&text).map_err(anyhow::Error::msg)?;
    let files: BTreeMap<String, File> = coverage
        .files
        .into_iter()
        .filter_map(|(path, file)| Some((path.strip_prefix(SOURCES)?.to_owned(), file)))
        .filter(|(path, _)| path.starts_with(DRIVER) || path.starts_with("crates/"))
        .collect();
    let list =
        fs::read_to_string(tree.root().join(LIST)).with_context(|| format!("{LIST} cannot be read"))?;
    let argued = Argued::parse(&list).map_err(|why| anyhow::anyhow!("{LIST}: {why}"))?;
    let mut never = Vec::new();
    for (name, file) in files.iter().filter(|(name, _)| name.starts_with(DRIVER)) {
        let source =
            fs::read_to_string(tree.root().join(name)).with_context(|| format!("{name} cannot be read"))?;
        let lines = file.lines.iter().filter(|(_, hits)| **hits == 0);
        never.extend(lines.filter_map(|(&number, _)| Line::of(name, &source, number)));
    }
    let sources = |name: &str| fs::read_to_string(tree.root().join(name)).unwrap_or_default();
    faults.extend(argued.faults(&never, sources));
    Ok(Outcome {
        files,
        argued: argued.count(&never),
        faults,
    })
}

/// Runs the suite and the sweeps; what of them failed.
fn measure(tree: &Tree, path: &Path) -> Result<Vec<String>> {
    let on = |command: &mut Command| {
        command.env("RUNDOWN_LAB_DIR", tree.dev_lab());
        command.env("RUNDOWN_LAB_COVERAGE", path);
    };
    let mut faults = Vec::new();
    let mut suite = steps::dev_suite(tree);
    on(&mut suite);
    let progress = Progress::begin("the driver's suite, with its lines");
    let tally = steps::tests(&mut suite, &progress)?;
    progress.done(&format!("{} passed", tally.passed));
    faults.extend(tally.failures);
    for (mode, points) in [("smp", 100), ("chaos", 50)] {
        for what in ["low-resources,cancel,close,kill", "unload"] {
            let mut sweep = steps::sweep(&tree.dev_lab(), tree, mode, what, points);
            on(&mut sweep);
            let progress = Progress::begin(format!("sweeps, {mode}: {what}"));
            let tally = Tally::of_sweeps(&process::watch(&mut sweep, &progress)?);
            progress.done(&format!("{} points", tally.passed));
            faults.extend(tally.failures);
        }
    }
    Ok(faults)
}

impl Outcome {
    /// Two tables: the driver by file, and what is linked into it by crate.
    pub(crate) fn tables(&self) -> String {
        let (driver, crates): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(name, _)| name.starts_with(DRIVER));
        let rows = driver.iter().map(|(name, file)| row(name, [*file]));
        let sum = row("all", driver.iter().map(|(_, file)| *file));
        let first = table(&HEADING, 1, &rows.chain([sum]).collect::<Vec<_>>());
        let mut by_crate: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
        for (name, file) in crates {
            let name = name.split('/').nth(1).unwrap_or(name);
            by_crate.entry(name).or_default().push(file);
        }
        let rows = by_crate.into_iter().map(|(name, files)| row(name, files));
        let second = table(&HEADING, 1, &rows.collect::<Vec<_>>());
        format!(
            "{first}\n{} lines that did not run are argued in {LIST}\n{second}",
            self.argued
        )
    }

    /// How many lines of the driver ran.
    pub(crate) fn run(&self) -> u64 {
        let driver = self.files.iter().filter(|(name, _)| name.starts_with(DRIVER));
        driver.map(|(_, file)| file.lines_run().1 as u64).sum()
    }
}

const HEADING: [&str; 6] = ["file", "lines", "ran", "%", "functions", "entered"];

fn row<'a>(name: &str, files: impl IntoIterator<Item = &'a File>) -> Vec<String> {
    let mut sums = [0; 4];
    for file in files {
        let ((lines, run), (functions, entered)) = (file.lines_run(), file.functions_run());
        for (sum, more) in sums.iter_mut().zip([lines, run, functions, entered]) {
            *sum += more;
        }
    }
    let [lines, run, functions, entered] = sums;
    // Rounded down: all of it is all of it.
    let share = (run * 1000).checked_div(lines).unwrap_or(0);
    [
        name.to_owned(),
        lines.to_string(),
        run.to_string(),
        format!("{}.{}", share / 10, share % 10),
        functions.to_string(),
        entered.to_string(),
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_sums() {
        let file = |lines: &[(u32, u64)]| File {
            functions: BTreeMap::from([("f".into(), (1, 1))]),
            lines: lines.iter().copied().collect(),
        };
        let outcome = Outcome {
            files: BTreeMap::from([
                ("src/a.rs".into(), file(&[(1, 1), (2, 0), (3, 5)])),
                ("src/b.rs".into(), file(&[(1, 1)])),
                ("crates/x/src/c.rs".into(), file(&[(1, 0)])),
            ]),
            argued: 1,
            faults: Vec::new(),
        };
        assert_eq!(
            row("src/a.rs", [&outcome.files["src/a.rs"]]),
            ["src/a.rs", "3", "2", "66.6", "1", "1"]
        );
        assert_eq!(
            row("all", outcome.files.values()),
            ["all", "5", "3", "60.0", "3", "3"]
        );
        assert_eq!(outcome.run(), 3);
        let tables = outcome.tables();
        assert!(tables.contains("75.0") && tables.contains(" x "), "{tables}");
    }
}
