//! What `ntoskrnl.exe` exports of the executive: pool, lookaside lists, resources, fast mutexes, and the native run-down protection.

pub mod callback;
pub mod fast_mutex;
pub mod lists;
pub mod lookaside;
pub mod pool;
pub mod resource;
pub mod rundown;
pub mod rundown_cache_aware;
pub mod timer;
