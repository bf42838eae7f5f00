//! `debugger/rundown.js` against the memory of a running driver: the lab is stopped over gdb's protocol in each state of a
//! reference, what the extension needs is read out of the machine, and node runs the extension's tests on it. Not part of
//! a plain `cargo test`: `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test debugger`.
//!
//! The lab's events have NT's list of waiters, so who sleeps on one is found as on NT. Its threads are no `ETHREAD`s: of them only the
//! address and the stack are real here.
//!
//! The images stay in cargo's folder for tests (`target/tools/tmp/images`); those in `debugger/test/images` whose names
//! begin with `lab-` are copies.

mod client;
mod images;

use client::{Lab, artefact, serve};
use images::expect;
use pdb_addr2line::{
    ContextPdbData,
    pdb::{FallibleIterator as _, PDB, SymbolData},
};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const INTERFACE: &str = "5b0ff8a3-6a1d-4a2c-9f6e-8d6c1d2b7e41";
/// The example's, and its one request.
const EXAMPLE: &str = "2d8b6f1e-90c4-4b7a-a315-6e0f5bc284d9";
const ASK: &str = "0x00226000 8 -";
const STRESS_START: u32 = 0x8052_e040;
const STRESS_RESULT: u32 = 0x8052_6044;
/// `RunState::Running`, as an answer has it.
const RUNNING: &str = "01000000";
const CREATE: u32 = 0x8052_e084;
const ACQUIRE: u32 = 0x8052_e088;
const RELEASE: u32 = 0x8052_e08c;
const WAIT: u32 = 0x8052_e090;
const OURS: u32 = 1;
const OURS_CACHE_AWARE: u32 = 3;
const NATIVE: u32 = 4;
const STALE: &str = "stale or corrupt (a heuristic; the doubts say why)";
/// References that are outstanding: a number that nothing else in the driver's pool is.
const REFERENCES: u32 = 0x0bad_cafe;

const PAGE: u64 = 0x1000;
/// Where the lab's kernel keeps stacks and pool (`mm` there).
const STACKS: u64 = 0xFFFF_9000_0000_0000;
const POOL: u64 = 0xFFFF_A000_0000_0000;
/// Where it loads the driver.
const IMAGE: u64 = lab_wire::boot::IMAGES;
/// QEMU's stub reads no more at a time.
const LONGEST: u64 = PAGE / 4;
/// Pages of pool that are searched.
const SEARCHED: u64 = 1 << 10;

/// The machine, by the remote protocol of gdb ("Debugging with GDB", appendix E).
struct Stub(TcpStream);

impl Stub {
    fn connect(port: u16) -> Self {
        let until = Instant::now() + Duration::from_mins(1);
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > until => panic!("QEMU's stub does not listen: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self(stream)
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).expect("the stub answers");
        byte[0]
    }

    fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.0, "${packet}#{sum:02x}").unwrap();
        while self.byte() != b'+' {}
    }

    fn reply(&mut self) -> String {
        while self.byte() != b'$' {}
        let mut text = String::new();
        loop {
            match self.byte() {
                b'#' => break,
                byte => text.push(byte.into()),
            }
        }
        let _ = (self.byte(), self.byte());
        self.0.write_all(b"+").unwrap();
        text
    }

    fn go(&mut self) {
        self.send("c");
    }

    /// Goes on until a processor is about to execute the instruction at `address`.
    fn go_to(&mut self, address: u64) {
        for packet in [
            format!("Z1,{address:x},1"),
            "c".into(),
            format!("z1,{address:x},1"),
        ] {
            self.send(&packet);
            let reply = self.reply();
            assert!(reply == "OK" || reply.starts_with('T'), "{packet}: {reply}");
        }
    }

    fn stop(&mut self) {
        self.0.write_all(&[3]).unwrap();
        assert!(self.reply().starts_with('T'));
    }

    /// Memory of a stopped machine; `None` where nothing is mapped.
    fn read(&mut self, address: u64, length: u64) -> Option<Vec<u8>> {
        self.send(&format!("m{address:x},{length:x}"));
        let text = self.reply();
        if text.starts_with('E') {
            return None;
        }
        let digits = text
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap());
        Some(
            digits
                .map(|digits| u8::from_str_radix(digits, 16).unwrap())
                .collect(),
        )
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        let digits: String = bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        self.send(&format!("M{address:x},{:x}:{digits}", bytes.len()));
        assert_eq!(self.reply(), "OK");
    }

    fn word(&mut self, address: u64) -> u64 {
        let bytes = self.read(address, 8).expect("it is mapped");
        u64::from_le_bytes(bytes.try_into().unwrap())
    }

    /// The pool's words, by their address.
    fn pool(&mut self) -> Vec<(u64, u64)> {
        let mut words = Vec::new();
        for piece in (0..SEARCHED * PAGE / LONGEST).map(|index| POOL + index * LONGEST) {
            if let Some(bytes) = self.read(piece, LONGEST) {
                let found = bytes
                    .chunks(8)
                    .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
                words.extend((piece..).step_by(8).zip(found));
            }
        }
        words
    }
}

