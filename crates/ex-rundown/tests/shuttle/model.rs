//! Runs a scene under random schedules, and says what that came to.

use std::{any::Any, panic, time::Instant};

use shuttle::{
    Config, FailurePersistence, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

/// The same schedules at every run.
const SEED: u64 = 1;
/// How often probabilistic concurrency testing takes the processor away from the thread that it prefers: of n threads and k
/// steps it finds a bug of this depth with a probability of at least 1 / (n * k^(depth - 1)) per schedule.
const DEPTH: usize = 5;

fn run(scheduler: impl Scheduler + 'static, scene: fn()) -> Result<usize, Box<dyn Any + Send>> {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    let runner = Runner::new(scheduler, config);
    panic::catch_unwind(panic::AssertUnwindSafe(|| runner.run(scene)))
}

/// Half of the schedules switch threads anywhere, the other half seldom.
fn explore(schedules: usize, scene: fn()) -> Result<usize, Box<dyn Any + Send>> {
    let half = schedules / 2;
    let random = run(RandomScheduler::new_from_seed(SEED, half), scene)?;
    let seldom = run(PctScheduler::new_from_seed(SEED, DEPTH, half), scene)?;
    Ok(random + seldom)
}

/// The scene holds under so many schedules.
pub(crate) fn holds(name: &str, schedules: usize, scene: fn()) {
    let start = Instant::now();
    let result = explore(schedules, scene);
    let seconds = start.elapsed().as_secs_f64();
    match result {
        Ok(done) => {
            println!("shuttle: {name}: {done} schedules, {seconds:.1} s, held");
            assert_eq!(done, schedules, "{name}: some were not run");
        }
        Err(payload) => {
            println!("shuttle: {name}: {seconds:.1} s, FAILED");
            panic::resume_unwind(payload);
        }
    }
}

/// The scene fails under one of so many schedules, in a way that says one of `expected`.
pub(crate) fn fails(name: &str, schedules: usize, expected: &[&str], scene: fn()) {
    let start = Instant::now();
    let result = explore(schedules, scene);
    let seconds = start.elapsed().as_secs_f64();
    let payload = result.expect_err("nothing is seen in so many schedules");
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    println!("shuttle: {name}: {seconds:.1} s, caught: {message}");
    assert!(
        expected.iter().any(|expected| message.contains(expected)),
        "{name}: caught, but by something else than {expected:?}: {message}"
    );
}
