//! `rundown-lab sweep`: a script again and again in one boot, with something happening at another point of the driver's each time.
//!
//! | sweep | what happens at the n-th | and then |
//! |---|---|---|
//! | low-resources | creation: it fails (pool, a thread, an object), also of the start | the request fails with `STATUS_INSUFFICIENT_RESOURCES` |
//! | cancel | call of an export: every pending request is cancelled | each is answered |
//! | close | call: every handle is closed | as above |
//! | kill | call: the client's process dies | as above |
//! | unload | call: the device goes by surprise; the driver is unloaded, loaded and started | as above, and it can be opened again |
//!
//! After each point all handles are closed, and there must be no more pool and threads than before it. Each answer is a success or
//! one of the sweep's own statuses: what failed to be made, what was cancelled, a handle that is gone. What else a driver may
//! answer there its script says in lines such as `#! close,kill: 0xc0000225 0xc00002f0`; those of `cancel` only follow from a
//! request of the same point that was cancelled before.

use crate::cli::{Sweep, What, exit};
use crate::client::{Client, Gone};
use crate::failure::{self, FailedRun};
use crate::script::{self, Step};
use crate::serve;
use lab_wire::frame::{Action, Seen};
use rundown_streams::{self as streams, Unwritable};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// How long an answer may take beyond what the machine itself allows a request.
const GRACE: Duration = Duration::from_secs(10);
/// How long threads may take to end once all handles are closed.
const SETTLE: Duration = Duration::from_secs(3);
/// The same while a person looks at the machine with gdb.
const PERSONS_PATIENCE: Duration = Duration::from_hours(24);
const STATUS_INSUFFICIENT_RESOURCES: u32 = 0xC000_009A;
const STATUS_CANCELLED: u32 = 0xC000_0120;
const STATUS_INVALID_HANDLE: u32 = 0xC000_0008;
const STATUS_DEVICE_REMOVED: u32 = 0xC000_02B6;
/// The framework's own of a request that comes when the queue of a device that goes takes none any more (fxioqueue.cpp:2300).
const STATUS_INVALID_DEVICE_STATE: u32 = 0xC000_0184;

impl What {
    const fn action(self) -> Action {
        match self {
            Self::LowResources => Action::Fail,
            Self::Cancel => Action::Cancel,
            Self::Close => Action::Close,
            Self::Kill => Action::Die,
            Self::Unload => Action::Restart,
        }
    }
}

/// What one point came to.
struct Outcome {
    /// The requests that were not successful.
    refused: Vec<Refused>,
    seen: Seen,
}

/// A request that was not successful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    /// Its line in the script, from 1.
    line: usize,
    status: u32,
    /// Whether the script did not wait for its answer.
    pending: bool,
}

/// The statuses that the script allows, by sweep.
fn allowed_by(script: &str) -> Result<Vec<(What, u32)>, String> {
    let mut allowed = Vec::new();
    for line in script.lines().filter_map(|line| line.strip_prefix("#!")) {
        let wrong = || format!("`#!{line}` is not `#! SWEEP,SWEEP: 0xNTSTATUS 0xNTSTATUS`");
        let (sweeps, statuses) = line.split_once(':').ok_or_else(wrong)?;
        for name in sweeps.split(',').map(str::trim) {
            let what = What::ALL
                .into_iter()
                .find(|what| what.name() == name)
                .ok_or_else(wrong)?;
            for status in statuses.split_whitespace() {
                let digits = status.strip_prefix("0x").ok_or_else(wrong)?;
                allowed.push((what, u32::from_str_radix(digits, 16).map_err(|_| wrong())?));
            }
        }
    }
    Ok(allowed)
}

/// The first answer of a point, in the script's order, that nothing explains.
fn unexplained(what: What, refused: &[Refused], allowed: &[(What, u32)]) -> Option<Refused> {
    let own: &[u32] = match what {
        What::LowResources => &[STATUS_INSUFFICIENT_RESOURCES],
        What::Cancel => &[STATUS_CANCELLED],
        What::Close | What::Kill => &[STATUS_CANCELLED, STATUS_INVALID_HANDLE],
        What::Unload => &[
            STATUS_CANCELLED,
            STATUS_INVALID_HANDLE,
            STATUS_DEVICE_REMOVED,
            STATUS_INVALID_DEVICE_STATE,
        ],
    };
    let cancelled = refused.iter().find(|refused| refused.status == STATUS_CANCELLED);
    let explained = |refused: &&Refused| {
        let follows = what != What::Cancel || cancelled.is_some_and(|first| first.line < refused.line);
        own.contains(&refused.status)
            // The end of the script closes the handle, which ends what pends.
            || (refused.pending && refused.status == STATUS_CANCELLED)
            || (follows && allowed.contains(&(what, refused.status)))
    };
    refused.iter().find(|refused| !explained(refused)).copied()
}

