//! The timeline's records, as the kernel writes them and the host reads them: one vocabulary for both.
//!
//! Each processor has a ring in memory that the host reads while the machine runs: a page with [`WRITTEN`], [`READ`] and [`LOST`], each a count that only grows,
//! and behind it a number of records of [`RECORD`] bytes. Record *n* lies in place *n* modulo that number. The kernel says where they are with one
//! line of its log, `trace: PHYSICAL RINGS BYTES HERTZ` ([`Rings`]), and does not know whether anybody reads: a ring that is full loses what comes next, counts that, and says so by a
//! record of kind [`Kind::Lost`] as soon as there is room.

use core::fmt;

/// Bytes of a ring's head, which has the counts below.
pub const HEAD: u64 = 4096;
/// Where in the head the kernel's count of the records that it has written is.
pub const WRITTEN: u64 = 0;
/// The host's count of those that it has read.
pub const READ: u64 = 64;
/// The kernel's count of the records for which there was no room.
pub const LOST: u64 = 128;
/// Bytes of a record.
pub const RECORD: u64 = 40;
/// Bytes that a record of [`Kind::Text`] has of a text.
pub const TEXT: usize = 24;

/// Declares the kinds, with what their three words are.
macro_rules! kinds {
    ($($(#[$documentation:meta])* $name:ident = $number:literal,)*) => {
        /// What a record is of. The words that are not listed are 0.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u64)]
        pub enum Kind {
            $($(#[$documentation])* $name = $number,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind of that number.
            #[must_use]
            pub const fn of(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Records of this processor were lost before this one: how many, and the thread that runs.
    Lost = 1,
    /// A thread is there: its address, its number and in bit 32 whether the driver made it, its [name](Name).
    Thread = 2,
    /// This processor goes on with another thread: its address.
    Switch = 3,
    /// The running thread ends.
    ThreadEnds = 4,
    /// The IRQL changes: to what, and the driver's address that asked for it, 0 for the kernel's own.
    Irql = 5,
    /// The running thread waits: for which object, 0 for time alone; of how many, and in bit 32 whether for all; called from.
    WaitBegins = 6,
    /// Its wait is over, ended by what runs on this processor: the thread that waited, its NTSTATUS, the object that was signalled, 0 if time was up.
    WaitEnds = 7,
    /// A DPC is queued: its address, its routine, the processor that it is for.
    DpcQueued = 8,
    /// A DPC's routine begins: its address, its routine.
    DpcBegins = 9,
    /// It ends.
    DpcEnds = 10,
    /// A timer is set: its address, when it is due in units of 100 ns since boot, its period in milliseconds.
    TimerSet = 11,
    /// A timer that was set is cancelled: its address.
    TimerCancelled = 12,
    /// A timer expires: its address, its DPC or 0.
    TimerExpires = 13,
    /// An IRP is sent to a driver from its first stack location: its address, the [name](Name) of its major function, and the driver's device.
    IrpArrives = 14,
    /// It has gone all the way up, or is freed or reused: its address, its NTSTATUS, its information.
    IrpEnds = 15,
    /// The driver is called: the [name](Name) of the routine.
    CallBegins = 16,
    /// It has come back: the same.
    CallEnds = 17,
    /// Pool is allocated: the block's address, its size, its tag, and in bit 32 whether it can be paged out.
    Allocates = 18,
    /// A block is freed: the same.
    Frees = 19,
    /// The driver writes an event for ETW: the length of its text, which follows in records of [`Kind::Text`].
    Event = 20,
    /// [`TEXT`] bytes of a text.
    Text = 21,
    /// An acquire of one of NT's run-down routines has come back: the reference, how many, and 1 if it was refused.
    Acquires = 22,
    /// References are about to be given back: the reference, how many.
    Releases = 23,
    /// Run-down of a reference begins, and whoever calls waits for its end: the reference.
    RunDownBegins = 24,
    /// The running thread's wait for that is about to return: its way out, as [`way_out`] has them.
    RunDownEnds = 25,
    /// The last reference is given back to a waiter: its wait block, and 1 if its event has to be set.
    HandsOver = 26,
    /// A reference is made live again, or marked as run down: the reference.
    BeginsAnew = 27,
    /// The driver, NT's own code or the lab's reference waits by MWAITX: for the line of this address.
    MonitorBegins = 28,
    /// It goes on: the same address, and whether what lies there has changed.
    MonitorEnds = 29,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When, TSC cycles since boot.
    pub time: u64,
    /// Of what.
    pub kind: Kind,
    /// What else there is to say.
    pub words: [u64; 3],
}

impl Record {
    /// Reads one; `None` for a kind that there is not.
    #[must_use]
    pub fn decode(bytes: &[u8; RECORD as usize]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let [time, kind, first, second, third] = *words else {
            return None;
        };
        Some(Self {
            time: u64::from_le_bytes(time),
            kind: Kind::of(u64::from_le_bytes(kind))?,
            words: [first, second, third].map(u64::from_le_bytes),
        })
    }
}

/// The way out of that number, in a word.
#[must_use]
pub fn way_out(number: u64) -> &'static str {
    const NAMES: [&str; 6] = ["drained", "mwaitx", "pause", "dispatch", "event", "late"];
    usize::try_from(number)
        .ok()
        .and_then(|index| NAMES.get(index).copied())
        .unwrap_or("?")
}

/// A text of the kernel's image, by place and length in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name(pub u64);

impl Name {
    const ADDRESS: u64 = (1 << 48) - 1;

    /// The text's address, which is in the upper half, and its length.
    #[must_use]
    pub const fn place(self) -> (u64, usize) {
        (self.0 | !Self::ADDRESS, (self.0 >> 48) as usize)
    }

    /// The word for a text of `length` bytes at `address`.
    #[must_use]
    pub const fn at(address: u64, length: usize) -> Self {
        Self(address & Self::ADDRESS | (length as u64) << 48)
    }
}

/// Where the rings are: one behind the other, in the order of their processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rings {
    /// Where the first begins, physical.
    pub physical: u64,
    /// How many there are.
    pub count: u64,
    /// Bytes of each.
    pub bytes: u64,
    /// Cycles of the clock in a second.
    pub hertz: u64,
}

impl Rings {
    /// How many records are in each.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        (self.bytes - HEAD) / RECORD
    }

    /// Finds the line in the kernel's log.
    #[must_use]
    pub fn parse(log: &str) -> Option<Self> {
        // The last line may not be whole yet.
        let line = log
            .split_inclusive('\n')
            .find_map(|line| line.strip_prefix("trace: ")?.strip_suffix('\n'))?;
        let mut numbers = line.split(' ').map_while(|word| word.parse().ok());
        let rings = Self {
            physical: numbers.next()?,
            count: numbers.next()?,
            bytes: numbers.next()?,
            hertz: numbers.next()?,
        };
        (rings.bytes >= HEAD + RECORD && rings.hertz > 0 && rings.count <= 64).then_some(rings)
    }
}

impl fmt::Display for Rings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            physical,
            count,
            bytes,
            hertz,
        } = self;
        write!(f, "trace: {physical} {count} {bytes} {hertz}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn kinds_have_their_numbers() {
        for (index, &kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(kind as u64, index as u64 + 1);
            assert_eq!(Kind::of(kind as u64), Some(kind));
        }
        for none in [0, Kind::ALL.len() as u64 + 1, u64::MAX] {
            assert_eq!(Kind::of(none), None);
        }
    }

    #[test]
    fn a_record_is_five_words() {
        let mut bytes = [0; RECORD as usize];
        for (chunk, value) in bytes.chunks_mut(8).zip([7_u64, 9, 1, 2, 3]) {
            chunk.copy_from_slice(&value.to_le_bytes());
        }
        let record = Record {
            time: 7,
            kind: Kind::DpcBegins,
            words: [1, 2, 3],
        };
        assert_eq!(Record::decode(&bytes), Some(record));
        bytes[8] = 0xFF;
        assert_eq!(Record::decode(&bytes), None);
    }

    #[test]
    fn a_name_is_one_word() {
        assert_eq!(
            Name::at(0xFFFF_FFFF_8012_3456, 12).place(),
            (0xFFFF_FFFF_8012_3456, 12)
        );
    }

    #[test]
    fn the_rings_are_found_in_a_log_once_their_line_is_whole() {
        let rings = Rings {
            physical: 0x1000,
            count: 2,
            bytes: 8192,
            hertz: 1_000_000_000,
        };
        let line = format!("{rings}");
        assert_eq!(Rings::parse(&format!("log: x\n{line}\nmore")), Some(rings));
        for not in [
            "",
            &line,
            "trace: 1 2\n",
            "trace: 1 2 3 4\n",
            "trace: 1 65 8192 1\n",
            "trace: 1 2 8192 0\n",
        ] {
            assert_eq!(Rings::parse(not), None, "{not}");
        }
    }
}
