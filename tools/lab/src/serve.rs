pub fn serve(_: &crate::cli::Serve) -> std::process::ExitCode { todo!() }
