//! What of NT the lab has: the routines and variables that `ntoskrnl.exe` and `HAL.dll` export to a driver, by family.
//!
//! A routine here takes what a driver gives it, checks it by its DDI page, and calls the mechanism below, which judges nobody. A
//! new export is a function and a line in its family's table; its IRQLs are its page's. KMDF's functions are lab/wdf's.

pub mod bug_check;
pub mod csq;
pub mod device_property;
pub mod driver_object;
pub mod etw;
pub mod ex;
pub mod file;
pub mod io;
pub mod irql_ranges;
pub mod ke;
pub mod mdl;
pub mod ob;
pub mod pageable;
pub mod process;
pub mod ps;
pub mod registry;
pub mod remove_lock;
pub mod rtl;
pub mod se;
pub mod strings;
pub mod time_fields;
pub mod verifier;
pub mod wdfldr;
pub mod work_item;

use crate::config::{self, Rule};
use crate::export::Export;

/// Every table of exports; the first that has a name has it.
pub fn tables() -> impl Iterator<Item = &'static [Export]> {
    let tolerated = config::allows(Rule::RundownWait).then_some(ex::rundown::TOLERATED);
    tolerated.into_iter().chain(ke::TABLES).chain([
        bug_check::EXPORTS,
        csq::EXPORTS,
        device_property::EXPORTS,
        driver_object::EXPORTS,
        etw::EXPORTS,
        ex::callback::EXPORTS,
        ex::fast_mutex::EXPORTS,
        ex::lists::EXPORTS,
        ex::lookaside::EXPORTS,
        ex::pool::EXPORTS,
        ex::resource::EXPORTS,
        ex::rundown::EXPORTS,
        ex::rundown_cache_aware::EXPORTS,
        ex::timer::EXPORTS,
        file::EXPORTS,
        io::EXPORTS,
        mdl::EXPORTS,
        ob::EXPORTS,
        pageable::EXPORTS,
        process::EXPORTS,
        ps::EXPORTS,
        registry::EXPORTS,
        remove_lock::EXPORTS,
        rtl::EXPORTS,
        se::EXPORTS,
        strings::EXPORTS,
        time_fields::EXPORTS,
        verifier::EXPORTS,
        work_item::EXPORTS,
    ])
}
