//! Run-down protection, measured against the floor and its peers.
//!
//! The floor is `lock xadd` of +2 and of -2 on the same word: nothing that takes and gives back a reference on a shared
//! word does it with less. Every row is measured in the same rounds as its floor, a short slice at a time, so that
//! whatever disturbs the machine disturbs both; a figure is the median over the rounds of the ratio within a round, with
//! a bootstrap confidence interval. See `docs/performance.md`.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "the release that is measured")]
pub mod handover;
pub mod measure;
#[allow(unsafe_code, reason = "the platform's traits are unsafe")]
pub mod pinned;
pub mod plot;
pub mod report;
pub mod rows;
pub mod statistics;
#[allow(
    unsafe_code,
    reason = "what is measured releases without a guard, and the floor is what the processor does"
)]
pub mod subjects;
