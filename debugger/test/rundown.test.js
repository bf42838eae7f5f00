// node --test debugger/test/rundown.test.js
//
// Every image that is built here is synthetic: made from the documented layouts, not dumped from a machine. Those in
// images/ say in their names where they come from.

"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

const { GARBAGE, hex, piece, sleeper, threadAround, waitBlock } = require("./image.js");
const { load } = require("./host.js");

const WORD = 0xffffa80123456780n;
const BLOCK = 0xfffff98412345c40n;

function run(command, image, address = WORD, options = {}) {
    return load(image, options).commands[command](hex(address));
}

function headline(...args) {
    return run(...args).toString();
}

function doubts(report) {
    return Object.keys(report).filter((key) => key.startsWith("doubt")).map((key) => report[key]);
}

function waiting(block, thread = {}) {
    return {
        memory: [piece(WORD, BLOCK | 1n), waitBlock(BLOCK, block)],
        threads: [threadAround(BLOCK, thread)],
    };
}

test("initializeScript returns the API version first, registers the commands, and needs no target", () => {
    // The mock has no host.memory and no host.currentSession before it returns.
    const { registrations, commands } = load({ memory: [] });
    assert.equal(registrations[0].constructor.name, "apiVersionSupport");
    assert.deepEqual(Object.keys(commands), ["rundown", "rundownca", "rundownholders", "rundownlab", "rundownhelp"]);
});

test("the script is ECMAScript 2015, which is what the debugger's provider speaks", () => {
    // Node carries a parser that takes a language version; it is its own, so ask for it in a process of its own.
    const check = `require("internal/deps/acorn/acorn/dist/acorn").parse(
        require("fs").readFileSync(process.argv[1], "utf8"), { ecmaVersion: 2015 })`;
    const script = path.join(__dirname, "..", "rundown.js");
    execFileSync(process.execPath, ["--expose-internals", "-e", check, script], { stdio: "pipe" });
});

test("synthetic: live words", () => {
    for (const [word, text] of [
        [0n, "live(0): 0 references out"],
        [2n, "live(1): 1 reference out"],
        [14n, "live(7): 7 references out"],
        [0x1fffffffen, "live(4294967295)"],
    ]) {
        assert.ok(headline("rundown", { memory: [piece(WORD, word)] }).startsWith(text), text);
    }
});

test("synthetic: a word far beyond any number of references is called implausible", () => {
    assert.match(run("rundown", { memory: [piece(WORD, 0x4142434445464748n)] }).note1, /not plausible/);
});

test("synthetic: a release too many leaves -2", () => {
    const report = run("rundown", { memory: [piece(WORD, -2n)] });
    assert.equal(report.toString(), "underflow: released 1 time too often");
    assert.match(report.note1, /hang/);
    assert.equal(headline("rundown", { memory: [piece(WORD, -6n)] }), "underflow: released 3 times too often");
});

/** A table of holders at `address`, each [thread, code, since, references]. */
function holders(address, unrecorded, ...entries) {
    const signature = BigInt("0x" + Buffer.from("RdnHoldr").reverse().toString("hex"));
    return piece(address, signature, BigInt(entries.length), unrecorded, ...entries.flat());
}

const TIMER = [0xffffb80f22222080n, 0xfffff80310001234n, 700n, 1n];
const REQUESTS = [0xffffb80f33333080n, 0xfffff80555550000n, 90n, (1n << 63n) | 3n];
const FREE = [0n, 0xfffff80310001234n, 10n, 0n];
const WRITTEN = [0xffffb80f44444080n, 0n, 0n, 0n];

test("synthetic: who holds a reference that records it", () => {
    const image = {
        memory: [piece(WORD, 10n), holders(WORD + 8n, 1n, TIMER, FREE, REQUESTS, WRITTEN)],
        modules: [{ name: "\\SystemRoot\\drivers\\device.sys", base: "0xfffff80310000000", size: 0x8000 }],
    };
    const report = run("rundown", image);
    assert.match(report.toString(), /^live\(5\)/);
    assert.equal(report.holders, "4 references of 2 holders, the oldest first");
    assert.equal(report.holder0, "3 by !thread 0xffffb80f`33333080, acquired at ln 0xfffff805`55550000, TSC 0x00000000`0000005a, "
        + "without a guard (which of those: not known)");
    assert.equal(report.holder1, "1 by !thread 0xffffb80f`22222080, acquired at device.sys+0x1234 (ln 0xfffff803`10001234), "
        + "TSC 0x00000000`000002bc");
    assert.equal(report.holder2, undefined);
    assert.equal(report.unrecorded, "1 reference more: the table is full");
    // One that lies further behind, as of a wide reference.
    const wide = { memory: [piece(WORD, 4n, 0n), holders(WORD + 16n, 0n, FREE)] };
    assert.equal(run("rundown", wide).holders, undefined);
    assert.equal(run("rundownholders", wide).holders, "nobody is recorded");
    assert.equal(run("rundownholders", wide).toString(), "holders at 0xffffa801`23456790");
});

