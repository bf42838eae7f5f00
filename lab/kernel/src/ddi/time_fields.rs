//! Times in years and days. The lab's time zone is UTC.

use super::irql_ranges::ANY;
use crate::export::Export;

/// `TIME_FIELDS`: the day of the week begins with Sunday, 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TimeFields {
    year: i16,
    month: i16,
    day: i16,
    hour: i16,
    minute: i16,
    second: i16,
    milliseconds: i16,
    weekday: i16,
}

const MILLISECOND: i64 = 10_000;
const DAY: i64 = 86_400_000 * MILLISECOND;
/// Days of 400 years, after which the calendar repeats. 1 January 1601, time 0, begins such a period, and was a Monday.
const ERA: i64 = 146_097;

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn to_fields(time: i64) -> TimeFields {
    let (days, rest) = (time / DAY, time % DAY / MILLISECOND);
    let (mut year, mut left) = (1601 + days / ERA * 400, days % ERA);
    while left >= 365 + i64::from(is_leap(year)) {
        left -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while left >= days_in(month, year) {
        left -= days_in(month, year);
        month += 1;
    }
    TimeFields {
        year: year as i16,
        month: month as i16,
        day: left as i16 + 1,
        hour: (rest / 3_600_000) as i16,
        minute: (rest / 60_000 % 60) as i16,
        second: (rest / 1000 % 60) as i16,
        milliseconds: (rest % 1000) as i16,
        weekday: ((days + 1) % 7) as i16,
    }
}

/// `None` for what is no date from 1601 on.
fn from_fields(fields: TimeFields) -> Option<i64> {
    let (year, month, day) = (
        i64::from(fields.year),
        i64::from(fields.month),
        i64::from(fields.day),
    );
    let sound = year >= 1601
        && (1..=12).contains(&month)
        && (1..=days_in(month, year)).contains(&day)
        && (0..24).contains(&fields.hour)
        && (0..60).contains(&fields.minute)
        && (0..60).contains(&fields.second)
        && (0..1000).contains(&fields.milliseconds);
    if !sound {
        return None;
    }
    let whole_years = (1601..year).map(|year| 365 + i64::from(is_leap(year)));
    let days: i64 = whole_years
        .chain((1..month).map(|month| days_in(month, year)))
        .sum::<i64>()
        + day
        - 1;
    let seconds = (i64::from(fields.hour) * 60 + i64::from(fields.minute)) * 60 + i64::from(fields.second);
    Some(days * DAY + (seconds * 1000 + i64::from(fields.milliseconds)) * MILLISECOND)
}

unsafe extern "win64" fn rtl_time_to_time_fields(time: *const i64, fields: *mut TimeFields) {
    // SAFETY: the DDI asks for a LARGE_INTEGER there.
    let time = unsafe { time.read() };
    // SAFETY: the DDI asks for room for a TIME_FIELDS.
    unsafe { fields.write(to_fields(time)) };
}

unsafe extern "win64" fn rtl_time_fields_to_time(fields: *const TimeFields, time: *mut i64) -> u8 {
    // SAFETY: the DDI asks for a TIME_FIELDS there.
    let Some(value) = from_fields(unsafe { fields.read() }) else {
        return 0;
    };
    // SAFETY: the DDI asks for room for a LARGE_INTEGER.
    unsafe { time.write(value) };
    1
}

unsafe extern "win64" fn copy_time(from: *const i64, to: *mut i64) {
    // SAFETY: the DDI asks for a LARGE_INTEGER there.
    let time = unsafe { from.read() };
    // SAFETY: the DDI asks for room for one.
    unsafe { to.write(time) };
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("RtlTimeToTimeFields", ANY, rtl_time_to_time_fields as *const ()).quiet(),
    Export::function("RtlTimeFieldsToTime", ANY, rtl_time_fields_to_time as *const ()).quiet(),
    Export::function("ExSystemTimeToLocalTime", ANY, copy_time as *const ()).quiet(),
    Export::function("ExLocalTimeToSystemTime", ANY, copy_time as *const ()).quiet(),
];
