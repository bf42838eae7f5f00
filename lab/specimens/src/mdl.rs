//! Memory descriptor lists. The rules are those of the routines' pages and of Microsoft Learn's "Using MDLs", the codes those of bug check 0xC4's page.

use crate::Specimen;
use crate::nt::{self, *};
use core::ffi::c_void;
use core::ptr::null_mut;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound-mdl", sound_mdl),
    ("unlock-unlocked-mdl", || unsafe {
        with_mdl(paged, |mdl| MmUnlockPages(mdl))
    }),
    ("unlock-mdl-of-pool", || unsafe {
        with_mdl(pool, |mdl| {
            MmBuildMdlForNonPagedPool(mdl);
            MmUnlockPages(mdl);
        })
    }),
    ("build-mdl-of-paged-pool", || unsafe {
        with_mdl(paged, |mdl| MmBuildMdlForNonPagedPool(mdl))
    }),
    ("build-mdl-of-stack", build_mdl_of_stack),
    ("map-mdl-with-bug-check", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 0);
            MmMapLockedPagesSpecifyCache(mdl, 0, 1, null_mut(), 1, 16);
        })
    }),
    ("lock-mdl-twice", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 0);
            MmProbeAndLockPages(mdl, 0, 0);
        })
    }),
    ("map-mdl-twice", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 0);
            map(mdl);
            map(mdl);
        })
    }),
    ("map-mdl-of-pool", || unsafe {
        with_mdl(pool, |mdl| {
            MmBuildMdlForNonPagedPool(mdl);
            map(mdl);
        })
    }),
    ("map-unlocked-mdl", || unsafe {
        with_mdl(paged, |mdl| drop(map(mdl)))
    }),
    ("unlock-partial-mdl", unlock_partial_mdl),
    ("unmap-unmapped-mdl", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 0);
            MmUnmapLockedPages(nt::mdl::START.read(mdl), mdl);
        })
    }),
    ("free-locked-mdl", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 0);
            IoFreeMdl(mdl);
        })
    }),
    ("free-mdl-twice", || unsafe {
        with_mdl(paged, |mdl| {
            IoFreeMdl(mdl);
            IoFreeMdl(mdl);
        })
    }),
    ("free-locked-pool", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 0);
            ExFreePoolWithTag(nt::mdl::START.read(mdl), TAG);
        })
    }),
    ("build-partial-mdl-beyond", build_partial_mdl_beyond),
    ("lock-no-memory", lock_no_memory),
    ("touch-unlocked-mapping", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 1);
            let mapped = map(mdl);
            MmUnlockPages(mdl);
            mapped.write_volatile(1);
        })
    }),
    ("write-behind-mapping", || unsafe {
        with_mdl(paged, |mdl| {
            MmProbeAndLockPages(mdl, 0, 1);
            map(mdl).add(LENGTH).write_volatile(1);
        })
    }),
    ("leave-locked-pages", leave_locked_pages),
];

/// Two pages, so that a block begins where a page does.
const LENGTH: usize = 0x2000;

unsafe fn pool() -> *mut u8 {
    unsafe { ExAllocatePool2(NON_PAGED, LENGTH as u64, TAG) }
}

unsafe fn paged() -> *mut u8 {
    unsafe { ExAllocatePool2(PAGED, LENGTH as u64, TAG) }
}

unsafe fn describe(address: *mut u8, length: usize) -> *mut c_void {
    unsafe { IoAllocateMdl(address.cast(), length as u32, 0, 0, null_mut()) }
}

unsafe fn map(mdl: *mut c_void) -> *mut u8 {
    unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, 1, null_mut(), 0, 16) }
}

unsafe fn with_mdl(memory: unsafe fn() -> *mut u8, offence: impl FnOnce(*mut c_void)) -> i32 {
    unsafe { offence(describe(memory(), LENGTH)) };
    0
}

/// A byte of one view in the other.
unsafe fn is_the_same(left: *mut u8, right: *mut u8) -> bool {
    unsafe {
        left.write_volatile(left.read_volatile() ^ 0xFF);
        left.read_volatile() == right.read_volatile()
    }
}

