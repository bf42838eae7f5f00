//! The executive: pool, and the native run-down protection.

pub mod native;
pub mod pool;
pub mod rundown;
pub mod rundown_cache_aware;
