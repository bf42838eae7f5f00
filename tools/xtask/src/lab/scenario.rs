//! The scenarios of a verdict: each leads waits out by one way.

use std::path::Path;

use super::{boot::value, report::WaysOut};

/// Whose run-down protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arm {
    Ours,
    /// The native routines, played by the lab's reference.
    Native,
    /// The native routines, NT's own code from the user's listing.
    Nt,
    /// The native cache-aware routines, as that.
    NtCacheAware,
}

impl Arm {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Native => "native",
            Self::Nt => "native (NT code)",
            Self::NtCacheAware => "native-cache-aware (NT code)",
        }
    }

    /// As the driver's client has it: it does not know whose code the system's is.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Native | Self::Nt => "native",
            Self::NtCacheAware => "native-cache-aware",
        }
    }

    /// Whose code it is, for programs.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Native => "reference",
            Self::Nt | Self::NtCacheAware => "NT",
        }
    }

    /// Whether it is NT's own code.
    pub(crate) const fn is_nt(self) -> bool {
        matches!(self, Self::Nt | Self::NtCacheAware)
    }

    /// The ways out that waits are led to: none of the reference's, which leave as they like, and a cache-aware wait only sleeps.
    pub(crate) const fn ways(self) -> &'static [Way] {
        match self {
            Self::Ours | Self::Nt => &Way::ALL,
            Self::Native => &[],
            Self::NtCacheAware => &[Way::Event],
        }
    }
}

/// The way out that a scenario's settings lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Mwaitx,
    Pause,
    Dispatch,
    Event,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Mwaitx, Self::Pause, Self::Dispatch, Self::Event];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mwaitx => "mwaitx",
            Self::Pause => "pause",
            Self::Dispatch => "dispatch",
            Self::Event => "event",
        }
    }

    /// The waits that ended this way.
    pub(crate) const fn of(self, ways: &WaysOut) -> u64 {
        match self {
            Self::Mwaitx => ways.mwaitx,
            Self::Pause => ways.pause,
            Self::Dispatch => ways.dispatch,
            Self::Event => ways.event,
        }
    }
}

/// Settings of the machine and of the run that stay the same from boot to boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) cpus: u32,
    pub(crate) arm: Arm,
    /// One of the arm's, if it has any.
    pub(crate) way: Option<Way>,
}

/// What a scenario has to reach before it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) acquires: u64,
    pub(crate) generations: u64,
    pub(crate) by_way: u64,
}

/// What an arm has to reach on each number of processors.
pub(crate) const DEMAND: Goal = Goal {
    acquires: 1_000_000,
    generations: 10_000,
    by_way: 1_000,
};

/// How long a generation lives at most, in TSC cycles: about as long as a short hold, so that most run-downs find a
/// holder inside.
const GAP_CYCLES: u32 = 2_000;
/// How long a boot may take before it counts as hung: thirty times what it takes.
const TIMEOUT_SECONDS: u32 = 60;
/// A spin budget that no hold outlasts, in TSC cycles, so that a spinning waiter is still there for its last releaser.
const LONG_SPIN: u32 = 100_000_000;

impl Scenario {
    /// An arm's scenarios for one number of processors.
    pub(crate) fn all(cpus: u32, arm: Arm) -> Vec<Self> {
        let scenario = |way| Self { cpus, arm, way };
        match arm.ways() {
            [] => vec![scenario(None)],
            ways => ways.iter().map(|way| scenario(Some(*way))).collect(),
        }
    }

    /// Its name: `4 CPUs, ours/event`.
    pub(crate) fn name(self) -> String {
        match self.way {
            Some(way) => format!("{} CPUs, {}/{}", self.cpus, self.arm.name(), way.name()),
            None => format!("{} CPUs, {}", self.cpus, self.arm.name()),
        }
    }

