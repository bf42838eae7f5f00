//! See [`rundown_kit::wrapper`].

fn main() -> std::process::ExitCode {
    rundown_kit::wrapper::main()
}
