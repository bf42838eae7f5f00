//! The rows of the table, and the rounds that measure them.

use core_affinity::CoreId;
use ex_rundown::{AllocatedCacheAwareRundownRef, RundownRef, WayOut, WideRundownRef};
use rundown_std::Std;
use serde::Serialize;

use crate::{
    handover,
    measure::{Slice, alone, together},
    statistics::{estimate, median},
    subjects::{
        ArcClone, ArcSwapLoad, CacheAware, Dispatch, EmptyCall, EpochPin, Floor, ParkingLotRwLock, Plain,
        PrivateFloor, RunDown, StdRwLock, Subject, Wide, WideCacheAware,
    },
};

/// How the operation gets into the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Inlined.
    Inlined,
    /// Behind a call.
    Call,
}

/// What happens to it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// One thread takes it and gives it back.
    Uncontended,
    /// Two threads do.
    Contended,
    /// One thread is refused.
    Refused,
    /// A releaser hands over to a waiter.
    Handover,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// How.
    pub form: Form,
    /// In which case.
    #[serde(rename = "case")]
    pub case: Case,
    /// By how many threads.
    pub threads: u32,
    /// The median over the rounds of the ratio to the case's floor in the same round.
    pub ratio_to_floor: f64,
    /// Its 95% confidence interval, lower end.
    pub ci_low: f64,
    /// Its upper end.
    pub ci_high: f64,
    /// The median time of one operation.
    pub nanoseconds: f64,
    /// Each round's time.
    #[serde(skip)]
    pub rounds: Vec<f64>,
    /// Rounds in which no undisturbed slice could be had.
    #[serde(skip)]
    pub disturbed: usize,
}

/// How a row is measured, once per round.
type Measure<'a> = Box<dyn Fn(&[CoreId]) -> Slice + 'a>;

/// A row that is yet to be measured.
pub struct Plan<'a> {
    name: String,
    form: Form,
    case: Case,
    threads: u32,
    measure: Measure<'a>,
}

/// The rows of a subject in these forms: a pair on one thread, on two, and a refusal where it can refuse.
pub fn pairs<'a, S: Subject>(
    plans: &mut Vec<Plan<'a>>,
    name: &str,
    forms: &[Form],
    make: impl Fn() -> S + Copy + 'a,
) {
    let refuses = make().disable();
    for &form in forms {
        let mut push = |case, threads, measure: Measure<'a>| {
            plans.push(Plan {
                name: name.into(),
                form,
                case,
                threads,
                measure,
            });
        };
        push(
            Case::Uncontended,
            1,
            Box::new(move |cores| {
                let subject = make();
                match form {
                    Form::Inlined => alone(cores, || subject.pair()),
                    Form::Call => alone(cores, || subject.called_pair()),
                }
            }),
        );
        push(
            Case::Contended,
            2,
            Box::new(move |cores| {
                let subject = make();
                match form {
                    Form::Inlined => together(cores, || subject.pair()),
                    Form::Call => together(cores, || subject.called_pair()),
                }
            }),
        );
        if refuses {
            push(
                Case::Refused,
                1,
                Box::new(move |cores| {
                    let subject = make();
                    subject.disable();
                    match form {
                        Form::Inlined => alone(cores, || subject.refused()),
                        Form::Call => alone(cores, || subject.called_refused()),
                    }
                }),
            );
        }
    }
}

/// The row of a hand-over.
#[must_use]
pub fn handover<'a>(name: String, measure: impl Fn(&[CoreId]) -> Slice + 'a) -> Plan<'a> {
    Plan {
        name,
        form: Form::Call,
        case: Case::Handover,
        threads: 2,
        measure: Box::new(measure),
    }
}

/// The name of the floor in every case.
pub const FLOOR: &str = "floor (lock xadd)";
/// The name of the two counters that share nothing.
pub const PRIVATE: &str = "floor, two private counters";

