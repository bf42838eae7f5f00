//! The requests: checked here, answered by one file per family.

mod info;

use ex_rundown::AtMostApcLevel;
use rundown_abi::{
    CodeQuery, ConformanceResult, ConformanceRun, InfoRequest, InteropRun, ObjectAcquire, ObjectCreate,
    ObjectLimitsRequest, ObjectQuery, ObjectRelease, ObjectWaited, Refusal, Request, StressArmQuery,
    StressQuery, StressStart, StressTurnsQuery, ioctl,
};
use wdk_sys::WDFOBJECT;
use zerocopy::{Immutable, IntoBytes};

use crate::{code, compare, context::DeviceContext, kernel::PoolBox, pended::Pend, request::Buffer};

/// Who asks, and at which IRQL.
pub(crate) struct Caller {
    /// The file object that the request came through; only ever compared.
    pub(crate) file: WDFOBJECT,
    /// Whether it holds `SeDebugPrivilege`, for requests that show pointers.
    pub(crate) may_see_pointers: bool,
    pub(crate) level: AtMostApcLevel,
}

/// How a request is answered.
pub(crate) enum Answer {
    /// At once, by so many bytes.
    Now(usize),
    /// It pends, and is no longer the caller's.
    Later,
}

/// Carries out one request.
///
/// # Errors
/// The one cause for which it is refused; nothing was done then.
pub(crate) fn dispatch(
    device: &DeviceContext,
    caller: &Caller,
    code: u32,
    buffer: &mut Buffer,
) -> Result<Answer, Refusal> {
    let file = caller.file;
    let (stress, level) = (&device.stress, &caller.level);
    let handles = || device.handles.lock(&caller.level);
    match code {
        ioctl::QUERY_INFO => answer(buffer, |_: InfoRequest| Ok(info::query())),
        ioctl::QUERY_CODE => answer(buffer, |query: CodeQuery| code::query(&query)),
        // Checked against the limits in force, which are never above the protocol's.
        ioctl::STRESS_START => {
            answer_unchecked(buffer, |start: StressStart| stress.start(level, file, &start))
        }
        ioctl::STRESS_RESULT => answer(buffer, |query: StressQuery| stress.result(level, file, &query)),
        ioctl::STRESS_ARM => answer(buffer, |query: StressArmQuery| stress.arm(level, file, &query)),
        ioctl::STRESS_TURNS => answer(buffer, |query: StressTurnsQuery| {
            stress.turns(level, file, &query)
        }),
        ioctl::STRESS_STOP => answer(buffer, |query: StressQuery| stress.stop(level, file, &query)),
        ioctl::OBJECT_LIMITS => answer(buffer, |_: ObjectLimitsRequest| handles().limits(file)),
        ioctl::OBJECT_CREATE => answer(buffer, |create: ObjectCreate| handles().create(file, &create)),
        ioctl::OBJECT_ACQUIRE => answer(buffer, |acquire: ObjectAcquire| handles().acquire(file, &acquire)),
        ioctl::OBJECT_RELEASE => answer(buffer, |release: ObjectRelease| handles().release(file, &release)),
        ioctl::OBJECT_WAIT => {
            let query = accept::<ObjectQuery, ObjectWaited>(buffer)?;
            query.check()?;
            handles().wait(file, &query, Pend::new(buffer, device.pending))?;
            Ok(Answer::Later)
        }
        ioctl::OBJECT_COMPLETED => answer(buffer, |query: ObjectQuery| handles().completed(file, &query)),
        ioctl::OBJECT_REINITIALIZE => {
            answer(buffer, |query: ObjectQuery| handles().reinitialize(file, &query))
        }
        ioctl::OBJECT_STATE => answer(buffer, |query: ObjectQuery| {
            handles().state(file, &query, caller.may_see_pointers)
        }),
        ioctl::OBJECT_DESTROY => answer(buffer, |query: ObjectQuery| handles().destroy(file, &query)),
        ioctl::CONFORMANCE_RUN => {
            let run = accept::<ConformanceRun, ConformanceResult>(buffer)?;
            run.check()?;
            handles().present()?;
            // In pool: with its trace it is too large for the stack that the comparison needs.
            let mut result = PoolBox::zeroed().ok_or(Refusal::Resources)?;
            compare::conformance(&run, &mut result)?;
            buffer.write(result.as_bytes())?;
            Ok(Answer::Now(size_of::<ConformanceResult>()))
        }
        ioctl::INTEROP_RUN => answer(buffer, |run: InteropRun| {
            handles().present()?;
            compare::interop(&run)
        }),
        _ => Err(Refusal::UnknownCode),
    }
}

/// Reads the request, and makes sure that the answer will fit. Its fields are still to be checked.
fn accept<I: Request, O>(buffer: &Buffer) -> Result<I, Refusal> {
    let request = buffer.read(rundown_abi::read::<I>)?;
    if buffer.capacity() < size_of::<O>() {
        return Err(Refusal::OutputTooSmall);
    }
    Ok(request)
}

/// Accepts the request, and only then acts.
fn answer<I: Request, O: IntoBytes + Immutable>(
    buffer: &mut Buffer,
    act: impl FnOnce(I) -> Result<O, Refusal>,
) -> Result<Answer, Refusal> {
    answer_unchecked(buffer, |request: I| {
        request.check()?;
        act(request)
    })
}

/// As [`answer`], for a request whose fields `act` checks.
///
/// Not inlined: the answers of all requests would lie in one frame, and a kernel stack has 24 KB.
#[inline(never)]
fn answer_unchecked<I: Request, O: IntoBytes + Immutable>(
    buffer: &mut Buffer,
    act: impl FnOnce(I) -> Result<O, Refusal>,
) -> Result<Answer, Refusal> {
    let request = accept::<I, O>(buffer)?;
    let answer = act(request)?;
    buffer.write(answer.as_bytes())?;
    Ok(Answer::Now(size_of::<O>()))
}
