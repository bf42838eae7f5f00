//! The client against a driver that exists only here.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clap::Parser;
use driver::Driver;
use rundown_abi::{Arm, Header, Info, Refusal, VERSION, ioctl};
use rundownctl::{
    EXIT_VIOLATION, carry_out,
    cli::{Cli, Command},
    client::Client,
    commands::stress::plan,
    error::Error,
    names::RunState,
    progress::Progress,
    run::Outcome,
    session::Session,
    target::{Access, Handle, Ioctl, Target, Ticket, User},
};
use zerocopy::{FromBytes, IntoBytes};

#[path = "fake/driver.rs"]
mod driver;

/// Where the fake driver runs, and what becomes of it there.
#[derive(Default)]
struct Machine {
    driver: Driver,
    dies_at_poll: Option<u32>,
    leaks: bool,
    interrupt_at_poll: Option<(u32, Rc<AtomicBool>)>,
    closed: bool,
    finished: bool,
}

/// It answers at once; the answer waits until it is asked for.
struct Fake {
    machine: Rc<RefCell<Machine>>,
    answer: Option<Result<Vec<u8>, Error>>,
}

impl Fake {
    fn new(machine: &Rc<RefCell<Machine>>) -> Self {
        Self {
            machine: Rc::clone(machine),
            answer: None,
        }
    }
}

impl Machine {
    fn carry_out(&mut self, request: &Ioctl<'_>) -> Result<Vec<u8>, Error> {
        let next_poll = self.driver.polls + 1;
        if request.code == ioctl::STRESS_RESULT {
            if self.dies_at_poll == Some(next_poll) {
                return Err(Error::DriverFailed("bugcheck 0x000000d1".into()));
            }
            if let Some((poll, flag)) = &self.interrupt_at_poll
                && *poll == next_poll
            {
                flag.store(true, Ordering::Relaxed);
            }
        }
        self.driver
            .request(request.code, request.input, request.capacity)
            .map_err(|status| Error::Refused {
                request: request.name.into(),
                status,
            })
    }
}

impl Target for Fake {
    fn open(&mut self, _: Access, _: User) -> Result<Handle, Error> {
        Ok(Handle(1))
    }

    fn begin(&mut self, _: Handle, request: &Ioctl<'_>) -> Result<Ticket, Error> {
        self.answer = Some(self.machine.borrow_mut().carry_out(request));
        Ok(Ticket(1))
    }

    fn answer(&mut self, _: Ticket, _: Duration) -> Result<Option<Vec<u8>>, Error> {
        self.answer.take().transpose()
    }

    fn cancel(&mut self, _: Ticket) -> Result<(), Error> {
        Ok(())
    }

    fn close(&mut self, _: Handle) -> Result<(), Error> {
        self.machine.borrow_mut().closed = true;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let mut machine = self.machine.borrow_mut();
        machine.finished = true;
        if machine.leaks {
            Err(Error::DriverFailed("it leaks".into()))
        } else {
            Ok(())
        }
    }
}

fn stress(machine: Machine, interrupted: &AtomicBool) -> (Outcome, Rc<RefCell<Machine>>) {
    let command = Cli::parse_from(["rundownctl", "stress", "--threads", "3", "--seed", "9"]).command;
    let Command::Stress(options) = command else {
        panic!("{command:?}")
    };
    let machine = Rc::new(RefCell::new(machine));
    let session = Session::with(Box::new(Fake::new(&machine)), interrupted);
    let progress = Progress::new(session.beginning());
    let plan = plan(&options.arm, options.workload, &options.load);
    let outcome = plan.carry_out(session.connect().unwrap(), &session, &progress);
    (outcome, machine)
}

fn patient(polls_until_done: u32) -> Driver {
    Driver {
        polls_until_done,
        ..Driver::default()
    }
}

#[test]
fn a_run_is_followed_to_its_end() {
    let machine = Machine {
        driver: patient(2),
        ..Machine::default()
    };
    let (outcome, machine) = stress(machine, &AtomicBool::new(false));
    assert!(outcome.error.is_none() && !outcome.interrupted);
    let counters = outcome.record.counters.unwrap();
    assert_eq!(
        (counters.state, counters.acquires),
        (Some(RunState::Finished), 3000)
    );
    assert_eq!((outcome.record.arms.len(), outcome.record.turns.len()), (1, 2));
    let machine = machine.borrow();
    assert!(machine.closed && machine.finished && !machine.driver.stopped);
    let start = machine.driver.start.unwrap();
    assert_eq!((start.threads, start.seed, start.arms), (3, 9, Arm::Ours.bit()));
}

#[test]
fn turns_are_fetched_to_the_last() {
    let cli = Cli::parse_from(["rundownctl", "stress", "--arm", "native,ours", "--rounds", "40"]);
    let Command::Stress(options) = cli.command else {
        panic!("it was asked for")
    };
    let interrupted = AtomicBool::new(false);
    let session = Session::with(Box::new(Fake::new(&Rc::default())), &interrupted);
    let progress = Progress::new(session.beginning());
    let plan = plan(&options.arm, options.workload, &options.load);
    let record = plan
        .carry_out(session.connect().unwrap(), &session, &progress)
        .record;
    assert_eq!(record.turns.len(), 160);
    assert_eq!(record.turns.last().unwrap().round, 39);
    let ratio = rundownctl::statistics::ratios(&record)[0];
    assert!(ratio.ratio < 1.0 && ratio.rounds == 40, "{ratio:?}");
}

