// The debugger's `host` namespace over a memory image: only what rundown.js uses, and as strict as the real one.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

/** The library's 64-bit type: an object that refuses to become a number when that would lose bits. */
function int64Type({ signedHalves }) {
    const half = (value) => (signedHalves ? Number(BigInt.asIntN(32, value)) : Number(BigInt.asUintN(32, value)));
    return class Int64 {
        #value;

        constructor(low, high) {
            if (high === undefined || !Number.isInteger(low) || !Number.isInteger(high)) {
                throw new Error("this mock makes an Int64 of two 32-bit halves only");
            }
            this.#value = BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt.asUintN(32, BigInt(low)));
        }

        static of(value) {
            return new Int64(Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(64, value) >> 32n));
        }

        get big() {
            return this.#value;
        }

        getLowPart() {
            return half(this.#value);
        }

        getHighPart() {
            return half(this.#value >> 32n);
        }

        valueOf() {
            if (this.#value > BigInt(Number.MAX_SAFE_INTEGER)) {
                throw new Error("64 bit value loses precision on conversion to number");
            }
            return Number(this.#value);
        }

        toString(radix = 10) {
            return this.#value.toString(radix);
        }
    };
}

/** Loads rundown.js as the debugger does; `host` is what it has while the script initialises, then the rest of it. */
function load(image, options = {}) {
    const Int64 = int64Type({ signedHalves: options.signedHalves === true });
    const bytes = new Map();
    for (const { address, hex } of image.memory) {
        Buffer.from(hex, "hex").forEach((byte, index) => bytes.set(BigInt(address) + BigInt(index), byte));
    }
    const pointer = (text) => ({ address: Int64.of(BigInt(text)) });

    class apiVersionSupport {
        constructor(major, minor) {
            Object.assign(this, { major, minor });
        }
    }
    class functionAlias {
        constructor(call, alias) {
            Object.assign(this, { call, alias });
        }
    }
    // Phase 1: all that there is until initializeScript has returned.
    const host = { Int64, apiVersionSupport, functionAlias };
    const context = vm.createContext({ host });
    const source = fs.readFileSync(path.join(__dirname, "..", "rundown.js"), "utf8");
    vm.runInContext(source, context, { filename: "rundown.js" });
    const registrations = context.initializeScript();

    // Phase 2.
    host.memory = {
        readMemoryValues(location, count, size, signed) {
            if (!(location instanceof Int64) || size !== 4 || signed) {
                throw new Error("this mock reads unsigned 32-bit values at an Int64 only");
            }
            const result = new Uint32Array(count);
            const view = new DataView(result.buffer);
            for (let index = 0; index < count * 4; index += 1) {
                const byte = bytes.get(location.big + BigInt(index));
                if (byte === undefined) {
                    throw new Error(`Unable to read memory at Address 0x${(location.big + BigInt(index)).toString(16)}`);
                }
                view.setUint8(index, byte);
            }
            return result;
        },
    };
    const threads = (image.threads || []).map((thread) => ({
        Id: thread.threadId,
        KernelObject: {
            address: Int64.of(BigInt(thread.address)),
            StartAddress: pointer(thread.startAddress),
            Tcb: {
                State: thread.state,
                StackBase: pointer(thread.stackBase),
                StackLimit: pointer(thread.stackLimit),
                KernelStack: pointer(thread.kernelStack),
            },
        },
        process: thread.processId,
        processName: thread.process,
    }));
    const modules = (image.modules || []).map((module) => ({
        Name: module.name,
        BaseAddress: Int64.of(BigInt(module.base)),
        Size: module.size,
    }));
    const processes = [...new Set([4, ...threads.map((thread) => thread.process)])].map((id) => ({
        Id: id,
        Name: (threads.find((thread) => thread.process === id) || { processName: "System" }).processName,
        Threads: threads.filter((thread) => thread.process === id),
        Modules: id === 4 ? modules : [],
    }));
    host.currentSession = {
        get Processes() {
            if (options.noThreads) {
                throw new Error("Unable to find type '_ETHREAD'");
            }
            return processes;
        },
    };

    host.getModuleSymbolAddress = (module, symbol) => {
        const address = (image.symbols || {})[`${module}!${symbol}`];
        if (address === undefined) {
            throw new Error(`Unable to find symbol ${symbol}`);
        }
        return Int64.of(BigInt(address));
    };

    const commands = {};
    for (const registration of registrations.slice(1)) {
        commands[registration.alias] = registration.call;
    }
    return { commands, registrations, host, Int64, pointer };
}

module.exports = { load };
