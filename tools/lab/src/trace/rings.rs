//! Reading the kernel's rings while the machine runs.

use lab_wire::trace::{HEAD, Kind, LOST, READ, RECORD, Record, Rings, WRITTEN};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the rings are looked at: half of the smallest is full after some ten times as long in a busy run.
const INTERVAL: Duration = Duration::from_millis(2);
/// How many records of a family are kept: what a viewer still bears. The rest is counted.
pub(super) const MOST: u64 = 200_000;

/// What goes together: once there is too much of it, none of it is kept any more.
const fn family(kind: Kind) -> &'static str {
    match kind {
        Kind::Lost | Kind::Thread | Kind::ThreadEnds => "threads",
        Kind::Switch => "thread switches",
        Kind::Irql => "IRQL changes",
        Kind::WaitBegins | Kind::WaitEnds => "waits",
        Kind::DpcQueued | Kind::DpcBegins | Kind::DpcEnds => "DPCs",
        Kind::TimerSet | Kind::TimerCancelled | Kind::TimerExpires => "timers",
        Kind::IrpArrives | Kind::IrpEnds => "IRPs",
        Kind::CallBegins | Kind::CallEnds => "calls of the driver",
        Kind::Allocates | Kind::Frees => "pool",
        Kind::Event | Kind::Text => "events for ETW",
        Kind::Acquires | Kind::Releases => "acquires and releases",
        Kind::RunDownBegins | Kind::RunDownEnds | Kind::HandsOver | Kind::BeginsAnew => "run-downs",
        Kind::MonitorBegins | Kind::MonitorEnds => "MWAITX",
    }
}

/// All that was read.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) rings: Option<Rings>,
    /// With the processor, each processor's in order.
    pub(super) records: Vec<(u32, Record)>,
    /// Records that the kernel lost.
    pub(super) lost: u64,
    /// How many records there were of each family.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl Collected {
    /// Takes a record in, unless there are too many of its like.
    pub(super) fn add(&mut self, processor: u32, record: Record) {
        let seen = self.seen.entry(family(record.kind)).or_default();
        *seen += 1;
        if *seen <= MOST {
            self.records.push((processor, record));
        }
    }

    /// Families of which records were left out, and how many.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.seen
            .iter()
            .filter_map(|(&family, &count)| Some((family, count.checked_sub(MOST).filter(|&more| more > 0)?)))
    }
}

/// The thread that reads.
#[derive(Debug)]
pub(super) struct Reader {
    stop: Sender<()>,
    thread: JoinHandle<Collected>,
}

impl Reader {
    /// Reads the rings in `memory`, a machine's RAM, of which its `log` tells.
    pub(super) fn start(memory: File, log: PathBuf) -> Self {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            let mut collected = Collected::default();
            loop {
                let ends = stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
                if collected.rings.is_none() {
                    let log = std::fs::read(&log).unwrap_or_default();
                    collected.rings = Rings::parse(&String::from_utf8_lossy(&log));
                }
                drain(&memory, &mut collected);
                if ends {
                    return collected;
                }
            }
        });
        Self { stop, thread }
    }

    /// Reads what is left in the rings of a machine that is off.
    pub(super) fn finish(self) -> Collected {
        // It is there until it is told, or has panicked.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_default()
    }
}

