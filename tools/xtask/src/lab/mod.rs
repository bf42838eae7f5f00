//! `cargo xtask lab`: the scenarios, one boot after another, and the verdict.

pub(crate) mod boot;
pub(crate) mod judge;
pub(crate) mod report;
pub(crate) mod scenario;
mod verdict;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use self::{
    boot::Boot,
    judge::Sum,
    scenario::{Arm, Scenario},
    verdict::{Row, Verdict},
};
use crate::{progress::Progress, tree::Tree};

/// How long one boot's run lasts.
const ROUND: Duration = Duration::from_secs(2);
/// How many boots a scenario gets to reach its share of what is demanded.
const MOST_ROUNDS: u64 = 30;

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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cpus: vec![2, 4],
            seed: 1,
            arms: vec![Arm::Ours, Arm::Native],
            native: None,
        }
    }
}

impl Settings {
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
        let mut boot = Boot::new(tree, &scenario.target(settings.native.as_deref()), seed, &report);
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
            eprint!("{}", outcome.messages);
            verdict.faults.extend(
                faults
                    .into_iter()
                    .map(|fault| (format!("{}: {fault}", scenario.name()), boot.line())),
            );
            return Ok(sum);
        }
        if sum.reaches(&scenario.goal(), scenario.way) {
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
