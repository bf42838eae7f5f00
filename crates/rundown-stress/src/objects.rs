//! The objects that are protected: how they lie in memory.

use crate::{Memory, canary::Canary};

/// Keeps what is in it on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct OwnLine<T>(pub(crate) T);

/// A reference beside the canary that it protects: four objects to a cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Close<R> {
    reference: R,
    canary: Canary,
}

/// A reference and its canary on a line each.
#[derive(Debug)]
pub(crate) struct Apart<R> {
    reference: OwnLine<R>,
    canary: OwnLine<Canary>,
}

/// The objects of an arm.
pub(crate) enum Objects<R: Send + Sync, M: Memory> {
    Close(M::Slice<Close<R>>),
    Apart(M::Slice<Apart<R>>),
}

impl<R: Send + Sync, M: Memory> Objects<R, M> {
    pub(crate) fn new(
        count: usize,
        false_sharing: bool,
        mut reference: impl FnMut() -> Option<R>,
    ) -> Option<Self> {
        Some(if false_sharing {
            Self::Close(M::slice(count, |_| {
                Some(Close {
                    reference: reference()?,
                    canary: Canary::new(),
                })
            })?)
        } else {
            Self::Apart(M::slice(count, |_| {
                Some(Apart {
                    reference: OwnLine(reference()?),
                    canary: OwnLine(Canary::new()),
                })
            })?)
        })
    }

    /// How many bytes `count` objects take, without what a reference allocates by itself.
    pub(crate) const fn bytes(count: usize, false_sharing: bool) -> usize {
        count
            * if false_sharing {
                size_of::<Close<R>>()
            } else {
                size_of::<Apart<R>>()
            }
    }

    /// An object: its reference and its canary.
    pub(crate) fn get(&self, index: usize) -> (&R, &Canary) {
        match self {
            Self::Close(objects) => (&objects[index].reference, &objects[index].canary),
            Self::Apart(objects) => (&objects[index].reference.0, &objects[index].canary.0),
        }
    }
}
