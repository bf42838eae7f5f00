//! The client against a driver that exists only here.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clap::Parser;
use rundown_abi::{
    Arm, Header, InfoRequest, Refusal, RunState, Stall, StressQuery, StressResult, StressStart,
    StressStarted, VERSION, Violations, WaysOut, ioctl, parse,
};
use rundownctl::{
    EXIT_VIOLATION, carry_out,
    cli::{Cli, Command},
    client::Client,
    commands::stress::{Outcome, Run},
    error::Error,
    session::Session,
    target::{Access, Handle, Ioctl, Target, Ticket, User},
};
use zerocopy::{FromBytes, IntoBytes};

/// What the fake driver does, and what was done to it.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each notes a thing of its own")]
struct Driver {
    polls_until_done: u32,
    violations: Violations,
    dies_at_poll: Option<u32>,
    leaks: bool,
    interrupt_at_poll: Option<(u32, Rc<AtomicBool>)>,
    polls: u32,
    stopped: bool,
    closed: bool,
    finished: bool,
    start: Option<StressStart>,
}

/// It answers at once; the answer waits until it is asked for.
struct Fake {
    driver: Rc<RefCell<Driver>>,
    answer: Option<Result<Vec<u8>, Error>>,
}

impl Fake {
    fn new(driver: &Rc<RefCell<Driver>>) -> Self {
        Self {
            driver: Rc::clone(driver),
            answer: None,
        }
    }
}

const RUN: u64 = 42;

fn refused<T>(refusal: Refusal) -> Result<T, Error> {
    Err(Error::Refused {
        request: "a request".into(),
        status: refusal.status(),
    })
}

impl Driver {
    fn carry_out(&mut self, request: &Ioctl<'_>) -> Result<Vec<u8>, Error> {
        match request.code {
            ioctl::STRESS_START => match parse::<StressStart>(request.input) {
                Ok(start) => {
                    self.start = Some(start);
                    Ok(StressStarted {
                        header: Header::of::<StressStarted>(),
                        run: RUN,
                    }
                    .as_bytes()
                    .to_vec())
                }
                Err(refusal) => refused(refusal),
            },
            ioctl::STRESS_STOP => {
                assert_eq!(parse::<StressQuery>(request.input), Ok(StressQuery::new(RUN)));
                self.stopped = true;
                Ok(Vec::new())
            }
            ioctl::STRESS_RESULT => {
                assert_eq!(parse::<StressQuery>(request.input), Ok(StressQuery::new(RUN)));
                self.polls += 1;
                if self.dies_at_poll == Some(self.polls) {
                    return Err(Error::DriverFailed("bugcheck 0x000000d1".into()));
                }
                if let Some((poll, flag)) = &self.interrupt_at_poll
                    && *poll == self.polls
                {
                    flag.store(true, Ordering::Relaxed);
                }
                let state = match (self.stopped, self.polls > self.polls_until_done) {
                    (true, _) => RunState::Stopped,
                    (_, true) => RunState::Finished,
                    _ => RunState::Running,
                };
                let result = StressResult {
                    header: Header::of::<StressResult>(),
                    run: RUN,
                    state: state as u32,
                    arms: Arm::Ours.bit(),
                    microseconds: 1_000_000,
                    acquires: u64::from(self.polls) * 1000,
                    refused: 3,
                    generations: 7,
                    contested: 5,
                    ways_out: WaysOut {
                        drained: 2,
                        event: 5,
                        ..WaysOut::default()
                    },
                    violations: self.violations,
                    stall: Stall::default(),
                    turns_done: 0,
                    turns: 2,
                    arm: Arm::Ours as u32,
                    marks: 0,
                };
                Ok(result.as_bytes().to_vec())
            }
            // Too short an answer, as of a driver of another build.
            ioctl::QUERY_INFO => match parse::<InfoRequest>(request.input) {
                Ok(_) => Ok(Header::of::<StressResult>().as_bytes().to_vec()),
                Err(refusal) => refused(refusal),
            },
            _ => refused(Refusal::UnknownCode),
        }
    }
}

impl Target for Fake {
    fn open(&mut self, _: Access, _: User) -> Result<Handle, Error> {
        Ok(Handle(1))
    }

    fn begin(&mut self, _: Handle, request: &Ioctl<'_>) -> Result<Ticket, Error> {
        self.answer = Some(self.driver.borrow_mut().carry_out(request));
        Ok(Ticket(1))
    }

    fn answer(&mut self, _: Ticket, _: Duration) -> Result<Option<Vec<u8>>, Error> {
        self.answer.take().transpose()
    }

    fn cancel(&mut self, _: Ticket) -> Result<(), Error> {
        Ok(())
    }

    fn close(&mut self, _: Handle) -> Result<(), Error> {
        self.driver.borrow_mut().closed = true;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let mut driver = self.driver.borrow_mut();
        driver.finished = true;
        if driver.leaks {
            Err(Error::DriverFailed("it leaks".into()))
        } else {
            Ok(())
        }
    }
}

