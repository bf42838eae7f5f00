//! The script of the gate's sweeps, with nothing happening to it. Its requests are bytes, the protocol's version among them: one
//! that the driver refuses at its first glance would leave the sweeps without anything to fail, cancel or kill.

use rundown_suite::{CANCELLED, SUCCESS, play};

const SCRIPT: &str = include_str!("../../xtask/sweeps/rundown.script");

#[test]
fn every_request_of_the_sweeps_is_accepted() {
    // The sweeps close the handle behind the script.
    let script = format!("{SCRIPT}close $1\n");
    let steps: Vec<&str> = script.lines().filter(|line| !line.starts_with('#')).collect();
    let played = play(&["--cpus", "2"], &script);
    played.verdict.assert_passed();
    // The last wait is the one that the close of the handle ends.
    let ended_by_the_end = steps.iter().rposition(|step| step.starts_with('&'));
    for (index, step) in steps.iter().enumerate() {
        let expected = if Some(index) == ended_by_the_end {
            CANCELLED
        } else {
            SUCCESS
        };
        if !step.starts_with("sleep") {
            assert_eq!(played.answers.get(&(index + 1)), Some(&expected), "`{step}`");
        }
    }
}
