//! Outcomes in words for people and in JSON for programs.

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use rundown_abi::{Info, RunState, SpinPath, StressResult};
use serde_json::{Value, json};

use crate::{commands::stress::Run, error::Error};

/// A number with its thousands set apart.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

fn spin_path(info: &Info) -> (&'static str, &'static str) {
    match SpinPath::from_wire(info.spin_path) {
        Some(SpinPath::None) => (
            "none",
            "none: at most one processor is unparked, a wait sleeps at once",
        ),
        Some(SpinPath::Monitorx) => ("monitorx", "MONITORX and MWAITX on the wait block's flag"),
        Some(SpinPath::Pause) => ("pause", "PAUSE between polls of the wait block's flag"),
        None => ("unknown", "one that this client does not know"),
    }
}

fn table(rows: impl IntoIterator<Item = (String, String)>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    table
}

/// A table of names and what there is to say of each.
#[must_use]
pub fn rows(rows: impl IntoIterator<Item = (String, String)>) -> String {
    table(rows).to_string()
}

/// A table of names and numbers.
fn numbers(rows: impl IntoIterator<Item = (String, String)>) -> String {
    let mut table = table(rows);
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// The driver's description for people.
#[must_use]
pub fn info_table(info: &Info) -> String {
    let [major, minor, patch] = info.driver_version;
    let [os_major, os_minor, build] = info.os_version;
    let row = |name: &str, value: String| (name.to_owned(), value);
    rows([
        row("driver", format!("rundown {major}.{minor}.{patch}")),
        row("system", format!("{os_major}.{os_minor}, build {build}")),
        row(
            "processors",
            format!(
                "{} in {} group(s), {} unparked",
                info.processors, info.groups, info.unparked_processors
            ),
        ),
        row("a passive wait spins by", spin_path(info).1.to_owned()),
        row(
            "for at most",
            format!("{} TSC cycles", count(info.spin_cycles.into())),
        ),
        row(
            "MONITORX",
            if info.monitorx == 0 { "no" } else { "yes" }.to_owned(),
        ),
        row("cycles per PAUSE", count(info.cycles_per_yield.into())),
        row("most threads in a run", count(info.limits.threads.into())),
        row(
            "longest run",
            format!("{} ms", count(info.limits.milliseconds.into())),
        ),
        row(
            "longest hold, gap",
            format!(
                "{}, {} cycles",
                count(info.limits.hold_cycles.into()),
                count(info.limits.gap_cycles.into())
            ),
        ),
        row(
            "longest hold at DISPATCH",
            format!("{} cycles", count(info.limits.dispatch_hold_cycles.into())),
        ),
    ])
}

/// The driver's description for programs.
#[must_use]
pub fn info_json(info: &Info) -> String {
    let limits = info.limits;
    json!({
        "driver_version": info.driver_version,
        "os_version": info.os_version,
        "processors": info.processors,
        "groups": info.groups,
        "unparked_processors": info.unparked_processors,
        "cycles_per_yield": info.cycles_per_yield,
        "monitorx": info.monitorx != 0,
        "spin_cycles": info.spin_cycles,
        "spin_path": spin_path(info).0,
        "limits": {
            "threads": limits.threads,
            "milliseconds": limits.milliseconds,
            "hold_cycles": limits.hold_cycles,
            "dispatch_hold_cycles": limits.dispatch_hold_cycles,
            "gap_cycles": limits.gap_cycles,
            "spin_cycles": limits.spin_cycles,
        },
        "performance_frequency": info.performance_frequency,
    })
    .to_string()
}

fn seconds(result: &StressResult) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a run of 285 years would lose a microsecond"
    )]
    let microseconds = result.microseconds as f64;
    microseconds / 1e6
}

/// Acquires that were granted, per second.
fn rate(result: &StressResult) -> u64 {
    let rate = u128::from(result.acquires) * 1_000_000 / u128::from(result.microseconds.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

const fn state(result: &StressResult) -> &'static str {
    match RunState::from_wire(result.state) {
        Some(RunState::Running) => "running",
        Some(RunState::Finished) => "finished",
        Some(RunState::Stopped) => "stopped",
        None => "unknown",
    }
}

/// The counters of a run for people.
#[must_use]
pub fn stress_table(run: &Run, result: Option<&StressResult>) -> String {
    let options = &run.options;
    let title = format!(
        "{} arm, {} waiter, {} threads, seed {}",
        options.arm.name(),
        options.waiter.name(),
        options.threads,
        options.seed
    );
    let Some(result) = result else {
        return format!("{title}: no counters\n");
    };
    let counters = [
        ("acquires granted", result.acquires),
        ("acquires refused", result.refused),
        ("generations", result.generations),
        ("  with a holder inside", result.contested),
        ("waits: drained", result.ways_out.drained),
        ("  handed over to MWAITX", result.ways_out.mwaitx),
        ("  handed over to PAUSE", result.ways_out.pause),
        ("  handed over at DISPATCH", result.ways_out.dispatch),
        ("  slept on the event", result.ways_out.event),
        ("  handed over before the sleep", result.ways_out.late),
        ("violations: poison seen", result.violations.poisoned),
        ("  wait returned early", result.violations.inside),
        ("acquires per second", rate(result)),
    ];
    let table = numbers(counters.map(|(name, number)| (name.to_owned(), count(number))));
    format!(
        "{title}: {} after {:.3} s\n{table}\n",
        state(result),
        seconds(result)
    )
}

fn run_value(run: &Run, result: Option<&StressResult>) -> Value {
    let options = &run.options;
    let mut value = json!({
        "arm": options.arm.name(),
        "waiter": options.waiter.name(),
        "threads": options.threads,
        "duration_ms": options.duration,
        "hold_cycles": options.hold,
        "gap_cycles": options.gap,
        "spin_cycles": options.spin_cycles,
        "seed": options.seed,
    });
    if let Some(result) = result {
        let ways = result.ways_out;
        value["state"] = state(result).into();
        value["seconds"] = seconds(result).into();
        value["acquires"] = result.acquires.into();
        value["refused"] = result.refused.into();
        value["generations"] = result.generations.into();
        value["contested"] = result.contested.into();
        value["ways_out"] = json!({
            "drained": ways.drained,
            "mwaitx": ways.mwaitx,
            "pause": ways.pause,
            "dispatch": ways.dispatch,
            "event": ways.event,
            "late": ways.late,
        });
        value["violations"] = json!({
            "poisoned": result.violations.poisoned,
            "inside": result.violations.inside,
        });
        value["rate"] = rate(result).into();
    }
    value
}

/// The counters of a run for programs.
#[must_use]
pub fn stress_json(run: &Run, result: Option<&StressResult>) -> String {
    run_value(run, result).to_string()
}

/// An error for programs, with the run that it ended and its last counters.
#[must_use]
pub fn error_json(error: &Error, run: Option<(&Run, Option<&StressResult>)>) -> String {
    let mut value = run.map_or_else(|| json!({}), |(run, result)| run_value(run, result));
    value["error"] =
        json!({"kind": error.kind(), "exit_code": error.exit_code(), "message": error.to_string()});
    if let Error::Refused { status, .. } = error {
        value["error"]["status"] = format!("0x{status:08X}").into();
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(count(number), text);
        }
    }
}
