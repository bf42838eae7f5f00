//! A work bench of objects: one handle, the objects that were made with it, and the steps that are taken on them.
//!
//! `objects` takes its steps from the command line, `shell` from a person. An object is named by its place in the order in
//! which they were made, since the driver never uses a number twice.

use std::{collections::BTreeMap, time::Duration};

use clap::{Parser, Subcommand};

use crate::{
    client::Client,
    error::Error,
    names::ObjectKind,
    outcome::{Limits, Outcome, State},
    record::Failure,
    target::Ticket,
};

/// A step as it is typed.
#[derive(Debug, Parser)]
#[command(multicall = true, disable_help_flag = true, help_template = "{subcommands}")]
pub struct Line {
    /// What to do.
    #[command(subcommand)]
    pub step: Step,
}

/// What can be done with objects.
#[allow(rustdoc::broken_intra_doc_links, reason = "brackets of a help text")]
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Step {
    /// create KIND [disabled]: make an object; its number is told
    Create {
        /// What it is made of
        #[arg(value_enum)]
        kind: ObjectKind,
        /// Run down from the start
        #[arg(value_parser = ["disabled"])]
        disabled: Option<String>,
    },
    /// acquire OBJECT [N]: acquire references, all or none; 0 only asks
    Acquire {
        /// The object's number
        object: u64,
        /// How many references
        #[arg(default_value_t = 1)]
        count: u32,
    },
    /// release OBJECT [N]: release references
    Release {
        /// The object's number
        object: u64,
        /// How many references
        #[arg(default_value_t = 1)]
        count: u32,
    },
    /// wait OBJECT: begin run-down and wait; others go on meanwhile
    Wait {
        /// The object's number
        object: u64,
    },
    /// cancel OBJECT: cancel the request that waits; the wait goes on in the driver
    Cancel {
        /// The object's number
        object: u64,
    },
    /// completed OBJECT: mark it as run down
    Completed {
        /// The object's number
        object: u64,
    },
    /// reinit OBJECT: make it live again
    Reinit {
        /// The object's number
        object: u64,
    },
    /// state OBJECT: show its words
    State {
        /// The object's number
        object: u64,
    },
    /// destroy OBJECT: destroy it
    Destroy {
        /// The object's number
        object: u64,
    },
    /// limits: what objects may cost, and how far that is used
    Limits,
    /// quit: close the handle; outstanding references are released
    Quit,
}

/// How long a wait is given to end at once.
const AT_ONCE: Duration = Duration::from_millis(50);

/// A handle and its objects.
pub struct Bench<'a> {
    client: Client<'a>,
    /// The driver's numbers, in the order in which the objects were made.
    objects: Vec<u64>,
    /// The requests that wait, by the objects' numbers here.
    waits: BTreeMap<u64, Ticket>,
}

impl Step {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in a few lines for people.
    pub fn parse(line: &str) -> Result<Self, clap::Error> {
        Line::try_parse_from(line.split_whitespace()).map(|line| line.step)
    }
}

impl<'a> Bench<'a> {
    /// A bench without objects.
    #[must_use]
    pub const fn new(client: Client<'a>) -> Self {
        Self {
            client,
            objects: Vec::new(),
            waits: BTreeMap::new(),
        }
    }

    /// How many objects were made.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The driver's number of an object.
    fn number(&self, object: u64) -> Result<u64, Error> {
        usize::try_from(object)
            .ok()
            .and_then(|object| self.objects.get(object.checked_sub(1)?))
            .copied()
            .ok_or_else(|| {
                Error::Usage(match self.objects.len() {
                    0 => format!("there is no object {object}; make one with `create ours`"),
                    made => format!("there is no object {object}; those that were made are 1 to {made}"),
                })
            })
    }

