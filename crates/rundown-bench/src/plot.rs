//! The figures, drawn.

use std::fmt::Write;

use crate::{
    report::NT,
    rows::{Case, Form, Row},
};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 240.0;
const BAR: f64 = 20.0;

/// The inlined uncontended and contended rows, and NT's, as bars, in multiples of the floor, as SVG.
///
/// # Panics
/// Never: a string takes all.
#[must_use]
pub fn svg(rows: &[Row]) -> String {
    let shown = |case| {
        rows.iter()
            .filter(move |row| row.case == case && (row.form == Form::Inlined || row.name == NT))
    };
    let mut body = String::new();
    let mut y = 10.0;
    for (case, title) in [
        (Case::Uncontended, "uncontended"),
        (Case::Contended, "contended, 2 threads"),
    ] {
        let longest = shown(case).map(|row| row.ci_high).fold(1.0, f64::max);
        let scale = (WIDTH - LEFT - 70.0) / longest;
        y += BAR;
        writeln!(
            body,
            r#"<text x="10" y="{y}" font-weight="bold">{title}: multiples of the floor</text>"#
        )
        .expect("a string takes all");
        for row in shown(case) {
            y += BAR;
            let length = row.ratio_to_floor * scale;
            let colour = if row.name.contains("RundownRef") {
                "#2a6f97"
            } else if row.name == NT {
                "#c8553d"
            } else {
                "#a9b4bd"
            };
            let (low, high) = (LEFT + row.ci_low * scale, LEFT + row.ci_high * scale);
            let (top, middle) = (y - BAR + 6.0, y - BAR / 2.0 + 3.0);
            writeln!(
                body,
                r#"<text x="10" y="{y}">{}</text><rect x="{LEFT}" y="{top}" width="{length:.1}" height="14" fill="{colour}"/><line x1="{low:.1}" x2="{high:.1}" y1="{middle}" y2="{middle}" stroke="black"/><text x="{:.1}" y="{y}">{:.2}</text>"#,
                row.name,
                high + 6.0,
                row.ratio_to_floor
            )
            .expect("a string takes all");
        }
        y += BAR;
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{}" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>
{body}</svg>
"#,
        y + 10.0
    )
}
