//! A driver that exists only here: it follows the protocol, counts by rule instead of working, and misbehaves on demand.

use rundown_abi::{
    Arm, Code, CodeQuery, ConformanceResult, ConformanceRun, Header, Info, InfoRequest, InteropCheck,
    InteropResult, InteropRun, Latency, Limits, ObjectLimits, ObjectLimitsRequest, Observed, Operation,
    Refusal, Request, RunState, SHARES, SpinPath, Stall, StressArmQuery, StressArmResult, StressQuery,
    StressResult, StressStart, StressStarted, StressTurns, StressTurnsQuery, TURNS_PER_ANSWER, TraceStep,
    Turn, Violations, WaysOut, Workload, ioctl, limits, parse,
};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// The number of its only run.
const RUN: u64 = 42;
/// What a failed check of interoperation had to find, and what it found.
pub(crate) const EXPECTED: u64 = 31;
pub(crate) const FOUND: u64 = 57;

/// What the driver does, and what was done to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Driver {
    /// How often a run is asked for before it is done.
    pub(crate) polls_until_done: u32,
    /// What it reports of every run, and of every arm.
    pub(crate) violations: Violations,
    pub(crate) arm_violations: Violations,
    pub(crate) stall: Stall,
    /// The check of interoperation that fails.
    pub(crate) fails: Option<InteropCheck>,
    /// The comparison whose seed this is differs.
    pub(crate) differs_at: Option<u64>,
    /// How often a run was asked for.
    pub(crate) polls: u32,
    /// The run was stopped.
    pub(crate) stopped: bool,
    /// The last run that was started.
    pub(crate) start: Option<StressStart>,
}

type Answer = Result<Vec<u8>, u32>;

fn bytes(answer: &(impl IntoBytes + Immutable)) -> Vec<u8> {
    answer.as_bytes().to_vec()
}

fn asked<T: Request>(input: &[u8]) -> Result<T, u32> {
    parse::<T>(input).map_err(Refusal::status)
}

/// `prefetchw [rcx]; ret`, and a release that is `ret`.
fn machine_code(query: &CodeQuery) -> Code {
    let mut code = Code::new_zeroed();
    code.header = Header::of::<Code>();
    code.kind = query.kind;
    (code.acquire_length, code.release_length) = (4, 1);
    code.acquire[..4].copy_from_slice(&[0x0f, 0x0d, 0x09, 0xc3]);
    code.release[0] = 0xc3;
    code
}

/// An operation costs as many cycles as this, in every workload: ours a little less than the system's.
const fn cycles(arm: Arm) -> u64 {
    match arm {
        Arm::EmptyCall => 5,
        Arm::LockXadd => 40,
        Arm::Ours => 45,
        Arm::OursWide => 42,
        Arm::OursCacheAware => 60,
        Arm::Native => 50,
        Arm::NativeCacheAware => 66,
        Arm::OursWideCacheAware => 52,
        Arm::OursDispatch => 30,
    }
}

fn latency(median: u64) -> Latency {
    Latency {
        samples: 1_000,
        sum: 1_100 * median,
        max: median * 1_000,
        // Half of the samples at the median, and a tail that grows by its rarity.
        quantiles: SHARES.map(|share| median.max(median * 1_000 / (10_000 - u64::from(share)))),
    }
}