    /// Its name in a file name: `4-ours-event`.
    pub(crate) fn slug(self) -> String {
        let way = self
            .way
            .map_or_else(String::new, |way| format!("-{}", way.name()));
        let nt = if self.arm.is_nt() { "-NT" } else { "" };
        format!("{}-{}{nt}{way}", self.cpus, self.arm.option())
    }

    /// Its share of [`DEMAND`]. Long holds make few acquires, so those come from the other scenarios.
    pub(crate) const fn goal(self) -> Goal {
        let share = match self.way {
            Some(Way::Mwaitx | Way::Pause) => 2,
            Some(Way::Dispatch | Way::Event) if self.arm.ways().len() > 1 => {
                return Goal {
                    acquires: 0,
                    generations: 0,
                    by_way: DEMAND.by_way,
                };
            }
            // The arm has no other.
            Some(Way::Dispatch | Way::Event) | None => 1,
        };
        Goal {
            acquires: DEMAND.acquires.div_ceil(share),
            generations: DEMAND.generations.div_ceil(share),
            by_way: DEMAND.by_way,
        }
    }

    /// How long a holder holds at most, in TSC cycles. A waiter sleeps, or polls at `DISPATCH_LEVEL`, after more
    /// emulated instructions than a short hold leaves time for.
    const fn hold_cycles(self) -> u32 {
        match self.way {
            // A cache-aware waiter sleeps after any.
            Some(Way::Event) if matches!(self.arm, Arm::NtCacheAware) => 2_000,
            Some(Way::Event | Way::Dispatch) => 60_000,
            Some(Way::Mwaitx | Way::Pause) | None => 2_000,
        }
    }

    /// `KUSER_SHARED_DATA.ProcessorFeatures[35]`.
    pub(crate) const fn monitorx(self) -> bool {
        !matches!(self.way, Some(Way::Pause))
    }

    /// `KUSER_SHARED_DATA.UnparkedProcessorCount`: with one, a wait sleeps at once.
    pub(crate) const fn unparked(self) -> u32 {
        match self.way {
            Some(Way::Event) => 1,
            _ => self.cpus,
        }
    }

    /// `rundownctl --target`, but for the seed and the report. `listing` is NT's code, for its arm.
    pub(crate) fn target(self, listing: Option<&Path>) -> String {
        let listing = match listing {
            Some(listing) if self.arm.is_nt() => format!(",native={}", value(listing)),
            _ => String::new(),
        };
        let spin = match (self.arm, self.way) {
            (Arm::Nt, Some(Way::Mwaitx | Way::Pause)) => format!(",spin-cycles={LONG_SPIN}"),
            _ => String::new(),
        };
        format!(
            "lab:cpus={},monitorx={},unparked={},watch-cr8=wait_slow,timeout={TIMEOUT_SECONDS}{listing}{spin}",
            self.cpus,
            u8::from(self.monitorx()),
            self.unparked()
        )
    }

