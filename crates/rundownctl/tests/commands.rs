//! What the program prints is part of its contract: `tests/cmd/*.trycmd` are transcripts, told by a lab without a machine.
//! `TRYCMD=overwrite cargo test -p rundownctl --test commands` writes them anew.

#[path = "fake/program.rs"]
mod program;

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .env("RUNDOWN_LAB", program::fake_lab().display().to_string())
        .case("tests/cmd/*.trycmd");
}
