//! The native routines' names, for C code.
//!
//! [`nt_names!`](crate::nt_names!) defines `ExAcquireRundownProtection` and the 20 others that the WDK declares, with C's calling
//! convention, over a platform and a check policy of the caller's choice, in the crate that calls it. A C driver that links that
//! crate's static library gets these in place of the native ones; where its headers declare them as imported, the
//! linker says so (LNK4217) and takes the local ones.
//!
//! It is a macro because a library cannot choose the platform, and because a feature would choose for everybody in the
//! build. Nothing is exported where it is not called.
//!
//! Whoever calls it takes the system's names for the whole program, and promises that the C code keeps the routines' rules (under
//! [`Parity`](crate::Parity) [its own](crate::Parity#rules)): so the call takes [`Rules`], which only unsafe code can make.
//!
//! What differs from the native routines:
//!
//! - `ExAllocateCacheAwareRundownProtection` takes what [`PoolPlatform::allocate`] gives, whatever the pool's type and tag that it
//!   is asked for. `!poolused` and Driver Verifier show the platform's tag.
//! - `ExInitializeRundownProtectionCacheAwareEx` and `ExCleanupRundownProtectionCacheAware` are declared in `wdm.h` (`<= APC_LEVEL`) and
//!   documented nowhere. Here the first is `ExInitializeRundownProtectionCacheAware` on memory of
//!   `ExSizeOfRundownProtectionCacheAware()` bytes, and flags are [misuse](Misuse::UnknownFlags); the second is
//!   `ExRundownCompletedCacheAware`, since there is nothing to free.
//! - There are no 32-bit x86 names: the native ones are `stdcall` and `fastcall` there.
//!
//! The functions here are what the macro's one-liners call: they turn C's pointers into references. A pointer that is
//! null or misaligned, and memory that is too small, are bugs, and end in [`Misuse::BadMemory`].
//!
//! ```
//! # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
//! // Once, in the crate that C code links:
//! use ex_rundown::nt_names::Rules;
//!
//! // SAFETY: this program defines the names nowhere else, and its C code keeps the rules.
//! ex_rundown::nt_names!(rundown_std::Std, ex_rundown::Parity, unsafe { Rules::kept() });
//! # fn main() {
//! # let mut word = usize::MAX;
//! # // SAFETY: a word, initialised first, and used by nobody else.
//! # unsafe { ExInitializeRundownProtection(&raw mut word) };
//! # // SAFETY: as above.
//! # assert_eq!(unsafe { ExAcquireRundownProtection(&raw mut word) }, 1);
//! # }
//! ```
//!
//! Not without the keyword, and not in a crate that forbids unsafe code:
//!
//! ```compile_fail,E0133
//! # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
//! ex_rundown::nt_names!(rundown_std::Std, ex_rundown::Strict, ex_rundown::nt_names::Rules::kept());
//! # fn main() {}
//! ```
//!
//! ```compile_fail
//! #![forbid(unsafe_code)]
//! ex_rundown::nt_names!(rundown_std::Std, ex_rundown::Strict, unsafe { ex_rundown::nt_names::Rules::kept() });
//! # fn main() {}
//! ```

use core::ptr::{self, NonNull};

use crate::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, Check, MemoryError, Misuse, Platform, PoolPlatform,
    ProcessorPlatform, RundownRef, State, memory,
};

fn refuse<P: Platform>(_error: MemoryError, address: usize) -> ! {
    P::misuse(Misuse::BadMemory, address)
}

/// Makes the word a live reference.
///
/// # IRQL
/// Any.
///
/// # Safety
/// `word` is null, misaligned, or valid for writes.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let mut word = usize::MAX;
/// // SAFETY: the word is there.
/// unsafe { nt_names::initialize::<Nt, Strict>(&raw mut word) };
/// assert_eq!(word, 0);
/// ```
pub unsafe fn initialize<P: Platform, C: Check>(word: *mut usize) {
    if let Err(error) = memory::check_address(word.addr()) {
        refuse::<P>(error, word.addr());
    }
    let reference = word.cast::<RundownRef<P, C>>();
    // SAFETY: valid for writes, says the caller; neither null nor misaligned.
    unsafe { reference.write(RundownRef::saying(State::Live(0))) };
}

/// The reference behind a C pointer.
///
/// # IRQL
/// Any.
///
/// # Safety
/// As [`RundownRef::from_ptr`].
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{RundownRef, Strict, nt_names};
/// let reference = RundownRef::<Nt>::new();
/// // SAFETY: initialised, and it lives long enough.
/// let same = unsafe { nt_names::plain::<Nt, Strict>(reference.as_ptr()) };
/// assert!(same.acquire());
/// ```
#[inline]
pub unsafe fn plain<'a, P: Platform, C: Check>(word: *mut usize) -> &'a RundownRef<P, C> {
    // SAFETY: the caller's promise, handed on.
    match unsafe { RundownRef::from_ptr(word) } {
        Ok(reference) => reference,
        Err(error) => refuse::<P>(error, word.addr()),
    }
}

