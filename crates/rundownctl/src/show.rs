//! Figures in tables for people and in lines for spreadsheets.

use std::{fmt::Write, iter};

use comfy_table::{
    CellAlignment, ContentArrangement, Table,
    presets::{ASCII_BORDERS_ONLY_CONDENSED, ASCII_FULL_CONDENSED, UTF8_BORDERS_ONLY, UTF8_FULL_CONDENSED},
};
use console::Term;
use serde::Serialize;

use crate::{
    counted,
    names::SpinPath,
    print,
    record::{ArmFigures, Counters, Latency, Limits, Machine, Record, Violations, WaysOut, per_second},
    statistics::{Cost, Ratio},
};

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

/// One JSON object.
///
/// # Panics
/// Never: what we serialise has no map with keys that are no text.
#[must_use]
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our types have a JSON form")
}

/// A table, no wider than the terminal. Of what is no terminal nobody knows how wide it is.
fn fitted(table: Table) -> String {
    let terminal = Term::stdout();
    let width = terminal.features().is_attended().then(|| terminal.size().1);
    within(table, width)
}

fn within(mut table: Table, width: Option<u16>) -> String {
    if let Some(width) = width
        && table.lines().any(|line| line.chars().count() > width.into())
    {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table.to_string()
}

fn table(rows: impl IntoIterator<Item = (String, String)>) -> Table {
    let mut table = Table::new();
    table.load_style(if print::is_utf8() {
        UTF8_BORDERS_ONLY
    } else {
        ASCII_BORDERS_ONLY_CONDENSED
    });
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    table
}

/// A table of names and what there is to say of each.
#[must_use]
pub fn rows(rows: impl IntoIterator<Item = (String, String)>) -> String {
    fitted(table(rows))
}

/// A table of names and numbers.
fn numbers(rows: impl IntoIterator<Item = (String, String)>) -> String {
    let mut table = table(rows);
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    fitted(table)
}

/// A table with a heading, whose first column is text and whose others are numbers.
fn grid(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    let style = if print::is_utf8() {
        UTF8_FULL_CONDENSED
    } else {
        ASCII_FULL_CONDENSED
    };
    table.load_style(style).set_header(heading);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    fitted(table)
}

/// What the machine and its driver are, in the words of both the table and the report.
#[must_use]
pub fn machine(machine: &Machine) -> Vec<(String, String)> {
    let [major, minor, patch] = machine.driver_version;
    let [os_major, os_minor, build] = machine.os_version;
    let yes = |answer| if answer { "yes" } else { "no" }.to_owned();
    let row = |name: &str, value: String| (name.to_owned(), value);
    let spins = match machine.spin_path {
        Some(SpinPath::None) => "none: at most one processor is unparked, a wait sleeps at once",
        Some(SpinPath::Monitorx) => "MONITORX and MWAITX on the wait block's flag",
        Some(SpinPath::Pause) => "PAUSE between polls of the wait block's flag",
        None => "one that this client does not know",
    };
    let mut rows = vec![
        row(
            "driver",
            format!(
                "rundown {major}.{minor}.{patch}, protocol {}",
                machine.protocol_version
            ),
        ),
        row("system", format!("{os_major}.{os_minor}, build {build}")),
        row(
            "hypervisor",
            machine.hypervisor.clone().unwrap_or_else(|| "none".into()),
        ),
        row("Driver Verifier", yes(machine.verifier)),
        row(
            "processors",
            format!(
                "{} in {} group(s), {} unparked",
                machine.processors, machine.groups, machine.unparked_processors
            ),
        ),
        row(
            "TSC",
            format!("{} MHz", count(machine.cycle_frequency / 1_000_000)),
        ),
        row("a passive wait spins by", spins.to_owned()),
        row(
            "for at most",
            format!("{} TSC cycles", count(machine.spin_cycles.into())),
        ),
        row("MONITORX", yes(machine.monitorx)),
        row("cycles per PAUSE", count(machine.cycles_per_yield.into())),
    ];
    rows.extend(limits(&machine.limits));
    rows
}

fn limits(limits: &Limits) -> Vec<(String, String)> {
    let row = |name: &str, value: String| (name.to_owned(), value);
    vec![
        row("most threads in a run", count(limits.threads.into())),
        row("longest run", format!("{} ms", count(limits.milliseconds.into()))),
        row(
            "longest hold, gap",
            format!(
                "{}, {} cycles",
                count(limits.hold_cycles.into()),
                count(limits.gap_cycles.into())
            ),
        ),
        row(
            "longest hold at DISPATCH",
            format!("{} cycles", count(limits.dispatch_hold_cycles.into())),
        ),
        row(
            "most turns, references in a batch",
            format!("{}, {}", count(limits.turns.into()), count(limits.batch.into())),
        ),
        row(
            "most bytes of a run, of all objects",
            format!(
                "{}, {}",
                count(limits.bytes.into()),
                count(limits.object_bytes.into())
            ),
        ),
    ]
}

/// The driver's description for people.
#[must_use]
pub fn machine_table(described: &Machine) -> String {
    numbers(machine(described))
}

/// What was run, in one line.
#[must_use]
pub fn title(record: &Record) -> String {
    let load = &record.load;
    format!(
        "{} of {}, {} waiter, {} threads, seed {}",
        record.workload.name(),
        record.arm,
        load.waiter.name(),
        load.threads,
        load.seed
    )
}

/// The figures of a run for people.
#[must_use]
pub fn run_table(record: &Record) -> String {
    let title = title(record);
    let Some(counters) = &record.counters else {
        return format!("{title}: no counters\n");
    };
    let state = counters.state.map_or("unknown", |state| state.name());
    let mut text = format!(
        "{title}: {state} after {:.3} s\n{}\n",
        counters.seconds,
        figures_table(counters, &record.arms)
    );
    text += &alarms(record);
    text += &caveats(&[record]);
    text
}

/// What must not be, a line each: proofs that protection failed, and waits that stalled.
#[must_use]
pub fn alarms(record: &Record) -> String {
    let mut text = String::new();
    let Some(counters) = &record.counters else {
        return text;
    };
    let arms = record.arms.iter().map(|arm| (arm.arm.name(), arm.violations));
    for (name, violations) in iter::once(("all arms", counters.violations)).chain(arms) {
        if violations.sum() > 0 {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(
                text,
                "VIOLATED: {} of {name}: {} time(s) a holder found the object gone, {} time(s) a wait returned early",
                record.workload.name(),
                count(violations.poisoned),
                count(violations.inside)
            );
        }
    }
    if let Some(stall) = &counters.stall {
        let _ = writeln!(
            text,
            "STALLED: {} wait(s); the longest, {} ms, waits for generation {} of {} with holders {:#x}; it is left alone",
            count(stall.waits),
            count(stall.milliseconds),
            count(stall.generation),
            stall.arm.map_or("-", |arm| arm.name()),
            stall.holders
        );
    }
    text
}

/// What has to be known before the times of some runs are believed, a line each.
#[must_use]
pub fn caveats(records: &[&Record]) -> String {
    let mut all: Vec<_> = records.iter().flat_map(|record| record.caveats()).collect();
    all.dedup();
    all.iter().flat_map(|caveat| [caveat, "\n"]).collect()
}

/// A column of counters: the sums, or an arm's.
struct Column<'a> {
    name: &'a str,
    counters: [u64; 12],
    rate: u64,
    latencies: Option<[&'a Latency; 2]>,
}

const COUNTERS: [&str; 12] = [
    "acquires granted",
    "acquires refused",
    "generations",
    "  with a holder inside",
    "waits: drained",
    "  handed over to MWAITX",
    "  handed over to PAUSE",
    "  handed over at DISPATCH",
    "  handed over before the sleep",
    "  slept on the event",
    "violations: poison seen",
    "  wait returned early",
];

fn twelve(all: [u64; 4], ways: &WaysOut, violations: Violations) -> [u64; 12] {
    let [acquires, refused, generations, contested] = all;
    let [drained, mwaitx, pause, dispatch, late, event] = ways.named().map(|(_, waits)| waits);
    [
        acquires,
        refused,
        generations,
        contested,
        drained,
        mwaitx,
        pause,
        dispatch,
        late,
        event,
        violations.poisoned,
        violations.inside,
    ]
}

/// The sums and each arm's figures, side by side; the sums of a single arm are its own.
#[must_use]
pub fn figures_table(sums: &Counters, arms: &[ArmFigures]) -> String {
    let mut columns = Vec::new();
    if arms.len() != 1 {
        columns.push(Column {
            name: "all",
            counters: twelve(
                [sums.acquires, sums.refused, sums.generations, sums.contested],
                &sums.ways_out,
                sums.violations,
            ),
            rate: sums.rate,
            latencies: None,
        });
    }
    columns.extend(arms.iter().map(|arm| Column {
        name: arm.arm.name(),
        counters: twelve(
            [arm.acquires, arm.refused, arm.generations, arm.contested],
            &arm.ways_out,
            arm.violations,
        ),
        // Each arm has an equal share of the time.
        rate: per_second(arm.acquires, sums.microseconds() / arms.len() as u64),
        latencies: Some([&arm.operation, &arm.hand_over]),
    }));
    let row = |name: &str, of: &dyn Fn(&Column<'_>) -> String| {
        iter::once(name.to_owned())
            .chain(columns.iter().map(of))
            .collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = COUNTERS
        .iter()
        .enumerate()
        .map(|(index, name)| row(name, &|column| count(column.counters[index])))
        .collect();
    rows.push(row("acquires per second", &|column| count(column.rate)));
    for (which, name) in ["operation", "hand-over"].into_iter().enumerate() {
        let latency = |column: &Column<'_>| column.latencies.map(|latencies| latencies[which].clone());
        if !columns
            .iter()
            .filter_map(latency)
            .any(|latency| latency.samples > 0)
        {
            continue;
        }
        for (index, (quantile, _)) in Latency::default().named().into_iter().enumerate() {
            let name = if index == 0 {
                format!("{name}, cycles: {quantile}")
            } else {
                format!("  {quantile}")
            };
            rows.push(row(&name, &|column| match latency(column) {
                Some(latency) if latency.samples > 0 => count(latency.named()[index].1),
                _ => String::new(),
            }));
        }
    }
    let names: Vec<_> = iter::once("")
        .chain(columns.iter().map(|column| column.name))
        .collect();
    grid(&names, rows)
}

/// A ratio with its interval.
#[must_use]
pub fn ratio(ratio: &Ratio) -> String {
    match ratio.interval {
        Some((low, high)) => format!("{:.3} [{low:.3}, {high:.3}]", ratio.ratio),
        None => format!("{:.3} (one round: no interval)", ratio.ratio),
    }
}

/// What operations cost, and how ours compares.
#[must_use]
pub fn comparison_table(costs: &[Cost], ratios: &[Ratio]) -> String {
    grid(
        &[
            "workload",
            "arm",
            "cycles",
            "ns",
            "operations/s",
            "ours/native [95 %]",
            "rounds",
        ],
        costs.iter().map(|cost| {
            let compared = ratios
                .iter()
                .find(|ratio| ratio.workload == cost.workload && ratio.ours == cost.arm);
            vec![
                cost.workload.name().to_owned(),
                cost.arm.name().to_owned(),
                format!("{:.1}", cost.cycles),
                format!("{:.1}", cost.nanoseconds),
                count(rounded(cost.rate)),
                compared.map_or_else(String::new, ratio),
                compared.map_or_else(String::new, |ratio| ratio.rounds.to_string()),
            ]
        }),
    )
}

/// What was counted of runs in the lab, arm beside arm.
#[must_use]
pub fn counted_table(records: &[&Record]) -> String {
    grid(&COUNTED, counted_rows(records))
}

/// What [`counted_rows`] has in its columns; the first two are text.
pub const COUNTED: [&str; 13] = [
    "workload",
    "arm",
    "acquires",
    "refused",
    "generations",
    "drained",
    "mwaitx",
    "pause",
    "dispatch",
    "late",
    "event",
    "instructions",
    "path (locked)",
];

/// A row for each arm of each run.
#[must_use]
pub fn counted_rows(records: &[&Record]) -> Vec<Vec<String>> {
    let counted = records.iter().flat_map(|record| counted::of(record));
    counted
        .map(|counted| {
            let figures = counted.figures;
            let mut row = vec![counted.workload.name().to_owned(), figures.arm.name().to_owned()];
            row.extend([figures.acquires, figures.refused, figures.generations].map(count));
            row.extend(match counted.ways_out() {
                Some(ways) => ways.map(|(_, waits)| count(waits)),
                None => [const { String::new() }; 6],
            });
            row.push(
                counted
                    .carried_out
                    .map_or_else(String::new, |number| format!("{number:.1}")),
            );
            row.push(counted.path.map_or_else(String::new, |path| {
                format!("{} ({})", path.instructions, path.locked)
            }));
            row
        })
        .collect()
}

/// A rate without its fraction.
#[must_use]
pub fn rounded(rate: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative, and the cast saturates"
    )]
    {
        rate.round() as u64
    }
}

/// A line per turn, for a spreadsheet.
#[must_use]
pub fn csv(records: &[&Record]) -> String {
    let mut text = "workload,arm,round,threads,operations,generations,nanoseconds,cycles\n".to_owned();
    for record in records {
        for turn in &record.turns {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{}",
                record.workload.name(),
                turn.arm.name(),
                turn.round,
                record.load.threads,
                turn.operations,
                turn.generations,
                turn.nanoseconds,
                turn.cycles
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{count, table, within};

    #[test]
    fn a_table_is_no_wider_than_its_terminal() {
        let rows = || {
            let says = "none: at most one processor is unparked, a wait sleeps at once";
            table([("a passive wait spins by".to_owned(), says.to_owned())])
        };
        let widest = |text: &str| text.lines().map(|line| line.chars().count()).max();
        let whole = within(rows(), None);
        assert_eq!(within(rows(), Some(200)), whole);
        let narrow = within(rows(), Some(40));
        assert!(
            widest(&narrow) <= Some(40) && widest(&whole) > Some(80),
            "{narrow}"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(count(number), text);
        }
    }
}
