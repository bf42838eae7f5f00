//! A timeline as JSON: "Trace Event Format", by Google (the document of that name, linked from Chromium's catapult), of which Perfetto's documentation
//! says what its viewer takes ("External trace formats").

use super::timeline::{Arguments, Event, PROCESSORS, REQUESTS, Shape, THREADS, Timeline, Track};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes it, an event a line.
pub(super) fn write(out: &mut impl Write, timeline: &Timeline) -> io::Result<()> {
    let about = json!({
        "made by": concat!("rundown-lab ", env!("CARGO_PKG_VERSION")),
        "clock": "time since boot by the machine's own clock",
        "records lost": timeline.lost,
        "records left out": timeline.left_out,
    });
    write!(
        out,
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{about},\"traceEvents\":["
    )?;
    let groups = [
        (PROCESSORS, "processors"),
        (THREADS, "threads"),
        (REQUESTS, "requests"),
    ];
    let groups = groups.map(|(group, name)| metadata("process_name", (group, 0), name));
    let tracks = timeline
        .tracks
        .iter()
        .map(|(&track, name)| metadata("thread_name", track, name));
    let events = in_order(&timeline.events);
    let mut separator = "\n";
    for value in groups.into_iter().chain(tracks) {
        write!(out, "{separator}{value}")?;
        separator = ",\n";
    }
    for (_, value) in events {
        write!(out, "{separator}{value}")?;
    }
    writeln!(out, "\n]}}")?;
    out.flush()
}

/// The events as they are written, with their times. A slice is two of them, its beginning and its end: a reader that had to add a length to a time, in floating point,
/// would find that of two slices that touch the first ends after the second has begun (speedscope 1.25 does).
fn in_order(events: &[Event]) -> Vec<(u64, String)> {
    let mut open: BTreeMap<Track, Vec<(u64, &Event)>> = BTreeMap::new();
    let mut written = Vec::with_capacity(events.len() * 2);
    let end = |(time, event): (u64, &Event)| (time, of(event, time, "E", &Arguments::new()).to_string());
    for event in events {
        let Shape::Slice(length) = event.shape else {
            written.push((event.time, other(event).to_string()));
            continue;
        };
        let open = open.entry(event.track).or_default();
        while let Some(ended) = open.pop_if(|(end, _)| *end <= event.time) {
            written.push(end(ended));
        }
        written.push((
            event.time,
            of(event, event.time, "B", &event.arguments).to_string(),
        ));
        open.push((event.time + length, event));
    }
    for ended in open.into_values().flat_map(|open| open.into_iter().rev()) {
        written.push(end(ended));
    }
    // Of one track they are in order, and stay so.
    written.sort_by_key(|&(time, _)| time);
    written
}

fn metadata(what: &str, (group, track): Track, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": group, "tid": track, "ts": 0, "args": {"name": name}})
}

/// Microseconds, to the nanosecond.
#[expect(
    clippy::cast_precision_loss,
    reason = "a nanosecond is told apart for a month"
)]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

fn of(event: &Event, time: u64, phase: &str, arguments: &Arguments) -> Value {
    let (group, track) = event.track;
    json!({
        "ph": phase, "name": event.name, "cat": event.category, "pid": group, "tid": track, "ts": microseconds(time), "args": arguments,
    })
}

/// What is one event there, too.
fn other(event: &Event) -> Value {
    let (phase, more) = match event.shape {
        Shape::Slice(_) => ("B", None),
        Shape::Instant => ("i", Some(("s", json!("t")))),
        Shape::Counter => ("C", None),
        Shape::Begins(id) => ("b", Some(("id", json!(id)))),
        Shape::Ends(id) => ("e", Some(("id", json!(id)))),
        Shape::Leaves(id) => ("s", Some(("id", json!(id)))),
        Shape::Arrives(id) => ("f", Some(("id", json!(id)))),
    };
    let mut value = of(event, event.time, phase, &event.arguments);
    if let Some((key, what)) = more {
        value[key] = what;
    }
    if phase == "f" {
        // It arrives in the slice that it lies in, not in the next.
        value["bp"] = json!("e");
    }
    value
}
