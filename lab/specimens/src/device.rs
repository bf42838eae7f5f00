//! The specimen `device`: a WDM driver for a root device. What it does at a request is the request's function code, from 0x800.

use crate::nt::{self, *};
use crate::pool::{give_all_back, take_all};
use core::arch::asm;
use core::ffi::c_void;

/// `IRP_MJ_DEVICE_CONTROL`, `IRP_MJ_PNP`, and what they need.
const DEVICE_CONTROL: usize = 0xE;
const PNP: usize = 0x1B;
const START_DEVICE: u8 = 0;
const REMOVE_DEVICE: u8 = 2;
const DO_DEVICE_INITIALIZING: u32 = 0x80;
const SL_PENDING_RETURNED: u8 = 1;
const PENDING: i32 = 0x103;

/// Bytes of the device extension.
const EXTENSION: u32 = 8;

/// {22334455-6677-8899-0102-030405060708}, in memory order.
static INTERFACE: [u8; 16] = [
    0x55, 0x44, 0x33, 0x22, 0x77, 0x66, 0x99, 0x88, 1, 2, 3, 4, 5, 6, 7, 8,
];

static mut LINK: UnicodeString = UnicodeString {
    length: 0,
    maximum: 0,
    buffer: core::ptr::null(),
};
/// The device below ours.
static mut BELOW: *mut c_void = core::ptr::null_mut();
/// Whether to keep the device, its link or nothing when it is removed.
static mut KEEP_DEVICE: bool = false;

pub(crate) unsafe fn initialize(driver: *mut c_void) -> i32 {
    unsafe {
        let mut major = [pass as *const () as u64; 28];
        for function in [0, 2, 0x12] {
            major[function] = succeed as *const () as u64; // create, close, cleanup
        }
        major[DEVICE_CONTROL] = control as *const () as u64;
        major[PNP] = plug_and_play as *const () as u64;
        nt::driver::MAJOR.write(driver, major);
        let extension = nt::driver::EXTENSION.read(driver);
        nt::driver::ADD_DEVICE.write(extension, add_device as *const () as u64);
    }
    0
}

unsafe extern "system" fn add_device(driver: *mut c_void, physical: *mut c_void) -> i32 {
    unsafe {
        let mut device = core::ptr::null_mut();
        let status = IoCreateDevice(driver, EXTENSION, core::ptr::null(), 0x22, 0, 0, &mut device);
        if status < 0 {
            return status;
        }
        BELOW = IoAttachDeviceToDeviceStack(device, physical);
        let status =
            IoRegisterDeviceInterface(physical, INTERFACE.as_ptr(), core::ptr::null(), &raw mut LINK);
        if status < 0 {
            IoDetachDevice(BELOW);
            IoDeleteDevice(device);
            return status;
        }
        let flags = nt::device::FLAGS.read(device);
        nt::device::FLAGS.write(device, flags & !DO_DEVICE_INITIALIZING);
    }
    0
}

unsafe fn complete(irp: *mut c_void, status: i32, information: u64) -> i32 {
    unsafe {
        nt::irp::STATUS.write(irp, status);
        nt::irp::INFORMATION.write(irp, information);
        IofCompleteRequest(irp, 0);
    }
    status
}

unsafe extern "system" fn succeed(_device: *mut c_void, irp: *mut c_void) -> i32 {
    unsafe { complete(irp, 0, 0) }
}

/// `IoSkipCurrentIrpStackLocation` and on to the device below.
unsafe extern "system" fn pass(_device: *mut c_void, irp: *mut c_void) -> i32 {
    unsafe {
        nt::irp::LOCATION.write(irp, nt::irp::LOCATION.read(irp) + 1);
        let stack = nt::irp::STACK.read(irp);
        nt::irp::STACK.write(irp, stack.byte_add(nt::stack::SIZE));
        IofCallDriver(BELOW, irp)
    }
}

unsafe extern "system" fn plug_and_play(device: *mut c_void, irp: *mut c_void) -> i32 {
    unsafe {
        let minor = nt::stack::MINOR.read(nt::irp::STACK.read(irp));
        match minor {
            START_DEVICE => {
                IoSetDeviceInterfaceState(&raw const LINK, 1);
            }
            REMOVE_DEVICE => {
                IoSetDeviceInterfaceState(&raw const LINK, 0);
                RtlFreeUnicodeString(&raw mut LINK);
            }
            _ => {}
        }
        nt::irp::STATUS.write(irp, 0);
        let status = pass(device, irp);
        if minor == REMOVE_DEVICE {
            IoDetachDevice(BELOW);
            if !KEEP_DEVICE {
                IoDeleteDevice(device);
            }
        }
        status
    }
}

/// A cancel routine that is never called.
unsafe extern "system" fn cancel(_device: *mut c_void, _irp: *mut c_void) {}