test("synthetic: what is no table of holders, and what is a corrupt one", () => {
    assert.throws(() => run("rundownholders", { memory: [piece(WORD, 4n)] }), /no table of holders begins within 64 bytes/);
    const corrupt = { memory: [piece(WORD, 4n, BigInt("0x" + Buffer.from("RdnHoldr").reverse().toString("hex")), 1n << 40n, 0n)] };
    assert.match(run("rundown", { memory: [piece(WORD, 4n)] }).toString(), /^live/);
    assert.throws(() => run("rundown", corrupt), /which is corrupt/);
});

test("synthetic: run down", () => {
    assert.match(headline("rundown", { memory: [piece(WORD, 1n)] }), /^run down/);
});

test("synthetic: a waiter that spins, with the event not yet initialised", () => {
    const report = run("rundown", waiting({ count: 3n }, { state: 2, kernelStack: BLOCK + 0x300n }));
    assert.equal(report.toString(), "waiting: 3 references still out, and the waiter spins");
    assert.equal(report.Count, 3);
    assert.match(report.WakeEvent, /not initialised/);
    assert.match(report.thread, /^System 4\.64, running \(!thread 0xffffb80f`11112080\)$/);
    assert.deepEqual(doubts(report), []);
});

/** A waiter that sleeps: its event's list leads to a KWAIT_BLOCK at SLEEPER. */
const SLEEPER = 0xffffb80f11112200n;

function sleeping(wait = {}) {
    const image = waiting({ count: 1n, spinFlag: 0, sleeping: { flink: SLEEPER } });
    const object = wait.object === undefined ? BLOCK + 8n : wait.object;
    image.memory.push(sleeper(SLEEPER, object, wait));
    return image;
}

test("synthetic: a waiter that sleeps", () => {
    const report = run("rundown", sleeping());
    assert.equal(report.toString(), "waiting: 1 reference still out, and the waiter sleeps on the event");
    assert.match(report.WakeEvent, /^signal state 0, a thread waits on it \(dt nt!_KEVENT 0xfffff984`12345c48\)$/);
    assert.equal(report.sleeper, "!thread 0xffffb80f`11112080");
    assert.deepEqual(doubts(report), []);
    assert.equal(report.note1, undefined);
});

