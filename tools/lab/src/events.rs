//! The events for ETW that a driver wrote: the `etw:` lines of the kernel's log, counted.

use std::collections::BTreeMap;

/// How often each event was written, by provider.
pub type Events = BTreeMap<String, BTreeMap<String, u64>>;

/// Counts the events of a log.
#[must_use]
pub fn count(log: &str) -> Events {
    let mut events = Events::new();
    for line in log.lines().filter_map(|line| line.strip_prefix("etw: ")) {
        let mut words = line.split(' ').skip(1);
        if let (Some(provider), Some(event)) = (words.next(), words.next()) {
            let of_provider = events.entry(provider.to_owned()).or_default();
            *of_provider.entry(event.to_owned()).or_default() += 1;
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_provider_and_name() {
        let log = "log: etw: none\netw: {guid} A.B Begun Run=1\ndbg: etw: x y z\netw: {guid} A.B Ended\netw: {guid} A.B Begun Run=2\n\
                   etw: {guid} C Begun\netw: {guid} C\n";
        let counted = |events: &[(&str, u64)]| {
            let named = events.iter().map(|&(name, count)| (name.to_owned(), count));
            named.collect::<BTreeMap<_, _>>()
        };
        let expected = [
            ("A.B".to_owned(), counted(&[("Begun", 2), ("Ended", 1)])),
            ("C".to_owned(), counted(&[("Begun", 1)])),
        ];
        assert_eq!(count(log), Events::from(expected));
        assert_eq!(count(""), Events::new());
    }
}
