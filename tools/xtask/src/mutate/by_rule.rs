//! Mutants by rule: every comparison, condition, counter, limit and ordering of a part of the product (`tools/mutants`), one
//! build for all of a part's, and for each the part's tests until one fails.
//!
//! What nothing finds has to be in `tools/mutants/survivors.txt`, with the reason why nobody can tell it apart.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, mpsc::channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use comfy_table::{Cell, Table, presets::ASCII_MARKDOWN};
use rundown_kit::{
    driver::{self, Profile, Workspace},
    toolchain::{Target, Toolchain},
};
use serde::Deserialize;
use serde_json::Value;

use super::copy;
use crate::{
    build, process,
    progress::{Progress, seconds},
    setup::host_cargo,
    tree::Tree,
};

/// What stands before the number in a built program (`tools/mutants/src/main.rs`).
const MARKER: &[u8] = b"planted-mutant: ";
/// How often the compiler may reject some of a part's mutants.
const BUILDS: usize = 16;
/// How much longer than with the original a test program may take before it hangs.
const PATIENCE: u32 = 5;
const LEAST_PATIENCE: Duration = Duration::from_secs(20);
/// Nobody debugs a mutant, or minds how it looks.
const HOST_ENVIRONMENT: [(&str, &str); 3] = [
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_TEST_DEBUG", "0"),
    ("RUSTFLAGS", "--cap-lints allow"),
];
/// Boots of the lab at a time.
const WORKERS: usize = 2;

/// A part of the product, as `parts.json` has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// The root file of the crate.
    root: PathBuf,
    /// Its files, and folders of files, that are mutated.
    files: Vec<PathBuf>,
    /// For people.
    found_by: String,
}

/// A mutant, as `rundown-mutants` tells of it.
#[derive(Clone, Debug, Deserialize)]
struct Mutant {
    number: u32,
    name: String,
    rule: String,
    file: PathBuf,
    /// The line of the list of survivors that means it.
    argued: Option<String>,
    from: u64,
    to: u64,
}

/// One of a part's tests: its name, and how it is run where the part's program lies.
struct Detector {
    name: String,
    command: Box<dyn Fn(&Path) -> Command + Send + Sync>,
    /// How long it took with the original.
    time: Duration,
}

/// What was built of a part.
struct Built {
    mutants: Vec<Mutant>,
    /// What the compiler rejected.
    rejected: usize,
    /// The programs that have the number in them.
    programs: Vec<PathBuf>,
    detectors: Vec<Detector>,
    /// In which a lab's files lie; the program is put there once for each worker.
    lab: bool,
}

/// What a part came to.
pub(crate) struct Sum {
    part: Part,
    planted: usize,
    rejected: usize,
    /// By rule: planted, found.
    rules: BTreeMap<String, (usize, usize)>,
    /// By test program: found.
    found: BTreeMap<String, usize>,
    argued: usize,
    pub(crate) faults: Vec<String>,
    time: Duration,
}

impl Sum {
    /// How many mutants were found.
    pub(crate) fn found(&self) -> u64 {
        self.found.values().sum::<usize>() as u64
    }
}

/// The parts of the tree.
fn parts(tree: &Tree) -> Result<Vec<Part>> {
    let file = tree.root().join("tools/mutants/parts.json");
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} has no parts", file.display()))
}

/// The parts that are asked for, and the patches: none without their names, unless everything is asked for.
pub(crate) fn chosen(tree: &Tree, names: Vec<String>) -> Result<(Vec<Part>, Option<Vec<String>>)> {
    let parts = parts(tree)?;
    if names.is_empty() {
        return Ok((parts, Some(names)));
    }
    let (of_parts, names): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| parts.iter().any(|part| part.name == *name));
    let parts = parts.into_iter().filter(|part| of_parts.contains(&part.name));
    Ok((parts.collect(), (!names.is_empty()).then_some(names)))
}

/// Plants the mutants of some parts.
pub(crate) fn run(tree: &Tree, toolchain: &Toolchain, parts: &[Part], every: usize) -> Result<Vec<Sum>> {
    let sums = parts.iter().map(|part| run_part(tree, toolchain, part, every));
    sums.collect()
}

