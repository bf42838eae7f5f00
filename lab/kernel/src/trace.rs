//! The timeline: what happens on each processor, as records in a ring that the host reads while the machine runs (`lab_wire::trace`).
//!
//! Off unless the command line says `trace`; then a note costs one load. Nothing here waits, allocates or takes a lock, so a note may be made at any IRQL, with interrupts
//! enabled or not, but not by the NMI handler, which could interrupt a note on its own processor.

use crate::hal::direct_map::{DIRECT_MAP, physical};
use crate::hal::{clock, cpu, pcr};
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use lab_wire::trace::{HEAD, LOST, Name, READ, RECORD, Rings, TEXT, WRITTEN};

pub use lab_wire::trace::Kind;

/// Bytes of all rings together, and of one at most.
const ALL: u64 = 16 << 20;
const MOST: u64 = 2 << 20;

/// Whether notes are taken. Set before other processors are up, and never again.
static ON: AtomicBool = AtomicBool::new(false);
/// The first ring, in the direct map.
static BASE: AtomicU64 = AtomicU64::new(0);
/// Bytes of each.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that a ring of a machine with so many processors has.
pub fn bytes_of_a_ring(cpus: u64) -> u64 {
    (ALL / cpus).min(MOST) & !(HEAD - 1)
}

/// Takes notes from now on, into rings at this physical address, one for each of `cpus` processors. For boot.
pub fn start(address: u64, cpus: u64) -> Rings {
    let bytes = bytes_of_a_ring(cpus);
    // SAFETY: memory of the caller's, which nobody else has, through the direct map.
    unsafe { physical(address).write_bytes(0, (bytes * cpus) as usize) };
    BASE.store(address + DIRECT_MAP, Relaxed);
    BYTES.store(bytes, Relaxed);
    // Release: pairs with the Acquire in `write`; here nobody else runs yet.
    ON.store(true, Release);
    Rings {
        physical: address,
        count: cpus,
        bytes,
        hertz: clock::cycles_per_second(),
    }
}

/// Whether notes are taken, for who has to gather something first.
#[inline]
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Takes a note.
#[inline]
pub fn note(kind: Kind, words: [u64; 3]) {
    if is_on() {
        write(kind, words);
    }
}

/// The word for a text of the image.
pub fn name(text: &'static str) -> u64 {
    Name::at(text.as_ptr() as u64, text.len()).0
}

/// Takes a note of a text, which is the only one that takes more than one record.
pub fn text(kind: Kind, text: &str) {
    let enabled = cpu::disable_interrupts();
    write(kind, [text.len() as u64, 0, 0]);
    for piece in text.as_bytes().chunks(TEXT) {
        let mut bytes = [0; TEXT];
        bytes[..piece.len()].copy_from_slice(piece);
        let (words, _) = bytes.as_chunks::<8>();
        write(
            Kind::Text,
            [0, 1, 2].map(|index| u64::from_le_bytes(words[index])),
        );
    }
    cpu::restore_interrupts(enabled);
}

#[inline(never)]
fn write(kind: Kind, words: [u64; 3]) {
    let enabled = cpu::disable_interrupts();
    let bytes = BYTES.load(Relaxed);
    let ring = BASE.load(Relaxed) + pcr::current_number() as u64 * bytes;
    // SAFETY: `start` was given memory for a ring of each processor, which stays for ever; its head is words.
    let count = |offset| unsafe { &*((ring + offset) as *const AtomicU64) };
    let (written, read, lost) = (count(WRITTEN), count(READ), count(LOST));
    // Relaxed: this processor alone writes it, with interrupts disabled.
    let mut next = written.load(Relaxed);
    let capacity = (bytes - HEAD) / RECORD;
    let put = |place: u64, kind: Kind, words: [u64; 3]| {
        let record = ring + HEAD + place % capacity * RECORD;
        let [first, second, third] = words;
        for (index, word) in [clock::cycles(), kind as u64, first, second, third]
            .into_iter()
            .enumerate()
        {
            let place = (record as *mut u64).wrapping_add(index);
            // SAFETY: inside the ring, by the modulus; the host does not look at it before `written` says so.
            unsafe { place.write(word) };
        }
    };
    // Acquire: the host has read what is written over.
    let room = capacity - (next - read.load(Acquire));
    // The second word of the head's third line: how many losses have been told.
    let told = count(LOST + 8);
    let untold = lost.load(Relaxed) - told.load(Relaxed);
    if room < 2 {
        lost.fetch_add(1, Relaxed);
    } else {
        if untold > 0 {
            put(
                next,
                Kind::Lost,
                [untold, pcr::this().current.load(Relaxed) as u64, 0],
            );
            told.fetch_add(untold, Relaxed);
            next += 1;
        }
        put(next, kind, words);
        // Release: the records are there before the host sees their number.
        written.store(next + 1, Release);
    }
    cpu::restore_interrupts(enabled);
}
