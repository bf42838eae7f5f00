//! Run-down after run-down.

use ex_rundown::WayOut;

use crate::{ArmOf, Level, Memory, Reference, Stage, Thread, counters::Holder};

/// How many gaps the owner waits for a holder before it runs the object down anyway.
const PATIENCE: u64 = 64;
/// How long it looks for one before it lets the threads of its processor run, who may be the holders, in cycles.
const GLANCE: u64 = 10_000;

/// Generation after generation until the turn is over. The object is live at the beginning and at the end.
pub(crate) fn own<R: Reference + Send, M: Memory, T: Thread>(
    arm: &ArmOf<R, M>,
    stage: &Stage,
    thread: &mut T,
) {
    let (reference, canary) = arm.object();
    let owner = &arm.owner;
    let mut random = arm.random(stage, arm.plan.holders);
    while !stage.is_over() {
        stage.spin::<T>(random.up_to(arm.plan.gap_cycles));
        // Every other time on average, only with a holder inside: a wait that finds nobody is over at once.
        if random.up_to(1) == 1 {
            await_holder::<R, M, T>(arm, stage);
        }
        let held = arm.is_held();
        let start = T::cycles();
        // Zero means that it does not wait.
        owner.wait_since(start.max(1));
        let way_out = match arm.plan.waiter {
            Level::Passive => reference.run_down(),
            Level::Apc => thread.at_apc_level(|| reference.run_down()),
            Level::Dispatch => thread.at_dispatch_level(|| reference.run_down()),
        };
        let end = T::cycles();
        owner.wait_since(0);
        if arm.is_held() {
            owner.inside.count();
        }
        canary.poison();
        reference.complete();
        if let Some(way_out) = way_out {
            owner.way_out(way_out);
        }
        if way_out.map_or(held, |way_out| way_out != WayOut::Drained) {
            owner.contested.count();
            let left = arm.holders.iter().map(Holder::left).max().unwrap_or(0);
            // Who left before the wait began has handed nothing over.
            if left >= start && stage.is_measured() {
                arm.hand_overs().record(end.saturating_sub(left));
            }
        }
        // Dead for a while, so that a holder who should not be here has time to see it.
        stage.spin::<T>(random.up_to(arm.plan.gap_cycles / 4));
        canary.revive(owner.generations.get() + 1);
        owner.renew(|| reference.reinitialize());
        owner.generations.count();
    }
}

/// Waits for a holder to be inside, for a while: holders may be starved by what else the machine does.
fn await_holder<R: Reference + Send, M: Memory, T: Thread>(arm: &ArmOf<R, M>, stage: &Stage) {
    let patience = u64::from(arm.plan.gap_cycles) * PATIENCE;
    let start = T::cycles();
    let mut glance = start;
    loop {
        let now = T::cycles();
        if arm.is_held() || stage.is_over() || now.wrapping_sub(start) >= patience {
            return;
        }
        if now.wrapping_sub(glance) < GLANCE {
            T::pause();
        } else {
            T::give_way();
            glance = T::cycles();
        }
    }
}
