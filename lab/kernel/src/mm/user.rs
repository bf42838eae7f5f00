//! A client's memory: what a request's user addresses name, as long as the request lasts.
//!
//! Its pages are mapped only once the driver has probed them (`ProbeForRead`, `ProbeForWrite`), and never again after the request: who
//! touches what a client says without probing it, or after the client has got its answer, faults.

use super::{PAGE, USER, frames, paging, paging::Protection, region::Region};
use crate::hal::direct_map::physical;
use crate::lock::IrqLock;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What lies around a buffer in its pages, which nobody may write.
const SLACK: u8 = 0xFD;
/// The alignment of a buffer, as a client's heap has it.
const ALIGNMENT: u64 = 16;

struct Buffer {
    address: u64,
    length: u64,
    frames: Vec<u64>,
    mapped: bool,
}

impl Buffer {
    fn base(&self) -> u64 {
        self.address & !(PAGE - 1)
    }

    fn end(&self) -> u64 {
        self.base() + self.frames.len() as u64 * PAGE
    }

    /// Where the kernel finds the byte at `address`, mapped or not.
    fn byte(&self, address: u64) -> *mut u8 {
        let offset = address - self.base();
        physical(self.frames[(offset / PAGE) as usize] + offset % PAGE)
    }
}

/// By their first pages.
static BUFFERS: IrqLock<BTreeMap<u64, Buffer>> = IrqLock::new(BTreeMap::new());
static REGION: Region = Region::new(USER);

/// A buffer of `length` bytes that begins with `bytes`, the rest zero; 0 if it has no bytes. `None` when memory is short.
pub fn allocate(length: usize, bytes: &[u8]) -> Option<u64> {
    if length == 0 {
        return Some(0);
    }
    let length = length as u64;
    let pages = length.div_ceil(PAGE);
    let mut taken = Vec::new();
    for _ in 0..pages {
        let Some(frame) = frames::allocate() else {
            taken.into_iter().for_each(frames::free);
            return None;
        };
        // SAFETY: the frame was just allocated, so nobody else has it; it is a page long.
        unsafe { physical(frame).write_bytes(SLACK, PAGE as usize) };
        taken.push(frame);
    }
    let base = REGION.take(pages);
    let buffer = Buffer {
        address: (base + pages * PAGE - length) & !(ALIGNMENT - 1),
        length,
        frames: taken,
        mapped: false,
    };
    let address = buffer.address;
    for (place, byte) in (address..).zip(
        bytes
            .iter()
            .copied()
            .chain(core::iter::repeat(0))
            .take(length as usize),
    ) {
        // SAFETY: inside the buffer's frames, which nobody else knows yet.
        unsafe { buffer.byte(place).write(byte) };
    }
    BUFFERS.lock().insert(base, buffer);
    Some(address)
}

/// What is done with the buffer that the whole range lies in, if there is one.
fn within<R>(address: u64, length: u64, work: impl FnOnce(&mut Buffer) -> R) -> Option<R> {
    let mut buffers = BUFFERS.lock();
    let (_, buffer) = buffers.range_mut(..=address).next_back()?;
    let end = address.checked_add(length)?;
    (address >= buffer.base() && end <= buffer.end()).then(|| work(buffer))
}

/// Maps what a driver has probed; false if it is no client's memory.
pub fn probe(address: u64, length: u64) -> bool {
    within(address, length, |buffer| {
        if !buffer.mapped {
            let places = (buffer.base()..).step_by(PAGE as usize);
            buffer.mapped = places
                .zip(&buffer.frames)
                .all(|(place, &frame)| paging::map_frame(place, frame, Protection::ReadWrite));
        }
        buffer.mapped
    })
    .unwrap_or(false)
}

/// The frame of the page that `address` lies in.
pub fn frame_of(address: u64) -> Option<u64> {
    within(address, 0, |buffer| {
        let index = ((address - buffer.base()) / PAGE) as usize;
        buffer.frames.get(index).copied()
    })
    .flatten()
}

/// Whether this is a client's memory, probed or not.
pub fn contains(address: u64) -> bool {
    // A fault may come while somebody has the lock.
    BUFFERS.try_lock().is_some_and(|buffers| {
        let below = buffers.range(..=address).next_back();
        below.is_some_and(|(_, buffer)| address < buffer.end())
    })
}

/// The first `length` bytes of the buffer at `address`, or as many as it has.
pub fn read(address: u64, length: u64) -> Vec<u8> {
    let bytes = within(address, 0, |buffer| {
        let end = address + length.min(buffer.length);
        // SAFETY: inside the buffer's frames.
        (address..end)
            .map(|place| unsafe { buffer.byte(place).read_volatile() })
            .collect()
    });
    bytes.unwrap_or_default()
}

/// The buffer goes, with its mapping; frames that are locked stay until they are unlocked. False if something around it was written.
pub fn free(address: u64) -> bool {
    let buffer = BUFFERS.lock().remove(&(address & !(PAGE - 1)));
    let Some(buffer) = buffer else { return true };
    let around = (buffer.base()..buffer.address).chain(buffer.address + buffer.length..buffer.end());
    // SAFETY: inside the buffer's frames.
    let untouched = around
        .into_iter()
        .all(|place| unsafe { buffer.byte(place).read_volatile() } == SLACK);
    if buffer.mapped {
        paging::unmap_shared(buffer.base(), buffer.frames.len() as u64);
    }
    REGION.put(buffer.base(), buffer.frames.len() as u64);
    buffer.frames.into_iter().for_each(frames::free);
    untouched
}