/// A sweep's result.
#[derive(Default)]
struct Tally {
    points: u64,
    /// Points at which a request was refused.
    refused: u64,
    faults: Vec<(u64, String)>,
}

/// Ids count from point to point here, so a line's number names no request.
fn without_cancels(steps: Vec<Step>) -> Result<Vec<Step>, String> {
    let cancels = |step: &Step| matches!(step, Step::Request { text, .. } if text.starts_with("cancel "));
    if steps.iter().any(cancels) {
        return Err("a sweep's script cancels nothing: that is what `--what cancel` does".into());
    }
    Ok(steps)
}

/// What one sweep came to.
#[derive(Debug)]
pub struct Swept {
    /// Which.
    pub what: What,
    /// How many points it had.
    pub points: u64,
    /// How long it took.
    pub seconds: f64,
    /// The points that failed, each with what was wrong and the command that repeats it.
    pub faults: Vec<String>,
}

/// Runs `sweep`; the answer is this program's exit code.
#[must_use]
pub fn sweep(arguments: &Sweep) -> ExitCode {
    sweep_to_end(arguments).0.into()
}

/// The same: the exit code, and what each sweep came to.
#[must_use]
pub fn sweep_to_end(arguments: &Sweep) -> (u8, Vec<Swept>) {
    let script = std::fs::read_to_string(&arguments.script)
        .map_err(|e| format!("cannot read the script {}: {e}", arguments.script.display()))
        .and_then(|text| Ok((script::parse(&text)?, allowed_by(&text)?)))
        .and_then(|(steps, allowed)| Ok((without_cancels(steps)?, allowed)));
    let (steps, allowed) = match script {
        Ok(script) => script,
        Err(text) => {
            rundown_streams::tell!("rundown-lab: {text}");
            return (exit::BAD_INPUT, Vec::new());
        }
    };
    if let Err(code) = serve::check_coverage(&arguments.serve) {
        return (code, Vec::new());
    }
    match points(arguments, &steps, &allowed) {
        Ok(outcomes) if outcomes.iter().all(|outcome| outcome.faults.is_empty()) => (exit::PASSED, outcomes),
        Ok(outcomes) => (exit::DRIVER_FAILED, outcomes),
        Err(unwritable) => {
            rundown_streams::tell!("rundown-lab: {unwritable}");
            (exit::OUTPUT, Vec::new())
        }
    }
}

/// Runs every point of every kind that is asked for.
fn points(arguments: &Sweep, steps: &[Step], allowed: &[(What, u32)]) -> Result<Vec<Swept>, Unwritable> {
    let mut outcomes = Vec::new();
    let mut first = None;
    for &what in &arguments.what {
        let started = Instant::now();
        let tally = Run {
            arguments,
            steps,
            allowed,
            what,
        }
        .run();
        let seconds = started.elapsed().as_secs_f64();
        streams::line(format_args!(
            "{} {}: {} points, {} with a request refused ({:.1} s)",
            if tally.faults.is_empty() {
                "passed"
            } else {
                "FAILED"
            },
            what.name(),
            tally.points,
            tally.refused,
            seconds
        ))?;
        let told: Vec<String> = (tally.faults.iter())
            .map(|(point, fault)| {
                let repeat = arguments.repeat_command(what, *point);
                format!("  at {point}: {fault}\n  REPEAT: {repeat}")
            })
            .collect();
        told.iter().try_for_each(streams::line)?;
        outcomes.push(Swept {
            what,
            points: tally.points,
            seconds,
            faults: told,
        });
        if let Some((point, fault)) = tally.faults.into_iter().next() {
            first.get_or_insert((what, point, fault));
        }
    }
    if let Some((what, point, fault)) = first {
        match leave_failure(arguments, what, point, &fault) {
            Ok(path) => streams::line(format_args!(
                "the first of them again: rundown-lab repeat {} (--gdb PORT)",
                path.display()
            ))?,
            // The verdict stands without it.
            Err(text) => rundown_streams::tell!("rundown-lab: {text}"),
        }
    }
    Ok(outcomes)
}

