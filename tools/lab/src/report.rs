//! What a run came to: the report as JSON, for scripts. Field by field in `docs/lab-pipe.md`.

use crate::events::Events;
use lab_wire::counters::Counters;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// No bug check, no leak, and the machine went off by itself.
    pub passed: bool,
    /// Virtual processors.
    pub cpus: u32,
    /// The seed of every random choice.
    pub seed: u64,
    /// `smp`, `chaos`, `replay` or `counted`.
    pub mode: &'static str,
    /// Wall-clock time of the whole run.
    pub seconds: f64,
    /// Wall-clock time from QEMU's start to the ready line; `None` if that never came.
    pub boot_milliseconds: Option<u64>,
    /// How the machine died, if it did.
    pub bugcheck: Option<Bugcheck>,
    /// Pool blocks that the driver had not freed when it was unloaded.
    pub leaks: usize,
    /// What was left behind, or why the device did not start: one line each.
    pub findings: Vec<String>,
    /// Whose code the native routines were: `NT code (lines a-b)` of the listing that was given, or `reference`.
    pub routines: BTreeMap<String, String>,
    /// The longest stay of a processor at `DISPATCH_LEVEL` in the driver; `None` if there was none, and but in mode `counted`.
    pub dispatch_stay: Option<DispatchStay>,
    /// What the kernel counted by itself, until the end or the bug check.
    pub counters: CountersReport,
    /// The events for ETW that the driver wrote: by provider and event, how often.
    pub events: Events,
}

/// How long a processor stayed at `DISPATCH_LEVEL` in the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DispatchStay {
    /// At most so long, if processors ran side by side: a thousand instructions of any processor are one.
    pub microseconds: u64,
    /// The driver's function that raised the IRQL, or its routine that was called there; `None` without symbols.
    pub function: Option<String>,
    /// Where in it, as the compiler knew it.
    pub file: Option<String>,
    /// Counted from 1.
    pub line: Option<u32>,
    /// The return address, or the routine's, in hexadecimal.
    pub address: String,
}

/// A bug check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bugcheck {
    /// `0x000000C4`
    pub code: String,
    /// `DRIVER_VERIFIER_DETECTED_VIOLATION`
    pub name: String,
    /// Four, in hexadecimal.
    pub parameters: Vec<String>,
    /// One line for people.
    pub text: String,
    /// The stack of the failing processor, innermost first.
    pub stack: Vec<StackFrame>,
}

/// One function on the stack; an inlined one has a frame of its own, with the address of the one that it went to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackFrame {
    /// `rundown.sys`, or `nt` for the lab's kernel.
    pub module: String,
    /// With its path.
    pub function: Option<String>,
    /// As the compiler knew it.
    pub file: Option<String>,
    /// Counted from 1.
    pub line: Option<u32>,
    /// The instruction, in hexadecimal: where the fault was, or the return address.
    pub address: String,
}

/// [`Counters`] in the report's shape.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "the fields are described once, in lab_wire::counters")]
pub struct CountersReport {
    pub stack_event_waits: u64,
    pub stack_event_sets: u64,
    pub monitorx: u64,
    pub monitorx_series: u64,
    pub mwaitx: u64,
    pub cr8_reads: Cr8Reads,
    pub native: Native,
    pub dpcs: u64,
    pub switches: u64,
    pub memory_refused: u64,
    pub tsc_back: u64,
    pub replay: Replay,
}

/// What a run in mode `replay` was, as one number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Replay {
    pub events: u64,
    /// In hexadecimal: JSON's numbers are not that long.
    pub digest: String,
}

/// Watched reads of CR8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Cr8Reads {
    pub below_dispatch: u64,
    pub at_dispatch: u64,
}

/// The kernel's own run-down routines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Native {
    pub acquires: u64,
    pub refused: u64,
    pub waits: Waits,
}

/// Waits by their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Waits {
    pub drained: u64,
    pub mwaitx: u64,
    pub pause: u64,
    pub dispatch: u64,
    pub event: u64,
    pub late: u64,
}

