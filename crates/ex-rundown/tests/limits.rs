//! How far references are counted. The words are set to where it takes hours to bring them.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

use std::{
    panic::{self, AssertUnwindSafe},
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, Protection, RundownRef, WideRundownRef,
};
use rundown_std::{Settings, Std};

/// The greatest word that a counted acquire may leave.
const MOST: usize = isize::MAX.cast_unsigned() - 1;

fn is_too_many(acquire: impl FnOnce() -> bool) {
    let payload = panic::catch_unwind(AssertUnwindSafe(acquire)).expect_err("more than a word may count");
    let text = payload.downcast::<String>().expect("a text");
    assert!(text.contains("TooManyReferences"), "{text}");
}

/// Nothing beyond half of a word, and the word is as it was.
fn counts_to_the_half(word: &AtomicUsize, reference: &impl Protection) {
    word.store(MOST - 6, Relaxed);
    assert!(reference.acquire_ex(2));
    is_too_many(|| reference.acquire_ex(2));
    assert_eq!(word.load(Relaxed), MOST - 2, "as it was found");
    assert!(reference.acquire_ex(1));
    for count in [1, 3, u32::MAX / 2, u32::MAX] {
        is_too_many(|| reference.acquire_ex(count));
        assert_eq!(word.load(Relaxed), MOST, "as it was found");
    }
    assert!(reference.acquire_ex(0));
    // What is taken one by one would take a hundred years from here.
    #[cfg(target_pointer_width = "64")]
    assert!(reference.acquire());
    #[cfg(not(target_pointer_width = "64"))]
    is_too_many(|| reference.acquire());
}

#[test]
fn plain() {
    let word = AtomicUsize::new(0);
    // SAFETY: initialised, and here as long as the reference. Nobody waits.
    let reference: &RundownRef<Std> = unsafe { RundownRef::from_ptr(word.as_ptr()) }.unwrap();
    counts_to_the_half(&word, reference);
}

#[test]
fn wide() {
    let reference = WideRundownRef::<Std>::new();
    let state = (&raw const reference).cast::<usize>().cast_mut();
    // SAFETY: the first of its two words (`repr(C)`), and atomic.
    let state = unsafe { AtomicUsize::from_ptr(state) };
    counts_to_the_half(state, &reference);
}

/// A cache-aware reference's slots, by NT's layout.
fn slots(reference: &CacheAwareRundownRef<Std>) -> Vec<&AtomicUsize> {
    let header = (&raw const *reference).cast::<NonNull<usize>>();
    // SAFETY: the header begins with the first slot's address.
    let first = unsafe { header.read() };
    // Behind two pointers lies the distance from one slot to the next.
    let distance = header.cast::<u32>().wrapping_byte_add(2 * size_of::<usize>());
    // SAFETY: within the header.
    let stride = unsafe { distance.read() };
    (0..reference.slots() as usize)
        .map(|slot| {
            let word = first.as_ptr().wrapping_byte_add(slot * stride as usize);
            // SAFETY: a slot, and atomic.
            unsafe { AtomicUsize::from_ptr(word) }
        })
        .collect()
}

#[test]
fn cache_aware() {
    let reference = AllocatedCacheAwareRundownRef::<Std>::new().unwrap();
    let slots = slots(&reference);
    // A slot's share is a power of two, and that of all is less than half of a word.
    let share = usize::MAX / 2 / (slots.len() + 1).next_power_of_two();
    assert!(share * slots.len() < usize::MAX / 2);
    let most = share & !1;
    let on_processor_0 = Settings {
        processor: Some(0),
        ..Settings::DEFAULT
    };
    on_processor_0.with(|| {
        slots[0].store(most - 6, Relaxed);
        assert!(reference.acquire_ex(2));
        assert_eq!(slots[0].load(Relaxed), most - 2);
        // What has no place in its slot goes to another.
        if let Some(slot) = slots.get(1) {
            slot.store((-8_isize).cast_unsigned(), Relaxed);
            assert!(reference.acquire_ex(5));
            assert_eq!(slots[0].load(Relaxed), most - 2);
            assert_eq!(slot.load(Relaxed), 2);
        }
        for slot in &slots {
            slot.store(most, Relaxed);
        }
        for count in [1, u32::MAX / 2, u32::MAX] {
            is_too_many(|| reference.acquire_ex(count));
        }
        for slot in slots {
            assert_eq!(slot.load(Relaxed), most, "as it was found");
        }
    });
}