    /// The options of `rundownctl stress`, but for the duration and the seed. The owner has a processor to itself.
    pub(crate) fn stress(self) -> Vec<String> {
        let waiting = match self.way {
            // NT's code has a budget of its own, which the machine sets.
            Some(Way::Mwaitx | Way::Pause) if self.arm == Arm::Ours => format!(" --spin-cycles {LONG_SPIN}"),
            // The driver asks whether one means it: NT's page promises waits up to APC_LEVEL only.
            Some(Way::Dispatch) if self.arm == Arm::Nt => " --waiter dispatch --force-native".into(),
            Some(Way::Dispatch) => " --waiter dispatch".into(),
            Some(_) | None => String::new(),
        };
        let options = format!(
            "--arm {} --threads {} --hold {} --gap {GAP_CYCLES}{waiting}",
            self.arm.option(),
            self.cpus - 1,
            self.hold_cycles()
        );
        options.split(' ').map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_add_up_to_the_demand() {
        for arm in [Arm::Ours, Arm::Native, Arm::Nt, Arm::NtCacheAware] {
            let goals: Vec<Goal> = Scenario::all(2, arm).into_iter().map(Scenario::goal).collect();
            assert!(goals.iter().map(|goal| goal.acquires).sum::<u64>() >= DEMAND.acquires);
            assert!(goals.iter().map(|goal| goal.generations).sum::<u64>() >= DEMAND.generations);
        }
    }

    #[test]
    fn a_scenario_has_its_name_its_share_and_its_hold() {
        let scenario = |arm, way| Scenario { cpus: 4, arm, way };
        let all = DEMAND.acquires;
        for (arm, way, name, acquires, hold) in [
            (
                Arm::Ours,
                Some(Way::Mwaitx),
                "4 CPUs, ours/mwaitx",
                all / 2,
                2_000,
            ),
            (Arm::Ours, Some(Way::Pause), "4 CPUs, ours/pause", all / 2, 2_000),
            (Arm::Ours, Some(Way::Dispatch), "4 CPUs, ours/dispatch", 0, 60_000),
            (Arm::Ours, Some(Way::Event), "4 CPUs, ours/event", 0, 60_000),
            (Arm::Native, None, "4 CPUs, native", all, 2_000),
            (
                Arm::NtCacheAware,
                Some(Way::Event),
                "4 CPUs, native-cache-aware (NT code)/event",
                all,
                2_000,
            ),
        ] {
            let scenario = scenario(arm, way);
            assert_eq!(scenario.name(), name);
            let goal = scenario.goal();
            assert_eq!((goal.acquires, goal.by_way), (acquires, 1_000), "{name}");
            assert_eq!(goal.generations, acquires / 100, "{name}");
            assert_eq!(scenario.hold_cycles(), hold, "{name}");
        }
    }

    #[test]
    fn each_way_out_has_its_scenario() {
        for (way, arm) in Way::ALL
            .into_iter()
            .flat_map(|way| [(way, Arm::Ours), (way, Arm::Nt)])
        {
            let scenarios = Scenario::all(4, arm);
            assert_eq!(scenarios.iter().filter(|s| s.way == Some(way)).count(), 1);
        }
    }

    #[test]
    fn settings_lead_to_the_way_out() {
        let scenario = |way| Scenario {
            cpus: 4,
            arm: Arm::Ours,
            way: Some(way),
        };
        assert_eq!(
            scenario(Way::Mwaitx).target(None),
            "lab:cpus=4,monitorx=1,unparked=4,watch-cr8=wait_slow,timeout=60"
        );
        assert_eq!(
            scenario(Way::Pause).target(None),
            "lab:cpus=4,monitorx=0,unparked=4,watch-cr8=wait_slow,timeout=60"
        );
        assert_eq!(
            scenario(Way::Event).target(None),
            "lab:cpus=4,monitorx=1,unparked=1,watch-cr8=wait_slow,timeout=60"
        );
        assert!(
            scenario(Way::Dispatch)
                .stress()
                .ends_with(&["--waiter".into(), "dispatch".into()])
        );
        assert!(scenario(Way::Pause).stress().contains(&"--spin-cycles".into()));
        let nt = Scenario {
            arm: Arm::Nt,
            ..scenario(Way::Pause)
        };
        assert_eq!(
            nt.target(Some(Path::new("nt.txt"))),
            "lab:cpus=4,monitorx=0,unparked=4,watch-cr8=wait_slow,timeout=60,native=nt.txt,spin-cycles=100000000"
        );
        assert!(!nt.stress().contains(&"--spin-cycles".into()));
        // The driver's client knows one native arm of each kind.
        assert_eq!(nt.stress()[..2], ["--arm", "native"]);
        let cache_aware = Scenario::all(4, Arm::NtCacheAware)[0];
        assert_eq!(cache_aware.stress()[..2], ["--arm", "native-cache-aware"]);
        assert_eq!(cache_aware.slug(), "4-native-cache-aware-NT-event");
        assert!(
            cache_aware
                .target(Some(Path::new("nt.txt")))
                .ends_with(",native=nt.txt")
        );
    }
}