impl From<Counters> for CountersReport {
    fn from(c: Counters) -> Self {
        Self {
            stack_event_waits: c.stack_event_waits,
            stack_event_sets: c.stack_event_sets,
            monitorx: c.monitorx,
            monitorx_series: c.monitorx_series,
            mwaitx: c.mwaitx,
            cr8_reads: Cr8Reads {
                below_dispatch: c.cr8_below_dispatch,
                at_dispatch: c.cr8_at_dispatch,
            },
            native: Native {
                acquires: c.native_acquires,
                refused: c.native_refused,
                waits: Waits {
                    drained: c.native_drained,
                    mwaitx: c.native_mwaitx,
                    pause: c.native_pause,
                    dispatch: c.native_dispatch,
                    event: c.native_event,
                    late: c.native_late,
                },
            },
            dpcs: c.dpcs,
            switches: c.switches,
            memory_refused: c.memory_refused,
            tsc_back: c.tsc_back,
            replay: Replay {
                events: c.replay_events,
                digest: format!("{:#018x}", c.replay_digest),
            },
        }
    }
}

impl Report {
    /// Writes the report to `path`.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|e| format!("cannot write the report: {e}"))?;
        text.push('\n');
        std::fs::write(path, text).map_err(|e| format!("cannot write the report {}: {e}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape is a contract with scripts: a change here must be meant.
    #[test]
    fn json_shape() {
        let counters = Counters {
            stack_event_waits: 1,
            cr8_at_dispatch: 2,
            native_late: 3,
            ..Counters::default()
        };
        let report = Report {
            passed: false,
            cpus: 2,
            seed: 7,
            mode: "smp",
            seconds: 1.5,
            boot_milliseconds: Some(90),
            bugcheck: Some(Bugcheck {
                code: "0x000000C4".into(),
                name: "DRIVER_VERIFIER_DETECTED_VIOLATION".into(),
                parameters: vec!["0x62".into()],
                text: "text".into(),
                stack: vec![StackFrame {
                    module: "rundown.sys".into(),
                    function: Some("rundown::queue::evt".into()),
                    file: Some("src/queue.rs".into()),
                    line: Some(9),
                    address: "0xfffff80010001234".into(),
                }],
            }),
            leaks: 0,
            findings: vec![],
            routines: BTreeMap::from([("ExRundownCompleted".into(), "reference".into())]),
            dispatch_stay: Some(DispatchStay {
                microseconds: 50,
                function: Some("rundown::queue::evt".into()),
                file: Some("src/queue.rs".into()),
                line: Some(9),
                address: "0xfffff80010001234".into(),
            }),
            counters: counters.into(),
            events: Events::from([("A.B".into(), BTreeMap::from([("Begun".into(), 2)]))]),
        };
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::json!({
                "passed": false, "cpus": 2, "seed": 7, "mode": "smp", "seconds": 1.5, "boot_milliseconds": 90,
                "bugcheck": {
                    "code": "0x000000C4", "name": "DRIVER_VERIFIER_DETECTED_VIOLATION", "parameters": ["0x62"], "text": "text",
                    "stack": [{"module": "rundown.sys", "function": "rundown::queue::evt", "file": "src/queue.rs", "line": 9,
                        "address": "0xfffff80010001234"}]
                },
                "leaks": 0, "findings": [],
                "routines": {"ExRundownCompleted": "reference"},
                "dispatch_stay": {"microseconds": 50, "function": "rundown::queue::evt", "file": "src/queue.rs", "line": 9,
                    "address": "0xfffff80010001234"},
                "counters": {
                    "stack_event_waits": 1, "stack_event_sets": 0, "monitorx": 0, "monitorx_series": 0, "mwaitx": 0,
                    "cr8_reads": {"below_dispatch": 0, "at_dispatch": 2},
                    "native": {"acquires": 0, "refused": 0, "waits": {
                        "drained": 0, "mwaitx": 0, "pause": 0, "dispatch": 0, "event": 0, "late": 3}},
                    "dpcs": 0, "switches": 0, "memory_refused": 0, "tsc_back": 0, "replay": {"events": 0, "digest": "0x0000000000000000"}
                },
                "events": {"A.B": {"Begun": 2}}
            })
        );
    }
}
