//! QEMU's machine protocol, for a machine that no longer reacts: where each of its processors stands, and an NMI that asks the kernel to
//! report by itself. Source: QEMU's QMP reference manual (`stop`, `cont`, `memsave`, `inject-nmi`, `human-monitor-command`).

use lab_wire::dump::HOST_ASKS;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long QEMU may take to answer: it stops its processors first, and a busy host takes its time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a stack is read: a whole kernel stack of x64 Windows.
const STACK: u64 = 24 * 1024;
/// COM1's scratch register.
const SCRATCH: u16 = 0x3FF;
/// The general registers that are shown, as `info registers` names them.
const REGISTERS: [&str; 18] = [
    "RIP", "RSP", "RFL", "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R8", "R9", "R10", "R11", "R12",
    "R13", "R14", "R15",
];

/// Where a processor stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processor {
    /// Its number.
    pub number: u32,
    /// Its registers by name, in small letters: the general ones, `cr2`, and `cr8` as the APIC has it.
    pub registers: Vec<(String, u64)>,
    /// Whether it sleeps in HLT.
    pub halted: bool,
    /// The interrupts that it serves, and those that it has not taken, as QEMU prints them.
    pub interrupts: [String; 2],
    /// Its stack from RSP up.
    pub stack: Vec<u64>,
}

impl Processor {
    /// A register by name.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<u64> {
        let found = self.registers.iter().find(|(register, _)| register == name);
        found.map(|&(_, value)| value)
    }
}

