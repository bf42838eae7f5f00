//! What the program prints is part of its contract: `tests/cmd/*.trycmd` are transcripts.
//! `TRYCMD=overwrite cargo test -p rundownctl --test commands` writes them anew.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
