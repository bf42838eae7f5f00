//! Plants defects by rule. `cargo xtask mutate` runs it on a copy of the tree:
//!
//! `rundown-mutants PART CRATE-ROOT-FILE FILE... < SKIPPED`
//!
//! rewrites each file, so that each of its mutants sleeps behind a switch, `crate::planted::is(NUMBER)`, and gives the root file
//! the module with the switches' number: four bytes behind [`MARKER`] in the built program, zero for the original. One build
//! has them all that way, and a mutant is that program with another number in it. Standard output has the mutants as JSON.
//!
//! Standard input has, one a line, what the compiler rejected before: the name of a mutant that is to be left out, or
//! `const NAME`, a function that has to stay `const`, without mutants.
//!
//! | file | one idea |
//! |---|---|
//! | `rules` | what is a mutant |
//! | `edit` | changes of a text that lie in one another |
//! | `survivors` | what nothing finds, and why |

mod edit;
mod rules;
mod survivors;

use std::{
    collections::HashSet,
    fs,
    io::{Read as _, stdin},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

/// What stands before the number in a built program.
const MARKER: &str = "planted-mutant: ";

/// The list of survivors, in the tree.
const LIST: &str = "tools/mutants/survivors.txt";

/// A mutant as this program tells of it.
#[derive(Serialize)]
struct Told {
    number: u32,
    name: String,
    rule: &'static str,
    file: String,
    line: usize,
    /// The line of the list that argues why nothing finds it.
    argued: Option<String>,
    /// Where it is in the rewritten file, in bytes: what the compiler rejects there is this.
    from: usize,
    to: usize,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().context("no part is named")?;
    let list = fs::read_to_string(LIST).with_context(|| format!("cannot read {LIST}"))?;
    let list = survivors::read(&list)?;
    let argued = |name: &str| {
        let of_part = list.iter().filter(|survivor| survivor.part == part);
        let mut meant = of_part.filter(|survivor| survivor.is(name));
        meant.next().map(|survivor| survivor.pattern.clone())
    };
    let root = PathBuf::from(arguments.next().context("no root file is named")?);
    let mut skipped = String::new();
    stdin().read_to_string(&mut skipped)?;
    let (constant, left_out): (Vec<&str>, Vec<&str>) =
        skipped.lines().partition(|line| line.starts_with("const "));
    let constant: HashSet<&str> = constant
        .iter()
        .filter_map(|line| line.strip_prefix("const "))
        .collect();
    let left_out: HashSet<&str> = left_out.into_iter().collect();

    let mut told = Vec::new();
    let mut next = 1;
    for file in arguments {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let found = rules::mutants(&file, &text, &constant)?;
        let names = rules::names(&found.mutants);
        let mut edits = found.edits;
        let mut places = Vec::new();
        for (mutant, name) in found.mutants.into_iter().zip(names) {
            if left_out.contains(name.as_str()) {
                continue;
            }
            edits.extend(mutant.edits(next));
            places.push((mutant.range.clone(), told.len()));
            told.push(Told {
                number: next,
                argued: argued(&name),
                name,
                rule: mutant.rule,
                file: file.clone(),
                line: mutant.line,
                from: 0,
                to: 0,
            });
            next += 1;
        }
        let (rewritten, moved) = edit::apply(&text, edits);
        for (range, index) in places {
            told[index].from = moved.start(range.start);
            told[index].to = moved.end(range.end);
        }
        fs::write(&file, rewritten).with_context(|| format!("cannot write {file}"))?;
    }
    if told.is_empty() {
        bail!("there is no mutant");
    }
    let mut text = fs::read_to_string(&root).with_context(|| format!("cannot read {}", root.display()))?;
    text.push_str(&module());
    fs::write(&root, text).with_context(|| format!("cannot write {}", root.display()))?;
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

/// The switches. The number is read through `black_box`, so that no compiler knows it.
fn module() -> String {
    format!(
        "
#[allow(missing_docs, unreachable_pub, dead_code)]
pub(crate) mod planted {{
    #[repr(C)]
    struct Chosen {{
        marker: [u8; {}],
        number: ::core::sync::atomic::AtomicU32,
    }}
    static CHOSEN: Chosen = Chosen {{
        marker: *b{MARKER:?},
        number: ::core::sync::atomic::AtomicU32::new(0),
    }};
    #[inline]
    pub(crate) fn is(number: u32) -> bool {{
        let chosen = ::core::hint::black_box(&CHOSEN);
        chosen.number.load(::core::sync::atomic::Ordering::Relaxed) == number
    }}
}}
",
        MARKER.len()
    )
}
