//! Run-down protection with NT's semantics and NT's layout.
//!
//! # Why
//!
//! An object is shared by code that comes and goes, and one day it has to go away. A reference count answers
//! *when is nobody left?*, but not *how do I keep newcomers out while I wait for the last one to leave?*
//! Run-down protection answers both with one pointer-sized word: [`acquire`](RundownRef::acquire) succeeds until
//! the owner begins to [`wait`](RundownRef::wait), and `wait` returns when the last holder has
//! [released](RundownRef::release). Acquire and release are one locked instruction each, never block, and work up
//! to `DISPATCH_LEVEL`.
//!
//! ```
//! # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
//! use ex_rundown::{RundownRef, WayOut};
//! // In a driver: `use ex_rundown_nt::Nt;`. Here, and hidden in the examples that follow: std's threads.
//! type Nt = rundown_std::Std;
//!
//! let reference = RundownRef::<Nt>::new();
//!
//! if let Some(_guard) = reference.try_acquire() {
//!     // ... use the object: it stays until the guard is dropped ...
//! }
//!
//! assert_eq!(reference.wait(), WayOut::Drained);
//! assert!(reference.try_acquire().is_none(), "the object is gone");
//! ```
//!
//! # Which one
//!
//! | type | for | acquire and release | layout |
//! |---|---|---|---|
//! | [`RundownRef`] | most objects; words that native code shares | a compare-exchange each | `EX_RUNDOWN_REF` |
//! | [`WideRundownRef`] | objects that several processors use at once | an addition each, which cannot fail | its own, two words |
//! | [`CacheAwareRundownRef`] | objects that all processors use all the time | a compare-exchange each, on the processor's own line | `EX_RUNDOWN_REF_CACHE_AWARE` |
//! | [`WideCacheAwareRundownRef`] | the same, where native code has no part in it | an addition each, which cannot fail, on the processor's own line | its own |
//! | [`DispatchRundownRef`] | long-lived objects that are used at `DISPATCH_LEVEL` all the time, as data paths do | a load, a branch and an ordinary addition each, on the processor's own line; a wait disturbs every processor once, so not for objects that come and go | its own |
//!
//! Any of them inside of [`Tracked`] knows who holds it, for the day on which a wait does not return.
//!
//! [`Rundown<T, R>`](Rundown) owns the data that one of them protects. [`Guard`] and [`CountedGuard`] give references
//! back by themselves. The operations are those that Microsoft documents, one to one:
//!
//! | routine | here | IRQL |
//! |---|---|---|
//! | `ExInitializeRundownProtection` | [`RundownRef::new`] | any (documented: `<= APC_LEVEL`) |
//! | `ExAcquireRundownProtection` | [`RundownRef::acquire`], [`try_acquire`](RundownRef::try_acquire), [`protect`](RundownRef::protect) | `<= DISPATCH_LEVEL`, the word resident |
//! | `ExAcquireRundownProtectionEx` | [`RundownRef::acquire_ex`], [`try_acquire_ex`](RundownRef::try_acquire_ex) | `<= DISPATCH_LEVEL`, the word resident |
//! | `ExReleaseRundownProtection` | [`RundownRef::release`], a guard's drop | `<= DISPATCH_LEVEL`, the word resident |
//! | `ExReleaseRundownProtectionEx` | [`RundownRef::release_ex`], a guard's drop | `<= DISPATCH_LEVEL`, the word resident |
//! | `ExWaitForRundownProtectionRelease` | [`RundownRef::wait`] | `<= APC_LEVEL` |
//! | `ExRundownCompleted` | [`RundownRef::completed`] | `<= APC_LEVEL` |
//! | `ExReInitializeRundownProtection` | [`RundownRef::reinitialize`] | `<= APC_LEVEL` |
//! | `ExAllocateCacheAwareRundownProtection` | [`AllocatedCacheAwareRundownRef::new`] | `<= APC_LEVEL` |
//! | `ExFreeCacheAwareRundownProtection` | its drop | `<= APC_LEVEL` |
//! | `ExSizeOfRundownProtectionCacheAware` | [`CacheAwareRundownRef::size_of`] | `<= APC_LEVEL` |
//! | `ExInitializeRundownProtectionCacheAware` | [`CacheAwareRundownRef::initialize`] | `<= APC_LEVEL` |
//! | `Ex…CacheAware`, `Ex…CacheAwareEx` | [`CacheAwareRundownRef`]'s methods of the plain one's names | as the plain ones |
//!
//! [`nt_names!`] defines all of these by their native names, for C code to link, and the two that are declared and not
//! documented.
//!
//! # Properties
//!
//! - The word is an `EX_RUNDOWN_REF`, to the bit, and the wait block that a waiter publishes in it is NT's, to
//!   the byte: code that uses the native routines can share both. (On x64, where it was compared with NT's code; on ARM64 the layout
//!   is the same by the declarations, and nobody has run the two together.)
//! - At most one thread may wait at a time; acquirers and releasers are any number of any threads.
//! - Under [`Strict`], the default, misuse that NT answers with silent corruption is detected and ends in
//!   [`Platform::misuse`]; no safe call corrupts memory, in whatever order and from however many threads. Under [`Parity`] every
//!   word is exactly what NT leaves behind, and only unsafe code can make a reference.
//! - An object can be freed, with the reference in it, as soon as [`wait`](RundownRef::wait) has returned: the release that
//!   ended the wait does not touch either any more, and holds no Rust reference to memory that must not go.
//! - The crate knows no Windows header. [`Platform`] is its only seam.
//!
//! # Implementation
//!
//! ## State
//!
//! | word | meaning |
//! |---|---|
//! | `2n` | live, with `n` references outstanding |
//! | `1` | run down: every acquire is refused, a wait returns at once |
//! | `P \| 1`, `P != 0` | run-down has begun: `P` is the [wait block](mod@wait_block) on the waiter's stack |
//!
//! Under [`Parity`], as in NT, `P | 1` stays behind when a wait that came that far has returned, and is then
//! stale. Under [`Strict`] the waiter's last act replaces it by `1`.
//!
//! ## The hand-over
//!
//! ```text
//!  waiter                                        last releaser
//!  ------                                        -------------
//!  B.Count = n, B.SpinFlag = 1
//!  word: 2n -> &B|1                     (1)
//!  spin while B.SpinFlag = 1  . . . . . . . . .  B.Count: 1 -> 0                   (2)
//!     |          |                               old = test-and-clear B.SpinFlag   (3)
//!     |          +-- saw 0: return  <----------  old = 1: done, B may vanish
//!     v
//!  initialise B.WakeEvent
//!  old = test-and-clear B.SpinFlag      (4)
//!     +-- old = 0: return  <-------------------  (it was 1 at (3))
//!     v
//!  sleep on B.WakeEvent  <---------------------  old = 0: set B.WakeEvent
//! ```
//!
//! 1. From (1) on nobody can acquire, so `n` is final and each of the `n` holders subtracts from `B.Count` once,
//!    unless it had released on the word before.
//! 2. Exactly one subtraction reaches zero: there is one *last* releaser.
//! 3. Of the two test-and-clears (3) and (4) exactly one finds the bit set. If it is the releaser's, that is its
//!    last touch of `B`, and the waiter's frame may go. If it is the waiter's, the waiter cannot return before the
//!    event is set, so the releaser may touch the event.
//!
//! ## Memory orderings
//!
//! Each operation says at its place what it pairs with. In one sentence: releases are *Release* (on the word, on
//! the count and on the flag) and form one chain to the waiter's *Acquire*, so that everything that a holder did
//! happens before `wait` returns; re-initialise is *Release* and pairs with the *Acquire* of a granted acquire.
#![cfg_attr(not(ex_rundown_loom), no_std)]
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "it owns raw memory of the platform's pool")]
mod allocated;
#[allow(
    unsafe_code,
    reason = "instructions that the language does not have: prefetchw, MONITORX, MWAITX, rdtsc"
)]
pub mod arch;
#[allow(
    unsafe_code,
    reason = "the slots are reached through NT's layout, a pointer and a stride"
)]
mod cache_aware;
#[allow(
    unsafe_code,
    reason = "the data is reached under a protection that the compiler cannot see"
)]
mod cell;
mod check;
#[allow(unsafe_code, reason = "as `rundown_ref`")]
mod counted;
#[cfg(target_pointer_width = "64")]
#[allow(
    unsafe_code,
    reason = "as `rundown_ref`; and its counters are reached by the processor's number"
)]
mod dispatch;
#[cfg(target_pointer_width = "64")]
#[allow(unsafe_code, reason = "the guard gives back the references that it owns")]
mod dispatch_guard;
#[cfg(target_pointer_width = "64")]
#[allow(
    unsafe_code,
    reason = "a proof that memory depends on is made by unsafe functions, over an unsafe trait"
)]
mod dispatch_level;
#[allow(unsafe_code, reason = "the guard gives back the reference that it owns")]
mod guard;
#[cfg(all(target_pointer_width = "64", not(ex_rundown_loom)))]
mod holders;
#[allow(unsafe_code, reason = "a proof that is taken on trust is an unsafe function")]
mod irql;
#[cfg(target_pointer_width = "64")]
#[allow(unsafe_code, reason = "it owns raw memory of the platform's pool")]
mod lines;
mod memory;
#[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
#[allow(unsafe_code, reason = "C's pointers are taken on trust")]
pub mod nt_names;
#[allow(
    unsafe_code,
    reason = "which references may go to another thread is said by hand"
)]
mod owned;
#[allow(
    unsafe_code,
    reason = "the seam's event functions take pointers into a wait block"
)]
mod platform;
#[allow(unsafe_code, reason = "guards rely on it, so it is an unsafe trait")]
mod protection;
#[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
#[allow(unsafe_code, reason = "a C driver's word is taken on trust")]
mod raw;
#[allow(
    unsafe_code,
    reason = "the data is reached under a protection that the compiler cannot see"
)]
mod rundown;
#[allow(
    unsafe_code,
    reason = "an unbalanced release reaches a dead stack frame: the contract is the caller's"
)]
mod rundown_ref;
mod spin;
mod sync;
#[cfg(all(target_pointer_width = "64", not(ex_rundown_loom)))]
#[allow(unsafe_code, reason = "as `protection`")]
mod tracked;
#[allow(
    unsafe_code,
    reason = "a releaser reaches the waiter's stack through the pointer in the word"
)]
pub mod wait_block;
#[allow(unsafe_code, reason = "as `rundown_ref`")]
mod wide;
#[cfg(target_pointer_width = "64")]
#[allow(
    unsafe_code,
    reason = "as `rundown_ref`; and its words are reached by the processor's number"
)]
mod wide_cache_aware;
mod word;

