//! `rundownctl compare`: ours against the system's, workload by workload, with the floors that both are measured from.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stress::{self, Output, exit_code};
use crate::{
    client::Client,
    error::Error,
    load::Load,
    names::{Arm, Workload},
    print,
    progress::Progress,
    record::{Failure, Record, SCHEMA},
    report,
    run::{Outcome, Plan},
    session::Session,
    show,
    statistics::{self, Cost, Ratio},
    target::Access,
};

/// What to compare.
#[derive(Args, Clone, Debug)]
pub struct Scope {
    /// The workloads, separated by commas, a run each
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "uncontended,contended,refused,storm"
    )]
    pub workload: Vec<Workload>,
    /// The arms, separated by commas; a workload with an owner leaves the floors out
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "ours,native,empty-call,lock-xadd"
    )]
    pub arm: Vec<Arm>,
    /// Threads, times and levels.
    #[command(flatten)]
    pub load: Load,
}

/// A comparison.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What to compare.
    #[command(flatten)]
    pub scope: Scope,
    /// How to tell it.
    #[command(flatten)]
    pub output: Output,
}

/// The runs and what they say of each other.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The version of this object's form.
    pub schema: u32,
    /// Ours, divided by the system's; none of runs in the lab, whose times compare nothing.
    pub ratios: Vec<Ratio>,
    /// What operations cost.
    pub costs: Vec<Cost>,
    /// The runs.
    pub runs: Vec<Record>,
}

impl Comparison {
    /// What runs say of each other.
    #[must_use]
    pub fn of(runs: Vec<Record>) -> Self {
        Self {
            schema: SCHEMA,
            ratios: runs.iter().flat_map(statistics::ratios).collect(),
            costs: runs.iter().flat_map(statistics::costs).collect(),
            runs,
        }
    }
}

/// The runs, in their order. A floor cannot be run down, so that workloads with an owner leave it out.
#[must_use]
pub fn plans(scope: &Scope) -> Vec<Plan> {
    scope
        .workload
        .iter()
        .map(|&workload| {
            let allowed = |arm: &Arm| workload.wire().allows_floors() || !arm.wire().is_floor();
            let arms: Vec<_> = scope.arm.iter().copied().filter(allowed).collect();
            stress::plan(&arms, workload, &scope.load)
        })
        .filter(|plan| !plan.arms.is_empty())
        .collect()
}

/// Makes the runs and prints what they say of each other, also when one of them failed.
///
/// # Errors
/// When the target cannot be reached.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    options.output.report.as_deref().map_or(Ok(()), report::try_out)?;
    let (comparison, exit_code) = compare(&plans(&options.scope), session)?;
    let records: Vec<_> = comparison.runs.iter().collect();
    if options.output.json {
        print::line(show::json(&comparison))?;
    } else if options.output.csv {
        print::raw(show::csv(&records))?;
    } else {
        print::line(if records.iter().any(|record| record.is_of_the_lab()) {
            show::counted_table(&records)
        } else {
            show::comparison_table(&comparison.costs, &comparison.ratios)
        })?;
        for record in &records {
            print::raw(show::alarms(record))?;
        }
        print::raw(show::caveats(&records))?;
    }
    if let Some(file) = &options.output.report {
        report::write(file, &records, &options.output.shown, session)?;
    }
    Ok(exit_code)
}

/// Makes the runs on one target, one after the other, until one of them fails or the user has enough.
///
/// # Errors
/// When the target cannot be reached.
pub fn compare(plans: &[Plan], session: &Session<'_>) -> Result<(Comparison, u8), Error> {
    let progress = Progress::new(session.beginning());
    let mut target = session.connect()?;
    let mut client = Client::open(&mut *target, Access::ReadWrite)?;
    let mut runs = Vec::with_capacity(plans.len());
    let mut worst = 0;
    let mut failed = false;
    for plan in plans {
        let outcome = plan.carry_out_on(&mut client, session, &mut |_, _, result| {
            plan.show(result, &progress);
            Ok(())
        });
        worst = worst.max(exit_code(&outcome));
        failed = outcome.error.is_some();
        let Outcome {
            record, interrupted, ..
        } = outcome;
        runs.push(record);
        if failed || interrupted {
            break;
        }
    }
    drop(progress);
    // A target that has failed once has said so.
    if !failed && let Err(error) = client.close().and_then(|()| target.finish()) {
        crate::print::tell(format_args!("rundownctl: {error}"));
        worst = worst.max(error.exit_code());
        if let Some(last) = runs.last_mut() {
            last.error = Some(Failure::of(&error));
        }
    }
    Ok((Comparison::of(runs), worst))
}