/// Leaves a file that repeats one point; its path.
fn leave_failure(arguments: &Sweep, what: What, point: u64, fault: &str) -> Result<PathBuf, String> {
    let driver = arguments.serve.driver_path();
    let bytes =
        std::fs::read(&driver).map_err(|e| format!("cannot read the driver {}: {e}", driver.display()))?;
    let path = arguments.serve.failure.clone();
    let path = path.unwrap_or_else(|| failure::default_path(&driver));
    FailedRun::point(arguments, what, point, (&driver, &bytes), fault).write(&path)?;
    Ok(path)
}

/// One sweep.
struct Run<'a> {
    arguments: &'a Sweep,
    steps: &'a [Step],
    allowed: &'a [(What, u32)],
    what: What,
}

impl Run<'_> {
    fn run(&self) -> Tally {
        let mut tally = Tally::default();
        let mut point = 0;
        if let Err(Gone(why)) = self.boot(&mut tally, &mut point) {
            tally.faults.push((point, why));
        }
        if tally.points == 0 && tally.faults.is_empty() {
            tally.faults.push((0, "the driver has no such point".into()));
        }
        tally
    }

    fn boot(&self, tally: &mut Tally, point: &mut u64) -> Result<(), Gone> {
        let serve = &self.arguments.serve;
        let folder = tempfile::tempdir().map_err(|e| Gone(e.to_string()))?;
        let log = folder.path().join("log");
        let mut words = serve.words(self.arguments.seed());
        words.extend(["--for-sweep".into(), "--log".into(), log.display().to_string()]);
        let low_resources = self.what == What::LowResources;
        if low_resources && self.arguments.at.is_none() {
            words.push("--sweep-start".into());
        }
        let mut patience = Duration::from_secs(serve.patience.into()) + GRACE;
        if let Some(path) = self.arguments.trace(self.what) {
            words.extend(["--trace".into(), path.display().to_string()]);
        }
        if let Some(port) = serve.gdb {
            words.extend(["--gdb".into(), port.to_string()]);
            patience = PERSONS_PATIENCE;
        }
        if let Some(path) = &serve.coverage {
            words.extend(["--coverage".into(), path.display().to_string()]);
        }
        let program = std::env::current_exe().map_err(|e| Gone(e.to_string()))?;
        let mut client = Client::start(Command::new(program).arg("serve").args(&words), patience)?;
        if low_resources {
            starts(&std::fs::read_to_string(&log).unwrap_or_default(), tally);
        }
        // The first time may make what stays; the second is what the others are compared with.
        self.point(&mut client, (0, Action::Nothing), None)?;
        let sound = self.point(&mut client, (0, Action::Nothing), None)?;
        let expected = |refused: &&Refused| refused.pending && refused.status == STATUS_CANCELLED;
        if let Some(Refused { line, status, .. }) = sound.refused.iter().find(|refused| !expected(refused)) {
            tally.faults.push((
                0,
                format!("line {line} of the script is answered with {status:#010x} when nothing happens"),
            ));
            return Ok(());
        }
        for nth in self.points(&sound.seen) {
            *point = nth;
            let outcome = self.point(&mut client, (nth, self.what.action()), Some(&sound.seen))?;
            if low_resources && outcome.seen.creations < nth {
                break;
            }
            tally.points += 1;
            tally.refused += u64::from(outcome.refused.iter().any(|refused| !refused.pending));
            if let Some(fault) = self.fault(&mut client, &outcome, &sound.seen)? {
                tally.faults.push((nth, fault));
            }
        }
        if client.quit()? {
            Ok(())
        } else {
            Err(Gone(
                "the driver did not pass its unload; its report is above".into(),
            ))
        }
    }

    /// The points of this sweep, given what the script does when nothing happens.
    fn points(&self, sound: &Seen) -> Vec<u64> {
        if let Some(at) = self.arguments.at {
            return vec![at];
        }
        match self.what {
            // Threads make it vary: the sweep ends where a run has fewer.
            What::LowResources => (1..=sound.creations + 64).collect(),
            _ => spread(sound.calls, self.arguments.points),
        }
    }

    /// What is wrong with a point's outcome.
    fn fault(&self, client: &mut Client, outcome: &Outcome, sound: &Seen) -> Result<Option<String>, Gone> {
        let mut text = String::new();
        if let Some(Refused { line, status, .. }) = unexplained(self.what, &outcome.refused, self.allowed) {
            let name = self.what.name();
            let _ = write!(
                text,
                "line {line} is answered with {status:#010x}, which `{name}` does not explain; "
            );
        }
        let (blocks, threads) = (outcome.seen.blocks, outcome.seen.threads);
        if blocks > sound.blocks || threads > sound.threads {
            let _ = write!(
                text,
                "{blocks} pool blocks and {threads} threads are left with all handles closed, and were {} and {} before; ",
                sound.blocks, sound.threads
            );
        }
        if self.what == What::Unload
            && let Some(Step::Request { text: open, .. }) = self.steps.first()
        {
            let (status, handle) = client.ask(open)?;
            if status == 0 {
                client.ask(&format!("close {handle}"))?;
            } else {
                let _ = write!(text, "the device cannot be opened any more: {status:#010x}; ");
            }
        }
        Ok((!text.is_empty()).then(|| text.trim_end_matches("; ").to_owned()))
    }

    /// Runs the script once, with that action at its n-th point, and waits until no more is left than in a `sound` run.
    fn point(
        &self,
        client: &mut Client,
        (nth, action): (u64, Action),
        sound: Option<&Seen>,
    ) -> Result<Outcome, Gone> {
        client.ask(&format!("at {nth} {}", action.name()))?;
        let mut answers: HashMap<usize, (u32, String)> = HashMap::new();
        let mut pending = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Sleep(time) => std::thread::sleep(*time),
                Step::Request {
                    text,
                    pending: goes_on,
                } => {
                    let request = script::resolve(text, |index, range| Ok(reference(&answers, index, range)));
                    let Some(request) = request.map_err(Gone)? else {
                        continue;
                    };
                    let id = client.send(&request);
                    if *goes_on {
                        pending.push((index, id));
                    } else {
                        answers.insert(index, client.answer(id)?);
                    }
                }
            }
        }
        for (index, step) in self.steps.iter().enumerate() {
            if matches!(step, Step::Request { text, .. } if text.starts_with("open "))
                && let Some((0, handle)) = answers.get(&index)
            {
                // Closed already, if the point did that.
                client.ask(&format!("close {handle}"))?;
            }
        }
        for (index, id) in pending {
            answers.insert(index, client.answer(id)?);
        }
        let answered = |(index, step): (usize, &Step)| {
            let Step::Request { pending, .. } = step else {
                return None;
            };
            let (status, _) = answers.get(&index)?;
            (status >> 30 != 0).then_some(Refused {
                line: index + 1,
                status: *status,
                pending: *pending,
            })
        };
        let refused = self.steps.iter().enumerate().filter_map(answered).collect();
        let seen = quiet(client, sound)?;
        Ok(Outcome { refused, seen })
    }
}

