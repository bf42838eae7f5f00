//! `cargo kmdf`: builds anybody's driver; see `rundown_kit::cargo_kmdf`.

fn main() -> std::process::ExitCode {
    rundown_kit::cargo_kmdf::main()
}
