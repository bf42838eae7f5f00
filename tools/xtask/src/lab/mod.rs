//! `cargo xtask lab`: the scenarios, one boot after another, and the verdict.

pub(crate) mod boot;
pub(crate) mod judge;
pub(crate) mod report;
pub(crate) mod scenario;
mod verdict;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rundown_streams as streams;

pub(crate) use self::verdict::Verdict;
use self::{
    boot::Boot,
    judge::Sum,
    scenario::{Arm, Scenario},
    verdict::Row,
};
use crate::{exit, progress::Progress, tree::Tree};

/// How long one boot's run lasts.
const ROUND: Duration = Duration::from_secs(2);
/// How many boots a scenario gets to show all that it has to show: what was not seen by then does not happen.
const ROUNDS: u64 = 30;
/// How many it gets to reach its share of what is demanded, if all of it happens: a busy host takes four times as many.
const MOST_ROUNDS: u64 = 120;

/// What the user may choose.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The numbers of processors, one machine each.
    pub(crate) cpus: Vec<u32>,
    /// The seed of the first boot of each scenario; each further boot takes the next one.
    pub(crate) seed: u64,
    /// Which implementations run; of the cache-aware routines NT's only if the listing has them, so after the plain ones.
    pub(crate) arms: Vec<Arm>,
    /// The listing of NT's own code, which its arm needs.
    pub(crate) native: Option<PathBuf>,
    /// A Windows' own framework for the driver to run on.
    pub(crate) framework: Option<PathBuf>,
    /// Where timelines go, one for the first boot of each scenario.
    pub(crate) trace: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cpus: vec![2, 4],
            seed: 1,
            arms: vec![Arm::Ours, Arm::Native],
            native: None,
            framework: None,
            trace: None,
        }
    }
}

impl Settings {
    /// `rundownctl --target` for a scenario, but for the seed and the report.
    fn target(&self, scenario: Scenario) -> String {
        let framework = self.framework.as_deref();
        let framework = framework.map(|file| format!(",framework={}", boot::value(file)));
        scenario.target(self.native.as_deref()) + &framework.unwrap_or_default()
    }

    /// Makes the first timeline's file, before anything is built or booted.
    pub(crate) fn try_out(&self) -> Result<()> {
        let mut scenarios = self
            .cpus
            .iter()
            .flat_map(|&cpus| Scenario::all(cpus, self.arms[0]));
        let Some(path) = scenarios.next().and_then(|scenario| self.trace_of(scenario)) else {
            return Ok(());
        };
        let made = fs::File::create(&path);
        made.map(drop).map_err(|error| {
            exit::bad_input(format!(
                "the timeline {} cannot be written: {error}",
                path.display()
            ))
        })
    }

    /// The timeline of a scenario: `FILE.2-ours.json` for `FILE.json`.
    fn trace_of(&self, scenario: Scenario) -> Option<PathBuf> {
        let path = self.trace.as_ref()?;
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        Some(path.with_extension(format!("{}.{extension}", scenario.slug()).trim_end_matches('.')))
    }

    /// With NT's own code for the native arm, where there is a listing.
    pub(crate) fn with_native(self, listing: Option<PathBuf>) -> Self {
        match listing {
            None => self,
            Some(listing) => Self {
                arms: vec![Arm::Ours, Arm::Nt, Arm::NtCacheAware],
                native: Some(listing),
                ..self
            },
        }
    }
}

/// Runs all scenarios with what is gathered in `target/lab`, and judges.
pub(crate) fn run(tree: &Tree, settings: &Settings) -> Result<Verdict> {
    let reports = tree.lab().join("reports");
    fs::create_dir_all(&reports).with_context(|| format!("{} cannot be made", reports.display()))?;
    let mut verdict = Verdict::default();
    for &cpus in &settings.cpus {
        for &arm in &settings.arms {
            // A listing need not have them; what it has the plain arm's boots have told.
            if arm == Arm::NtCacheAware && !judge::not_nt(arm, &verdict.routines).is_empty() {
                continue;
            }
            let mut sum = Sum::default();
            for scenario in Scenario::all(cpus, arm) {
                verdict.scenarios += 1;
                sum.add(&run_scenario(tree, &reports, scenario, settings, &mut verdict)?);
            }
            verdict.rows.push(Row { cpus, arm, sum });
        }
    }
    verdict.judge(settings);
    Ok(verdict)
}