/// The cache-aware reference behind a C pointer.
///
/// # IRQL
/// Any.
///
/// # Safety
/// Unless it is null or misaligned, `reference` was initialised by the same platform and outlives `'a`.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{AllocatedCacheAwareRundownRef, Strict, nt_names};
/// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
/// let pointer = (&raw const *reference).cast_mut().cast();
/// // SAFETY: initialised, and it lives long enough.
/// let same = unsafe { nt_names::cache_aware::<Nt, Strict>(pointer) };
/// assert_eq!(same.slots(), reference.slots());
/// # Ok::<(), ex_rundown::MemoryError>(())
/// ```
#[inline]
pub unsafe fn cache_aware<'a, P: ProcessorPlatform, C: Check>(
    reference: *mut usize,
) -> &'a CacheAwareRundownRef<P, C> {
    if let Err(error) = memory::check_address(reference.addr()) {
        refuse::<P>(error, reference.addr());
    }
    // SAFETY: initialised, says the caller; neither null nor misaligned.
    unsafe { &*reference.cast() }
}

/// Gives a reference back.
///
/// # IRQL
/// `<= DISPATCH_LEVEL` if the reference is resident.
///
/// # Safety
/// As [`plain`]; and the caller owns a reference, and gives it up.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let reference = ex_rundown::RundownRef::<Nt>::new();
/// assert!(reference.acquire());
/// // SAFETY: initialised, acquired above, and released once.
/// unsafe { nt_names::release::<Nt, Strict>(reference.as_ptr()) };
/// ```
#[inline]
pub unsafe fn release<P: Platform, C: Check>(word: *mut usize) {
    // SAFETY: the caller's promise, handed on.
    let reference = unsafe { plain::<P, C>(word) };
    // SAFETY: as above.
    unsafe { reference.release() };
}

/// Gives `count` references back.
///
/// # IRQL
/// `<= DISPATCH_LEVEL` if the reference is resident.
///
/// # Safety
/// As [`plain`]; and the caller owns `count` references, and gives them up.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let reference = ex_rundown::RundownRef::<Nt>::new();
/// assert!(reference.acquire_ex(2));
/// // SAFETY: initialised, acquired above, and released once.
/// unsafe { nt_names::release_ex::<Nt, Strict>(reference.as_ptr(), 2) };
/// ```
#[inline]
pub unsafe fn release_ex<P: Platform, C: Check>(word: *mut usize, count: u32) {
    // SAFETY: the caller's promise, handed on.
    let reference = unsafe { plain::<P, C>(word) };
    // SAFETY: as above.
    unsafe { reference.release_ex(count) };
}

/// Gives a reference back.
///
/// # IRQL
/// `<= DISPATCH_LEVEL` if the reference is resident.
///
/// # Safety
/// As [`cache_aware`]; and the caller owns a reference, and gives it up.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new().expect("memory");
/// assert!(reference.acquire());
/// // SAFETY: initialised, acquired above, and released once.
/// unsafe { nt_names::release_cache_aware::<Nt, Strict>((&raw const *reference).cast_mut().cast()) };
/// ```
#[inline]
pub unsafe fn release_cache_aware<P: ProcessorPlatform, C: Check>(reference: *mut usize) {
    // SAFETY: the caller's promise, handed on.
    let reference = unsafe { cache_aware::<P, C>(reference) };
    // SAFETY: as above.
    unsafe { reference.release() };
}

/// Gives `count` references back.
///
/// # IRQL
/// `<= DISPATCH_LEVEL` if the reference is resident.
///
/// # Safety
/// As [`cache_aware`]; and the caller owns `count` references, and gives them up.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new().expect("memory");
/// assert!(reference.acquire_ex(2));
/// // SAFETY: initialised, acquired above, and released once.
/// unsafe { nt_names::release_cache_aware_ex::<Nt, Strict>((&raw const *reference).cast_mut().cast(), 2) };
/// ```
#[inline]
pub unsafe fn release_cache_aware_ex<P: ProcessorPlatform, C: Check>(reference: *mut usize, count: u32) {
    // SAFETY: the caller's promise, handed on.
    let reference = unsafe { cache_aware::<P, C>(reference) };
    // SAFETY: as above.
    unsafe { reference.release_ex(count) };
}

