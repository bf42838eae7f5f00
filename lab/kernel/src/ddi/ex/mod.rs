//! What `ntoskrnl.exe` exports of the executive: pool, and the native run-down protection.

pub mod pool;
pub mod rundown;
pub mod rundown_cache_aware;
