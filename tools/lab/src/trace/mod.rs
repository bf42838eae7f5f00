//! `--trace FILE`: the timeline of a run, in the format that Perfetto's viewer and `chrome://tracing` read.
//!
//! A thread of this process reads the kernel's rings while the machine runs ([`rings`]); afterwards their records become slices, instants and counters on tracks
//! ([`timeline`]), which are written as JSON ([`json`]).

mod json;
mod names;
mod rings;
mod timeline;

pub use names::Names;

use crate::machine::Machine;
use rings::{Collected, Reader};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// The file of a timeline, which is there before the machine is.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
}

/// A timeline that is being read.
#[derive(Debug)]
pub struct Trace {
    output: Output,
    reader: Reader,
}

impl Output {
    /// Makes the file.
    ///
    /// # Errors
    /// One line that names it.
    pub fn create(path: &Path) -> Result<Self, String> {
        let file = File::create(path).map_err(|e| unwritable(path, &e))?;
        Ok(Self {
            path: path.into(),
            file,
        })
    }

    /// Reads the machine's rings from now on.
    ///
    /// # Errors
    /// One line, if its memory cannot be read.
    pub fn follow(self, machine: &Machine) -> Result<Trace, String> {
        let memory = machine.memory().try_clone();
        let memory = memory.map_err(|e| format!("cannot read the machine's memory for the timeline: {e}"))?;
        Ok(Trace {
            output: self,
            reader: Reader::start(memory, machine.log_path().into()),
        })
    }
}

impl Trace {
    /// Writes the timeline of a machine that is off, and says where, and what is missing in it.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn write(self, names: &Names<'_>) -> Result<(), String> {
        let Output { path, file } = self.output;
        let collected = self.reader.finish();
        let timeline = timeline::of(&collected, names);
        let events = timeline.events.len();
        json::write(&mut BufWriter::new(file), &timeline).map_err(|e| unwritable(&path, &e))?;
        rundown_streams::tell!(
            "TRACE:          {} ({events} events; ui.perfetto.dev opens it)",
            path.display()
        );
        for line in missing(&collected) {
            rundown_streams::tell!("                {line}");
        }
        Ok(())
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> String {
    format!("the timeline {} cannot be written: {error}", path.display())
}

/// What a timeline does not have and should be known, a line each.
fn missing(collected: &Collected) -> Vec<String> {
    let mut lines = Vec::new();
    if collected.rings.is_none() {
        lines.push("the kernel wrote none: the machine did not come so far".into());
    }
    if collected.lost > 0 {
        lines.push(format!(
            "{} records were lost: their rings were full; the timeline says where",
            collected.lost
        ));
    }
    for (family, count) in collected.left_out() {
        lines.push(format!(
            "{count} records more of {family} were left out, after the first {}",
            rings::MOST
        ));
    }
    lines
}