/// The bytes of a cache-aware reference.
///
/// # IRQL
/// `<= APC_LEVEL`.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{CacheAwareRundownRef, Strict, nt_names};
/// assert_eq!(Ok(nt_names::size_of::<Nt, Strict>()), CacheAwareRundownRef::<Nt>::size_of());
/// ```
#[must_use]
pub fn size_of<P: ProcessorPlatform, C: Check>() -> usize {
    match CacheAwareRundownRef::<P, C>::size_of() {
        Ok(bytes) => bytes,
        Err(error) => refuse::<P>(error, 0),
    }
}

/// Makes the memory a live cache-aware reference.
///
/// # IRQL
/// `<= APC_LEVEL`.
///
/// # Safety
/// As [`CacheAwareRundownRef::initialize_at`], for as long as the memory is used as a reference.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let bytes = nt_names::size_of::<Nt, Strict>();
/// let mut memory = vec![0_usize; bytes.div_ceil(8)];
/// // SAFETY: so many bytes, used by nobody else.
/// unsafe { nt_names::initialize_cache_aware::<Nt, Strict>(memory.as_mut_ptr(), bytes) };
/// ```
pub unsafe fn initialize_cache_aware<P: ProcessorPlatform, C: Check>(memory: *mut usize, bytes: usize) {
    // SAFETY: the caller's promise, handed on.
    if let Err(error) = unsafe { CacheAwareRundownRef::<P, C>::initialize_at(memory, bytes) } {
        refuse::<P>(error, memory.addr());
    }
}

/// Makes the memory a live cache-aware reference, as the routine without a size does.
///
/// # IRQL
/// `<= APC_LEVEL`.
///
/// # Safety
/// As [`initialize_cache_aware`], for [`size_of`] bytes.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let bytes = nt_names::size_of::<Nt, Strict>();
/// let mut memory = vec![0_usize; bytes.div_ceil(8)];
/// // SAFETY: so many bytes, used by nobody else.
/// unsafe { nt_names::initialize_cache_aware_ex::<Nt, Strict>(memory.as_mut_ptr(), 0) };
/// ```
pub unsafe fn initialize_cache_aware_ex<P: ProcessorPlatform, C: Check>(memory: *mut usize, flags: u32) {
    if flags != 0 {
        P::misuse(Misuse::UnknownFlags, flags as usize);
    }
    // SAFETY: the caller's promise, handed on.
    unsafe { initialize_cache_aware::<P, C>(memory, size_of::<P, C>()) };
}

/// Allocates a live cache-aware reference; null when there is no memory.
///
/// # IRQL
/// `<= APC_LEVEL`.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// let reference = nt_names::allocate::<Nt, Strict>();
/// assert!(!reference.is_null());
/// // SAFETY: from `allocate`, once, and nobody uses it.
/// unsafe { nt_names::free::<Nt, Strict>(reference) };
/// ```
#[must_use]
pub fn allocate<P: PoolPlatform, C: Check>() -> *mut usize {
    // SAFETY: nobody reaches it but through the pointer, whose use is unsafe.
    match unsafe { AllocatedCacheAwareRundownRef::<P, C>::with_policy() } {
        Ok(reference) => AllocatedCacheAwareRundownRef::into_raw(reference).cast().as_ptr(),
        Err(_) => ptr::null_mut(),
    }
}

/// Frees what [`allocate`] gave.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// It came from `allocate` with the same platform and policy, nobody uses it any more, and it is freed once.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// // See `allocate`.
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{Strict, nt_names};
/// # let reference = nt_names::allocate::<Nt, Strict>();
/// # // SAFETY: from `allocate`, once.
/// unsafe { nt_names::free::<Nt, Strict>(reference) };
/// ```
pub unsafe fn free<P: PoolPlatform, C: Check>(reference: *mut usize) {
    let Some(raw) = NonNull::new(reference.cast::<CacheAwareRundownRef<P, C>>()) else {
        refuse::<P>(MemoryError::Null, 0)
    };
    // SAFETY: the caller's promise, handed on.
    drop(unsafe { AllocatedCacheAwareRundownRef::from_raw(raw) });
}

/// The promise that [`nt_names!`](crate::nt_names!) takes.
///
/// ```
/// # use ex_rundown::nt_names::Rules;
/// // SAFETY: no names are defined here.
/// const KEPT: Rules = unsafe { Rules::kept() };
/// ```
#[derive(Debug)]
pub struct Rules(());

impl Rules {
    /// The promise.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// No other part of the program defines the native names, and the code that links them keeps the rules of the native
    /// routines; under [`Parity`](crate::Parity) also [its own](crate::Parity#rules).
    ///
    /// ```
    /// // See the type.
    /// # // SAFETY: no names are defined here.
    /// let kept = unsafe { ex_rundown::nt_names::Rules::kept() };
    /// ```
    #[must_use]
    pub const unsafe fn kept() -> Self {
        Self(())
    }
}