/// Reads what is new. A ring whose counts make no sense was written over by a driver, and is left alone.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a ring has a few MB, and there are 64 at most"
)]
fn drain(memory: &File, collected: &mut Collected) {
    let Some(rings) = collected.rings else { return };
    let mut lost = 0;
    for number in 0..rings.count {
        let ring = rings.physical + number * rings.bytes;
        let count = |offset| {
            let mut bytes = [0; 8];
            let read = memory.read_exact_at(&mut bytes, ring + offset);
            read.ok().map(|()| u64::from_le_bytes(bytes))
        };
        let (Some(written), Some(read)) = (count(WRITTEN), count(READ)) else {
            continue;
        };
        lost += count(LOST).unwrap_or(0);
        let new = written.wrapping_sub(read);
        if new == 0 || new > rings.capacity() {
            continue;
        }
        let first = read % rings.capacity();
        let straight = new.min(rings.capacity() - first);
        let mut bytes = vec![0; (new * RECORD) as usize];
        let (behind, wrapped) = bytes.split_at_mut((straight * RECORD) as usize);
        let records = memory.read_exact_at(behind, ring + HEAD + first * RECORD);
        if records
            .and_then(|()| memory.read_exact_at(wrapped, ring + HEAD))
            .is_err()
        {
            continue;
        }
        let (records, _) = bytes.as_chunks();
        for record in records.iter().filter_map(Record::decode) {
            collected.add(number as u32, record);
        }
        // If it cannot be written, the kernel loses records, and says so.
        let _ = memory.write_all_at(&written.to_le_bytes(), ring + READ);
    }
    collected.lost = lost;
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGS: Rings = Rings {
        physical: 0x1000,
        count: 2,
        // Three records.
        bytes: HEAD + 3 * RECORD + 8,
        hertz: 1_000_000_000,
    };

    fn put(memory: &File, ring: u64, place: u64, record: [u64; 5]) {
        let bytes: Vec<u8> = record.iter().flat_map(|word| word.to_le_bytes()).collect();
        let at = RINGS.physical + ring * RINGS.bytes + HEAD + place * RECORD;
        memory.write_all_at(&bytes, at).unwrap();
    }

    fn set(memory: &File, ring: u64, offset: u64, value: u64) {
        memory
            .write_all_at(&value.to_le_bytes(), RINGS.physical + ring * RINGS.bytes + offset)
            .unwrap();
    }

    fn memory() -> File {
        let memory = tempfile::tempfile().unwrap();
        memory
            .set_len(RINGS.physical + RINGS.count * RINGS.bytes)
            .unwrap();
        memory
    }

    #[test]
    fn a_ring_is_read_around_its_end_and_says_how_far() {
        let memory = memory();
        let mut collected = Collected {
            rings: Some(RINGS),
            ..Collected::default()
        };
        drain(&memory, &mut collected);
        assert!(collected.records.is_empty());
        for (place, time) in [(0, 13), (1, 11), (2, 12)] {
            put(&memory, 1, place, [time, Kind::DpcEnds as u64, 0, 0, 0]);
        }
        set(&memory, 1, READ, 1);
        set(&memory, 1, WRITTEN, 4);
        set(&memory, 1, LOST, 5);
        drain(&memory, &mut collected);
        let times: Vec<_> = collected
            .records
            .iter()
            .map(|(number, record)| (*number, record.time))
            .collect();
        assert_eq!(times, [(1, 11), (1, 12), (1, 13)]);
        assert_eq!(collected.lost, 5);
        drain(&memory, &mut collected);
        assert_eq!(collected.records.len(), 3, "what was read is not read again");
    }

    #[test]
    fn counts_that_make_no_sense_are_left_alone() {
        let memory = memory();
        let mut collected = Collected {
            rings: Some(RINGS),
            ..Collected::default()
        };
        for (read, written) in [(1, 0), (0, 4), (0, u64::MAX)] {
            set(&memory, 0, READ, read);
            set(&memory, 0, WRITTEN, written);
            drain(&memory, &mut collected);
            assert!(collected.records.is_empty(), "{read} {written}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut collected = Collected::default();
        let record = |kind| Record {
            time: 0,
            kind,
            words: [0; 3],
        };
        for _ in 0..MOST + 3 {
            collected.add(0, record(Kind::Irql));
        }
        collected.add(0, record(Kind::Switch));
        assert_eq!(collected.records.len() as u64, MOST + 1);
        assert_eq!(collected.left_out().collect::<Vec<_>>(), [("IRQL changes", 3)]);
    }
}
