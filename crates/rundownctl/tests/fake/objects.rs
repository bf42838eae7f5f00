//! The fake driver's objects: counts, phases, and waits that pend until the last release.

use rundown_abi::{
    Header, ObjectAcquire, ObjectCounted, ObjectCreate, ObjectCreated, ObjectPhase, ObjectQuery,
    ObjectRelease, ObjectState, ObjectWaited, Refusal, WaitEnd, ioctl, parse,
};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// What became of a request.
pub(crate) enum Reply {
    /// It is answered: the output, or the NTSTATUS.
    Now(Result<Vec<u8>, u32>),
    /// It pends until the object is drained.
    Pends(u64),
}

#[derive(Clone, Debug)]
struct Object {
    kind: u32,
    outstanding: u64,
    phase: ObjectPhase,
}

/// The objects of the only handle, by their numbers, which begin at 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects(Vec<Object>);

fn bytes(answer: &(impl IntoBytes + Immutable)) -> Vec<u8> {
    answer.as_bytes().to_vec()
}

/// The answer to a wait for `object`.
pub(crate) fn waited(object: u64, end: WaitEnd) -> Vec<u8> {
    bytes(&ObjectWaited {
        header: Header::of::<ObjectWaited>(),
        object,
        end: end as u32,
        reserved: 0,
        microseconds: 1234,
    })
}

impl Objects {
    /// Carries a request out; `None` when it is not about objects.
    pub(crate) fn request(&mut self, code: u32, input: &[u8]) -> Option<Reply> {
        let reply = match code {
            ioctl::OBJECT_CREATE => parse(input).map(|request| self.create(&request)),
            ioctl::OBJECT_ACQUIRE => parse(input).and_then(|request| self.acquire(&request)),
            ioctl::OBJECT_RELEASE => parse(input).and_then(|request| self.release(&request)),
            ioctl::OBJECT_WAIT => match parse(input).and_then(|request| self.wait(&request)) {
                Ok(None) => {
                    return parse::<ObjectQuery>(input)
                        .ok()
                        .map(|query| Reply::Pends(query.object));
                }
                Ok(Some(answer)) => Ok(answer),
                Err(refusal) => Err(refusal),
            },
            ioctl::OBJECT_COMPLETED => self.set(input, ObjectPhase::RunDown),
            ioctl::OBJECT_REINITIALIZE => self.set(input, ObjectPhase::Live),
            ioctl::OBJECT_STATE => parse(input).and_then(|query| self.state(&query)),
            ioctl::OBJECT_DESTROY => {
                parse::<ObjectQuery>(input).and_then(|query| self.find(query.object).map(|_| Vec::new()))
            }
            _ => return None,
        };
        Some(Reply::Now(reply.map_err(Refusal::status)))
    }

    /// Whether the last reference of a waiting object has gone; it is run down then.
    pub(crate) fn is_drained(&mut self, object: u64) -> bool {
        self.find(object).is_ok_and(|found| {
            let drained = found.outstanding == 0;
            if drained {
                found.phase = ObjectPhase::RunDown;
            }
            drained
        })
    }

    fn find(&mut self, object: u64) -> Result<&mut Object, Refusal> {
        usize::try_from(object)
            .ok()
            .and_then(|object| self.0.get_mut(object.checked_sub(1)?))
            .ok_or(Refusal::NoSuchObject)
    }

    fn create(&mut self, request: &ObjectCreate) -> Vec<u8> {
        let phase = if request.starts_disabled() {
            ObjectPhase::RunDown
        } else {
            ObjectPhase::Live
        };
        self.0.push(Object {
            kind: request.kind,
            outstanding: 0,
            phase,
        });
        bytes(&ObjectCreated {
            header: Header::of::<ObjectCreated>(),
            object: self.0.len() as u64,
        })
    }

    fn acquire(&mut self, request: &ObjectAcquire) -> Result<Vec<u8>, Refusal> {
        let object = self.find(request.object)?;
        let granted = object.phase == ObjectPhase::Live;
        object.outstanding += if granted { request.count.into() } else { 0 };
        Ok(counted(granted, object.outstanding))
    }

    fn release(&mut self, request: &ObjectRelease) -> Result<Vec<u8>, Refusal> {
        let object = self.find(request.object)?;
        object.outstanding = object
            .outstanding
            .checked_sub(request.count.into())
            .ok_or(Refusal::NotHeld)?;
        Ok(counted(true, object.outstanding))
    }

    fn wait(&mut self, request: &ObjectQuery) -> Result<Option<Vec<u8>>, Refusal> {
        let object = self.find(request.object)?;
        if object.outstanding > 0 {
            object.phase = ObjectPhase::Waiting;
            return Ok(None);
        }
        object.phase = ObjectPhase::RunDown;
        Ok(Some(waited(request.object, WaitEnd::Drained)))
    }

    fn set(&mut self, input: &[u8], phase: ObjectPhase) -> Result<Vec<u8>, Refusal> {
        let query: ObjectQuery = parse(input)?;
        let object = self.find(query.object)?;
        if object.outstanding > 0 {
            return Err(Refusal::ReferencesOut);
        }
        object.phase = phase;
        Ok(Vec::new())
    }

    fn state(&mut self, query: &ObjectQuery) -> Result<Vec<u8>, Refusal> {
        let object = self.find(query.object)?.clone();
        let mut state = ObjectState::new_zeroed();
        state.header = Header::of::<ObjectState>();
        state.object = query.object;
        state.kind = object.kind;
        state.phase = object.phase as u32;
        state.outstanding = object.outstanding;
        state.decoded = object.outstanding;
        state.word_count = 1;
        state.words[0] = match object.phase {
            ObjectPhase::Live => object.outstanding * 2,
            ObjectPhase::Waiting => {
                state.flags = ObjectState::MASKED | ObjectState::WAIT;
                ObjectState::MASK
            }
            ObjectPhase::RunDown => 1,
        };
        Ok(bytes(&state))
    }
}

fn counted(granted: bool, outstanding: u64) -> Vec<u8> {
    bytes(&ObjectCounted {
        header: Header::of::<ObjectCounted>(),
        granted: granted.into(),
        reserved: 0,
        outstanding,
    })
}
