//! Requests that no client would send: raw bytes, and structures with fields gone wrong. Each boot carries a hundred
//! thousand of them out as a script, so that none needs a way over the pipe, and a seed repeats it. The machine stays up,
//! nothing is left behind, another handle's objects are as they were, and each code that is valid succeeds at times: a
//! request about an object or a run names one that was made.

mod common;

use std::{collections::BTreeMap, env, fmt::Write as _, time::Instant};

use common::every_request;
use rundown_abi::{
    Arm, CodeQuery, ConformanceRun, INTERFACE_GUID_TEXT, InfoRequest, InteropRun, ObjectAcquire,
    ObjectCounted, ObjectCreate, ObjectCreated, ObjectKind, Pair, Pairing, Refusal, StressArmQuery,
    StressQuery, StressStart, StressTurnsQuery, ioctl, limits,
};
use rundown_suite::{CANCELLED, INVALID_HANDLE, SUCCESS, hex, play};
use zerocopy::IntoBytes;

/// Requests of a boot, and of the gate.
const REQUESTS: usize = 100_000;
/// Requests of a boot with two processors, where each costs thirty times as much: a block that is freed is unmapped, and each
/// processor has to hear of that.
const ON_TWO: usize = 2_000;
/// Requests between two closes; the handles take turns, so each lives four times as long.
const PER_HANDLE: usize = 1_000;
/// `STATUS_ACCESS_DENIED`, the I/O manager's answer to a code that needs more access than the handle has.
const ACCESS_DENIED: u32 = 0xC000_0022;
/// `STATUS_NOT_FOUND`, its answer to a cancellation that comes too late, and the driver's for another run.
const NOT_FOUND: u32 = 0xC000_0225;
/// The requests of a boot of which so many are sent that each code has to succeed at times.
const SENT_OFTEN: usize = 1_000;
/// References that somebody else holds meanwhile.
const BYSTANDERS: u32 = 7;

