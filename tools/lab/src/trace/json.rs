//! A timeline as JSON: "Trace Event Format", by Google (the document of that name, linked from Chromium's catapult), of which Perfetto's documentation
//! says what its viewer takes ("External trace formats").

use super::timeline::{Arguments, Event, PROCESSORS, REQUESTS, Shape, THREADS, Timeline, Track};
use serde::Serialize;
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
    let mut separator = "\n";
    for value in groups.into_iter().chain(tracks) {
        write!(out, "{separator}{value}")?;
        separator = ",\n";
    }
    for (_, written) in in_order(&timeline.events) {
        write!(out, "{separator}")?;
        serde_json::to_writer(&mut *out, &written)?;
    }
    writeln!(out, "\n]}}")?;
    out.flush()
}

/// The events as they are written, with their times. A slice is two of them, its beginning and its end: a reader that had to add a length to a time, in floating point,
/// would find that of two slices that touch the first ends after the second has begun (speedscope 1.25 does).
fn in_order(events: &[Event]) -> Vec<(u64, Written<'_>)> {
    let mut open: BTreeMap<Track, Vec<(u64, &Event)>> = BTreeMap::new();
    let mut written = Vec::with_capacity(events.len() * 2);
    for event in events {
        let Shape::Slice(length) = event.shape else {
            written.push((event.time, other(event)));
            continue;
        };
        let open = open.entry(event.track).or_default();
        while let Some(ended) = open.pop_if(|(end, _)| *end <= event.time) {
            written.push(ends(ended));
        }
        written.push((event.time, other(event)));
        open.push((event.time + length, event));
    }
    for ended in open.into_values().flat_map(|open| open.into_iter().rev()) {
        written.push(ends(ended));
    }
    // Of one track they are in order, and stay so.
    written.sort_by_key(|&(time, _)| time);
    written
}

/// With its arguments once more: there are readers that find the beginning by them (speedscope 1.25 does).
fn ends((time, event): (u64, &Event)) -> (u64, Written<'_>) {
    (time, of(event, time, "E", &event.arguments))
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

/// An event as the format has it.
#[derive(Serialize)]
struct Written<'a> {
    ph: &'static str,
    name: &'a str,
    cat: &'static str,
    pid: u32,
    tid: u32,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// How high an instant is drawn: as its track.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    /// That an arrow arrives in the slice that it lies in, not in the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    args: &'a Arguments,
}

fn of<'a>(event: &'a Event, time: u64, ph: &'static str, args: &'a Arguments) -> Written<'a> {
    Written {
        ph,
        name: &event.name,
        cat: event.category,
        pid: event.track.0,
        tid: event.track.1,
        ts: microseconds(time),
        id: None,
        s: None,
        bp: None,
        args,
    }
}

/// What is one event there, too.
fn other(event: &Event) -> Written<'_> {
    let written = |ph| of(event, event.time, ph, &event.arguments);
    let half = |ph, id| Written {
        id: Some(id),
        ..written(ph)
    };
    match event.shape {
        Shape::Slice(_) => written("B"),
        Shape::Instant => Written {
            s: Some("t"),
            ..written("i")
        },
        Shape::Counter => written("C"),
        Shape::Begins(id) => half("b", id),
        Shape::Ends(id) => half("e", id),
        Shape::Leaves(id) => half("s", id),
        Shape::Arrives(id) => Written {
            bp: Some("e"),
            ..half("f", id)
        },
    }
}