/// What was seen since the point was armed, and what is left once all has had time to end.
fn quiet(client: &mut Client, sound: Option<&Seen>) -> Result<Seen, Gone> {
    let mut ask = || -> Result<Seen, Gone> {
        let (_, output) = client.ask("at 0 nothing")?;
        crate::pipe::bytes(&output)
            .ok()
            .and_then(|bytes| Seen::decode(&bytes).ok())
            .ok_or_else(|| Gone(format!("\"{output}\" is not what was seen")))
    };
    let first = ask()?;
    let mut last = first;
    let until = Instant::now() + SETTLE;
    let busy = |seen: &Seen| seen.threads != 0 || sound.is_some_and(|sound| seen.blocks > sound.blocks);
    while busy(&last) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        last = ask()?;
    }
    Ok(Seen {
        blocks: last.blocks,
        threads: last.threads,
        ..first
    })
}

/// The handle that a line was answered with, or bytes of its output; `None` if it failed or has fewer.
fn reference(
    answers: &HashMap<usize, (u32, String)>,
    index: usize,
    range: Option<(usize, usize)>,
) -> Option<String> {
    let (status, text) = answers.get(&index)?;
    if *status != 0 {
        return None;
    }
    match range {
        None => Some(text.clone()),
        Some((from, to)) => text.get(from * 2..to * 2).map(str::to_owned),
    }
}

