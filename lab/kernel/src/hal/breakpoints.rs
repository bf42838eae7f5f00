//! The debug registers: places in the driver whose execution traps, the same on every processor.

use super::pcr;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static WATCHED: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Chooses the addresses, four at most. Each processor traps there once it has [loaded](load) them.
pub fn set(addresses: &[u64]) {
    for (slot, &address) in WATCHED.iter().zip(addresses) {
        slot.store(address, Relaxed);
    }
    GENERATION.fetch_add(1, Relaxed);
}

/// Whether `address` is one of them.
pub fn is_watched(address: u64) -> bool {
    WATCHED.iter().any(|watched| watched.load(Relaxed) == address)
}

/// Brings this processor's debug registers up to date; takes no lock, for NMI's handler calls it.
pub fn load() {
    let generation = GENERATION.load(Relaxed);
    if pcr::this().breakpoints.swap(generation, Relaxed) == generation {
        return;
    }
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|index: usize| WATCHED[index].load(Relaxed));
    let addresses = [first, second, third, fourth].into_iter().enumerate();
    let enable: u64 = addresses
        .filter(|(_, address)| *address != 0)
        .map(|(index, _)| 2 << (index * 2))
        .sum();
    // SAFETY: breakpoints on execution (R/W and LEN 0) only trap, and the debug trap takes them.
    unsafe {
        asm!("mov dr0, {0}", "mov dr1, {1}", "mov dr2, {2}", "mov dr3, {3}", "mov dr7, {4}",
            in(reg) first, in(reg) second, in(reg) third, in(reg) fourth, in(reg) enable | 0x400,
            options(nostack, preserves_flags));
    }
}