/// Allocates two blocks and frees them; if the second fails, the first only if `tidy`.
unsafe fn two_blocks(irp: *mut c_void, tidy: bool) -> i32 {
    unsafe {
        let first = block();
        if first.is_null() {
            return complete(irp, INSUFFICIENT_RESOURCES, 0);
        }
        let second = block();
        if second.is_null() {
            if tidy {
                ExFreePoolWithTag(first, TAG);
            }
            return complete(irp, INSUFFICIENT_RESOURCES, 0);
        }
        ExFreePoolWithTag(first, TAG);
        ExFreePoolWithTag(second, TAG);
        complete(irp, 0, 0)
    }
}

unsafe extern "system" fn control(device: *mut c_void, irp: *mut c_void) -> i32 {
    unsafe {
        let code = nt::stack::CONTROL_CODE.read(nt::irp::STACK.read(irp));
        match code >> 2 & 0xFFF {
            // Sound.
            0x800 => complete(irp, 0, 0),
            0x801 => {
                complete(irp, 0, 0);
                IofCompleteRequest(irp, 0);
                0
            }
            // Sent on with no stack location left for the device below.
            0x802 => {
                nt::irp::LOCATION.write(irp, 1);
                IofCallDriver(BELOW, irp)
            }
            0x803 => complete(irp, PENDING, 0),
            0x804 => {
                nt::irp::CANCEL_ROUTINE.write(irp, cancel as *const () as u64);
                complete(irp, 0, 0)
            }
            // Neither completed nor pending.
            0x805 => 0,
            0x806 => {
                IoDeleteDevice(device);
                complete(irp, 0, 0)
            }
            // One byte more than the output buffer holds.
            0x807 => complete(irp, 0, output_length(irp) + 1),
            0x808 => IofCallDriver(irp, irp),
            // Pending for ever.
            0x809 => {
                let stack = nt::irp::STACK.read(irp);
                nt::stack::CONTROL.write(stack, nt::stack::CONTROL.read(stack) | SL_PENDING_RETURNED);
                PENDING
            }
            // The device stays when it is removed.
            0x80A => {
                KEEP_DEVICE = true;
                complete(irp, 0, 0)
            }
            // Interrupts disabled for ever, at PASSIVE_LEVEL: no watchdog of the machine's sees it.
            0x80B => {
                asm!("cli");
                loop {
                    core::hint::spin_loop();
                }
            }
            // For sweeps. Sound: what fails is said, and what was there is freed.
            0x810 => two_blocks(irp, true),
            // The first block is forgotten if there is no second.
            0x811 => two_blocks(irp, false),
            // Looks at no result.
            0x812 => {
                block().write_volatile(1);
                complete(irp, 0, 0)
            }
            // Says something else than what happened.
            0x813 => {
                let block = block();
                if block.is_null() {
                    return complete(irp, FAILED, 0);
                }
                ExFreePoolWithTag(block, TAG);
                complete(irp, 0, 0)
            }
            // Sound: the output buffer to its last byte.
            0x820 => {
                let length = output_length(irp);
                let last = output_buffer(irp).add(length as usize - 1);
                last.write_volatile(1);
                complete(irp, 0, length)
            }
            // The byte behind it.
            0x821 => {
                output_buffer(irp)
                    .add(output_length(irp) as usize)
                    .write_volatile(1);
                complete(irp, 0, 0)
            }
            // The byte behind the IRP.
            0x822 => {
                irp.byte_add(nt::irp::SIZE.read(irp).into())
                    .cast::<u8>()
                    .write_volatile(1);
                complete(irp, 0, 0)
            }
            // The byte behind the file object.
            0x823 => {
                let file = nt::stack::FILE_OBJECT.read(nt::irp::STACK.read(irp));
                file.byte_add(FILE_OBJECT_SIZE).cast::<u8>().write_volatile(1);
                complete(irp, 0, 0)
            }
            // Sound: the device extension to its last byte. And the byte behind it.
            0x824 => write_extension(device, irp, EXTENSION as usize - 1),
            0x825 => write_extension(device, irp, EXTENSION as usize),
            // A symbolic link stays.
            0x826 => {
                let (name, target) = (unicode(&LINK_NAME), unicode(&LINK_TARGET));
                complete(irp, IoCreateSymbolicLink(&name, &target), 0)
            }
            // An IRP stays.
            0x827 => complete(irp, if IoAllocateIrp(1, 0).is_null() { FAILED } else { 0 }, 0),
            // A handle in the client's process; and, sound, one that is the kernel's.
            0x828 => make_handle(irp, core::ptr::null()),
            0x829 => make_handle(irp, &raw const KERNEL_HANDLE),
            // All of the memory, which stays until it is given back.
            0x82A => {
                take_all();
                complete(irp, 0, 0)
            }
            0x82B => {
                give_all_back();
                complete(irp, 0, 0)
            }
            // The time-stamp counter and the performance counter.
            0x82C => {
                let output = output_buffer(irp).cast::<u64>();
                output.write_unaligned(timestamp());
                let ticks = KeQueryPerformanceCounter(core::ptr::null_mut());
                output.add(1).write_unaligned(ticks as u64);
                complete(irp, 0, 16)
            }
            // Returns in a critical region.
            0x82D => {
                KeEnterCriticalRegion();
                complete(irp, 0, 0)
            }
            // A resource with APCs enabled, acquired and released.
            0x82E => resource(irp, false),
            0x82F => resource(irp, true),
            // Sound, METHOD_NEITHER: the client's bytes are probed, and given back turned round.
            0x830 => turn_round(irp, true),
            // The same without a probe.
            0x831 => turn_round(irp, false),
            // The client's memory is touched after its request.
            0x832 => {
                let user = nt::irp::USER_BUFFER.read(irp);
                ProbeForWrite(user, output_length(irp), 1);
                complete(irp, 0, 0);
                user.write_volatile(1);
                0
            }
            // An MDL, and a work item, that stay.
            0x833 => {
                IoAllocateMdl(irp, 1, 0, 0, core::ptr::null_mut());
                complete(irp, 0, 0)
            }
            0x834 => {
                IoAllocateWorkItem(device);
                complete(irp, 0, 0)
            }
            // Sound, METHOD_NEITHER: the client's memory by an MDL, at DISPATCH_LEVEL, where its address is of no use.
            0x835 => {
                let length = output_length(irp);
                let user = nt::irp::USER_BUFFER.read(irp).cast();
                let mdl = IoAllocateMdl(user, length as u32, 0, 0, core::ptr::null_mut());
                MmProbeAndLockPages(mdl, 1, 1);
                let mapped = system_address(mdl);
                let old = KfRaiseIrql(DISPATCH_LEVEL);
                mapped.write_bytes(0x5A, length as usize);
                KeLowerIrql(old);
                MmUnlockPages(mdl);
                IoFreeMdl(mdl);
                complete(irp, 0, length)
            }
            // Sound, METHOD_NEITHER: an MDL that is the IRP's, and goes with it.
            0x836 => {
                let length = output_length(irp);
                let user = nt::irp::USER_BUFFER.read(irp).cast();
                let mdl = IoAllocateMdl(user, length as u32, 0, 0, irp);
                MmProbeAndLockPages(mdl, 1, 1);
                system_address(nt::irp::MDL.read(irp)).write_bytes(0x5B, length as usize);
                complete(irp, 0, length)
            }
            _ => complete(irp, FAILED, 0),
        }
    }
}

