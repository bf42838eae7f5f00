//! Processes, of which there are two: the system's, and the one that all clients are in.

use crate::export::Export;
use crate::io::client;
use crate::lock::IrqLock;

/// A process: a driver only hands its address back.
#[repr(C, align(16))]
struct Process([u8; 64]);

static SYSTEM: Process = Process(*b"Lab.System.Process..............................................");
static CLIENT: Process = Process(*b"Lab.Client.Process..............................................");

/// A pointer in a static.
#[repr(transparent)]
pub struct Pointer<T>(pub *const T);
// SAFETY: names a static that nobody writes.
unsafe impl<T> Sync for Pointer<T> {}

static PROCESS_TYPE: [u8; 16] = *b"Lab.Process.Type";
static PROCESS_TYPE_POINTER: Pointer<[u8; 16]> = Pointer(&raw const PROCESS_TYPE);
/// The exported variables: `extern POBJECT_TYPE *PsProcessType` and `extern PEPROCESS PsInitialSystemProcess`.
static PS_PROCESS_TYPE: Pointer<Pointer<[u8; 16]>> = Pointer(&raw const PROCESS_TYPE_POINTER);
static PS_INITIAL_SYSTEM_PROCESS: Pointer<Process> = Pointer(&raw const SYSTEM);

/// References that the driver holds to each.
static REFERENCES: IrqLock<[u64; 2]> = IrqLock::new([0; 2]);

/// The process that the running thread is in.
pub fn current() -> u64 {
    if client::current_caller().is_some() {
        &raw const CLIENT as u64
    } else {
        &raw const SYSTEM as u64
    }
}

/// Whether an object type is the processes'.
pub fn is_type(object_type: *const u8) -> bool {
    object_type == PROCESS_TYPE_POINTER.0.cast()
}

/// Counts a reference up or down; how many there are then. `None` if it is no process, or none is held.
pub fn count(object: u64, up: bool) -> Option<u64> {
    let index = [&raw const SYSTEM as u64, &raw const CLIENT as u64]
        .iter()
        .position(|&process| process == object)?;
    let mut references = REFERENCES.lock();
    references[index] = if up {
        references[index] + 1
    } else {
        references[index].checked_sub(1)?
    };
    Some(references[index])
}

/// One that the driver still refers to.
pub fn referenced() -> Option<u64> {
    let references = REFERENCES.lock();
    let processes = [&raw const SYSTEM as u64, &raw const CLIENT as u64];
    processes
        .into_iter()
        .zip(*references)
        .find(|&(_, count)| count != 0)
        .map(|(process, _)| process)
}

unsafe extern "win64" fn ps_get_current_process() -> u64 {
    current()
}

unsafe extern "win64" fn io_thread_to_process(_thread: u64) -> u64 {
    &raw const SYSTEM as u64
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("PsGetCurrentProcess", 0..=15, ps_get_current_process as *const ()).quiet(),
    Export::function("IoGetCurrentProcess", 0..=15, ps_get_current_process as *const ()).quiet(),
    Export::function("IoThreadToProcess", 0..=15, io_thread_to_process as *const ()).quiet(),
    Export::data("PsProcessType", (&raw const PS_PROCESS_TYPE).cast()),
    Export::data(
        "PsInitialSystemProcess",
        (&raw const PS_INITIAL_SYSTEM_PROCESS).cast(),
    ),
];