/// The driver in a machine with a stub.
struct Session {
    lab: Lab,
    stub: Stub,
    handle: String,
}

impl Session {
    fn start(driver: &str, interface: &str) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = serve();
        command.arg("--driver").arg(artefact(driver));
        command.args(["--cpus", "2", "--seed", "3", "--gdb", &port.to_string()]);
        let lab = Lab::spawn(&mut command);
        let mut stub = Stub::connect(port);
        stub.go();
        let mut lab = lab.until_ready();
        let handle = lab.open(&format!("open {interface} rw"));
        Self { lab, stub, handle }
    }

    fn line(&self, code: u32, capacity: u32, body: &[u32]) -> String {
        let size = u32::try_from(8 + 4 * body.len()).unwrap();
        let words = [size, VERSION].into_iter().chain(body.iter().copied());
        let input: String = words
            .flat_map(u32::to_le_bytes)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("ioctl {} {code:#x} {capacity} {input}", self.handle)
    }

    fn ask(&mut self, code: u32, capacity: u32, body: &[u32]) -> String {
        let line = self.line(code, capacity, body);
        let (status, answer) = self.lab.ask(&line);
        assert_eq!(status, 0, "{line}");
        answer
    }

    /// A new object's number, as two words.
    fn create(&mut self, kind: u32) -> [u32; 2] {
        let answer = self.ask(CREATE, 16, &[kind, 0]);
        let number = u64::from_str_radix(&answer[16..32], 16).unwrap().swap_bytes();
        [number & 0xFFFF_FFFF, number >> 32].map(|half| u32::try_from(half).unwrap())
    }
}

/// The version of the driver's protocol.
const VERSION: u32 = 3;

fn folder() -> PathBuf {
    images::folder("images")
}

/// An image for the extension's tests, with what it must answer.
fn save(name: &str, memory: &[(u64, Vec<u8>)], threads: &Value, expect: &Value) {
    images::save(&folder(), name, memory, json!({ "threads": threads }), expect);
}

/// Where a wait block has its event's list of waiters.
const WAITERS: u64 = 0x10;

/// The `KWAIT_BLOCK` of the thread that sleeps on a wait block's event.
fn sleeper(stub: &mut Stub, block: u64) -> (u64, Vec<u8>) {
    let address = stub.word(block + WAITERS);
    (address, stub.read(address, 0x30).unwrap())
}

/// The thread that sleeps on a wait block's event, by the event's list, with the stack on which the block lies.
fn thread(stub: &mut Stub, block: u64) -> Value {
    let (waiter, _) = sleeper(stub, block);
    let address = stub.word(waiter + 0x18);
    let mut limit = block & !(PAGE - 1);
    while stub.read(limit - PAGE, 8).is_some() {
        limit -= PAGE;
    }
    let mut base = block & !(PAGE - 1);
    while stub.read(base, 8).is_some() {
        base += PAGE;
    }
    json!([{
        "address": format!("{address:#x}"), "process": "System", "processId": 4, "threadId": 4, "state": 5,
        "stackBase": format!("{base:#x}"), "stackLimit": format!("{limit:#x}"), "kernelStack": format!("{limit:#x}"),
        "startAddress": "0x0"
    }])
}

/// What the extension says of who sleeps.
fn sleeps(threads: &Value) -> String {
    let address = threads[0]["address"].as_str().unwrap().trim_start_matches("0x");
    let (high, low) = address.split_at(8);
    format!("!thread 0x{high}`{low}")
}

