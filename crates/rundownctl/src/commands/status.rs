//! `rundownctl status`: whether the target is ready, and what to do when it is not.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{error::Error, print, record::SCHEMA, show, target::LabOptions, target::Spec};

/// What to tell.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Print the lines of Windows' own programs that tell the same, and do nothing
    #[arg(long, conflicts_with = "json")]
    pub show: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Status {
    /// The version of this object's form.
    pub schema: u32,
    /// Whether a request would reach the driver.
    pub ready: bool,
    /// What was looked at.
    pub parts: Vec<Part>,
}

/// A file, a setting or a device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Part {
    /// Which.
    pub name: String,
    /// How it is, and what to do when it is not as it should be.
    pub status: String,
}

/// What Windows' own programs say.
const LINES: &str = "\
The device and its driver package, with pnputil or devcon (Windows Driver Kit):
    pnputil /enum-devices /class Rundown /drivers
    devcon status Root\\Rundown
the service:
    sc query rundown
whether the kernel accepts test signatures:
    bcdedit /enum {current}
";

/// Tells what is there and what is missing. Exit code 3: the target is not ready.
///
/// # Errors
/// When Windows does not let us look.
pub fn run(options: Options, target: &Spec) -> Result<u8, Error> {
    if options.show {
        print::raw(LINES)?;
        return Ok(0);
    }
    let (rows, ready) = match target {
        Spec::Lab(lab) => of_lab(lab),
        Spec::Device => of_device()?,
    };
    print::line(if options.json {
        let part = |(name, status)| Part { name, status };
        show::json(&Status {
            schema: SCHEMA,
            ready,
            parts: rows.into_iter().map(part).collect(),
        })
    } else {
        show::rows(rows)
    })?;
    Ok(if ready { 0 } else { super::NOT_READY })
}

type Rows = Vec<(String, String)>;

/// The files that a boot needs, which lie together.
fn of_lab(options: &LabOptions) -> (Rows, bool) {
    let program = match options.program() {
        Ok(program) => program,
        Err(error) => return (vec![("rundown-lab".into(), error.to_string())], false),
    };
    let folder = program.parent().unwrap_or(&program);
    let mut rows = Vec::new();
    let mut ready = true;
    for name in ["rundown-lab-kernel", "rundown.inf", "rundown.sys", "rundown.pdb"] {
        let file = folder.join(name);
        let there = file.is_file();
        // Without the PDB, reports have addresses instead of names.
        ready &= there || name == "rundown.pdb";
        let said = if there {
            file.display().to_string()
        } else {
            format!("not in {}; `cargo xtask lab` makes it", folder.display())
        };
        rows.push((name.to_owned(), said));
    }
    let there = program.is_file();
    let said = if there {
        program.display().to_string()
    } else {
        format!("{} is not there; `cargo xtask lab` makes it", program.display())
    };
    rows.insert(0, ("rundown-lab".into(), said));
    (rows, ready && there)
}

#[cfg(windows)]
fn of_device() -> Result<(Rows, bool), Error> {
    use crate::installation::{State, setup};

    let yes_or = |answer: Option<bool>, advice: &str| match answer {
        Some(true) => "yes".to_owned(),
        Some(false) => format!("no; {advice}"),
        None => "Windows does not say".to_owned(),
    };
    let mut rows = vec![
        (
            "administrator".to_owned(),
            yes_or(setup::elevated(), "run it from an elevated prompt"),
        ),
        (
            "test signing".to_owned(),
            yes_or(
                setup::test_signing(),
                "`bcdedit /set testsigning on` and a restart, unless the driver is signed for the public",
            ),
        ),
    ];
    let devices = setup::devices()?;
    if devices.is_empty() {
        rows.push(("device".into(), "none; `rundownctl install`".into()));
    }
    rows.extend(devices.iter().map(|device| ("device".to_owned(), device.line())));
    let started = devices.iter().any(|device| device.state == State::Started);
    Ok((rows, started))
}

#[cfg(not(windows))]
fn of_device() -> Result<(Rows, bool), Error> {
    Err(super::not_windows())
}