test("synthetic: a sleeper whose KWAIT_BLOCK is not in the dump is a note, not a doubt", () => {
    const image = sleeping();
    image.memory.pop();
    const report = run("rundown", image);
    assert.match(report.toString(), /^waiting: 1/);
    assert.match(report.note1, /the sleeper's KWAIT_BLOCK at 0xffffb80f`11112200 cannot be read/);
});

test("synthetic, corrupt: the event's list leads elsewhere", () => {
    assert.match(doubts(run("rundown", sleeping({ object: BLOCK }))).join(), /a wait for something else/);
    assert.match(doubts(run("rundown", sleeping({ thread: 0xffffb80f22222080n }))).join(), /another one's stack/);
});

test("synthetic: a waiter between the flag and its sleep", () => {
    assert.match(headline("rundown", waiting({ count: 2n, spinFlag: 0, sleeping: {} })), /is about to sleep/);
});

test("synthetic: the last releaser has set the event", () => {
    assert.match(
        headline("rundown", waiting({ count: 0n, spinFlag: 0, sleeping: { signalled: 1 } })),
        /is being woken, or has returned/,
    );
});

test("synthetic: handed over while it span", () => {
    assert.match(headline("rundown", waiting({ count: 0n, spinFlag: 0 })), /was handed over/);
    assert.match(headline("rundown", waiting({ count: 0n, spinFlag: 1 })), /is about to hand over/);
});

test("synthetic, stale: the block's stack is gone", () => {
    const report = run("rundown", { memory: [piece(WORD, BLOCK | 1n)], threads: [] });
    assert.match(report.toString(), /^stale or corrupt \(a heuristic/);
    assert.match(report.doubt1, /wait block at 0xfffff984`12345c40 cannot be read/);
});

test("synthetic, stale: no thread has that stack", () => {
    const image = waiting({ count: 1n });
    image.threads = [threadAround(BLOCK + 0x100000n)];
    assert.match(doubts(run("rundown", image)).join(), /no thread's kernel stack/);
});

test("synthetic, stale: the thread's stack pointer is above the block", () => {
    const report = run("rundown", waiting({ count: 1n }, { state: 5, kernelStack: BLOCK + 0x300n }));
    assert.deepEqual(doubts(report), ["it lies below the stack pointer of the thread whose stack it is on"]);
});

test("synthetic, stale: the frame was used for something else", () => {
    const report = run("rundown", waiting({ count: 0xfffff80312345678n, spinFlag: 0xffffb80f00000000n }));
    assert.match(report.toString(), /^stale or corrupt/);
    assert.equal(doubts(report).length, 3);
});

test("synthetic, corrupt: a flag that is clear without an event", () => {
    const report = run("rundown", waiting({ count: 5n, spinFlag: 0, garbage: GARBAGE }));
    assert.match(doubts(report).join(), /the event is not an initialised one/);
});

test("synthetic, corrupt: more releases than references", () => {
    assert.match(doubts(run("rundown", waiting({ count: -1n, spinFlag: 0, sleeping: {} }))).join(), /no number of references/);
});

test("synthetic, corrupt: pointers that never were a wait block", () => {
    assert.match(run("rundown", { memory: [piece(WORD, 0x00007ff612345671n)] }).doubt1, /not a kernel address/);
    assert.match(run("rundown", { memory: [piece(WORD, BLOCK | 3n)] }).doubt1, /not 8-byte aligned/);
});

test("synthetic: without nt's symbols the block is still decoded, and the report says what is missing", () => {
    const report = run("rundown", waiting({ count: 3n }), WORD, { noThreads: true });
    assert.match(report.toString(), /^waiting: 3/);
    assert.match(report.note1, /threads could not be listed .*_ETHREAD/);
});

test("unreadable memory, misaligned and senseless addresses are errors that say so", () => {
    const { commands } = load({ memory: [] });
    assert.throws(() => commands.rundown(hex(WORD)), /the word at 0xffffa801`23456780 cannot be read \(Unable to read/);
    assert.throws(() => commands.rundown(hex(WORD + 4n)), /not 8-byte aligned/);
    assert.throws(() => commands.rundownca(hex(WORD)), /the header at .* cannot be read/);
    assert.throws(() => commands.rundownca(hex(WORD + 4n)), /not 8-byte aligned/);
    assert.throws(() => commands.rundown("hello"), /not a hexadecimal address/);
    assert.throws(() => commands.rundown("0x123456789abcdef01"), /not a hexadecimal address/);
    assert.throws(() => commands.rundown(-8), /is not an address/);
    assert.throws(() => commands.rundown({}), /an address is expected/);
    assert.throws(() => commands.rundown(null), /an address is expected/);
});

test("an address may be a number, text with a backtick, an Int64 with signed or unsigned halves, or a pointer", () => {
    const image = { memory: [piece(WORD, 4n), piece(0x10000n, 4n)] };
    for (const signedHalves of [false, true]) {
        const { commands, Int64, pointer } = load(image, { signedHalves });
        for (const address of ["ffffa801`23456780", hex(WORD), Int64.of(WORD), pointer(hex(WORD)), 0x10000]) {
            assert.match(commands.rundown(address).toString(), /^live\(2\)/);
        }
    }
});

test("without an address the commands explain themselves", () => {
    const { commands } = load({ memory: [] });
    for (const command of ["rundown", "rundownca", "rundownhelp"]) {
        const help = commands[command]();
        assert.match(help.rundownca, /EX_RUNDOWN_REF_CACHE_AWARE/);
        assert.match(help.stale, /heuristic/);
    }
});

// ---- the cache-aware form ----

const SLOTS = 0xffffa80200000000n;

function cacheAware(slots, rest = {}) {
    const header = piece(WORD, SLOTS, 0n, 64n | (BigInt(slots.length) << 32n));
    return { ...rest, memory: [header, ...slots.map((slot, index) => piece(SLOTS + 64n * BigInt(index), slot)), ...(rest.memory || [])] };
}

test("synthetic: only the sum of the slots counts", () => {
    const report = run("rundownca", cacheAware([6n, -2n, -2n, 0n]));
    assert.equal(report.toString(), "live(1): 1 reference out over all slots, run-down has not begun");
    assert.deepEqual([report.slot0, report.slot1, report.slot3, report.Number, report.RunRefSize], [3, -1, 0, 4, 64]);
});

test("synthetic: a cache-aware sum below zero", () => {
    assert.match(headline("rundownca", cacheAware([2n, -4n])), /^underflow: released 1 time too often/);
});

test("synthetic: cache-aware, run down", () => {
    assert.match(headline("rundownca", cacheAware([1n, 1n])), /^run down/);
});

test("synthetic: cache-aware, waiting", () => {
    const rest = {
        memory: [waitBlock(BLOCK, { count: 2n, spinFlag: 0, sleeping: { flink: 0xffffb80f11112200n } })],
        threads: [threadAround(BLOCK)],
    };
    const report = run("rundownca", cacheAware([BLOCK | 1n, BLOCK | 1n], rest));
    assert.equal(report.toString(), "waiting: Count is 2, and the waiter sleeps on the event");
});

test("synthetic: cache-aware, the waiter has not yet added its sum, so Count is negative", () => {
    const rest = { memory: [waitBlock(BLOCK, { count: -1n, spinFlag: 0 })], threads: [threadAround(BLOCK)] };
    const report = run("rundownca", cacheAware([BLOCK | 1n, BLOCK | 1n], rest));
    assert.match(report.toString(), /Count is -1, and the waiter is still collecting/);
    assert.match(report.note1, /negative until/);
    assert.deepEqual(doubts(report), []);
});

test("synthetic: cache-aware, caught while the waiter exchanges slot by slot", () => {
    const rest = { memory: [waitBlock(BLOCK, { count: 0n, spinFlag: 0 })], threads: [threadAround(BLOCK)] };
    assert.match(headline("rundownca", cacheAware([BLOCK | 1n, 4n, 0n], rest)), /1 of 3 slots are the waiter's/);
});

test("synthetic: cache-aware, slots that contradict each other", () => {
    assert.match(headline("rundownca", cacheAware([BLOCK | 1n, 1n])), /^inconsistent/);
});

test("synthetic: something else is refused as a cache-aware reference", () => {
    for (const header of [
        [SLOTS, 0n, 64n],
        [SLOTS, 0n, 12n | (4n << 32n)],
        [SLOTS, 0n, 64n | (2049n << 32n)],
        [0x1000n, 0n, 64n | (4n << 32n)],
        [SLOTS + 4n, 0n, 64n | (4n << 32n)],
    ]) {
        assert.throws(() => run("rundownca", { memory: [piece(WORD, ...header)] }), /does not look like/);
    }
});

test("synthetic: a slot that cannot be read is named", () => {
    const image = { memory: [piece(WORD, SLOTS, 0n, 64n | (2n << 32n)), piece(SLOTS, 0n)] };
    assert.throws(() => run("rundownca", image), /slot 1 at 0xffffa802`00000040 cannot be read/);
});

// ---- our driver ----

const DRIVER = { name: "\\SystemRoot\\System32\\DriverStore\\FileRepository\\rundown.inf_amd64_1\\rundown.sys",
    base: "0xfffff80555550000", size: 0xc000 };

test("synthetic: the run's threads are those that began in the driver", () => {
    const image = {
        memory: [piece(WORD, 4n)],
        modules: [{ name: "\\SystemRoot\\system32\\ntoskrnl.exe", base: "0xfffff80111110000", size: 0x1000000 }, DRIVER],
        threads: [
            threadAround(BLOCK, { threadId: 0x10, startAddress: 0xfffff80555551000n }),
            threadAround(BLOCK, { threadId: 0x14, startAddress: 0xfffff8055555c000n }),
            threadAround(BLOCK, { threadId: 0x18, startAddress: 0xfffff80555550000n }),
        ],
    };
    const { commands } = load(image);
    const report = commands.rundownlab();
    assert.equal(report.toString(), "the driver has 2 threads, of a stress run or waiting for objects");
    assert.match(report.thread0, /4\.10, waiting/);
    assert.match(report.thread1, /4\.18/);
    assert.match(commands.rundownlab(hex(WORD)).reference.toString(), /^live\(2\)/);
});

// ---- the driver's trace ----

const TRACE = BigInt(DRIVER.base) + 0x8000n;
const SIGNATURE = BigInt("0x" + Buffer.from("RdwnTrac").reverse().toString("hex"));

/** A ring of `capacity` records, with those given: number, event and arguments. */
function ring(capacity, written, records, header = [SIGNATURE, BigInt(capacity), 64n]) {
    const places = Array.from({ length: capacity }, () => [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
    for (const [number, event, ...rest] of records) {
        const full = [...rest, 0n, 0n, 0n, 0n].slice(0, 4);
        places[(number - 1) % capacity] = [BigInt(number), 0x1000n + BigInt(number), event | (3n << 32n), ...full, 0n];
    }
    return {
        memory: [piece(TRACE, ...header, BigInt(written), 0n, 0n, 0n, 0n, ...places.flat())],
        modules: [DRIVER],
        symbols: { "rundown!RUNDOWN_TRACE": hex(TRACE) },
    };
}

test("synthetic: the trace, whose oldest records are overwritten, and one of which is being written", () => {
    const image = ring(4, 6, [
        [3, 3n, 7n, 0n, 2n, 1n],
        [4, 4n, 0xffff800000001000n, 0xffffb80000002001n, 5n, (2n << 56n) | 9000n],
        [5, 5n, 7n, 8n],
    ]);
    const report = load(image).commands.rundownlab();
    assert.match(report.trace, /^6 records since the driver was loaded, the newest 3 below/);
    assert.equal(report.trace0,
        "#3, TSC 0x00000000`00001003, processor 3: run 7, turn 0 is over: arm 2, 1 acquire so far");
    assert.match(report.trace1, /reference 0xffff8000`00001000, word 0xffffb800`00002001, holders inside 0x5, arm 2, 9000 cycles/);
    assert.match(report.trace2, /run 7 has ended after 8 turns$/);
    assert.equal(report.trace3, undefined);
});

test("synthetic: an empty trace, each other event, and an unknown one", () => {
    assert.match(load(ring(4, 0, [])).commands.rundownlab().trace, /^0 records/);
    const report = load(ring(8, 4, [[1, 1n, 1n, 0x7fn, 2n], [2, 2n, 1n, 0n, 3n], [3, 6n, 1n], [4, 99n]])).commands.rundownlab();
    assert.match(report.trace0, /run 1 begins: arms 0x7f, workload 2$/);
    assert.match(report.trace1, /run 1, turn 0 begins: arm 3$/);
    assert.match(report.trace2, /run 1 is told to stop$/);
    assert.match(report.trace3, /unknown event 99$/);
});

test("synthetic: whose threads they are, by the trace", () => {
    const threads = [threadAround(BLOCK, { startAddress: BigInt(DRIVER.base) })];
    const begins = [1, 1n, 7n];
    const ends = [3, 5n, 7n];
    for (const [records, text] of [
        [[], /^the driver has 1 thread, waiting for objects or in a comparison; no stress run/],
        [[begins], /^the driver has 1 thread; stress run 7 is going on$/],
        [[begins, [2, 4n, 1n]], /; stress run 7 is going on$/],
        [[begins, [2, 3n, 7n]], /; stress run 7 is going on$/],
        [[begins, [2, 6n, 7n], ends], /no stress run is going on$/],
        // It was told to stop when it had ended.
        [[begins, [2, 3n, 7n], ends, [4, 6n, 7n]], /no stress run is going on$/],
    ]) {
        const image = { ...ring(8, records.length, records), threads };
        assert.match(load(image).commands.rundownlab().toString(), text);
    }
});

test("synthetic: no symbols, and a ring of another version", () => {
    assert.match(load({ memory: [], modules: [DRIVER] }).commands.rundownlab().trace, /needs the driver's symbols/);
    for (const header of [[1n, 4n, 64n], [SIGNATURE, 0n, 64n], [SIGNATURE, 4n, 128n], [SIGNATURE, 1n << 40n, 64n]]) {
        assert.throws(() => load(ring(4, 0, [], header)).commands.rundownlab(), /not the trace of this version/);
    }
});

test("synthetic: no run, and no driver", () => {
    assert.match(load({ memory: [], modules: [DRIVER] }).commands.rundownlab().toString(), /^the driver has no threads: no stress run/);
    assert.throws(() => load({ memory: [] }).commands.rundownlab(), /the driver is not loaded/);
    const other = { ...DRIVER, name: "\\SystemRoot\\notrundown.sys" };
    assert.throws(() => load({ memory: [], modules: [other] }).commands.rundownlab(), /the driver is not loaded/);
});

// ---- images from files ----

// RUNDOWN_IMAGES: a folder with images that were dumped a moment ago (tools/lab/tests/debugger.rs).
const folders = [path.join(__dirname, "images"), process.env.RUNDOWN_IMAGES].filter(Boolean);
const images = folders.flatMap((folder) => fs.readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => path.join(folder, name)));
for (const file of images) {
    test(`image ${path.basename(file)} answers as it expects`, () => {
        const image = JSON.parse(fs.readFileSync(file, "utf8"));
        assert.ok(image.expect.length > 0, "an image without expectations tests nothing");
        const { commands } = load(image);
        for (const { command, address, headline: text, fields } of image.expect) {
            const report = commands[command](address);
            assert.equal(report.toString(), text);
            for (const [field, value] of Object.entries(fields || {})) {
                assert.deepEqual(report[field], value, field);
            }
        }
    });
}
