//! Events for ETW: one per run, turn and stalled wait, one per comparison, never one per operation.
//!
//! They describe themselves (`TraceLogging`), so whoever records them needs no manifest; docs/events.md says how, and lists
//! their fields. Who may record is the system's to say, not the driver's, so no field is an address. What the system
//! answers to an event is not looked at: a lost event changes nothing.

use rundown_abi::{ConformanceResult, ConformanceRun, InteropResult, InteropRun, StressStart};
use rundown_stress::Tally;
use tracelogging::{define_provider, write_event};

use crate::kernel::spin_budget;

// The GUID is derived from the name, so a recorder may be given either.
define_provider!(PROVIDER, "Rundown.Driver");

/// Registers the provider. The driver does without when that fails: then nothing is written.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// [`unregister`] is called before the driver is unloaded, and this once before it.
#[unsafe(link_section = "INIT")]
pub(crate) unsafe fn register() {
    // SAFETY: the caller takes the registration back before the image goes, and the provider is a static.
    let status = unsafe { PROVIDER.register() };
    if status != 0 {
        wdk::println!("rundown: no events for ETW: {status:#010x}");
    }
}

/// Takes the registration back, if there is one. No event is written from then on.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn unregister() {
    PROVIDER.unregister();
}

/// A run's threads begin their work.
///
/// # IRQL
/// Any; the same holds for the events below.
pub(crate) fn run_started(run: u64, start: &StressStart) {
    write_event!(
        PROVIDER,
        "RunStarted",
        level(Informational),
        keyword(0x1),
        u64("Run", &run),
        u32_hex("Arms", &start.arms),
        u32("Workload", &start.workload),
        u32("Threads", &start.threads),
        u32("Waiter", &start.waiter),
        u32("Milliseconds", &start.milliseconds),
        u32("Rounds", &start.rounds),
        u64("Seed", &start.seed),
        u32("SpinCycles", &spin_budget::get()),
    );
}

/// A turn is over; the figures are the arm's since the run began.
pub(crate) fn turn_finished(run: u64, turn: u32, arm: u32, tally: &Tally) {
    write_event!(
        PROVIDER,
        "TurnFinished",
        level(Verbose),
        keyword(0x1),
        u64("Run", &run),
        u32("Turn", &turn),
        u32("Arm", &arm),
        u64("Acquires", &tally.acquires),
        u64("Refused", &tally.refused),
        u64("Generations", &tally.generations),
    );
}

/// How far a run came.
pub(crate) struct Finish {
    pub(crate) run: u64,
    pub(crate) turns_done: u32,
    pub(crate) turns: u32,
    pub(crate) microseconds: u64,
    /// The sum over its arms.
    pub(crate) tally: Tally,
    /// Waits that were reported as stalled.
    pub(crate) stalls: u64,
}

/// A run has ended, by itself or because it was told to.
pub(crate) fn run_finished(finish: &Finish) {
    let tally = &finish.tally;
    write_event!(
        PROVIDER,
        "RunFinished",
        level(Informational),
        keyword(0x1),
        u64("Run", &finish.run),
        u32("TurnsDone", &finish.turns_done),
        u32("Turns", &finish.turns),
        u64("Microseconds", &finish.microseconds),
        u64("Acquires", &tally.acquires),
        u64("Refused", &tally.refused),
        u64("Generations", &tally.generations),
        u64("Contested", &tally.contested),
        u64("Drained", &tally.waits.drained),
        u64("Mwaitx", &tally.waits.mwaitx),
        u64("Pause", &tally.waits.pause),
        u64("Dispatch", &tally.waits.dispatch),
        u64("Event", &tally.waits.event),
        u64("Late", &tally.waits.late),
        u64("Poisoned", &tally.poisoned),
        u64("Inside", &tally.inside),
        u64("Stalls", &finish.stalls),
    );
}

/// A wait lasts too long, and goes on.
pub(crate) fn wait_stalled(run: u64, arm: u32, holders: u64, milliseconds: u64) {
    write_event!(
        PROVIDER,
        "WaitStalled",
        level(Warning),
        keyword(0x1),
        u64("Run", &run),
        u32("Arm", &arm),
        u64_hex("Holders", &holders),
        u64("Milliseconds", &milliseconds),
    );
}

/// A comparison in lock-step is over.
pub(crate) fn conformance_ended(run: &ConformanceRun, result: &ConformanceResult) {
    write_event!(
        PROVIDER,
        "ConformanceEnded",
        level(Informational),
        keyword(0x2),
        u32("Pair", &run.pair),
        u64("Seed", &run.seed),
        u64("Steps", &result.steps),
        u32("Differences", &result.differences),
    );
}

/// A comparison on one word is over.
pub(crate) fn interop_ended(run: &InteropRun, result: &InteropResult) {
    write_event!(
        PROVIDER,
        "InteropEnded",
        level(Informational),
        keyword(0x2),
        u32("Pairing", &run.pairing),
        u64("Seed", &run.seed),
        u64("Rounds", &result.rounds),
        u64("Checks", &result.checks),
        u32("Differences", &result.differences),
    );
}
