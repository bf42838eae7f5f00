//! The copies hold, and each mutant fails, at the bound that is used for the originals.

use crate::{
    model::{LOST_WAKE, RACE, fails, holds},
    mutants::*,
    scenes::{
        holders_release, newcomer_across_two_generations, object_is_freed,
        refusal_stalls_across_two_generations,
    },
};

const ANY: &[&str] = &[
    LOST_WAKE[0],
    RACE[0],
    RACE[1],
    RACE[2],
    "granted after run-down began",
    "exceeded maximum number of branches",
];

const BOUND: Option<usize> = Some(5);

#[test]
fn the_faithful_copies_hold() {
    holds("copy of plain, 2 holders", BOUND, || {
        holders_release::<plain::Plain<Nothing>>(2);
    });
    holds(
        "copy of plain, 2 generations",
        BOUND,
        newcomer_across_two_generations::<plain::Plain<Nothing>>,
    );
    holds("copy of wide, 2 holders", BOUND, || {
        holders_release::<wide::Wide<Nothing>>(2);
    });
    holds(
        "copy of wide, 2 generations",
        BOUND,
        newcomer_across_two_generations::<wide::Wide<Nothing>>,
    );
    holds("copy of wide, freed", BOUND, || {
        object_is_freed::<wide::Wide<Nothing>>(2);
    });
    holds("copy of cache-aware, 2 holders", BOUND, || {
        holders_release::<cache_aware::CacheAware<Nothing>>(2);
    });
    holds(
        "copy of cache-aware, 2 generations",
        Some(4),
        newcomer_across_two_generations::<cache_aware::CacheAware<Nothing>>,
    );
}

macro_rules! mutant {
    ($name:ident, $expected:expr, $scene:expr) => {
        #[test]
        fn $name() {
            fails(
                concat!("mutant ", stringify!($name)),
                BOUND,
                $expected,
                $scene,
            );
        }
    };
}

// No wake is lost.
mutant!(plain_event_skipped, LOST_WAKE, || holders_release::<
    plain::Plain<EventSkipped>,
>(2));
mutant!(plain_split_test_and_clear, ANY, || holders_release::<
    plain::Plain<SplitTestAndClear>,
>(2));
mutant!(plain_count_after_publishing, ANY, || holders_release::<
    plain::Plain<CountAfterPublishing>,
>(2));
mutant!(wide_event_skipped, LOST_WAKE, || holders_release::<
    wide::Wide<EventSkipped>,
>(2));
mutant!(wide_count_stored_not_added, LOST_WAKE, || holders_release::<
    wide::Wide<CountStoredNotAdded>,
>(2));
mutant!(wide_waiter_after_state, &["no block"], || holders_release::<
    wide::Wide<WaiterAfterState>,
>(2));
mutant!(cache_aware_event_skipped, LOST_WAKE, || {
    holders_release::<cache_aware::CacheAware<EventSkipped>>(2);
});
mutant!(cache_aware_spin_flag_set, LOST_WAKE, || {
    holders_release::<cache_aware::CacheAware<SpinFlagSet>>(2);
});
mutant!(cache_aware_count_stored_not_added, ANY, || {
    holders_release::<cache_aware::CacheAware<CountStoredNotAdded>>(2);
});

// Nobody touches the block, or the reference, after the hand-over.
mutant!(plain_touch_after_hand_over, RACE, || holders_release::<
    plain::Plain<TouchAfterHandOver>,
>(2));
mutant!(plain_event_in_any_case, RACE, || holders_release::<
    plain::Plain<EventInAnyCase>,
>(2));
mutant!(wide_touch_after_hand_over, RACE, || holders_release::<
    wide::Wide<TouchAfterHandOver>,
>(2));
mutant!(wide_words_after_count, RACE, || object_is_freed::<
    wide::Wide<WordsAfterCount>,
>(2));

// Nothing is granted after publishing.
mutant!(
    plain_grant_when_active,
    ANY,
    newcomer_across_two_generations::<plain::Plain<GrantWhenActive>>
);
mutant!(
    plain_test_then_add,
    ANY,
    newcomer_across_two_generations::<plain::Plain<TestThenAdd>>
);
mutant!(
    wide_grant_when_active,
    ANY,
    newcomer_across_two_generations::<wide::Wide<GrantWhenActive>>
);
mutant!(cache_aware_grant_when_active, ANY, {
    newcomer_across_two_generations::<cache_aware::CacheAware<GrantWhenActive>>
});

// What was acquired in a slot that is live again can be released in one that is not yet.
mutant!(cache_aware_own_slot_only, &["released after run-down"], {
    newcomer_across_two_generations::<cache_aware::CacheAware<OwnSlotOnly>>
});

