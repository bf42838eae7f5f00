//! From the kernel's records to a timeline: slices, instants and counters on tracks.
//!
//! | track | what is on it |
//! |---|---|
//! | a processor | the threads that ran on it, the DPC routines that interrupted them with what they called, and instants of DPCs and timers |
//! | a thread | calls of the driver's routines in it, its waits, and instants of what it did |
//! | a request | an IRP from its arrival to its end |
//! | counters | each processor's IRQL, the pool, and the references that are out by NT's routines |
//!
//! A slice is kept open until its end comes, so what is written is whole. What never ends, ends with the timeline or with its thread and is
//! marked `unfinished`; so is what was open when records were lost.

use super::names::Names;
use super::rings::Collected;
use lab_wire::trace::{Kind, Record, TEXT, way_out};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// The groups of tracks, which the format calls processes.
pub(super) const PROCESSORS: u32 = 1;
pub(super) const THREADS: u32 = 2;
pub(super) const REQUESTS: u32 = 3;

/// What a slice's or an instant's `args` are.
pub(super) type Arguments = Map<String, Value>;

/// A group's track: its process and its thread, as the format has it.
pub(super) type Track = (u32, u32);

/// What an event is, in the format's terms.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// From its time on, so many nanoseconds.
    Slice(u64),
    Instant,
    Counter,
    /// Begins or ends what is on no track, by its number.
    Begins(u64),
    Ends(u64),
    /// An arrow from what is on this track now to another track, by its number.
    Leaves(u64),
    /// Where it arrives.
    Arrives(u64),
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// Nanoseconds since boot.
    pub(super) time: u64,
    pub(super) track: Track,
    pub(super) category: &'static str,
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) arguments: Arguments,
}

/// All there is to write.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// In the order of their times, and what is outside before what is in it.
    pub(super) events: Vec<Event>,
    /// What tracks are called.
    pub(super) tracks: BTreeMap<Track, String>,
    pub(super) lost: u64,
    pub(super) left_out: BTreeMap<&'static str, u64>,
}

/// What a slice that is open is of; an end closes the innermost of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Runs,
    Dpc,
    /// By the word that names it.
    Call(u64),
    Wait,
    RunDown,
    Monitor,
}

struct Slice {
    what: Open,
    since: u64,
    category: &'static str,
    name: String,
    arguments: Arguments,
}

#[derive(Default)]
struct Processor {
    thread: u64,
    in_dpc: bool,
    irql: Option<u64>,
    /// An event's text, as far as it has come, and its length.
    text: Option<(usize, Vec<u8>)>,
}

struct Thread {
    id: u32,
    idle: bool,
}

struct Builder<'a> {
    names: &'a Names<'a>,
    functions: HashMap<u64, String>,
    texts: HashMap<u64, String>,
    timeline: Timeline,
    processors: BTreeMap<u32, Processor>,
    threads: HashMap<u64, Thread>,
    open: BTreeMap<Track, Vec<Slice>>,
    requests: HashMap<u64, (u64, String)>,
    numbers: u64,
    pool: (u64, u64),
    references: HashMap<u64, i64>,
}

