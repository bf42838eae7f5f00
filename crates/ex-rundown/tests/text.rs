//! What the types say about themselves, to people and to debuggers.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

use ex_rundown::{
    AllocatedCacheAwareRundownRef, MemoryError, Protection, Rundown, RundownRef, WideRundownRef,
};
use rundown_std::{Settings, Std};

#[test]
fn references() {
    let plain = RundownRef::<Std>::new();
    let guard = plain.try_acquire().unwrap();
    assert_eq!(format!("{plain:?}"), "RundownRef(Live(1))");
    assert_eq!(format!("{guard:?}"), "Guard(RundownRef(Live(1)))");
    drop(guard);
    plain.wait();
    assert_eq!(format!("{plain:?}"), "RundownRef(RunDown)");

    let wide = WideRundownRef::<Std>::new();
    let guard = wide.try_acquire_ex(2).unwrap();
    assert_eq!(format!("{wide:?}"), "WideRundownRef { outstanding: Some(2), .. }");
    assert_eq!(
        format!("{guard:?}"),
        "CountedGuard { count: 2, protection: WideRundownRef { outstanding: Some(2), .. } }"
    );

    let allocated = AllocatedCacheAwareRundownRef::<Std>::new().unwrap();
    let on_processor_0 = Settings {
        processor: Some(0),
        ..Settings::current()
    };
    let _guard = on_processor_0.with(|| allocated.try_acquire());
    let slots = vec!["Live(0)"; allocated.slots() as usize - 1];
    let slots = [&["Live(1)"], &*slots].concat().join(", ");
    assert_eq!(format!("{allocated:?}"), format!("CacheAwareRundownRef[{slots}]"));
}

#[test]
fn data() {
    let data = Rundown::new(7, RundownRef::<Std>::new());
    let held = data.acquire().unwrap();
    assert_eq!(format!("{held:?}"), "7");
    assert!(format!("{data:?}").contains("Live(1)"), "{data:?}");
}

/// Each says what to do.
#[test]
fn errors() {
    let too_small = MemoryError::TooSmall {
        needed: 88,
        given: 80,
    };
    for (error, words) in [
        (MemoryError::Null, &["null", "give"][..]),
        (
            MemoryError::Misaligned,
            &["multiple of a pointer's size", "align"],
        ),
        (too_small, &["80 bytes are too few", "88"]),
        (MemoryError::NoProcessors, &["no processor", "must count"]),
        (MemoryError::Exhausted, &["no memory is left", "free some"]),
    ] {
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

/// The allocated reference is the one that it owns, also by way of the trait.
#[test]
fn through_the_trait() {
    fn run(reference: &impl Protection) {
        assert!(reference.acquire());
        // SAFETY: acquired above.
        unsafe { reference.release() };
        assert!(reference.acquire_ex(3));
        // SAFETY: three were acquired above.
        unsafe { reference.release_ex(3) };
        reference.wait();
        assert!(!reference.acquire());
        assert!(!reference.acquire_ex(1));
        reference.reinitialize();
        assert!(reference.acquire());
        // SAFETY: acquired above.
        unsafe { reference.release() };
        reference.completed();
        assert!(!reference.acquire());
    }
    run(&RundownRef::<Std>::new());
    run(&WideRundownRef::<Std>::new());
    run(&AllocatedCacheAwareRundownRef::<Std>::new().unwrap());
}
