//! The fast paths in the driver itself. Not part of a plain `cargo test`:
//! `RUNDOWN_LAB_DIR=$PWD/target/lab cargo test -p rundown-codegen --test rundown_sys`.

use std::{env, path::PathBuf};

use rundown_codegen::inlined;

fn artefact(name: &str) -> PathBuf {
    let folder =
        env::var_os("RUNDOWN_LAB_DIR").expect("RUNDOWN_LAB_DIR is the folder that `cargo xtask lab` fills");
    PathBuf::from(folder).join(name)
}

#[test]
fn a_word_is_fetched_for_writing_before_each_exchange() {
    let found = inlined::fast_paths(&artefact("rundown.sys"), &artefact("rundown.pdb")).unwrap();
    assert!(found.faults.is_empty(), "{}", found.faults.join("\n"));
    // The stress engine's arms alone have an acquire and a release of each policy.
    assert!(found.prefetched >= 4, "{} fast paths are none", found.prefetched);
    println!(
        "rundown.sys: {} fast paths, each with its prefetchw",
        found.prefetched
    );
}

#[test]
fn nothing_is_locked_at_dispatch_level() {
    let found = inlined::without_lock(&artefact("rundown.sys"), &artefact("rundown.pdb")).unwrap();
    assert!(found.faults.is_empty(), "{}", found.faults.join("\n"));
    assert!(found.additions >= 2, "{} additions are none", found.additions);
    println!(
        "rundown.sys: {} additions to a processor's counter, and no locked instruction",
        found.additions
    );
}
