//! Functions to list. They are compiled into the test, and read out of its own executable.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
};

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// The names of all specimens.
pub(crate) const NAMES: [&str; 5] = [
    "specimen_acquire",
    "specimen_hand_over",
    "specimen_sum",
    "specimen_digits",
    "specimen_calls",
];

static CALLS: AtomicU32 = AtomicU32::new(0);

#[inline(never)]
fn specimen_acquire(word: &AtomicUsize) -> bool {
    loop {
        let value = word.load(SeqCst);
        if value & 1 != 0 {
            return false;
        }
        if word
            .compare_exchange(value, value.wrapping_add(2), SeqCst, SeqCst)
            .is_ok()
        {
            return true;
        }
        std::hint::spin_loop();
    }
}

#[inline(never)]
fn specimen_hand_over(count: &AtomicUsize, flag: &AtomicU32) -> bool {
    count.fetch_sub(1, SeqCst) == 1 && flag.fetch_and(!1, SeqCst) & 1 != 0
}

#[inline(never)]
fn specimen_sum(mut number: u64) -> u64 {
    let mut sum = 7_u64;
    while number != 0 {
        sum = sum.wrapping_mul(31).wrapping_add(number & 0xff);
        number >>= 8;
    }
    sum
}

#[inline(never)]
fn specimen_digits(mut number: u32, digits: &mut u64) -> u32 {
    let mut count = 0_u32;
    *digits = 0;
    while number != 0 {
        *digits = (*digits << 4) | u64::from(number % 10);
        number /= 10;
        count = count.wrapping_add(1);
    }
    if count == 0 { 1 } else { count }
}

#[inline(never)]
fn specimen_calls(word: &AtomicUsize, scale: f64) -> f64 {
    CALLS.fetch_add(1, SeqCst);
    if specimen_acquire(word) {
        scale * 1.5
    } else {
        -scale
    }
}

/// Keeps all of them in the executable.
pub(crate) fn keep() {
    let word = AtomicUsize::new(0);
    black_box(specimen_acquire(black_box(&word)));
    black_box(specimen_hand_over(black_box(&word), black_box(&CALLS)));
    black_box(specimen_sum(black_box(0x1234_5678)));
    black_box(specimen_digits(black_box(1234), black_box(&mut 0)));
    black_box(specimen_calls(black_box(&word), black_box(2.0)));
}

/// This test's own code, with names.
pub(crate) struct Program {
    text: Vec<u8>,
    text_address: u64,
    symbols: Vec<(u64, u64, String)>,
}

impl Program {
    pub(crate) fn this() -> Self {
        keep();
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let text = file.section_by_name(".text").unwrap();
        let mut symbols: Vec<_> = file
            .symbols()
            .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data))
            .map(|symbol| {
                let name = symbol.name().unwrap_or_default();
                let short = NAMES.iter().find(|short| name.contains(**short));
                let name = short.map_or_else(|| name.replace(['.', '$'], "_"), |short| (*short).to_owned());
                (symbol.address(), symbol.size(), name)
            })
            .collect();
        symbols.sort();
        Self {
            text_address: text.address(),
            text: text.data().unwrap().to_vec(),
            symbols,
        }
    }

    /// A specimen's address and code.
    pub(crate) fn code(&self, name: &str) -> (u64, &[u8]) {
        let (address, size, _) = self
            .symbols
            .iter()
            .find(|(_, size, symbol)| symbol == name && *size != 0)
            .unwrap();
        let start = usize::try_from(address - self.text_address).unwrap();
        (
            *address,
            &self.text[start..start + usize::try_from(*size).unwrap()],
        )
    }

    /// The nearest symbol at or below an address, and the distance.
    pub(crate) fn name(&self, address: u64) -> (String, u64) {
        let after = self.symbols.partition_point(|(start, ..)| *start <= address);
        match after.checked_sub(1).map(|index| &self.symbols[index]) {
            Some((start, _, name)) => (name.clone(), address - start),
            None => ("image".to_owned(), address),
        }
    }
}
