//! Log-linear histograms.
//!
//! Each power of two is cut into 32 buckets of one width, and values below 32 have a bucket each. So a bucket is at most
//! 1/32 of its values wide, over the whole range, in a few kilobytes that never grow.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The logarithm of the buckets per power of two.
const SUB_BITS: u32 = 5;
const SUB: usize = 1 << SUB_BITS;
/// Values from 2^41 on, some ten minutes in cycles, share the last bucket.
const BITS: u32 = 41;
const BUCKETS: usize = (BITS - SUB_BITS + 1) as usize * SUB;
/// Where the sum of all values is.
const SUM: usize = BUCKETS;
/// Where the largest value is.
const MAX: usize = BUCKETS + 1;

/// The bucket that a value falls into.
fn bucket(value: u64) -> usize {
    let value = value.min((1 << BITS) - 1);
    // How many bits are cut off, so that SUB_BITS + 1 are left.
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(SUB_BITS + 1);
    // What is left has SUB_BITS + 1 bits.
    let left = (value >> shift) as usize;
    // Below 2 * SUB nothing is cut off, and the buckets are the values.
    shift as usize * SUB + left
}

/// The largest value that falls into a bucket.
fn upper_end(bucket: usize) -> u64 {
    if bucket < 2 * SUB {
        return bucket as u64;
    }
    let shift = bucket / SUB - 1;
    let left = bucket % SUB + SUB;
    ((left as u64 + 1) << shift) - 1
}

/// The shares of the values, in ten-thousandths, whose quantiles are told: close together where a distribution has its body, and
/// again where it has its tail.
pub const SHARES: [u16; 19] = [
    100, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 9500, 9750, 9900, 9950, 9975, 9990, 9995,
    9999,
];

/// A histogram in cells that one thread writes and others read.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a>(&'a [AtomicU64]);

/// What a distribution comes to. All zero without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many values there are.
    pub samples: u64,
    /// Their sum.
    pub sum: u64,
    /// The value that each of [`SHARES`] does not exceed: the upper end of its bucket, at most 1/32 above the exact one.
    pub quantiles: [u64; SHARES.len()],
    /// The largest value, exactly.
    pub max: u64,
}

impl<'a> Histogram<'a> {
    /// How many cells, zero at first, a histogram takes.
    pub const CELLS: usize = BUCKETS + 2;

    /// The histogram in `cells`.
    ///
    /// # Panics
    /// Unless there are [`CELLS`](Self::CELLS).
    #[must_use]
    pub fn new(cells: &'a [AtomicU64]) -> Self {
        assert_eq!(cells.len(), Self::CELLS);
        Self(cells)
    }

    /// Adds a value. One thread at a time may do that.
    ///
    /// # IRQL
    /// Any.
    pub fn record(self, value: u64) {
        self.update(bucket(value), |count| count.wrapping_add(1));
        self.update(SUM, |sum| sum.saturating_add(value));
        self.update(MAX, |max| max.max(value));
    }

    /// Relaxed, and not a locked instruction: there is one writer, and the cells depend on nothing.
    fn update(self, index: usize, change: impl FnOnce(u64) -> u64) {
        let cell = &self.0[index];
        cell.store(change(cell.load(Relaxed)), Relaxed);
    }

    fn cell(self, index: usize) -> u64 {
        // Relaxed: see `update`.
        self.0[index].load(Relaxed)
    }

    /// What all of them together come to. While they are being written it is what each cell said when it was read.
    ///
    /// # IRQL
    /// Any.
    pub fn summarize(histograms: &(impl Iterator<Item = Self> + Clone)) -> Latency {
        let total = |index| {
            histograms
                .clone()
                .fold(0_u64, |sum, one| sum.saturating_add(one.cell(index)))
        };
        let samples = (0..BUCKETS).fold(0_u64, |sum, index| sum.saturating_add(total(index)));
        let max = histograms.clone().map(|one| one.cell(MAX)).max().unwrap_or(0);
        let mut latency = Latency {
            samples,
            sum: total(SUM),
            max,
            ..Latency::default()
        };
        let mut below = 0_u64;
        let mut buckets = (0..BUCKETS).map(|index| (index, total(index)));
        let mut reached = 0;
        for (share, quantile) in SHARES.into_iter().zip(&mut latency.quantiles) {
            // A quantile is the smallest value that so many values do not exceed.
            let rank =
                u64::try_from((u128::from(samples) * u128::from(share)).div_ceil(10_000)).unwrap_or(u64::MAX);
            while below < rank {
                let Some((index, count)) = buckets.next() else {
                    break;
                };
                below = below.saturating_add(count);
                reached = upper_end(index);
            }
            // The last bucket has no end.
            *quantile = if below == samples { max } else { reached.min(max) };
        }
        latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other() {
        let mut last = 0;
        for value in (0..100_000).chain((17..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit])) {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value}");
            assert!(index == last || index == last + 1 || value > 100_000, "{value}");
            last = index;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn an_end_is_the_last_value_of_its_bucket() {
        for index in 0..BUCKETS {
            let end = upper_end(index);
            assert_eq!(bucket(end), index);
            assert_eq!(bucket(end + 1), (index + 1).min(BUCKETS - 1));
        }
    }
}
