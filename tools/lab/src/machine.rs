//! The virtual machine: one QEMU process that never outlives this one.
//!
//! COM1 is a socket, the debug console goes to a file. COM1 is not on QEMU's standard input and output, since that has QEMU handle SIGCONT: the
//! handler changes `errno`, and a QEMU that is stopped and continued while it reads its options finds a fault in one. TCG with one host thread per processor is
//! the accelerator unless another is asked for: it needs no `/dev/kvm`, its interrupt and CR8 semantics are exact, and a racy driver really races.

use crate::qmp::{Processor, Qmp};
use crate::session::Power;
use lab_wire::boot::{FRAMEWORKS, IMAGES};
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// The emulator's name on PATH.
const QEMU: &str = "qemu-system-x86_64";
/// How often a machine that no longer reacts is asked for a report: its processors may take the first NMI for one of their own.
const ASKED: u32 = 3;
/// How long a report takes at most.
const REPORT: Duration = Duration::from_secs(5);

/// What carries the machine's instructions out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// TCG, one host thread for each processor.
    Tcg,
    /// TCG, one host thread for all processors, and instructions are the clock: a run without input repeats exactly.
    Counted,
    /// The host's processor, once it has passed its self-test ([`crate::kvm`]).
    Kvm,
}

/// What the machine is made of.
#[derive(Debug)]
pub struct Options<'a> {
    /// The kernel's ELF.
    pub kernel: &'a Path,
    /// The boot container's bytes, passed as initrd.
    pub container: &'a [u8],
    /// The kernel's command line.
    pub command_line: String,
    /// Virtual processors.
    pub cpus: u32,
    /// RAM in MiB.
    pub memory: u32,
    /// What carries its instructions out.
    pub accelerator: Accelerator,
    /// Where the debug console's lines are kept, or written to at the end if that is no file; a temporary file if nowhere is said.
    pub log: Option<&'a Path>,
    /// Where it logs the driver's code that it translates.
    pub translated: Option<PathBuf>,
    /// The TCP port on which gdb may connect; the machine then waits for it before it starts.
    pub gdb: Option<u16>,
}

/// Why there is no machine.
#[derive(Debug)]
pub enum StartError {
    /// QEMU is not installed.
    NoQemu,
    /// The log cannot be written.
    Log(PathBuf, io::Error),
    /// Anything else, with what was being done.
    Io(String, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQemu => {
                write!(
                    f,
                    "{QEMU} is not on PATH; install it (Debian and Ubuntu: sudo apt-get install qemu-system-x86)"
                )
            }
            Self::Log(path, e) if e.raw_os_error() == Some(libc::ENXIO) => {
                write!(f, "the log {} is a FIFO that nobody reads", path.display())
            }
            Self::Log(path, e) => write!(f, "the log {} cannot be written: {e}", path.display()),
            Self::Io(what, e) => write!(f, "cannot {what}: {e}"),
        }
    }
}

/// A running QEMU; dropping it ends it.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    log: PathBuf,
    errors: PathBuf,
    /// What is to have the log and is no file to read it back from.
    reader: Option<File>,
    /// Whether it was ended by us.
    ended: bool,
    /// Its RAM, which stays when it is off.
    memory: File,
    /// QEMU's control line, until it is used.
    control: Option<UnixStream>,
    /// Deleted with the machine.
    folder: tempfile::TempDir,
}

impl Machine {
    /// Starts QEMU; the streams are COM1, towards the machine and from it.
    ///
    /// # Errors
    /// [`StartError`] says what is missing.
    pub fn start(options: &Options<'_>) -> Result<(Self, UnixStream, UnixStream), StartError> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |e| StartError::Io(what, e)
        };
        let folder = tempfile::Builder::new()
            .prefix("rundown-lab-")
            .tempdir()
            .map_err(io("make a temporary folder for the machine's files"))?;
        let container = folder.path().join("container");
        std::fs::write(&container, options.container).map_err(io("write the boot container"))?;
        let own = folder.path().join("log");
        let (log, reader) = match options.log {
            Some(path) if !is_stream(path) => (path, None),
            Some(path) => {
                let reader = stream(path).map_err(|e| StartError::Log(path.into(), e))?;
                (&*own, Some(reader))
            }
            None => (&*own, None),
        };
        let log = log.to_owned();
        File::create(&log).map_err(|e| StartError::Log(log.clone(), e))?;
        let errors = folder.path().join("errors");
        let errors_file = File::create(&errors).map_err(io("write QEMU's messages"))?;

