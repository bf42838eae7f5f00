//! The machine code of the fast paths, as it lies in memory: for reports that show ours beside the system's.

use ex_rundown::{CacheAwareRundownRef, Protection, RundownRef, WideRundownRef};
use rundown_abi::{Code, CodeQuery, Header, ObjectKind, Refusal};

use crate::kernel::{Nt, code, string::wide};

/// An acquire behind a call.
#[inline(never)]
extern "C" fn acquire<R: Protection>(reference: &R) -> bool {
    reference.acquire()
}

/// A release behind a call.
///
/// # Safety
/// The caller owns a reference and gives it up.
#[inline(never)]
unsafe extern "C" fn release<R: Protection>(reference: &R) {
    // SAFETY: the caller's promise, handed on.
    unsafe { reference.release() };
}

/// Where a kind's acquire and release begin.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
fn routines(kind: ObjectKind) -> [Option<usize>; 2] {
    fn ours<R: Protection>() -> [Option<usize>; 2] {
        let acquire: extern "C" fn(&R) -> bool = acquire::<R>;
        let release: unsafe extern "C" fn(&R) = release::<R>;
        [Some(acquire as usize), Some(release as usize)]
    }
    match kind {
        ObjectKind::Ours => ours::<RundownRef<Nt>>(),
        ObjectKind::OursWide => ours::<WideRundownRef<Nt>>(),
        ObjectKind::OursCacheAware => ours::<CacheAwareRundownRef<Nt>>(),
        ObjectKind::Native => [
            code::system_routine(wide!("ExAcquireRundownProtection")),
            code::system_routine(wide!("ExReleaseRundownProtection")),
        ],
        ObjectKind::NativeCacheAware => [
            code::system_routine(wide!("ExAcquireRundownProtectionCacheAware")),
            code::system_routine(wide!("ExReleaseRundownProtectionCacheAware")),
        ],
    }
}

/// The code behind a kind of object.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Errors
/// [`Refusal::Kind`], which the request's own check has ruled out.
pub(crate) fn query(query: &CodeQuery) -> Result<Code, Refusal> {
    let kind = ObjectKind::from_wire(query.kind).ok_or(Refusal::Kind)?;
    let mut code = Code {
        header: Header::of::<Code>(),
        kind: query.kind,
        acquire_length: 0,
        release_length: 0,
        reserved: 0,
        acquire: [0; _],
        release: [0; _],
    };
    let [acquire, release] = routines(kind);
    code.acquire_length = copied(acquire, &mut code.acquire);
    code.release_length = copied(release, &mut code.release);
    Ok(code)
}

fn copied(routine: Option<usize>, bytes: &mut [u8]) -> u32 {
    let Some(address) = routine else { return 0 };
    // SAFETY: ours are in `.text`, which is resident; NT's are documented for `DISPATCH_LEVEL`. Neither driver nor kernel moves.
    let length = unsafe { code::copy(address, bytes) };
    // No more than a page.
    u32::try_from(length).unwrap_or(0)
}
