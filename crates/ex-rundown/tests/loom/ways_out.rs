//! The ways out that the scenes are named for do occur.

use std::sync::{Arc, Mutex};

use ex_rundown::{AllocatedCacheAwareRundownRef, Protection, RundownRef, WayOut, WideRundownRef};
use loom::thread;

use crate::{
    model::holds,
    platform::{Asleep, AtDispatch, ByMonitor, ByPause, Modelled},
};

/// Every way out of a wait for one holder.
fn ways<R: Protection + 'static>(name: &str, make: fn() -> R) -> Vec<WayOut> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ways = seen.clone();
    holds(&format!("{name}, ways out"), None, move || {
        let reference = loom::sync::Arc::new(make());
        assert!(reference.acquire());
        let holder = reference.clone();
        // SAFETY: acquired above.
        let thread = thread::spawn(move || unsafe { holder.release() });
        let way = reference.wait();
        let mut ways = ways.lock().unwrap();
        if !ways.contains(&way) {
            ways.push(way);
        }
        drop(ways);
        thread.join().unwrap();
    });
    let seen = seen.lock().unwrap();
    seen.clone()
}

fn all(seen: &[WayOut], expected: &[WayOut]) -> bool {
    expected.iter().all(|way| seen.contains(way))
}

#[test]
fn each_way_out_of_the_plain_reference_is_reached() {
    use WayOut::{Dispatch, Drained, Event, Late, Monitorx, Pause};
    let asleep = ways("plain, event", RundownRef::<Modelled<Asleep>>::new);
    assert!(all(&asleep, &[Drained, Event, Late]));
    let pause = ways("plain, pause", RundownRef::<Modelled<ByPause>>::new);
    assert!(all(&pause, &[Drained, Pause, Event, Late]));
    let monitor = ways("plain, monitor", RundownRef::<Modelled<ByMonitor>>::new);
    assert!(all(&monitor, &[Drained, Monitorx, Event, Late]));
    let dispatch = ways("plain, dispatch", RundownRef::<Modelled<AtDispatch>>::new);
    assert!(all(&dispatch, &[Drained, Dispatch]));
}

#[test]
fn each_way_out_of_the_wide_reference_is_reached() {
    use WayOut::{Dispatch, Drained, Event, Late, Monitorx, Pause};
    let asleep = ways("wide, event", WideRundownRef::<Modelled<Asleep>>::new);
    assert!(all(&asleep, &[Drained, Event, Late]));
    let pause = ways("wide, pause", WideRundownRef::<Modelled<ByPause>>::new);
    assert!(all(&pause, &[Drained, Pause, Event, Late]));
    let monitor = ways("wide, monitor", WideRundownRef::<Modelled<ByMonitor>>::new);
    assert!(all(&monitor, &[Drained, Monitorx, Event, Late]));
    let dispatch = ways("wide, dispatch", WideRundownRef::<Modelled<AtDispatch>>::new);
    assert!(all(&dispatch, &[Drained, Dispatch]));
}

#[test]
fn each_way_out_of_the_cache_aware_reference_is_reached() {
    use WayOut::{Drained, Event, Late};
    let seen = ways("cache-aware", || {
        AllocatedCacheAwareRundownRef::<Modelled<Asleep>>::new().expect("memory")
    });
    assert!(all(&seen, &[Drained, Event, Late]));
}