/// The wait block that the word at `address` points to, once its owner sleeps.
fn sleeping_block(session: &mut Session, address: u64) -> u64 {
    for _ in 0..100 {
        session.stub.stop();
        let word = session.stub.word(address);
        let block = word & !1;
        if word & 1 == 1
            && (STACKS..POOL).contains(&block)
            && session.stub.word(block + 32) == 0
            && session.stub.word(block + WAITERS) != block + WAITERS
        {
            return block;
        }
        session.stub.go();
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody waits for the reference at {address:#x}");
}

/// The address of the only word in the pool that says so many references; the machine stops.
fn find(session: &mut Session) -> u64 {
    let word = u64::from(REFERENCES) * 2;
    session.stub.stop();
    let places: Vec<u64> = session
        .stub
        .pool()
        .into_iter()
        .filter_map(|(address, found)| (found == word).then_some(address))
        .collect();
    let &[address] = &*places else {
        panic!("the word is in the pool once, not at {places:x?}")
    };
    address
}

fn plain(session: &mut Session) {
    let object = session.create(OURS);
    let [low, high] = object;
    session.ask(ACQUIRE, 24, &[low, high, REFERENCES, 0]);

    let address = find(session);
    let bytes = session.stub.read(address, 8).unwrap();
    let headline = format!("live({REFERENCES}): {REFERENCES} references out, run-down has not begun");
    save(
        "lab-live",
        &[(address, bytes)],
        &json!([]),
        &expect("rundown", address, &headline, &json!({})),
    );
    session.stub.go();

    let request = session.line(WAIT, 32, &object);
    let wait = session.lab.send(&request);
    let block = sleeping_block(session, address);
    let threads = thread(&mut session.stub, block);
    let memory = |stub: &mut Stub| {
        let word = (address, stub.read(address, 8).unwrap());
        let block = (block, stub.read(block, 40).unwrap());
        [word, sleeper(stub, block.0), block]
    };
    let waiting = memory(&mut session.stub);
    let headline = format!("waiting: {REFERENCES} references still out, and the waiter sleeps on the event");
    let count = json!({ "Count": REFERENCES, "sleeper": sleeps(&threads) });
    save(
        "lab-waiting",
        &waiting,
        &threads,
        &expect("rundown", address, &headline, &count),
    );

    // Somebody writes over the wait block.
    let count = session.stub.read(block, 8).unwrap();
    session.stub.write(block, &[0xEE; 8]);
    let corrupted = memory(&mut session.stub);
    save(
        "lab-corrupted",
        &corrupted,
        &threads,
        &expect("rundown", address, STALE, &json!({})),
    );
    session.stub.write(block, &count);
    session.stub.go();

    session.ask(RELEASE, 24, &[low, high, REFERENCES, 0]);
    assert_eq!(session.lab.answer(wait).0, 0);
    session.stub.stop();
    let bytes = session.stub.read(address, 8).unwrap();
    let headline = "run down: every acquire is refused, a wait returns at once";
    save(
        "lab-run-down",
        &[(address, bytes)],
        &json!([]),
        &expect("rundown", address, headline, &json!({})),
    );
    session.stub.go();
}

/// The operating system's routine leaves a pointer to the waiter's stack in the word; in the lab that is the reference's.
fn stale(session: &mut Session) {
    let object = session.create(NATIVE);
    let [low, high] = object;
    session.ask(ACQUIRE, 24, &[low, high, REFERENCES, 0]);
    let address = find(session);
    session.stub.go();
    let request = session.line(WAIT, 32, &object);
    let wait = session.lab.send(&request);
    let block = sleeping_block(session, address);
    session.stub.go();
    session.ask(RELEASE, 24, &[low, high, REFERENCES, 0]);
    assert_eq!(session.lab.answer(wait).0, 0);

    session.stub.stop();
    assert_eq!(
        session.stub.word(address),
        block | 1,
        "the pointer stays when the wait is over"
    );
    let mut memory = vec![(address, session.stub.read(address, 8).unwrap())];
    // The waiter's stack may be gone with it.
    memory.extend(session.stub.read(block, 40).map(|bytes| (block, bytes)));
    save(
        "lab-stale",
        &memory,
        &json!([]),
        &expect("rundown", address, STALE, &json!({})),
    );
    session.stub.go();
}

/// Where the driver's PDB has a symbol, as an offset in its image.
fn offset_of(symbol: &str) -> u64 {
    let file = std::fs::File::open(artefact("rundown.pdb")).unwrap();
    let mut pdb = PDB::open(file).unwrap();
    let addresses = pdb.address_map().unwrap();
    let globals = pdb.global_symbols().unwrap();
    let mut symbols = globals.iter();
    while let Some(found) = symbols.next().unwrap() {
        if let Ok(SymbolData::Public(public)) = found.parse()
            && public.name.to_string() == symbol
        {
            return public.offset.to_rva(&addresses).unwrap().0.into();
        }
    }
    panic!("the PDB has no {symbol}");
}

/// Where a driver's PDB has a function, as an offset in its image.
fn procedure(pdb: &str, name: &str) -> u64 {
    let mut pdb = PDB::open(std::fs::File::open(artefact(pdb)).unwrap()).unwrap();
    let addresses = pdb.address_map().unwrap();
    let information = pdb.debug_information().unwrap();
    let mut modules = information.modules().unwrap();
    while let Some(module) = modules.next().unwrap() {
        let Some(module) = pdb.module_info(&module).unwrap() else {
            continue;
        };
        let mut symbols = module.symbols().unwrap();
        while let Some(found) = symbols.next().unwrap() {
            if let Ok(SymbolData::Procedure(procedure)) = found.parse()
                && procedure.name.to_string() == name
            {
                return procedure.offset.to_rva(&addresses).unwrap().0.into();
            }
        }
    }
    panic!("the PDB has no {name}");
}

/// As the extension writes an address.
fn parted(address: u64) -> String {
    format!("0x{:08x}`{:08x}", address >> 32, address & 0xFFFF_FFFF)
}

/// The size of the driver's image, which the lab loads first.
fn image_size(stub: &mut Stub) -> u64 {
    assert_eq!(stub.read(IMAGE, 2).unwrap(), b"MZ");
    let headers = IMAGE + (stub.word(IMAGE + 0x38) >> 32);
    stub.word(headers + 0x50) & 0xFFFF_FFFF
}

/// The ring of the driver's trace, after a run of two turns: its records have to tell what the driver answered.
fn trace(session: &mut Session) {
    const RECORD: u64 = 64;
    let start = [1, 1, 2, 20, 1, 0, 100, 100, 1, 0, 1, 0, 0, 0, 1, 0];
    let run = session.ask(STRESS_START, 16, &start);
    assert_eq!(&run[16..], "0100000000000000", "the first run");
    let answer = loop {
        let answer = session.ask(STRESS_RESULT, 184, &[1, 0]);
        if &answer[32..40] != RUNNING {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let acquires = u64::from_str_radix(&answer[64..80], 16).unwrap().swap_bytes();

    session.stub.stop();
    let size = image_size(&mut session.stub);
    let ring = IMAGE + offset_of("RUNDOWN_TRACE");
    let written = session.stub.word(ring + 0x18);
    let mut memory = vec![(ring, session.stub.read(ring, RECORD).unwrap())];
    memory.extend((1..=written).map(|number| {
        let place = ring + RECORD * number;
        (place, session.stub.read(place, RECORD).unwrap())
    }));
    let word = |record: usize, index: usize| {
        let bytes = &memory[record].1[8 * index..8 * index + 8];
        u64::from_le_bytes(bytes.try_into().unwrap())
    };
    let said = |number: usize, what: &str| {
        let (cycles, processor) = (parted(word(number, 1)), word(number, 2) >> 32);
        format!("#{number}, TSC {cycles}, processor {processor}: {what}")
    };
    // The acquires of the turn before the last one are known to the record only; the last one has the answer's.
    let first = word(3, 6);
    assert!(first <= acquires);
    let mut fields = json!({
        "driver": format!("{} to {}", parted(IMAGE), parted(IMAGE + size)),
        "trace": "6 records since the driver was loaded, the newest 6 below",
    });
    for (number, what) in [
        "run 1 begins: arms 0x1, workload 1".to_owned(),
        "run 1, turn 0 begins: arm 1".to_owned(),
        format!("run 1, turn 0 is over: arm 1, {first} acquires so far"),
        "run 1, turn 1 begins: arm 1".to_owned(),
        format!("run 1, turn 1 is over: arm 1, {acquires} acquires so far"),
        "run 1 has ended after 2 turns".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        fields[format!("trace{number}")] = said(number + 1, what).into();
    }
    let image = json!({
        "modules": [{ "name": "rundown.sys", "base": format!("{IMAGE:#x}"), "size": size }],
        "symbols": { "rundown!RUNDOWN_TRACE": format!("{ring:#x}") },
    });
    let mut expected = expect(
        "rundownlab",
        0,
        "the driver has no threads: no stress run, and nobody waits for an object",
        &fields,
    );
    expected.as_object_mut().unwrap().remove("address");
    images::save(&folder(), "lab-trace", &memory, image, &expected);
    session.stub.go();
}

fn cache_aware(session: &mut Session) {
    const STRIDE: u64 = 64;
    const NUMBER: u64 = 2;
    let object = session.create(OURS_CACHE_AWARE);
    let [low, high] = object;
    session.ask(ACQUIRE, 24, &[low, high, REFERENCES, 0]);

    session.stub.stop();
    let pool = session.stub.pool();
    // RunRefs, PoolToFree, RunRefSize and Number.
    let header = pool.windows(3).find(|words| {
        let (slots, layout) = (words[0].1, words[2].1);
        let sizes = (layout & 0xFFFF_FFFF, layout >> 32);
        slots >> 40 == POOL >> 40
            && slots % STRIDE == 0
            && sizes.0 % STRIDE == 0
            && sizes.0 != 0
            && sizes.1 == NUMBER
    });
    let header = header.expect("the header is in the pool");
    let (address, slots, stride) = (header[0].0, header[0].1, header[2].1 & 0xFFFF_FFFF);
    let memory = |stub: &mut Stub| {
        let mut memory = vec![(address, stub.read(address, 24).unwrap())];
        memory.extend((0..NUMBER).map(|index| {
            (
                slots + index * stride,
                stub.read(slots + index * stride, 8).unwrap(),
            )
        }));
        memory
    };
    let live = memory(&mut session.stub);
    let headline =
        format!("live({REFERENCES}): {REFERENCES} references out over all slots, run-down has not begun");
    let fields = json!({ "Number": NUMBER, "RunRefSize": stride });
    save(
        "lab-cache-aware-live",
        &live,
        &json!([]),
        &expect("rundownca", address, &headline, &fields),
    );
    session.stub.go();

    let request = session.line(WAIT, 32, &object);
    let wait = session.lab.send(&request);
    let block = sleeping_block(session, slots);
    let threads = thread(&mut session.stub, block);
    let mut waiting = memory(&mut session.stub);
    waiting.push((block, session.stub.read(block, 40).unwrap()));
    waiting.push(sleeper(&mut session.stub, block));
    let headline = format!("waiting: Count is {REFERENCES}, and the waiter sleeps on the event");
    save(
        "lab-cache-aware-waiting",
        &waiting,
        &threads,
        &expect(
            "rundownca",
            address,
            &headline,
            &json!({ "sleeper": sleeps(&threads) }),
        ),
    );
    session.stub.go();
    session.ask(RELEASE, 24, &[low, high, REFERENCES, 0]);
    assert_eq!(session.lab.answer(wait).0, 0);
}

/// The function of `inflight.sys` that has an address, by its PDB.
fn function(address: u64) -> String {
    let file = std::fs::File::open(artefact("inflight.pdb")).unwrap();
    let data = ContextPdbData::try_from_pdb(PDB::open(file).unwrap()).unwrap();
    let context = data.make_context().unwrap();
    let offset = u32::try_from(address - IMAGE).expect("the address is in the image");
    let frames = context.find_frames(offset).unwrap().expect("it is code");
    // The outermost: what is inlined there is the primitive.
    let frame = frames.frames.last().expect("there is one");
    frame.function.clone().expect("it has a name")
}

/// What the table of holders at `address` says: the fields that the extension shows, and the code of each holder.
fn table(stub: &mut Stub, address: u64, size: u64) -> (serde_json::Map<String, Value>, Vec<u64>) {
    let entries = stub.word(address + 8);
    assert_eq!(stub.word(address + 16), 0, "there is room for all");
    let mut holders: Vec<[u64; 4]> = (0..entries)
        .map(|index| [0, 8, 16, 24].map(|field| stub.word(address + 24 + 32 * index + field)))
        .filter(|&[_, _, _, references]| references != 0)
        .collect();
    holders.sort_by_key(|&[_, _, since, _]| since);
    let mut fields = serde_json::Map::new();
    let plural = |number: usize, noun| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let count = holders.len();
    fields.insert(
        "holders".into(),
        format!(
            "{} of {}, the oldest first",
            plural(count, "reference"),
            plural(count, "holder")
        )
        .into(),
    );
    for (index, &[thread, code, since, references]) in holders.iter().enumerate() {
        assert_eq!(references, 1 << 63 | 1, "one, which the request keeps");
        assert!((IMAGE..IMAGE + size).contains(&code), "{code:#x}");
        let text = format!(
            "1 by !thread {}, acquired at inflight.sys+{:#x} (ln {}), TSC {}, without a guard (which of those: not known)",
            parted(thread),
            code - IMAGE,
            parted(code),
            parted(since)
        );
        fields.insert(format!("holder{index}"), text.into());
    }
    (fields, holders.iter().map(|&[_, code, ..]| code).collect())
}

/// The example's requests hold its session until the next tick. Who they are is in the memory of the machine.
#[test]
fn the_extension_names_who_holds_a_reference() {
    const SIGNATURE: u64 = u64::from_le_bytes(*b"RdnHoldr");
    const ENTRIES: u64 = 32;
    let folder = images::folder("holders");
    let mut session = Session::start("inflight.sys", EXAMPLE);
    session.stub.stop();
    let size = image_size(&mut session.stub);
    let pool = session.stub.pool().into_iter();
    let places: Vec<u64> = pool
        .filter_map(|(address, word)| (word == SIGNATURE).then_some(address))
        .collect();
    let &[place] = &*places else {
        panic!("the device has one table, not {places:x?}")
    };
    let tick = IMAGE + procedure("inflight.pdb", "inflight::evt_tick");
    let mut seen = 0;
    for _ in 0..100 {
        let line = format!("ioctl {} {ASK}", session.handle);
        let requests = [(); 3].map(|()| session.lab.send(&line));
        // What has come until the tick is in flight.
        session.stub.go_to(tick);
        let word = session.stub.word(place - 8);
        let (fields, code) = table(&mut session.stub, place, size);
        // Another processor may be between an acquire and its entry.
        if code.len() > seen && word == 2 * code.len() as u64 {
            seen = code.len();
            for address in code {
                let name = function(address);
                assert!(name.starts_with("inflight::evt_io_device_control("), "{name}");
            }
            let count = word / 2;
            let headline = format!(
                "live({count}): {count} reference{} out, run-down has not begun",
                if count == 1 { "" } else { "s" }
            );
            let bytes = session.stub.read(place - 8, 8 + 24).unwrap();
            let entries = (0..ENTRIES).map(|index| place + 24 + 32 * index);
            let entries = entries.map(|address| (address, session.stub.read(address, 32).unwrap()));
            let memory: Vec<_> = [(place - 8, bytes)].into_iter().chain(entries).collect();
            let modules = json!([{ "name": "inflight.sys", "base": format!("{IMAGE:#x}"), "size": size }]);
            images::save(
                &folder,
                "lab-holders",
                &memory,
                json!({ "modules": modules }),
                &expect("rundown", place - 8, &headline, &fields.into()),
            );
        }
        session.stub.go();
        for request in requests {
            assert_eq!(session.lab.answer(request).0, 0);
        }
        if seen > 1 {
            break;
        }
        session.stub.stop();
    }
    assert!(seen > 1, "at no time two requests hold the session");
    assert_eq!(session.lab.ask("quit").0, 0);
    assert_eq!(session.lab.end().code, Some(0));
    let said = images::test(&folder);
    assert!(said.contains("image lab-holders.json"), "{said}");
}

#[test]
fn the_extension_reads_a_running_drivers_references() {
    let mut session = Session::start("rundown.sys", INTERFACE);
    plain(&mut session);
    stale(&mut session);
    cache_aware(&mut session);
    trace(&mut session);
    assert_eq!(session.lab.ask("quit").0, 0);
    let ended = session.lab.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let said = images::test(&folder());
    for name in [
        "live",
        "waiting",
        "corrupted",
        "stale",
        "run-down",
        "cache-aware-live",
        "cache-aware-waiting",
        "trace",
    ] {
        assert!(said.contains(&format!("image lab-{name}.json")), "{name}: {said}");
    }
}
