//! NT's pair beside ours, in the same rounds.
//!
//! A row is a pair of acquire and release on one word. Each round measures every row once, in a random order; a ratio
//! is taken within a round, so that what disturbs the machine for longer than a round disturbs both. The floor is what
//! no such pair can be faster than: `lock xadd` of 2 and of -2 on the same word.

use std::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Instant,
};

use ex_rundown::{Parity, Strict};
use serde::Serialize;

use crate::{Native, Word};

/// One row, shaped as those of the project's other benchmarks.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Whose.
    pub name: &'static str,
    /// `inlined` or `call`.
    pub form: &'static str,
    /// `uncontended` or `contended`.
    pub case: &'static str,
    /// How many threads.
    pub threads: usize,
    /// The median of the rounds' ratios to the floor.
    pub ratio_to_floor: f64,
    /// The lower end of its 95% bootstrap confidence interval.
    pub ci_low: f64,
    /// The upper end.
    pub ci_high: f64,
    /// The median time of a pair.
    pub nanoseconds: f64,
}

/// Ours against NT's called pair, in the same rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// Whose.
    pub name: &'static str,
    /// `inlined` or `call`.
    pub form: &'static str,
    /// `uncontended` or `contended`.
    pub case: &'static str,
    /// The median of the rounds' ratios to NT's.
    pub ratio_to_nt: f64,
    /// The lower end of its 95% bootstrap confidence interval.
    pub ci_low: f64,
    /// The upper end.
    pub ci_high: f64,
    /// What it is to be at most, where there is a goal.
    pub at_most: Option<f64>,
}

impl Goal {
    /// Whether the goal is met, if there is one.
    #[must_use]
    pub fn met(&self) -> bool {
        self.at_most.is_none_or(|at_most| self.ratio_to_nt <= at_most)
    }
}

/// The whole table.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// How many rounds.
    pub rounds: usize,
    /// Measurements that other processes disturbed each time.
    pub disturbed: usize,
    /// The rows.
    pub rows: Vec<Row>,
    /// Ours against NT's.
    pub goals: Vec<Goal>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Pairs of each thread in one measurement.
    pub pairs: usize,
}

/// A loop of `pairs` pairs on a word.
type Loop<'a> = &'a (dyn Fn(&Word, usize) + Sync);

