//! The rows of the table, and the rounds that measure them.

use core_affinity::CoreId;
use ex_rundown::{AllocatedCacheAwareRundownRef, RundownRef, WayOut, WideRundownRef};
use rundown_std::Std;
use serde::Serialize;

use crate::{
    handover,
    measure::{Slice, alone, together},
    statistics::{Random, estimate, median},
    subjects::{
        ArcClone, ArcSwapLoad, CacheAware, EmptyCall, EpochPin, Floor, ParkingLotRwLock, Plain, PrivateFloor,
        RunDown, StdRwLock, Subject, Wide,
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

type Measure = Box<dyn Fn(&[CoreId]) -> Slice>;

struct Plan {
    name: String,
    form: Form,
    case: Case,
    threads: u32,
    measure: Measure,
}

fn pairs<S: Subject + 'static>(plans: &mut Vec<Plan>, name: &str) {
    let mut push = |form, case, threads, measure: Measure| {
        plans.push(Plan {
            name: name.into(),
            form,
            case,
            threads,
            measure,
        });
    };
    push(
        Form::Inlined,
        Case::Uncontended,
        1,
        Box::new(|cores| {
            let subject = S::new();
            alone(cores, || subject.pair())
        }),
    );
    push(
        Form::Call,
        Case::Uncontended,
        1,
        Box::new(|cores| {
            let subject = S::new();
            alone(cores, || subject.called_pair())
        }),
    );
    push(
        Form::Inlined,
        Case::Contended,
        2,
        Box::new(|cores| {
            let subject = S::new();
            together(cores, || subject.pair())
        }),
    );
    if S::new().disable() {
        push(
            Form::Inlined,
            Case::Refused,
            1,
            Box::new(|cores| {
                let subject = S::new();
                subject.disable();
                alone(cores, || subject.refused())
            }),
        );
        push(
            Form::Call,
            Case::Refused,
            1,
            Box::new(|cores| {
                let subject = S::new();
                subject.disable();
                alone(cores, || subject.called_refused())
            }),
        );
    }
}

/// The name of the floor in every case.
pub const FLOOR: &str = "floor (lock xadd)";
/// The name of the two counters that share nothing.
pub const PRIVATE: &str = "floor, two private counters";

fn plans() -> Vec<Plan> {
    let mut plans = Vec::new();
    pairs::<Floor>(&mut plans, FLOOR);
    pairs::<PrivateFloor>(&mut plans, PRIVATE);
    pairs::<EmptyCall>(&mut plans, "two empty calls");
    pairs::<Plain>(&mut plans, "RundownRef");
    pairs::<Wide>(&mut plans, "WideRundownRef");
    pairs::<CacheAware>(&mut plans, "CacheAwareRundownRef");
    pairs::<RunDown>(&mut plans, "run-down");
    pairs::<StdRwLock>(&mut plans, "std RwLock read");
    pairs::<ParkingLotRwLock>(&mut plans, "parking_lot RwLock read");
    pairs::<ArcClone>(&mut plans, "Arc clone and drop");
    pairs::<ArcSwapLoad>(&mut plans, "arc-swap load");
    pairs::<EpochPin>(&mut plans, "crossbeam-epoch pin");
    let mut push = |name: String, measure: Measure| {
        plans.push(Plan {
            name,
            form: Form::Call,
            case: Case::Handover,
            threads: 2,
            measure,
        });
    };
    push(FLOOR.into(), Box::new(handover::floor));
    // std plays MONITORX by polling, so its figure would be a fiction.
    for way_out in [WayOut::Pause, WayOut::Dispatch, WayOut::Event] {
        push(
            format!("RundownRef, {way_out:?}"),
            Box::new(move |cores| handover::latency(cores, RundownRef::<Std>::new, way_out)),
        );
        push(
            format!("WideRundownRef, {way_out:?}"),
            Box::new(move |cores| handover::latency(cores, WideRundownRef::<Std>::new, way_out)),
        );
    }
    push(
        "CacheAwareRundownRef, Event".into(),
        Box::new(|cores| {
            let make = || AllocatedCacheAwareRundownRef::<Std>::new().expect("memory");
            handover::latency(cores, make, WayOut::Event)
        }),
    );
    plans
}

/// A refusal is half a pair; its floor is the whole one, since there is no floor that refuses.
fn floor_of(plans: &[Plan], plan: &Plan) -> usize {
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
/// When `rounds` is 0.
pub fn measure(rounds: usize, mut progress: impl FnMut(usize)) -> Vec<Row> {
    assert!(rounds > 0, "there is nothing to measure in no rounds");
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let plans = plans();
    let mut random = Random(0x5DEE_CE66);
    let mut times = vec![Vec::with_capacity(rounds); plans.len()];
    let mut disturbed = vec![0; plans.len()];
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..plans.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
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
            let floor = &times[floor_of(&plans, plan)];
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