        let (control, theirs) = UnixStream::pair().map_err(io("make QEMU's control line"))?;
        let (to_com1, com1) = UnixStream::pair().map_err(io("make the machine's COM1"))?;
        let from_com1 = to_com1.try_clone().map_err(io("make the machine's COM1"))?;
        let memory = memory(options.memory).map_err(io("make the machine's memory"))?;
        let files = Files {
            com1: com1.as_raw_fd(),
            control: theirs.as_raw_fd(),
            ram: memory.as_raw_fd(),
        };
        let mut command = Command::new(QEMU);
        command
            .args(arguments(options, &container, &log, files))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors_file);
        let parent = std::process::id();
        // SAFETY: `keep` and `end_with` make system calls and nothing else: they neither allocate nor lock, so they may run between fork and
        // exec.
        unsafe {
            command.pre_exec(move || {
                keep(files.com1)
                    .and_then(|()| keep(files.control))
                    .and_then(|()| keep(files.ram))
                    .and_then(|()| end_with(parent))
            })
        };
        let child = command.spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StartError::NoQemu,
            _ => StartError::Io(format!("start {QEMU}"), e),
        })?;
        Ok((
            Self {
                child,
                log,
                errors,
                reader,
                ended: false,
                memory,
                control: Some(control),
                folder,
            },
            to_com1,
            from_com1,
        ))
    }

    /// QEMU's process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where the kernel's lines go while it runs.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Its RAM, as a file: what of it is read while the machine runs may be about to change.
    #[must_use]
    pub fn memory(&self) -> &File {
        &self.memory
    }

    /// What the kernel wrote to the debug console so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Where the processors of a machine stand that no longer reacts, as QEMU sees it; then, what the kernel says when it is asked by an NMI
    /// is in the log, if it says anything. The machine is off afterwards.
    ///
    /// # Errors
    /// One line, if QEMU does not answer either.
    pub fn examine(&mut self, cpus: u32) -> Result<Vec<Processor>, String> {
        let processors = self.control.take().ok_or("it was examined before".into());
        let processors = processors.and_then(Qmp::new).and_then(|mut qmp| {
            let processors = qmp.processors(cpus, self.folder.path())?;
            for _ in 0..ASKED {
                qmp.ask_for_report()?;
                if self.has_left(REPORT) {
                    break;
                }
            }
            Ok(processors)
        });
        self.end();
        processors
    }

    /// Waits at most `patience` for it to switch itself off; whether it has.
    pub fn has_left(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// The signal that ended QEMU, if it was not sent by us: the system's, when memory is out, or a person's.
    pub fn signal(&mut self) -> Option<i32> {
        let status = self.child.try_wait().ok().flatten()?;
        if self.ended { None } else { status.signal() }
    }

    /// What QEMU itself had to say.
    #[must_use]
    pub fn messages(&self) -> String {
        std::fs::read_to_string(&self.errors)
            .unwrap_or_default()
            .trim()
            .to_owned()
    }
}

impl Power for Machine {
    fn leave(&mut self, patience: Duration) -> Option<i32> {
        if self.has_left(patience)
            && let Ok(Some(status)) = self.child.try_wait()
        {
            return status.code();
        }
        self.end();
        None
    }

    fn end(&mut self) {
        self.ended |= matches!(self.child.try_wait(), Ok(None));
        // Both fail only if it is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
        if let Some(mut reader) = self.reader.take() {
            // A reader that has gone wants no more of it.
            let _ = reader.write_all(self.log().as_bytes());
        }
    }
}

/// A file for so many MiB of RAM, which is on no disk and has no name.
fn memory(mebibytes: u32) -> io::Result<File> {
    let file = File::from(memfd_create("rundown-lab-ram", MemfdFlags::CLOEXEC)?);
    file.set_len(u64::from(mebibytes) << 20)?;
    Ok(file)
}

