//! The kernel's report of a bug check, as lines on the debug console.
//!
//! The kernel writes them (its `judge` module lists them line by line), the host reads them here. Anything may be missing: a
//! machine that fails while it reports has still said something.

use crate::counters::Counters;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What the host writes to COM1's scratch register before it sends an NMI: the machine is to report now.
pub const HOST_ASKS: u8 = 0x4E;

/// A report, as far as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dump {
    /// `bug:`: the code.
    pub code: u32,
    /// `bug:`: its name.
    pub name: String,
    /// `bug:`: its four parameters.
    pub parameters: [u64; 4],
    /// `bug:`: one line for people.
    pub text: String,
    /// `module: driver`: the driver's base and size; zeroes if none was loaded.
    pub driver: (u64, u64),
    /// `module: framework`: the same of a framework that the driver was run on; zeroes if it was the lab's own.
    pub framework: (u64, u64),
    /// `reg:`: what is known of the registers where it happened, in the order written.
    pub registers: Vec<(String, u64)>,
    /// `machine:`: control registers that are alike on every processor, and where the kernel's heap lies.
    pub machine: Vec<(String, u64)>,
    /// `processor:`, one of each.
    pub processors: Vec<Processor>,
    /// `thread:` with its `stack:` lines; the guilty one first.
    pub threads: Vec<Thread>,
    /// `leak:`: what the driver did not free, if that is what it is about.
    pub leaks: Vec<Leak>,
    /// `counters:`: what the kernel had counted.
    pub counters: Counters,
    /// Whether `end:` was reached.
    pub complete: bool,
}

/// A processor of the report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processor {
    /// Its number.
    pub number: u32,
    /// `gs` and `vectors`, where the kernel keeps its control region and what FXSAVE64 wrote; and where it stood, if it said so.
    pub registers: Vec<(String, u64)>,
}

/// A thread of the report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thread {
    /// Its number.
    pub id: u32,
    /// `Driver` or `Kernel`: who made it.
    pub origin: String,
    /// `Running`, `Waiting`, ...
    pub state: String,
    /// The processor that it runs or ran on.
    pub cpu: u32,
    /// Its address: the driver's `PKTHREAD`.
    pub at: u64,
    /// Its stack pointer.
    pub rsp: u64,
    /// The lowest address of its stack.
    pub low: u64,
    /// The first address above its stack.
    pub high: u64,
    /// The innermost export that it is inside.
    pub inside: Option<String>,
    /// The driver's address that the export returns to; 0 if it is inside none.
    pub caller: u64,
    /// What it waits for, as `31000 ms on the SynchronizationEvent 0xffffa00000001fc0`.
    pub waits: Option<String>,
    /// RIP and RBP of a thread that ran when another one failed; otherwise zeroes.
    pub running: (u64, u64),
    /// Where [`Thread::stack`] begins.
    pub stack_start: u64,
    /// Its stack from there up, word by word.
    pub stack: Vec<u64>,
}

/// A pool block that the driver did not free.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leak {
    /// Its size in bytes.
    pub size: u64,
    /// Its tag, as text.
    pub tag: String,
    /// The return address of the call that allocated it.
    pub caller: u64,
}

impl Thread {
    /// The word at `address` of its stack.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.stack_start)?;
        let index = usize::try_from(offset / 8).ok()?;
        if offset.is_multiple_of(8) {
            self.stack.get(index).copied()
        } else {
            None
        }
    }
}

impl Dump {
    /// Reads the report out of a log; `None` if there is no `bug:` line in it.
    #[must_use]
    pub fn parse(log: &str) -> Option<Self> {
        let mut lines = log.lines();
        let (leaks, bug_line) = {
            let mut leaks = Vec::new();
            let bug_line = lines.find_map(|line| {
                leaks.extend(line.strip_prefix("leak: ").and_then(leak));
                line.strip_prefix("bug: ")
            })?;
            (leaks, bug_line)
        };
        let mut dump = Self {
            leaks,
            ..bug(bug_line)?
        };
        for line in lines {
            // A line that cannot be read is left out: the rest is worth having.
            let Some((kind, rest)) = line.split_once(": ") else {
                continue;
            };
            match kind {
                "module" => match module(rest) {
                    ("framework", place) => dump.framework = place,
                    (_, place) => dump.driver = place,
                },
                "reg" => dump.registers = registers(rest),
                "machine" => dump.machine = registers(rest),
                "processor" => dump.processors.extend(processor(rest)),
                "thread" => dump.threads.extend(thread(rest)),
                "stack" => {
                    if let Some(thread) = dump.threads.last_mut() {
                        stack(thread, rest);
                    }
                }
                "leak" => dump.leaks.extend(leak(rest)),
                "counters" => dump.counters = Counters::parse(rest),
                "end" => {
                    dump.complete = true;
                    break;
                }
                _ => {}
            }
        }
        Some(dump)
    }

    /// A register by name.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<u64> {
        find(&self.registers, name)
    }

    /// What `machine:` says under this name.
    #[must_use]
    pub fn of_machine(&self, name: &str) -> Option<u64> {
        find(&self.machine, name)
    }
}

