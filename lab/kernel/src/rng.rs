//! Random numbers for provocation: one xorshift64* per processor, all from the run's seed.

use crate::hal::pcr;
use core::sync::atomic::Ordering;

/// Gives processor `number` its own sequence of the run's seed (a step of `SplitMix64`).
pub fn seed(number: usize, seed: u64) {
    let mut state = seed.wrapping_add((number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    pcr::of(number)
        .random
        .store((state ^ state >> 31) | 1, Ordering::Relaxed);
}

/// The next number of this processor's sequence.
pub fn next() -> u64 {
    // Relaxed, and not atomic as a whole: a handler in between repeats a number, which harms nobody.
    let state = &pcr::this().random;
    let mut x = state.load(Ordering::Relaxed);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    state.store(x, Ordering::Relaxed);
    x.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

/// A number below `bound`, which is not 0.
pub fn below(bound: u64) -> u64 {
    ((u128::from(next()) * u128::from(bound)) >> 64) as u64
}

/// True once in `n` times.
pub fn one_in(n: u64) -> bool {
    below(n) == 0
}
