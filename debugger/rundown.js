// WinDbg commands for run-down protection, for kernel targets and kernel dumps of x64 Windows.
//
//     .scriptload C:\path\rundown.js
//     !rundown    <address of an EX_RUNDOWN_REF>              of any driver, native or ours
//     !rundownca  <address of an EX_RUNDOWN_REF_CACHE_AWARE>  of any driver
//     !rundownholders <address of a Tracked<...>>             who holds it, for drivers that record that
//     !rundownlab [address of an EX_RUNDOWN_REF]              the rundown driver's stress run: threads and trace
//     !rundownhelp
//
// One file, because the provider loads one.
//
// What it needs: nothing for the word and its wait block, whose layouts are part of the contract and are read as raw
// bytes; the public symbols of nt to find the waiting thread. It writes nothing.
//
// The language is that of the debugger's JavaScript provider, ECMAScript 2015: no BigInt. A 64-bit value is a
// pair of halves here, and a host.Int64 only where the debugger sees it.

"use strict";

// ---- 64-bit values ----

/** An unsigned 64-bit value. */
class U64 {
    constructor(high, low) {
        this.high = high >>> 0;
        this.low = low >>> 0;
    }

    /** From what the debugger hands over: a number, an Int64, a pointer, or text in hexadecimal digits. */
    static from(value) {
        if (typeof value === "string") {
            const digits = value.replace(/`/g, "").replace(/^0x/i, "");
            if (!/^[0-9a-f]{1,16}$/i.test(digits)) {
                throw new Error("\"" + value + "\" is not a hexadecimal address");
            }
            const padded = ("0000000000000000" + digits).slice(-16);
            return new U64(parseInt(padded.slice(0, 8), 16), parseInt(padded.slice(8), 16));
        }
        if (typeof value === "number") {
            if (!Number.isSafeInteger(value) || value < 0) {
                throw new Error(value + " is not an address");
            }
            return new U64(Math.floor(value / 0x100000000), value % 0x100000000);
        }
        if (value !== null && typeof value === "object") {
            if (typeof value.getLowPart === "function") {
                return new U64(value.getHighPart(), value.getLowPart());
            }
            if (value.address !== undefined) {
                return U64.from(value.address);
            }
        }
        throw new Error("an address is expected: a number such as 0xffffa801`23456780, or &variable");
    }

    plus(number) {
        const low = this.low + number;
        return new U64(this.high + Math.floor(low / 0x100000000), low);
    }

    add(other) {
        const low = this.low + other.low;
        return new U64(this.high + other.high + (low > 0xffffffff ? 1 : 0), low);
    }

    minus(other) {
        const low = this.low - other.low;
        return new U64(this.high - other.high - (low < 0 ? 1 : 0), low);
    }

    compare(other) {
        return this.high - other.high || this.low - other.low;
    }

    equals(other) {
        return this.compare(other) === 0;
    }

    get isZero() {
        return this.high === 0 && this.low === 0;
    }

    withoutBit0() {
        return new U64(this.high, (this.low & ~1) >>> 0);
    }

    /** The value as a signed number of references when each is worth `unit` (1, or 2 in the word). Exact up to 2^53. */
    references(unit) {
        const negative = this.high >= 0x80000000;
        const high = negative ? ~this.high >>> 0 : this.high;
        const low = negative ? ~this.low >>> 0 : this.low;
        const magnitude = high * 0x100000000 + low + (negative ? 1 : 0);
        return (negative ? -magnitude : magnitude) / unit;
    }

    toString() {
        const half = (part) => ("0000000" + part.toString(16)).slice(-8);
        return "0x" + half(this.high) + "`" + half(this.low);
    }

    forHost() {
        return new host.Int64(this.low, this.high);
    }
}

// ---- memory ----

/** Reads `count` 64-bit words; `what` names them should that fail. */
function readWords(address, count, what) {
    let halves;
    try {
        halves = host.memory.readMemoryValues(address.forHost(), count * 2, 4);
    } catch (error) {
        throw new Error(what + " at " + address + " cannot be read (" + error.message + "): not an address of this "
            + "target, paged out, or not in the dump");
    }
    const words = [];
    for (let index = 0; index < count; index += 1) {
        words.push(new U64(halves[2 * index + 1], halves[2 * index]));
    }
    return words;
}

function isKernelAddress(address) {
    // Canonical, upper half.
    return address.high >= 0xffff8000;
}

// ---- threads ----

const THREAD_STATES = ["initialized", "ready", "running", "standby", "terminated", "waiting", "transition",
    "deferred ready", "gate wait obsolete", "waiting for process in swap"];
const RUNNING = 2;
const WAITING = 5;

/** All threads of the target, as far as the debugger knows them. */
function* allThreads() {
    for (const process of host.currentSession.Processes) {
        for (const thread of process.Threads) {
            yield { process, thread };
        }
    }
}

function describeThread(entry) {
    const tcb = entry.thread.KernelObject.Tcb;
    const state = Number(tcb.State);
    return {
        address: U64.from(entry.thread.KernelObject),
        process: String(entry.process.Name),
        processId: Number(entry.process.Id),
        threadId: Number(entry.thread.Id),
        state,
        stateName: THREAD_STATES[state] || "state " + state,
        stackBase: U64.from(tcb.StackBase),
        stackLimit: U64.from(tcb.StackLimit),
        kernelStack: U64.from(tcb.KernelStack),
    };
}

function threadText(thread) {
    return thread.process + " " + thread.processId.toString(16) + "." + thread.threadId.toString(16) + ", "
        + thread.stateName + " (!thread " + thread.address + ")";
}

/** The thread on whose kernel stack `address` lies: `{ thread }`, `{ none: true }`, or `{ failed: why }`. */
function findThreadByStack(address) {
    try {
        for (const entry of allThreads()) {
            const thread = describeThread(entry);
            if (thread.stackLimit.compare(address) <= 0 && address.compare(thread.stackBase) < 0) {
                return { thread };
            }
        }
        return { none: true };
    } catch (error) {
        return { failed: error.message };
    }
}

// ---- the wait block ----

const BLOCK_WORDS = 5;
const EVENT_OFFSET = 8;
const SYNCHRONIZATION_EVENT = 1;
const EVENT_SIZE_IN_DWORDS = 6;

/** Decodes the wait block; the raw fields only. */
function readBlock(address) {
    const words = readWords(address, BLOCK_WORDS, "the wait block");
    return {
        count: words[0],
        event: {
            address: address.plus(EVENT_OFFSET),
            // DISPATCHER_HEADER: Type u8 (bit 7 locks it), Signalling u8, Size u8 (in dwords), then SignalState.
            type: words[1].low & 0x7f,
            size: (words[1].low >>> 16) & 0xff,
            signalState: words[1].high | 0,
            flink: words[2],
            blink: words[3],
        },
        spinFlag: words[4],
    };
}

function isInitializedEvent(event) {
    return event.type === SYNCHRONIZATION_EVENT && event.size === EVENT_SIZE_IN_DWORDS
        && (event.signalState === 0 || event.signalState === 1)
        && isKernelAddress(event.flink) && isKernelAddress(event.blink);
}

function hasSleeper(event) {
    const head = event.address.plus(8);
    return !event.flink.equals(head);
}

const SLEEPER_WORDS = 5;

/** Who sleeps on an event: the first KWAIT_BLOCK (wdm.h of Windows 10, x64) in its list. */
function readSleeper(event) {
    // WaitListEntry, then types and key, Thread at 0x18, Object at 0x20.
    const words = readWords(event.flink, SLEEPER_WORDS, "the sleeper's KWAIT_BLOCK");
    return { thread: words[3], object: words[4] };
}

/** Adds to what is known of a wait block who sleeps on its event. */
function judgeSleeper(event, result) {
    let sleeper;
    try {
        sleeper = readSleeper(event);
    } catch (error) {
        result.notes.push(error.message);
        return;
    }
    if (!sleeper.object.equals(event.address)) {
        result.doubts.push("the event's list leads to a wait for something else, " + sleeper.object);
        return;
    }
    result.sleeper = sleeper.thread;
    if (result.thread !== undefined && !result.thread.address.equals(sleeper.thread)) {
        result.doubts.push("thread " + sleeper.thread + " sleeps on the event, which lies on another one's stack");
    }
}

/**
 * What a wait block says, and whether to believe it.
 *
 * Nothing in memory says whether a wait block is still alive: NT leaves the pointer in the word when the wait is
 * over. So `doubts` are heuristics, each with its reason.
 */
function judgeBlock(address, cacheAware) {
    const result = { doubts: [], notes: [] };
    if ((address.low & 7) !== 0) {
        result.doubts.push("the pointer is not 8-byte aligned, so it never was a wait block");
        return result;
    }
    if (!isKernelAddress(address)) {
        result.doubts.push("the pointer is not a kernel address, so it never was a wait block");
        return result;
    }
    try {
        result.block = readBlock(address);
    } catch (error) {
        result.doubts.push(error.message);
        return result;
    }
    const block = result.block;
    const count = block.count.references(1);
    const spinning = (block.spinFlag.low & 1) !== 0;
    const initialized = isInitializedEvent(block.event);

    if (block.spinFlag.high !== 0 || block.spinFlag.low > 1) {
        result.doubts.push("SpinFlag is " + block.spinFlag + "; in a wait block it is 0 or 1");
    }
    if (Math.abs(count) > 0xffffffff || (count < 0 && !cacheAware)) {
        result.doubts.push("Count is " + block.count + ", which no number of references explains");
    }
    if (spinning && cacheAware) {
        result.doubts.push("SpinFlag is set; a cache-aware wait begins with it clear");
    }
    if (spinning) {
        result.phase = count === 0 ? "spins; the last releaser is about to hand over" : "spins";
    } else if (initialized) {
        result.phase = count === 0
            ? "is being woken, or has returned"
            : hasSleeper(block.event) ? "sleeps on the event" : "is about to sleep on the event";
    } else if (count === 0) {
        result.phase = "was handed over while it span, and is about to return or has returned";
    } else if (cacheAware) {
        result.phase = "is still collecting the processors' counts";
    } else {
        result.doubts.push("SpinFlag is clear with references out, but the event is not an initialised one");
    }
    if (cacheAware && count < 0) {
        result.notes.push("Count is negative until the waiter has added the sum of the slots");
    }

    const found = findThreadByStack(address);
    if (found.thread !== undefined) {
        result.thread = found.thread;
        // KernelStack is where a thread that does not run will go on; what lies below it is no frame of its any more.
        if (found.thread.state !== RUNNING && address.compare(found.thread.kernelStack) < 0) {
            result.doubts.push("it lies below the stack pointer of the thread whose stack it is on");
        }
        if (initialized && hasSleeper(block.event) && found.thread.state !== WAITING) {
            result.notes.push("the event has a sleeper, but the thread is " + found.thread.stateName);
        }
    } else if (found.none) {
        result.doubts.push("it lies on no thread's kernel stack (nor does that of a waiter in a DPC)");
    } else {
        result.notes.push("the threads could not be listed (" + found.failed + "); are nt's symbols loaded?");
    }
    if (!spinning && initialized && hasSleeper(block.event)) {
        judgeSleeper(block.event, result);
    }
    return result;
}

/** Adds what is known of a wait block to a report. */
function reportBlock(report, address, judged) {
    report.block = address.toString();
    if (judged.block !== undefined) {
        const block = judged.block;
        report.Count = block.count.references(1);
        report.SpinFlag = block.spinFlag.toString();
        report.WakeEvent = isInitializedEvent(block.event)
            ? "signal state " + block.event.signalState + ", "
                + (hasSleeper(block.event) ? "a thread waits on it" : "nobody waits on it")
                + " (dt nt!_KEVENT " + block.event.address + ")"
            : "not initialised (it is only when the waiter decides to sleep)";
    }
    if (judged.phase !== undefined) {
        report.waiter = judged.phase;
    }
    if (judged.thread !== undefined) {
        report.thread = threadText(judged.thread);
    }
    if (judged.sleeper !== undefined) {
        report.sleeper = "!thread " + judged.sleeper;
    }
    judged.notes.forEach((note, index) => {
        report["note" + (index + 1)] = note;
    });
    judged.doubts.forEach((doubt, index) => {
        report["doubt" + (index + 1)] = doubt;
    });
}

const SYSTEM_PROCESS = 4;

// ---- holders ----

// crates/ex-rundown/src/holders.rs: signature, number of entries, references without one, and the entries of four words each.
const HOLDERS_SIGNATURE = new U64(0x72646c6f, 0x486e6452); // "RdnHoldr"
const HOLDERS_HEADER_WORDS = 3;
const HOLDER_WORDS = 4;
const MOST_HOLDERS = 65536;
/** How far from a protection's first word its table begins at most, in words. */
const HOLDERS_WITHIN = 8;

/** The table that begins in the `count` words at `address`; undefined if there is none. */
function findHolders(address, count) {
    for (let index = 0; index < count; index += 1) {
        const place = address.plus(8 * index);
        try {
            if (readWords(place, 1, "the table")[0].equals(HOLDERS_SIGNATURE)) {
                return place;
            }
        } catch (error) {
            // What lies behind a reference need not be there.
            return undefined;
        }
    }
    return undefined;
}

/** The entries of the table at `address`, the oldest first, and how many references have none. */
function readHolders(address) {
    const [, capacity, unrecorded] = readWords(address, HOLDERS_HEADER_WORDS, "the table of holders");
    if (capacity.high !== 0 || capacity.low > MOST_HOLDERS) {
        throw new Error("the table of holders at " + address + " has " + capacity + " entries, which is corrupt");
    }
    const holders = [];
    for (let index = 0; index < capacity.low; index += 1) {
        const place = address.plus(8 * (HOLDERS_HEADER_WORDS + HOLDER_WORDS * index));
        const [thread, code, since, references] = readWords(place, HOLDER_WORDS, "entry " + index);
        const count = new U64((references.high & 0x7fffffff) >>> 0, references.low).references(1);
        // Without a count it is being written.
        if (!thread.isZero && count !== 0) {
            holders.push({ thread, code, since, count, byPointer: references.high >= 0x80000000 });
        }
    }
    holders.sort((left, right) => left.since.compare(right.since));
    return { holders, unrecorded: unrecorded.references(1) };
}

/** The module with that address in it, and where; the bare address when the debugger does not know it. */
function codeText(address) {
    try {
        for (const process of host.currentSession.Processes) {
            if (Number(process.Id) !== SYSTEM_PROCESS) {
                continue;
            }
            for (const module of process.Modules) {
                const from = U64.from(module.BaseAddress);
                const offset = address.minus(from);
                if (from.compare(address) <= 0 && offset.compare(U64.from(module.Size)) < 0) {
                    return String(module.Name).replace(/^.*\\/, "") + "+0x" + offset.low.toString(16) + " (ln " + address + ")";
                }
            }
        }
    } catch (error) {
        // The address does without.
    }
    return "ln " + address;
}

/** Adds who holds a protection to a report. */
function reportHolders(report, address) {
    const { holders, unrecorded } = readHolders(address);
    const recorded = holders.reduce((sum, holder) => sum + holder.count, 0);
    report.holders = holders.length === 0
        ? "nobody is recorded"
        : plural(recorded, "reference") + " of " + plural(holders.length, "holder") + ", the oldest first";
    holders.forEach((holder, index) => {
        report["holder" + index] = holder.count + " by !thread " + holder.thread + ", acquired at " + codeText(holder.code)
            + ", TSC " + holder.since + (holder.byPointer ? ", without a guard (which of those: not known)" : "");
    });
    if (unrecorded !== 0) {
        report.unrecorded = plural(unrecorded, "reference") + " more: the table is full";
    }
}

// ---- reports ----

/** What a command answers: its headline as text, its fields as properties, which the debugger shows as a tree. */
class Report {
    constructor(headline) {
        this.state = headline;
    }

    toString() {
        return this.state;
    }
}

function plural(number, noun) {
    return number + " " + noun + (number === 1 ? "" : "s");
}

const STALE = "stale or corrupt (a heuristic; the doubts say why)";

function reportWord(address, word) {
    if ((word.low & 1) === 0) {
        const references = word.references(2);
        const report = new Report(references < 0
            ? "underflow: released " + plural(-references, "time") + " too often"
            : "live(" + references + "): " + plural(references, "reference") + " out, run-down has not begun");
        report.word = word.toString();
        if (references < 0) {
            report.note1 = "NT does not notice; a later wait will hang. (In a slot of a cache-aware reference this is "
                + "normal: see !rundownca.)";
        } else if (references > 0xffffffff) {
            report.note1 = "so many references are not plausible: is this an EX_RUNDOWN_REF?";
        }
        return report;
    }
    const block = word.withoutBit0();
    if (block.isZero) {
        const report = new Report("run down: every acquire is refused, a wait returns at once");
        report.word = word.toString();
        return report;
    }
    const judged = judgeBlock(block, false);
    const headline = judged.doubts.length > 0
        ? STALE
        : "waiting: " + plural(judged.block.count.references(1), "reference") + " still out, and the waiter "
            + judged.phase;
    const report = new Report(headline);
    report.word = word.toString();
    reportBlock(report, block, judged);
    return report;
}

// ---- the commands ----

/** `!rundown <address>` */
function rundown(argument) {
    if (argument === undefined) {
        return rundownhelp();
    }
    const address = U64.from(argument);
    if ((address.low & 7) !== 0) {
        throw new Error(address + " is not 8-byte aligned, and an EX_RUNDOWN_REF is");
    }
    const report = reportWord(address, readWords(address, 1, "the word")[0]);
    const holders = findHolders(address.plus(8), 1);
    if (holders !== undefined) {
        reportHolders(report, holders);
    }
    return report;
}

/** `!rundownholders <address>` */
function rundownholders(argument) {
    if (argument === undefined) {
        return rundownhelp();
    }
    const address = U64.from(argument);
    const table = findHolders(address, HOLDERS_WITHIN);
    if (table === undefined) {
        throw new Error("no table of holders begins within " + 8 * HOLDERS_WITHIN + " bytes of " + address
            + ": is it a Tracked<...> of ex-rundown?");
    }
    const report = new Report("holders at " + table);
    reportHolders(report, table);
    return report;
}

const MOST_PROCESSORS = 2048;
const LARGEST_STRIDE = 4096;

/** `!rundownca <address>` */
function rundownca(argument) {
    if (argument === undefined) {
        return rundownhelp();
    }
    const address = U64.from(argument);
    if ((address.low & 7) !== 0) {
        throw new Error(address + " is not 8-byte aligned, and an EX_RUNDOWN_REF_CACHE_AWARE is");
    }
    const header = readWords(address, 3, "the header");
    const runRefs = header[0];
    const stride = header[2].low;
    const number = header[2].high;
    if (number === 0 || number > MOST_PROCESSORS || stride < 8 || stride > LARGEST_STRIDE || stride % 8 !== 0
        || !isKernelAddress(runRefs) || (runRefs.low & 7) !== 0) {
        throw new Error(address + " does not look like an EX_RUNDOWN_REF_CACHE_AWARE: RunRefs " + runRefs
            + ", RunRefSize " + stride + ", Number " + number);
    }
    const slots = [];
    for (let index = 0; index < number; index += 1) {
        slots.push(readWords(runRefs.plus(index * stride), 1, "slot " + index)[0]);
    }
    const active = slots.filter((slot) => (slot.low & 1) !== 0);
    const report = reportSlots(slots, active);
    report.RunRefs = runRefs.toString();
    report.RunRefSize = stride;
    report.Number = number;
    slots.forEach((slot, index) => {
        report["slot" + index] = (slot.low & 1) === 0 ? slot.references(2) : slot.toString();
    });
    return report;
}

function reportSlots(slots, active) {
    if (active.length === 0) {
        const sum = slots.reduce((left, right) => left.add(right), new U64(0, 0)).references(2);
        return new Report(sum < 0
            ? "underflow: released " + plural(-sum, "time") + " too often, over all slots"
            : "live(" + sum + "): " + plural(sum, "reference") + " out over all slots, run-down has not begun");
    }
    const block = active[0].withoutBit0();
    if (active.some((slot) => !slot.equals(active[0]))) {
        return new Report("inconsistent: the slots do not agree (corrupt, two waits at a time, or caught in the "
            + "middle of ExRundownCompletedCacheAware)");
    }
    if (active.length < slots.length) {
        const report = new Report("run-down is beginning or ending: " + active.length + " of " + slots.length
            + " slots are " + (block.isZero ? "run down" : "the waiter's"));
        if (!block.isZero) {
            reportBlock(report, block, judgeBlock(block, true));
        }
        return report;
    }
    if (block.isZero) {
        return new Report("run down: every acquire is refused, a wait returns at once");
    }
    const judged = judgeBlock(block, true);
    const report = new Report(judged.doubts.length > 0
        ? STALE
        : "waiting: Count is " + judged.block.count.references(1) + ", and the waiter " + judged.phase);
    reportBlock(report, block, judged);
    return report;
}

/** The rundown driver's address range, `[from, to)`. */
function findDriver() {
    for (const process of host.currentSession.Processes) {
        // The kernel's modules are the System process's.
        if (Number(process.Id) !== SYSTEM_PROCESS) {
            continue;
        }
        for (const module of process.Modules) {
            if (/(^|\\)rundown(\.sys)?$/i.test(String(module.Name))) {
                const from = U64.from(module.BaseAddress);
                return { from, to: from.add(U64.from(module.Size)) };
            }
        }
    }
    throw new Error("the driver is not loaded: no module rundown.sys (try .reload, then lm m rundown)");
}

// ---- the driver's trace ----

// src/kernel/trace.rs: a header of 64 bytes, then records of 64 bytes, number n in place (n - 1) mod capacity.
const TRACE_SYMBOL = "RUNDOWN_TRACE";
const TRACE_SIGNATURE = new U64(0x63617254, 0x6e776452); // "RdwnTrac"
const TRACE_RECORD = 64;
const LARGEST_TRACE = 65536;
/** Up to here an event names a run that goes on. */
const TURN_ENDS = 3;
const RUN_ENDS = 5;
/** How many of the newest records are shown. */
const TRACE_SHOWN = 32;

/** The ring's address; undefined when the symbols do not name it. */
function findTrace() {
    try {
        return U64.from(host.getModuleSymbolAddress("rundown", TRACE_SYMBOL));
    } catch (error) {
        return undefined;
    }
}

/** A record in words. */
function traceText(words) {
    const [number, cycles, event, first, second, third, fourth] = words;
    const value = (word) => word.references(1);
    const what = {
        1: () => "run " + value(first) + " begins: arms 0x" + value(second).toString(16) + ", workload " + value(third),
        2: () => "run " + value(first) + ", turn " + value(second) + " begins: arm " + value(third),
        3: () => "run " + value(first) + ", turn " + value(second) + " is over: arm " + value(third) + ", "
            + plural(value(fourth), "acquire") + " so far",
        4: () => "a wait lasts too long: reference " + first + ", word " + second + ", holders inside 0x"
            + value(third).toString(16) + ", arm " + (fourth.high >>> 24) + ", "
            + value(new U64(fourth.high & 0xffffff, fourth.low)) + " cycles so far",
        5: () => "run " + value(first) + " has ended after " + plural(value(second), "turn"),
        6: () => "run " + value(first) + " is told to stop",
    }[event.low];
    return "#" + value(number) + ", TSC " + cycles + ", processor " + event.high + ": "
        + (what === undefined ? "unknown event " + event.low : what());
}

/** The newest records of the ring, oldest first, without those that are being written at this moment; and the run that goes on. */
function readTrace(address) {
    const header = readWords(address, 4, "the trace");
    const capacity = value32(header[1]);
    if (!header[0].equals(TRACE_SIGNATURE) || value32(header[2]) !== TRACE_RECORD || capacity === 0
        || capacity > LARGEST_TRACE) {
        throw new Error(address + " is not the trace of this version of the driver");
    }
    const written = header[3].references(1);
    const records = [];
    let going;
    for (let number = Math.max(1, written - Math.min(capacity, TRACE_SHOWN) + 1); number <= written; number += 1) {
        const place = address.plus(TRACE_RECORD * (1 + (number - 1) % capacity));
        const words = readWords(place, 7, "record " + number);
        if (words[0].references(1) === number) {
            records.push(traceText(words));
            // A run that was told to stop may have ended before.
            if (words[2].low <= TURN_ENDS) {
                going = words[3].references(1);
            } else if (words[2].low === RUN_ENDS) {
                going = undefined;
            }
        }
    }
    return { written, records, going };
}

/** A small number of 64 bits; one that is not small is no number of ours. */
function value32(word) {
    return word.high === 0 ? word.low : 0;
}

/** What the driver is at, by its threads and its trace. */
function labHeadline(threads, trace) {
    if (threads === 0) {
        return "the driver has no threads: no stress run, and nobody waits for an object";
    }
    const has = "the driver has " + plural(threads, "thread");
    if (trace === undefined) {
        return has + ", of a stress run or waiting for objects";
    }
    return trace.going === undefined
        ? has + ", waiting for objects or in a comparison; no stress run is going on"
        : has + "; stress run " + trace.going + " is going on";
}

/** `!rundownlab [address]` */
function rundownlab(argument) {
    const driver = findDriver();
    const threads = [];
    for (const entry of allThreads()) {
        const start = U64.from(entry.thread.KernelObject.StartAddress);
        if (driver.from.compare(start) <= 0 && start.compare(driver.to) < 0) {
            threads.push(describeThread(entry));
        }
    }
    const address = findTrace();
    const trace = address === undefined ? undefined : readTrace(address);
    const report = new Report(labHeadline(threads.length, trace));
    report.driver = driver.from + " to " + driver.to;
    threads.forEach((thread, index) => {
        report["thread" + index] = threadText(thread);
    });
    if (argument !== undefined) {
        report.reference = rundown(argument);
    }
    if (trace === undefined) {
        report.trace = "not found: rundown!" + TRACE_SYMBOL + " needs the driver's symbols (.reload /f rundown.sys)";
        return report;
    }
    report.trace = plural(trace.written, "record") + " since the driver was loaded, the newest " + trace.records.length
        + " below";
    trace.records.forEach((text, index) => {
        report["trace" + index] = text;
    });
    return report;
}

/** `!rundownhelp` */
function rundownhelp() {
    const report = new Report("commands for run-down protection (docs/windbg.md explains each)");
    report.rundown = "!rundown <address>: an EX_RUNDOWN_REF of any driver: live, run down, or waiting with its wait "
        + "block, event and thread";
    report.rundownca = "!rundownca <address>: an EX_RUNDOWN_REF_CACHE_AWARE, with its slots and their sum";
    report.rundownholders = "!rundownholders <address>: who holds a Tracked<...>, with thread and code; !rundown shows them too";
    report.rundownlab = "!rundownlab [address]: the rundown driver's threads (a stress run's, and waiters), its trace (runs, turns, "
        + "stalled waits), and its reference if you know where it is";
    report.addresses = "0xffffa80123456780, &variable, or \"ffffa801`23456780\" in quotes";
    report.stale = "\"stale\" is a heuristic: NT leaves the pointer in the word when a wait is over, and only the "
        + "circumstances tell";
    return report;
}

/** Called by the debugger when the script is loaded. It touches no target: there may be none yet. */
function initializeScript() {
    return [
        new host.apiVersionSupport(1, 3),
        new host.functionAlias(rundown, "rundown"),
        new host.functionAlias(rundownca, "rundownca"),
        new host.functionAlias(rundownholders, "rundownholders"),
        new host.functionAlias(rundownlab, "rundownlab"),
        new host.functionAlias(rundownhelp, "rundownhelp"),
    ];
}