fn stress(driver: Driver, interrupted: &AtomicBool) -> (Outcome, Rc<RefCell<Driver>>) {
    let command =
        Cli::parse_from(["rundownctl", "stress", "--threads", "3", "--seed", "9", "--json"]).command;
    let Command::Stress(options) = command else {
        panic!("{command:?}")
    };
    let driver = Rc::new(RefCell::new(driver));
    let session = Session::with(Box::new(Fake::new(&driver)), interrupted);
    let outcome = Run::new(&options).carry_out(session.connect().unwrap(), &session);
    (outcome, driver)
}

#[test]
fn a_run_is_followed_to_its_end() {
    let (outcome, driver) = stress(
        Driver {
            polls_until_done: 2,
            ..Driver::default()
        },
        &AtomicBool::new(false),
    );
    assert!(outcome.error.is_none() && !outcome.interrupted);
    let result = outcome.result.unwrap();
    assert_eq!((result.state, result.acquires), (RunState::Finished as u32, 3000));
    let driver = driver.borrow();
    assert!(driver.closed && driver.finished && !driver.stopped);
    let start = driver.start.unwrap();
    assert_eq!((start.threads, start.seed, start.arms), (3, 9, Arm::Ours.bit()));
}

#[test]
fn ctrl_c_stops_the_run_in_the_driver_and_keeps_its_counters() {
    let flag = Rc::new(AtomicBool::new(false));
    let endless = Driver {
        polls_until_done: u32::MAX,
        interrupt_at_poll: Some((2, Rc::clone(&flag))),
        ..Driver::default()
    };
    let (outcome, driver) = stress(endless, &flag);
    assert!(outcome.error.is_none() && outcome.interrupted);
    assert_eq!(outcome.result.unwrap().state, RunState::Stopped as u32);
    assert!(driver.borrow().stopped && driver.borrow().finished);
}

#[test]
fn a_driver_that_dies_leaves_its_last_counters() {
    let dying = Driver {
        polls_until_done: 9,
        dies_at_poll: Some(3),
        ..Driver::default()
    };
    let (outcome, driver) = stress(dying, &AtomicBool::new(false));
    assert!(matches!(outcome.error, Some(Error::DriverFailed(_))));
    assert_eq!(outcome.result.unwrap().acquires, 2000);
    assert!(
        !driver.borrow().finished,
        "there is nobody left to say good-bye to"
    );
}

#[test]
fn a_leak_found_at_the_end_is_an_error() {
    let (outcome, _) = stress(
        Driver {
            leaks: true,
            ..Driver::default()
        },
        &AtomicBool::new(false),
    );
    assert!(matches!(outcome.error, Some(Error::DriverFailed(_))));
    assert!(outcome.result.is_some());
}

fn exit_code(cli: &Cli, driver: Driver) -> u8 {
    let interrupted = AtomicBool::new(false);
    let session = Session::with(Box::new(Fake::new(&Rc::new(RefCell::new(driver)))), &interrupted);
    carry_out(cli, &session).unwrap()
}

#[test]
fn a_violation_is_the_exit_code() {
    let cli = Cli::parse_from(["rundownctl", "stress", "--json"]);
    for violations in [
        Violations {
            poisoned: 1,
            inside: 0,
        },
        Violations {
            poisoned: 0,
            inside: 1,
        },
    ] {
        let driver = Driver {
            violations,
            ..Driver::default()
        };
        assert_eq!(exit_code(&cli, driver), EXIT_VIOLATION);
    }
    assert_eq!(exit_code(&cli, Driver::default()), 0);
}

#[test]
fn an_answer_of_another_size_is_not_believed() {
    let mut fake = Fake::new(&Rc::default());
    let error = Client::open(&mut fake, Access::Read).unwrap().info().unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error}");
}

/// A driver of another version: it refuses ours, and looks no further than the header.
struct OfVersion {
    version: u32,
    asked: u32,
}

impl Target for OfVersion {
    fn open(&mut self, _: Access, _: User) -> Result<Handle, Error> {
        Ok(Handle(1))
    }

    fn begin(&mut self, _: Handle, request: &Ioctl<'_>) -> Result<Ticket, Error> {
        self.asked = Header::read_from_prefix(request.input).unwrap().0.version;
        Ok(Ticket(1))
    }

    fn answer(&mut self, _: Ticket, _: Duration) -> Result<Option<Vec<u8>>, Error> {
        refused(if self.asked == self.version {
            Refusal::OutputTooSmall
        } else {
            Refusal::Version
        })
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
        let mut driver = OfVersion {
            version: theirs,
            asked: 0,
        };
        let error = Client::open(&mut driver, Access::Read)
            .unwrap()
            .info()
            .unwrap_err();
        assert!(error.to_string().contains(&said), "{error}");
        assert_eq!(error.exit_code(), 6);
    }
}