impl Driver {
    /// Carries a request out: the answer's bytes, or the NTSTATUS.
    pub(crate) fn request(&mut self, code: u32, input: &[u8], capacity: usize) -> Answer {
        let answer = match code {
            ioctl::QUERY_INFO => asked::<InfoRequest>(input).map(|_| bytes(&info())),
            ioctl::QUERY_CODE => asked(input).map(|query| bytes(&machine_code(&query))),
            ioctl::STRESS_START => asked(input).map(|start| self.start(start)),
            ioctl::STRESS_RESULT => self.of_run(input).map(|start| self.result(&start)),
            ioctl::STRESS_STOP => self.of_run(input).map(|_| {
                self.stopped = true;
                Vec::new()
            }),
            ioctl::OBJECT_LIMITS => asked::<ObjectLimitsRequest>(input).map(|_| bytes(&object_limits())),
            ioctl::CONFORMANCE_RUN => asked(input).map(|run: ConformanceRun| self.conform(&run)),
            ioctl::INTEROP_RUN => asked(input).map(|run: InteropRun| self.interoperate(&run)),
            ioctl::STRESS_ARM => asked(input).and_then(|query: StressArmQuery| self.arm(&query)),
            ioctl::STRESS_TURNS => asked(input).and_then(|query: StressTurnsQuery| self.turns(&query)),
            _ => Err(Refusal::UnknownCode.status()),
        }?;
        if answer.len() > capacity {
            return Err(Refusal::OutputTooSmall.status());
        }
        Ok(answer)
    }

    fn start(&mut self, start: StressStart) -> Vec<u8> {
        self.start = Some(start);
        self.polls = 0;
        self.stopped = false;
        bytes(&StressStarted {
            header: Header::of::<StressStarted>(),
            run: RUN,
        })
    }

    fn of_run(&self, input: &[u8]) -> Result<StressStart, u32> {
        let query: StressQuery = asked(input)?;
        self.start
            .filter(|_| query.run == RUN)
            .ok_or(Refusal::NoSuchRun.status())
    }

    fn result(&mut self, start: &StressStart) -> Vec<u8> {
        self.polls += 1;
        let state = match (self.stopped, self.polls > self.polls_until_done) {
            (true, _) => RunState::Stopped,
            (_, true) => RunState::Finished,
            _ => RunState::Running,
        };
        let has_owner = Workload::from_wire(start.workload).is_some_and(Workload::has_owner);
        bytes(&StressResult {
            header: Header::of::<StressResult>(),
            run: RUN,
            state: state as u32,
            arms: start.arms,
            microseconds: u64::from(start.milliseconds) * 1000,
            acquires: u64::from(self.polls) * 1000,
            refused: 3,
            generations: if has_owner { 7 } else { 0 },
            contested: if has_owner { 5 } else { 0 },
            ways_out: ways_out(has_owner),
            violations: self.violations,
            stall: self.stall,
            turns_done: start.turns(),
            turns: start.turns(),
            arm: if state == RunState::Running {
                start.arms.trailing_zeros() + 1
            } else {
                0
            },
            marks: 0,
        })
    }

    fn arm(&self, query: &StressArmQuery) -> Answer {
        let start = self
            .start
            .filter(|_| query.run == RUN)
            .ok_or(Refusal::NoSuchRun.status())?;
        let arm = Arm::of_set(start.arms)
            .find(|arm| *arm as u32 == query.arm)
            .ok_or(Refusal::Arm.status())?;
        let has_owner = Workload::from_wire(start.workload).is_some_and(Workload::has_owner);
        Ok(bytes(&StressArmResult {
            header: Header::of::<StressArmResult>(),
            run: RUN,
            arm: query.arm,
            turns_done: start.rounds * 2,
            acquires: u64::from(self.polls) * 1000 / u64::from(start.arms.count_ones()),
            refused: 3,
            generations: if has_owner { 7 } else { 0 },
            contested: if has_owner { 5 } else { 0 },
            ways_out: ways_out(has_owner && !arm.is_native()),
            violations: self.arm_violations,
            operation: latency(cycles(arm)),
            hand_over: if has_owner {
                latency(cycles(arm) * 30)
            } else {
                Latency::default()
            },
        }))
    }

