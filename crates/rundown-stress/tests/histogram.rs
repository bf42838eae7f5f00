//! Histograms against exact quantiles.

use std::sync::atomic::AtomicU64;

use proptest::{collection::vec, prelude::*};
use rundown_stress::{Histogram, Latency, SHARES};

fn cells() -> Vec<AtomicU64> {
    (0..Histogram::CELLS).map(|_| AtomicU64::new(0)).collect()
}

/// The summary of values that are spread over several histograms.
fn summarize(values: &[u64], histograms: usize) -> Latency {
    let cells: Vec<Vec<AtomicU64>> = (0..histograms).map(|_| self::cells()).collect();
    for (index, &value) in values.iter().enumerate() {
        Histogram::new(&cells[index % histograms]).record(value);
    }
    Histogram::summarize(&cells.iter().map(|cells| Histogram::new(cells)))
}

/// The smallest value that so many ten-thousandths of all do not exceed.
fn exact(sorted: &[u64], share: u16) -> u64 {
    sorted[(sorted.len() * usize::from(share)).div_ceil(10_000).max(1) - 1]
}

/// Values of all magnitudes.
fn value() -> impl Strategy<Value = u64> {
    (0_u32..41, any::<u64>()).prop_map(|(bits, value)| value & ((1 << bits) - 1))
}

proptest! {
    #[test]
    fn quantiles_are_at_most_a_bucket_above_the_exact_ones(
        mut values in vec(value(), 1..400),
        histograms in 1_usize..4,
    ) {
        let latency = summarize(&values, histograms);
        values.sort_unstable();
        prop_assert_eq!(latency.samples, values.len() as u64);
        prop_assert_eq!(latency.sum, values.iter().sum::<u64>());
        prop_assert_eq!(latency.max, *values.last().unwrap());
        for (share, quantile) in SHARES.into_iter().zip(latency.quantiles) {
            let exact = exact(&values, share);
            prop_assert!(quantile >= exact && quantile <= exact + exact / 32, "{share}: {quantile} for {exact}");
        }
    }

    #[test]
    fn quantiles_rise(values in vec(any::<u64>(), 0..100)) {
        let latency = summarize(&values, 1);
        let mut quantiles = latency.quantiles.to_vec();
        quantiles.push(latency.max);
        prop_assert!(quantiles.is_sorted(), "{latency:?}");
    }
}

#[test]
fn nothing_comes_to_nothing() {
    assert_eq!(summarize(&[], 2), Latency::default());
}

#[test]
fn the_largest_values_share_a_bucket_and_keep_their_maximum() {
    let latency = summarize(&[1 << 50, u64::MAX], 1);
    assert_eq!(
        (latency.samples, latency.max, latency.sum),
        (2, u64::MAX, u64::MAX)
    );
    assert_eq!(latency.quantiles.last(), Some(&u64::MAX));
}
