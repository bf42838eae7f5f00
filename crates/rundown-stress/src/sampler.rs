//! Which operations are measured.

use crate::Stage;

/// One operation in so many is measured: reading the time stamp counter costs as much as an acquire.
const INTERVAL: u32 = 16;

/// Counts a thread's operations down to the next one that is measured.
pub(crate) struct Sampler(u32);

impl Sampler {
    pub(crate) const fn new() -> Self {
        Self(INTERVAL)
    }

    /// Whether the next operation is measured. None is before the warm-up is over.
    #[inline]
    pub(crate) fn next(&mut self, stage: &Stage) -> bool {
        self.0 -= 1;
        if self.0 > 0 {
            return false;
        }
        self.0 = INTERVAL;
        stage.is_measured()
    }
}
