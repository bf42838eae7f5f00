//! Scales and the frame of a chart: numbers to places in an SVG.

use maud::{Markup, html};

/// The width of every chart, in its own units. A phone shows it nearly unscaled.
pub(super) const WIDTH: f64 = 380.0;

/// A logarithmic scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    from: f64,
    decades: f64,
    start: f64,
    length: f64,
}

impl Log {
    /// From the least to the greatest of some positive numbers, onto `start` and `length`. Never shorter than `least_span`,
    /// a factor.
    pub(super) fn over(
        values: impl IntoIterator<Item = f64>,
        least_span: f64,
        start: f64,
        length: f64,
    ) -> Self {
        let (mut low, mut high) = values
            .into_iter()
            .filter(|value| *value > 0.0)
            .fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            (low, high) = (1.0, 1.0);
        }
        let short = least_span / (high / low);
        if short > 1.0 {
            low /= short.sqrt();
            high *= short.sqrt();
        }
        Self {
            from: low.log10(),
            decades: high.log10() - low.log10(),
            start,
            length,
        }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        self.start + (value.max(f64::MIN_POSITIVE).log10() - self.from) / self.decades * self.length
    }

    /// Whether a value is on the scale.
    pub(super) fn has(&self, value: f64) -> bool {
        (self.from - 1e-9..=self.from + self.decades + 1e-9).contains(&value.log10())
    }

    /// Round numbers on the scale, about six at most: 1, 2 and 5 times powers of ten, or fewer of them.
    pub(super) fn ticks(&self) -> Vec<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "decades of a float are few")]
        let (first, last) = (self.from.floor() as i32, (self.from + self.decades).ceil() as i32);
        let of_each_decade = |steps: &[f64]| -> Vec<f64> {
            (first..=last)
                .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
                .filter(|tick| self.has(*tick))
                .collect()
        };
        for steps in [&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0][..], &[1.0, 2.0, 5.0]] {
            let ticks = of_each_decade(steps);
            if ticks.len() <= 6 {
                return ticks;
            }
        }
        let decades = of_each_decade(&[1.0]);
        let stride = decades.len().div_ceil(6).max(1);
        decades.into_iter().step_by(stride).collect()
    }
}

/// An SVG of our width with an accessible name.
pub(super) fn svg(height: f64, name: &str, content: &Markup) -> Markup {
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(name) { (content) }
    }
}

/// A number as short as it can be told: 1.2k, 35M.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
        .into_iter()
        .find(|(size, _)| value >= *size)
        .map_or((value, ""), |(size, unit)| (value / size, unit));
    let digits = if scaled >= 100.0 || scaled.fract().abs() < 0.05 {
        0
    } else if scaled < 1.0 {
        2
    } else {
        1
    };
    format!("{scaled:.digits$}{unit}")
}

/// A place in an SVG, without digits that nobody sees.
pub(super) fn at(place: f64) -> String {
    format!("{place:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_at_the_ends() {
        let scale = Log::over([10.0, 1000.0], 1.0, 50.0, 200.0);
        assert!((scale.place(10.0) - 50.0).abs() < 1e-9 && (scale.place(1000.0) - 250.0).abs() < 1e-9);
        assert!((scale.place(100.0) - 150.0).abs() < 1e-9);
        assert!(scale.ticks().contains(&100.0));
    }

    #[test]
    fn one_value_or_none_still_has_a_scale() {
        for values in [vec![], vec![42.0]] {
            let scale = Log::over(values, 4.0, 0.0, 100.0);
            assert!(scale.place(1.0).is_finite() && !scale.ticks().is_empty());
        }
    }

    #[test]
    fn ticks_are_few() {
        for high in [1.5, 10.0, 1e4, 1e9] {
            let ticks = Log::over([1.0, high], 2.0, 0.0, 100.0).ticks();
            assert!((1..=7).contains(&ticks.len()), "{high}: {ticks:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.82, "0.82"),
            (7.0, "7"),
            (1234.0, "1.2k"),
            (35_000_000.0, "35M"),
            (999.0, "999"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
