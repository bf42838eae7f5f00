//! The references against an oracle: a locked map of who holds how much, which knows every misuse.
//!
//! One thread plays everybody. What happens *during* a wait happens in the platform's hooks, where a real waiter
//! spins or sleeps, so that a wait with holders, its refusals and its misuse are as deterministic as the rest.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

mod machine;
mod map;
mod nt;
mod scripted;
mod subject;

use ex_rundown::{
    AllocatedCacheAwareRundownRef, DispatchRundownRef, RundownRef, Strict, WideCacheAwareRundownRef,
    WideRundownRef,
};
use machine::{Op, run};
use proptest::prelude::*;
use scripted::{Scripted, Ways};

type Plain = RundownRef<Scripted, Strict>;
type Wide = WideRundownRef<Scripted, Strict>;
type CacheAware = AllocatedCacheAwareRundownRef<Scripted, Strict>;

/// Operations of an exhausted sequence. Miri, which is slow, looks at the memory and not at the arithmetic.
const LENGTH: u32 = if cfg!(miri) { 3 } else { 5 };

/// Sequences that proptest makes for each test.
/// Sequences per test; `PROPTEST_CASES` says otherwise.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    asked.unwrap_or(if cfg!(miri) { 4 } else { 2_000 })
}

/// Every sequence of [`LENGTH`] operations by two holders, each on its own processor, with each way out.
fn exhaust<R: subject::Subject>() {
    let alphabet = [
        Op::Acquire(0),
        Op::Acquire(1),
        Op::AcquireEx(0, 2),
        Op::Release(0),
        Op::Release(1),
        Op::ReleaseEx(0, 2),
        Op::Wait,
        Op::Completed,
        Op::Reinitialize,
    ];
    let mut waited = 0;
    let mut misused = 0;
    let sequences = alphabet.len().pow(LENGTH);
    for number in 0..sequences {
        let mut rest = number;
        let ops: Vec<_> = (0..LENGTH)
            .map(|_| {
                let op = alphabet[rest % alphabet.len()];
                rest /= alphabet.len();
                op
            })
            .collect();
        let outcome = run::<R>(&ops, Ways::ALL[number % Ways::ALL.len()]);
        waited += outcome.contested_waits;
        misused += usize::from(outcome.misuse.is_some());
    }
    let enough = sequences / 600;
    assert!(
        waited > enough && misused > enough,
        "{waited} contested waits and {misused} misuses: too few"
    );
}

#[test]
fn every_short_sequence_plain() {
    exhaust::<Plain>();
}

#[test]
fn every_short_sequence_wide() {
    exhaust::<Wide>();
}

#[test]
fn every_short_sequence_cache_aware() {
    exhaust::<CacheAware>();
}

#[test]
fn every_short_sequence_wide_cache_aware() {
    exhaust::<WideCacheAwareRundownRef<Scripted>>();
}

#[test]
fn every_short_sequence_dispatch() {
    exhaust::<DispatchRundownRef<Scripted>>();
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..4_u8;
    let count = prop_oneof![0..4_u32, Just(0x7FFF_FFFF), Just(0x8000_0000), Just(u32::MAX)];
    prop_oneof![
        4 => who.clone().prop_map(Op::Acquire),
        2 => (who.clone(), count.clone()).prop_map(|(who, count)| Op::AcquireEx(who, count)),
        4 => who.clone().prop_map(Op::Release),
        2 => (who, count).prop_map(|(who, count)| Op::ReleaseEx(who, count)),
        2 => Just(Op::Wait),
        1 => Just(Op::Completed),
        2 => Just(Op::Reinitialize),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_plain(ops in prop::collection::vec(op(), 0..40), ways in 0..Ways::ALL.len()) {
        run::<Plain>(&ops, Ways::ALL[ways]);
    }

    #[test]
    fn any_sequence_wide(ops in prop::collection::vec(op(), 0..40), ways in 0..Ways::ALL.len()) {
        run::<Wide>(&ops, Ways::ALL[ways]);
    }

    #[test]
    fn any_sequence_cache_aware(ops in prop::collection::vec(op(), 0..40), ways in 0..Ways::ALL.len()) {
        run::<CacheAware>(&ops, Ways::ALL[ways]);
    }

    #[test]
    fn any_sequence_wide_cache_aware(ops in prop::collection::vec(op(), 0..40), ways in 0..Ways::ALL.len()) {
        run::<WideCacheAwareRundownRef<Scripted>>(&ops, Ways::ALL[ways]);
    }

    #[test]
    fn any_sequence_dispatch(ops in prop::collection::vec(op(), 0..40), ways in 0..Ways::ALL.len()) {
        run::<DispatchRundownRef<Scripted>>(&ops, Ways::ALL[ways]);
    }

    /// Under Parity every word is the one that NT's arithmetic gives.
    #[test]
    fn any_sequence_is_nts(ops in prop::collection::vec(op(), 0..40)) {
        nt::run(&ops);
    }
}