/// xorshift64*, as in `rundown_stress`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 32).expect("32 bits") % end
    }

    fn one_in(&mut self, end: usize) -> bool {
        self.below(end) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A valid request, to be spoilt: code, bytes, room for the answer.
type Seed = (u32, Vec<u8>, usize);

/// A script in the making.
struct Script {
    random: Random,
    seeds: Vec<Seed>,
    text: String,
    lines: usize,
    /// Lines that opened a handle, that made an object by it, or that may pend on it.
    handles: Vec<Client>,
    raw: usize,
    structured: usize,
    cancelled: Vec<usize>,
}

struct Client {
    line: usize,
    objects: Vec<usize>,
    /// The line of its last start of a run, which may have been refused.
    run: Option<usize>,
}

/// Where a request about an object, or about a run, has its number.
const NUMBER: core::ops::Range<usize> = 8..16;

/// What the requests of all boots came to.
#[derive(Default)]
struct Answers {
    /// Requests by NTSTATUS.
    by_status: BTreeMap<u32, usize>,
    /// For each valid code: requests that were carried out, and those of them that succeeded.
    by_code: BTreeMap<u32, (usize, usize)>,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            seeds: seeds(),
            text: String::new(),
            lines: 0,
            handles: Vec::new(),
            raw: 0,
            structured: 0,
            cancelled: Vec::new(),
        }
    }

    /// Adds a line, and returns its number.
    fn say(&mut self, line: &str) -> usize {
        self.text.extend([line, "\n"]);
        self.lines += 1;
        self.lines
    }

    fn open(&mut self) -> Client {
        Client {
            line: self.say(&format!("open {INTERFACE_GUID_TEXT} rw")),
            objects: Vec::new(),
            run: None,
        }
    }

    fn ioctl(&mut self, handle: usize, code: u32, input: &str, room: usize) -> usize {
        let input = if input.is_empty() { "-" } else { input };
        self.say(&format!("ioctl ${handle} 0x{code:08x} {room} {input}"))
    }

    /// One request, with whatever is wrong with it.
    fn request(&mut self) {
        let client = self.random.below(self.handles.len());
        let handle = self.handles[client].line;
        let (code, mut input, capacity) = self.random.pick(&self.seeds).clone();
        if self.random.one_in(4) {
            self.raw += 1;
            return self.raw_request(handle, code);
        }
        self.structured += 1;
        let sound = self.spoil(&mut input);
        Self::tame(code, &mut input);
        let room = *self.random.pick(&[
            capacity,
            capacity,
            capacity,
            0,
            capacity.saturating_sub(1),
            capacity + 100,
        ]);
        let mut text = hex(&input);
        let owner = if self.random.one_in(16) {
            self.random.below(self.handles.len())
        } else {
            client
        };
        let made_by = match code {
            _ if input.get(NUMBER) != Some(&PLACEHOLDER.to_le_bytes()) => None,
            code if OF_RUNS.contains(&code) => self.handles[owner].run,
            code if OF_OBJECTS.contains(&code) && !self.handles[owner].objects.is_empty() => {
                Some(*self.random.pick(&self.handles[owner].objects))
            }
            _ => None,
        };
        if let Some(line) = made_by {
            put_number(&mut text, line);
        }
        // A wait may pend for as long as its handle lives; of the others some go out while others are under way.
        if code == ioctl::OBJECT_WAIT || (code != ioctl::OBJECT_CREATE && self.random.one_in(8)) {
            self.text.push_str("& ");
        }
        let line = self.ioctl(handle, code, &text, room);
        match code {
            ioctl::OBJECT_CREATE if sound && room >= capacity => self.handles[client].objects.push(line),
            ioctl::STRESS_START if sound && room >= capacity => self.handles[client].run = Some(line),
            ioctl::OBJECT_WAIT if self.random.one_in(4) => {
                self.say(&format!("cancel {line}"));
                self.cancelled.push(self.lines);
            }
            _ => {}
        }
    }

    /// Changes what a structure says, or nothing; whether it is as it was.
    fn spoil(&mut self, input: &mut Vec<u8>) -> bool {
        match self.random.below(8) {
            0..=3 => return true,
            // One field of four bytes is an interesting value.
            4 | 5 => {
                let values = [
                    0,
                    1,
                    2,
                    0x7fff_ffff,
                    0x8000_0000,
                    u32::MAX,
                    limits::REFERENCES,
                    limits::STEPS + 1,
                ];
                let field = 4 * self.random.below(input.len() / 4);
                let value = *self.random.pick(&values);
                input[field..field + 4].copy_from_slice(&value.to_le_bytes());
            }
            // A bit flips.
            6 => {
                let bit = self.random.below(8 * input.len());
                input[bit / 8] ^= 1 << (bit % 8);
            }
            // Another length.
            _ => {
                let length = self.random.below(2 * input.len());
                input.resize(length, 0xa5);
            }
        }
        false
    }

    /// Where a number in a structure only costs time, it is made small: other tests spend that time better.
    fn tame(code: u32, input: &mut [u8]) {
        let caps: &[(usize, u32, u32)] = match code {
            ioctl::CONFORMANCE_RUN | ioctl::INTEROP_RUN => &[(12, 8, limits::STEPS)],
            // Threads and milliseconds.
            ioctl::STRESS_START => &[(0x10, 3, u32::MAX), (0x14, 20, 3_600_000)],
            _ => return,
        };
        for &(offset, most, limit) in caps {
            if let Some(field) = input.get_mut(offset..offset + 4) {
                let value = u32::from_le_bytes(field.try_into().expect("four bytes"));
                if value > most && value <= limit {
                    field.copy_from_slice(&most.to_le_bytes());
                }
            }
        }
    }

    /// Bytes that mean nothing, for a code that is one or is not.
    fn raw_request(&mut self, handle: usize, code: u32) {
        let length = self.random.below(96);
        let bytes: Vec<u8> = (0..length).map(|_| self.random.next().to_le_bytes()[7]).collect();
        let codes = [
            code,
            code,
            code ^ 3,
            code ^ 0x4000,
            code + 0x100,
            u32::try_from(self.random.next() >> 32).expect("32 bits"),
        ];
        let (code, room) = (*self.random.pick(&codes), self.random.below(600));
        self.ioctl(handle, code, &hex(&bytes), room);
    }

    /// A handle goes, with whatever it has: objects, references, waits, a run.
    fn replace_handle(&mut self, index: usize) {
        self.say(&format!("close ${}", self.handles[index].line));
        self.handles[index] = self.open();
    }
}

/// The object, or the run, that seeds name, until a real one takes its place.
const PLACEHOLDER: u64 = 1;

