//! `rundown-bench [--json] [--svg FILE] [--rounds N] [--check]`
#![deny(unsafe_code)]

use std::{
    env, fs,
    io::{self, Write},
    process::ExitCode,
};

use rundown_bench::{
    plot,
    report::{self, Goal},
    rows,
};

const USAGE: &str = "rundown-bench [--json] [--svg FILE] [--rounds N] [--check]

Measures run-down protection against the floor and its peers, and prints a table.
  --json      prints JSON instead: {\"rows\":[{name, form, case, threads, ratio_to_floor, ci_low, ci_high, nanoseconds}], \"goals\":[...]}
  --svg FILE  draws the inlined rows as well
  --rounds N  measures every row N times (default 101)
  --check     a goal that is missed is a failure

Exit codes: 0 measured, 1 the figures could not be written or with --check a goal is missed, 2 usage.";

struct Options {
    json: bool,
    svg: Option<String>,
    rounds: usize,
    check: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        json: false,
        svg: None,
        rounds: 101,
        check: false,
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => options.json = true,
            "--check" => options.check = true,
            "--svg" => options.svg = Some(value()?),
            "--rounds" => {
                let text = value()?;
                options.rounds = text
                    .parse()
                    .ok()
                    .filter(|rounds| *rounds > 0)
                    .ok_or(format!("--rounds takes a number from 1, not '{text}'"))?;
            }
            // `cargo bench` hands this to every benchmark.
            "--bench" => {}
            "--help" => return Err(String::new()),
            other => return Err(format!("'{other}' is not an option")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(text) if text.is_empty() => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("{text}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let measured = rows::measure(&rows::plans(), options.rounds, |round| {
        if round % 10 == 0 {
            eprintln!("round {round} of {}", options.rounds);
        }
    });
    let written = (|| -> Result<(), Box<dyn std::error::Error>> {
        if let Some(path) = &options.svg {
            fs::write(path, plot::svg(&measured))
                .map_err(|error| format!("{path} cannot be written: {error}"))?;
        }
        let text = if options.json {
            format!("{}\n", report::json(&measured)?)
        } else {
            report::table(&measured)
        };
        Ok(io::stdout().write_all(text.as_bytes())?)
    })();
    match written {
        Ok(()) if options.check && !report::goals(&measured).iter().all(Goal::reached) => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}
