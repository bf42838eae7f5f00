//! The machine is played by a thread at the other ends of COM1's pipes.

use super::*;
use std::io::{BufReader, PipeReader, PipeWriter, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A machine that is a closure on a thread, at the other ends of COM1's pipes.
struct Played {
    ended: Arc<AtomicBool>,
    exit: Option<i32>,
}

impl Power for Played {
    fn end(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
    fn leave(&mut self, _: Duration) -> Option<i32> {
        self.exit
    }
}

/// The machine's side of COM1.
struct Guest {
    from_host: PipeReader,
    to_host: PipeWriter,
}

impl Guest {
    fn say(&mut self, id: u32, reply: Reply<'_>) {
        self.to_host.write_all(&reply.encode(id)).unwrap();
    }

    fn hear(&mut self) -> (u32, String) {
        let mut header = [0; HEADER_LENGTH];
        self.from_host.read_exact(&mut header).unwrap();
        let header = Header::decode(&header).unwrap();
        let mut body = vec![0; header.length as usize];
        self.from_host.read_exact(&mut body).unwrap();
        (
            header.id,
            format!("{:?}", Request::decode(header, &body).unwrap()),
        )
    }
}

struct Outcome {
    ending: Ending,
    output: String,
    ended: bool,
}

/// Runs a session against `guest`; `input` is all that the client says before it closes its end.
fn play(
    input: &str,
    exit: Option<i32>,
    limit: Duration,
    guest: impl FnOnce(&mut Guest) + Send + 'static,
) -> Outcome {
    let (from_host, com1_in) = pipe().unwrap();
    let (com1_out, to_host) = pipe().unwrap();
    let player = thread::spawn(move || guest(&mut Guest { from_host, to_host }));
    let ended = Arc::new(AtomicBool::new(false));
    let mut machine = Played {
        ended: Arc::clone(&ended),
        exit,
    };
    let mut output = Vec::new();
    let input = Box::new(BufReader::new(io::Cursor::new(input.to_owned())));
    let ends = Ends {
        input: Some(input),
        output: &mut output,
        ready: "seed=7".into(),
    };
    let (ending, _) = run(&mut machine, (com1_in, com1_out), ends, limit);
    player.join().unwrap();
    Outcome {
        ending,
        output: String::from_utf8(output).unwrap(),
        ended: ended.load(Ordering::SeqCst),
    }
}

const LONG: Duration = Duration::from_mins(1);

#[test]
fn requests_are_carried_and_answered_out_of_order() {
    let input = "1 open 00000000-0000-0000-0000-000000000001 r user\n2 ioctl 4 0x222004 8 0102\n3 cancel 2\n4 close 4\n5 quit\n";
    let outcome = play(input, Some(33), LONG, |guest| {
        guest.say(0, Reply::Ready { cpus: 2 });
        let (id, open) = guest.hear();
        assert!(id == 1 && open.contains("caller: User"), "{open}");
        assert_eq!(
            guest.hear().1,
            "Ioctl { handle: 4, code: 2236420, capacity: 8, input: [1, 2] }"
        );
        assert_eq!(guest.hear().1, "Cancel { target: 2 }");
        assert_eq!(guest.hear().1, "Close { handle: 4 }");
        assert_eq!(guest.hear(), (5, "Quit".into()));
        guest.say(
            3,
            Reply::Done {
                status: 0,
                output: &[],
            },
        );
        guest.say(
            1,
            Reply::Done {
                status: 0,
                output: &4_u64.to_le_bytes(),
            },
        );
        guest.say(
            2,
            Reply::Done {
                status: 0xC000_0120,
                output: &[0xAB],
            },
        );
        guest.say(
            4,
            Reply::Done {
                status: 0,
                output: &[],
            },
        );
        guest.say(
            5,
            Reply::Finished {
                counters: Counters {
                    mwaitx: 3,
                    ..Counters::default()
                },
            },
        );
    });
    assert_eq!(
        outcome.output,
        "ready 1 cpus=2 seed=7\n3 0x00000000 -\n1 0x00000000 4\n2 0xC0000120 ab\n4 0x00000000 -\n5 0x00000000 -\n"
    );
    let counters = Counters {
        mwaitx: 3,
        ..Counters::default()
    };
    assert_eq!(outcome.ending, Ending::Finished { counters });
}

#[test]
fn end_of_input_is_the_clients_death_and_then_quit() {
    let outcome = play("", Some(33), LONG, |guest| {
        guest.say(0, Reply::Ready { cpus: 1 });
        assert_eq!(guest.hear().1, "ClientDeath");
        guest.say(
            0,
            Reply::Done {
                status: 0,
                output: &[],
            },
        );
        assert_eq!(guest.hear().1, "Quit");
        guest.say(
            0,
            Reply::Finished {
                counters: Counters::default(),
            },
        );
    });
    assert_eq!(outcome.output, "ready 1 cpus=1 seed=7\n");
    assert_eq!(
        outcome.ending,
        Ending::Finished {
            counters: Counters::default()
        }
    );
}

#[test]
fn wrong_lines_are_answered_and_do_no_harm() {
    let outcome = play(
        "hello\n\n0 quit\n1 close 4\n1 close 4\n2 quit\n3 close 4\n",
        Some(33),
        LONG,
        |guest| {
            guest.say(0, Reply::Ready { cpus: 1 });
            assert_eq!(guest.hear(), (1, "Close { handle: 4 }".into()));
            assert_eq!(guest.hear(), (2, "Quit".into()));
            // The client's last line and its end come before this, as it has no more to say.
            thread::sleep(Duration::from_millis(100));
            guest.say(
                2,
                Reply::Finished {
                    counters: Counters::default(),
                },
            );
        },
    );
    let lines: Vec<&str> = outcome.output.lines().collect();
    assert_eq!(lines[1], "error \"hello\" is not a request id (a decimal number)");
    assert_eq!(lines[2], "error request ids begin at 1");
    assert_eq!(
        lines[3],
        "error request 1 is not answered yet; its id cannot be used again"
    );
    assert_eq!(lines[4], "error the machine is already quitting");
    assert_eq!(lines[5], "2 0x00000000 -");
}

#[test]
fn a_machine_that_dies_is_noticed_at_every_point() {
    let silent = play("", Some(35), LONG, |_| {});
    assert_eq!(
        (silent.ending, silent.output.as_str()),
        (Ending::Died(Some(35)), "")
    );
    let torn = play("1 quit\n", Some(35), LONG, |guest| {
        guest.say(0, Reply::Ready { cpus: 1 });
        guest.hear();
        guest.to_host.write_all(&[9, 0, 0]).unwrap();
    });
    assert_eq!(torn.ending, Ending::Died(Some(35)));
}

#[test]
fn time_is_limited_and_nonsense_is_refused() {
    let hung = play("1 quit\n", None, Duration::from_millis(100), |guest| {
        guest.say(0, Reply::Ready { cpus: 1 });
        while guest.from_host.read(&mut [0]).is_ok_and(|length| length > 0) {}
    });
    assert_eq!(hung.ending, Ending::TimedOut);
    assert!(!hung.ended, "it is looked into first");
    let garbled = play("", None, LONG, |guest| {
        guest.to_host.write_all(&[0xFF; 64]).unwrap();
    });
    assert!(matches!(garbled.ending, Ending::Garbled(_)));
    assert!(garbled.ended, "the machine runs on");
}
