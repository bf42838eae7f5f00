//! The page itself.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    chart::{self, Distribution, WAYS},
    disassembly,
    listing::Code,
};
use crate::{
    hexadecimal,
    names::Arm,
    record::{ArmFigures, Latency, Record},
    show,
    statistics::{Cost, Ratio, costs, ratios},
};

const STYLE: &str = include_str!("page.css");

/// The page about some runs.
pub(super) fn page(records: &[&Record], listings: &[Code]) -> Markup {
    let in_the_lab = |record: &&&Record| record.is_of_the_lab();
    let counted: Vec<&Record> = records.iter().filter(in_the_lab).copied().collect();
    let timed = || records.iter().filter(|record| !in_the_lab(record));
    let costs: Vec<Cost> = timed().flat_map(|record| costs(record)).collect();
    let ratios: Vec<Ratio> = records.iter().flat_map(|record| ratios(record)).collect();
    let mut arms: Vec<Arm> = records
        .iter()
        .flat_map(|record| record.arms.iter().map(|arm| arm.arm))
        .collect();
    arms.sort_unstable();
    arms.dedup();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Run-down protection: a report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (verdict(records))
                @if !costs.is_empty() { (throughput(&costs, &ratios, &arms)) }
                @if !counted.is_empty() { (counts(&counted)) }
                (latencies("Latency of an operation", "An acquire and its release, or a refusal, without the hold. Quantiles are at most 1/32 above the exact ones.", records, &arms, |figures| &figures.operation))
                (waits(records, &arms))
                (code(records, listings))
                (figures(records))
                (surroundings(records))
            }
        }
    }
}

fn verdict(records: &[&Record]) -> Markup {
    let mut acquires = 0;
    let mut generations = 0;
    let violations = records
        .iter()
        .map(|record| record.violations())
        .fold(0, u64::saturating_add);
    let mut stalls = 0;
    for counters in records.iter().filter_map(|record| record.counters.as_ref()) {
        acquires += counters.acquires;
        generations += counters.generations;
        stalls += counters.stall.map_or(0, |stall| stall.waits);
    }
    html! {
        h1 { "Run-down protection: ours beside the system's" }
        p.verdict.bad[violations > 0] {
            (show::count(violations)) " violations in " (show::count(acquires)) " acquires and "
            (show::count(generations)) " generations"
        }
        @if stalls > 0 { p.verdict.bad { (show::count(stalls)) " stalled waits" } }
        @for failure in records.iter().filter_map(|record| record.error.as_ref()) {
            p.verdict.bad { (failure.message) }
        }
        @for caveat in show::caveats(records).lines() { p.caveat { (caveat) } }
    }
}

fn throughput(costs: &[Cost], ratios: &[Ratio], arms: &[Arm]) -> Markup {
    html! {
        h2 { "Throughput and ratio" }
        p { "A ratio is ours divided by the system's, below 1 is better; the bar is its 95 % confidence interval, by bootstrap over the rounds." }
        (chart::legend(arms))
        div.cards {
            figure.card { figcaption { "Operations per second of all threads; each workload has its own scale." } (chart::throughput(costs)) }
            @if !ratios.is_empty() {
                figure.card { figcaption { "Ratio by workload" } (chart::ratios(ratios)) }
            }
        }
        div.card.wide {
            table {
                tr { th { "workload" } th { "arm" } th { "cycles" } th { "ns" } th { "operations/s" } th { "ours/native [95 %]" } th { "rounds" } }
                @for cost in costs {
                    @let compared = ratios.iter().find(|ratio| ratio.workload == cost.workload && ratio.ours == cost.arm);
                    tr {
                        td { (cost.workload.name()) } td { (cost.arm.name()) }
                        td.number { (format!("{:.1}", cost.cycles)) } td.number { (format!("{:.1}", cost.nanoseconds)) }
                        td.number { (show::count(show::rounded(cost.rate))) }
                        td.number { @if let Some(ratio) = compared { (show::ratio(ratio)) } }
                        td.number { @if let Some(ratio) = compared { (ratio.rounds) } }
                    }
                }
            }
        }
    }
}

