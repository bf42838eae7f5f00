//! From turns to ratios: what an operation costs, how ours compares with the system's, and how sure that is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    names::{Arm, Workload},
    record::{Record, Turn},
};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 10_000;
/// The share of resamples below the interval, and above it.
const TAIL: f64 = 0.025;

/// What an operation of an arm costs, over a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The workload.
    pub workload: Workload,
    /// The arm.
    pub arm: Arm,
    /// TSC cycles per operation and thread, the hold included.
    pub cycles: f64,
    /// Nanoseconds per operation and thread, the hold included.
    pub nanoseconds: f64,
    /// Operations per second of all threads together.
    pub rate: f64,
}

/// Ours, divided by the system's: below 1 is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ratio {
    /// The workload.
    pub workload: Workload,
    /// The arm of ours.
    pub ours: Arm,
    /// The system's arm.
    pub native: Arm,
    /// The geometric mean of the rounds' ratios of cycles per operation.
    pub ratio: f64,
    /// The 95 % confidence interval of the mean, by bootstrap over the rounds; absent with a single round.
    pub interval: Option<(f64, f64)>,
    /// Rounds in which both arms got something done.
    pub rounds: usize,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are enough for a figure of merit"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

/// The sum of an arm's turns: operations, cycles, nanoseconds.
fn sum<'a>(turns: impl Iterator<Item = &'a Turn>) -> (u64, u64, u64) {
    turns.fold((0, 0, 0), |(operations, cycles, nanoseconds), turn| {
        (
            operations + turn.operations,
            cycles + turn.cycles,
            nanoseconds + turn.nanoseconds,
        )
    })
}

/// What the operations of each arm cost; an arm that got nothing done has no cost.
#[must_use]
pub fn costs(record: &Record) -> Vec<Cost> {
    let threads = f64::from(record.load.threads);
    record
        .arms
        .iter()
        .filter_map(|figures| {
            let (operations, cycles, nanoseconds) =
                sum(record.turns.iter().filter(|turn| turn.arm == figures.arm));
            (operations > 0 && nanoseconds > 0).then(|| Cost {
                workload: record.workload,
                arm: figures.arm,
                cycles: float(cycles) * threads / float(operations),
                nanoseconds: float(nanoseconds) * threads / float(operations),
                rate: float(operations) * 1e9 / float(nanoseconds),
            })
        })
        .collect()
}

/// How each of our arms compares with its counterpart, when that took part. Nothing of a run in the lab, whose times compare nothing.
#[must_use]
pub fn ratios(record: &Record) -> Vec<Ratio> {
    if record.is_of_the_lab() {
        return Vec::new();
    }
    record
        .arms
        .iter()
        .filter_map(|figures| {
            let ours = figures.arm;
            let native = ours.counterpart()?;
            let logarithms = round_ratios(record, ours, native);
            if logarithms.is_empty() {
                return None;
            }
            Some(Ratio {
                workload: record.workload,
                ours,
                native,
                ratio: mean(&logarithms).exp(),
                interval: interval(&logarithms, record.load.seed).map(|(low, high)| (low.exp(), high.exp())),
                rounds: logarithms.len(),
            })
        })
        .collect()
}

/// The logarithm of each round's ratio. Forth and back are one: a drift within the round weighs on both arms alike.
fn round_ratios(record: &Record, ours: Arm, native: Arm) -> Vec<f64> {
    let cycles_per_operation = |arm, round| {
        let (operations, cycles, _) = sum(record
            .turns
            .iter()
            .filter(|turn| turn.arm == arm && turn.round == round));
        (operations > 0 && cycles > 0).then(|| float(cycles) / float(operations))
    };
    (0..record.load.rounds)
        .filter_map(|round| {
            Some((cycles_per_operation(ours, round)? / cycles_per_operation(native, round)?).ln())
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / float(values.len() as u64)
}

/// The interval in which 95 % of the resampled means lie.
fn interval(values: &[f64], seed: u64) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sum: f64 = (0..values.len())
                .map(|_| values[random.usize(..values.len())])
                .sum();
            sum / float(values.len() as u64)
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index below RESAMPLES"
    )]
    let cut = (TAIL * RESAMPLES as f64) as usize;
    Some((means[cut], means[RESAMPLES - 1 - cut]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn twice_the_cycles_are_a_ratio_of_two() {
        let record = record(&[Arm::Ours, Arm::Native], |arm, _| {
            if arm == Arm::Ours { 500 } else { 1000 }
        });
        let ratio = ratios(&record)[0];
        assert!((ratio.ratio - 2.0).abs() < 1e-9, "{ratio:?}");
        let (low, high) = ratio.interval.unwrap();
        assert!((low - 2.0).abs() < 1e-9 && (high - 2.0).abs() < 1e-9);
        assert_eq!(
            (ratio.ours, ratio.native, ratio.rounds),
            (Arm::Ours, Arm::Native, 10)
        );
    }

    #[test]
    fn the_interval_holds_the_mean_and_grows_with_the_noise() {
        let with_noise = |noise: u64| {
            let record = record(&[Arm::Ours, Arm::Native], |arm, round| {
                if arm == Arm::Ours {
                    1000 + u64::from(round % 3) * noise
                } else {
                    1000
                }
            });
            ratios(&record)[0]
        };
        let width = |ratio: Ratio| {
            let (low, high) = ratio.interval.unwrap();
            assert!(low <= ratio.ratio && ratio.ratio <= high, "{ratio:?}");
            high - low
        };
        assert!(width(with_noise(10)) < width(with_noise(200)));
        assert_eq!(
            with_noise(10),
            with_noise(10),
            "the same seed gives the same interval"
        );
    }

    #[test]
    fn an_arm_that_did_nothing_has_no_ratio() {
        let record = record(
            &[Arm::Ours, Arm::Native],
            |arm, _| if arm == Arm::Ours { 0 } else { 1000 },
        );
        assert_eq!(ratios(&record), []);
        assert_eq!(costs(&record).len(), 1);
    }

    #[test]
    fn the_lab_has_no_ratio() {
        let mut record = record(&[Arm::Ours, Arm::Native], |_, _| 1000);
        assert_eq!(ratios(&record).len(), 1);
        record.lab = Some("smp".into());
        assert_eq!(ratios(&record), []);
    }

    #[test]
    fn floors_have_costs_and_no_ratio() {
        let record = record(&[Arm::LockXadd], |_, _| 1000);
        assert_eq!(ratios(&record), []);
        let cost = costs(&record)[0];
        // Two turns of 1 ms and 2 000 000 cycles in each of ten rounds, 1000 operations each, by 4 threads.
        assert!(
            (cost.cycles - 8000.0).abs() < 1e-6 && (cost.nanoseconds - 4000.0).abs() < 1e-6,
            "{cost:?}"
        );
        assert!((cost.rate - 1e6).abs() < 1e-3, "{cost:?}");
    }
}
