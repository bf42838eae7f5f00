//! The open handles of a device, and the objects of each.
//!
//! The table's lock makes a check and its step one: nobody else takes a step on an object between them. A wait blocks on
//! a thread of its own without the lock, so releases get through.

use alloc::vec::Vec;

use rundown_abi::{
    Header, ObjectAcquire, ObjectCounted, ObjectCreate, ObjectCreated, ObjectKind, ObjectLimits, ObjectQuery,
    ObjectRelease, ObjectState, Refusal, limits,
};
use wdk_sys::WDFOBJECT;

use super::{Ending, Object};
use crate::{pended::Pend, reference};

/// The open handles of a device, and the objects of each.
pub(crate) struct Handles {
    open: Vec<Handle>,
    last: u64,
    /// The device was removed by surprise.
    removed: bool,
}

/// An open handle.
struct Handle {
    /// Only ever compared.
    file: WDFOBJECT,
    objects: Objects,
}

/// The objects of a handle. Dropping them releases what is outstanding, and waits for their waits.
pub(crate) type Objects = Vec<Object>;

impl Handles {
    pub(crate) const fn new() -> Self {
        Self {
            open: Vec::new(),
            last: 0,
            removed: false,
        }
    }

    /// A handle is opened.
    pub(crate) fn open(&mut self, file: WDFOBJECT) -> Result<(), Refusal> {
        self.present()?;
        self.open.try_reserve(1).map_err(|_| Refusal::Resources)?;
        self.open.push(Handle {
            file,
            objects: Vec::new(),
        });
        Ok(())
    }

    /// A handle is closed: the objects that it had, to be dropped without the lock.
    #[must_use]
    pub(crate) fn close(&mut self, file: WDFOBJECT) -> Option<Objects> {
        let index = self.open.iter().position(|handle| handle.file == file)?;
        let objects = self.open.swap_remove(index).objects;
        for object in &objects {
            object.ends_by(Ending::Closed);
        }
        if self.open.is_empty() {
            // The framework frees a device's context without dropping it: the last one out leaves nothing allocated.
            self.open = Vec::new();
        }
        Some(objects)
    }

    /// Whether a handle is open.
    pub(crate) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The device was removed by surprise: requests are refused from now on. The objects of one handle after the other,
    /// to be dropped without the lock; `None` when there are no more.
    #[must_use]
    pub(crate) fn remove(&mut self) -> Option<Objects> {
        self.removed = true;
        let handle = self.open.iter_mut().find(|handle| !handle.objects.is_empty())?;
        let objects = core::mem::take(&mut handle.objects);
        for object in &objects {
            object.ends_by(Ending::Removed);
        }
        Some(objects)
    }

    /// Refused when the device was removed.
    pub(crate) fn present(&self) -> Result<(), Refusal> {
        if self.removed {
            Err(Refusal::Removed)
        } else {
            Ok(())
        }
    }

    pub(crate) fn limits(&mut self, file: WDFOBJECT) -> Result<ObjectLimits, Refusal> {
        let objects = self.objects(file)?;
        Ok(ObjectLimits {
            header: Header::of::<ObjectLimits>(),
            objects: limits::OBJECTS,
            waits: limits::WAITS,
            references: limits::REFERENCES,
            steps: limits::STEPS,
            bytes: limits::BYTES,
            objects_now: u32::try_from(objects.len()).unwrap_or(u32::MAX),
            waits_now: reference::going_on(),
            bytes_now: bytes(objects),
        })
    }

    pub(crate) fn create(
        &mut self,
        file: WDFOBJECT,
        create: &ObjectCreate,
    ) -> Result<ObjectCreated, Refusal> {
        let kind = ObjectKind::from_wire(create.kind).ok_or(Refusal::Kind)?;
        let number = self.last + 1;
        let objects = self.objects(file)?;
        if objects.len() >= limits::OBJECTS as usize {
            return Err(Refusal::TooManyObjects);
        }
        if bytes(objects).saturating_add(Object::bytes(kind)) > limits::BYTES {
            return Err(Refusal::TooManyBytes);
        }
        let mut object = Object::new(number, kind)?;
        objects.try_reserve(1).map_err(|_| Refusal::Resources)?;
        if create.starts_disabled() {
            object.completed()?;
        }
        objects.push(object);
        self.last = number;
        Ok(ObjectCreated {
            header: Header::of::<ObjectCreated>(),
            object: number,
        })
    }

    pub(crate) fn acquire(
        &mut self,
        file: WDFOBJECT,
        acquire: &ObjectAcquire,
    ) -> Result<ObjectCounted, Refusal> {
        self.find(file, acquire.object)?.acquire(acquire.count)
    }

    pub(crate) fn release(
        &mut self,
        file: WDFOBJECT,
        release: &ObjectRelease,
    ) -> Result<ObjectCounted, Refusal> {
        self.find(file, release.object)?.release(release.count)
    }

    /// Begins the run-down; the request pends until the wait ends.
    pub(crate) fn wait(
        &mut self,
        file: WDFOBJECT,
        query: &ObjectQuery,
        pend: Pend<'_>,
    ) -> Result<(), Refusal> {
        self.find(file, query.object)?.wait(pend)
    }

    pub(crate) fn completed(&mut self, file: WDFOBJECT, query: &ObjectQuery) -> Result<(), Refusal> {
        self.find(file, query.object)?.completed()
    }

    pub(crate) fn reinitialize(&mut self, file: WDFOBJECT, query: &ObjectQuery) -> Result<(), Refusal> {
        self.find(file, query.object)?.reinitialize()
    }

    pub(crate) fn state(
        &mut self,
        file: WDFOBJECT,
        query: &ObjectQuery,
        with_pointers: bool,
    ) -> Result<ObjectState, Refusal> {
        Ok(self.find(file, query.object)?.state(with_pointers))
    }

    pub(crate) fn destroy(&mut self, file: WDFOBJECT, query: &ObjectQuery) -> Result<(), Refusal> {
        self.find(file, query.object)?.at_rest()?;
        self.objects(file)?
            .retain(|object| object.number() != query.object);
        Ok(())
    }

    fn objects(&mut self, file: WDFOBJECT) -> Result<&mut Objects, Refusal> {
        self.present()?;
        let handle = self.open.iter_mut().find(|handle| handle.file == file);
        // A request that was under way when its handle was closed.
        Ok(&mut handle.ok_or(Refusal::NoSuchObject)?.objects)
    }

    fn find(&mut self, file: WDFOBJECT, number: u64) -> Result<&mut Object, Refusal> {
        let object = self
            .objects(file)?
            .iter_mut()
            .find(|object| object.number() == number);
        object.ok_or(Refusal::NoSuchObject)
    }
}

/// Bytes of pool that the objects take together.
fn bytes(objects: &[Object]) -> u64 {
    objects.iter().fold(0, |sum: u64, object| {
        sum.saturating_add(Object::bytes(object.kind()))
    })
}