/// Whether what lies there can only be written: a FIFO, a terminal, the end of a pipe.
fn is_stream(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Opens a stream that has a reader.
fn stream(path: &Path) -> io::Result<File> {
    // A FIFO without one would be waited for.
    let file = File::options()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    // SAFETY: F_SETFL takes a file descriptor and flags, and touches no memory.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// In the child: die when the parent does, however that happens. It may have died before the first call; then there is no exec.
fn end_with(parent: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if std::os::unix::process::parent_id() != parent {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// In the child: let QEMU have this file, which would otherwise be closed.
fn keep(file: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD takes a file descriptor and flags, and touches no memory.
    if unsafe { libc::fcntl(file, libc::F_SETFD, 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The files that QEMU has from us.
#[derive(Clone, Copy)]
struct Files {
    com1: RawFd,
    control: RawFd,
    /// The machine's memory.
    ram: RawFd,
}

fn arguments(options: &Options<'_>, container: &Path, log: &Path, files: Files) -> Vec<OsString> {
    let Files { com1, control, ram } = files;
    // In an option's list a comma separates; a doubled one stands for itself.
    let escaped = |path: &Path| path.to_string_lossy().replace(',', ",,");
    let accelerator: &[&str] = match options.accelerator {
        Accelerator::Tcg => &["-accel", "tcg,thread=multi", "-cpu", "max"],
        // A nanosecond is an instruction; idle time is skipped.
        Accelerator::Counted => &[
            "-accel",
            "tcg,thread=single",
            "-icount",
            "shift=0,sleep=off",
            "-cpu",
            "max",
        ],
        // The kernel never asks for the feature, and some hypervisors refuse to set its register.
        Accelerator::Kvm => &["-accel", "kvm", "-cpu", "max,-arch-capabilities"],
    };
    let mut arguments: Vec<OsString> = accelerator.iter().map(OsString::from).collect();
    arguments.extend(
        [
            "-display",
            "none",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-serial",
            "chardev:com1",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
            "-device",
            "isa-debugcon,iobase=0xe9,chardev=console",
            "-mon",
            "chardev=control,mode=control",
        ]
        .map(OsString::from),
    );
    arguments.extend([
        "-chardev".into(),
        format!("file,id=console,path={}", escaped(log)).into(),
    ]);
    for (id, file) in [("com1", com1), ("control", control)] {
        arguments.extend(["-chardev".into(), format!("socket,id={id},fd={file}").into()]);
    }
    arguments.extend([
        "-smp".into(),
        options.cpus.to_string().into(),
        "-m".into(),
        options.memory.to_string().into(),
        "-object".into(),
        format!(
            "memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/{ram},share=on",
            options.memory
        )
        .into(),
        "-machine".into(),
        "pc,memory-backend=ram".into(),
    ]);
    arguments.extend([
        "-kernel".into(),
        options.kernel.into(),
        "-initrd".into(),
        container.into(),
    ]);
    arguments.extend(["-append".into(), options.command_line.clone().into()]);
    if let Some(path) = &options.translated {
        // The driver's images, and no framework's.
        let range = format!("{IMAGES:#x}..{:#x}", FRAMEWORKS - 1);
        arguments.extend(["-d".into(), "in_asm".into(), "-dfilter".into(), range.into()]);
        arguments.extend(["-D".into(), path.into()]);
    }
    if let Some(port) = options.gdb {
        arguments.extend(["-gdb".into(), format!("tcp:127.0.0.1:{port}").into(), "-S".into()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_are_doubled_and_everything_is_passed() {
        let options = Options {
            kernel: Path::new("/a,b/kernel"),
            container: &[],
            command_line: "cpus=2 seed=7".into(),
            cpus: 2,
            memory: 256,
            accelerator: Accelerator::Counted,
            log: None,
            translated: Some("/g,h/translated".into()),
            gdb: Some(1234),
        };
        let arguments = arguments(
            &options,
            Path::new("/c,d/container"),
            Path::new("/e,f/log"),
            Files {
                com1: 4,
                control: 5,
                ram: 6,
            },
        );
        let text: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
        let after = |name: &str| text.iter().position(|a| a == name).map(|i| text[i + 1].as_ref());
        assert_eq!(after("-kernel"), Some("/a,b/kernel"));
        assert_eq!(after("-initrd"), Some("/c,d/container"));
        assert_eq!(after("-append"), Some("cpus=2 seed=7"));
        assert_eq!(after("-accel"), Some("tcg,thread=single"));
        assert_eq!(after("-smp"), Some("2"));
        assert_eq!(after("-gdb"), Some("tcp:127.0.0.1:1234"));
        assert_eq!(after("-dfilter"), Some("0xfffff80010000000..0xfffff87fffffffff"));
        assert_eq!(after("-D"), Some("/g,h/translated"));
        assert_eq!(
            after("-object"),
            Some("memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/6,share=on")
        );
        assert!(text.iter().any(|a| a == "file,id=console,path=/e,,f/log"));
    }
}