/// What the lab has in place of throughput and ratios.
fn counts(records: &[&Record]) -> Markup {
    html! {
        h2 { "What was counted" }
        p {
            "The lab's machine has no times to compare. Counted are acquires, times that the object was run down, and how its waits ended, of which "
            "the system's routines do not tell. Instructions are what all processors carried out for an operation, the engine's loop "
            "among them, if the lab's mode is " code { "counted" } "; the path is an acquire and its release in the driver's own code when nobody "
            "is in the way."
        }
        div.card.wide {
            table {
                tr { @for name in show::COUNTED { th { (name) } } }
                @for row in show::counted_rows(records) {
                    tr {
                        @for (index, cell) in row.iter().enumerate() {
                            @if index < 2 { td { (cell) } } @else { td.number { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// A chart for each run with samples, if what its clock says means anything.
fn latencies(
    heading: &str,
    explanation: &str,
    records: &[&Record],
    arms: &[Arm],
    latency: fn(&ArmFigures) -> &Latency,
) -> Markup {
    let charts: Vec<_> = records
        .iter()
        .filter(|record| !record.is_of_the_lab() || record.counts_instructions())
        .filter_map(|record| {
            let told: Vec<Distribution> = record
                .arms
                .iter()
                .map(|figures| (figures.arm, latency(figures).clone()))
                .filter(|(_, latency)| latency.samples > 0)
                .collect();
            (!told.is_empty()).then(|| chart::distributions(record.workload, &told, record.clock()))
        })
        .collect();
    html! {
        @if !charts.is_empty() {
            h2 { (heading) }
            p { (explanation) }
            (chart::legend(arms))
            div.cards { @for chart in &charts { figure.card { (chart) } } }
        }
    }
}

fn waits(records: &[&Record], arms: &[Arm]) -> Markup {
    html! {
        @if let Some(chart) = chart::ways_out(records) {
            h2 { "Waits by way out" }
            p { "How the owner's waits ended. The system's routines do not tell." }
            ul.legend { @for way in WAYS { li { i class=(way) {} (way) } } }
            div.cards { figure.card { (chart) } }
        }
        (latencies("Hand-over", "From the moment before the last release until the wait has returned, of waits that found a holder inside.", records, arms, |figures| &figures.hand_over))
    }
}

/// The arms side by side: what the user brought, else what the driver told.
fn code(records: &[&Record], listings: &[Code]) -> Markup {
    html! {
        h2 { "The fast paths" }
        p { "Acquire and release as they lie in memory, addresses counted from their beginnings." }
        div.cards {
            @for arm in [Arm::Ours, Arm::Native] {
                @match text_of(arm, records, listings) {
                    Some(text) => figure.card { figcaption { (arm.name()) } pre { (text) } },
                    None => figure.card {
                        figcaption { (arm.name()) }
                        p {
                            @if arm == Arm::Native {
                                "The system's routines are Microsoft's, and are shown when they are asked for: " code { "--native-code" }
                                ". In the lab a reference stands in for them, unless " code { "--target lab:native=FILE" }
                                " brings NT's own. "
                            }
                            "Any listing can be shown by " code { "--listing " (arm.name()) "=FILE" } "."
                        }
                    },
                }
            }
            @for listing in listings.iter().filter(|code| ![Arm::Ours, Arm::Native].contains(&code.arm)) {
                figure.card { figcaption { (listing.arm.name()) } pre { (listing.text) } }
            }
        }
    }
}

fn text_of(arm: Arm, records: &[&Record], listings: &[Code]) -> Option<String> {
    let brought: Vec<_> = listings
        .iter()
        .filter(|code| code.arm == arm)
        .map(|code| code.text.as_str())
        .collect();
    if !brought.is_empty() {
        return Some(brought.join("\n"));
    }
    let told = records
        .iter()
        .flat_map(|record| &record.code)
        .find(|code| code.arm == arm)?;
    let routine = |digits| disassembly::routine(&hexadecimal::decode(digits).unwrap_or_default());
    Some(format!(
        "acquire:\n{}\nrelease:\n{}",
        routine(&told.acquire),
        routine(&told.release)
    ))
}

fn figures(records: &[&Record]) -> Markup {
    html! {
        h2 { "Figures" }
        div.cards {
            @for record in records {
                div.card { pre { (show::run_table(record)) } }
            }
        }
    }
}

fn surroundings(records: &[&Record]) -> Markup {
    let machine = records.iter().find_map(|record| record.machine.as_ref());
    let mut commands: Vec<_> = records.iter().map(|record| &record.command).collect();
    commands.dedup();
    html! {
        h2 { "Machine" }
        @match machine {
            Some(machine) => {
                div.card.wide { table { @for (name, value) in show::machine(machine) { tr { th { (name) } td { (value) } } } } }
            }
            None => p { "Nobody described it: the driver did not answer." }
        }
        h2 { "Again" }
        div.card { @for command in commands { pre { (command) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros as _;

    use crate::record::{FastPath, WaysOut, tests::record};

    fn text(listings: &[Code]) -> String {
        page(&[&told(None)], listings).into_string()
    }

    /// A run with all that a page has something of, in the lab's `mode` if it is the lab's.
    fn told(mode: Option<&str>) -> Record {
        let mut record = record(&[Arm::Ours, Arm::Native], |arm, _| {
            if arm == Arm::Ours { 900 } else { 1000 }
        });
        for figures in &mut record.arms {
            figures.operation = Latency {
                samples: 10,
                sum: 1000,
                p50: 50,
                p90: 90,
                p99: 200,
                p999: 5000,
                max: 1_000_000,
                curve: Vec::new(),
            };
            figures.hand_over = figures.operation.clone();
        }
        record.arms[0].ways_out = WaysOut {
            drained: 3,
            late: 1,
            ..WaysOut::default()
        };
        record.lab = mode.map(str::to_owned);
        record
    }

    #[test]
    fn a_page_of_the_lab_has_counts_and_no_ratio_of_times() {
        let page_of = |mode| page(&[&told(Some(mode))], &[]).into_string();
        let page = page_of("smp");
        for time in [
            "Throughput and ratio",
            "operations/s",
            "ours/native",
            "Ratio",
            "Distribution for",
            "TSC cycles",
        ] {
            assert!(!page.contains(time), "{time}");
        }
        let row = |arm: &str, cells: &str| format!("<tr><td>storm</td><td>{arm}</td>{cells}</tr>");
        let cells = |cells: [&str; 11]| {
            cells
                .map(|cell| format!("<td class=\"number\">{cell}</td>"))
                .concat()
        };
        for (arm, expected) in [
            ("ours", ["1", "0", "0", "3", "0", "0", "0", "1", "0", "", ""]),
            ("native", ["1", "0", "0", "", "", "", "", "", "", "", ""]),
        ] {
            assert!(page.contains(&row(arm, &cells(expected))), "{arm}: {page}");
        }
        assert!(page.contains("aria-label=\"How waits ended\""));
        let counted = page_of("counted");
        assert!(
            counted.contains(">instructions of all processors, logarithmic<")
                && counted.contains("Distribution for storm"),
            "there the clock means something"
        );
        assert!(!counted.contains("Ratio of ours") && !counted.contains("TSC cycles"));
    }

    #[test]
    fn the_emulator_is_known_in_what_an_older_client_has_written() {
        let mut record = told(None);
        assert!(!record.is_of_the_lab());
        let mut info = rundown_abi::Info::new_zeroed();
        info.hypervisor = *b"TCGTCGTCGTCG";
        record.machine = Some(crate::record::Machine::of(&info));
        assert!(!page(&[&record], &[]).into_string().contains("Ratio"));
    }

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let page = text(&[]);
        for reference in ["http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn every_chart_is_there_and_none_has_lost_its_place() {
        let page = text(&[]);
        for name in [
            "Operations per second by workload and arm",
            "Ratio of ours to the system's by workload",
            "Distribution for storm",
            "How waits ended",
        ] {
            let named = format!("aria-label=\"{}\"", name.replace('\'', "&#39;"));
            assert!(
                page.contains(&named) || page.contains(&format!("aria-label=\"{name}\"")),
                "{name}"
            );
        }
        assert_eq!(
            page.matches("Distribution for storm").count(),
            2,
            "operation and hand-over"
        );
        assert!(
            !page.contains("NaN") && !page.contains("inf\""),
            "a place is a number"
        );
    }

    #[test]
    fn a_listing_is_shown_as_text() {
        let code = Code {
            arm: Arm::Native,
            text: "mov rax, <script>alert(1)</script>".into(),
        };
        let page = text(&[code]);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
        assert!(page.contains("--listing ours=FILE"));
        assert!(!page.contains("--listing native=FILE"));
    }

    #[test]
    fn what_the_driver_told_is_disassembled() {
        let mut record = record(&[Arm::Ours], |_, _| 900);
        record.code = vec![FastPath {
            arm: Arm::Ours,
            acquire: "0f0d09c3cc".into(),
            release: "c3".into(),
        }];
        let page = page(&[&record], &[]).into_string();
        assert!(page.contains("prefetchw [rcx]") && !page.contains("int3"));
        assert!(page.contains("--listing native=FILE"));
    }
}