impl Processor {
    /// A register by name.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<u64> {
        find(&self.registers, name)
    }
}

fn find(registers: &[(String, u64)], name: &str) -> Option<u64> {
    let found = registers.iter().find(|(register, _)| register == name);
    found.map(|&(_, value)| value)
}

/// Base and size of the image of that name that was loaded last, by its `module:` line; zeroes if none was.
#[must_use]
pub fn image(log: &str, name: &str) -> (u64, u64) {
    images(log, name).pop().unwrap_or_default()
}

/// The same for each time that it was loaded: no two lie in the same place.
#[must_use]
pub fn images(log: &str, name: &str) -> Vec<(u64, u64)> {
    let lines = log.lines().filter_map(|line| line.strip_prefix("module: "));
    lines
        .map(module)
        .filter_map(|(image, place)| (image == name).then_some(place))
        .collect()
}

/// The `bad-input:` line of a log: why the kernel refused to start.
#[must_use]
pub fn bad_input(log: &str) -> Option<&str> {
    log.lines().find_map(|line| line.strip_prefix("bad-input: "))
}

/// `NAME BASE SIZE`
fn module(line: &str) -> (&str, (u64, u64)) {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut numbers = rest.split_ascii_whitespace().map_while(number);
    (name, numbers.next().zip(numbers.next()).unwrap_or_default())
}

/// `CODE NAME P1 P2 P3 P4 text`
fn bug(line: &str) -> Option<Dump> {
    let mut rest = line;
    let mut word = || {
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        word
    };
    let code = u32::try_from(number(word())?).ok()?;
    let name = word().to_string();
    let parameters = [number(word())?, number(word())?, number(word())?, number(word())?];
    Some(Dump {
        code,
        name,
        parameters,
        text: rest.to_string(),
        ..Dump::default()
    })
}

/// `N gs=.. vectors=.. rip=.. ... cr8=..`
fn processor(line: &str) -> Option<Processor> {
    let (number, rest) = line.split_once(' ')?;
    Some(Processor {
        number: number.parse().ok()?,
        registers: registers(rest),
    })
}

/// `ID ORIGIN STATE cpu=N at=.. rsp=.. low=.. high=.. inside=NAME|- caller=.. rip=.. rbp=.. waits=KIND:OBJECT:MILLISECONDS|-`
fn thread(line: &str) -> Option<Thread> {
    let mut words = line.split_ascii_whitespace();
    let mut thread = Thread {
        id: words.next()?.parse().ok()?,
        origin: words.next()?.to_string(),
        state: words.next()?.to_string(),
        ..Thread::default()
    };
    for (key, value) in assignments(line) {
        match key {
            "cpu" => thread.cpu = value.parse().ok()?,
            "at" => thread.at = number(value)?,
            "rsp" => thread.rsp = number(value)?,
            "low" => thread.low = number(value)?,
            "high" => thread.high = number(value)?,
            "inside" => thread.inside = (value != "-").then(|| value.to_string()),
            "caller" => thread.caller = number(value)?,
            "waits" => thread.waits = waits(value),
            "rip" => thread.running.0 = number(value)?,
            "rbp" => thread.running.1 = number(value)?,
            _ => {}
        }
    }
    Some(thread)
}

/// `KIND:OBJECT:MILLISECONDS`; `Delay` is a wait for nothing but the time.
fn waits(text: &str) -> Option<String> {
    let mut words = text.split(':');
    let (kind, object, milliseconds) = (words.next()?, words.next()?, words.next()?);
    Some(if kind == "Delay" {
        alloc::format!("{milliseconds} ms, for its time to be over")
    } else {
        alloc::format!("{milliseconds} ms, on the {kind} {object}")
    })
}

/// `ADDRESS SIZE TAG CALLER`; a tag may contain blanks, as `'Irp '` does.
fn leak(line: &str) -> Option<Leak> {
    let (_address, rest) = line.split_once(' ')?;
    let (size, rest) = rest.split_once(' ')?;
    let (tag, caller) = rest.rsplit_once(' ')?;
    Some(Leak {
        size: number(size)?,
        tag: tag.to_string(),
        caller: number(caller)?,
    })
}

/// `ADDRESS WORD WORD WORD WORD`; lines follow one another without a gap, or the later ones are left out.
fn stack(thread: &mut Thread, line: &str) {
    let mut numbers = line.split_ascii_whitespace().map_while(number);
    let Some(address) = numbers.next() else { return };
    if thread.stack.is_empty() {
        thread.stack_start = address;
    }
    if address == thread.stack_start.wrapping_add(thread.stack.len() as u64 * 8) {
        thread.stack.extend(numbers);
    }
}

/// `name=value` words; one that cannot be read is left out.
fn registers(line: &str) -> Vec<(String, u64)> {
    assignments(line)
        .filter_map(|(name, value)| Some((name.into(), number(value)?)))
        .collect()
}

fn assignments(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split_ascii_whitespace()
        .filter_map(|word| word.split_once('='))
}

