//! Writes a valid request of each kind into a folder, by the protocol's own encoders: `cargo run --bin seeds -- corpus/requests`.

use std::{env, fs, io, path::PathBuf};

use rundown_abi::{
    Arm, CodeQuery, ConformanceRun, InfoRequest, InteropRun, ObjectAcquire, ObjectCreate, ObjectKind,
    ObjectLimitsRequest, ObjectQuery, ObjectRelease, Pair, Pairing, StressArmQuery, StressQuery, StressStart,
    StressTurnsQuery, Workload,
};
use rundown_abi_fuzz::CHECKS;
use zerocopy::IntoBytes;

fn main() -> io::Result<()> {
    let folder = env::args_os()
        .nth(1)
        .map_or_else(|| "corpus/requests".into(), PathBuf::from);
    fs::create_dir_all(&folder)?;
    let storm = StressStart::storm(Arm::Ours, 3, 100);
    let batches = StressStart {
        workload: Workload::Batches as u32,
        batch: 8,
        rounds: 2,
        warm_up_milliseconds: 1,
        ..storm
    };
    // In the order of `CHECKS`, but for the last, which is a second one of its kind.
    let requests: [Vec<u8>; CHECKS.len()] = [
        InfoRequest::new().as_bytes().to_vec(),
        storm.as_bytes().to_vec(),
        StressQuery::new(7).as_bytes().to_vec(),
        StressArmQuery::new(7, Arm::NativeCacheAware).as_bytes().to_vec(),
        StressTurnsQuery::new(7, 3).as_bytes().to_vec(),
        ObjectLimitsRequest::new().as_bytes().to_vec(),
        ObjectCreate::new(ObjectKind::OursWide, true).as_bytes().to_vec(),
        ObjectQuery::new(9).as_bytes().to_vec(),
        ObjectAcquire::new(9, 5).as_bytes().to_vec(),
        ObjectRelease::new(9, 5).as_bytes().to_vec(),
        ConformanceRun::new(Pair::CacheAware, 1000, 3).as_bytes().to_vec(),
        InteropRun::new(Pairing::NativeWaitsOursReleases, 10, 3)
            .as_bytes()
            .to_vec(),
        CodeQuery::new(ObjectKind::Native).as_bytes().to_vec(),
    ];
    let numbered = (0_u8..).zip(requests).chain([(1, batches.as_bytes().to_vec())]);
    for (index, (choice, request)) in numbered.enumerate() {
        fs::write(
            folder.join(format!("{index:02}")),
            [&[choice][..], &request].concat(),
        )?;
    }
    Ok(())
}
