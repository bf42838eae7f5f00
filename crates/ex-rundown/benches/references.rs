//! The references, the floor and the peers, one thread and a refusal each, by criterion: for changes from one version to
//! the next. What ratios to the floor come to, and two threads, is `rundown-bench`'s to say.
#![cfg_attr(
    any(ex_rundown_loom, ex_rundown_shuttle),
    allow(unused_crate_dependencies, reason = "nothing is measured under a checker")
)]

#[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
mod benches {
    use criterion::{Criterion, criterion_group};
    use rundown_bench::subjects::{
        ArcClone, ArcSwapLoad, CacheAware, EpochPin, Floor, ParkingLotRwLock, Plain, RunDown, StdRwLock,
        Subject, Wide,
    };

    fn subject<S: Subject + Default>(criterion: &mut Criterion, name: &str) {
        let mut group = criterion.benchmark_group(name);
        let live = S::default();
        group.bench_function("pair, inlined", |bencher| bencher.iter(|| live.pair()));
        group.bench_function("pair, called", |bencher| bencher.iter(|| live.called_pair()));
        let dead = S::default();
        if dead.disable() {
            group.bench_function("refused, inlined", |bencher| bencher.iter(|| dead.refused()));
            group.bench_function("refused, called", |bencher| {
                bencher.iter(|| dead.called_refused());
            });
        }
        group.finish();
    }

    fn all(criterion: &mut Criterion) {
        subject::<Floor>(criterion, "floor (lock xadd)");
        subject::<Plain>(criterion, "RundownRef");
        subject::<Wide>(criterion, "WideRundownRef");
        subject::<CacheAware>(criterion, "CacheAwareRundownRef");
        subject::<RunDown>(criterion, "run-down");
        subject::<StdRwLock>(criterion, "std RwLock read");
        subject::<ParkingLotRwLock>(criterion, "parking_lot RwLock read");
        subject::<ArcClone>(criterion, "Arc clone and drop");
        subject::<ArcSwapLoad>(criterion, "arc-swap load");
        subject::<EpochPin>(criterion, "crossbeam-epoch pin");
    }

    criterion_group!(
        name = group;
        config = Criterion::default().without_plots();
        targets = all
    );
}

#[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
fn main() {
    benches::group();
    criterion::Criterion::default()
        .configure_from_args()
        .final_summary();
}

#[cfg(any(ex_rundown_loom, ex_rundown_shuttle))]
fn main() {}
