//! Every interleaving of small scenes, by loom.
//!
//! ```text
//! RUSTFLAGS="--cfg ex_rundown_loom" cargo test -p ex-rundown --release --test loom --target-dir target/loom
//! RUSTFLAGS="--cfg ex_rundown_loom" cargo test -p ex-rundown --release --test loom --target-dir target/loom -- --ignored
//! ```
//!
//! The first is the gate's and takes minutes; the second, the deep set, takes longer. Each model prints its bound on
//! preemptions, how many executions it took, and whether it was complete. That the scenes and bounds suffice is shown by
//! planted defects (`tools/xtask/mutants`), each a patch of the crate itself that a scene must find: `cargo xtask mutate`.
#![cfg(ex_rundown_loom)]

mod dispatch;
mod model;
#[path = "../models/platform.rs"]
mod platform;
#[path = "../models/protocol.rs"]
mod protocol;
#[path = "../models/scenes.rs"]
mod scenes;
#[path = "../models/seam.rs"]
mod seam;
mod ways_out;
mod wide_cache_aware;

use ex_rundown::{AllocatedCacheAwareRundownRef, Parity, RundownRef, Strict, WideRundownRef};
use model::{RACE, fails, holds};
use platform::{Asleep, AtDispatch, ByMonitor, ByPause, Modelled};
use scenes::{
    data_goes_with_a_request, data_is_renewed_by_another, dropped_while_held, holders_release,
    newcomer_across_two_generations, newcomer_after_completed, nobody_is_refused_while_it_is_live,
    object_is_freed, refusal_stalls_across_two_generations,
};

type Plain<W, C = Strict> = RundownRef<Modelled<W>, C>;
type Wide<W, C = Strict> = WideRundownRef<Modelled<W>, C>;
type CacheAware<C = Strict> = AllocatedCacheAwareRundownRef<Modelled<Asleep>, C>;

// Waiter and one other: complete.

#[test]
fn plain_one_holder() {
    holds("plain, 1 holder, event", None, || {
        holders_release::<Plain<Asleep>>(1);
    });
    holds("plain, 1 holder, event, parity", None, || {
        holders_release::<Plain<Asleep, Parity>>(1);
    });
    holds("plain, 1 holder, pause", None, || {
        holders_release::<Plain<ByPause>>(1);
    });
    holds("plain, 1 holder, monitor", None, || {
        holders_release::<Plain<ByMonitor>>(1);
    });
    holds("plain, 1 holder, dispatch", None, || {
        holders_release::<Plain<AtDispatch>>(1);
    });
    holds("plain, 1 holder, freed", None, || {
        object_is_freed::<Plain<Asleep>>(1);
    });
}

#[test]
fn wide_one_holder() {
    holds("wide, 1 holder, event", None, || {
        holders_release::<Wide<Asleep>>(1);
    });
    holds("wide, 1 holder, event, parity", None, || {
        holders_release::<Wide<Asleep, Parity>>(1);
    });
    holds("wide, 1 holder, pause", None, || {
        holders_release::<Wide<ByPause>>(1);
    });
    holds("wide, 1 holder, monitor", None, || {
        holders_release::<Wide<ByMonitor>>(1);
    });
    holds("wide, 1 holder, dispatch", None, || {
        holders_release::<Wide<AtDispatch>>(1);
    });
    holds("wide, 1 holder, freed", None, || {
        object_is_freed::<Wide<Asleep>>(1);
    });
}

#[test]
fn cache_aware_one_holder() {
    holds("cache-aware, 1 holder", None, || holders_release::<CacheAware>(1));
    holds("cache-aware, 1 holder, parity", None, || {
        holders_release::<CacheAware<Parity>>(1);
    });
}

#[test]
fn nobody_is_refused() {
    holds(
        "plain, nobody is refused",
        None,
        nobody_is_refused_while_it_is_live::<Plain<Asleep>>,
    );
    holds(
        "wide, nobody is refused",
        None,
        nobody_is_refused_while_it_is_live::<Wide<Asleep>>,
    );
    holds(
        "cache-aware, nobody is refused",
        None,
        nobody_is_refused_while_it_is_live::<CacheAware>,
    );
}

/// A refusal's addition may lie above bit 0 by the time the waiter takes the references out.
#[test]
fn completed_meanwhile() {
    holds("wide, completed meanwhile", None, || {
        // SAFETY: what is completed meanwhile has no reference out.
        let reference = loom::sync::Arc::new(unsafe { Wide::<Asleep, Parity>::with_policy() });
        let other = reference.clone();
        let thread = loom::thread::spawn(move || {
            other.completed();
            assert!(!other.acquire(), "granted after it was completed");
        });
        reference.wait();
        thread.join().unwrap();
    });
}

/// The references tell loom when their memory is used and when it ends: otherwise `object_is_freed` could not fail.
#[test]
fn the_end_of_a_reference_is_seen() {
    fails(
        "plain, dropped while held",
        None,
        RACE,
        dropped_while_held::<Plain<Asleep>>,
    );
    fails(
        "wide, dropped while held",
        None,
        RACE,
        dropped_while_held::<Wide<Asleep>>,
    );
}

#[test]
fn one_newcomer_across_two_generations() {
    holds(
        "plain, newcomer, 2 generations",
        None,
        newcomer_across_two_generations::<Plain<Asleep>>,
    );
    holds(
        "wide, newcomer, 2 generations",
        None,
        newcomer_across_two_generations::<Wide<Asleep>>,
    );
    holds(
        "cache-aware, newcomer, 2 generations",
        Some(4),
        newcomer_across_two_generations::<CacheAware>,
    );
    holds(
        "plain, newcomer, 2 generations, parity",
        Some(5),
        newcomer_across_two_generations::<Plain<Asleep, Parity>>,
    );
}