/// Plants every `every`-th mutant of a part, one at a time.
fn run_part(tree: &Tree, toolchain: &Toolchain, part: &Part, every: usize) -> Result<Sum> {
    let started = Instant::now();
    let bench = Bench {
        tree,
        toolchain,
        part,
        folder: tree.target().join("mutants/by-rule").join(&part.name),
    };
    let mut built = bench.build()?;
    let workers = bench.workers(&built)?;
    bench.original(&mut built, &workers[0])?;
    let chosen: Vec<&Mutant> = built.mutants.iter().step_by(every).collect();
    let progress = Progress::begin(format!("{}: {} mutants", part.name, chosen.len()));
    let outcomes = Bench::try_all(&built, &chosen, &workers, &progress)?;

    let mut sum = Sum {
        part: part.clone(),
        planted: chosen.len(),
        rejected: built.rejected,
        rules: BTreeMap::new(),
        found: BTreeMap::new(),
        argued: 0,
        faults: Vec::new(),
        time: Duration::ZERO,
    };
    for (mutant, found) in &outcomes {
        let of_rule = sum.rules.entry(mutant.rule.clone()).or_default();
        of_rule.0 += 1;
        if let Some(by) = found {
            of_rule.1 += 1;
            *sum.found.entry(by.clone()).or_default() += 1;
            if mutant.argued.as_ref() == Some(&mutant.name) {
                sum.faults.push(format!(
                    "{}: is listed as a survivor, and {by} finds it: take it out",
                    mutant.name
                ));
            }
        } else if mutant.argued.is_some() {
            sum.argued += 1;
        } else {
            sum.faults.push(format!("{}: nothing finds it", mutant.name));
        }
    }
    sum.time = started.elapsed();
    progress.done(&format!(
        "{} survive, {} of them argued",
        sum.faults.len() + sum.argued,
        sum.argued
    ));
    Ok(sum)
}

struct Bench<'a> {
    tree: &'a Tree,
    toolchain: &'a Toolchain,
    part: &'a Part,
    folder: PathBuf,
}