/// The requests that name an object.
const OF_OBJECTS: [u32; 7] = [
    ioctl::OBJECT_ACQUIRE,
    ioctl::OBJECT_RELEASE,
    ioctl::OBJECT_WAIT,
    ioctl::OBJECT_COMPLETED,
    ioctl::OBJECT_REINITIALIZE,
    ioctl::OBJECT_STATE,
    ioctl::OBJECT_DESTROY,
];

/// The requests that name a run.
const OF_RUNS: [u32; 4] = [
    ioctl::STRESS_RESULT,
    ioctl::STRESS_ARM,
    ioctl::STRESS_TURNS,
    ioctl::STRESS_STOP,
];

/// Has a request name the object, or the run, that the answer to `line` names.
fn put_number(text: &mut String, line: usize) {
    text.replace_range(2 * NUMBER.start..2 * NUMBER.end, &format!("{{{line}:8-16}}"));
}

/// What is valid, small enough to be sent often.
fn seeds() -> Vec<Seed> {
    let mut seeds = every_request(PLACEHOLDER);
    for &kind in ObjectKind::ALL {
        let mut create = seeds[1].clone();
        create.1[8..12].copy_from_slice(&(kind as u32).to_le_bytes());
        seeds.push(create);
    }
    let mut add = |code, request: &dyn AsRef<[u8]>, room| seeds.push((code, request.as_ref().to_vec(), room));
    let conformance = ConformanceRun::new(Pair::Plain, 3, 1);
    let interop = InteropRun::new(Pairing::OursWaitsNativeReleases, 1, 1);
    let storm = StressStart::storm(Arm::Ours, 2, 2);
    let (run, arm, turns) = (
        StressQuery::new(PLACEHOLDER),
        StressArmQuery::new(PLACEHOLDER, Arm::Ours),
        StressTurnsQuery::new(PLACEHOLDER, 0),
    );
    add(ioctl::CONFORMANCE_RUN, &conformance.as_bytes(), 0x460);
    add(ioctl::INTEROP_RUN, &interop.as_bytes(), 0x40);
    add(ioctl::QUERY_INFO, &InfoRequest::new().as_bytes(), 0x200);
    add(
        ioctl::QUERY_CODE,
        &CodeQuery::new(ObjectKind::OursWide).as_bytes(),
        0x200,
    );
    add(ioctl::STRESS_START, &storm.as_bytes(), 0x10);
    add(ioctl::STRESS_RESULT, &run.as_bytes(), 0x200);
    add(ioctl::STRESS_ARM, &arm.as_bytes(), 0x200);
    add(ioctl::STRESS_TURNS, &turns.as_bytes(), 0x1000);
    add(ioctl::STRESS_STOP, &run.as_bytes(), 0);
    seeds
}

