//! The reader on a real listing, which is data of whoever runs the test and no part of this repository.
//!
//! `RUNDOWN_NATIVE_LISTING` names the file. Without it the tests are reported as ignored, by name.

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use rundown_uf::{Image, Kind, Listing};

fn main() {
    let path = std::env::var_os("RUNDOWN_NATIVE_LISTING");
    let trial = |name: &str, test: fn(&Path) -> Result<(), Failed>| match path.clone() {
        Some(path) => Trial::test(name, move || test(path.as_ref())),
        None => Trial::test(format!("{name} (not run: no listing)"), || Ok(())).with_ignored_flag(true),
    };
    let trials = vec![
        trial("a_real_listing_is_read", is_read),
        trial(
            "a_real_listing_without_any_one_of_its_rows_is_refused",
            no_row_can_be_spared,
        ),
        trial("a_real_listing_cut_off_anywhere_does_not_panic", cut_off),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn text(path: &Path) -> Result<String, Failed> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_read(path: &Path) -> Result<(), Failed> {
    let listing = Listing::read(&text(path)?)?;
    for name in [
        "ExAcquireRundownProtection",
        "ExReleaseRundownProtection",
        "ExWaitForRundownProtectionRelease",
    ] {
        listing.routine(name).ok_or(name)?;
    }
    let listed: usize = listing
        .routines()
        .iter()
        .map(|routine| routine.instructions)
        .sum();
    assert_eq!(listed, listing.rows().count());

    let image = Image::new(&listing)?;
    let bytes: usize = image.segments.iter().map(|segment| segment.bytes.len()).sum();
    assert_eq!(bytes, listing.rows().map(|row| row.bytes.len()).sum());
    assert!(
        image
            .references
            .iter()
            .all(|reference| reference.kind == Kind::Processor || image.symbols.contains_key(&reference.name))
    );
    assert!(
        image
            .references
            .iter()
            .any(|reference| reference.kind == Kind::Call)
    );
    assert!(image.unlisted().count() > 0);
    Ok(())
}

fn no_row_can_be_spared(path: &Path) -> Result<(), Failed> {
    let text = text(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let rows: Vec<usize> = Listing::read(&text)?.rows().map(|row| row.line).collect();
    for row in rows {
        let without: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(index, _)| index + 1 != row)
            .map(|(_, line)| *line)
            .collect();
        if Listing::read(&without.join("\n")).is_ok() {
            return Err(format!("nobody missed line {row}").into());
        }
    }
    Ok(())
}

fn cut_off(path: &Path) -> Result<(), Failed> {
    let text = text(path)?;
    for end in (0..text.len())
        .step_by(97)
        .filter(|end| text.is_char_boundary(*end))
    {
        if let Err(error) = Listing::read(&text[..end]) {
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }
    Ok(())
}
