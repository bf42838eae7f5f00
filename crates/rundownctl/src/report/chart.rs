//! The charts: each turns figures into one SVG.

use maud::{Markup, html};

use super::plot::{Log, WIDTH, at, short, svg};
use crate::{
    names::{Arm, Workload},
    record::{Latency, Record},
    statistics::{Cost, Ratio},
};

const LEFT: f64 = 4.0;
const ROW: f64 = 20.0;

/// What a distribution is drawn of: whose, and its quantiles.
pub(super) type Distribution = (Arm, Latency);

/// The class that gives an arm its colour.
fn class(arm: Arm) -> String {
    format!("arm {}", arm.name())
}

/// The arms and their colours.
pub(super) fn legend(arms: &[Arm]) -> Markup {
    html! {
        ul.legend {
            @for arm in arms { li { i class=(class(*arm)) {} (arm.name()) } }
        }
    }
}

/// Operations per second: a group of bars for each workload, each group on a scale of its own.
pub(super) fn throughput(costs: &[Cost]) -> Markup {
    const LABEL: f64 = 128.0;
    const VALUE: f64 = 52.0;
    let length = WIDTH - LABEL - VALUE;
    let mut y = 0.0;
    let mut marks = Vec::new();
    let mut previous = None;
    for cost in costs {
        if previous != Some(cost.workload) {
            previous = Some(cost.workload);
            y += if marks.is_empty() { 16.0 } else { 28.0 };
            marks.push(html! { text.group x=(LEFT) y=(at(y)) { (cost.workload.name()) } });
            y += 8.0;
        }
        let most = costs
            .iter()
            .filter(|other| other.workload == cost.workload)
            .fold(0.0, |most: f64, other| most.max(other.rate));
        let bar = (cost.rate / most * length).max(1.0);
        marks.push(html! {
            text x=(LEFT) y=(at(y + 13.0)) { (cost.arm.name()) }
            rect class=(class(cost.arm)) x=(LABEL) y=(at(y + 2.0)) width=(at(bar)) height="14" rx="2" {}
            text.number x=(at(LABEL + bar + 5.0)) y=(at(y + 13.0)) { (short(cost.rate)) }
        });
        y += ROW;
    }
    svg(
        y + 6.0,
        "Operations per second by workload and arm",
        &html! { @for mark in &marks { (mark) } },
    )
}

/// Ours divided by the system's: a point with its interval for each workload, and a line at 1.
pub(super) fn ratios(ratios: &[Ratio]) -> Markup {
    const TOP: f64 = 8.0;
    const GROUP: f64 = 40.0;
    let reach = ratios
        .iter()
        .flat_map(|ratio| {
            let (low, high) = ratio.interval.unwrap_or((ratio.ratio, ratio.ratio));
            [low, high, ratio.ratio]
        })
        .chain([1.0]);
    let scale = Log::over(reach, 1.6, LEFT + 14.0, WIDTH - LEFT - 78.0);
    #[expect(clippy::cast_precision_loss, reason = "a chart has few rows")]
    let bottom = TOP + GROUP * ratios.len() as f64;
    let content = html! {
        @for tick in ratio_ticks(&scale) {
            @let x = at(scale.place(tick));
            line class=(if (tick - 1.0).abs() < 1e-9 { "one" } else { "grid" }) x1=(x) x2=(x) y1=(TOP) y2=(at(bottom)) {}
            text.tick x=(x) y=(at(bottom + 15.0)) { (short(tick)) }
        }
        @for (index, ratio) in ratios.iter().enumerate() {
            @let y = row_place(TOP, GROUP, index);
            text x=(LEFT) y=(at(y + 12.0)) {
                (ratio.workload.name()) ": " (ratio.ours.name()) " / " (ratio.native.name())
            }
            @if let Some((low, high)) = ratio.interval {
                line class={ "interval " (ratio.ours.name()) } x1=(at(scale.place(low))) x2=(at(scale.place(high))) y1=(at(y + 26.0)) y2=(at(y + 26.0)) {}
            }
            circle class=(class(ratio.ours)) cx=(at(scale.place(ratio.ratio))) cy=(at(y + 26.0)) r="5" {}
            text.number.end x=(at(WIDTH - LEFT)) y=(at(y + 12.0)) { (format!("{:.3}", ratio.ratio)) }
        }
        text.axis x=(at(WIDTH / 2.0)) y=(at(bottom + 32.0)) { "ours / system's, cycles per operation; left of 1 ours is faster" }
    };
    svg(
        bottom + 40.0,
        "Ratio of ours to the system's by workload",
        &content,
    )
}

#[expect(clippy::cast_precision_loss, reason = "a chart has few rows")]
fn row_place(top: f64, height: f64, index: usize) -> f64 {
    top + height * index as f64
}

