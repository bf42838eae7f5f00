//! How fast a counter runs beside a clock.

/// A counter, read between two readings of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The clock, before the counter was read.
    pub before: u64,
    /// The counter.
    pub counter: u64,
    /// The clock, after the counter was read.
    pub after: u64,
}

impl Reading {
    /// How uncertain it is, in ticks of the clock: the thread may have been interrupted between two of the readings. A clock that
    /// stepped back makes it worthless.
    #[must_use]
    pub const fn width(&self) -> u64 {
        match self.after.checked_sub(self.before) {
            Some(width) => width,
            None => u64::MAX,
        }
    }
}

/// The counter's frequency in hertz, between two readings beside a clock of `frequency` hertz. `None` when the counter has stood
/// still, or has restarted in between, or no time has passed.
#[must_use]
pub fn frequency(first: &Reading, last: &Reading, frequency: u64) -> Option<u64> {
    let ticks = last.before.checked_sub(first.before)?;
    let counted = last.counter.checked_sub(first.counter)?;
    let hertz = (u128::from(counted) * u128::from(frequency)).checked_div(ticks.into())?;
    u64::try_from(hertz).ok().filter(|&hertz| hertz != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: u64 = 10_000_000;

    const fn at(before: u64, counter: u64) -> Reading {
        Reading {
            before,
            counter,
            after: before + 1,
        }
    }

    #[test]
    fn a_counter_is_measured_from_wherever_it_stands() {
        // A millisecond of 3 GHz, also near the end of both counters' range.
        for (clock, counter) in [(0, 0), (7, 1 << 40), (u64::MAX - 20_000, u64::MAX - 3_000_000)] {
            let measured = frequency(
                &at(clock, counter),
                &at(clock + 10_000, counter + 3_000_000),
                CLOCK,
            );
            assert_eq!(measured, Some(3_000_000_000));
        }
        let day = 86_400;
        let measured = frequency(&at(0, 0), &at(day * CLOCK, day * 5_000_000_000), CLOCK);
        assert_eq!(measured, Some(5_000_000_000));
    }

    #[test]
    fn a_counter_that_restarts_or_stands_still_has_no_frequency() {
        let first = at(1_000, 9_000_000_000);
        assert_eq!(
            frequency(&first, &at(11_000, 3_000_000), CLOCK),
            None,
            "restarted"
        );
        assert_eq!(
            frequency(&first, &at(11_000, first.counter), CLOCK),
            None,
            "stands still"
        );
        assert_eq!(
            frequency(&first, &at(1_000, first.counter + 1), CLOCK),
            None,
            "no time"
        );
        assert_eq!(
            frequency(&first, &at(0, first.counter + 1), CLOCK),
            None,
            "time runs back"
        );
        assert_eq!(
            frequency(&at(0, 0), &at(1, u64::MAX), CLOCK),
            None,
            "beyond any frequency"
        );
        assert_eq!(
            frequency(&at(0, 0), &at(CLOCK * 2, 1), CLOCK),
            None,
            "less than a hertz"
        );
    }

    #[test]
    fn the_width_tells_an_interruption() {
        assert_eq!(at(5, 0).width(), 1);
        let back = Reading {
            before: 5,
            counter: 0,
            after: 4,
        };
        assert_eq!(back.width(), u64::MAX);
    }
}
