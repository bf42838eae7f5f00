//! Query info: the driver and the machine.

use ex_rundown::Platform;
use rundown_abi::{Header, Info, SpinPath};

use crate::kernel::{Nt, clock, hypervisor, parameters, processors, verifier, version};

pub(super) fn query() -> Info {
    let spin_path = if Nt::unparked_processors() <= 1 {
        SpinPath::None
    } else if Nt::has_monitorx() {
        SpinPath::Monitorx
    } else {
        SpinPath::Pause
    };
    let cycle_frequency = clock::cycle_frequency();
    Info {
        header: Header::of::<Info>(),
        driver_version: version::driver(),
        unparked_processors: Nt::unparked_processors(),
        os_version: version::system(),
        processors: processors::active(),
        groups: processors::groups(),
        cycles_per_yield: Nt::cycles_per_yield(),
        monitorx: u8::from(Nt::has_monitorx()),
        verifier: u8::from(verifier::checks_this_driver()),
        spin_cycles: Nt::spin_cycles(),
        spin_path: spin_path as u32,
        hypervisor: hypervisor::vendor().unwrap_or_default(),
        reserved: 0,
        limits: parameters::limits(cycle_frequency),
        performance_frequency: clock::frequency(),
        cycle_frequency,
    }
}
