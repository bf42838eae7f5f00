//! A lab without a machine: the pipe protocol of docs/lab-pipe.md in front of [`driver::Driver`], for transcripts whose
//! figures are the same on every machine. `RUNDOWN_FAKE` names what is wrong with it, such as `poisoned=7`.

use std::{
    env,
    io::{BufRead, Write, stdin, stdout},
    process::exit,
};

use objects::{Objects, Reply};
use rundown_abi::{Arm, InteropCheck, Stall, WaitEnd, WordState, ioctl};
use rundownctl::hexadecimal::{decode, encode};

mod driver;
mod objects;

fn main() {
    let wrong = env::var("RUNDOWN_FAKE").unwrap_or_default();
    let (wrong, number) = wrong.split_once('=').unwrap_or((&wrong, "0"));
    let mut driver = faulty(wrong, number.parse().expect("RUNDOWN_FAKE has a number"));
    let mut objects = Objects::default();
    // The ids of the requests that pend, with their objects.
    let mut pending: Vec<(String, u64)> = Vec::new();
    say("ready 1 cpus=4 seed=1 mode=smp");
    for line in stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            [id, "open", ..] => say(&format!("{id} 0x00000000 1")),
            [id, "ioctl", _, code, capacity, input] => {
                let code = u32::from_str_radix(code.trim_start_matches("0x"), 16).expect("a code");
                let input = decode(input).expect("bytes");
                if wrong == "bugcheck" && code == ioctl::STRESS_RESULT {
                    say("bugcheck 0x000000d1 DRIVER_IRQL_NOT_LESS_OR_EQUAL it fell over");
                    exit(1);
                }
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
                exit(i32::from(wrong == "leak"));
            }
            _ => say(&format!("error no request: {line}")),
        }
    }
}

/// A driver with one thing wrong, or with none.
fn faulty(wrong: &str, number: u64) -> driver::Driver {
    let mut driver = driver::Driver {
        polls_until_done: 1,
        ..driver::Driver::default()
    };
    match wrong {
        "poisoned" => driver.violations.poisoned = number,
        "inside" => driver.violations.inside = number,
        "arm-poisoned" => driver.arm_violations.poisoned = number,
        "arm-inside" => driver.arm_violations.inside = number,
        "stall" => {
            driver.stall = Stall {
                waits: number,
                milliseconds: number + 1,
                generation: number + 2,
                holders: number + 3,
                arm: Arm::Ours as u32,
                word: WordState::Waiting as u32,
            }
        }
        "differs" => driver.differs_at = Some(number),
        "fails" => driver.fails = Some(InteropCheck::Word),
        "" | "bugcheck" | "leak" => {}
        other => panic!("RUNDOWN_FAKE={other}"),
    }
    driver
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
