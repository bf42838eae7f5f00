//! Privileged instructions as functions. The kernel and the driver share CPL 0, so none of them can fault.

use core::arch::asm;

/// Size of the area that FXSAVE64 writes, bytes.
pub const FX_SIZE: usize = 512;

/// What FXSAVE64 writes: x87, MMX and SSE state. The kernel itself is built without vector instructions.
#[repr(C, align(16))]
pub struct FxArea([u8; FX_SIZE]);

impl FxArea {
    /// The state of a thread that has not run: x87 and SSE exceptions masked, round to nearest.
    pub const fn initial() -> Self {
        let mut area = [0; FX_SIZE];
        area[0] = 0x7F;
        area[1] = 0x02; // FCW = 0x027F, as Windows starts threads
        area[24] = 0x80;
        area[25] = 0x1F; // MXCSR = 0x1F80
        Self(area)
    }

    /// The processor's present state.
    pub fn save() -> Self {
        let mut area = Self([0; FX_SIZE]);
        // SAFETY: CR4.OSFXSR is set at boot, and the area is 512 bytes, aligned to 16.
        unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut area, options(nostack, preserves_flags)) };
        area
    }

    /// What was written, as words.
    pub fn words(&self) -> [u64; FX_SIZE / 8] {
        let (words, _) = self.0.as_chunks();
        core::array::from_fn(|index| u64::from_le_bytes(words[index]))
    }

    /// Makes this the processor's state.
    pub fn restore(&self) {
        // SAFETY: the area was written by FXSAVE64 or `initial`, so no reserved bit of MXCSR is set.
        unsafe {
            asm!("fxrstor64 [{}]", in(reg) &raw const *self, options(nostack, readonly, preserves_flags));
        };
    }
}

/// Disables interrupts; whether they were enabled.
pub fn disable_interrupts() -> bool {
    let enabled = interrupts_enabled();
    x86_64::instructions::interrupts::disable();
    enabled
}

/// Enables interrupts if `enabled`.
pub fn restore_interrupts(enabled: bool) {
    if enabled {
        x86_64::instructions::interrupts::enable();
    }
}

/// Whether RFLAGS.IF is set.
pub fn interrupts_enabled() -> bool {
    x86_64::instructions::interrupts::are_enabled()
}

/// The time-stamp counter, which all virtual processors share.
pub fn rdtsc() -> u64 {
    let (high, low): (u32, u32);
    // SAFETY: RDTSC has no memory effect.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags)) };
    u64::from(high) << 32 | u64::from(low)
}

/// MONITORX on the line of `address`; where the processor lacks it, [`crate::monitor`] does what it does.
pub fn monitorx(address: *const u32) {
    // SAFETY: MONITORX reads the line, which the caller's reference or pointer to a live word makes valid.
    unsafe {
        asm!("monitorx", in("rax") address, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags));
    }
}

/// MWAITX with a time limit in TSC cycles (ECX bit 1).
pub fn mwaitx(cycles: u32) {
    // SAFETY: waits for the monitored line or the limit; RBX, which the compiler keeps for itself, is put back.
    unsafe {
        asm!("xchg {limit}, rbx", "mwaitx", "xchg {limit}, rbx",
            limit = inout(reg) u64::from(cycles) => _, in("eax") 0, in("ecx") 2, options(nostack, preserves_flags));
    }
}

/// CR8, the task priority: the IRQL.
pub fn read_cr8() -> u8 {
    let value: u64;
    // SAFETY: reading CR8 has no memory effect.
    unsafe { asm!("mov {}, cr8", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value as u8
}

/// Writes CR8. An interrupt that this lets through is taken at once.
pub fn write_cr8(irql: u8) {
    let value = u64::from(irql & 15);
    // SAFETY: 0..=15 is CR8's range. Not `nomem`: an interrupt handler may run here.
    unsafe { asm!("mov cr8, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// CR0 and CR4, which boot sets alike on every processor.
pub fn read_cr0_and_cr4() -> [u64; 2] {
    [
        x86_64::registers::control::Cr0::read_raw(),
        x86_64::registers::control::Cr4::read_raw(),
    ]
}

/// CR2: the address of the last page fault.
pub fn read_cr2() -> u64 {
    x86_64::registers::control::Cr2::read_raw()
}

/// Drops every translation that this processor has cached.
pub fn flush_tlb() {
    x86_64::instructions::tlb::flush_all();
}

/// Writes one byte to an I/O port.
pub fn out8(port: u16, value: u8) {
    // SAFETY: the ports used here (PIC, PIT, COM1, debugcon, isa-debug-exit) cannot touch memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads one byte from an I/O port.
pub fn in8(port: u16) -> u8 {
    let value: u8;
    // SAFETY: as for `out8`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes a double word to an I/O port.
pub fn out32(port: u16, value: u32) {
    // SAFETY: as for `out8`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) };
}

/// Enables interrupts and sleeps until one comes; STI's shadow leaves no gap between the two.
pub fn wait_for_interrupt() {
    x86_64::instructions::interrupts::enable_and_hlt();
}

/// Stops this processor for good; an NMI only wakes it to stop again.
pub fn halt_for_ever() -> ! {
    x86_64::instructions::interrupts::disable();
    loop {
        x86_64::instructions::hlt();
    }
}

/// Spins for `cycles` of the time-stamp counter.
pub fn stall(cycles: u64) {
    let start = rdtsc();
    while rdtsc().wrapping_sub(start) < cycles {
        core::hint::spin_loop();
    }
}