unsafe fn sound_mdl() -> i32 {
    unsafe {
        // Nonpaged pool is mapped where it is: MmBuildMdlForNonPagedPool's page.
        let block = pool();
        let mdl = describe(block.add(0x10), LENGTH - 0x20);
        check!(nt::mdl::START.read(mdl) == block && nt::mdl::OFFSET.read(mdl) == 0x10);
        check!(nt::mdl::COUNT.read(mdl) as usize == LENGTH - 0x20);
        check!(MmSizeOfMdl(block.add(0x10).cast(), LENGTH as u64) == 0x30 + 3 * 8);
        MmBuildMdlForNonPagedPool(mdl);
        check!(system_address(mdl) == block.add(0x10) && nt::mdl::FLAGS.read(mdl) & 7 == 4);
        IoFreeMdl(mdl);
        ExFreePoolWithTag(block, TAG);

        // What is locked stays while paged pool is away, at DISPATCH_LEVEL; and a part of it is where the whole is.
        let block = paged();
        let mdl = describe(block, LENGTH);
        MmProbeAndLockPages(mdl, 0, 1);
        check!(nt::mdl::FLAGS.read(mdl) & 7 == 2);
        let unmapped_part = describe(block.add(0x1100), 0x10);
        IoBuildPartialMdl(mdl, unmapped_part, block.add(0x1100).cast(), 0x10);
        let own = system_address(unmapped_part);
        let mapped = system_address(mdl);
        check!(mapped != block && system_address(mdl) == mapped);
        let part = describe(block.add(0x1010), 0x20);
        IoBuildPartialMdl(mdl, part, block.add(0x1010).cast(), 0x20);
        check!(system_address(part) == mapped.add(0x1010) && nt::mdl::FLAGS.read(part) & 0x13 == 0x11);
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        mapped.add(0x1010).write_volatile(0x77);
        let right = is_the_same(own, mapped.add(0x1100));
        KeLowerIrql(old);
        check!(right && block.add(0x1010).read_volatile() == 0x77);
        check!(is_the_same(block.add(LENGTH - 1), mapped.add(LENGTH - 1)));
        IoFreeMdl(part);
        IoFreeMdl(unmapped_part);
        MmUnmapLockedPages(mapped, mdl);
        let again = map(mdl);
        check!(is_the_same(again, block));
        // "If the specified MDL is mapped to system address space, MmUnlockPages releases this mapping".
        MmUnlockPages(mdl);
        check!(nt::mdl::FLAGS.read(mdl) & 7 == 0);
        IoFreeMdl(mdl);
        ExFreePoolWithTag(block, TAG);
    }
    0
}

unsafe fn build_mdl_of_stack() -> i32 {
    let mut local = [0_u8; 16];
    unsafe { MmBuildMdlForNonPagedPool(describe(local.as_mut_ptr(), 16)) };
    0
}

unsafe fn unlock_partial_mdl() -> i32 {
    unsafe {
        let block = paged();
        let (mdl, part) = (describe(block, LENGTH), describe(block, 0x10));
        MmProbeAndLockPages(mdl, 0, 1);
        IoBuildPartialMdl(mdl, part, block.cast(), 0x10);
        MmUnlockPages(part);
    }
    0
}

unsafe fn build_partial_mdl_beyond() -> i32 {
    unsafe {
        let block = pool();
        let (mdl, part) = (describe(block, 0x1000), describe(block, LENGTH));
        MmBuildMdlForNonPagedPool(mdl);
        IoBuildPartialMdl(mdl, part, block.cast(), 0x1010);
    }
    0
}

/// An exception, which nobody handles.
unsafe fn lock_no_memory() -> i32 {
    unsafe {
        let block = freed_block();
        MmProbeAndLockPages(describe(block, 8), 0, 0);
    }
    0
}

static mut OWN: [u64; 7] = [0; 7];
static mut LEFT: [u8; 16] = [0; 16];

/// `MmInitializeMdl`, in line, in the driver's own memory.
unsafe fn leave_locked_pages() -> i32 {
    unsafe {
        let (mdl, address) = ((&raw mut OWN).cast::<c_void>(), (&raw mut LEFT).cast::<u8>());
        nt::mdl::START.write(mdl, address.map_addr(|address| address & !0xFFF));
        nt::mdl::OFFSET.write(mdl, address.addr() as u32 & 0xFFF);
        nt::mdl::COUNT.write(mdl, 8);
        MmProbeAndLockPages(mdl, 0, 0);
    }
    0
}
