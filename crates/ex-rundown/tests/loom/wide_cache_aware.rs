//! The wide reference with a word per processor, in the scenes of the others.

use ex_rundown::WideCacheAwareRundownRef;

use crate::{
    model::{RACE, fails, holds},
    platform::{Asleep, AtDispatch, ByPause, Modelled},
    scenes::{
        data_is_renewed_by_another, dropped_while_held, holders_release, newcomer_across_two_generations,
        newcomer_after_completed, nobody_is_refused_while_it_is_live, object_is_freed,
        refusal_stalls_across_two_generations,
    },
};

type Wide<W> = WideCacheAwareRundownRef<Modelled<W>>;

#[test]
fn one_holder() {
    holds("wide cache-aware, 1 holder, event", None, || {
        holders_release::<Wide<Asleep>>(1);
    });
    holds("wide cache-aware, 1 holder, pause", None, || {
        holders_release::<Wide<ByPause>>(1);
    });
    holds("wide cache-aware, 1 holder, dispatch", None, || {
        holders_release::<Wide<AtDispatch>>(1);
    });
    holds("wide cache-aware, 1 holder, freed", None, || {
        object_is_freed::<Wide<Asleep>>(1);
    });
    fails(
        "wide cache-aware, dropped while held",
        None,
        RACE,
        dropped_while_held::<Wide<Asleep>>,
    );
    holds(
        "wide cache-aware, nobody is refused",
        None,
        nobody_is_refused_while_it_is_live::<Wide<Asleep>>,
    );
}

/// A reference that is acquired in a word that is live again is given back where the word is not.
#[test]
fn newcomers() {
    holds(
        "wide cache-aware, newcomer, 2 generations",
        Some(4),
        newcomer_across_two_generations::<Wide<Asleep>>,
    );
    holds(
        "wide cache-aware, newcomer, completed",
        Some(3),
        newcomer_after_completed::<Wide<Asleep>>,
    );
    holds("data, wide cache-aware", Some(4), || {
        data_is_renewed_by_another(|| Wide::<Asleep>::new().expect("memory"));
    });
}

#[test]
fn several() {
    holds("wide cache-aware, 2 holders, event", Some(4), || {
        holders_release::<Wide<Asleep>>(2);
    });
    holds("wide cache-aware, 2 holders, freed", Some(4), || {
        object_is_freed::<Wide<Asleep>>(2);
    });
    holds("wide cache-aware, 3 holders, event", Some(2), || {
        holders_release::<Wide<Asleep>>(3);
    });
    holds(
        "wide cache-aware, refusal across 2 generations",
        Some(3),
        refusal_stalls_across_two_generations::<Wide<Asleep>>,
    );
}
