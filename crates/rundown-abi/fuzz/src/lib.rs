//! What is fuzzed: the first byte chooses a request, the others are its input.

use rundown_abi::{
    CodeQuery, ConformanceRun, Header, InfoRequest, InteropRun, ObjectAcquire, ObjectCreate,
    ObjectLimitsRequest, ObjectQuery, ObjectRelease, Refusal, Request, StressArmQuery, StressQuery,
    StressStart, StressTurnsQuery, VERSION, parse,
};
use zerocopy::IntoBytes;

/// The check of each request's validation.
pub const CHECKS: [fn(&[u8]); 13] = [
    check::<InfoRequest>,
    check::<StressStart>,
    check::<StressQuery>,
    check::<StressArmQuery>,
    check::<StressTurnsQuery>,
    check::<ObjectLimitsRequest>,
    check::<ObjectCreate>,
    check::<ObjectQuery>,
    check::<ObjectAcquire>,
    check::<ObjectRelease>,
    check::<ConformanceRun>,
    check::<InteropRun>,
    check::<CodeQuery>,
];

/// Has one request validated.
///
/// # Panics
/// When the validation is wrong.
pub fn run(data: &[u8]) {
    if let Some((choice, input)) = data.split_first() {
        CHECKS[usize::from(*choice) % CHECKS.len()](input);
    }
}

/// Validates the bytes, and again by hand what every request has in common.
fn check<T: Request + IntoBytes>(input: &[u8]) {
    let word = |offset: usize| {
        let bytes = input.get(offset..offset + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let common = match (word(0), word(4)) {
        (Some(_), Some(version)) if version != VERSION => Some(Refusal::Version),
        (Some(_), Some(_)) if input.len() > size_of::<T>() => Some(Refusal::InputTooLong),
        (Some(size), Some(_)) if input.len() == size_of::<T>() => {
            (size as usize != size_of::<T>()).then_some(Refusal::Size)
        }
        _ => Some(Refusal::InputTooShort),
    };
    match (parse::<T>(input), common) {
        (Err(refusal), Some(expected)) => assert_eq!(refusal, expected),
        (Ok(_), Some(expected)) => panic!("accepted, and {expected:?} was due"),
        (Err(refusal), None) => {
            let header = [
                Refusal::Version,
                Refusal::Size,
                Refusal::InputTooShort,
                Refusal::InputTooLong,
            ];
            assert!(!header.contains(&refusal), "{refusal:?} for a sound header");
            assert_eq!(Refusal::from_status(refusal.status()), Some(refusal));
        }
        (Ok(request), None) => {
            assert_eq!(request.as_bytes(), input, "nothing is changed on the way");
            assert_eq!(request.header(), Header::of::<T>());
            assert_eq!(request.check(), Ok(()));
        }
    }
}
