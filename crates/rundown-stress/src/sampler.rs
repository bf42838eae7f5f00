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

#[cfg(test)]
mod tests {
    use super::{INTERVAL, Sampler, Stage};

    #[test]
    fn one_in_so_many_is_measured_and_none_of_the_warm_up() {
        let (stage, mut sampler) = (Stage::new(), Sampler::new());
        stage.begin(0);
        let mut measured = |stage: &Stage| (0..10 * INTERVAL).filter(|_| sampler.next(stage)).count();
        assert_eq!(measured(&stage), 0);
        stage.measure();
        assert_eq!(measured(&stage), 10);
        stage.end();
        assert_eq!(measured(&stage), 0);
    }
}
