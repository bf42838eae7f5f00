//! `cargo kmdf sysroot`: the stand-in WDK alone, and what it takes to compile and link C with it.

use std::{
    ffi::OsStr,
    path::{self, PathBuf},
};

use clap::ArgMatches;

use rundown_kit::{
    c::Flags,
    kmdf::Version,
    sysroot::{Llvm, Sysroot},
};

use crate::{Failure, refuse};

/// Makes the WDK, or brings it up to date, and prints what is asked for.
pub(crate) fn run(options: &ArgMatches) -> Result<(), Failure> {
    let kmdf = match options.get_one::<String>("kmdf").map(String::as_str) {
        _ if options.get_flag("wdm") => None,
        Some("1.31") => Some(Version::V31),
        _ => Some(Version::V33),
    };
    let llvm = options
        .get_one::<PathBuf>("llvm")
        .map(|folder| Llvm::at(folder))
        .unwrap_or_default();
    llvm.complete()?;
    let target = options
        .get_one::<PathBuf>("target-dir")
        .expect("it has a default");
    let target = path::absolute(target).map_err(|error| refuse(format!("{}: {error}", target.display())))?;
    let sysroot = Sysroot::prepare(&target.join("kit/wdk"), &llvm)?;
    let lines = lines(&Flags::new(&sysroot, &llvm, kmdf));
    match options.get_one::<String>("print").map(String::as_str) {
        None => println!("{}", sysroot.root().display()),
        Some("all") => lines
            .iter()
            .for_each(|(name, value)| println!("WDK_{} = {value}", name.to_uppercase())),
        Some(wanted) => lines
            .iter()
            .filter(|(name, _)| *name == wanted)
            .for_each(|(_, value)| println!("{value}")),
    }
    Ok(())
}

/// What can be asked for, and make's variables without `WDK_`.
pub(crate) const NAMES: [&str; 5] = ["cc", "cflags", "ld", "ldflags", "libs"];

fn lines(flags: &Flags) -> [(&'static str, String); 5] {
    let [cc, cflags, ld, ldflags, libs] = NAMES;
    [
        (cc, words([&flags.compiler])),
        (cflags, words(&flags.compile)),
        (ld, words([&flags.linker])),
        (ldflags, words(&flags.link)),
        (libs, words(&flags.libraries)),
    ]
}

/// As a shell reads them, and make hands them to one.
fn words(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let quoted = words.into_iter().map(|word| {
        let word = word.as_ref().display().to_string();
        if word.contains([' ', '\'', '(', ')', '&', ';']) {
            format!("'{}'", word.replace('\'', r"'\''"))
        } else {
            word
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_folder_with_a_space_is_one_word() {
    assert_eq!(
        words(["-isystem", "/a b/it's", "/c"]),
        r"-isystem '/a b/it'\''s' /c"
    );
}
