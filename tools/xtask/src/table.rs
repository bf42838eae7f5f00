//! Tables for people: in the characters of their terminal, and no wider than it is.

use comfy_table::{
    CellAlignment, ContentArrangement, Table,
    presets::{ASCII_FULL_CONDENSED, UTF8_FULL_CONDENSED},
};
use console::Term;

/// A table with a heading, whose first `texts` columns are text and whose others are numbers, for standard output.
pub(crate) fn table(heading: &[&str], texts: usize, rows: &[Vec<String>]) -> String {
    // Of what is no terminal nobody knows how wide it is.
    let width = Term::stdout()
        .features()
        .is_attended()
        .then(|| Term::stdout().size().1);
    drawn(heading, texts, rows, rundown_streams::is_utf8(), width)
}

fn drawn(heading: &[&str], texts: usize, rows: &[Vec<String>], utf8: bool, width: Option<u16>) -> String {
    let new = || {
        let mut table = Table::new();
        table.load_style(if utf8 {
            UTF8_FULL_CONDENSED
        } else {
            ASCII_FULL_CONDENSED
        });
        table
    };
    let mut table = new();
    table.set_header(heading).add_rows(rows);
    align(&mut table, texts);
    let Some(width) = width.filter(|&width| !fits(&table, width)) else {
        return table.to_string();
    };
    // A line for each column is narrower, if there are few rows.
    let mut turned = new();
    for (index, &name) in heading.iter().enumerate() {
        let values = rows.iter().map(|row| row[index].as_str());
        turned.add_row([name].into_iter().chain(values));
    }
    align(&mut turned, 1);
    if fits(&turned, width) {
        return turned.to_string();
    }
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table.to_string()
}

fn align(table: &mut Table, texts: usize) {
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn fits(table: &Table, width: u16) -> bool {
    table.lines().all(|line| line.chars().count() <= width.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: [&str; 4] = ["arm", "acquires", "generations", "violations"];

    fn rows() -> Vec<Vec<String>> {
        [
            ["ours", "1 000 000", "20 000", "0"],
            ["native", "900 000", "10 000", "0"],
        ]
        .map(|row| row.map(str::to_owned).to_vec())
        .to_vec()
    }

    /// The lines' characters, the widest line, and how often a word is in it.
    fn seen(utf8: bool, width: Option<u16>) -> (bool, usize, String) {
        let text = drawn(&HEADING, 1, &rows(), utf8, width);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        (text.is_ascii(), widest, text)
    }

    #[test]
    fn characters_and_width_are_the_terminals() {
        let (ascii, whole, text) = seen(true, None);
        assert!(!ascii && text.lines().count() == 6, "{text}");
        assert_eq!(seen(true, Some(200)).2, text, "there is room");
        assert!(seen(false, None).0);
        for width in [40, 24] {
            let (_, widest, narrow) = seen(true, Some(width));
            assert!(widest <= width.into() && widest < whole, "{narrow}");
            for figure in ["arm", "ours", "native", "20 000"] {
                assert!(width < 40 || narrow.contains(figure), "{figure} in\n{narrow}");
            }
        }
        // A line for each column, all of its figures in one piece.
        let turned = seen(true, Some(40)).2;
        assert!(
            turned
                .lines()
                .any(|line| line.contains("generations") && line.contains("10 000")),
            "{turned}"
        );
    }
}
