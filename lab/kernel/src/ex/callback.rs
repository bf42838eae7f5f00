//! Callback objects. Nobody notifies those of the system: it goes to no other power state by itself, its time is not set, and no processor is added.

use crate::lock::IrqLock;
use crate::status;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Those that the system makes; names are compared without case.
const SYSTEMS: [&str; 3] = [
    "\\Callback\\PowerState",
    "\\Callback\\SetSystemTime",
    "\\Callback\\ProcessorAdd",
];

/// An object: a driver only hands its address back. It stays for ever.
#[repr(C, align(16))]
struct Object([u8; 16]);

struct Known {
    object: &'static Object,
    /// Empty for one without.
    name: String,
    references: u64,
    /// Whether a second routine may be registered.
    multiple: bool,
}

struct Registered {
    handle: u64,
    object: u64,
    routine: u64,
    context: u64,
}

struct Callbacks {
    known: Vec<Known>,
    registered: Vec<Registered>,
    next: u64,
}

static CALLBACKS: IrqLock<Callbacks> = IrqLock::new(Callbacks {
    known: Vec::new(),
    registered: Vec::new(),
    next: 0x10,
});

impl Callbacks {
    fn find(&mut self, object: u64) -> Option<&mut Known> {
        self.known
            .iter_mut()
            .find(|known| (&raw const *known.object) as u64 == object)
    }
}

/// Opens the object of that name, or makes it; it is referenced then.
///
/// # Errors
/// An NTSTATUS: there is none, and none is to be made.
pub fn open(name: String, create: bool, multiple: bool) -> Result<u64, i32> {
    let mut callbacks = CALLBACKS.lock();
    let found =
        (callbacks.known.iter()).position(|known| !name.is_empty() && known.name.eq_ignore_ascii_case(&name));
    let of_system = SYSTEMS.iter().any(|system| system.eq_ignore_ascii_case(&name));
    if found.is_none() && !create && !of_system {
        return Err(status::OBJECT_NAME_NOT_FOUND);
    }
    let index = found.unwrap_or(callbacks.known.len());
    if found.is_none() {
        callbacks.known.push(Known {
            object: Box::leak(Box::new(Object(*b"Lab.Callback.Obj"))),
            name,
            references: 0,
            multiple: multiple || of_system,
        });
    }
    let known = &mut callbacks.known[index];
    known.references += 1;
    Ok((&raw const *known.object) as u64)
}

/// Counts a reference to a callback object up or down; how many there are then. `None` if it is none, or none is held.
pub fn count(object: u64, up: bool) -> Option<u64> {
    let mut callbacks = CALLBACKS.lock();
    let known = callbacks.find(object)?;
    known.references = if up {
        known.references + 1
    } else {
        known.references.checked_sub(1)?
    };
    Some(known.references)
}

/// One that the driver still refers to, or the handle of a routine of its that is registered.
pub fn referenced() -> Option<u64> {
    let callbacks = CALLBACKS.lock();
    let held = callbacks.known.iter().find(|known| known.references != 0);
    let registered = callbacks.registered.first().map(|registered| registered.handle);
    held.map(|known| (&raw const *known.object) as u64).or(registered)
}

/// Registers a routine; its handle. `None` if the object has one already and takes no more.
pub fn register(object: u64, routine: u64, context: u64) -> Option<u64> {
    let mut callbacks = CALLBACKS.lock();
    let taken = callbacks
        .registered
        .iter()
        .any(|registered| registered.object == object);
    let multiple = callbacks.find(object)?.multiple;
    if taken && !multiple {
        return None;
    }
    let handle = callbacks.next;
    callbacks.next += 0x10;
    callbacks.registered.push(Registered {
        handle,
        object,
        routine,
        context,
    });
    Some(handle)
}

/// Takes a routine off.
pub fn unregister(handle: u64) {
    CALLBACKS
        .lock()
        .registered
        .retain(|registered| registered.handle != handle);
}

/// The routines of an object with their contexts, in the order in which they were registered.
pub fn routines(object: u64) -> Vec<(u64, u64)> {
    let callbacks = CALLBACKS.lock();
    let own = callbacks
        .registered
        .iter()
        .filter(|registered| registered.object == object);
    own.map(|registered| (registered.routine, registered.context))
        .collect()
}