/// Measures.
#[must_use]
pub fn run(native: &Native, plan: Plan) -> Table {
    let (nt_acquire, nt_release) = native.pair();
    let floor = |word: &Word, pairs: usize| {
        // SAFETY: a word is an atomic word.
        let word = unsafe { AtomicUsize::from_ptr(word.as_ptr()) };
        for _ in 0..pairs {
            black_box(word.fetch_add(2, SeqCst));
            black_box(word.fetch_sub(2, SeqCst));
        }
    };
    // As a caller does it: what it asks for may be refused.
    let nt = |word: &Word, pairs: usize| {
        for _ in 0..pairs {
            // SAFETY: a word is an `EX_RUNDOWN_REF`, live, so that the code does not fault.
            if unsafe { nt_acquire(word.as_ptr()) } != 0 {
                // SAFETY: as above; acquired.
                unsafe { nt_release(word.as_ptr()) };
            }
        }
    };
    let strict = |word: &Word, pairs: usize| {
        let reference = word.as_ours::<Strict>();
        for _ in 0..pairs {
            drop(reference.try_acquire());
        }
    };
    let parity = |word: &Word, pairs: usize| {
        let reference = word.as_ours::<Parity>();
        for _ in 0..pairs {
            drop(reference.try_acquire());
        }
    };
    let called = |word: &Word, pairs: usize| {
        for _ in 0..pairs {
            if acquire_call(word) {
                release_call(word);
            }
        }
    };
    let subjects: [(&str, &str, Loop<'_>); 5] = [
        ("lock xadd", "inlined", &floor),
        ("NT", "call", &nt),
        ("RundownRef", "inlined", &strict),
        ("RundownRef<Parity>", "inlined", &parity),
        ("RundownRef", "call", &called),
    ];
    let mut table = Table {
        rounds: plan.rounds,
        disturbed: 0,
        rows: Vec::new(),
        goals: Vec::new(),
    };
    for (case, threads, goal) in [("uncontended", 1, 0.95), ("contended", 2, 0.75)] {
        let times = measure(
            &subjects.map(|(_, _, run)| run),
            threads,
            plan,
            &mut table.disturbed,
        );
        for ((name, form, _), own) in subjects.iter().zip(&times) {
            let (ratio_to_floor, ci_low, ci_high) = ratio(own, &times[0]);
            table.rows.push(Row {
                name,
                form,
                case,
                threads,
                ratio_to_floor,
                ci_low,
                ci_high,
                nanoseconds: median(own),
            });
            if name.starts_with("RundownRef") {
                let (ratio_to_nt, ci_low, ci_high) = ratio(own, &times[1]);
                table.goals.push(Goal {
                    name,
                    form,
                    case,
                    ratio_to_nt,
                    ci_low,
                    ci_high,
                    at_most: (*name == "RundownRef" && *form == "inlined").then_some(goal),
                });
            }
        }
    }
    table
}

// With this system's calling convention. NT's makes ours save ten registers here, because the slow path that it may call
// has the system's; in a driver both have NT's.
#[inline(never)]
extern "C" fn acquire_call(word: &Word) -> bool {
    word.as_ours::<Strict>().acquire()
}

#[inline(never)]
extern "C" fn release_call(word: &Word) {
    // SAFETY: the loop that calls this has acquired.
    unsafe { word.as_ours::<Strict>().release() };
}

/// Nanoseconds of a pair, by subject and round.
fn measure(subjects: &[Loop<'_>], threads: usize, plan: Plan, disturbed: &mut usize) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::with_capacity(plan.rounds); subjects.len()];
    let mut random = Random(0x5eed);
    // Round 0 warms up.
    for round in 0..=plan.rounds {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        for subject in order {
            let time = once(subjects[subject], threads, plan.pairs, disturbed);
            if round != 0 {
                times[subject].push(time);
            }
        }
    }
    times
}

/// Nanoseconds of a pair when all threads run it at once: the mean of the threads'. What another process has disturbed
/// is measured again, a few times.
fn once(run: Loop<'_>, threads: usize, pairs: usize, disturbed: &mut usize) -> f64 {
    const TRIES: usize = 30;
    let mut time = f64::NAN;
    for _ in 0..TRIES {
        let runs = together(run, threads, pairs);
        let times: Vec<f64> = runs.iter().map(|run| run.nanoseconds).collect();
        #[expect(clippy::cast_precision_loss, reason = "a number of pairs is far below 2^53")]
        let pairs = pairs as f64;
        time = mean(&times) / pairs;
        let first = runs.iter().map(|run| run.start).min();
        let late = |run: &One| {
            first.is_some_and(|first| {
                run.start.duration_since(first).as_secs_f64() * 1e9 > run.nanoseconds / 20.0
            })
        };
        if !runs.iter().any(|run| run.switched || late(run)) {
            return time;
        }
    }
    *disturbed += 1;
    time
}

/// One thread's measurement.
struct One {
    start: Instant,
    nanoseconds: f64,
    /// Another thread had the processor meanwhile.
    switched: bool,
}

fn together(run: Loop<'_>, threads: usize, pairs: usize) -> Vec<One> {
    let word = Word::new();
    let arrived = AtomicUsize::new(0);
    let one = |processor: usize| {
        pin(processor);
        // The first pairs bring the code and the word in.
        run(&word, pairs / 16);
        // Everybody is running, not only runnable, when the last one arrives.
        arrived.fetch_add(1, SeqCst);
        while arrived.load(SeqCst) < threads {
            std::hint::spin_loop();
        }
        let switches = involuntary_switches();
        let start = Instant::now();
        run(&word, pairs);
        let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
        One {
            start,
            nanoseconds,
            switched: involuntary_switches() != switches,
        }
    };
    let one = &one;
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|processor| scope.spawn(move || one(processor)))
            .collect();
        running
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}

/// How often the calling thread has lost its processor.
fn involuntary_switches() -> libc::c_long {
    // SAFETY: integers, for which zero is a value.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    // SAFETY: writes one structure.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nivcsw
}

/// Keeps the calling thread on one processor; where there is none of that number, it runs anywhere.
fn pin(processor: usize) {
    // SAFETY: a set of bits, for which zero is a value.
    let mut set = unsafe { std::mem::zeroed::<libc::cpu_set_t>() };
    // SAFETY: writes into the set, and only when the number is within.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: reads the set.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
}

fn mean(values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of threads is far below 2^53")]
    let count = values.len() as f64;
    values.iter().sum::<f64>() / count
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the rounds' ratios, and its 95% confidence interval by 1000 bootstrap samples.
fn ratio(own: &[f64], other: &[f64]) -> (f64, f64, f64) {
    let ratios: Vec<f64> = own.iter().zip(other).map(|(own, other)| own / other).collect();
    let mut random = Random(0xb007);
    let mut medians: Vec<f64> = (0..1_000)
        .map(|_| {
            let sample: Vec<f64> = (0..ratios.len())
                .map(|_| ratios[random.below(ratios.len())])
                .collect();
            median(&sample)
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    (median(&ratios), medians[25], medians[974])
}

/// xorshift64* (Marsaglia 2003, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let upper = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(upper).unwrap_or_default() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_lies_in_its_interval() {
        let own: Vec<f64> = (0..101).map(|i| 2.0 + f64::from(i % 7) * 0.01).collect();
        let (ratio, low, high) = ratio(&own, &[1.0; 101]);
        assert!(
            low <= ratio && ratio <= high && 2.0 <= low && high <= 2.06,
            "{ratio} {low} {high}"
        );
    }
}