/// What the kernel logged of the starts that it tried.
fn starts(log: &str, tally: &mut Tally) {
    for line in log.lines().filter_map(|line| line.strip_prefix("point: ")) {
        let mut words = line.splitn(3, ' ');
        let (nth, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        tally.points += 1;
        let status = status
            .strip_prefix("0x")
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match status {
            Some(0) => {}
            Some(STATUS_INSUFFICIENT_RESOURCES) => tally.refused += 1,
            _ => tally.faults.push((
                nth.parse().unwrap_or(0),
                format!("the start is refused, and not with STATUS_INSUFFICIENT_RESOURCES: {line}"),
            )),
        }
    }
}

/// `count` of the numbers 1 to `last`: half of them are the first, for what begins is what goes wrong, the others are evenly spread.
fn spread(last: u64, count: u64) -> Vec<u64> {
    if last <= count {
        return (1..=last).collect();
    }
    let dense = count / 2;
    let sparse = count - dense;
    let rest = (1..=sparse).map(|index| dense + (last - dense) * index / sparse);
    (1..=dense).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_dense_at_first_and_reach_the_end() {
        assert_eq!(spread(3, 10), [1, 2, 3]);
        let points = spread(1000, 10);
        assert_eq!(points[..5], [1, 2, 3, 4, 5]);
        assert_eq!((points.len(), points.last()), (10, Some(&1000)));
        assert!(points.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(spread(0, 10).is_empty());
    }

    fn refused(line: usize, status: u32, pending: bool) -> Refused {
        Refused {
            line,
            status,
            pending,
        }
    }

    #[test]
    fn only_the_sweeps_own_statuses_are_explained() {
        let own: [(What, &[u32]); 5] = [
            (What::LowResources, &[STATUS_INSUFFICIENT_RESOURCES]),
            (What::Cancel, &[STATUS_CANCELLED]),
            (What::Close, &[STATUS_CANCELLED, STATUS_INVALID_HANDLE]),
            (What::Kill, &[STATUS_CANCELLED, STATUS_INVALID_HANDLE]),
            (
                What::Unload,
                &[
                    STATUS_CANCELLED,
                    STATUS_INVALID_HANDLE,
                    STATUS_DEVICE_REMOVED,
                    STATUS_INVALID_DEVICE_STATE,
                ],
            ),
        ];
        let all = [
            STATUS_INSUFFICIENT_RESOURCES,
            STATUS_CANCELLED,
            STATUS_INVALID_HANDLE,
            STATUS_DEVICE_REMOVED,
            STATUS_INVALID_DEVICE_STATE,
            0xC000_0001,
        ];
        for (what, own) in own {
            for status in all {
                let answer = refused(3, status, false);
                let strange = unexplained(what, &[answer], &[]);
                assert_eq!(strange.is_none(), own.contains(&status), "{what:?} {status:#x}");
                // What pends when the script ends is completed by the driver, in EvtFileCleanup, or cancelled after that.
                let strange = unexplained(what, &[refused(3, status, true)], &[]);
                let explained = own.contains(&status) || status == STATUS_CANCELLED;
                assert_eq!(strange.is_none(), explained, "{what:?} {status:#x}, pending");
            }
        }
    }

    #[test]
    fn what_the_script_allows_is_explained_there_and_no_earlier() {
        let allowed = allowed_by("open x rw\n#! close,cancel: 0xc0000225 0x80000011\n# a comment\n").unwrap();
        assert_eq!(allowed.len(), 4);
        let answers = [
            refused(3, STATUS_CANCELLED, false),
            refused(5, 0xC000_0225, false),
        ];
        assert_eq!(unexplained(What::Close, &answers[1..], &allowed), None);
        assert_eq!(unexplained(What::Kill, &answers[1..], &allowed), Some(answers[1]));
        assert_eq!(unexplained(What::Cancel, &answers, &allowed), None);
        assert_eq!(
            unexplained(What::Cancel, &answers[1..], &allowed),
            Some(answers[1])
        );
        let late = [answers[1], refused(7, STATUS_CANCELLED, false)];
        assert_eq!(unexplained(What::Cancel, &late, &allowed), Some(answers[1]));
        for wrong in ["#! close 0x1", "#! shut: 0x1", "#! close: 12", "#! close: 0xy"] {
            assert!(allowed_by(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn starts_are_read_from_the_log() {
        let mut tally = Tally::default();
        starts(
            "log: x\npoint: 1 0xc000009a DriverEntry\npoint: 2 0x00000000 start\npoint: 3 0xc0000001 AddDevice\n",
            &mut tally,
        );
        assert_eq!((tally.points, tally.refused, tally.faults.len()), (3, 1, 1));
        assert_eq!(tally.faults[0].0, 3);
    }

    #[test]
    fn references_need_a_success() {
        let answers = HashMap::from([
            (0, (0, "4".into())),
            (1, (0xC000_0001, "-".into())),
            (2, (0, "0102".into())),
        ]);
        assert_eq!(reference(&answers, 0, None).as_deref(), Some("4"));
        assert_eq!(reference(&answers, 1, None), None);
        assert_eq!(reference(&answers, 2, Some((1, 2))).as_deref(), Some("02"));
        assert_eq!(reference(&answers, 2, Some((1, 3))), None, "it is not that long");
    }
}
