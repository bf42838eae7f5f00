//! A waiting thread, as the dispatcher keeps it.

use super::object::Header;
use super::thread::Thread;
use super::wait_list::WaitBlock;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One waiting thread.
pub struct Waiter {
    /// Who waits.
    pub thread: Arc<Thread>,
    /// On what.
    pub objects: Vec<&'static Header>,
    /// A block for each of them, in its list.
    pub(super) blocks: Box<[WaitBlock]>,
    pub(super) all: bool,
    pub(super) deadline: Option<u64>,
    /// Since when, units of 100 ns since boot.
    pub since: u64,
    /// Whether the driver called for this wait itself.
    pub by_driver: bool,
    /// For how many clock ticks the watchdog has found it a run-down wait that nobody seems to end.
    pub orphaned_ticks: u32,
    /// Whether the watchdog has looked closer, and found no run-down word.
    pub examined: bool,
}

impl Waiter {
    /// Whether the wait ends by itself.
    pub fn has_timeout(&self) -> bool {
        self.deadline.is_some()
    }
}
