//! Requests that no client would send, in one boot: raw bytes, and structures with fields gone wrong. The
//! machine stays up, nothing is left behind, and another handle's objects are as they were.

mod common;

use std::{collections::BTreeMap, env, time::Instant};

use common::{Objects as _, every_request};
use rundown_abi::{
    CodeQuery, ConformanceRun, InfoRequest, InteropRun, ObjectKind, Pair, Pairing, Refusal, StressQuery,
    ioctl, limits,
};
use rundown_suite::{CANCELLED, Handle, INVALID_HANDLE, Machine, SUCCESS, Ticket};
use zerocopy::IntoBytes;

/// Requests, unless `RUNDOWN_FUZZ_REQUESTS` says otherwise: as many as the gate has time for.
const REQUESTS: usize = 20_000;
/// Requests under way at a time.
const WINDOW: usize = 64;
/// `STATUS_ACCESS_DENIED`, the I/O manager's answer to a code that needs more access than the handle has.
const ACCESS_DENIED: u32 = 0xC000_0022;

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

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

struct Fuzzer {
    random: Random,
    /// Valid requests, to be spoilt.
    seeds: Vec<(u32, Vec<u8>, usize)>,
    answers: BTreeMap<u32, usize>,
    under_way: Vec<UnderWay>,
    /// Objects that were made, by their handle.
    objects: Vec<(Handle, u64)>,
}

struct UnderWay {
    ticket: Ticket,
    handle: Handle,
    code: u32,
}

impl Fuzzer {
    /// A request: code, bytes, room for the answer.
    fn request(&mut self, handle: Handle) -> (u32, Vec<u8>, usize) {
        let (code, mut input, capacity) = self.spoilt(handle);
        if [ioctl::CONFORMANCE_RUN, ioctl::INTEROP_RUN].contains(&code)
            && let Some(steps) = input.get_mut(12..16)
            && (9..=limits::STEPS).contains(&u32::from_le_bytes(steps.try_into().expect("four bytes")))
        {
            // Their time is their steps'; the suite's conformance test spends it better.
            steps.copy_from_slice(&8_u32.to_le_bytes());
        }
        (code, input, capacity)
    }