/// Round ratios on the scale, 1 always among them: the finest of some rows that is not crowded.
fn ratio_ticks(scale: &Log) -> Vec<f64> {
    const ROWS: [&[f64]; 3] = [
        &[0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2],
        &[
            0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 2.0, 2.5, 3.0,
        ],
        &[0.001, 0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0],
    ];
    let on_scale =
        |row: &[f64]| -> Vec<f64> { row.iter().copied().filter(|tick| scale.has(*tick)).collect() };
    let coarsest = on_scale(ROWS[2]);
    ROWS.into_iter()
        .map(on_scale)
        .find(|ticks| ticks.len() >= 3 && apart(scale, ticks))
        .unwrap_or(coarsest)
}

/// Whether there is room for a tick's text before the next one.
fn apart(scale: &Log, ticks: &[f64]) -> bool {
    const ROOM: f64 = 32.0;
    let places: Vec<f64> = ticks.iter().map(|tick| scale.place(*tick)).collect();
    places.windows(2).all(|pair| pair[1] - pair[0] >= ROOM)
}

/// How rare a share is: one nine is one part in ten. The maximum stands half a nine above the rarest that is told.
fn rarity(share: f64) -> f64 {
    if share < 1.0 {
        -(1.0 - share).log10()
    } else {
        TOP_RARITY
    }
}
const TOP_RARITY: f64 = 4.5;

/// Cumulative distributions: the share of samples, in nines, that took at most so much by the `clock`.
pub(super) fn distributions(workload: Workload, distributions: &[Distribution], clock: &str) -> Markup {
    const HEIGHT: f64 = 230.0;
    const TOP: f64 = 26.0;
    const BOTTOM: f64 = 46.0;
    const LABEL: f64 = 52.0;
    let cycles = distributions
        .iter()
        .flat_map(|(_, latency)| latency.points())
        .map(|point| number(point.cycles));
    let x = Log::over(cycles, 4.0, LABEL, WIDTH - LABEL - 16.0);
    let plot = HEIGHT - TOP - BOTTOM;
    let y = |share: f64| TOP + plot * (1.0 - rarity(share) / TOP_RARITY);
    let content = html! {
        text.group x=(LEFT) y="14" { (workload.name()) }
        @for (share, name) in [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "max")] {
            line.grid x1=(LABEL) x2=(at(WIDTH - 8.0)) y1=(at(y(share))) y2=(at(y(share))) {}
            text.number.end x=(LABEL - 6.0) y=(at(y(share) + 4.0)) { (name) }
        }
        @for tick in x.ticks() {
            line.grid x1=(at(x.place(tick))) x2=(at(x.place(tick))) y1=(TOP) y2=(at(HEIGHT - BOTTOM)) {}
            text.tick x=(at(x.place(tick))) y=(at(HEIGHT - BOTTOM + 15.0)) { (short(tick)) }
        }
        @for (arm, latency) in distributions {
            @let points: Vec<_> = latency.points().iter().map(|point| (x.place(number(point.cycles)), y(point.share))).collect();
            polyline class={ "curve " (arm.name()) } points=(points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")) {}
            @if let Some((x, y)) = points.last() { circle class=(class(*arm)) cx=(at(*x)) cy=(at(*y)) r="3.5" {} }
        }
        text.axis x=(at(WIDTH / 2.0)) y=(at(HEIGHT - 12.0)) { (clock) ", logarithmic" }
    };
    svg(HEIGHT, &format!("Distribution for {}", workload.name()), &content)
}

#[expect(clippy::cast_precision_loss, reason = "for a chart")]
fn number(value: u64) -> f64 {
    value as f64
}

/// The ways out in the order in which a wait tries them.
pub(super) const WAYS: [&str; 6] = ["drained", "mwaitx", "pause", "dispatch", "late", "event"];

/// How waits ended: one bar of a hundred percent for each arm and run that tells.
pub(super) fn ways_out(records: &[&Record]) -> Option<Markup> {
    const GROUP: f64 = 42.0;
    let mut y = 0.0;
    let mut marks = Vec::new();
    for record in records {
        for figures in &record.arms {
            let named = figures.ways_out.named();
            let all: u64 = named.iter().map(|(_, waits)| waits).sum();
            if all == 0 {
                continue;
            }
            let mut x = LEFT;
            let mut parts = Vec::new();
            for (name, waits) in named.into_iter().filter(|(_, waits)| *waits > 0) {
                let share = number(waits) / number(all);
                let width = share * (WIDTH - 2.0 * LEFT);
                parts.push(html! {
                    rect class={ "way " (name) } x=(at(x)) y=(at(y + 20.0)) width=(at(width)) height="14" {
                        title { (name) ": " (waits) " (" (format!("{:.1}", share * 100.0)) " %)" }
                    }
                });
                x += width;
            }
            marks.push(html! {
                text x=(LEFT) y=(at(y + 14.0)) { (record.workload.name()) ": " (figures.arm.name()) }
                text.number.end x=(at(WIDTH - LEFT)) y=(at(y + 14.0)) { (short(number(all))) " waits" }
                @for part in &parts { (part) }
            });
            y += GROUP;
        }
    }
    (!marks.is_empty()).then(|| svg(y, "How waits ended", &html! { @for mark in &marks { (mark) } }))
}
