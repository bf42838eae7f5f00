//! How deep the driver goes on a kernel stack: what its image does not say.

use std::path::Path;

use rundown_kit::{
    Error,
    stack::{self, Assumptions, Chain},
};

/// The deepest chain of calls from each of the driver's entries, the deepest first.
pub(crate) fn chains(sys: &Path, pdb: &Path) -> Result<Vec<Chain>, Error> {
    stack::chains(sys, pdb, &DRIVER)
}

const DRIVER: Assumptions<'_> = Assumptions {
    callbacks: &[
        // The queue's callback runs in the sender's thread, while evt_io_in_caller_context enqueues the request. A completion
        // presents no other one: the queue is parallel and without a limit, so that none waits in it.
        ("WdfDeviceEnqueueRequest", "rundown::queue::evt_io_device_control"),
        // A session may be on already.
        (
            "EtwRegister",
            "tracelogging::native::ProviderContextInner::outer_callback",
        ),
    ],
    pointers: &[
        // To what formats a value, and to what takes the text.
        ("core::fmt::", formats),
        ("core::ops::range::", formats),
        // To the framework's routine, which the kit's own displaced.
        ("Unload", nothing),
        // To a callback of the driver's own, of which it registers none.
        (
            "tracelogging::native::ProviderContextInner::outer_callback",
            nothing,
        ),
    ],
    circles: &[
        // What is formatted may be made of parts that are, and a failure to slice a text shows a slice of it.
        ("core::", 1),
    ],
};

fn formats(name: &str) -> bool {
    name.contains("::fmt") || name.contains("::write_")
}

fn nothing(_: &str) -> bool {
    false
}
