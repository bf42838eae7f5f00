//! A lab without a machine: the pipe protocol of docs/lab-pipe.md in front of [`driver::Driver`], for transcripts whose
//! figures are the same on every machine.

use std::io::{BufRead, Write, stdin, stdout};

mod driver;

fn main() {
    let mut driver = driver::Driver {
        polls_until_done: 1,
        ..driver::Driver::default()
    };
    say("ready 1 cpus=4 seed=1");
    for line in stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            [id, "open", ..] => say(&format!("{id} 0x00000000 1")),
            [id, "ioctl", _, code, capacity, input] => {
                let code = u32::from_str_radix(code.trim_start_matches("0x"), 16).expect("a code");
                let input = rundownctl::hexadecimal::decode(input).expect("bytes");
                let (status, output) = match driver.request(code, &input, capacity.parse().expect("a size")) {
                    Ok(output) => (0, output),
                    Err(status) => (status, Vec::new()),
                };
                say(&format!(
                    "{id} 0x{status:08X} {}",
                    rundownctl::hexadecimal::encode(&output)
                ));
            }
            [id, "close", _] => say(&format!("{id} 0x00000000 -")),
            [id, "quit"] => {
                say(&format!("{id} 0x00000000 -"));
                return;
            }
            _ => say(&format!("error no request: {line}")),
        }
    }
}

fn say(line: &str) {
    println!("{line}");
    // Nobody may be left to hear it.
    let _ = stdout().flush();
}
