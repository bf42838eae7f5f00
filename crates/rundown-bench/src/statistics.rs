//! Medians, and how far to trust them.

use serde::Serialize;

/// A median with its 95% bootstrap confidence interval.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// The median; NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// The median of `values`, and the interval that 95% of the medians of 2000 resamples lie in.
#[must_use]
pub fn estimate(values: &[f64]) -> Estimate {
    const RESAMPLES: usize = 2_000;
    // The same resamples at each run.
    let mut random = fastrand::Rng::with_seed(0x9E37_79B9_7F4A_7C15);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let resample: Vec<f64> = values
                .iter()
                .map(|_| values[random.usize(..values.len())])
                .collect();
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Estimate {
        median: median(values),
        low: medians[RESAMPLES * 25 / 1000],
        high: medians[RESAMPLES * 975 / 1000],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!(median(&[]).is_nan());
        for (values, expected) in [
            (&[3.0][..], 3.0),
            (&[1.0, 9.0, 2.0], 2.0),
            (&[4.0, 1.0, 3.0, 2.0], 2.5),
        ] {
            assert!((median(values) - expected).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn the_interval_holds_the_median_and_narrows() {
        let wide: Vec<f64> = (0..21).map(f64::from).collect();
        let narrow: Vec<f64> = wide.iter().map(|value| 10.0 + value / 100.0).collect();
        for values in [&wide, &narrow] {
            let seen = estimate(values);
            assert!(seen.low < seen.median && seen.median < seen.high, "{seen:?}");
        }
        assert!(estimate(&narrow).high - estimate(&narrow).low < estimate(&wide).high - estimate(&wide).low);
        let constant = estimate(&[2.0; 9]);
        assert!((constant.high - constant.low).abs() < f64::EPSILON);
    }
}
