//! The native names, called as C code calls them: by symbol.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

mod exported {
    use ex_rundown::nt_names::Rules;

    // SAFETY: defined once, and each test has its reference to itself.
    ex_rundown::nt_names!(rundown_std::Std, ex_rundown::Parity, unsafe { Rules::kept() });
}

mod c {
    unsafe extern "C" {
        pub(crate) fn ExInitializeRundownProtection(word: *mut usize);
        pub(crate) fn ExReInitializeRundownProtection(word: *mut usize);
        pub(crate) fn ExAcquireRundownProtection(word: *mut usize) -> u8;
        pub(crate) fn ExAcquireRundownProtectionEx(word: *mut usize, count: u32) -> u8;
        pub(crate) fn ExReleaseRundownProtection(word: *mut usize);
        pub(crate) fn ExReleaseRundownProtectionEx(word: *mut usize, count: u32);
        pub(crate) fn ExWaitForRundownProtectionRelease(word: *mut usize);
        pub(crate) fn ExRundownCompleted(word: *mut usize);
        pub(crate) fn ExAllocateCacheAwareRundownProtection(pool_type: i32, pool_tag: u32) -> *mut usize;
        pub(crate) fn ExFreeCacheAwareRundownProtection(reference: *mut usize);
        pub(crate) fn ExSizeOfRundownProtectionCacheAware() -> usize;
        pub(crate) fn ExInitializeRundownProtectionCacheAware(memory: *mut usize, bytes: usize);
        pub(crate) fn ExReInitializeRundownProtectionCacheAware(reference: *mut usize);
        pub(crate) fn ExAcquireRundownProtectionCacheAware(reference: *mut usize) -> u8;
        pub(crate) fn ExAcquireRundownProtectionCacheAwareEx(reference: *mut usize, count: u32) -> u8;
        pub(crate) fn ExReleaseRundownProtectionCacheAware(reference: *mut usize);
        pub(crate) fn ExReleaseRundownProtectionCacheAwareEx(reference: *mut usize, count: u32);
        pub(crate) fn ExWaitForRundownProtectionReleaseCacheAware(reference: *mut usize);
        pub(crate) fn ExRundownCompletedCacheAware(reference: *mut usize);
        pub(crate) fn ExInitializeRundownProtectionCacheAwareEx(memory: *mut usize, flags: u32);
        pub(crate) fn ExCleanupRundownProtectionCacheAware(reference: *mut usize);
    }
}

/// One call; each test has the reference to itself and releases what it acquired.
macro_rules! call {
    ($name:ident($($argument:expr),*)) => {
        // SAFETY: an initialised reference, or memory for one, that this test has to itself; balanced.
        unsafe { c::$name($($argument),*) }
    };
}

#[test]
fn the_plain_routines() {
    let mut word = usize::MAX;
    let word = &raw mut word;
    call!(ExInitializeRundownProtection(word));
    assert_eq!(call!(ExAcquireRundownProtection(word)), 1);
    assert_eq!(call!(ExAcquireRundownProtectionEx(word, 3)), 1);
    // SAFETY: this test's.
    assert_eq!(unsafe { word.read() }, 8);
    call!(ExReleaseRundownProtectionEx(word, 3));
    call!(ExReleaseRundownProtection(word));
    call!(ExWaitForRundownProtectionRelease(word));
    assert_eq!(call!(ExAcquireRundownProtection(word)), 0);
    assert_eq!(call!(ExAcquireRundownProtectionEx(word, 1)), 0);
    call!(ExRundownCompleted(word));
    call!(ExReInitializeRundownProtection(word));
    // SAFETY: this test's.
    assert_eq!(unsafe { word.read() }, 0);
}

fn cache_aware(reference: *mut usize) {
    assert_eq!(call!(ExAcquireRundownProtectionCacheAware(reference)), 1);
    assert_eq!(call!(ExAcquireRundownProtectionCacheAwareEx(reference, 3)), 1);
    call!(ExReleaseRundownProtectionCacheAwareEx(reference, 2));
    call!(ExReleaseRundownProtectionCacheAware(reference));
    call!(ExReleaseRundownProtectionCacheAware(reference));
    call!(ExWaitForRundownProtectionReleaseCacheAware(reference));
    assert_eq!(call!(ExAcquireRundownProtectionCacheAware(reference)), 0);
    call!(ExRundownCompletedCacheAware(reference));
    call!(ExWaitForRundownProtectionReleaseCacheAware(reference));
    call!(ExReInitializeRundownProtectionCacheAware(reference));
    assert_eq!(call!(ExAcquireRundownProtectionCacheAwareEx(reference, 0)), 1);
}

#[test]
fn the_cache_aware_routines_over_given_memory() {
    let bytes = call!(ExSizeOfRundownProtectionCacheAware());
    let mut memory = vec![usize::MAX; bytes.div_ceil(size_of::<usize>())];
    call!(ExInitializeRundownProtectionCacheAware(
        memory.as_mut_ptr(),
        bytes
    ));
    cache_aware(memory.as_mut_ptr());
}

/// The two that are declared and not documented.
#[test]
fn the_cache_aware_routines_without_a_size() {
    let bytes = call!(ExSizeOfRundownProtectionCacheAware());
    let mut memory = vec![usize::MAX; bytes.div_ceil(size_of::<usize>())];
    let reference = memory.as_mut_ptr();
    call!(ExInitializeRundownProtectionCacheAwareEx(reference, 0));
    cache_aware(reference);
    call!(ExCleanupRundownProtectionCacheAware(reference));
    assert_eq!(call!(ExAcquireRundownProtectionCacheAware(reference)), 0);
}

#[test]
#[should_panic(expected = "UnknownFlags")]
fn flags_are_refused() {
    let mut memory = [0_usize; 3];
    // SAFETY: refused before it is used.
    unsafe {
        ex_rundown::nt_names::initialize_cache_aware_ex::<rundown_std::Std, ex_rundown::Strict>(
            memory.as_mut_ptr(),
            1,
        );
    }
}

#[test]
fn the_cache_aware_routines_over_the_pool() {
    let reference = call!(ExAllocateCacheAwareRundownProtection(0x200, 0x4E44_5552));
    assert!(!reference.is_null());
    cache_aware(reference);
    call!(ExFreeCacheAwareRundownProtection(reference));
}

/// A bad pointer from C code is a bug, and says so. (Not through the C ABI: a panic cannot cross it.)
#[test]
#[should_panic(expected = "BadMemory")]
fn a_null_word_is_a_bug() {
    // SAFETY: refused before it is used.
    unsafe { ex_rundown::nt_names::plain::<rundown_std::Std, ex_rundown::Strict>(std::ptr::null_mut()) };
}

#[test]
#[should_panic(expected = "BadMemory")]
fn too_little_memory_is_a_bug() {
    let mut memory = [0_usize; 3];
    // SAFETY: refused before it is used.
    unsafe {
        ex_rundown::nt_names::initialize_cache_aware::<rundown_std::Std, ex_rundown::Strict>(
            memory.as_mut_ptr(),
            24,
        );
    }
}
