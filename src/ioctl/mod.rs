//! The requests: checked here, answered by one file per family.

mod info;
mod stress;

use ex_rundown::AtMostApcLevel;
use rundown_abi::{
    InfoRequest, Refusal, Request, StressArmQuery, StressQuery, StressStart, StressTurnsQuery, ioctl, parse,
};
use wdk_sys::WDFOBJECT;
use zerocopy::{Immutable, IntoBytes};

pub(crate) use self::stress::Stress;
use crate::{device::DeviceContext, queue::Buffer};

/// Who asks, and at which IRQL.
pub(crate) struct Caller {
    /// The file object that the request came through; only ever compared.
    pub(crate) file: WDFOBJECT,
    pub(crate) level: AtMostApcLevel,
}

/// Carries out one request; the length of the answer in bytes.
///
/// # Errors
/// The one cause for which it is refused; nothing was done then.
pub(crate) fn dispatch(
    device: &DeviceContext,
    caller: &Caller,
    code: u32,
    buffer: &mut Buffer,
) -> Result<usize, Refusal> {
    let stress = || device.stress.lock(&caller.level);
    match code {
        ioctl::QUERY_INFO => answer(buffer, |_: InfoRequest| Ok(info::query())),
        ioctl::STRESS_START => answer(buffer, |start: StressStart| stress().start(caller.file, &start)),
        ioctl::STRESS_RESULT => answer(buffer, |query: StressQuery| stress().result(caller.file, &query)),
        ioctl::STRESS_ARM => answer(buffer, |query: StressArmQuery| stress().arm(caller.file, &query)),
        ioctl::STRESS_TURNS => answer(buffer, |query: StressTurnsQuery| {
            stress().turns(caller.file, &query)
        }),
        ioctl::STRESS_STOP => answer(buffer, |query: StressQuery| stress().stop(caller.file, &query)),
        _ => Err(Refusal::UnknownCode),
    }
}

/// Parses the request, makes sure that the answer will fit, and only then acts.
fn answer<I: Request, O: IntoBytes + Immutable>(
    buffer: &mut Buffer,
    act: impl FnOnce(I) -> Result<O, Refusal>,
) -> Result<usize, Refusal> {
    let request = buffer.read(parse::<I>)?;
    if buffer.capacity() < size_of::<O>() {
        return Err(Refusal::OutputTooSmall);
    }
    let answer = act(request)?;
    buffer.write(answer.as_bytes())?;
    Ok(size_of::<O>())
}