static mut RESOURCE: Resource = Resource([0; 13]);

unsafe fn resource(irp: *mut c_void, in_region: bool) -> i32 {
    unsafe {
        let resource = &raw mut RESOURCE;
        ExInitializeResourceLite(resource);
        if in_region {
            KeEnterCriticalRegion();
        }
        ExAcquireResourceExclusiveLite(resource, 1);
        if in_region {
            KeLeaveCriticalRegion();
        }
        ExReleaseResourceLite(resource);
        ExDeleteResourceLite(resource);
        complete(irp, 0, 0)
    }
}

unsafe fn turn_round(irp: *mut c_void, probe: bool) -> i32 {
    unsafe {
        let stack = nt::irp::STACK.read(irp);
        let (input, output) = (nt::stack::TYPE3_INPUT.read(stack), nt::irp::USER_BUFFER.read(irp));
        let length = nt::stack::INPUT_LENGTH.read(stack).min(output_length(irp) as u32) as usize;
        if probe {
            ProbeForRead(input, length as u64, 1);
            ProbeForWrite(output, length as u64, 1);
        }
        for index in 0..length {
            output
                .add(length - 1 - index)
                .write_volatile(input.add(index).read_volatile());
        }
        if length == 0 && !probe {
            output.read_volatile();
        }
        complete(irp, 0, length as u64)
    }
}

fn timestamp() -> u64 {
    let (high, low): (u64, u64);
    unsafe { asm!("rdtsc", out("rdx") high, out("rax") low) };
    high << 32 | low
}

unsafe fn output_length(irp: *mut c_void) -> u64 {
    unsafe { nt::stack::OUTPUT_LENGTH.read(nt::irp::STACK.read(irp)).into() }
}

/// By the method: the system's buffer, or what the MDL maps.
unsafe fn output_buffer(irp: *mut c_void) -> *mut u8 {
    unsafe {
        let mdl = nt::irp::MDL.read(irp);
        if mdl.is_null() {
            nt::irp::SYSTEM_BUFFER.read(irp)
        } else {
            system_address(mdl)
        }
    }
}

unsafe fn write_extension(device: *mut c_void, irp: *mut c_void, offset: usize) -> i32 {
    unsafe {
        nt::device::EXTENSION.read(device).add(offset).write_volatile(1);
        complete(irp, 0, 0)
    }
}

static LINK_NAME: [u16; 16] = utf16("\\DosDevices\\Left");
static LINK_TARGET: [u16; 16] = utf16("\\Device\\00000001");

unsafe extern "system" fn nothing(_context: *mut c_void) {}

unsafe fn make_handle(irp: *mut c_void, attributes: *const ObjectAttributes) -> i32 {
    let mut handle = 0;
    unsafe {
        let status = PsCreateSystemThread(&mut handle, 0, attributes, 0, 0, nothing, core::ptr::null_mut());
        if status >= 0 {
            let thread = object_of(handle);
            ZwClose(handle);
            join(thread);
        }
        complete(irp, status, 0)
    }
}