pub use allocated::AllocatedCacheAwareRundownRef;
pub use cache_aware::CacheAwareRundownRef;
pub use check::{Check, Misuse, Parity, Strict};
#[cfg(target_pointer_width = "64")]
pub use dispatch::DispatchRundownRef;
#[cfg(target_pointer_width = "64")]
pub use dispatch_guard::{DispatchGuard, HeldAtDispatchLevel};
#[cfg(target_pointer_width = "64")]
pub use dispatch_level::{AtDispatchLevel, DispatchPlatform};
pub use guard::{CountedGuard, Guard, RundownGuard};
#[cfg(all(target_pointer_width = "64", not(ex_rundown_loom)))]
pub use holders::{Holder, Ticket};
pub use irql::{APC_LEVEL, AtMostApcLevel, DISPATCH_LEVEL, Irql, PASSIVE_LEVEL};
pub use memory::MemoryError;
pub use owned::{Owned, OwnedCountedGuard, OwnedGuard, OwnedHeld};
pub use platform::{HolderPlatform, Platform, PoolPlatform, ProcessorPlatform};
pub use protection::Protection;
#[cfg(not(ex_rundown_loom))]
pub use protection::StaticProtection;
pub use rundown::{Held, NotRenewed, Rundown};
pub use rundown_ref::RundownRef;
pub use spin::WayOut;
pub(crate) use sync::AtomicPtr;
pub use sync::{AtomicU32, AtomicUsize};
#[cfg(all(target_pointer_width = "64", not(ex_rundown_loom)))]
pub use tracked::Tracked;
pub use wide::WideRundownRef;
#[cfg(target_pointer_width = "64")]
pub use wide_cache_aware::WideCacheAwareRundownRef;
pub use word::{ACTIVE, COUNT_INC, State};
