//! `cargo kmdf sysroot`: the stand-in WDK alone, and what it takes to compile and link C with it.

use std::{
    ffi::OsStr,
    path::{self, PathBuf},
};

use clap::ArgMatches;

use rundown_kit::{
    c::Flags,
    sysroot::{Llvm, Sysroot},
    wdk,
};

use crate::{Failure, package::has_headers, refuse};

/// Makes the WDK, or brings it up to date, and prints what is asked for.
pub(crate) fn run(options: &ArgMatches) -> Result<(), Failure> {
    let wdk = options.get_one::<PathBuf>("wdk");
    let minor = *options.get_one::<u32>("kmdf").expect("it has a default");
    let kmdf = (!options.get_flag("wdm")).then_some(minor);
    if kmdf.is_some() && !has_headers(minor, wdk) {
        return Err(refuse(format!(
            "the kit has no headers of KMDF 1.{minor}; it has 1.31 and 1.33, and with --wdk what that WDK has"
        )));
    }
    let llvm = options
        .get_one::<PathBuf>("llvm")
        .map(|folder| Llvm::at(folder))
        .unwrap_or_default();
    llvm.complete(wdk.is_none())?;
    let target = options
        .get_one::<PathBuf>("target-dir")
        .expect("it has a default");
    let target = path::absolute(target).map_err(|error| refuse(format!("{}: {error}", target.display())))?;
    let sysroot = match wdk {
        Some(wdk) => Sysroot::of_wdk(&wdk::target(&target, wdk).join("kit/wdk"), wdk, kmdf)?,
        None => Sysroot::prepare(&target.join("kit/wdk"), &llvm)?,
    };
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

/// The number behind `1.` in a version of KMDF.
pub(crate) fn minor(version: &str) -> Result<u32, String> {
    let minor = version.strip_prefix("1.").and_then(|minor| minor.parse().ok());
    minor.ok_or_else(|| "a version of KMDF is 1 and a number, as 1.33".to_owned())
}

#[test]
fn a_folder_with_a_space_is_one_word() {
    assert_eq!(
        words(["-isystem", "/a b/it's", "/c"]),
        r"-isystem '/a b/it'\''s' /c"
    );
}
