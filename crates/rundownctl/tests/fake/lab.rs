//! A lab without a machine: the pipe protocol of docs/lab-pipe.md in front of [`driver::Driver`], for transcripts whose
//! figures are the same on every machine.

use std::io::{BufRead, Write, stdin, stdout};

use objects::{Objects, Reply};
use rundown_abi::WaitEnd;
use rundownctl::hexadecimal::{decode, encode};

mod driver;
mod objects;

fn main() {
    let mut driver = driver::Driver {
        polls_until_done: 1,
        ..driver::Driver::default()
    };
    let mut objects = Objects::default();
    // The ids of the requests that pend, with their objects.
    let mut pending: Vec<(String, u64)> = Vec::new();
    say("ready 1 cpus=4 seed=1");
    for line in stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            [id, "open", ..] => say(&format!("{id} 0x00000000 1")),
            [id, "ioctl", _, code, capacity, input] => {
                let code = u32::from_str_radix(code.trim_start_matches("0x"), 16).expect("a code");
                let input = decode(input).expect("bytes");
                let reply = objects.request(code, &input).unwrap_or_else(|| {
                    Reply::Now(driver.request(code, &input, capacity.parse().expect("a size")))
                });
                match reply {
                    Reply::Now(answer) => complete(id, answer),
                    Reply::Pends(object) => pending.push((id.to_owned(), object)),
                }
                pending.retain(|(id, object)| {
                    let drained = objects.is_drained(*object);
                    if drained {
                        complete(id, Ok(objects::waited(*object, WaitEnd::Event)));
                    }
                    !drained
                });
            }
            [id, "cancel", of] => {
                let found = pending.iter().position(|(id, _)| id == of);
                complete(id, found.map(|_| Vec::new()).ok_or(NOT_FOUND));
                if let Some(index) = found {
                    complete(&pending.swap_remove(index).0, Err(CANCELLED));
                }
            }
            [id, "close", _] => complete(id, Ok(Vec::new())),
            [id, "quit"] => {
                complete(id, Ok(Vec::new()));
                return;
            }
            _ => say(&format!("error no request: {line}")),
        }
    }
}

const CANCELLED: u32 = 0xC000_0120;
const NOT_FOUND: u32 = 0xC000_0225;

fn complete(id: &str, answer: Result<Vec<u8>, u32>) {
    let (status, output) = match answer {
        Ok(output) => (0, output),
        Err(status) => (status, Vec::new()),
    };
    say(&format!("{id} 0x{status:08X} {}", encode(&output)));
}

fn say(line: &str) {
    println!("{line}");
    // Nobody may be left to hear it.
    let _ = stdout().flush();
}