#[test]
fn ctrl_c_stops_the_run_in_the_driver_and_keeps_its_counters() {
    let flag = Rc::new(AtomicBool::new(false));
    let endless = Machine {
        driver: patient(u32::MAX),
        interrupt_at_poll: Some((2, Rc::clone(&flag))),
        ..Machine::default()
    };
    let (outcome, machine) = stress(endless, &flag);
    assert!(outcome.error.is_none() && outcome.interrupted);
    assert_eq!(outcome.record.counters.unwrap().state, Some(RunState::Stopped));
    assert!(machine.borrow().driver.stopped && machine.borrow().finished);
}

#[test]
fn a_driver_that_dies_leaves_its_last_counters() {
    let dying = Machine {
        driver: patient(9),
        dies_at_poll: Some(3),
        ..Machine::default()
    };
    let (outcome, machine) = stress(dying, &AtomicBool::new(false));
    assert!(matches!(outcome.error, Some(Error::DriverFailed(_))));
    assert_eq!(outcome.record.error.unwrap().kind, "driver-failed");
    assert_eq!(outcome.record.counters.unwrap().acquires, 2000);
    assert!(
        !machine.borrow().finished,
        "there is nobody left to say good-bye to"
    );
}

#[test]
fn a_leak_found_at_the_end_is_an_error() {
    let leaking = Machine {
        leaks: true,
        ..Machine::default()
    };
    let (outcome, _) = stress(leaking, &AtomicBool::new(false));
    assert!(matches!(outcome.error, Some(Error::DriverFailed(_))));
    assert!(outcome.record.counters.is_some() && outcome.record.error.is_some());
}

fn exit_code(cli: &Cli, driver: Driver) -> u8 {
    let interrupted = AtomicBool::new(false);
    let machine = Machine {
        driver,
        ..Machine::default()
    };
    let session = Session::with(Box::new(Fake::new(&Rc::new(RefCell::new(machine)))), &interrupted);
    carry_out(cli, &session).unwrap()
}

#[test]
fn a_difference_is_the_exit_code_and_ends_the_comparison() {
    // It comes with the second request of a pair: each has a seed of its own.
    let cli = Cli::parse_from(["rundownctl", "conform", "--pair", "plain", "--seed", "5"]);
    for (differs_at, expected) in [(Some(6), EXIT_VIOLATION), (Some(4), 0), (None, 0)] {
        let driver = Driver {
            differs_at,
            ..Driver::default()
        };
        assert_eq!(exit_code(&cli, driver), expected, "{differs_at:?}");
    }
}

/// A driver that does nothing but answer.
struct Answering<F>(F, Option<Result<Vec<u8>, Error>>);

impl<F: FnMut(&[u8]) -> Result<Vec<u8>, Refusal>> Target for Answering<F> {
    fn open(&mut self, _: Access, _: User) -> Result<Handle, Error> {
        Ok(Handle(1))
    }

    fn begin(&mut self, _: Handle, request: &Ioctl<'_>) -> Result<Ticket, Error> {
        let answer = (self.0)(request.input).map_err(|refusal| Error::Refused {
            request: request.name.into(),
            status: refusal.status(),
        });
        self.1 = Some(answer);
        Ok(Ticket(1))
    }

    fn answer(&mut self, _: Ticket, _: Duration) -> Result<Option<Vec<u8>>, Error> {
        self.1.take().transpose()
    }

    fn cancel(&mut self, _: Ticket) -> Result<(), Error> {
        Ok(())
    }

    fn close(&mut self, _: Handle) -> Result<(), Error> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// What a client says of a driver that answers `info` so.
fn info_of(answer: impl FnMut(&[u8]) -> Result<Vec<u8>, Refusal>) -> Error {
    let mut driver = Answering(answer, None);
    Client::open(&mut driver, Access::Read)
        .unwrap()
        .info()
        .unwrap_err()
}

#[test]
fn an_answer_of_another_size_is_not_believed() {
    let short = Header::of::<Info>();
    for bytes in [
        &[][..],
        &short.as_bytes()[..7],
        short.as_bytes(),
        &[0; size_of::<Info>()],
    ] {
        let error = info_of(|_| Ok(bytes.to_vec()));
        assert!(matches!(error, Error::Protocol(_)), "{bytes:?}: {error}");
    }
}

/// A driver of another version refuses ours, and looks no further than the header.
#[test]
fn a_driver_of_another_version_is_told_by_both_versions() {
    let newer = VERSION + 5;
    for (theirs, said) in [
        (
            newer,
            format!("version {newer} of the protocol, this client version {VERSION}"),
        ),
        (
            u32::MAX,
            format!("another version of the protocol than this client's {VERSION}"),
        ),
    ] {
        let error = info_of(|input| {
            let (header, _) = Header::read_from_prefix(input).unwrap();
            Err(if header.version == theirs {
                Refusal::OutputTooSmall
            } else {
                Refusal::Version
            })
        });
        assert!(error.to_string().contains(&said), "{error}");
        assert_eq!(error.exit_code(), 6);
    }
}