/// A hexadecimal number after `0x`.
fn number(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const LOG: &str = "\
log: rundown-lab kernel: cpus=2
dbg: hello
leak: 0xffffa00000003fc0 0x40 Rund 0xfffff80010001222
bug: 0x000000d1 DRIVER_IRQL_NOT_LESS_OR_EQUAL 0xffffa00000001ff0 0x2 0x0 0xfffff80010001234 the driver reads 0xffffa00000001ff0 at IRQL 2
module: driver 0xfffff80010000000 0x9000
module: framework 0xfffff80010019000 0xd4000
reg: rip=0xfffff80010001234 rsp=0xffff900000005000 cr8=0x2
machine: cr0=0x80010033 cr3=0x101000 cr4=0x620 heap=0xffff800000300000 heap_size=0x4000000
processor: 0 gs=0xffffffff80200000 vectors=0xffffffff80200100
processor: 1 gs=0xffffffff80201000 vectors=0xffffffff80201100 rip=0xfffff80010001234 cr8=0x2
thread: 7 Driver Running cpu=1 at=0xffff800000400000 rsp=0xffff900000005000 low=0xffff900000000000 high=0xffff900000006000 inside=- caller=0x0
stack: 0xffff900000005000 0x1 0x2 0x3 0x4
stack: 0xffff900000005020 0x5 0x6 0x7 0x8
thread: 8 Kernel Waiting cpu=0 rsp=0xffff900000015000 low=0xffff900000010000 high=0xffff900000016000 inside=KeWaitForSingleObject caller=0xfffff80010001111
end: bug
log: later
";

    #[test]
    fn a_whole_report() {
        let dump = Dump::parse(LOG).expect("there is a report");
        assert_eq!(
            (dump.code, dump.name.as_str()),
            (0xD1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL")
        );
        assert_eq!(
            dump.parameters,
            [0xFFFF_A000_0000_1FF0, 2, 0, 0xFFFF_F800_1000_1234]
        );
        assert_eq!(dump.text, "the driver reads 0xffffa00000001ff0 at IRQL 2");
        assert_eq!(dump.driver, (0xFFFF_F800_1000_0000, 0x9000));
        assert_eq!(dump.framework, (0xFFFF_F800_1001_9000, 0xD4000));
        assert_eq!(image(LOG, "driver"), dump.driver);
        assert_eq!(image(LOG, "framework"), dump.framework);
        assert_eq!(image(LOG, "another"), (0, 0));
        assert_eq!(dump.register("cr8"), Some(2));
        assert_eq!(dump.register("rbx"), None);
        assert_eq!(
            dump.leaks,
            vec![Leak {
                size: 0x40,
                tag: "Rund".to_string(),
                caller: 0xFFFF_F800_1000_1222
            }]
        );
        assert_eq!(dump.of_machine("cr3"), Some(0x10_1000));
        let stood: Vec<_> = dump
            .processors
            .iter()
            .map(|processor| (processor.number, processor.register("rip")))
            .collect();
        assert_eq!(stood, [(0, None), (1, Some(0xFFFF_F800_1000_1234))]);
        assert_eq!(
            dump.processors[1].register("vectors"),
            Some(0xFFFF_FFFF_8020_1100)
        );
        assert!(dump.complete);
        let [first, second] = &dump.threads[..] else {
            panic!("two threads")
        };
        assert_eq!(first.stack, vec![1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            (first.at, first.low),
            (0xFFFF_8000_0040_0000, 0xFFFF_9000_0000_0000)
        );
        assert_eq!(first.word(0xFFFF_9000_0000_5028), Some(6));
        assert_eq!(first.word(0xFFFF_9000_0000_5040), None);
        assert_eq!(first.word(0xFFFF_9000_0000_4FF8), None);
        assert_eq!(first.inside, None);
        assert_eq!(second.inside.as_deref(), Some("KeWaitForSingleObject"));
        assert_eq!((second.id, second.caller), (8, 0xFFFF_F800_1000_1111));
    }

    #[test]
    fn every_truncation_gives_what_there_is() {
        for end in 0..LOG.len() {
            let dump = Dump::parse(&LOG[..end]);
            assert_eq!(
                dump.as_ref().is_some_and(|d| d.complete),
                end >= LOG.find("end: bug").unwrap_or(0) + 5,
                "{end}"
            );
        }
        assert_eq!(Dump::parse("log: nothing happened\n"), None);
    }

    #[test]
    fn a_gap_in_a_stack_ends_it() {
        let log = "bug: 0x1 X 0x0 0x0 0x0 0x0 t\nthread: 1 Driver Running cpu=0\nstack: 0x1000 0x1 0x2 0x3 0x4\nstack: 0x1040 0x9 0x9 0x9 0x9\n";
        let dump = Dump::parse(log).expect("there is a report");
        assert_eq!(dump.threads[0].stack, vec![1, 2, 3, 4]);
    }

    #[test]
    fn bad_input_is_found() {
        assert_eq!(bad_input("log: x\nbad-input: a word\n"), Some("a word"));
        assert_eq!(bad_input(LOG), None);
    }
}
