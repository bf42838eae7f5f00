//! GDT, TSS and IDT: one GDT and TSS per processor, one IDT for all.

use super::MAX_PROCESSORS;
use super::trap;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{PrivilegeLevel, VirtAddr};

/// Size of the stack of a double fault and of an NMI, bytes.
const FAULT_STACK: usize = 32 * 1024;
const DOUBLE_FAULT_IST: u16 = 0;
const NMI_IST: u16 = 1;
/// Kernel code is the first descriptor, as `boot.s` has it.
const CODE: SegmentSelector = SegmentSelector::new(1, PrivilegeLevel::Ring0);

/// A static that boot writes once, on one processor, before anybody reads it.
struct Boot<T>(UnsafeCell<T>);

// SAFETY: written only by `initialize`, before any other processor or thread looks at that element.
unsafe impl<T> Sync for Boot<T> {}

#[repr(C, align(16))]
struct FaultStack([u8; FAULT_STACK]);

struct Tables {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
    stacks: [FaultStack; 2],
}

static TABLES: [Boot<MaybeUninit<Tables>>; MAX_PROCESSORS] =
    [const { Boot(UnsafeCell::new(MaybeUninit::uninit())) }; MAX_PROCESSORS];
static IDT: Boot<InterruptDescriptorTable> = Boot(UnsafeCell::new(InterruptDescriptorTable::new()));

/// Loads processor `number`'s tables; the first processor also fills the IDT.
pub fn initialize(number: usize) {
    let tables = TABLES[number].0.get().cast::<Tables>();
    // SAFETY: this processor is the only user of its element, and no reference to it exists yet.
    let tss = unsafe { &mut (*tables).tss };
    *tss = TaskStateSegment::new();
    for (index, ist) in [DOUBLE_FAULT_IST, NMI_IST].into_iter().enumerate() {
        // SAFETY: only the address of the stack is taken, inside the static.
        let stack = unsafe { &raw const (*tables).stacks[index] };
        tss.interrupt_stack_table[ist as usize] = VirtAddr::from_ptr(stack.wrapping_add(1));
    }
    // SAFETY: as for `tss`, another field; like it, it lies in a static.
    let gdt: &'static mut GlobalDescriptorTable = unsafe { &mut (*tables).gdt };
    *gdt = GlobalDescriptorTable::new();
    gdt.append(Descriptor::kernel_code_segment());
    // SAFETY: the TSS lies in a static and is not written again.
    let tss = unsafe { &(*tables).tss };
    let task = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: the selector names the TSS descriptor that was just added.
    unsafe { x86_64::instructions::tables::load_tss(task) };

    if number == 0 {
        // SAFETY: the boot processor is alone, and no reference to the IDT exists yet.
        let idt = unsafe { &mut *IDT.0.get() };
        fill(idt);
    }
    // SAFETY: the IDT is a static, filled before any processor loads it, and never written again.
    let idt = unsafe { &*IDT.0.get() };
    idt.load();
}

/// Points every vector at its stub.
fn fill(idt: &mut InterruptDescriptorTable) {
    /// Points one entry at the stub of its vector, with an interrupt stack if one is named.
    macro_rules! entries {
        ($($field:ident = $vector:expr $(, $ist:expr)?;)*) => { $(
            // SAFETY: the stub saves everything, knows whether its vector pushes an error code, and ends with IRETQ.
            let options = unsafe { idt.$field.set_handler_addr(trap::stub($vector)) };
            // SAFETY: the stubs run in kernel code, which descriptor 1 is.
            let options = unsafe { options.set_code_selector(CODE) };
            $(
                // SAFETY: `initialize` gave this interrupt stack its own memory.
                unsafe { options.set_stack_index($ist) };
            )?
            let _ = options;
        )* };
    }
    entries! {
        divide_error = 0; debug = 1; non_maskable_interrupt = 2, NMI_IST; breakpoint = 3; overflow = 4;
        bound_range_exceeded = 5; invalid_opcode = 6; device_not_available = 7;
        double_fault = 8, DOUBLE_FAULT_IST;
        invalid_tss = 10; segment_not_present = 11; stack_segment_fault = 12; general_protection_fault = 13;
        page_fault = 14; x87_floating_point = 16; alignment_check = 17; machine_check = 18; simd_floating_point = 19;
    }
    for vector in 32..=255_u8 {
        let entry = &mut idt[vector];
        // SAFETY: as above; none of these pushes an error code.
        let options = unsafe { entry.set_handler_addr(trap::stub(vector)) };
        // SAFETY: as above.
        unsafe { options.set_code_selector(CODE) };
    }
}
