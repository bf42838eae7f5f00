//! A work bench of objects: one handle, the objects that were made with it, and the steps that are taken on them.
//!
//! `objects` takes its steps from the command line, `shell` from a person. An object is named by its place in the order in
//! which they were made, since the driver never uses a number twice.

use std::{collections::BTreeMap, time::Duration};

use clap::{Parser, Subcommand};

use crate::{
    client::Client,
    error::Error,
    names::{ObjectKind, ObjectPhase, WaitEnd},
    show::count,
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

    /// Takes a step and says what came of it.
    ///
    /// # Errors
    /// A refusal, after which one can go on; anything else ends the bench.
    pub fn take(&mut self, step: &Step) -> Result<String, Error> {
        match *step {
            Step::Create { kind, ref disabled } => self.create(kind, disabled.is_some()),
            Step::Acquire {
                object,
                count: wanted,
            } => {
                let answer = self.client.acquire(self.number(object)?, wanted)?;
                let outstanding = count(answer.outstanding);
                Ok(match (answer.granted != 0, wanted) {
                    (true, 0) => format!("{object}: live, {outstanding} outstanding"),
                    (true, _) => format!(
                        "{object}: acquired {}, {outstanding} outstanding",
                        count(wanted.into())
                    ),
                    (false, _) => format!("{object}: refused, run-down has begun; {outstanding} outstanding"),
                })
            }
            Step::Release { object, count: given } => {
                let answer = self.client.release(self.number(object)?, given)?;
                let outstanding = count(answer.outstanding);
                Ok(format!(
                    "{object}: released {}, {outstanding} outstanding",
                    count(given.into())
                ))
            }
            Step::Wait { object } => self.wait(object),
            Step::Cancel { object } => {
                let wait = self.waits.get(&object).copied();
                let wait = wait.ok_or_else(|| Error::Usage(format!("nobody waits for object {object}")))?;
                self.client.cancel(wait)?;
                Ok(format!("{object}: cancelling the request"))
            }
            Step::Completed { object } => {
                self.client.completed(self.number(object)?)?;
                Ok(format!("{object}: completed"))
            }
            Step::Reinit { object } => {
                self.client.reinitialize(self.number(object)?)?;
                Ok(format!("{object}: live again"))
            }
            Step::State { object } => self.state(object),
            Step::Destroy { object } => {
                self.client.destroy(self.number(object)?)?;
                Ok(format!("{object}: destroyed"))
            }
            Step::Limits => self.limits(),
            Step::Quit => Ok(String::new()),
        }
    }

    fn create(&mut self, kind: ObjectKind, disabled: bool) -> Result<String, Error> {
        self.objects.push(self.client.create(kind.wire(), disabled)?);
        let state = if disabled { "run down" } else { "live" };
        Ok(format!("{}: {}, {state}", self.objects.len(), kind.name()))
    }

    fn wait(&mut self, object: u64) -> Result<String, Error> {
        let number = self.number(object)?;
        if self.waits.contains_key(&object) {
            return Err(Error::Usage(format!("object {object} is waited for already")));
        }
        let wait = self.client.wait(number)?;
        self.waits.insert(object, wait);
        let ended = self.ended(object, AT_ONCE)?;
        Ok(ended.unwrap_or_else(|| format!("{object}: waiting; release its references")))
    }

    /// What became of the wait for an object, if it has ended.
    fn ended(&mut self, object: u64, patience: Duration) -> Result<Option<String>, Error> {
        let Some(&wait) = self.waits.get(&object) else {
            return Ok(None);
        };
        let answer = self.client.waited(wait, patience);
        if !matches!(answer, Ok(None)) {
            self.waits.remove(&object);
        }
        Ok(answer?.map(|waited| {
            let end = rundown_abi::WaitEnd::from_wire(waited.end)
                .map_or("ended unknown", |end| WaitEnd::of(end).name());
            format!(
                "{object}: run down, {end}, after {} us",
                count(waited.microseconds)
            )
        }))
    }

    /// The waits that have ended since it was asked last. A wait whose request was refused or cancelled has ended too.
    ///
    /// # Errors
    /// What ends the bench.
    pub fn news(&mut self) -> Result<Vec<String>, Error> {
        let mut news = Vec::new();
        let waiting: Vec<_> = self.waits.keys().copied().collect();
        for object in waiting {
            match self.ended(object, AT_ONCE) {
                Ok(None) => {}
                Ok(Some(end)) => news.push(end),
                Err(error @ Error::Refused { .. }) => news.push(format!("{object}: {error}")),
                Err(error) => return Err(error),
            }
        }
        Ok(news)
    }

    fn state(&mut self, object: u64) -> Result<String, Error> {
        let state = self.client.state(self.number(object)?)?;
        let phase = rundown_abi::ObjectPhase::from_wire(state.phase)
            .map_or("unknown", |phase| ObjectPhase::of(phase).name());
        let mut line = format!(
            "{object}: {phase}, {} outstanding, the words say {}",
            count(state.outstanding),
            count(state.decoded)
        );
        for (flag, meaning) in [
            (rundown_abi::ObjectState::WAIT, ", a wait goes on in the driver"),
            (
                rundown_abi::ObjectState::STALE,
                ", the pointer of a finished wait is left in the word",
            ),
            (rundown_abi::ObjectState::MASKED, ", pointers are masked"),
        ] {
            if state.flags & flag != 0 {
                line += meaning;
            }
        }
        let words = state.words.iter().take(state.word_count as usize).map(|&word| {
            if word == rundown_abi::ObjectState::MASK {
                "a pointer".to_owned()
            } else {
                format!("{word:#018x}")
            }
        });
        for word in words {
            line += "\n    ";
            line += &word;
        }
        Ok(line)
    }

    fn limits(&mut self) -> Result<String, Error> {
        let limits = self.client.object_limits()?;
        Ok(format!(
            "objects {} of {}, bytes {} of {}, waits on the device {} of {}, references on an object at most {}",
            limits.objects_now,
            limits.objects,
            count(limits.bytes_now),
            count(limits.bytes),
            limits.waits_now,
            limits.waits,
            count(limits.references.into())
        ))
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