/// The line to QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Takes QEMU's end of the line into use.
    ///
    /// # Errors
    /// One line: QEMU does not answer, or not as it should. So with the other functions.
    pub fn new(stream: UnixStream) -> Result<Self, String> {
        let timeout = stream.set_read_timeout(Some(PATIENCE));
        timeout.map_err(|e| format!("QEMU's control line has no time limit: {e}"))?;
        let mut qmp = Self {
            stream: BufReader::new(stream),
        };
        qmp.message()?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Stops the machine, looks at `cpus` processors, and lets it go on. `folder` is for QEMU's files.
    ///
    /// # Errors
    /// As [`Qmp::new`].
    pub fn processors(&mut self, cpus: u32, folder: &Path) -> Result<Vec<Processor>, String> {
        self.execute("stop", &json!({}))?;
        let processors = (0..cpus).map(|number| self.processor(number, folder)).collect();
        self.execute("cont", &json!({}))?;
        processors
    }

    /// Asks the kernel for its report, by an NMI that it knows to be the host's.
    ///
    /// # Errors
    /// As [`Qmp::new`].
    pub fn ask_for_report(&mut self) -> Result<(), String> {
        self.human(0, &format!("o/b {SCRATCH:#x} {HOST_ASKS:#x}"))?;
        self.execute("inject-nmi", &json!({})).map(drop)
    }

    fn processor(&mut self, number: u32, folder: &Path) -> Result<Processor, String> {
        let registers = self.human(number, "info registers")?;
        let apic = self.human(number, &format!("info lapic {number}"))?;
        let mut processor = parse(number, &registers, &apic);
        if let Some(rsp) = processor.register("rsp") {
            processor.stack = self.memory(number, rsp & !7, folder)?;
        }
        Ok(processor)
    }

    /// What can be read from `address` on.
    fn memory(&mut self, cpu: u32, address: u64, folder: &Path) -> Result<Vec<u64>, String> {
        let file = folder.join("memory");
        let arguments = json!({
            "val": address.cast_signed(), "size": STACK, "filename": file.to_string_lossy(), "cpu-index": cpu
        });
        // At the end of what is mapped it fails, and has written what is before.
        let _ = self.execute("memsave", &arguments)?;
        let bytes = std::fs::read(&file).unwrap_or_default();
        Ok(bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect())
    }

    /// A command of the monitor for people, and what it prints.
    fn human(&mut self, cpu: u32, line: &str) -> Result<String, String> {
        let arguments = json!({ "command-line": line, "cpu-index": cpu });
        let answer = self.execute("human-monitor-command", &arguments)?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Carries a command out. One that fails answers with nothing: what can be had of a machine in trouble is worth having.
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, String> {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{line}").map_err(|e| format!("QEMU does not listen: {e}"))?;
        loop {
            let mut message = self.message()?;
            // Anything else is an event.
            if message.get("error").is_some() {
                return Ok(Value::Null);
            }
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    fn message(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err("QEMU has closed its control line".into()),
            Ok(_) => serde_json::from_str(&line).map_err(|e| format!("QEMU's answer is no JSON: {e}")),
            Err(e) => Err(format!(
                "QEMU itself does not answer within {} s: {e}",
                PATIENCE.as_secs()
            )),
        }
    }
}

/// Reads what `info registers` and `info lapic` print.
fn parse(number: u32, registers: &str, apic: &str) -> Processor {
    let value = |name: &str| {
        // `RIP=..` and `R8 =..`; the letter before would make it another register.
        let digits = registers.match_indices(name).find_map(|(start, _)| {
            let before = registers[..start].chars().next_back();
            let after = registers[start + name.len()..]
                .trim_start_matches(' ')
                .strip_prefix('=')?;
            before.is_none_or(char::is_whitespace).then_some(after)
        })?;
        let end = digits
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(digits.len());
        u64::from_str_radix(&digits[..end], 16).ok()
    };
    let after = |name: &str| -> Option<&str> {
        let rest = &apic[apic.find(name)? + name.len()..];
        rest.lines().next().map(str::trim)
    };
    // CR8 is the upper half of the task priority register.
    let priority = after("TPR 0x").and_then(|rest| u64::from_str_radix(rest.get(..2)?, 16).ok());
    let general = REGISTERS
        .iter()
        .filter_map(|name| Some((name.to_lowercase(), value(name)?)));
    let control = [
        ("cr2", value("CR2")),
        ("cr8", priority.map(|priority| priority >> 4)),
    ];
    let control = control
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Processor {
        number,
        registers: general.chain(control).collect(),
        halted: value("HLT") == Some(1),
        interrupts: ["ISR", "IRR"].map(|name| after(name).unwrap_or("?").to_owned()),
        stack: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 7.2 prints them, shortened.
    const PRINTED: &str = "\r\nCPU#1\r\nRAX=ffff8000fee00300 RBX=ffffffff8019b980 RCX=0000000000000002 RDX=ffffffff8019b8e8\r\n\
        R8 =0000000000000004 R9 =ffff800000238c40 R10=ffff8000041a0000 R11=0000000003f673b8\r\n\
        RIP=ffffffff80157a12 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n\
        CR0=80010033 CR2=0000000000000008 CR3=0000000000101000 CR4=00000620\r\n";
    const APIC: &str = "ISR\t 209\r\nIRR\t (none)\r\n\r\nAPR 0x00 TPR 0x20 DFR 0x0f LDR 0x00 PPR 0x00\r\n";

    #[test]
    fn what_qemu_prints_is_read() {
        let processor = parse(1, PRINTED, APIC);
        for (name, value) in [
            ("rip", 0xFFFF_FFFF_8015_7A12),
            ("r8", 4),
            ("r11", 0x03F6_73B8),
            ("cr2", 8),
            ("cr8", 2),
        ] {
            assert_eq!(processor.register(name), Some(value), "{name}");
        }
        assert_eq!(processor.register("rsp"), None);
        assert!(processor.halted);
        assert_eq!(processor.interrupts, ["209", "(none)"]);
    }

    #[test]
    fn another_versions_words_do_no_harm() {
        assert_eq!(parse(0, "", "").registers, []);
        assert_eq!(parse(0, "RIP=", "TPR 0x").registers, []);
    }

    /// QEMU is played by a thread: events come between, and a command that fails is no error.
    #[test]
    fn answers_are_told_from_events() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let player = std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            writeln!(theirs, r#"{{"QMP": {{}}}}"#).unwrap();
            for answer in [
                r#"{"return": {}}"#,
                r#"{"event": "STOP"}{"return": "text"}"#,
                r#"{"error": {"class": "GenericError"}}"#,
            ] {
                lines.next().unwrap().unwrap();
                writeln!(theirs, "{}", answer.replace("}{", "}\n{")).unwrap();
            }
        });
        let mut qmp = Qmp::new(ours).unwrap();
        assert_eq!(qmp.human(0, "x").unwrap(), "text");
        assert_eq!(qmp.execute("y", &json!({})).unwrap(), Value::Null);
        player.join().unwrap();
        assert!(qmp.human(0, "z").is_err(), "it is gone");
    }
}
