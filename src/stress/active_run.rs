//! A run that was started.

use wdk_sys::WDFOBJECT;

use super::crew::Crew;
use crate::kernel::{PoolArc, trace};

/// A run that was started and not yet replaced by another. Its threads may have ended.
pub(super) struct ActiveRun {
    pub(super) number: u64,
    /// The file object that started it; only ever compared.
    pub(super) file: WDFOBJECT,
    /// The set of its arms.
    pub(super) arms: u32,
    pub(super) stopped: bool,
    pub(super) crew: PoolArc<Crew>,
}

impl ActiveRun {
    /// Tells its threads to return, who are to be joined without the lock.
    pub(super) fn stop(&self) -> PoolArc<Crew> {
        trace::record(trace::Event::RunStops, [self.number, 0, 0, 0]);
        self.crew.stop();
        self.crew.clone()
    }
}
