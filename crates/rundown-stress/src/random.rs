//! Seeded random times.

/// xorshift64* (Marsaglia 2003, Vigna 2016): small, fast, and good enough to spread times.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The `stream`-th generator of a seed.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        // SplitMix64's finalizer, so that neighbouring seeds and streams have nothing in common.
        let mut z = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // xorshift has a fixed point at zero.
        Self((z ^ (z >> 31)).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to `max`.
    pub fn up_to(&mut self, max: u32) -> u64 {
        // The upper half is the better one; scaling it down is unbiased enough for a delay.
        ((self.next() >> 32) * (u64::from(max) + 1)) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn it_stays_within_its_bounds_and_reaches_them() {
        let mut random = Random::new(1, 0);
        let mut seen = [0_u32; 8];
        for _ in 0..8_000 {
            seen[usize::try_from(random.up_to(7)).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|&count| (800..1_200).contains(&count)),
            "{seen:?}"
        );
        assert_eq!(random.up_to(0), 0);
        assert!(u32::try_from(random.up_to(u32::MAX)).is_ok());
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).up_to(u32::MAX);
        assert_eq!(first(7, 1), first(7, 1));
        assert_ne!(first(7, 1), first(7, 2));
        assert_ne!(first(7, 1), first(8, 1));
        assert_ne!(first(0, 0), 0);
    }
}
