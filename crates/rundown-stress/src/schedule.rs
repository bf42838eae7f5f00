//! Whose turn it is.

/// Arms take turns in rounds that go forth and back: `A B C C B A`. Whatever drifts during a run, the processor's
/// clock or the load, weighs on each arm alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    arms: u32,
    rounds: u32,
}

impl Schedule {
    /// `rounds` rounds of `arms` arms.
    #[must_use]
    pub const fn new(arms: u32, rounds: u32) -> Self {
        Self { arms, rounds }
    }

    const fn per_round(self) -> u32 {
        self.arms.saturating_mul(2)
    }

    /// How many turns there are.
    #[must_use]
    pub const fn turns(self) -> u32 {
        self.per_round().saturating_mul(self.rounds)
    }

    /// The round that a turn belongs to, from 0.
    #[must_use]
    pub const fn round(self, turn: u32) -> u32 {
        match turn.checked_div(self.per_round()) {
            Some(round) => round,
            None => 0,
        }
    }

    /// The arm whose turn it is, as a number below that of the arms.
    #[must_use]
    pub const fn arm(self, turn: u32) -> usize {
        let place = match turn.checked_rem(self.per_round()) {
            Some(place) => place,
            None => 0,
        };
        (if place < self.arms {
            place
        } else {
            self.per_round().saturating_sub(place + 1)
        }) as usize
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::Schedule;

    #[test]
    fn rounds_go_forth_and_back() {
        let schedule = Schedule::new(3, 2);
        let arms: Vec<usize> = (0..schedule.turns()).map(|turn| schedule.arm(turn)).collect();
        assert_eq!(arms, [0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0]);
        assert_eq!((schedule.round(5), schedule.round(6)), (0, 1));
    }

    #[test]
    fn each_arm_has_its_share_and_its_turns_have_one_centre() {
        for arms in 1..8 {
            for rounds in 1..5 {
                let schedule = Schedule::new(arms, rounds);
                for arm in 0..arms as usize {
                    let turns: Vec<u32> = (0..schedule.turns())
                        .filter(|&turn| schedule.arm(turn) == arm)
                        .collect();
                    assert_eq!(turns.len(), 2 * rounds as usize);
                    let sum: u32 = turns.iter().sum();
                    assert_eq!(
                        sum,
                        rounds * (schedule.turns() - 1),
                        "a drift that is linear cancels out"
                    );
                }
            }
        }
    }

    #[test]
    fn nobody_has_no_turns() {
        assert_eq!(Schedule::new(0, 3).turns(), 0);
        assert_eq!(Schedule::new(0, 3).arm(0), 0);
    }
}
