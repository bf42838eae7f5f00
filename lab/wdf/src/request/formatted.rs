//! What a request for an I/O target is formatted with: the driver's memory, and what the framework puts in its place. `FxIoContext`
//! (fxiotargetkm.hpp) and `FxRequestContext` (fxrequestcontext.cpp).

use crate::layout::{CompletionParams, TYPE_NO_FORMAT};
use crate::memory;
use crate::object::{self, Object};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::io::object::{Irp, major};
use rundown_lab_kernel::mm::mdl::Mdl;

/// Fields of an IRP that a format overwrites.
#[derive(Clone, Copy)]
pub struct Before {
    system_buffer: *mut u8,
    user_buffer: u64,
    mdl: u64,
    flags: u32,
}

// SAFETY: the pointer is only carried back to where it was.
unsafe impl Send for Before {}

impl Before {
    /// Those of `irp` now.
    pub fn of(irp: &Irp) -> Self {
        Self {
            system_buffer: irp.system_buffer.get(),
            user_buffer: irp.user_buffer.get(),
            mdl: irp.mdl_address.get(),
            flags: irp.flags.get(),
        }
    }

    fn restore(self, irp: &Irp) {
        irp.system_buffer.set(self.system_buffer);
        irp.user_buffer.set(self.user_buffer);
        irp.mdl_address.set(self.mdl);
        irp.flags.set(self.flags);
    }
}

/// What a request is formatted with.
pub struct Formatted {
    /// What the completion routine is told.
    pub params: CompletionParams,
    /// What the IRP had before.
    pub before: Option<Before>,
    /// Memory objects of the driver's, referenced.
    pub memories: Vec<Arc<Object>>,
    /// Pool that stands for the driver's buffer: 0, or a block.
    pub block: u64,
    /// Where to copy what comes back in it, and how much there is room for.
    pub copy_back: Option<(u64, u64)>,
    /// An MDL of the framework's own, or 0.
    pub mdl: u64,
    /// The major function, of which the completion routine is told a length; 0 for one of the driver's own arguments.
    pub function: u8,
}

impl Default for Formatted {
    fn default() -> Self {
        Self {
            params: CompletionParams {
                size: size_of::<CompletionParams>() as u32,
                kind: TYPE_NO_FORMAT,
                status: 0,
                information: 0,
                parameters: [0; 6],
            },
            before: None,
            memories: Vec::new(),
            block: 0,
            copy_back: None,
            mdl: 0,
            function: 0,
        }
    }
}

impl Formatted {
    /// The request is back: how much there is, and the output where the driver wants it (fxiotargetkm.hpp:159).
    pub fn take_back(&mut self, irp: &Irp) {
        let information = irp.io_status.information.get();
        self.params.status = u64::from(irp.io_status.status.get() as u32);
        self.params.information = information;
        match self.function {
            major::READ | major::WRITE => self.params.parameters[1] = information,
            major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => {
                self.params.parameters[5] = information;
            }
            _ => {}
        }
        if let Some((target, room)) = self.copy_back.take() {
            // SAFETY: the driver's memory has that room until the request is back, by the format's declaration; the block has as much.
            unsafe { (target as *mut u8).copy_from(self.block as *const u8, information.min(room) as usize) };
        }
    }

    /// The driver's memory is its own again, and the IRP is as it was. The caller holds no lock: objects may go with this.
    pub fn release(self, irp: &Irp) {
        if let Some(before) = self.before {
            before.restore(irp);
        }
        if self.block != 0 {
            object::free(self.block, "buffer of a request that the driver formatted");
        }
        if self.mdl != 0 {
            // SAFETY: the format made it, and this is its end.
            memory::release(unsafe { Mdl::at(self.mdl) });
        }
        for memory in self.memories {
            memory.dereference();
        }
    }
}