    /// One step of three is an acquire, one a release, one a wait; a difference shows at the seventh.
    fn conform(&self, run: &ConformanceRun) -> Vec<u8> {
        let differs = self.differs_at == Some(run.seed);
        let steps = if differs { 7 } else { u64::from(run.steps) };
        let mut result = ConformanceResult::new_zeroed();
        result.header = Header::of::<ConformanceResult>();
        result.seed = run.seed;
        result.steps = steps;
        result.counts.granted = steps / 3;
        result.counts.released = steps / 3;
        result.counts.waits = steps / 3;
        if differs {
            result.differences = 1;
            result.trace_length = 1;
            result.trace[0] = TraceStep {
                step: 6,
                operation: Operation::ReleaseEx as u32,
                count: 2,
                ours: Observed {
                    word: 4,
                    references: 2,
                    ..Observed::default()
                },
                native: Observed {
                    word: 2,
                    references: 1,
                    ..Observed::default()
                },
            };
        }
        bytes(&result)
    }

    /// The rounds, or what differs in the first of them.
    fn interoperate(&self, run: &InteropRun) -> Vec<u8> {
        let rounds = if self.fails.is_some() {
            0
        } else {
            u64::from(run.rounds)
        };
        bytes(&InteropResult {
            header: Header::of::<InteropResult>(),
            pairing: run.pairing,
            differences: u32::from(self.fails.is_some()),
            rounds,
            checks: rounds * 9,
            references: rounds * 8,
            failed: self.fails.map_or(0, |check| check as u32),
            reserved: 0,
            expected: self.fails.map_or(0, |_| EXPECTED),
            found: self.fails.map_or(0, |_| FOUND),
        })
    }

    fn turns(&self, query: &StressTurnsQuery) -> Answer {
        let start = self
            .start
            .filter(|_| query.run == RUN)
            .ok_or(Refusal::NoSuchRun.status())?;
        let arms: Vec<_> = Arm::of_set(start.arms).collect();
        let nanoseconds = start.turn_microseconds() * 1000;
        let all = (0..start.rounds).flat_map(|round| {
            let forth_and_back = arms.iter().chain(arms.iter().rev());
            forth_and_back.map(move |&arm| Turn {
                arm: arm as u32,
                round,
                operations: nanoseconds * 3 * u64::from(start.threads)
                    / (cycles(arm) + u64::from(round % 3) + u64::from(start.hold_cycles) / 2),
                generations: 7,
                nanoseconds,
                cycles: nanoseconds * 3,
            })
        });
        let mut told = StressTurns::new_zeroed();
        told.header = Header::of::<StressTurns>();
        told.run = RUN;
        told.done = start.turns();
        for (slot, turn) in told
            .turns
            .iter_mut()
            .zip(all.skip(query.first as usize).take(TURNS_PER_ANSWER))
        {
            *slot = turn;
            told.count += 1;
        }
        Ok(bytes(&told))
    }
}

fn object_limits() -> ObjectLimits {
    ObjectLimits {
        header: Header::of::<ObjectLimits>(),
        objects: limits::OBJECTS,
        waits: limits::WAITS,
        references: limits::REFERENCES,
        steps: limits::STEPS,
        bytes: limits::BYTES,
        objects_now: 0,
        waits_now: 0,
        bytes_now: 0,
    }
}

fn ways_out(waits: bool) -> WaysOut {
    if waits {
        WaysOut {
            drained: 2,
            pause: 3,
            event: 1,
            late: 1,
            ..WaysOut::default()
        }
    } else {
        WaysOut::default()
    }
}

fn info() -> Info {
    Info {
        header: Header::of::<Info>(),
        driver_version: [0, 1, 0],
        unparked_processors: 4,
        os_version: [10, 0, 19041],
        processors: 4,
        groups: 1,
        cycles_per_yield: 140,
        monitorx: 0,
        verifier: 0,
        spin_cycles: 100_000,
        spin_path: SpinPath::Pause as u32,
        hypervisor: *b"FakeFakeFake",
        reserved: 0,
        limits: Limits::DEFAULT,
        performance_frequency: 10_000_000,
        cycle_frequency: 3_000_000_000,
    }
}