/// One boot's worth of requests; the answers to them, by NTSTATUS.
fn boot(seed: u64, cpus: &str, requests: usize, answers: &mut Answers) {
    let start = Instant::now();
    let mut script = Script::new(seed);
    // Somebody else's, who must not notice.
    let bystander = script.open().line;
    let create = hex(ObjectCreate::new(ObjectKind::Native, false).as_bytes());
    let made = script.ioctl(
        bystander,
        ioctl::OBJECT_CREATE,
        &create,
        size_of::<ObjectCreated>(),
    );
    // To acquire and to release look the same.
    let counted = |count: u32| {
        let mut text = hex(ObjectAcquire::new(0, count).as_bytes());
        put_number(&mut text, made);
        text
    };
    let room = size_of::<ObjectCounted>();
    let acquired = script.ioctl(bystander, ioctl::OBJECT_ACQUIRE, &counted(BYSTANDERS), room);

    script.handles = (0..4).map(|_| script.open()).collect();
    for number in 0..requests {
        script.request();
        if number % PER_HANDLE == PER_HANDLE - 1 {
            script.replace_handle(number / PER_HANDLE % 4);
        }
    }
    for index in 0..4 {
        let line = script.handles[index].line;
        script.say(&format!("close ${line}"));
    }
    let released = script.ioctl(bystander, ioctl::OBJECT_RELEASE, &counted(BYSTANDERS), room);
    let too_many = script.ioctl(bystander, ioctl::OBJECT_RELEASE, &counted(1), room);

    let seed_text = seed.to_string();
    let options = [
        "--cpus",
        cpus,
        "--timeout",
        "3600",
        "--patience",
        "300",
        "--seed",
        &seed_text,
    ];
    let played = play(&options, &script.text);
    played.verdict.assert_passed();
    let status = |line: usize| played.answers.get(&line).copied();
    for line in [made, acquired, released] {
        assert_eq!(
            status(line),
            Some(SUCCESS),
            "another handle's object, line {line}"
        );
    }
    assert_eq!(
        status(too_many),
        Some(Refusal::NotHeld.status()),
        "it has no more references than before"
    );

    let mut carried_out = 0;
    let mut cancels = 0;
    for (line, text) in (1..).zip(script.text.lines()) {
        // What names an object or a run that was not made is left out.
        let Some(status) = status(line) else { continue };
        if text.starts_with("cancel ") {
            cancels += usize::from(status == SUCCESS);
            assert!(
                [SUCCESS, NOT_FOUND].contains(&status),
                "0x{status:08X} for `{text}`"
            );
        } else if text.contains("ioctl ") {
            carried_out += 1;
            let known = Refusal::from_status(status).is_some()
                || [SUCCESS, CANCELLED, ACCESS_DENIED, INVALID_HANDLE].contains(&status);
            assert!(known, "0x{status:08X} is no answer of the driver's to `{text}`");
            *answers.by_status.entry(status).or_default() += 1;
            if let Some((sent, succeeded)) = answers.by_code.get_mut(&code_of(text)) {
                *sent += 1;
                *succeeded += usize::from(status == SUCCESS);
            }
        }
    }
    let mut line = format!("seed {seed}, {cpus} CPU(s): {carried_out} requests, ");
    let _ = write!(
        line,
        "{} structures and {} raw sent, {cancels} cancelled under way, {} handles closed, {:.0} s",
        script.structured,
        script.raw,
        4 + requests / PER_HANDLE,
        start.elapsed().as_secs_f64()
    );
    println!("{line}");
    assert!(carried_out > requests * 9 / 10, "too many requests were left out");
}

/// The control code of a script's line.
fn code_of(line: &str) -> u32 {
    let digits = line.split(" 0x").nth(1).and_then(|rest| rest.split(' ').next());
    u32::from_str_radix(digits.expect("an ioctl has a code"), 16).expect("in hexadecimal digits")
}

#[test]
fn spoilt_requests_leave_nothing_behind() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<usize>().expect(name));
    let requests = number("RUNDOWN_FUZZ_REQUESTS").unwrap_or(REQUESTS);
    let mut answers = Answers::default();
    let codes = seeds().into_iter().map(|(code, ..)| (code, (0, 0)));
    answers.by_code.extend(codes);
    for (seed, start) in (1..).zip((0..requests).step_by(REQUESTS)) {
        boot(seed, "1", REQUESTS.min(requests - start), &mut answers);
    }
    for seed in 1..=requests.div_ceil(REQUESTS) {
        boot(seed as u64, "2", ON_TWO, &mut answers);
    }
    for (code, (sent, succeeded)) in &answers.by_code {
        println!("{succeeded:>7} of {sent:>7} requests 0x{code:08X} succeeded");
    }
    for (status, count) in &answers.by_status {
        let name = Refusal::from_status(*status).map_or("", Refusal::status_name);
        println!("{count:>7} 0x{status:08X} {name}");
    }
    // Each can, so one that never does was never tried in earnest: its number named nothing, or it came too late.
    for (code, (sent, succeeded)) in &answers.by_code {
        assert!(
            *succeeded > 0 || *sent < SENT_OFTEN,
            "none of {sent} requests 0x{code:08X} succeeded"
        );
    }
    if requests < REQUESTS {
        return;
    }
    for (code, (sent, _)) in &answers.by_code {
        assert!(
            *sent >= SENT_OFTEN,
            "{sent} requests 0x{code:08X} were carried out"
        );
    }
    for expected in [
        Refusal::UnknownCode,
        Refusal::Version,
        Refusal::InputTooShort,
        Refusal::InputTooLong,
        Refusal::Size,
        Refusal::OutputTooSmall,
        Refusal::Reserved,
        Refusal::NoSuchObject,
        Refusal::NoSuchRun,
        Refusal::NotHeld,
        Refusal::ReferencesOut,
        Refusal::WaitGoingOn,
        Refusal::TooManyObjects,
        Refusal::Threads,
        Refusal::Busy,
    ] {
        assert!(
            answers.by_status.contains_key(&expected.status()),
            "{expected:?} never occurred"
        );
    }
}