impl Bench<'_> {
    /// The copy of the tree.
    fn copy(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Plants and builds, without what the compiler rejects.
    fn build(&self) -> Result<Built> {
        let planter = build::tool(self.tree, "rundown-mutants")?;
        let mut files = Vec::new();
        for file in &self.part.files {
            sources(self.tree.root(), file, &mut files)?;
        }
        let mut skipped = HashSet::new();
        for _ in 0..BUILDS {
            copy::refresh(self.tree.root(), &self.copy())?;
            let mutants = self.plant(&planter, &files, &skipped)?;
            let progress = Progress::begin(format!(
                "building {} with {} mutants",
                self.part.name,
                mutants.len()
            ));
            let messages = self.compile(&progress)?;
            let errors = rejected(&messages, &mutants);
            if errors.is_empty() {
                progress.done("");
                let rejected = skipped
                    .iter()
                    .filter(|line: &&String| !line.starts_with("const "))
                    .count();
                return self.built(mutants, rejected, &messages);
            }
            progress.done(&format!("{} do not compile", errors.len()));
            let before = skipped.len();
            skipped.extend(errors);
            if skipped.len() == before {
                break;
            }
        }
        bail!("the mutants of {} do not compile", self.part.name)
    }

    fn plant(&self, planter: &Path, files: &[PathBuf], skipped: &HashSet<String>) -> Result<Vec<Mutant>> {
        let list = self.folder.join("skipped");
        let mut lines: Vec<&str> = skipped.iter().map(String::as_str).collect();
        lines.sort_unstable();
        fs::write(&list, lines.join("\n"))
            .with_context(|| format!("{} cannot be written", list.display()))?;
        let mut command = Command::new(planter);
        command
            .args([&self.part.name])
            .arg(&self.part.root)
            .args(files)
            .current_dir(self.copy());
        command.stdin(fs::File::open(&list)?);
        let output = command.output().context("rundown-mutants cannot be run")?;
        if !output.status.success() {
            bail!("rundown-mutants: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Compiles the copy; cargo's messages.
    fn compile(&self, progress: &Progress) -> Result<Vec<Value>> {
        let target = self.folder.join("target");
        let messages = |command: &mut Command| -> Result<String> {
            command.envs(HOST_ENVIRONMENT);
            Ok(process::watch(command, progress)?.stdout)
        };
        let text = match self.part.name.as_str() {
            "driver" => {
                let file = self.folder.join("messages.json");
                let to = self.folder.clone();
                let workspace = Workspace::copy(self.tree.root(), &self.copy(), &to).with_messages(&file);
                // Whether it compiles the messages tell.
                let built = driver::build(&workspace, self.toolchain, Profile::Release);
                let text = fs::read_to_string(&file).unwrap_or_default();
                if !text.contains("\"level\":\"error\"") {
                    built?;
                }
                text
            }
            "judge" | "framework" => {
                let mut command = self.toolchain.cargo(Target::Bare);
                command.args([
                    "build",
                    "--release",
                    "--package",
                    "rundown-lab-image",
                    "--message-format=json",
                ]);
                build::in_workspace(&mut command, &self.copy().join("lab"), &target);
                // The image is linked by flags of its own.
                Ok::<_, anyhow::Error>(process::watch(&mut command, progress)?.stdout)?
            }
            _ => {
                let mut command = host_cargo();
                command.args([
                    "test",
                    "--no-run",
                    "--message-format=json",
                    "--package",
                    self.package(),
                ]);
                let workspace = if self.part.root.starts_with("tools") {
                    "tools"
                } else {
                    ""
                };
                build::in_workspace(&mut command, &self.copy().join(workspace), &target);
                messages(&mut command)?
            }
        };
        text.lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).context("cargo's messages are JSON"))
            .collect()
    }

    /// The package of a part that is built for the host.
    fn package(&self) -> &str {
        let folder = self.part.root.ancestors().nth(2).and_then(Path::file_name);
        folder.and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn built(&self, mutants: Vec<Mutant>, rejected: usize, messages: &[Value]) -> Result<Built> {
        let mut programs = Vec::new();
        let mut detectors = Vec::new();
        let lab = match self.part.name.as_str() {
            "driver" => {
                programs.push(self.folder.join("rundown.sys"));
                let order = [
                    "objects",
                    "refusals",
                    "removal",
                    "conformance",
                    "events",
                    "stress",
                    "sweeps",
                    "fuzz",
                ];
                detectors.extend(self.suite("rundown-suite", &order)?);
                true
            }
            "judge" | "framework" => {
                let target = self.folder.join("target");
                programs.push(
                    target
                        .join(Target::Bare.triple())
                        .join("release/rundown-lab-kernel"),
                );
                detectors.extend(self.suite("rundown-lab", &["framework", "specimens", "checks"])?);
                detectors.extend(self.suite("rundown-suite", &["objects", "removal", "refusals"])?);
                true
            }
            _ => {
                for program in executables(messages) {
                    if fs::read(&program.path)?
                        .windows(MARKER.len())
                        .any(|window| window == MARKER)
                    {
                        programs.push(program.path.clone());
                    }
                    if program.is_test {
                        detectors.push(host_detector(program));
                    }
                }
                false
            }
        };
        if detectors.is_empty() || programs.is_empty() {
            bail!("there is nothing to test {} with", self.part.name);
        }
        Ok(Built {
            mutants,
            rejected,
            programs,
            detectors,
            lab,
        })
    }

    /// Test programs that boot the lab, of the sources as they are.
    fn suite(&self, package: &str, order: &[&str]) -> Result<Vec<Detector>> {
        let mut command = host_cargo();
        command.args(["test", "--no-run", "--message-format=json", "--package", package]);
        for name in order {
            command.args(["--test", name]);
        }
        build::in_workspace(
            &mut command,
            &self.tree.root().join("tools"),
            &self.tree.tools_target(),
        );
        let progress = Progress::begin(format!("building tests of {package}"));
        let finished = process::succeed(&mut command, &progress)?;
        progress.done("");
        let messages: Vec<Value> = finished
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let programs = executables(&messages);
        let mut detectors = Vec::new();
        for name in order {
            let program = programs
                .iter()
                .find(|program| program.name == *name && program.is_test);
            let program = program
                .with_context(|| format!("{package} has no test program {name}"))?
                .clone();
            detectors.push(Detector {
                name: (*name).to_owned(),
                time: Duration::ZERO,
                command: Box::new(move |worker| {
                    let mut command = Command::new(&program.path);
                    command.current_dir(&program.folder).arg("--test-threads=2");
                    command
                        .env("RUNDOWN_LAB_DIR", worker)
                        .env("RUNDOWN_FUZZ_REQUESTS", "20000");
                    command
                }),
            });
        }
        Ok(detectors)
    }

    /// The folders in which mutants are tried: for the lab one for each worker, with all that it needs.
    fn workers(&self, built: &Built) -> Result<Vec<PathBuf>> {
        if !built.lab {
            return Ok(vec![PathBuf::new()]);
        }
        let mut workers = Vec::new();
        for worker in 0..WORKERS {
            let folder = self.folder.join(format!("worker-{worker}"));
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("{} cannot be removed", folder.display()))?;
            }
            fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            for entry in fs::read_dir(self.tree.lab()).context("cargo xtask lab comes first")? {
                let file = entry?.path();
                if let Some(name) = file.file_name().filter(|_| file.is_file()) {
                    symlink(&file, folder.join(name))?;
                }
            }
            if self.part.name == "driver" {
                let link = folder.join("rundown.pdb");
                fs::remove_file(&link)?;
                symlink(self.folder.join("rundown.pdb"), link)?;
            }
            workers.push(folder);
        }
        Ok(workers)
    }

    /// Puts a number into the part's programs, where a worker runs them.
    fn choose(built: &Built, number: u32, worker: &Path) -> Result<()> {
        for program in &built.programs {
            let mut bytes = fs::read(program)?;
            let places: Vec<usize> = (0..bytes.len().saturating_sub(MARKER.len() + 4))
                .filter(|at| bytes[*at] == MARKER[0] && bytes[*at..].starts_with(MARKER))
                .collect();
            if places.is_empty() {
                bail!("{} has no place for a mutant's number", program.display());
            }
            for at in places {
                bytes[at + MARKER.len()..at + MARKER.len() + 4].copy_from_slice(&number.to_le_bytes());
            }
            let to = if built.lab {
                let to = worker.join(program.file_name().unwrap_or_default());
                // A link to the original's.
                let _ = fs::remove_file(&to);
                to
            } else {
                program.clone()
            };
            let mode = fs::metadata(program)?.permissions();
            fs::write(&to, bytes).with_context(|| format!("{} cannot be written", to.display()))?;
            fs::set_permissions(&to, mode)?;
        }
        Ok(())
    }

    /// The original, which has to pass everything, and how long that takes.
    fn original(&self, built: &mut Built, worker: &Path) -> Result<()> {
        Self::choose(built, 0, worker)?;
        for detector in &mut built.detectors {
            let progress = Progress::begin(format!("{}: the original, {}", self.part.name, detector.name));
            let started = Instant::now();
            let finished = process::watch(&mut (detector.command)(worker), &progress)?;
            detector.time = started.elapsed();
            if !finished.status.success() {
                progress.failed("");
                bail!("the original fails in {}:\n{}", detector.name, finished.tail());
            }
            progress.done("");
        }
        Ok(())
    }

    /// Each mutant with the name of the test program that found it.
    fn try_all<'m>(
        built: &Built,
        chosen: &[&'m Mutant],
        workers: &[PathBuf],
        progress: &Progress,
    ) -> Result<Vec<(&'m Mutant, Option<String>)>> {
        let started = Instant::now();
        let queue = Mutex::new(chosen.iter());
        let (sender, outcomes) = channel();
        thread::scope(|scope| {
            for worker in workers {
                let (sender, queue) = (sender.clone(), &queue);
                scope.spawn(move || {
                    loop {
                        let Some(mutant) = queue.lock().ok().and_then(|mut queue| queue.next()) else {
                            return;
                        };
                        let outcome = Self::choose(built, mutant.number, worker)
                            .and_then(|()| found_by(&built.detectors, worker));
                        if sender.send((*mutant, outcome)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let mut all = Vec::new();
            let mut survive = 0;
            for (mutant, outcome) in outcomes {
                let found = outcome?;
                if found.is_none() && mutant.argued.is_none() {
                    survive += 1;
                    rundown_streams::tell!("  survives: {}", mutant.name);
                }
                all.push((mutant, found));
                let left = chosen.len() - all.len();
                let each = started.elapsed() / u32::try_from(all.len()).unwrap_or(u32::MAX);
                progress.news(&format!(
                    "{} of {}, {survive} survive, about {} left",
                    all.len(),
                    chosen.len(),
                    seconds(each * u32::try_from(left).unwrap_or(u32::MAX))
                ));
            }
            if !built.lab {
                Self::choose(built, 0, &workers[0])?;
            }
            Ok(all)
        })
    }
}

/// Runs the tests until one fails, or hangs.
fn found_by(detectors: &[Detector], worker: &Path) -> Result<Option<String>> {
    for detector in detectors {
        let limit = (detector.time * PATIENCE).max(LEAST_PATIENCE);
        let quiet = Progress::silent();
        let finished = process::watch_within(limit, &mut (detector.command)(worker), &quiet)?;
        if finished.timed_out.is_some() || !finished.status.success() {
            return Ok(Some(detector.name.clone()));
        }
    }
    Ok(None)
}

/// A program that cargo made.
#[derive(Clone)]
struct Program {
    name: String,
    path: PathBuf,
    /// Its package's.
    folder: PathBuf,
    is_test: bool,
}

fn executables(messages: &[Value]) -> Vec<Program> {
    messages
        .iter()
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            Some(Program {
                name: message["target"]["name"].as_str()?.to_owned(),
                path: message["executable"].as_str()?.into(),
                folder: Path::new(message["manifest_path"].as_str()?).parent()?.into(),
                is_test: message["profile"]["test"].as_bool()?,
            })
        })
        .collect()
}

fn host_detector(program: Program) -> Detector {
    Detector {
        name: program.name.clone(),
        time: Duration::ZERO,
        command: Box::new(move |_| {
            let mut command = Command::new(&program.path);
            // The tests build programs, too: as those were built, or all would be built anew.
            command.current_dir(&program.folder).envs(HOST_ENVIRONMENT);
            command
        }),
    }
}

/// The Rust files below a file or folder, relative to the tree's root.
fn sources(root: &Path, place: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let path = root.join(place);
    if path.is_file() {
        files.push(place.into());
        return Ok(());
    }
    let entries = fs::read_dir(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut names: Vec<_> = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    names.sort();
    for name in names {
        let inner = place.join(name);
        if root.join(&inner).is_dir() || inner.extension().is_some_and(|extension| extension == "rs") {
            sources(root, &inner, files)?;
        }
    }
    Ok(())
}

/// The mutants in which the compiler's errors lie, and the functions that have to stay `const`.
fn rejected(messages: &[Value], mutants: &[Mutant]) -> Vec<String> {
    let mut rejected = Vec::new();
    let errors = messages.iter().map(|message| &message["message"]);
    for error in errors.filter(|error| error["level"] == "error") {
        let text = error["message"].as_str().unwrap_or_default();
        if text.starts_with("cannot call non-const")
            && let Some(name) = text.split('`').nth(1)
        {
            // Without the types that it is called with.
            let name = name.split("::<").next().unwrap_or(name);
            rejected.push(format!("const {}", name.rsplit("::").next().unwrap_or(name)));
            continue;
        }
        let mut spans: Vec<&Value> = error["spans"].as_array().into_iter().flatten().collect();
        spans.sort_by_key(|span| span["is_primary"] != true);
        let innermost = |span: &&Value| {
            let file = span["file_name"].as_str()?;
            let (from, to) = (span["byte_start"].as_u64()?, span["byte_end"].as_u64()?);
            let around = mutants.iter().filter(|mutant| {
                mutant.file.ends_with(file)
                    && mutant.from <= from
                    && to <= mutant.to
                    && mutant.rule != "answer"
            });
            around.min_by_key(|mutant| mutant.to - mutant.from)
        };
        if let Some(mutant) = spans.iter().find_map(innermost) {
            rejected.push(mutant.name.clone());
        } else if !text.starts_with("aborting") && !text.is_empty() {
            rundown_streams::tell!("{}", error["rendered"].as_str().unwrap_or(text));
        }
    }
    rejected.sort();
    rejected.dedup();
    rejected
}

/// A row for each part, a row for each rule of it, and what is wrong.
pub(crate) fn table(sums: &[Sum]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "part",
        "found by",
        "planted",
        "found",
        "argued",
        "not found",
        "do not compile",
        "time",
    ]);
    let mut text = String::new();
    for sum in sums {
        let found = sum.found.values().sum::<usize>();
        table.add_row(
            [
                sum.part.name.clone(),
                sum.part.found_by.clone(),
                sum.planted.to_string(),
                found.to_string(),
                sum.argued.to_string(),
                (sum.planted - found - sum.argued).to_string(),
                sum.rejected.to_string(),
                seconds(sum.time),
            ]
            .map(Cell::new),
        );
        let rules: Vec<String> = sum
            .rules
            .iter()
            .map(|(rule, (planted, found))| format!("{rule} {found} of {planted}"))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", sum.part.name, rules.join(", "));
        for fault in &sum.faults {
            let _ = writeln!(text, "FAILED {fault}");
        }
    }
    format!("{table}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_errors_lead_to_mutants() {
        let mutant = |name: &str, from, to| Mutant {
            number: 1,
            name: name.into(),
            rule: "field".into(),
            file: "tools/xtask/src/a.rs".into(),
            argued: None,
            from,
            to,
        };
        let mutants = [
            mutant("outer", 10, 90),
            mutant("inner", 20, 40),
            mutant("other", 91, 95),
        ];
        let error = |text: &str, start: u64, end: u64| {
            serde_json::json!({"reason": "compiler-message", "message": {"level": "error", "message": text, "spans": [
                {"file_name": "xtask/src/a.rs", "byte_start": start, "byte_end": end, "is_primary": true}
            ]}})
        };
        let messages = [
            error("mismatched types", 25, 30),
            error("mismatched types", 50, 60),
            error(
                "cannot call non-const function `record::of::<record::Ways<u8>>` in statics",
                1,
                2,
            ),
        ];
        assert_eq!(rejected(&messages, &mutants), ["const of", "inner", "outer"]);
    }
}