// No slot says where a finished wait's block was, when another one is live again.
mutant!(cache_aware_stale_at_reinitialize, ANY, {
    newcomer_across_two_generations::<cache_aware::CacheAware<StaleAtReinitialize>>
});

// Every release happens before the wait's return, and every re-initialise before what it grants. Of each AcqRel both
// halves are needed.
mutant!(plain_release_without_release, RACE, || holders_release::<
    plain::Plain<ReleaseWithoutRelease>,
>(2));
mutant!(plain_publish_without_acquire, RACE, || holders_release::<
    plain::Plain<PublishWithoutAcquire>,
>(2));
mutant!(plain_publish_without_release, RACE, || holders_release::<
    plain::Plain<PublishWithoutRelease>,
>(2));
mutant!(plain_count_without_acquire, RACE, || holders_release::<
    plain::Plain<CountWithoutAcquire>,
>(2));
mutant!(plain_count_without_release, RACE, || holders_release::<
    plain::Plain<CountWithoutRelease>,
>(2));
mutant!(plain_flag_without_acquire, RACE, || holders_release::<
    plain::Plain<FlagWithoutAcquire>,
>(2));
mutant!(plain_flag_without_release, RACE, || holders_release::<
    plain::Plain<FlagWithoutRelease>,
>(2));
mutant!(
    plain_relaxed_reinitialize,
    RACE,
    newcomer_across_two_generations::<plain::Plain<RelaxedReinitialize>>
);
mutant!(
    plain_relaxed_acquire,
    RACE,
    newcomer_across_two_generations::<plain::Plain<RelaxedAcquire>>
);
mutant!(wide_publish_without_acquire, RACE, || holders_release::<
    wide::Wide<PublishWithoutAcquire>,
>(2));
mutant!(wide_publish_without_release, &["no block"], || holders_release::<
    wide::Wide<PublishWithoutRelease>,
>(2));
mutant!(wide_count_without_acquire, RACE, || holders_release::<
    wide::Wide<CountWithoutAcquire>,
>(2));
mutant!(wide_count_without_release, RACE, || holders_release::<
    wide::Wide<CountWithoutRelease>,
>(2));
mutant!(wide_flag_without_acquire, RACE, || holders_release::<
    wide::Wide<FlagWithoutAcquire>,
>(2));
mutant!(wide_flag_without_release, RACE, || holders_release::<
    wide::Wide<FlagWithoutRelease>,
>(2));
mutant!(
    wide_relaxed_reinitialize,
    RACE,
    newcomer_across_two_generations::<wide::Wide<RelaxedReinitialize>>
);
mutant!(
    wide_relaxed_acquire,
    RACE,
    newcomer_across_two_generations::<wide::Wide<RelaxedAcquire>>
);
mutant!(cache_aware_publish_without_acquire, RACE, || holders_release::<
    cache_aware::CacheAware<PublishWithoutAcquire>,
>(2));
mutant!(cache_aware_publish_without_release, RACE, || holders_release::<
    cache_aware::CacheAware<PublishWithoutRelease>,
>(2));
mutant!(cache_aware_count_without_acquire, RACE, || holders_release::<
    cache_aware::CacheAware<CountWithoutAcquire>,
>(2));
mutant!(cache_aware_count_without_release, RACE, || holders_release::<
    cache_aware::CacheAware<CountWithoutRelease>,
>(2));
mutant!(
    cache_aware_relaxed_reinitialize,
    RACE,
    newcomer_across_two_generations::<cache_aware::CacheAware<RelaxedReinitialize>>
);
mutant!(
    cache_aware_relaxed_acquire,
    RACE,
    newcomer_across_two_generations::<cache_aware::CacheAware<RelaxedAcquire>>
);
mutant!(wide_release_without_acquire, &["no block"], || holders_release::<
    wide::Wide<ReleaseWithoutAcquire>,
>(2));
mutant!(wide_release_without_release, RACE, || holders_release::<
    wide::Wide<ReleaseWithoutRelease>,
>(2));
mutant!(cache_aware_release_without_release, RACE, || holders_release::<
    cache_aware::CacheAware<ReleaseWithoutRelease>,
>(2));

/// The obvious design of the wide reference: see `docs/wide.md`.
#[test]
fn wide_with_an_undo() {
    fails(
        "wide that undoes a refused acquire",
        BOUND,
        RACE,
        refusal_stalls_across_two_generations::<undo::Undo>,
    );
}

/// One generation does not show it.
#[test]
fn wide_with_an_undo_holds_in_one_generation() {
    holds("wide that undoes, 2 holders", BOUND, || {
        holders_release::<undo::Undo>(2);
    });
}
