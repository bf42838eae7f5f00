//! What the command line asks for: `key=value` words. An unknown word is refused, for a typing error must not pass as a test.

use crate::hal::{MAX_PROCESSORS, power};
use crate::log;
use core::cell::UnsafeCell;

/// The clock's tick, microseconds.
pub const TICK: u64 = 1000;
/// The longest command line, bytes.
pub const MAX_COMMAND_LINE: usize = 2048;

/// How hard the executive provokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Ordinary scheduling with random quanta and a rare delay.
    Smp,
    /// Delays and forced preemption at every export, and within single instructions of the driver.
    Chaos,
    /// As [`Mode::Chaos`], on a machine that counts instructions instead of time: the digest of the run is kept.
    Replay,
    /// Nothing is provoked, on a machine that counts instructions: how long something takes is exact.
    Counted,
}

impl Mode {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smp => "smp",
            Self::Chaos => "chaos",
            Self::Replay => "replay",
            Self::Counted => "counted",
        }
    }

    /// Whether the driver is stepped through, and preempted where that hurts.
    pub const fn provokes(self) -> bool {
        matches!(self, Self::Chaos | Self::Replay)
    }
}

/// How far the native wait block is from what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Not at all.
    No,
    /// It has a field before all others.
    Shifted,
    /// What is published is no address of the waiter's stack, nor of anything that is mapped.
    Elsewhere,
}

/// A check by which the lab is stricter than Windows; each can be turned off (`allow=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An export is called above the IRQLs of its page, where Windows itself does not look.
    Irql,
    /// A wait that can end early on an object that lies on a stack.
    WaitOnStack,
    /// A wait for a mutex in `UserMode`.
    MutexWaitMode,
    /// A handle is made in a client's process without `OBJ_KERNEL_HANDLE`.
    UserHandle,
    /// Spin locks are taken in two orders.
    LockOrder,
    /// Pageable memory is gone while the driver is at `DISPATCH_LEVEL`.
    Paging,
    /// `ExWaitForRundownProtectionRelease` is called at `DISPATCH_LEVEL`, where NT's own code polls.
    RundownWait,
    /// A driver unloads without a `KeFlushQueuedDpcs` since its last DPC, which NT waits for itself before it unmaps the image.
    UnflushedDpc,
}

impl Rule {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 8] = [
        ("irql", Self::Irql),
        ("wait-on-stack", Self::WaitOnStack),
        ("mutex-wait-mode", Self::MutexWaitMode),
        ("user-handle", Self::UserHandle),
        ("lock-order", Self::LockOrder),
        ("paging", Self::Paging),
        ("rundown-wait", Self::RundownWait),
        ("unflushed-dpc", Self::UnflushedDpc),
    ];
}

/// What becomes of imports that the lab does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The driver is loaded, and a call of one is a bug check with its name.
    Trap,
    /// The driver is not loaded.
    Refuse,
}