/// Prints a verdict, as a table or as JSON; whether it is a good one.
///
/// # Errors
/// When it cannot be written to `out`, and when too little was seen for one.
pub(crate) fn tell(verdict: &Verdict, json: bool, out: &mut impl Write) -> Result<bool> {
    if json {
        streams::judge(writeln!(out, "{}", verdict.json()))?;
        streams::tell!("{}", verdict.last_lines());
    } else {
        streams::judge(writeln!(out, "{}", verdict.table()))?;
    }
    if verdict.is_short() {
        return Err(exit::not_enough_seen());
    }
    Ok(verdict.passed())
}

/// Boots a scenario again and again until it has its share, fails, or has had its rounds.
fn run_scenario(
    tree: &Tree,
    reports: &Path,
    scenario: Scenario,
    settings: &Settings,
    verdict: &mut Verdict,
) -> Result<Sum> {
    let progress = Progress::begin(scenario.name());
    let mut sum = Sum::default();
    for round in 0..MOST_ROUNDS {
        let report = reports.join(format!("{}-{round}.json", scenario.slug()));
        let seed = settings.seed.wrapping_add(round);
        let mut target = settings.target(scenario);
        if let Some(path) = settings.trace_of(scenario).filter(|_| round == 0) {
            target = format!("{target},trace={}", boot::value(&path));
        }
        let mut boot = Boot::new(tree, &target, seed, &report);
        boot.stress(&scenario.stress(), ROUND, seed);
        let outcome = match boot.run(&progress) {
            Ok(outcome) => outcome,
            Err(error) => {
                progress.failed("");
                return Err(error);
            }
        };
        sum.add_boot(scenario.arm, &outcome.client, &outcome.lab);
        if scenario.arm.is_nt() {
            verdict.routines.clone_from(&outcome.lab.routines);
        }
        let faults = judge::faults(Some(scenario), &outcome.client, &outcome.lab);
        if !faults.is_empty() {
            progress.failed(&faults[0]);
            rundown_streams::tell_raw!("{}", outcome.messages);
            verdict.faults.extend(
                faults
                    .into_iter()
                    .map(|fault| (format!("{}: {fault}", scenario.name()), boot.line())),
            );
            return Ok(sum);
        }
        let enough = sum.reaches(&scenario.goal(), scenario.way);
        if enough || (round + 1 >= ROUNDS && !sum.has_seen_all(scenario.way)) {
            break;
        }
    }
    progress.done(&format!(
        "{} acquires, {} generations",
        verdict::count(sum.acquires),
        verdict::count(sum.generations)
    ));
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

    use serde_json::{Value, json};

    use super::*;

    /// The client's part is played by a script that tells what it is given, and leaves what it is given as the lab's report.
    const STAND_IN: &str = "#!/bin/sh\nfor word; do case $word in *report=*) report=${word##*report=};; esac; done\n\
                            cp ${0%/*}/report.json $report\ncat ${0%/*}/client.json\necho \"$*\" >> ${0%/*}/words\n";

    /// What client and lab say of a run with which nothing is wrong, and that reaches what is demanded of the native arm.
    fn sound() -> (Value, Value) {
        let ways =
            json!({"drained": 9000, "mwaitx": 900, "pause": 0, "dispatch": 0, "event": 100, "late": 0});
        let nothing = json!({"poisoned": 0, "inside": 0});
        let client = json!({
            "acquires": 1_000_000, "refused": 20, "generations": 10_000, "contested": 30,
            "ways_out": {"drained": 0, "mwaitx": 0, "pause": 0, "dispatch": 0, "event": 0, "late": 0},
            "violations": nothing, "stall": null, "seconds": 0.5, "arms": [{"violations": nothing}]
        });
        let lab = json!({
            "passed": true, "bugcheck": null, "leaks": 0, "routines": {}, "seconds": 1.0,
            "counters": {
                "stack_event_waits": 100, "monitorx_series": 0, "cr8_reads": {"below_dispatch": 0, "at_dispatch": 0},
                "native": {"acquires": 1_000_000, "refused": 20, "waits": ways}
            },
            "events": {"Rundown.Driver": {"RunStarted": 1, "RunFinished": 1}}
        });
        (client, lab)
    }

    /// The verdict on boots of the native arm of each of which client and lab say this.
    fn verdict(name: &str, client: &Value, lab: &Value) -> Verdict {
        let settings = Settings {
            cpus: vec![2],
            arms: vec![Arm::Native],
            ..Settings::default()
        };
        verdict_on(name, client, lab, &settings).0
    }

    /// The verdict, and the words that the client was given for each boot.
    fn verdict_on(name: &str, client: &Value, lab: &Value, settings: &Settings) -> (Verdict, Vec<String>) {
        let root = std::env::temp_dir().join(format!("xtask-verdict-{}-{name}", std::process::id()));
        let tree = Tree::at(&root);
        fs::create_dir_all(tree.lab()).unwrap();
        let program = tree.lab().join("rundownctl");
        fs::write(&program, STAND_IN).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(tree.lab().join("client.json"), client.to_string()).unwrap();
        fs::write(tree.lab().join("report.json"), lab.to_string()).unwrap();
        let verdict = run(&tree, settings).unwrap();
        let words = fs::read_to_string(tree.lab().join("words")).unwrap();
        fs::remove_dir_all(root).unwrap();
        (verdict, words.lines().map(str::to_owned).collect())
    }

    /// What is printed of a verdict, and whether it is a good one.
    fn told(verdict: &Verdict, json: bool) -> (String, bool) {
        let mut out = Vec::new();
        let good = tell(verdict, json, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), good)
    }

    #[test]
    fn by_default_ours_and_the_reference_run_on_two_and_four_processors() {
        let settings = Settings::default();
        assert_eq!(
            (&settings.cpus[..], &settings.arms[..]),
            (&[2, 4][..], &[Arm::Ours, Arm::Native][..])
        );
        assert!(settings.native.is_none() && settings.clone().with_native(None).arms == settings.arms);
        let native = settings.with_native(Some("nt.uf".into()));
        assert_eq!(native.arms, [Arm::Ours, Arm::Nt, Arm::NtCacheAware]);
        assert_eq!((native.native, native.cpus), (Some("nt.uf".into()), vec![2, 4]));
    }

    /// A later boot of a scenario would write over the timeline of its first.
    #[test]
    fn a_scenarios_first_boot_has_a_timeline() {
        let (mut client, mut lab) = sound();
        for acquires in [
            &mut client["acquires"],
            &mut lab["counters"]["native"]["acquires"],
        ] {
            *acquires = json!(1000);
        }
        let settings = Settings {
            cpus: vec![2],
            arms: vec![Arm::Native],
            trace: Some("/a, b/t.json".into()),
            ..Settings::default()
        };
        let (_, words) = verdict_on("trace", &client, &lab, &settings);
        assert!(words.len() > 1);
        let traced = |words: &&String| words.contains(",trace=/a,, b/t.2-native.json,seed=");
        assert!(traced(&&words[0]), "{}", words[0]);
        assert_eq!(words.iter().filter(traced).count(), 1);
    }

    #[test]
    fn a_boot_is_asked_for_by_its_words() {
        let (client, lab) = sound();
        let settings = Settings {
            cpus: vec![2],
            arms: vec![Arm::Native],
            seed: 7,
            ..Settings::default()
        };
        let (_, words) = verdict_on("words", &client, &lab, &settings);
        assert_eq!(words.len(), 1, "it has its share after one");
        let report = words[0].split(' ').nth(1).unwrap();
        assert!(
            report.starts_with("lab:cpus=2,") && report.contains(",seed=7,report="),
            "{report}"
        );
        assert!(words[0].ends_with(
            " stress --json --duration 2000 --seed 7 --arm native --threads 1 --hold 2000 --gap 2000"
        ));
        let mut leaking = lab;
        leaking["leaks"] = json!(1);
        let (verdict, _) = verdict_on("repeat", &client, &leaking, &settings);
        let lines = verdict.last_lines();
        let repeat = lines.lines().last().unwrap();
        assert!(
            repeat.contains("/rundownctl --target lab:") && repeat.contains(" stress --json "),
            "{repeat}"
        );
    }

    /// The cache-aware routines only run when the listing has them, which the plain arm's boots tell.
    #[test]
    fn a_listing_need_not_have_the_cache_aware_routines() {
        let (client, mut lab) = sound();
        let settings = Settings {
            cpus: vec![2],
            arms: vec![Arm::Nt, Arm::NtCacheAware],
            native: Some("nt.uf".into()),
            ..Settings::default()
        };
        for (with, rows, scenarios) in [(Arm::Nt, 1, 4), (Arm::NtCacheAware, 2, 5)] {
            for name in judge::not_nt(with, &BTreeMap::new()) {
                lab["routines"][name] = json!("NT code (lines 1-2)");
            }
            let (verdict, words) = verdict_on("listing", &client, &lab, &settings);
            assert_eq!((verdict.rows.len(), verdict.scenarios()), (rows, scenarios));
            assert!(words.iter().all(|words| words.contains(",native=nt.uf")));
            assert!(!words.iter().any(|words| words.contains(",framework=")));
            assert_eq!(verdict.json()["routines"], lab["routines"]);
        }
    }

    /// Every boot of every arm runs on the framework that was given.
    #[test]
    fn a_framework_is_in_every_boot() {
        let (client, lab) = sound();
        let settings = Settings {
            cpus: vec![2],
            framework: Some("a, b/Wdf01000.sys".into()),
            ..Settings::default()
        };
        let (_, words) = verdict_on("framework", &client, &lab, &settings);
        assert!(!words.is_empty());
        assert!(
            words
                .iter()
                .all(|words| words.contains(",framework=a,, b/Wdf01000.sys")),
            "{words:?}"
        );
    }

    #[test]
    fn a_sound_run_passes() {
        let (client, lab) = sound();
        let verdict = verdict("sound", &client, &lab);
        let (table, good) = told(&verdict, false);
        assert!(good, "{table}");
        for word in [
            "CPUs",
            "arm",
            "acquires",
            "refused",
            "violations",
            "leaks",
            "bugchecks",
            "seconds",
        ] {
            assert!(table.lines().nth(1).unwrap().contains(word), "{table}");
        }
        let row: Vec<&str> = table
            .lines()
            .nth(3)
            .unwrap()
            .split(['│', '┆', '|'])
            .map(str::trim)
            .collect();
        assert_eq!(
            row[1..16],
            [
                "2",
                "native",
                "1 000 000",
                "20",
                "10 000",
                "9 000",
                "900",
                "0",
                "0",
                "100",
                "0",
                "0",
                "0",
                "0",
                "0.5"
            ]
        );
        let (object, good) = told(&verdict, true);
        assert!(good);
        assert_eq!(serde_json::from_str::<Value>(&object).unwrap(), verdict.json());
        assert_eq!(verdict.json()["runs"][0]["seconds"], 0.5);
        let json = verdict.json();
        assert_eq!(json["passed"], true);
        for column in ["violations", "leaks", "bugchecks"] {
            assert_eq!(json["runs"][0][column], 0, "{column}");
        }
    }

    /// Each by itself, at the least that it can be: the verdict is FAILED and says it, and its column counts it.
    #[test]
    fn each_fault_alone_fails() {
        let bugcheck = json!({"code": "0xD1", "name": "NAME", "text": "it fell over"});
        let error = json!({"kind": "driver-failed", "message": "it is gone"});
        let stall = json!({"waits": 3, "milliseconds": 5001});
        let inside = "1 wait(s) returned with holders inside";
        let client = [
            (
                "/violations/poisoned",
                json!(1),
                "1 holder(s) saw the poison",
                "violations",
            ),
            ("/violations/inside", json!(1), inside, "violations"),
            (
                "/arms/0/violations/poisoned",
                json!(1),
                "1 holder(s) saw the poison",
                "violations",
            ),
            ("/arms/0/violations/inside", json!(1), inside, "violations"),
            ("/stall", stall, "3 wait(s) stalled, the longest for 5001 ms", ""),
            ("/error", error, "rundownctl: it is gone", ""),
            ("/acquires", json!(1_000_001), "acquires granted", ""),
            ("/refused", json!(21), "acquires refused", ""),
            ("/generations", json!(10_001), "generations", ""),
        ];
        let lab = [
            ("/leaks", json!(1), "left 1 thing(s) behind", "leaks"),
            (
                "/bugcheck",
                bugcheck,
                "bugcheck 0xD1 NAME: it fell over",
                "bugchecks",
            ),
            ("/passed", json!(false), "gives no reason", ""),
            (
                "/counters/native/acquires",
                json!(999_999),
                "acquires granted",
                "",
            ),
            ("/counters/native/refused", json!(19), "acquires refused", ""),
            ("/counters/native/waits/drained", json!(9001), "generations", ""),
            (
                "/events/Rundown.Driver/RunStarted",
                json!(0),
                "events RunStarted",
                "",
            ),
            (
                "/events/Rundown.Driver/RunFinished",
                json!(2),
                "events RunFinished",
                "",
            ),
        ];
        let sides = client
            .into_iter()
            .map(|case| (0, case))
            .chain(lab.into_iter().map(|case| (1, case)));
        for (number, (side, (place, value, words, column))) in sides.enumerate() {
            let (client, lab) = sound();
            let mut both = [client, lab];
            if place == "/error" {
                both[side]["error"] = value;
            } else {
                *both[side].pointer_mut(place).unwrap() = value;
            }
            let verdict = verdict(&number.to_string(), &both[0], &both[1]);
            let table = verdict.table();
            assert!(!told(&verdict, number.is_multiple_of(2)).1, "{place}: {table}");
            let failed = table.lines().find(|line| line.starts_with("FAILED "));
            assert!(
                failed.is_some_and(|line| line.contains(words)),
                "{place}: {table}"
            );
            assert_eq!(verdict.faults().count(), 1, "{place}: {table}");
            let json = verdict.json();
            assert_eq!(json["passed"], false, "{place}");
            for name in ["violations", "leaks", "bugchecks"] {
                assert_eq!(
                    json["runs"][0][name],
                    u64::from(name == column),
                    "{place}: {name}"
                );
            }
        }
    }

    #[test]
    fn a_run_without_counters_fails() {
        let verdict = verdict("silent", &json!({}), &sound().1);
        assert!(!verdict.passed() && verdict.table().contains("ended without counters"));
    }

    /// On a busy host there is less of everything: the boot is made again until there is enough, or until the limit; then nobody failed.
    #[test]
    fn a_shortage_is_gone_on_with_and_then_a_verdict_of_its_own() {
        for (name, generations, boots) in [("slow", 250, 40), ("slower", 10, MOST_ROUNDS)] {
            let (mut client, mut lab) = sound();
            client["generations"] = json!(generations);
            let ways = &mut lab["counters"]["native"]["waits"];
            *ways = json!({
                "drained": generations, "mwaitx": 0, "pause": 0, "dispatch": 0, "event": 0, "late": 0
            });
            let settings = Settings {
                cpus: vec![2],
                arms: vec![Arm::Native],
                ..Settings::default()
            };
            let (verdict, words) = verdict_on(name, &client, &lab, &settings);
            assert_eq!(words.len() as u64, boots, "{}", verdict.table());
            let enough = generations * boots >= 10_000;
            assert_eq!(verdict.passed(), enough, "{}", verdict.table());
            if !enough {
                let mut out = Vec::new();
                let (code, line) = exit::code(&tell(&verdict, false, &mut out));
                let said = String::from_utf8(out).unwrap();
                assert!(code == 8 && line.is_none(), "{code} {line:?}");
                assert!(
                    said.contains("\nNOT ENOUGH SEEN 2 CPUs, native: generations: 1200, at least"),
                    "{said}"
                );
                assert_eq!(verdict.json()["passed"], false);
            }
        }
    }

    /// The boot is made again until each demand is met, and what is never met fails.
    #[test]
    fn each_demand_that_is_not_met_fails() {
        for (place, told) in [
            ("/contested", "generations with a holder inside: 0"),
            ("/refused", "acquires refused: 0"),
        ] {
            let (mut client, mut lab) = sound();
            *client.pointer_mut(place).unwrap() = json!(0);
            if place == "/refused" {
                *lab.pointer_mut("/counters/native/refused").unwrap() = json!(0);
            }
            let verdict = verdict(told.split(' ').next().unwrap(), &client, &lab);
            assert!(
                !verdict.passed() && verdict.table().contains(told),
                "{}",
                verdict.table()
            );
            assert_eq!(
                verdict.json()["runs"][0]["acquires"],
                ROUNDS * 1_000_000,
                "{place}: it gave up early, or late"
            );
        }
    }
}