/// The rows of the floor, of ours, and of the peers.
///
/// # Panics
/// When there is no memory for a reference.
#[must_use]
pub fn plans<'a>() -> Vec<Plan<'a>> {
    const BOTH: &[Form] = &[Form::Inlined, Form::Call];
    let mut plans = Vec::new();
    pairs(&mut plans, FLOOR, BOTH, Floor::default);
    pairs(&mut plans, PRIVATE, BOTH, PrivateFloor::default);
    pairs(&mut plans, "two empty calls", BOTH, EmptyCall::default);
    pairs(&mut plans, "RundownRef", BOTH, Plain::default);
    pairs(&mut plans, "WideRundownRef", BOTH, Wide::default);
    pairs(&mut plans, "CacheAwareRundownRef", BOTH, CacheAware::default);
    pairs(
        &mut plans,
        "WideCacheAwareRundownRef",
        BOTH,
        WideCacheAware::default,
    );
    pairs(&mut plans, "DispatchRundownRef", BOTH, Dispatch::default);
    pairs(&mut plans, "run-down", BOTH, RunDown::default);
    pairs(&mut plans, "std RwLock read", BOTH, StdRwLock::default);
    pairs(
        &mut plans,
        "parking_lot RwLock read",
        BOTH,
        ParkingLotRwLock::default,
    );
    pairs(&mut plans, "Arc clone and drop", BOTH, ArcClone::default);
    pairs(&mut plans, "arc-swap load", BOTH, ArcSwapLoad::default);
    pairs(&mut plans, "crossbeam-epoch pin", BOTH, EpochPin::default);
    plans.push(handover(FLOOR.into(), handover::floor));
    // std plays MONITORX by polling, so its figure would be a fiction.
    for way_out in [WayOut::Pause, WayOut::Dispatch, WayOut::Event] {
        plans.push(handover(format!("RundownRef, {way_out:?}"), move |cores| {
            handover::latency(cores, RundownRef::<Std>::new, way_out)
        }));
        plans.push(handover(format!("WideRundownRef, {way_out:?}"), move |cores| {
            handover::latency(cores, WideRundownRef::<Std>::new, way_out)
        }));
    }
    plans.push(handover("CacheAwareRundownRef, Event".into(), |cores| {
        let make = || AllocatedCacheAwareRundownRef::<Std>::new().expect("memory");
        handover::latency(cores, make, WayOut::Event)
    }));
    plans
}

/// A refusal is half a pair; its floor is the whole one, since there is no floor that refuses.
fn floor_of(plans: &[Plan<'_>], plan: &Plan<'_>) -> usize {
    let case = if plan.case == Case::Refused {
        Case::Uncontended
    } else {
        plan.case
    };
    plans
        .iter()
        .position(|floor| floor.name == FLOOR && floor.case == case)
        .expect("each case has its floor")
}

/// Measures every row once per round, in a new order each time.
///
/// # Panics
/// When `rounds` is 0, or the floor is not among the plans.
pub fn measure(plans: &[Plan<'_>], rounds: usize, mut progress: impl FnMut(usize)) -> Vec<Row> {
    assert!(rounds > 0, "there is nothing to measure in no rounds");
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let mut random = fastrand::Rng::with_seed(0x5DEE_CE66);
    let mut times = vec![Vec::with_capacity(rounds); plans.len()];
    let mut disturbed = vec![0; plans.len()];
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..plans.len()).collect();
        random.shuffle(&mut order);
        for index in order {
            let slice = (plans[index].measure)(&cores);
            times[index].push(slice.nanoseconds);
            disturbed[index] += usize::from(!slice.clean);
        }
        progress(round + 1);
    }
    plans
        .iter()
        .enumerate()
        .map(|(index, plan)| {
            let floor = &times[floor_of(plans, plan)];
            let ratios = ratios(&times[index], floor);
            let ratio = estimate(&ratios);
            Row {
                name: plan.name.clone(),
                form: plan.form,
                case: plan.case,
                threads: plan.threads,
                ratio_to_floor: ratio.median,
                ci_low: ratio.low,
                ci_high: ratio.high,
                nanoseconds: median(&times[index]),
                rounds: times[index].clone(),
                disturbed: disturbed[index],
            }
        })
        .collect()
}

/// Round by round.
#[must_use]
pub fn ratios(times: &[f64], floors: &[f64]) -> Vec<f64> {
    times
        .iter()
        .zip(floors)
        .map(|(time, floor)| time / floor)
        .filter(|ratio| ratio.is_finite())
        .collect()
}
