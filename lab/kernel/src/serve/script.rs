//! A script of the boot container, carried out by the machine itself: nothing from outside decides when what happens.

use crate::ke::event::Event;
use crate::ke::object::Kind;
use crate::ke::{spawn, wait};
use crate::lock::IrqLock;
use crate::{bug, log, status};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use lab_wire::frame::{HEADER_LENGTH, Header};
use lab_wire::script::{Patch, Step};

/// NTSTATUS and output by the id of the request, which is the step's number from 1.
type Answers = BTreeMap<u32, (i32, Vec<u8>)>;

/// How long the script's thread sleeps at most before it looks for an answer again, in milliseconds.
const NAP: u64 = 20;

/// `None` if no script is carried out.
static ANSWERS: IrqLock<Option<Answers>> = IrqLock::new(None);
/// Set with each answer.
static ANSWERED: Event = Event::new(Kind::SynchronizationEvent);

/// Has a thread carry the steps out, each by `carry_out`, and then call `end` with the requests that still wait.
pub fn start(steps: Vec<Step>, carry_out: fn(Header, &[u8]), end: fn(&[u32])) {
    *ANSWERS.lock() = Some(BTreeMap::new());
    spawn::spawn("Script", move || end(&run(steps, carry_out)));
}

/// Takes an answer, if it is one of a script's.
pub fn answered(id: u32, status: i32, output: &[u8]) -> bool {
    match ANSWERS.lock().as_mut() {
        Some(answers) if id != 0 => answers.insert(id, (status, output.to_vec())),
        _ => return false,
    };
    ANSWERED.set();
    true
}

fn has_answer(id: u32) -> bool {
    ANSWERS
        .lock()
        .as_ref()
        .is_some_and(|answers| answers.contains_key(&id))
}

/// Carries the steps out; the requests that were not waited for.
fn run(steps: Vec<Step>, carry_out: fn(Header, &[u8])) -> Vec<u32> {
    let mut pending = Vec::new();
    for (id, step) in (1..).zip(steps) {
        if step.sleep != 0 {
            wait::sleep(step.sleep.into());
        }
        let Some(frame) = patched(step.frame, &step.patches) else {
            log!("log: step {id} is left out");
            continue;
        };
        let Some((header, body)) = frame.split_first_chunk::<HEADER_LENGTH>() else {
            continue;
        };
        let header = match Header::decode(header) {
            Ok(header) => Header { id, ..header },
            Err(error) => bug::lab_failure(format_args!("the script: {error}")),
        };
        carry_out(header, body);
        if step.pending {
            pending.push(id);
        } else {
            wait_for(id);
        }
    }
    pending
}

/// Waits for an answer and logs it.
fn wait_for(id: u32) {
    while !has_answer(id) {
        ANSWERED.wait_for(NAP);
    }
    let answers = ANSWERS.lock();
    if let Some((status, output)) = answers.as_ref().and_then(|answers| answers.get(&id)) {
        log!(
            "log: step {id} is answered with {status:#010x} and {} bytes{}",
            output.len(),
            Beginning(output)
        );
    }
}

/// How an output begins, after a colon; nothing of one that is empty.
struct Beginning<'a>(&'a [u8]);

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 16;
        if !self.0.is_empty() {
            f.write_str(": ")?;
        }
        for byte in self.0.iter().take(MOST) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(if self.0.len() > MOST { "..." } else { "" })
    }
}

/// Waits for the answers that were not waited for; the client is dead by then, so all come.
pub fn wait_for_rest(pending: &[u32]) {
    for &id in pending {
        wait_for(id);
    }
}

/// The frame with bytes of earlier answers in it; `None` if one of them failed, or is too short.
fn patched(mut frame: Vec<u8>, patches: &[Patch]) -> Option<Vec<u8>> {
    let answers = ANSWERS.lock();
    for patch in patches {
        let (status, output) = answers.as_ref()?.get(&(patch.step + 1))?;
        let (offset, from, length) = (patch.offset as usize, patch.from as usize, patch.length as usize);
        let source = output
            .get(from..from + length)
            .filter(|_| status::is_success(*status))?;
        frame.get_mut(offset..offset + length)?.copy_from_slice(source);
    }
    Some(frame)
}
