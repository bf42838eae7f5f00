// Memory images, and the layouts of which the synthetic ones are made.
//
// An image is JSON:
//   "memory":  [{ "address": "0xffff...", "hex": "0011..." }]   bytes in ascending order, any number of pieces
//   "threads": [{ "address", "process", "processId", "threadId", "state", "stackBase", "stackLimit", "kernelStack",
//                 "startAddress" }]                             addresses as text, the rest as numbers; may be absent
//   "modules": [{ "name", "base", "size" }]                     may be absent
//   "symbols": { "module!name": "0xffff..." }                   may be absent
//   "expect":  [{ "command": "rundown", "address": "0x...", "headline": "text", "fields": { "Count": 3 } }]
// A dump of the lab (lab-*, made by tools/lab/tests/debugger.rs) or of a real machine goes into images/ in this form and is
// tested by its own expectations.

"use strict";

const hex = (value) => `0x${BigInt.asUintN(64, value).toString(16).padStart(16, "0")}`;

/** 64-bit words as the bytes of an image. */
function words(...values) {
    const bytes = Buffer.alloc(values.length * 8);
    values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), index * 8));
    return bytes.toString("hex");
}

function piece(address, ...values) {
    return { address: hex(address), hex: words(...values) };
}

/** A KEVENT at `address`: synchronization event, 6 dwords. */
function event(address, { signalled = 0, flink = address + 8n, blink = flink } = {}) {
    return [1n | (6n << 16n) | (BigInt(signalled) << 32n), flink, blink];
}

const GARBAGE = [0xfffff80312345678n, 0x0000000000000246n, 0xffffcc8012345678n];

/** A wait block at `address`; without `sleeping` its event is what the stack held before. */
function waitBlock(address, { count, spinFlag = 1, sleeping, garbage = GARBAGE }) {
    return piece(address, count, ...(sleeping ? event(address + 8n, sleeping) : garbage), spinFlag);
}

/** The KWAIT_BLOCK at `address` of a thread that waits for the object at `object`. */
function sleeper(address, object, { thread = 0xffffb80f11112080n, next = object + 8n } = {}) {
    return piece(address, next, next, 0x00000401n, thread, object, 0n);
}

/** A thread whose stack holds `address`. */
function threadAround(address, { state = 5, kernelStack = address - 0x200n, startAddress = 0n, threadId = 0x64 } = {}) {
    return {
        address: "0xffffb80f11112080",
        process: "System",
        processId: 4,
        threadId,
        state,
        stackBase: hex((address & ~0xfffn) + 0x1000n),
        stackLimit: hex((address & ~0xfffn) - 0x5000n),
        kernelStack: hex(kernelStack),
        startAddress: hex(startAddress),
    };
}

module.exports = { GARBAGE, event, hex, piece, sleeper, threadAround, waitBlock, words };
