//! `rundown-lab doctor`: what of a driver the lab has, before anything of it runs. The lab's kernel itself lists what it has, so this cannot be out
//! of date.

use crate::cli::{self, Doctor, exit};
use crate::driver::DriverFile;
use crate::machine::{Accelerator, Machine, Options};
use crate::session::Power as _;
use object::Object as _;
use object::read::NameOrOrdinal;
use object::read::pe::PeFile64;
use rundown_streams as streams;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// How long the kernel may take to boot and say what it has; it takes a fifth of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the lab has, by module in lower case and name; false for what only traps.
type Known = BTreeMap<(String, String), bool>;

/// Says what is known of a driver; the answer is this program's exit code.
#[must_use]
pub fn doctor(arguments: &Doctor) -> ExitCode {
    let kernel = arguments
        .kernel
        .clone()
        .unwrap_or_else(|| cli::beside("rundown-lab-kernel"));
    let described = DriverFile::read(&arguments.file)
        .map_err(|text| (exit::BAD_INPUT, text))
        .and_then(|driver| {
            let log = ask(&kernel).map_err(|text| (exit::LAB_FAILED, text))?;
            describe(&driver, &known(&log)).map_err(|text| (exit::BAD_INPUT, text))
        });
    match described {
        Ok(text) => match streams::raw(text) {
            Ok(()) => exit::PASSED.into(),
            Err(unwritable) => {
                streams::tell!("rundown-lab: {unwritable}");
                exit::OUTPUT.into()
            }
        },
        Err((code, text)) => {
            streams::tell!("rundown-lab: {text}");
            code.into()
        }
    }
}

/// What the kernel says that it has.
fn ask(kernel: &Path) -> Result<String, String> {
    if !kernel.exists() {
        return Err(format!("cannot read the lab's kernel {}", kernel.display()));
    }
    let options = Options {
        kernel,
        container: &[],
        command_line: "cpus=1 exports".into(),
        cpus: 1,
        memory: 64,
        accelerator: Accelerator::Tcg,
        log: None,
        translated: None,
        gdb: None,
    };
    let (mut machine, _to, _from) = Machine::start(&options).map_err(|e| e.to_string())?;
    machine.leave(PATIENCE);
    Ok(machine.log())
}

/// The lines `export: MODULE NAME [trap]`.
fn known(log: &str) -> Known {
    let lines = log.lines().filter_map(|line| line.strip_prefix("export: "));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (module, name) = (words.next()?.to_ascii_lowercase(), words.next()?.to_owned());
            Some(((module, name), words.next().is_none()))
        })
        .collect()
}

/// What there is to say about a driver.
fn describe(driver: &DriverFile, known: &Known) -> Result<String, String> {
    let cannot = |e: object::Error| format!("{}: its imports cannot be read: {e}", driver.path.display());
    let file = PeFile64::parse(&*driver.bytes).map_err(cannot)?;
    let imports = file
        .imports()
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(cannot)?;
    let mut missing = Vec::new();
    let mut framework = false;
    for import in &imports {
        let module = String::from_utf8_lossy(import.library()).to_ascii_lowercase();
        let name = match import.name() {
            NameOrOrdinal::Name(name) => String::from_utf8_lossy(name).into_owned(),
            NameOrOrdinal::Ordinal(ordinal) => format!("#{ordinal}"),
        };
        framework |= module == "wdfldr.sys";
        match known.get(&(module.clone(), name.clone())) {
            Some(true) => {}
            Some(false) => missing.push(format!("{module}!{name}: known, but calling it ends the run")),
            None => missing.push(format!("{module}!{name}")),
        }
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}: a 64-bit NATIVE image for x86-64", driver.name());
    let _ = writeln!(
        text,
        "imports: {} of {} are there",
        imports.len() - missing.len(),
        imports.len()
    );
    for import in &missing {
        let _ = writeln!(text, "  missing: {import}");
    }
    if framework {
        let functions = || known.iter().filter(|((module, _), _)| module == "kmdf");
        let _ = writeln!(
            text,
            "framework: KMDF; the lab has {} of its {} functions (which of them a driver calls cannot be seen before it does)",
            functions().filter(|(_, there)| **there).count(),
            functions().count()
        );
    }
    let _ = writeln!(
        text,
        "symbols: {}",
        if driver.pdb.is_some() {
            "the image names a PDB; beside it, or with --pdb, reports have functions and lines"
        } else {
            "the image names no PDB: reports have addresses only"
        }
    );
    let _ = writeln!(
        text,
        "{}",
        if missing.is_empty() {
            "nothing keeps it from being run"
        } else {
            "it can be run; whatever is missing ends the run with its name where it is called (--missing refuse: before)"
        }
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_read() {
        let log = "log: x\nexport: ntoskrnl.exe KeSetEvent\nexport: ntoskrnl.exe RtlUnwind trap\nexport: WDFLDR.SYS WdfVersionBind\n";
        let known = known(log);
        let get = |module: &str, name: &str| known.get(&(module.to_owned(), name.to_owned())).copied();
        assert_eq!(get("ntoskrnl.exe", "KeSetEvent"), Some(true));
        assert_eq!(get("ntoskrnl.exe", "RtlUnwind"), Some(false));
        assert_eq!(get("wdfldr.sys", "WdfVersionBind"), Some(true));
        assert_eq!(known.len(), 3);
    }
}
