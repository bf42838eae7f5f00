//! Runs one scene over every interleaving that a bound allows, and says what that came to.

use std::{
    any::Any,
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use loom::model::Builder;

/// No model may take longer. One that does is truncated, and that counts as failed; loom itself would call it passed.
const LIMIT: Duration = Duration::from_mins(45);

struct Run {
    executions: usize,
    seconds: f64,
    result: Result<(), Box<dyn Any + Send>>,
}

fn explore(bound: Option<usize>, scene: impl Fn() + Sync + Send + 'static) -> Run {
    let start = Instant::now();
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = Builder::new();
    builder.preemption_bound = bound;
    builder.max_duration = Some(LIMIT);
    builder.max_permutations = None;
    let count = executions.clone();
    let check = panic::AssertUnwindSafe(|| {
        builder.check(move || {
            count.fetch_add(1, Relaxed);
            scene();
        });
    });
    let result = panic::catch_unwind(check);
    Run {
        executions: executions.load(Relaxed),
        seconds: start.elapsed().as_secs_f64(),
        result,
    }
}

fn print(name: &str, bound: Option<usize>, run: &Run, end: &str) {
    let bound = bound.map_or("none".into(), |bound| bound.to_string());
    println!(
        "loom: {name}: bound {bound}, {} executions, {:.1} s, {end}",
        run.executions, run.seconds
    );
}

/// The scene holds in every interleaving with at most `bound` preemptions.
pub(crate) fn holds(name: &str, bound: Option<usize>, scene: impl Fn() + Sync + Send + 'static) {
    let run = explore(bound, scene);
    let truncated = run.seconds >= LIMIT.as_secs_f64();
    let end = match (&run.result, truncated) {
        (Ok(()), false) => "complete",
        (Ok(()), true) => "TRUNCATED",
        (Err(_), _) => "FAILED",
    };
    print(name, bound, &run, end);
    if let Err(payload) = run.result {
        panic::resume_unwind(payload);
    }
    assert!(
        !truncated,
        "{name}: truncated after {LIMIT:?}, so nothing is proven"
    );
}

/// The scene fails in some interleaving with at most `bound` preemptions, in a way that says one of `expected`.
pub(crate) fn fails(
    name: &str,
    bound: Option<usize>,
    expected: &[&str],
    scene: impl Fn() + Sync + Send + 'static,
) {
    let run = explore(bound, scene);
    let message = run.result.as_ref().err().map(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message")
            .to_owned()
    });
    let first_line = message
        .as_ref()
        .and_then(|message| message.lines().find(|line| !line.trim().is_empty()));
    print(
        name,
        bound,
        &run,
        &first_line.map_or("NOT CAUGHT".into(), |line| format!("caught: {}", line.trim())),
    );
    let message = message.unwrap_or_else(|| panic!("{name}: the mutant survives at this bound"));
    assert!(
        expected.iter().any(|expected| message.contains(expected)),
        "{name}: caught, but by something else than {expected:?}: {message}"
    );
}

/// loom's cells: two accesses of which one writes, and neither happens before the other.
pub(crate) const RACE: &[&str] = &["Causality violation", "already accessed", "Concurrent"];