    /// Takes a step; `quit` is none.
    ///
    /// # Errors
    /// A refusal, after which one can go on; anything else ends the bench.
    pub fn take(&mut self, step: &Step) -> Result<Option<Outcome>, Error> {
        Ok(Some(match *step {
            Step::Create { kind, ref disabled } => self.create(kind, disabled.is_some())?,
            Step::Acquire { object, count } => {
                let answer = self.client.acquire(self.number(object)?, count)?;
                let outstanding = answer.outstanding;
                if answer.granted == 0 {
                    Outcome::Refused { object, outstanding }
                } else {
                    Outcome::Acquired {
                        object,
                        count,
                        outstanding,
                    }
                }
            }
            Step::Release { object, count } => Outcome::Released {
                object,
                count,
                outstanding: self.client.release(self.number(object)?, count)?.outstanding,
            },
            Step::Wait { object } => self.wait(object)?,
            Step::Cancel { object } => {
                let wait = self.waits.get(&object).copied();
                let wait = wait.ok_or_else(|| Error::Usage(format!("nobody waits for object {object}")))?;
                self.client.cancel(wait)?;
                Outcome::Cancelling { object }
            }
            Step::Completed { object } => {
                self.client.completed(self.number(object)?)?;
                Outcome::Completed { object }
            }
            Step::Reinit { object } => {
                self.client.reinitialize(self.number(object)?)?;
                Outcome::Reinitialized { object }
            }
            Step::State { object } => {
                Outcome::State(State::of(object, &self.client.state(self.number(object)?)?))
            }
            Step::Destroy { object } => {
                self.client.destroy(self.number(object)?)?;
                Outcome::Destroyed { object }
            }
            Step::Limits => Outcome::Limits(Limits::of(&self.client.object_limits()?)),
            Step::Quit => return Ok(None),
        }))
    }

    fn create(&mut self, kind: ObjectKind, disabled: bool) -> Result<Outcome, Error> {
        self.objects.push(self.client.create(kind.wire(), disabled)?);
        Ok(Outcome::Created {
            object: self.objects.len(),
            kind,
            live: !disabled,
        })
    }

    fn wait(&mut self, object: u64) -> Result<Outcome, Error> {
        let number = self.number(object)?;
        if self.waits.contains_key(&object) {
            return Err(Error::Usage(format!("object {object} is waited for already")));
        }
        let wait = self.client.wait(number)?;
        self.waits.insert(object, wait);
        Ok(self
            .ended(object, AT_ONCE)?
            .unwrap_or(Outcome::Waiting { object }))
    }

    /// What became of the wait for an object, if it has ended.
    fn ended(&mut self, object: u64, patience: Duration) -> Result<Option<Outcome>, Error> {
        let Some(&wait) = self.waits.get(&object) else {
            return Ok(None);
        };
        let answer = self.client.waited(wait, patience);
        if !matches!(answer, Ok(None)) {
            self.waits.remove(&object);
        }
        Ok(answer?.map(|waited| Outcome::run_down(object, &waited)))
    }

    /// The waits that have ended since it was asked last. A wait whose request was refused or cancelled has ended too.
    ///
    /// # Errors
    /// What ends the bench.
    pub fn news(&mut self) -> Result<Vec<Outcome>, Error> {
        let mut news = Vec::new();
        let waiting: Vec<_> = self.waits.keys().copied().collect();
        for object in waiting {
            match self.ended(object, AT_ONCE) {
                Ok(end) => news.extend(end),
                Err(error @ Error::Refused { .. }) => news.push(Outcome::WaitGivenUp {
                    object,
                    error: Failure::of(&error),
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(news)
    }

    /// Closes the handle: requests that wait are given up, and what is outstanding is released by the driver.
    ///
    /// # Errors
    /// As [`Client::close`].
    pub fn close(self) -> Result<(), Error> {
        self.client.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        for (line, step) in [
            ("acquire 1", Step::Acquire { object: 1, count: 1 }),
            (" release  2 7 ", Step::Release { object: 2, count: 7 }),
            (
                "create native",
                Step::Create {
                    kind: ObjectKind::Native,
                    disabled: None,
                },
            ),
            (
                "create ours-wide disabled",
                Step::Create {
                    kind: ObjectKind::OursWide,
                    disabled: Some("disabled".into()),
                },
            ),
            ("quit", Step::Quit),
        ] {
            assert_eq!(Step::parse(line).unwrap(), step, "{line}");
        }
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for line in [
            "",
            "acquire",
            "acquire one",
            "release 1 -1",
            "create theirs",
            "create ours enabled",
            "acquire 1 2 3",
        ] {
            assert!(Step::parse(line).is_err(), "{line}");
        }
    }
}
