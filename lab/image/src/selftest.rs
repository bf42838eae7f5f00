//! placeholder
use rundown_lab_kernel::config::Config;
use rundown_lab_kernel::log;
pub(crate) fn run(_config: &Config) -> usize { log!("0 passed, 0 failed"); 0 }
