//! Handles: numbers that are never used twice, that say by themselves of what type their object was, and that are no addresses.

use super::core::Object;
use super::kind::Kind;
use crate::violation::{self, routine, violation};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use rundown_lab_kernel::lock::IrqLock;

/// Handles lie where nothing is mapped, so a driver that takes one for a pointer faults.
const HANDLES: u64 = 0xFFFF_E000_0000_0000;
const KIND_SHIFT: u32 = 4;
const SERIAL_SHIFT: u32 = 12;

static OBJECTS: IrqLock<BTreeMap<u64, Arc<Object>>> = IrqLock::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A fresh handle.
pub(super) fn next(kind: Kind) -> u64 {
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    HANDLES | serial << SERIAL_SHIFT | (kind as u64) << KIND_SHIFT
}

/// The object lives.
pub(super) fn insert(object: &Arc<Object>) {
    OBJECTS.lock().insert(object.handle, object.clone());
}

/// The object is destroyed.
pub(super) fn remove(handle: u64) {
    OBJECTS.lock().remove(&handle);
}

/// The oldest object that lives, and how many there are.
pub(super) fn first() -> Option<(Arc<Object>, usize)> {
    let objects = OBJECTS.lock();
    objects
        .values()
        .next()
        .map(|first| (first.clone(), objects.len()))
}

/// The object of any type behind a handle; what is none is a violation.
pub fn any(handle: u64) -> Arc<Object> {
    if let Some(object) = OBJECTS.lock().get(&handle) {
        return object.clone();
    }
    refuse(handle, None)
}

/// The object behind a handle, which must be of that type.
pub fn find(handle: u64, kind: Kind) -> Arc<Object> {
    let object = OBJECTS.lock().get(&handle).cloned();
    match object {
        Some(object) if object.kind == kind => object,
        _ => refuse(handle, Some(kind)),
    }
}

fn refuse(handle: u64, kind: Option<Kind>) -> ! {
    let wanted = kind.map_or("WDFOBJECT", Kind::name);
    let serial = (handle ^ HANDLES) >> SERIAL_SHIFT;
    let known = Kind::from_raw(handle >> KIND_SHIFT & 0xFF)
        .filter(|_| (1..NEXT.load(Ordering::Relaxed)).contains(&serial));
    let routine = routine();
    match known {
        _ if handle == 0 => violation(
            violation::NULL_PARAMETER,
            0,
            0,
            format_args!("{routine} was given a NULL handle for a {wanted}"),
        ),
        Some(other) if OBJECTS.lock().contains_key(&handle) => violation(
            violation::BAD_HANDLE,
            handle,
            0,
            format_args!("{routine} was given a {} where a {wanted} belongs", other.name()),
        ),
        Some(Kind::Request) => violation(
            violation::BAD_HANDLE,
            handle,
            0,
            format_args!("{routine} was given a WDFREQUEST that is completed already"),
        ),
        Some(other) => violation(
            violation::BAD_HANDLE,
            handle,
            0,
            format_args!("{routine} was given a {} that is deleted already", other.name()),
        ),
        None => violation(
            violation::BAD_HANDLE,
            handle,
            0,
            format_args!(
                "{routine} was given {handle:#x}, which is no framework handle; a {wanted} belongs there"
            ),
        ),
    }
}
