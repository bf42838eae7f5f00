//! System worker threads: as many as are needed, and they stay.

use crate::ke::event::Event;
use crate::ke::object::Kind;
use crate::ke::spawn;
use crate::lock::IrqLock;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// What a worker is given; it runs at `PASSIVE_LEVEL`.
pub type Work = Box<dyn FnOnce() + Send>;

struct Pool {
    queue: VecDeque<Work>,
    /// Workers that wait, or are about to.
    idle: usize,
}

static POOL: IrqLock<Pool> = IrqLock::new(Pool {
    queue: VecDeque::new(),
    idle: 0,
});
static WORK: Event = Event::new(Kind::SynchronizationEvent);

/// Has `work` done by a worker thread, soon, at `PASSIVE_LEVEL`.
///
/// # IRQL
/// At or below `DISPATCH_LEVEL`.
pub fn queue(work: impl FnOnce() + Send + 'static) {
    let work: Work = Box::new(work);
    let crowded = {
        let mut pool = POOL.lock();
        pool.queue.push_back(work);
        pool.queue.len() > pool.idle
    };
    if crowded {
        spawn::spawn("Worker", run);
    }
    WORK.set();
}

fn run() {
    loop {
        let (work, more) = {
            let mut pool = POOL.lock();
            let work = pool.queue.pop_front();
            if work.is_none() {
                pool.idle += 1;
            }
            (work, !pool.queue.is_empty())
        };
        let Some(work) = work else {
            WORK.wait();
            POOL.lock().idle -= 1;
            continue;
        };
        // Two sets may have become one.
        if more {
            WORK.set();
        }
        work();
    }
}
