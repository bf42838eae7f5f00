//! See [`rundown_kit::linker`].

fn main() -> std::process::ExitCode {
    rundown_kit::linker::main()
}
