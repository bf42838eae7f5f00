//! The IRQLs at which a routine may be called, as its DDI page has them.

use crate::ke::irql::{APC_LEVEL, DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL};
use core::ops::RangeInclusive;

/// `PASSIVE_LEVEL` only.
pub const PASSIVE: RangeInclusive<u8> = PASSIVE_LEVEL..=PASSIVE_LEVEL;
/// At or below `APC_LEVEL`.
pub const APC: RangeInclusive<u8> = PASSIVE_LEVEL..=APC_LEVEL;
/// At or below `DISPATCH_LEVEL`.
pub const DISPATCH: RangeInclusive<u8> = PASSIVE_LEVEL..=DISPATCH_LEVEL;
/// `DISPATCH_LEVEL` only.
pub const AT_DISPATCH: RangeInclusive<u8> = DISPATCH_LEVEL..=DISPATCH_LEVEL;
/// At or above `DISPATCH_LEVEL`.
pub const RAISED: RangeInclusive<u8> = DISPATCH_LEVEL..=HIGH_LEVEL;
/// Any.
pub const ANY: RangeInclusive<u8> = PASSIVE_LEVEL..=HIGH_LEVEL;