/// Under Parity a wait leaves its block's address in every slot, and a newcomer changes its processor meanwhile.
#[test]
fn one_newcomer_across_two_generations_cache_aware_parity() {
    holds(
        "cache-aware, newcomer, 2 generations, parity",
        Some(4),
        newcomer_across_two_generations::<CacheAware<Parity>>,
    );
}

#[test]
fn one_newcomer_after_completed() {
    holds(
        "plain, newcomer, completed",
        Some(5),
        newcomer_after_completed::<Plain<Asleep>>,
    );
    holds(
        "wide, newcomer, completed",
        Some(5),
        newcomer_after_completed::<Wide<Asleep>>,
    );
    holds(
        "cache-aware, newcomer, completed",
        Some(3),
        newcomer_after_completed::<CacheAware>,
    );
    holds(
        "cache-aware, newcomer, completed, parity",
        Some(3),
        newcomer_after_completed::<CacheAware<Parity>>,
    );
}

#[test]
fn data_is_held_by_another_thread() {
    holds("request, plain", None, || {
        data_goes_with_a_request(Plain::<Asleep>::new)
    });
    holds("request, wide", None, || {
        data_goes_with_a_request(Wide::<Asleep>::new)
    });
    holds("request, cache-aware", Some(5), || {
        data_goes_with_a_request(|| CacheAware::new().expect("memory"));
    });
}

#[test]
fn data_comes_and_goes() {
    holds("data, plain", Some(5), || {
        data_is_renewed_by_another(Plain::<Asleep>::new);
    });
    holds("data, wide", Some(5), || {
        data_is_renewed_by_another(Wide::<Asleep>::new);
    });
    holds("data, cache-aware", Some(4), || {
        data_is_renewed_by_another(|| CacheAware::new().expect("memory"));
    });
}

// Waiter and two others: bound 5.

#[test]
fn plain_two_holders_asleep() {
    holds("plain, 2 holders, event", Some(5), || {
        holders_release::<Plain<Asleep>>(2);
    });
}

#[test]
fn plain_two_holders_by_pause() {
    holds("plain, 2 holders, pause", Some(5), || {
        holders_release::<Plain<ByPause>>(2);
    });
}

#[test]
fn plain_two_holders_freed() {
    holds("plain, 2 holders, freed", Some(5), || {
        object_is_freed::<Plain<Asleep>>(2);
    });
}

#[test]
fn wide_two_holders_asleep() {
    holds("wide, 2 holders, event", Some(5), || {
        holders_release::<Wide<Asleep>>(2);
    });
}

#[test]
fn wide_two_holders_by_pause() {
    holds("wide, 2 holders, pause", Some(5), || {
        holders_release::<Wide<ByPause>>(2);
    });
}

#[test]
fn wide_two_holders_freed() {
    holds("wide, 2 holders, freed", Some(5), || {
        object_is_freed::<Wide<Asleep>>(2);
    });
}

#[test]
fn cache_aware_two_holders() {
    holds("cache-aware, 2 holders", Some(5), || {
        holders_release::<CacheAware>(2);
    });
}

#[test]
fn wide_refusal_across_two_generations() {
    holds(
        "wide, refusal across 2 generations",
        Some(5),
        refusal_stalls_across_two_generations::<Wide<Asleep>>,
    );
}

#[test]
fn plain_refusal_across_two_generations() {
    holds(
        "plain, refusal across 2 generations",
        Some(4),
        refusal_stalls_across_two_generations::<Plain<Asleep>>,
    );
}

// Waiter and three others: bound 2 here, 3 in the deep set.

#[test]
fn three_holders() {
    holds("plain, 3 holders, event", Some(2), || {
        holders_release::<Plain<Asleep>>(3);
    });
    holds("wide, 3 holders, event", Some(2), || {
        holders_release::<Wide<Asleep>>(3);
    });
    holds("cache-aware, 3 holders", Some(2), || {
        holders_release::<CacheAware>(3);
    });
}

// The deep set.

#[test]
#[ignore = "deep: minutes"]
fn deep_three_holders_plain() {
    holds("plain, 3 holders, event", Some(4), || {
        holders_release::<Plain<Asleep>>(3);
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_three_holders_wide() {
    holds("wide, 3 holders, event", Some(4), || {
        holders_release::<Wide<Asleep>>(3);
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_three_holders_cache_aware() {
    holds("cache-aware, 3 holders", Some(4), || {
        holders_release::<CacheAware>(3);
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_two_holders_at_dispatch() {
    holds("plain, 2 holders, dispatch", Some(5), || {
        holders_release::<Plain<AtDispatch>>(2);
    });
    holds("wide, 2 holders, dispatch", Some(5), || {
        holders_release::<Wide<AtDispatch>>(2);
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_two_holders_by_monitor() {
    holds("plain, 2 holders, monitor", Some(5), || {
        holders_release::<Plain<ByMonitor>>(2);
    });
    holds("wide, 2 holders, monitor", Some(5), || {
        holders_release::<Wide<ByMonitor>>(2);
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_refusal_across_two_generations() {
    holds(
        "wide, refusal across 2 generations",
        Some(6),
        refusal_stalls_across_two_generations::<Wide<Asleep>>,
    );
    holds(
        "wide, refusal across 2 generations, pause",
        Some(5),
        refusal_stalls_across_two_generations::<Wide<ByPause>>,
    );
    holds(
        "plain, refusal across 2 generations",
        Some(5),
        refusal_stalls_across_two_generations::<Plain<Asleep>>,
    );
    holds(
        "cache-aware, refusal across 2 generations",
        Some(3),
        refusal_stalls_across_two_generations::<CacheAware>,
    );
}