fn arguments<const N: usize>(pairs: [(&str, Value); N]) -> Arguments {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn hexadecimal(value: u64) -> Value {
    json!(format!("{value:#x}"))
}

/// The timeline of what was collected.
pub(super) fn of(collected: &Collected, names: &Names<'_>) -> Timeline {
    let hertz = collected.rings.map_or(1, |rings| rings.hertz);
    let mut records = collected.records.clone();
    records.sort_by_key(|(_, record)| record.time);
    let function = |(_, record): &(u32, Record)| match record.kind {
        Kind::DpcQueued | Kind::DpcBegins => Some(record.words[1]),
        Kind::WaitBegins => Some(record.words[2]),
        _ => None,
    };
    let functions = records.iter().filter_map(function).collect();
    let mut builder = Builder {
        names,
        functions: names.functions(&functions),
        texts: HashMap::new(),
        timeline: Timeline {
            lost: collected.lost,
            left_out: collected.left_out().collect(),
            ..Timeline::default()
        },
        processors: BTreeMap::new(),
        threads: HashMap::new(),
        open: BTreeMap::new(),
        requests: HashMap::new(),
        numbers: 0,
        pool: (0, 0),
        references: HashMap::new(),
    };
    let nanoseconds = |cycles| {
        let time = u128::from(cycles) * 1_000_000_000 / u128::from(hertz);
        u64::try_from(time).unwrap_or(u64::MAX)
    };
    let mut time = 0;
    for (processor, record) in records {
        time = nanoseconds(record.time);
        builder.record(time, processor, &record);
    }
    builder.end(time)
}

impl Builder<'_> {
    fn record(&mut self, time: u64, number: u32, record: &Record) {
        let words @ [first, second, third] = record.words;
        match record.kind {
            Kind::Lost => self.lost(time, number, first, second),
            Kind::Thread => self.thread(first, second, third),
            Kind::Switch => self.switch(time, number, first),
            Kind::ThreadEnds => {
                let track = self.thread_track(number);
                self.close_all(time, track);
            }
            Kind::Irql => self.irql(time, number, first, second),
            Kind::WaitBegins => self.wait(time, number, words),
            Kind::WaitEnds => self.wait_ends(time, number, words),
            Kind::DpcQueued => {
                let name = format!("DPC queued: {}", self.function(second));
                let about = arguments([("dpc", hexadecimal(first)), ("for processor", json!(third))]);
                self.instant(time, (PROCESSORS, number), "dpc", name, about);
            }
            Kind::DpcBegins => {
                let name = format!("DPC {}", self.function(second));
                self.processor(number).in_dpc = true;
                self.begin(
                    time,
                    (PROCESSORS, number),
                    Open::Dpc,
                    "dpc",
                    name,
                    arguments([("dpc", hexadecimal(first))]),
                );
            }
            Kind::DpcEnds => {
                self.processor(number).in_dpc = false;
                self.finish(time, (PROCESSORS, number), Open::Dpc, Arguments::new());
            }
            Kind::TimerSet | Kind::TimerCancelled | Kind::TimerExpires => self.timer(time, number, record),
            Kind::IrpArrives => self.request(time, words),
            Kind::IrpEnds => {
                let about = arguments([
                    ("status", json!(format!("{second:#010x}"))),
                    ("information", json!(third)),
                ]);
                self.request_ends(time, first, about);
            }
            Kind::CallBegins => {
                let (track, name) = (self.track(number), self.text(first));
                self.begin(time, track, Open::Call(first), "call", name, Arguments::new());
            }
            Kind::CallEnds => {
                let track = self.track(number);
                self.finish(time, track, Open::Call(first), Arguments::new());
            }
            Kind::Allocates | Kind::Frees => self.block(time, number, record),
            Kind::Event | Kind::Text => self.event(time, number, record),
            Kind::Acquires | Kind::Releases | Kind::BeginsAnew => self.reference(time, number, record),
            Kind::RunDownBegins => {
                let (track, about) = (self.track(number), arguments([("reference", hexadecimal(first))]));
                self.begin(time, track, Open::RunDown, "run-down", "run-down".into(), about);
            }
            Kind::RunDownEnds => {
                let about = arguments([("way out", json!(way_out(first)))]);
                let track = self.track(number);
                self.finish(time, track, Open::RunDown, about);
            }
            Kind::HandsOver => {
                let about = arguments([
                    ("wait block", hexadecimal(first)),
                    ("by its event", json!(second == 1)),
                ]);
                let track = self.track(number);
                self.instant(time, track, "run-down", "hands over".into(), about);
            }
            Kind::MonitorBegins => {
                let (track, about) = (self.track(number), arguments([("address", hexadecimal(first))]));
                self.begin(time, track, Open::Monitor, "wait", "MWAITX".into(), about);
            }
            Kind::MonitorEnds => {
                let track = self.track(number);
                self.finish(
                    time,
                    track,
                    Open::Monitor,
                    arguments([("changed", json!(second == 1))]),
                );
            }
        }
    }

    fn processor(&mut self, number: u32) -> &mut Processor {
        self.processors.entry(number).or_default()
    }

    /// The track of the thread that runs on a processor.
    fn thread_track(&mut self, number: u32) -> Track {
        let address = self.processor(number).thread;
        (THREADS, self.threads.get(&address).map_or(0, |thread| thread.id))
    }

    /// Where something happens: in a DPC's routine, which is the processor's, or in a thread.
    fn track(&mut self, number: u32) -> Track {
        if self.processor(number).in_dpc {
            (PROCESSORS, number)
        } else {
            self.thread_track(number)
        }
    }

    fn function(&self, address: u64) -> String {
        self.functions.get(&address).cloned().unwrap_or_default()
    }

    fn text(&mut self, word: u64) -> String {
        let names = self.names;
        self.texts.entry(word).or_insert_with(|| names.text(word)).clone()
    }

    fn put(
        &mut self,
        time: u64,
        track: Track,
        category: &'static str,
        name: String,
        shape: Shape,
        about: Arguments,
    ) {
        self.timeline.events.push(Event {
            time,
            track,
            category,
            name,
            shape,
            arguments: about,
        });
    }

    fn instant(&mut self, time: u64, track: Track, category: &'static str, name: String, about: Arguments) {
        self.put(time, track, category, name, Shape::Instant, about);
    }

    fn begin(
        &mut self,
        since: u64,
        track: Track,
        what: Open,
        category: &'static str,
        name: String,
        about: Arguments,
    ) {
        let slice = Slice {
            what,
            since,
            category,
            name,
            arguments: about,
        };
        self.open.entry(track).or_default().push(slice);
    }

    /// Ends the innermost slice of a kind, and all that are in it; nothing if there is none.
    fn finish(&mut self, time: u64, track: Track, what: Open, about: Arguments) {
        let open = self.open.entry(track).or_default();
        let Some(index) = open.iter().rposition(|slice| slice.what == what) else {
            return;
        };
        let ended = open.split_off(index);
        self.close(time, track, ended, Some(about));
    }

    fn close_all(&mut self, time: u64, track: Track) {
        let open = self.open.remove(&track).unwrap_or_default();
        self.close(time, track, open, None);
    }

    /// Ends slices, the outermost first; with what there is to say of that one, or all unfinished.
    fn close(&mut self, time: u64, track: Track, slices: Vec<Slice>, mut outermost: Option<Arguments>) {
        for mut slice in slices {
            match outermost.take() {
                Some(about) => slice.arguments.extend(about),
                None => {
                    slice.arguments.insert("unfinished".into(), json!(true));
                }
            }
            self.put(
                slice.since,
                track,
                slice.category,
                slice.name,
                Shape::Slice(time - slice.since),
                slice.arguments,
            );
        }
    }

    fn lost(&mut self, time: u64, number: u32, count: u64, thread: u64) {
        let track = (PROCESSORS, number);
        self.instant(
            time,
            track,
            "lost",
            format!("{count} records lost"),
            arguments([("count", json!(count))]),
        );
        let state = self.processor(number);
        (state.in_dpc, state.text) = (false, None);
        self.close_all(time, track);
        self.switch(time, number, thread);
    }

    fn thread(&mut self, address: u64, number: u64, name: u64) {
        let id = u32::try_from(number & 0xFFFF_FFFF).unwrap_or(0);
        let (name, by_driver) = (self.text(name), number >> 32 == 1);
        let called = format!("{name} {id}{}", if by_driver { ", the driver's" } else { "" });
        self.timeline.tracks.insert((THREADS, id), called);
        self.threads.insert(
            address,
            Thread {
                id,
                idle: name == "Idle",
            },
        );
    }

    fn switch(&mut self, time: u64, number: u32, to: u64) {
        let track = (PROCESSORS, number);
        self.finish(time, track, Open::Runs, Arguments::new());
        self.processor(number).thread = to;
        let Some(thread) = self.threads.get(&to).filter(|thread| !thread.idle) else {
            return;
        };
        let id = thread.id;
        let name = self
            .timeline
            .tracks
            .get(&(THREADS, id))
            .cloned()
            .unwrap_or_default();
        self.begin(
            time,
            track,
            Open::Runs,
            "thread",
            name,
            arguments([("thread", json!(id))]),
        );
    }

    fn irql(&mut self, time: u64, number: u32, irql: u64, _caller: u64) {
        if self.processor(number).irql.replace(irql) == Some(irql) {
            return;
        }
        let name = format!("IRQL of processor {number}");
        self.put(
            time,
            (PROCESSORS, number),
            "irql",
            name,
            Shape::Counter,
            arguments([("IRQL", json!(irql))]),
        );
    }

    fn wait(&mut self, time: u64, number: u32, [object, how_many, caller]: [u64; 3]) {
        let count = how_many & 0xFFFF_FFFF;
        let mut about = Arguments::new();
        let name = if count == 0 {
            "sleeps".into()
        } else {
            about.insert("object".into(), hexadecimal(object));
            about.insert("objects".into(), json!(count));
            about.insert("all".into(), json!(how_many >> 32 == 1));
            "waits".to_owned()
        };
        if caller != 0 {
            about.insert("called from".into(), json!(self.function(caller)));
        }
        let track = self.thread_track(number);
        self.begin(time, track, Open::Wait, "wait", name, about);
    }

    fn wait_ends(&mut self, time: u64, number: u32, [waiter, status, object]: [u64; 3]) {
        let Some(id) = self.threads.get(&waiter).map(|thread| thread.id) else {
            return;
        };
        let (from, in_dpc) = (self.thread_track(number), self.processor(number).in_dpc);
        let running = self.processor(number).thread;
        let idles = self.threads.get(&running).is_some_and(|thread| thread.idle);
        let by = match object {
            0 => "time".into(),
            _ if in_dpc => format!("a DPC on processor {number}"),
            _ if idles => format!("an interrupt of processor {number}"),
            _ => self
                .timeline
                .tracks
                .get(&from)
                .cloned()
                .unwrap_or_else(|| format!("processor {number}")),
        };
        let track = (THREADS, id);
        let since = self
            .open
            .get(&track)
            .and_then(|open| open.iter().rfind(|slice| slice.what == Open::Wait));
        let since = since.map(|slice| slice.since);
        let about = arguments([
            ("status", json!(format!("{status:#010x}"))),
            ("ended by", json!(by)),
            ("signalled", hexadecimal(object)),
        ]);
        self.finish(time, track, Open::Wait, about);
        // An arrow leaves a slice, and arrives in one.
        let runs = self
            .open
            .get(&(PROCESSORS, number))
            .is_some_and(|open| !open.is_empty());
        if object != 0 && runs && since.is_some_and(|since| since < time) {
            self.numbers += 1;
            let name = "ends the wait".to_owned();
            self.put(
                time,
                (PROCESSORS, number),
                "wait",
                name.clone(),
                Shape::Leaves(self.numbers),
                Arguments::new(),
            );
            self.put(
                time,
                track,
                "wait",
                name,
                Shape::Arrives(self.numbers),
                Arguments::new(),
            );
        }
    }

    fn timer(&mut self, time: u64, number: u32, record: &Record) {
        let [timer, second, period] = record.words;
        let mut about = arguments([("timer", hexadecimal(timer))]);
        let name = match record.kind {
            Kind::TimerSet => {
                about.insert(
                    "due after ms".into(),
                    json!((second * 100).saturating_sub(time) / 1_000_000),
                );
                about.insert("period ms".into(), json!(period));
                "timer set"
            }
            Kind::TimerCancelled => "timer cancelled",
            _ => {
                about.insert("dpc".into(), hexadecimal(second));
                "timer expires"
            }
        };
        self.instant(time, (PROCESSORS, number), "timer", name.into(), about);
    }

    fn request(&mut self, time: u64, [irp, name, device]: [u64; 3]) {
        // One that was passed down without a stack location of its own arrives there as well.
        if self.requests.contains_key(&irp) {
            return;
        }
        self.numbers += 1;
        let (id, name) = (self.numbers, self.text(name));
        let about = arguments([("irp", hexadecimal(irp)), ("device", hexadecimal(device))]);
        self.put(time, (REQUESTS, 0), "irp", name.clone(), Shape::Begins(id), about);
        self.requests.insert(irp, (id, name));
    }

    fn request_ends(&mut self, time: u64, irp: u64, about: Arguments) {
        if let Some((id, name)) = self.requests.remove(&irp) {
            self.put(time, (REQUESTS, 0), "irp", name, Shape::Ends(id), about);
        }
    }

    fn block(&mut self, time: u64, number: u32, record: &Record) {
        let [address, size, tag] = record.words;
        let letters = tag.to_le_bytes().into_iter().take(4);
        let tag_text: String = letters
            .map(|byte| {
                if byte.is_ascii_graphic() {
                    byte as char
                } else {
                    '.'
                }
            })
            .collect();
        let allocates = record.kind == Kind::Allocates;
        let (blocks, bytes) = &mut self.pool;
        let sum = if allocates {
            u64::saturating_add
        } else {
            u64::saturating_sub
        };
        (*blocks, *bytes) = (sum(*blocks, 1), sum(*bytes, size));
        let counters = arguments([("blocks", json!(blocks)), ("bytes", json!(bytes))]);
        let name = if allocates { "allocates" } else { "frees" };
        let about = arguments([
            ("block", hexadecimal(address)),
            ("bytes", json!(size)),
            ("tag", json!(tag_text)),
            ("paged", json!(tag >> 32 == 1)),
        ]);
        let track = self.track(number);
        self.instant(time, track, "pool", name.into(), about);
        self.put(
            time,
            (PROCESSORS, 0),
            "pool",
            "pool".into(),
            Shape::Counter,
            counters,
        );
    }

    fn event(&mut self, time: u64, number: u32, record: &Record) {
        let state = self.processor(number);
        match (record.kind, &mut state.text) {
            (Kind::Event, text) => *text = Some((usize::try_from(record.words[0]).unwrap_or(0), Vec::new())),
            (_, Some((_, bytes))) => bytes.extend(record.words.iter().flat_map(|word| word.to_le_bytes())),
            (_, None) => return,
        }
        let whole = |(length, bytes): &(usize, Vec<u8>)| bytes.len() >= length.next_multiple_of(TEXT);
        let Some((length, bytes)) = state.text.take_if(|text| whole(text)) else {
            return;
        };
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let mut words = text.split(' ');
        let name = words.by_ref().take(2).collect::<Vec<_>>().join(" ");
        let fields = words.filter_map(|word| word.split_once('='));
        let about = fields
            .map(|(field, value)| (field.to_owned(), json!(value)))
            .collect();
        let track = self.track(number);
        self.instant(time, track, "etw", name, about);
    }

    fn reference(&mut self, time: u64, number: u32, record: &Record) {
        let [address, count, refused] = record.words;
        let mut about = arguments([("reference", hexadecimal(address))]);
        let held = self.references.entry(address).or_default();
        let change = i64::try_from(count).unwrap_or(0);
        let name = match record.kind {
            Kind::Acquires if refused == 1 => "acquire refused",
            Kind::Acquires => {
                *held += change;
                "acquires"
            }
            Kind::Releases => {
                *held -= change;
                "releases"
            }
            _ => "begins anew",
        };
        let held = *held;
        if record.kind != Kind::BeginsAnew {
            about.insert("references".into(), json!(count));
            if refused == 0 {
                let counter = format!("references out of {address:#x}");
                self.put(
                    time,
                    (PROCESSORS, 0),
                    "run-down",
                    counter,
                    Shape::Counter,
                    arguments([("references", json!(held))]),
                );
            }
        }
        let track = self.track(number);
        self.instant(time, track, "run-down", name.into(), about);
    }

    fn end(mut self, time: u64) -> Timeline {
        for (track, open) in std::mem::take(&mut self.open) {
            self.close(time, track, open, None);
        }
        let requests: Vec<u64> = self.requests.keys().copied().collect();
        for irp in requests {
            self.request_ends(time, irp, arguments([("unfinished", json!(true))]));
        }
        let mut timeline = self.timeline;
        for number in self.processors.keys() {
            timeline
                .tracks
                .insert((PROCESSORS, *number), format!("processor {number}"));
        }
        timeline.tracks.insert((REQUESTS, 0), "IRPs".into());
        // What is outside was opened first, or lasts longer.
        timeline.events.sort_by_key(|event| {
            let length = match event.shape {
                Shape::Slice(length) => length,
                _ => 0,
            };
            (event.time, std::cmp::Reverse(length))
        });
        timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_wire::trace::{Name, Rings};

    const KERNEL: Names<'_> = Names {
        kernel: &[],
        kernel_symbols: None,
        driver_symbols: None,
        driver: (0, 0),
    };

    /// The timeline of records of a clock that counts nanoseconds: time, processor, kind, words.
    fn timeline(records: &[(u64, u32, Kind, [u64; 3])]) -> Timeline {
        let mut collected = Collected {
            rings: Some(Rings {
                physical: 0,
                count: 2,
                bytes: 8192,
                hertz: 1_000_000_000,
            }),
            ..Collected::default()
        };
        for &(time, processor, kind, words) in records {
            collected.add(processor, Record { time, kind, words });
        }
        of(&collected, &KERNEL)
    }

    /// Slices in their order: track, name, from, to, whether it is unfinished.
    fn slices(timeline: &Timeline) -> Vec<(Track, &str, u64, u64, bool)> {
        let slice = |event: &'_ Event| match event.shape {
            Shape::Slice(length) => Some((event.time, event.time + length)),
            _ => None,
        };
        let all = timeline
            .events
            .iter()
            .filter_map(|event| Some((event, slice(event)?)));
        all.map(|(event, (from, to))| {
            (
                event.track,
                event.name.as_str(),
                from,
                to,
                event.arguments.contains_key("unfinished"),
            )
        })
        .collect()
    }

    const A: u64 = 0xA0;
    const B: u64 = 0xB0;
    const NAMED: u64 = Name::at(0xFFFF_FFFF_8000_0000, 1).0;
    const THREADS_A_AND_B: [(u64, u32, Kind, [u64; 3]); 2] = [
        (1, 0, Kind::Thread, [A, 1, NAMED]),
        (2, 0, Kind::Thread, [B, 2 | 1 << 32, NAMED]),
    ];

    #[test]
    fn a_wait_goes_from_where_it_began_to_who_ended_it_on_whatever_processor() {
        let mut records = THREADS_A_AND_B.to_vec();
        records.extend([
            (10, 0, Kind::Switch, [A, 0, 0]),
            (11, 1, Kind::Switch, [B, 0, 0]),
            (20, 0, Kind::CallBegins, [NAMED, 0, 0]),
            (30, 0, Kind::WaitBegins, [0x77, 1, 0]),
            (40, 1, Kind::WaitEnds, [A, 0, 0x77]),
            (50, 1, Kind::Switch, [A, 0, 0]),
            (60, 1, Kind::CallEnds, [NAMED, 0, 0]),
        ]);
        let timeline = timeline(&records);
        let call = "0xffffffff80000000";
        assert_eq!(
            slices(&timeline),
            [
                ((PROCESSORS, 0), "0xffffffff80000000 1", 10, 60, true),
                (
                    (PROCESSORS, 1),
                    "0xffffffff80000000 2, the driver's",
                    11,
                    50,
                    false
                ),
                ((THREADS, 1), call, 20, 60, false),
                ((THREADS, 1), "waits", 30, 40, false),
                ((PROCESSORS, 1), "0xffffffff80000000 1", 50, 60, true),
            ]
        );
        let wait = timeline
            .events
            .iter()
            .find(|event| event.name == "waits")
            .unwrap();
        assert_eq!(wait.arguments["ended by"], "0xffffffff80000000 2, the driver's");
        let arrows: Vec<_> = timeline
            .events
            .iter()
            .filter(|event| event.name == "ends the wait")
            .collect();
        assert_eq!(
            (arrows[0].track, arrows[1].track),
            ((PROCESSORS, 1), (THREADS, 1))
        );
    }

    #[test]
    fn what_a_dpc_does_is_its_processors() {
        let mut records = THREADS_A_AND_B.to_vec();
        records.extend([
            (10, 0, Kind::Switch, [A, 0, 0]),
            (20, 0, Kind::DpcBegins, [0x1, 0x2, 0]),
            (21, 0, Kind::CallBegins, [NAMED, 0, 0]),
            (
                22,
                0,
                Kind::Allocates,
                [0x3, 64, u64::from(u32::from_le_bytes(*b"Test"))],
            ),
            (23, 0, Kind::CallEnds, [NAMED, 0, 0]),
            (24, 0, Kind::DpcEnds, [0, 0, 0]),
            (30, 0, Kind::Switch, [B, 0, 0]),
        ]);
        let timeline = timeline(&records);
        assert!(timeline.events.iter().all(|event| event.track.0 == PROCESSORS));
        let allocation = timeline
            .events
            .iter()
            .find(|event| event.name == "allocates")
            .unwrap();
        assert_eq!(
            (&allocation.arguments["tag"], &allocation.arguments["bytes"]),
            (&json!("Test"), &json!(64))
        );
    }

    #[test]
    fn a_loss_closes_what_was_open_and_says_so() {
        let mut records = THREADS_A_AND_B.to_vec();
        records.extend([
            (10, 0, Kind::Switch, [A, 0, 0]),
            (20, 0, Kind::DpcBegins, [0x1, 0x2, 0]),
            (30, 0, Kind::Lost, [7, B, 0]),
            (40, 0, Kind::CallBegins, [NAMED, 0, 0]),
            (50, 0, Kind::CallEnds, [NAMED, 0, 0]),
            (60, 0, Kind::DpcEnds, [0, 0, 0]),
        ]);
        let timeline = timeline(&records);
        let lost = timeline
            .events
            .iter()
            .find(|event| event.category == "lost")
            .unwrap();
        assert_eq!(lost.name, "7 records lost");
        let slices = slices(&timeline);
        assert_eq!(slices[1], ((PROCESSORS, 0), "DPC 0x2", 20, 30, true));
        assert_eq!(slices[3].0, (THREADS, 2), "a DPC that nobody saw begin is none");
    }

    #[test]
    fn an_end_without_a_beginning_is_nothing() {
        let ends = [
            Kind::CallEnds,
            Kind::DpcEnds,
            Kind::RunDownEnds,
            Kind::MonitorEnds,
            Kind::IrpEnds,
            Kind::ThreadEnds,
            Kind::WaitEnds,
            Kind::Text,
        ];
        let records: Vec<_> = ends.into_iter().map(|kind| (1, 0, kind, [u64::MAX; 3])).collect();
        assert_eq!(timeline(&records).events, []);
    }

    /// Whatever is in the rings, slices on a track nest, and times do not go back.
    #[test]
    fn nonsense_nests() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let records: Vec<_> = (0..300)
                .map(|time| {
                    let kind = Kind::ALL[usize::try_from(random(Kind::ALL.len() as u64)).unwrap()];
                    (
                        time / 2,
                        u32::try_from(random(2)).unwrap(),
                        kind,
                        [random(3), random(3), random(3)],
                    )
                })
                .collect();
            let timeline = timeline(&records);
            let mut open: BTreeMap<Track, Vec<u64>> = BTreeMap::new();
            let mut last = 0;
            for event in &timeline.events {
                assert!(event.time >= last);
                last = event.time;
                let Shape::Slice(length) = event.shape else {
                    continue;
                };
                let stack = open.entry(event.track).or_default();
                while stack
                    .last()
                    .is_some_and(|&end| end <= event.time && (length > 0 || end < event.time))
                {
                    stack.pop();
                }
                let end = event.time + length;
                assert!(
                    stack.last().is_none_or(|&outer| end <= outer),
                    "{event:?} in {stack:?}"
                );
                stack.push(end);
            }
        }
    }
}
