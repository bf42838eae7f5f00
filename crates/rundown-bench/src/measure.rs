//! Slices of time in which nothing but the row's own threads disturbs it.

use std::{
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Release, SeqCst},
    },
    time::{Duration, Instant},
};

/// A processor to pin a thread to.
pub use core_affinity::CoreId;

use crate::subjects::number_thread;

/// How long a slice is.
const SLICE: Duration = Duration::from_micros(200);
/// Operations between two looks at the clock.
const BATCH: u32 = 64;
/// A thread that was away for longer than this between two looks was preempted, and the slice does not count.
const AWAY: Duration = Duration::from_micros(25);
/// How often a slice is tried before it counts as it is.
const TRIES: usize = 40;

/// What one slice came to.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Nanoseconds per operation, as each thread sees it.
    pub nanoseconds: f64,
    /// No thread was preempted meanwhile.
    pub clean: bool,
}

/// What one thread did: operations per nanosecond, and whether it was never away.
fn run(operation: &impl Fn(), start: Instant) -> (f64, bool) {
    while Instant::now() < start {
        std::hint::spin_loop();
    }
    let mut clean = start.elapsed() < AWAY;
    let begin = Instant::now();
    let mut operations = 0_u32;
    let mut last = begin;
    while last < start + SLICE {
        for _ in 0..BATCH {
            operation();
        }
        operations += BATCH;
        let now = Instant::now();
        // A batch itself takes a few microseconds.
        clean &= now - last < AWAY;
        last = now;
    }
    let nanoseconds = (last - begin).as_secs_f64() * 1e9;
    // A thread that came too late did nothing.
    (
        f64::from(operations) / nanoseconds.max(1.0),
        clean && operations > 0,
    )
}

fn pin(core: Option<&CoreId>) {
    if let Some(core) = core {
        core_affinity::set_for_current(*core);
    }
}

fn slice_on_one(operation: &impl Fn()) -> Slice {
    let (rate, clean) = run(operation, Instant::now());
    Slice {
        nanoseconds: rate.recip(),
        clean,
    }
}

/// One clean slice of `operation` on one thread, if the machine lets it.
pub fn alone(cores: &[CoreId], operation: impl Fn()) -> Slice {
    pin(cores.first());
    number_thread(0);
    let mut last = slice_on_one(&operation);
    for _ in 1..TRIES {
        if last.clean {
            break;
        }
        last = slice_on_one(&operation);
    }
    last
}

/// One clean slice of `operation` on two threads at a time, each on its own processor, if the machine lets it.
///
/// # Panics
/// When a thread cannot be started.
pub fn together(cores: &[CoreId], operation: impl Fn() + Sync) -> Slice {
    let origin = Instant::now();
    // Nanoseconds from the origin at which the next slice begins; its number in front.
    let next = AtomicUsize::new(0);
    let taken = AtomicUsize::new(0);
    let other = std::sync::Mutex::new((0.0, false));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(cores.get(1));
            number_thread(1);
            let mut seen = 0;
            while !over.load(Acquire) {
                let start = next.load(Acquire);
                if start == seen {
                    std::hint::spin_loop();
                    continue;
                }
                seen = start;
                let result = run(&operation, origin + Duration::from_nanos(start as u64));
                *other.lock().expect("no panic") = result;
                taken.store(start, Release);
            }
        });
        pin(cores.first());
        number_thread(0);
        let mut slice = Slice {
            nanoseconds: f64::NAN,
            clean: false,
        };
        for _ in 0..TRIES {
            let start = origin.elapsed() + Duration::from_micros(30);
            let start_nanoseconds = usize::try_from(start.as_nanos()).expect("minutes");
            next.store(start_nanoseconds, SeqCst);
            let (mine, mine_clean) = run(
                &operation,
                origin + Duration::from_nanos(start_nanoseconds as u64),
            );
            while taken.load(Acquire) != start_nanoseconds {
                std::thread::yield_now();
            }
            let (others, others_clean) = *other.lock().expect("no panic");
            slice = Slice {
                nanoseconds: 2.0 / (mine + others),
                clean: mine_clean && others_clean,
            };
            if slice.clean {
                break;
            }
        }
        over.store(true, Release);
        slice
    })
}