/// A short name; the command line that it stands on does not stay.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Name {
    const LONGEST: usize = 40;
    const EMPTY: Self = Self {
        bytes: [0; Self::LONGEST],
        length: 0,
    };

    fn new(text: &str) -> Option<Self> {
        let mut name = Self {
            length: text.len(),
            ..Self::EMPTY
        };
        name.bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// A run's configuration.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a word of the command line")]
pub struct Config {
    /// Processors, 1 to 64 (`cpus=`).
    pub cpus: usize,
    /// Seed of everything random (`seed=`).
    pub seed: u64,
    /// How hard to provoke (`mode=smp|chaos|replay|counted`).
    pub mode: Mode,
    /// Whether `ProcessorFeatures[35]` is set (`monitorx=0|1`).
    pub monitorx: bool,
    /// `UnparkedProcessorCount` (`unparked=`), the number of processors unless given.
    pub unparked: Option<u16>,
    /// `CyclesPerYield` (`cpy=`).
    pub cycles_per_yield: u16,
    /// `ExpSpinCycleCount` of the native routines on more than one processor, TSC cycles (`spin=`).
    pub spin: u32,
    /// Rules that may be broken (`allow=RULE,...`), by their numbers' bits.
    pub allowed: u32,
    /// What becomes of imports that the lab does not have (`missing=trap|refuse`).
    pub missing: Missing,
    /// Whether the driver is told that Driver Verifier checks it (`verifier=0|1`).
    pub verifier: bool,
    /// What `KeQueryMaximumProcessorCountEx` says (`maxcpus=`), the number of processors unless given.
    pub maximum_cpus: Option<u32>,
    /// Whether the native wait block is as no known system has it (`foreign=0|1|2`).
    pub foreign_layout: Foreign,
    /// Offsets in the driver's image of watched `mov r64, cr8` and `rdtsc` (`watch=0x..,0x..`), four at most.
    pub watch: [u64; 4],
    /// How many of them.
    pub watch_count: usize,
    /// Milliseconds after which a wait on a stack event that can no longer be woken is a lost wake-up (`grace=`).
    pub grace: u64,
    /// Milliseconds after which any wait on a stack event is a hang (`hang=`).
    pub hang: u64,
    /// Milliseconds that code may stay at `DISPATCH_LEVEL` or above (`raised=`).
    pub raised: u64,
    /// The whole run's limit in seconds, 0 for none (`timeout=`).
    pub timeout: u64,
    /// Whether the driver is started and stopped with each creation of a start failing once, before it is served (`sweepstart`).
    pub sweep_start: bool,
    /// Whether to write the timeline (`trace`).
    pub trace: bool,
    /// Whether to list what drivers can import, and nothing else (`exports`).
    pub exports: bool,
    /// Whether to try out what the machine can do, and nothing else (`probe`).
    pub probe: bool,
    /// Whether to test the kernel itself (`selftest`).
    pub selftest: bool,
    /// Which specimen a bare driver is to be (`case=`): the last word of its registry path.
    pub case: Name,
    /// The module that came with `-initrd`; empty if none did.
    pub module: &'static [u8],
}

impl Config {
    const fn new(module: &'static [u8]) -> Self {
        Self {
            cpus: 1,
            seed: 1,
            mode: Mode::Smp,
            monitorx: true,
            unparked: None,
            cycles_per_yield: 140,
            spin: 10_240,
            allowed: 0,
            missing: Missing::Trap,
            verifier: false,
            maximum_cpus: None,
            foreign_layout: Foreign::No,
            watch: [0; 4],
            watch_count: 0,
            grace: 2000,
            hang: 30_000,
            raised: 20_000,
            timeout: 0,
            sweep_start: false,
            trace: false,
            exports: false,
            probe: false,
            selftest: false,
            case: Name::EMPTY,
            module,
        }
    }

    /// `ExpSpinCycleCount`: on one processor nobody spins.
    pub fn spin_cycles(&self) -> u32 {
        if self.cpus > 1 { self.spin } else { 0 }
    }

    /// The watched addresses of a driver that lies at `base`; 0 for none.
    pub fn watched(&self, base: u64) -> [u64; 4] {
        let mut addresses = [0; 4];
        for (address, offset) in addresses.iter_mut().zip(&self.watch[..self.watch_count]) {
            *address = base + offset;
        }
        addresses
    }

    /// The most processors that the machine may come to have.
    pub fn maximum_cpus(&self) -> u32 {
        self.maximum_cpus.unwrap_or(self.cpus as u32)
    }

    /// What `UnparkedProcessorCount` says.
    pub fn unparked(&self) -> u16 {
        self.unparked.unwrap_or(self.cpus as u16)
    }

    fn set(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "cpus" => self.cpus = number(value).filter(|n| (1..=MAX_PROCESSORS as u64).contains(n))? as usize,
            "seed" => self.seed = number(value)?,
            "mode" => {
                self.mode = match value {
                    "smp" => Mode::Smp,
                    "chaos" => Mode::Chaos,
                    "replay" => Mode::Replay,
                    "counted" => Mode::Counted,
                    _ => return None,
                }
            }
            "monitorx" => self.monitorx = number(value).filter(|&n| n <= 1)? == 1,
            "unparked" => self.unparked = Some(number(value)?.try_into().ok()?),
            "cpy" => self.cycles_per_yield = number(value)?.try_into().ok()?,
            "spin" => self.spin = number(value)?.try_into().ok()?,
            "allow" => {
                for name in value.split(',') {
                    let (_, rule) = Rule::ALL.into_iter().find(|(known, _)| *known == name)?;
                    self.allowed |= 1 << rule as u32;
                }
            }
            "missing" => {
                self.missing = match value {
                    "trap" => Missing::Trap,
                    "refuse" => Missing::Refuse,
                    _ => return None,
                }
            }
            "verifier" => self.verifier = number(value).filter(|&n| n <= 1)? == 1,
            "maxcpus" => self.maximum_cpus = Some(number(value)?.try_into().ok()?),
            "foreign" => {
                self.foreign_layout = match number(value)? {
                    0 => Foreign::No,
                    1 => Foreign::Shifted,
                    2 => Foreign::Elsewhere,
                    _ => return None,
                }
            }
            "watch" => {
                for address in value.split(',') {
                    *self.watch.get_mut(self.watch_count)? = number(address)?;
                    self.watch_count += 1;
                }
            }
            "grace" => self.grace = number(value)?,
            "hang" => self.hang = number(value)?,
            "raised" => self.raised = number(value)?,
            "timeout" => self.timeout = number(value)?,
            "sweepstart" => self.sweep_start = true,
            "trace" => self.trace = true,
            "exports" => self.exports = true,
            "probe" => self.probe = true,
            "selftest" => self.selftest = true,
            "case" => self.case = Name::new(value)?,
            _ => return None,
        }
        Some(())
    }
}

/// Whether the rule may be broken in this run.
pub fn allows(rule: Rule) -> bool {
    get().allowed >> rule as u32 & 1 != 0
}

/// A decimal number, or a hexadecimal one after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Written once, by `install`, before any other processor or thread exists.
struct Installed(UnsafeCell<Config>);

// SAFETY: only read once `install` has returned.
unsafe impl Sync for Installed {}

static CONFIG: Installed = Installed(UnsafeCell::new(Config::new(&[])));

/// Reads the command line, or says which word is wrong and switches off. For boot, before there is a heap.
pub(crate) fn install(line: &[u8], module: &'static [u8]) -> &'static Config {
    let mut config = Config::new(module);
    for word in line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()) {
        let word = core::str::from_utf8(word).unwrap_or("not UTF-8");
        if config.set(word).is_none() {
            log!(
                "bad-input: the kernel's command line has '{word}', which it does not know; see config.rs for the keys"
            );
            power::power_off(power::Exit::BadInput);
        }
    }
    // SAFETY: boot calls this once, alone on the machine, before `get`.
    unsafe { *CONFIG.0.get() = config };
    get()
}

/// This run's configuration.
pub fn get() -> &'static Config {
    // SAFETY: `install` has written it, and nobody writes it again.
    unsafe { &*CONFIG.0.get() }
}
