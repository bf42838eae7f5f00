//! Whether KVM is of use here. `/dev/kvm` may be there, open, and be a hypervisor's that is itself emulated: instructions at CPL 0 then end the
//! machine, or take microseconds. So the kernel tries them out first (its `hal::probe`), and a machine that fails is not used. Never is TCG taken
//! instead: who asked for KVM must not read TCG's results for it. (`-accel kvm -accel tcg` would not do it either: it falls back only if `/dev/kvm`
//! cannot be opened.)

use crate::machine::{Accelerator, Machine, Options};
use crate::session::Power as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the kernel may take to boot and try everything; it takes a fifth of a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked whether QEMU has paused the machine.
const LOOK: Duration = Duration::from_millis(100);
/// What QEMU says when it pauses a machine that KVM cannot go on with; it does not leave then.
const INTERNAL_ERROR: &str = "KVM internal error";
/// QEMU's exit code when the kernel's probe has passed.
const PASSED: Option<i32> = Some(33);

/// Boots `kernel` under KVM and has it try out what the lab needs.
///
/// # Errors
/// One line: why KVM is not used.
pub fn self_test(kernel: &Path) -> Result<(), String> {
    let options = Options {
        kernel,
        container: &[],
        command_line: "cpus=1 probe".into(),
        cpus: 1,
        memory: 64,
        accelerator: Accelerator::Kvm,
        log: None,
        translated: None,
        gdb: None,
    };
    let (mut machine, _to, _from) = Machine::start(&options).map_err(|e| e.to_string())?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && !machine.has_left(LOOK) && !machine.messages().contains(INTERNAL_ERROR) {}
    match machine.leave(Duration::ZERO) {
        PASSED => Ok(()),
        _ => Err(refusal(&machine.log(), &machine.messages())),
    }
}

/// Why, from what the kernel and QEMU have said.
fn refusal(log: &str, messages: &str) -> String {
    let last = log.lines().rev().find_map(|line| line.strip_prefix("probe: "));
    let step = last.map_or("before the kernel tried anything".to_owned(), |step| {
        format!("at \"{step}\"")
    });
    let qemu = messages.lines().find(|line| !line.contains("warning"));
    let qemu = qemu.map_or_else(String::new, |line| format!(" ({})", line.trim()));
    format!(
        "--accel kvm is not used: its self-test failed {step}{qemu}; without the option the machine runs under TCG, which needs no KVM"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_one_line_with_the_step_and_the_cause() {
        let log = "log: x\nprobe: int3 is delivered\nprobe: SSE moves\n";
        assert_eq!(
            refusal(log, "KVM internal error. Suberror: 1\nextra data"),
            "--accel kvm is not used: its self-test failed at \"SSE moves\" (KVM internal error. Suberror: 1); without the option the \
             machine runs under TCG, which needs no KVM"
        );
        assert_eq!(
            refusal(
                "",
                "qemu: warning: x\nCould not access KVM kernel module: No such file or directory\n"
            ),
            "--accel kvm is not used: its self-test failed before the kernel tried anything (Could not access KVM kernel module: No such \
             file or directory); without the option the machine runs under TCG, which needs no KVM"
        );
    }
}
