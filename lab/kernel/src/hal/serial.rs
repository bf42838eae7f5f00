//! COM1: the host protocol's bytes.

use super::cpu;

const COM1: u16 = 0x3F8;
const LINE_STATUS: u16 = COM1 + 5;
const DATA_READY: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 0x20;

/// Sets COM1 up: 115200 baud, 8N1, FIFOs on, no interrupts.
pub fn initialize() {
    for (offset, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 0xC7), (4, 3)] {
        cpu::out8(COM1 + offset, value);
    }
}

/// Has COM1 interrupt when bytes have come: 14 of them, or fewer and then a pause. The interrupt stays asserted until all are read.
pub fn enable_interrupt() {
    const RECEIVED_DATA: u8 = 1;
    // The gate between the UART and the interrupt controller.
    const OUT2: u8 = 8;
    super::ioapic::route_com1();
    cpu::out8(COM1 + 4, 3 | OUT2);
    cpu::out8(COM1 + 1, RECEIVED_DATA);
}

/// The scratch register: the UART keeps it and means nothing by it.
pub fn scratch() -> u8 {
    cpu::in8(COM1 + 7)
}

/// The next received byte, if there is one.
pub fn read() -> Option<u8> {
    (cpu::in8(LINE_STATUS) & DATA_READY != 0).then(|| cpu::in8(COM1))
}

/// Sends one byte.
pub fn write(byte: u8) {
    while cpu::in8(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {
        core::hint::spin_loop();
    }
    cpu::out8(COM1, byte);
}
