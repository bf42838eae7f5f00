//! What the threads of a run block on.

use rundown_stress::Signals;

use super::Event;

/// The gates of a run, and its conductor's alarm clock.
pub(crate) struct Events {
    /// Of even and of odd turns. Of turn *n* everybody is through when turn *n* + 1 is opened, so that its gate can be
    /// closed for turn *n* + 2.
    gates: [Event; 2],
    arrived: Event,
    wake: Event,
}

impl Events {
    /// All gates are closed; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            gates: [Event::notification()?, Event::notification()?],
            arrived: Event::new()?,
            wake: Event::notification()?,
        })
    }

    const fn gate(&self, turn: u32) -> &Event {
        &self.gates[(turn % 2) as usize]
    }
}

impl Signals for Events {
    fn open(&self, turn: u32) {
        self.gate(turn + 1).clear();
        self.gate(turn).set();
    }

    fn pass(&self, turn: u32) {
        self.gate(turn).wait();
    }

    fn all_arrived(&self) {
        self.arrived.set();
    }

    fn await_arrival(&self, microseconds: u64) -> bool {
        self.arrived.wait_for(microseconds)
    }

    fn wake(&self) {
        self.wake.set();
    }

    fn sleep(&self, microseconds: u64) {
        self.wake.wait_for(microseconds);
    }
}