    fn spoilt(&mut self, handle: Handle) -> (u32, Vec<u8>, usize) {
        let (code, mut input, capacity) = self.random.pick(&self.seeds).clone();
        match self.random.below(8) {
            // As it is, with its object's number drawn anew: most of these are carried out.
            0..=2 => self.name_object(handle, code, &mut input),
            // One field of four bytes is an interesting value.
            3 | 4 => {
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
            5 => {
                let bit = self.random.below(8 * input.len());
                input[bit / 8] ^= 1 << (bit % 8);
            }
            // Another length.
            6 => {
                let length = self.random.below(2 * input.len());
                input.resize(length, 0xa5);
            }
            // Nothing is right.
            _ => {
                let length = self.random.below(96);
                let bytes = (0..length).map(|_| self.random.next().to_le_bytes()[7]).collect();
                let codes = [
                    code,
                    code ^ 3,
                    code ^ 0x4000,
                    code + 0x100,
                    u32::try_from(self.random.next() >> 32).unwrap(),
                ];
                return (*self.random.pick(&codes), bytes, self.random.below(600));
            }
        }
        let room = [
            capacity,
            capacity,
            capacity,
            0,
            capacity.saturating_sub(1),
            capacity + 100,
        ];
        let room = *self.random.pick(&room);
        (code, input, room)
    }

    /// Puts the number of one of the handle's objects where a request about objects has it; now and then one of another's.
    fn name_object(&mut self, handle: Handle, code: u32, input: &mut [u8]) {
        let named = [
            ioctl::OBJECT_ACQUIRE,
            ioctl::OBJECT_RELEASE,
            ioctl::OBJECT_WAIT,
            ioctl::OBJECT_COMPLETED,
            ioctl::OBJECT_REINITIALIZE,
            ioctl::OBJECT_STATE,
            ioctl::OBJECT_DESTROY,
        ];
        let others = self.random.below(16) == 0;
        let candidates: Vec<u64> = self
            .objects
            .iter()
            .filter(|(owner, _)| others || *owner == handle)
            .map(|(_, object)| *object)
            .collect();
        if named.contains(&code) && !candidates.is_empty() {
            input[8..16].copy_from_slice(&self.random.pick(&candidates).to_le_bytes());
        }
    }

    fn settle(&mut self, machine: &mut Machine, request: &UnderWay) {
        let answer = machine.answer_raw(request.ticket);
        if let (ioctl::OBJECT_CREATE, Ok(bytes)) = (request.code, &answer) {
            let object = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
            self.objects.push((request.handle, object));
        }
        let status = answer.map_or_else(|status| status, |_| SUCCESS);
        let known = Refusal::from_status(status).is_some()
            || [SUCCESS, CANCELLED, ACCESS_DENIED, INVALID_HANDLE].contains(&status);
        assert!(known, "0x{status:08X} is no answer of the driver's");
        *self.answers.entry(status).or_default() += 1;
    }
}

/// What is valid, small enough to be sent often.
fn seeds() -> Vec<(u32, Vec<u8>, usize)> {
    let mut seeds = every_request(1);
    for &kind in ObjectKind::ALL {
        let mut create = seeds[1].clone();
        create.1[8..12].copy_from_slice(&(kind as u32).to_le_bytes());
        seeds.push(create);
    }
    // Whole but short comparisons, and rarely: they take the machine's time.
    let conformance = ConformanceRun::new(Pair::Plain, 3, 1).as_bytes().to_vec();
    seeds.push((ioctl::CONFORMANCE_RUN, conformance, 0x460));
    let interop = InteropRun::new(Pairing::OursWaitsNativeReleases, 1, 1)
        .as_bytes()
        .to_vec();
    seeds.push((ioctl::INTEROP_RUN, interop, 0x40));
    seeds.push((ioctl::QUERY_INFO, InfoRequest::new().as_bytes().to_vec(), 0x200));
    let code = CodeQuery::new(ObjectKind::OursWide).as_bytes().to_vec();
    seeds.push((ioctl::QUERY_CODE, code, 0x200));
    seeds.push((
        ioctl::STRESS_RESULT,
        StressQuery::new(1).as_bytes().to_vec(),
        0x200,
    ));
    seeds.push((ioctl::STRESS_STOP, StressQuery::new(1).as_bytes().to_vec(), 0));
    seeds
}

#[test]
fn spoilt_requests_leave_nothing_behind() {
    let requests = env::var("RUNDOWN_FUZZ_REQUESTS").map_or(REQUESTS, |count| {
        count.parse().expect("RUNDOWN_FUZZ_REQUESTS is a number")
    });
    let start = Instant::now();
    let mut machine = Machine::boot(&["--cpus", "2", "--timeout", "3600", "--patience", "300"]);
    // Somebody else's, who must not notice.
    let bystander = machine.open();
    let object = machine.create(bystander, ObjectKind::Native);
    machine.acquire(bystander, object, 7).unwrap();

    let mut fuzzer = Fuzzer {
        random: Random(0x5eed),
        seeds: seeds(),
        answers: BTreeMap::new(),
        under_way: Vec::new(),
        objects: Vec::new(),
    };
    let mut handles: Vec<Handle> = (0..4).map(|_| machine.open()).collect();
    let (mut cancels, mut closes) = (0, 0);
    for number in 0..requests {
        let handle = *fuzzer.random.pick(&handles);
        let (code, input, capacity) = fuzzer.request(handle);
        let ticket = machine.send_raw(handle, code, &input, capacity);
        fuzzer.under_way.push(UnderWay { ticket, handle, code });
        if fuzzer.under_way.len() >= WINDOW {
            let index = fuzzer.random.below(WINDOW);
            let request = fuzzer.under_way.swap_remove(index);
            if !machine.is_answered(request.ticket) {
                // It may pend for ever, like a wait whose references nobody releases.
                machine.cancel(request.ticket);
                cancels += 1;
            }
            fuzzer.settle(&mut machine, &request);
        }
        if number % 200 == 199 {
            // A handle goes, with whatever it has: objects, references, waits. One after the other: the lab takes a wait of
            // half a minute for a lost wake-up.
            let index = number / 200 % handles.len();
            let gone = handles[index];
            assert_eq!(machine.close(gone), SUCCESS);
            fuzzer.objects.retain(|(owner, _)| *owner != gone);
            handles[index] = machine.open();
            closes += 1;
        }
    }
    for handle in handles {
        assert_eq!(machine.close(handle), SUCCESS);
    }
    for request in core::mem::take(&mut fuzzer.under_way) {
        fuzzer.settle(&mut machine, &request);
    }
    assert_eq!(fuzzer.answers.values().sum::<usize>(), requests);
    let state = machine.state(bystander, object);
    assert_eq!(
        (state.outstanding, state.decoded, state.words[0]),
        (7, 7, 14),
        "another handle's object"
    );
    assert_eq!(machine.release(bystander, object, 7), Ok(0));
    machine.quit().assert_passed();

    println!(
        "{requests} requests, {cancels} cancelled, {closes} handles closed, {:.0} s",
        start.elapsed().as_secs_f64()
    );
    for (status, count) in &fuzzer.answers {
        let name = Refusal::from_status(*status).map_or("", Refusal::status_name);
        println!("{count:>7} 0x{status:08X} {name}");
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
        Refusal::NotHeld,
        Refusal::ReferencesOut,
        Refusal::WaitGoingOn,
    ] {
        assert!(
            fuzzer.answers.contains_key(&expected.status()),
            "{expected:?} never occurred"
        );
    }
}
