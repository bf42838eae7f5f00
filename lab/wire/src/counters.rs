//! What the kernel counted by itself while the driver ran, independently of what the driver says about itself.

use crate::codec::{Put, Reader, Result};
use alloc::vec::Vec;

/// Declares a structure of counters and how it travels: one `u64` after the other, in the order of declaration.
macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$inner])* pub $field: u64,)*
        }

        impl $name {
            pub(crate) fn encode(&self, out: &mut Vec<u8>) {
                $(out.put_u64(self.$field);)*
            }

            pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
                Ok(Self { $($field: reader.u64("the counters")?,)* })
            }

            /// Each counter with its name, in the order of declaration.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }

            /// Reads `name=value` words, decimal; what is not there is 0.
            #[must_use]
            pub fn parse(line: &str) -> Self {
                let value = |name: &str| {
                    let mut words = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
                    words.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
                };
                Self { $($field: value(stringify!($field)),)* }
            }
        }
    };
}

counters! {
    /// All counters of one run.
    Counters {
        /// `KeWaitForSingleObject` calls by the driver on a KEVENT that lies on a thread's kernel stack.
        stack_event_waits,
        /// `KeSetEvent` calls by the driver on such an event.
        stack_event_sets,
        /// MONITORX instructions emulated.
        monitorx,
        /// MONITORX instructions not directly preceded by an MWAITX of the same thread: waits that began to monitor.
        monitorx_series,
        /// MWAITX instructions emulated.
        mwaitx,
        /// Watched reads of CR8 that gave an IRQL below `DISPATCH_LEVEL`.
        cr8_below_dispatch,
        /// Watched reads of CR8 that gave `DISPATCH_LEVEL` or more.
        cr8_at_dispatch,
        /// References granted by the kernel's own `ExAcquireRundownProtection`.
        native_acquires,
        /// References refused by it.
        native_refused,
        /// Waits of the kernel's own routine that found no reference: nothing to wait for.
        native_drained,
        /// Waits that ended while monitoring.
        native_mwaitx,
        /// Waits that ended while polling with PAUSE.
        native_pause,
        /// Waits that polled at `DISPATCH_LEVEL`.
        native_dispatch,
        /// Waits that slept on the event.
        native_event,
        /// Waits that found the hand-over done when they were about to sleep.
        native_late,
        /// How long the longest stay of a processor at `DISPATCH_LEVEL` in the driver lasted, microseconds by the time-stamp counter.
        dispatch_stay,
        /// Who raised the IRQL for it: a return address, or a routine.
        dispatch_stay_raiser,
        /// Calls of DPC routines of the driver's.
        dpcs,
        /// Switches from one thread to another, idle threads included, on all processors.
        switches,
        /// Allocations and creations by the driver that failed because memory was exhausted.
        memory_refused,
        /// Reads of the TSC that were made to step back.
        tsc_back,
        /// Events of a run in mode `replay`, and their digest.
        replay_events,
        /// As above.
        replay_digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_text_and_back() {
        let counters = Counters {
            mwaitx: 7,
            native_late: u64::MAX,
            ..Counters::default()
        };
        let words: Vec<_> = counters
            .each()
            .map(|(name, value)| alloc::format!("{name}={value}"))
            .collect();
        assert_eq!(Counters::parse(&words.join(" ")), counters);
        assert_eq!(Counters::parse("mwaitx=x none=1 late"), Counters::default());
    }

    #[test]
    fn round_trip_and_truncation() {
        let counters = Counters {
            stack_event_waits: 1,
            native_late: u64::MAX,
            mwaitx: 7,
            ..Counters::default()
        };
        let mut bytes = Vec::new();
        counters.encode(&mut bytes);
        assert_eq!(Counters::decode(&mut Reader::new(&bytes)), Ok(counters));
        for length in 0..bytes.len() {
            assert!(Counters::decode(&mut Reader::new(&bytes[..length])).is_err());
        }
    }
}