/// Defines the native routines' names over platform `$platform` (a [`PoolPlatform`]) and check policy `$check`.
///
/// `$rules` is [`unsafe { Rules::kept() }`](crate::nt_names::Rules::kept). See [the module](mod@crate::nt_names).
#[macro_export]
macro_rules! nt_names {
    ($platform:ty, $check:ty, $rules:expr) => {
        #[cfg(target_arch = "x86")]
        compile_error!("the native names are stdcall and fastcall on 32-bit x86, which this does not define");

        const _: $crate::nt_names::Rules = $rules;

        $crate::nt_names! { @define $platform, $check,
            // The plain reference.
            ExInitializeRundownProtection(word: *mut usize) => $crate::nt_names::initialize::<$platform, $check>(word);
            ExReInitializeRundownProtection(word: *mut usize) =>
                $crate::nt_names::plain::<$platform, $check>(word).reinitialize();
            ExAcquireRundownProtection(word: *mut usize) -> u8 =>
                u8::from($crate::nt_names::plain::<$platform, $check>(word).acquire());
            ExAcquireRundownProtectionEx(word: *mut usize, count: u32) -> u8 =>
                u8::from($crate::nt_names::plain::<$platform, $check>(word).acquire_ex(count));
            ExReleaseRundownProtection(word: *mut usize) =>
                $crate::nt_names::release::<$platform, $check>(word);
            ExReleaseRundownProtectionEx(word: *mut usize, count: u32) =>
                $crate::nt_names::release_ex::<$platform, $check>(word, count);
            ExWaitForRundownProtectionRelease(word: *mut usize) =>
                { $crate::nt_names::plain::<$platform, $check>(word).wait(); };
            ExRundownCompleted(word: *mut usize) => $crate::nt_names::plain::<$platform, $check>(word).completed();
            // The cache-aware reference.
            ExAllocateCacheAwareRundownProtection(_pool_type: i32, _pool_tag: u32) -> *mut usize =>
                $crate::nt_names::allocate::<$platform, $check>();
            ExFreeCacheAwareRundownProtection(reference: *mut usize) =>
                $crate::nt_names::free::<$platform, $check>(reference);
            ExSizeOfRundownProtectionCacheAware() -> usize => $crate::nt_names::size_of::<$platform, $check>();
            ExInitializeRundownProtectionCacheAware(memory: *mut usize, bytes: usize) =>
                $crate::nt_names::initialize_cache_aware::<$platform, $check>(memory, bytes);
            ExInitializeRundownProtectionCacheAwareEx(memory: *mut usize, flags: u32) =>
                $crate::nt_names::initialize_cache_aware_ex::<$platform, $check>(memory, flags);
            ExCleanupRundownProtectionCacheAware(reference: *mut usize) =>
                $crate::nt_names::cache_aware::<$platform, $check>(reference).completed();
            ExReInitializeRundownProtectionCacheAware(reference: *mut usize) =>
                $crate::nt_names::cache_aware::<$platform, $check>(reference).reinitialize();
            ExAcquireRundownProtectionCacheAware(reference: *mut usize) -> u8 =>
                u8::from($crate::nt_names::cache_aware::<$platform, $check>(reference).acquire());
            ExAcquireRundownProtectionCacheAwareEx(reference: *mut usize, count: u32) -> u8 =>
                u8::from($crate::nt_names::cache_aware::<$platform, $check>(reference).acquire_ex(count));
            ExReleaseRundownProtectionCacheAware(reference: *mut usize) =>
                $crate::nt_names::release_cache_aware::<$platform, $check>(reference);
            ExReleaseRundownProtectionCacheAwareEx(reference: *mut usize, count: u32) =>
                $crate::nt_names::release_cache_aware_ex::<$platform, $check>(reference, count);
            ExWaitForRundownProtectionReleaseCacheAware(reference: *mut usize) =>
                { $crate::nt_names::cache_aware::<$platform, $check>(reference).wait(); };
            ExRundownCompletedCacheAware(reference: *mut usize) =>
                $crate::nt_names::cache_aware::<$platform, $check>(reference).completed();
        }
    };
    (@define $platform:ty, $check:ty,
        $($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? => $body:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`, as the DDI has it.")]
            ///
            /// # Safety
            /// As the native routine: the pointer is to an initialised reference (or to memory for one), and what is
            /// released was acquired.
            #[allow(non_snake_case, unused_unsafe, reason = "the native name; some bodies are safe")]
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: the caller's promise, handed on.
                unsafe { $body }
            }
        )*
    };
}
