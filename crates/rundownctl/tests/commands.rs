//! What the program prints is part of its contract: `tests/cmd/*.trycmd` are transcripts, told by a lab without a machine.
//! `TRYCMD=overwrite cargo test -p rundownctl --test commands` writes them anew.

use trycmd::{TestCases, cargo::compile_example, schema::Bin};

#[test]
fn transcripts() {
    let built = compile_example("fake-lab", []);
    let Bin::Path(lab) = built else {
        panic!("the fake lab does not build: {built:?}")
    };
    TestCases::new()
        .env("RUNDOWN_LAB", lab.display().to_string())
        .case("tests/cmd/*.trycmd");
}
