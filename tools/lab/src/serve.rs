//! `rundown-lab serve`: everything around one run.

use crate::cli::{self, Mode, Serve, exit};
use crate::coverage::{self, Measured};
use crate::crash_dump::{CrashDump, Memory};
use crate::driver::DriverFile;
use crate::events::{self, Events};
use crate::explain;
use crate::failure::{self, FailedRun};
use crate::framework;
use crate::gdb;
use crate::inf::{DriverInf, RegistryData};
use crate::kvm;
use crate::machine::{Accelerator, Machine, Options, StartError};
use crate::names::{self, Names};
use crate::native::{self, NativeCode};
use crate::report::{Bugcheck, CountersReport, DispatchStay, Report};
use crate::script;
use crate::session::{self, Ending, Ends, Times};
use crate::stack::{Image, Images};
use crate::symbols::{DriverSymbols, KernelSymbols};
use crate::trace::{self, Trace};
use crate::watch;
use lab_wire::boot::{Boot, Parameter, Value};
use lab_wire::counters::Counters;
use lab_wire::dump::{self, Dump};
use rundown_streams as streams;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The newest framework version whose functions the lab has.
const KMDF: (u32, u32) = (1, 33);
/// The kernel gives up by itself at the limit and says where everybody is; this much later nothing is to be expected of it any more.
const GRACE: Duration = Duration::from_secs(5);

/// The bug check for a machine that had to be ended from outside: code and name of the kernel's own time limit.
const RUN_TIMEOUT: (&str, &str) = ("0x1AB00003", "RUN_TIMEOUT");

/// Why there was no run, with the exit code.
struct Failure(u8, String);

/// Wrong input.
fn bad_input(text: String) -> Failure {
    Failure(exit::BAD_INPUT, text)
}

/// What is needed before the machine starts.
struct Inputs {
    kernel_path: PathBuf,
    kernel: Vec<u8>,
    driver: DriverFile,
    symbols: Option<DriverSymbols>,
    inf: DriverInf,
    names: Names,
    watch: Vec<u32>,
    /// Where the driver reads the time-stamp counter; empty without symbols.
    tsc_reads: Vec<u32>,
    /// For the machine to carry out by itself; empty without `--script`.
    script: Vec<u8>,
    native: Option<NativeCode>,
    /// A framework for the driver to run on, and its symbols.
    framework: Option<(DriverFile, Option<DriverSymbols>)>,
}

/// Standard output, and its first failure: to the session every failure is a client that has left.
struct Output(io::Result<()>);

impl Default for Output {
    fn default() -> Self {
        Self(Ok(()))
    }
}

impl Output {
    fn noted<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| {
            if self.0.is_ok() {
                self.0 = Err(error
                    .raw_os_error()
                    .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error));
            }
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = io::stdout().write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = io::stdout().flush();
        self.noted(done)
    }
}

/// A run that is over: this program's exit code, and what there is to say of it.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: u8,
    /// The report; none if it did not come to a run.
    pub report: Option<Report>,
    /// What kept it from a run, or how the script's steps were answered.
    pub said: String,
}

/// Runs `serve`; the answer is this program's exit code.
#[must_use]
pub fn serve(arguments: &Serve) -> ExitCode {
    serve_to_end(arguments).code.into()
}

/// The same, with what there is to say of the run.
#[must_use]
pub fn serve_to_end(arguments: &Serve) -> Ended {
    try_serve(arguments).unwrap_or_else(|Failure(code, said)| {
        rundown_streams::tell!("rundown-lab: {said}");
        Ended {
            code,
            report: None,
            said,
        }
    })
}

fn try_serve(arguments: &Serve) -> Result<Ended, Failure> {
    let inputs = Inputs::read(arguments)?;
    let measured = measured(arguments, &inputs)?;
    let accelerator = accelerator(arguments, &inputs.kernel_path)?;
    let unwritable = |text| Failure(exit::OUTPUT, text);
    let trace = arguments.trace.as_deref().map(trace::Output::create).transpose();
    let trace = trace.map_err(unwritable)?;
    let seed = arguments.seed.unwrap_or_else(seed_from_clock);
    let started = Instant::now();
    let container = container(&inputs, arguments.framework_verifier == 1);
    let options = Options {
        kernel: &inputs.kernel_path,
        container: &container,
        command_line: command_line(arguments, seed, &inputs.watch),
        cpus: arguments.cpus,
        memory: arguments.memory,
        accelerator,
        log: arguments.log.as_deref(),
        translated: measured.as_ref().map(Measured::log),
        gdb: arguments.gdb,
    };
    let gdb = arguments.gdb.map(|port| gdb_files(port, &inputs)).transpose()?;
    let (mut machine, com1_in, com1_out) = Machine::start(&options).map_err(|e| match e {
        StartError::NoQemu | StartError::Io(..) => Failure(exit::LAB_FAILED, e.to_string()),
        StartError::Log(..) => Failure(exit::OUTPUT, e.to_string()),
    })?;
    let trace = trace.map(|output| output.follow(&machine)).transpose();
    let trace = trace.map_err(|text| Failure(exit::LAB_FAILED, text))?;
    if let Some(gdb) = &gdb {
        rundown_streams::tell!("GDB:            {}", gdb.command());
    }
    let mut output = Output::default();
    let input: Box<dyn BufRead + Send> = if arguments.alone {
        Box::new(io::empty())
    } else {
        Box::new(BufReader::new(std::io::stdin()))
    };
    let mut nobody = io::sink();
    let ends = Ends {
        // A script takes no lines.
        input: inputs.script.is_empty().then_some(input),
        output: if arguments.alone { &mut nobody } else { &mut output },
        ready: format!("seed={seed} mode={}", arguments.mode.name()),
    };
    let limit = Duration::from_secs(arguments.timeout.into()) + GRACE;
    let (ending, times) = session::run(&mut machine, (com1_in, com1_out), ends, limit);
    let mut run = Run {
        arguments,
        inputs: &inputs,
        seed,
        report: Report {
            routines: native::origins(inputs.native.as_ref()),
            events: events::count(&machine.log()),
            ..blank_report(arguments, seed, &times, started)
        },
    };
    let code = run.judge(ending, &mut machine);
    if code == exit::DRIVER_FAILED {
        show_what_it_said(&machine.log());
    }
    if let Some(trace) = trace {
        run.write_trace(trace, &machine).map_err(unwritable)?;
    }
    let said = steps(&machine.log());
    if let Some(measured) = measured {
        measured.end(&machine.log()).map_err(no_coverage)?;
    }
    if arguments.alone && code == exit::PASSED {
        let summary = format!(
            "{said}passed: {} was loaded, started, removed and unloaded, and left nothing behind (seed {seed})\n",
            inputs.driver.name()
        );
        // `Output` keeps the first failure.
        let _ = output.write_all(summary.as_bytes());
    }
    let code = match streams::judge(output.0) {
        Ok(()) => code,
        Err(unwritable) => {
            streams::tell!("rundown-lab: {unwritable}");
            exit::OUTPUT
        }
    };
    if let Some(path) = &arguments.report {
        run.report
            .write(path)
            .map_err(|text| Failure(exit::OUTPUT, text))?;
    }
    Ok(Ended {
        code,
        report: Some(run.report),
        said,
    })
}

/// Who carries the machine's instructions out.
fn accelerator(arguments: &Serve, kernel: &Path) -> Result<Accelerator, Failure> {
    match (arguments.kvm, arguments.mode) {
        (true, mode) if mode.counts_instructions() => Err(bad_input(format!(
            "--mode {} counts instructions, which only TCG can: leave --accel kvm out",
            mode.name()
        ))),
        (true, _) => {
            kvm::self_test(kernel).map_err(|text| Failure(exit::LAB_FAILED, text))?;
            Ok(Accelerator::Kvm)
        }
        (false, mode) if mode.counts_instructions() => Ok(Accelerator::Counted),
        (false, _) => Ok(Accelerator::Tcg),
    }
}

/// The coverage that is asked for.
fn measured<'a>(arguments: &'a Serve, inputs: &'a Inputs) -> Result<Option<Measured<'a>>, Failure> {
    let Some(path) = &arguments.coverage else {
        return Ok(None);
    };
    if arguments.kvm {
        return Err(bad_input(
            "--coverage sees what TCG translates: leave --accel kvm out".into(),
        ));
    }
    let Some(symbols) = &inputs.symbols else {
        return Err(bad_input("--coverage needs the driver's PDB (--pdb FILE)".into()));
    };
    Measured::begin(path, &inputs.driver, symbols)
        .map(Some)
        .map_err(no_coverage)
}

/// Whether what ran can be measured, if it is to be: before a sweep boots anything.
///
/// # Errors
/// The exit code; why has been told.
pub fn check_coverage(arguments: &Serve) -> Result<(), u8> {
    if arguments.coverage.is_none() {
        return Ok(());
    }
    let checked = Inputs::read(arguments).and_then(|inputs| measured(arguments, &inputs).map(drop));
    checked.map_err(|Failure(code, text)| {
        rundown_streams::tell!("rundown-lab: {text}");
        code
    })
}

fn no_coverage(failure: coverage::Failure) -> Failure {
    match failure {
        coverage::Failure::Input(text) => bad_input(text),
        coverage::Failure::Output(text) => Failure(exit::OUTPUT, text),
        coverage::Failure::Lab(text) => Failure(exit::LAB_FAILED, text),
    }
}

/// What gdb is told of the driver and the kernel.
fn gdb_files(port: u16, inputs: &Inputs) -> Result<gdb::Files, Failure> {
    if inputs.symbols.is_none() {
        rundown_streams::tell!(
            "rundown-lab: without the driver's PDB (--pdb FILE) gdb knows only the kernel's functions"
        );
    }
    let (kernel, symbols) = (&inputs.kernel_path, inputs.symbols.as_ref());
    gdb::Files::write(port, kernel, &inputs.driver, symbols).map_err(|text| Failure(exit::LAB_FAILED, text))
}

/// The instructions that the options name, for the debug registers.
fn watched(
    arguments: &Serve,
    driver: &DriverFile,
    symbols: Option<&DriverSymbols>,
) -> Result<Vec<u32>, Failure> {
    let mut watch = Vec::new();
    for (name, pattern, what) in [
        ("watch-cr8", &arguments.watch_cr8, watch::Read::Cr8),
        ("tsc-back", &arguments.tsc_back, watch::Read::Tsc),
    ] {
        match (pattern, symbols) {
            (None, _) => {}
            (Some(pattern), Some(symbols)) => {
                watch.extend(watch::reads(driver, symbols, pattern, what).map_err(bad_input)?);
            }
            (Some(_), None) => {
                return Err(bad_input(format!("--{name} needs the driver's PDB (--pdb FILE)")));
            }
        }
    }
    if watch.len() > watch::MAXIMUM {
        return Err(bad_input(format!(
            "--watch-cr8 and --tsc-back name {} instructions; a processor can watch {}",
            watch.len(),
            watch::MAXIMUM
        )));
    }
    Ok(watch)
}

impl Inputs {
    fn read(arguments: &Serve) -> Result<Self, Failure> {
        let driver_path = arguments.driver_path();
        let driver = DriverFile::read(&driver_path).map_err(bad_input)?;
        let inf_path = arguments
            .inf
            .clone()
            .unwrap_or_else(|| driver_path.with_extension("inf"));
        let inf = read_inf(arguments, &inf_path, &driver_path).map_err(bad_input)?;
        if let Some((major, minor)) = inf.kmdf
            && arguments.framework.is_none()
            && (major, minor) > KMDF
        {
            return Err(bad_input(format!(
                "{} asks for KMDF {major}.{minor}; the lab has the functions of {}.{}, the newest",
                inf_path.display(),
                KMDF.0,
                KMDF.1
            )));
        }
        let framework = arguments.framework.as_deref();
        let framework = framework.map(|path| framework::read(path, inf.kmdf).map_err(bad_input));
        let framework = framework.transpose()?.map(|file| {
            let symbols = symbols_beside(&file);
            (file, symbols)
        });
        let symbols = match &arguments.pdb {
            Some(path) => Some(DriverSymbols::read(path, &driver).map_err(bad_input)?),
            None => symbols_beside(&driver),
        };
        let own_names = driver_path.with_extension("bugchecks");
        let names = match &arguments.bugcheck_names {
            Some(path) => names::read(path),
            None if own_names.exists() => names::read(&own_names),
            None => Ok(Names::new()),
        };
        let names = names.map_err(bad_input)?;
        let watch = watched(arguments, &driver, symbols.as_ref())?;
        if arguments.mode == Mode::Counted
            && let Some(write) = watch::write_of_cr8(&driver)
        {
            return Err(bad_input(format!(
                "{}+{write:#x} writes CR8 by itself, so that the lab does not see when the IRQL is raised: --mode counted cannot measure it",
                driver.name()
            )));
        }
        let tsc_reads = symbols
            .as_ref()
            .map(|symbols| watch::all_reads(&driver, symbols, watch::Read::Tsc))
            .transpose()
            .map_err(bad_input)?
            .unwrap_or_default();
        let script = match &arguments.script {
            Some(path) => read_script(path).map_err(bad_input)?,
            None if arguments.mode == Mode::Replay => {
                return Err(bad_input(format!(
                    "--mode {} needs a script (--script FILE): what comes from outside cannot be repeated",
                    arguments.mode.name()
                )));
            }
            None => Vec::new(),
        };
        let native = arguments.native.as_deref().map(NativeCode::read).transpose();
        let native = native.map_err(bad_input)?;
        let reads = native.as_ref().map_or(0, NativeCode::cr8_reads);
        if watch.len() + reads > watch::MAXIMUM {
            return Err(bad_input(format!(
                "--watch-cr8 names {} reads of CR8 and the native code has {reads}; a processor can watch {}: give --watch-cr8 a \
                 longer name, or leave it out",
                watch.len(),
                watch::MAXIMUM
            )));
        }
        let kernel_path = arguments
            .kernel
            .clone()
            .unwrap_or_else(|| cli::beside("rundown-lab-kernel"));
        let kernel = std::fs::read(&kernel_path).map_err(|e| {
            bad_input(format!(
                "cannot read the lab's kernel {}: {e}",
                kernel_path.display()
            ))
        })?;
        Ok(Self {
            kernel_path,
            kernel,
            driver,
            symbols,
            inf,
            names,
            watch,
            tsc_reads,
            script,
            native,
            framework,
        })
    }

    /// What a report is made with.
    fn images<'a>(&'a self, kernel_symbols: Option<&'a KernelSymbols>) -> Images<'a> {
        Images {
            driver: Image {
                name: self.driver.name(),
                bytes: &self.driver.bytes,
                symbols: self.symbols.as_ref(),
            },
            framework: self.framework.as_ref().map(|(file, symbols)| Image {
                name: file.name(),
                bytes: &file.bytes,
                symbols: symbols.as_ref(),
            }),
            kernel: &self.kernel,
            kernel_symbols,
        }
    }
}

/// What a signal mostly means that a machine did not ask for.
fn meaning(signal: i32) -> &'static str {
    match signal {
        libc::SIGKILL => " (SIGKILL: somebody's, or the system's when memory is out)",
        libc::SIGSEGV | libc::SIGABRT | libc::SIGBUS | libc::SIGILL => " (QEMU itself crashed)",
        _ => "",
    }
}

/// What the INF says, or what the options say in its place.
fn read_inf(arguments: &Serve, inf: &Path, driver: &Path) -> Result<DriverInf, String> {
    let hardware_id = arguments.hwid.as_deref();
    let service = || {
        driver
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if arguments.legacy || (hardware_id.is_some() && arguments.inf.is_none() && !inf.exists()) {
        return Ok(DriverInf::without(&service(), hardware_id));
    }
    DriverInf::read(inf, hardware_id)
}

/// A script, compiled.
fn read_script(path: &Path) -> Result<Vec<u8>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("cannot read the script {}: {e}", path.display()))?;
    let steps = script::parse(&text).and_then(|steps| script::compile(&steps))?;
    Ok(lab_wire::script::encode(&steps))
}

/// The PDB that lies beside the driver, if it does; without one, reports have addresses instead of names.
fn symbols_beside(driver: &DriverFile) -> Option<DriverSymbols> {
    let path = driver.path.with_extension("pdb");
    if !path.exists() {
        return None;
    }
    DriverSymbols::read(&path, driver)
        .map_err(|text| rundown_streams::tell!("rundown-lab: no symbols: {text}"))
        .ok()
}

fn container(inputs: &Inputs, framework_verifier: bool) -> Vec<u8> {
    let inf = &inputs.inf;
    let parameters = inf.parameters.iter().map(|parameter| Parameter {
        key: &parameter.key,
        name: &parameter.name,
        value: match &parameter.data {
            RegistryData::Dword(value) => Value::Dword(*value),
            RegistryData::Text(text) => Value::Text(text),
        },
    });
    let verifier = framework_verifier.then_some(framework::VERIFIER_ON);
    Boot {
        driver_name: &inputs.driver.name(),
        service: &inf.service,
        hardware_id: &inf.hardware_id,
        class: &inf.class,
        security: inf.security.as_deref().unwrap_or_default(),
        parameters: parameters.chain(verifier).collect(),
        script: &inputs.script,
        driver: &inputs.driver.bytes,
        tsc_reads: inputs.tsc_reads.clone(),
        framework: inputs.framework.as_ref().map(|(file, _)| &*file.bytes),
        native: inputs.native.as_ref().map(NativeCode::layout),
    }
    .encode()
}

/// The kernel's command line; its keys are the kernel's (`config.rs` there).
fn command_line(arguments: &Serve, seed: u64, watch: &[u32]) -> String {
    let mut line = format!(
        "cpus={} seed={seed} mode={} monitorx={} timeout={} hang={}",
        arguments.cpus,
        arguments.mode.name(),
        arguments.monitorx,
        arguments.timeout,
        u64::from(arguments.patience) * 1000
    );
    // Writing to a String cannot fail.
    if let Some(count) = arguments.unparked {
        let _ = write!(line, " unparked={count}");
    }
    if let Some(cycles) = arguments.cycles_per_yield {
        let _ = write!(line, " cpy={cycles}");
    }
    if let Some(cycles) = arguments.spin_cycles {
        let _ = write!(line, " spin={cycles}");
    }
    if !arguments.allow.is_empty() {
        let _ = write!(line, " allow={}", arguments.allow.join(","));
    }
    if arguments.missing == cli::Missing::Refuse {
        line.push_str(" missing=refuse");
    }
    if arguments.verifier == 1 {
        line.push_str(" verifier=1");
    }
    if let Some(count) = arguments.max_processors {
        let _ = write!(line, " maxcpus={count}");
    }
    if arguments.foreign_layout != 0 {
        let _ = write!(line, " foreign={}", arguments.foreign_layout);
    }
    if arguments.sweep_start {
        line.push_str(" sweepstart");
    }
    if arguments.trace.is_some() {
        line.push_str(" trace");
    }
    if !watch.is_empty() {
        let addresses: Vec<String> = watch.iter().map(|rva| format!("{rva:#x}")).collect();
        let _ = write!(line, " watch={}", addresses.join(","));
    }
    line
}

/// A seed that differs from run to run and is short enough to be typed.
fn seed_from_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| {
        now.as_secs() % 1_000_000 * 1000 + u64::from(now.subsec_millis())
    })
}

fn blank_report(arguments: &Serve, seed: u64, times: &Times, started: Instant) -> Report {
    Report {
        passed: false,
        cpus: arguments.cpus,
        seed,
        mode: arguments.mode.name(),
        seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        boot_milliseconds: times
            .boot
            .map(|boot| u64::try_from(boot.as_millis()).unwrap_or(u64::MAX)),
        bugcheck: None,
        leaks: 0,
        findings: Vec::new(),
        routines: BTreeMap::new(),
        dispatch_stay: None,
        counters: CountersReport::default(),
        events: Events::new(),
    }
}

/// The last line on the pipe. Nobody may be listening any more, which is all right.
fn last_line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// How much of what was said is shown on a failure.
const LAST_LINES: usize = 30;

/// What the driver said with `DbgPrint`, and the kernel of it: the end, before the report of a bug check.
fn show_what_it_said(log: &str) {
    let before = log.lines().take_while(|line| !line.starts_with("bug: "));
    let said: Vec<&str> = before
        .filter(|line| ["dbg:", "log:"].iter().any(|kind| line.starts_with(kind)))
        .collect();
    if !said.is_empty() {
        rundown_streams::tell!("WHAT WAS SAID:  (dbg: by the driver, log: by the lab)");
    }
    for line in &said[said.len().saturating_sub(LAST_LINES)..] {
        rundown_streams::tell!("  {line}");
    }
}

/// How each step of the script was answered, one a line.
fn steps(log: &str) -> String {
    let steps = log.lines().filter_map(|line| line.strip_prefix("log: step "));
    let mut text = String::new();
    for step in steps {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "step {step}");
    }
    text
}

/// A run that is over.
struct Run<'a> {
    arguments: &'a Serve,
    inputs: &'a Inputs,
    seed: u64,
    report: Report,
}

impl Run<'_> {
    /// Fills the report, tells people, and gives the exit code.
    fn judge(&mut self, ending: Ending, machine: &mut Machine) -> u8 {
        match ending {
            Ending::Finished { counters } => {
                self.count(counters, &machine.log());
                self.report.passed = true;
                exit::PASSED
            }
            Ending::Refused(reason) => {
                rundown_streams::tell!(
                    "rundown-lab: {} cannot be loaded: {reason}",
                    self.inputs.driver.path.display()
                );
                exit::BAD_INPUT
            }
            Ending::NotStarted { status, stage } => {
                let text = format!("the device was not started: {stage} returned 0x{status:08X}");
                rundown_streams::tell!("rundown-lab: {text}");
                self.report.findings.push(text);
                self.repeat();
                exit::DRIVER_FAILED
            }
            Ending::Died(code) => self.died(code, machine),
            Ending::TimedOut => self.hung(machine),
            Ending::Interrupted(signal) => {
                rundown_streams::tell!("rundown-lab: ended by signal {signal}");
                exit::LAB_FAILED
            }
            Ending::Garbled(what) => {
                rundown_streams::tell!(
                    "rundown-lab: the machine and this program do not understand each other: {what}"
                );
                Self::show_machine(machine);
                exit::LAB_FAILED
            }
        }
    }

    /// What the kernel counted.
    fn count(&mut self, counters: Counters, log: &str) {
        if self.arguments.mode == Mode::Counted && counters.dispatch_stay_raiser != 0 {
            self.report.dispatch_stay = Some(self.stay(&counters, log));
        }
        if counters.memory_refused != 0 {
            let text = format!(
                "the driver exhausted memory: {} of its allocations and creations were refused for want of it",
                counters.memory_refused
            );
            rundown_streams::tell!("rundown-lab: {text}");
            self.report.findings.push(text);
        }
        self.report.counters = counters.into();
    }

    /// The longest stay, and whose it was.
    fn stay(&self, counters: &Counters, log: &str) -> DispatchStay {
        let (base, size) = dump::image(log, "driver");
        let raiser = counters.dispatch_stay_raiser;
        let offset = raiser
            .checked_sub(base)
            .filter(|&offset| (1..size).contains(&offset));
        // A return address may lie behind the function's end.
        let call = offset.and_then(|offset| u32::try_from(offset - 1).ok());
        let located = self
            .inputs
            .symbols
            .as_ref()
            .zip(call)
            .and_then(|(symbols, call)| {
                let locations = symbols.locate(&[call]).pop()?;
                locations.into_iter().next_back()
            });
        let (function, file, line) = located.map_or((None, None, None), |it| (it.function, it.file, it.line));
        DispatchStay {
            microseconds: counters.dispatch_stay,
            function,
            file,
            line,
            address: format!("{raiser:#x}"),
        }
    }

    /// The machine is over its limit, and does not say so by itself.
    fn hung(&mut self, machine: &mut Machine) -> u8 {
        let seconds = self.arguments.timeout;
        let processors = machine.examine(self.arguments.cpus);
        let log = machine.log();
        let kernel_symbols = KernelSymbols::read(&self.inputs.kernel_path);
        let images = self.inputs.images(kernel_symbols.as_ref());
        rundown_streams::tell!(
            "*** after {seconds} s (--timeout) the kernel no longer reacted; its processors:"
        );
        match processors {
            Ok(processors) => {
                rundown_streams::tell_raw!("{}", explain::processors(&processors, &log, &images));
            }
            Err(text) => rundown_streams::tell!("unknown: {text}"),
        }
        let messages = machine.messages();
        if !messages.is_empty() {
            rundown_streams::tell!("QEMU says: {messages}");
        }
        // The kernel's first line comes before anything of the driver's runs.
        if log.trim().is_empty() {
            rundown_streams::tell!(
                "rundown-lab: the machine never started: QEMU ran, and the kernel said nothing"
            );
            return exit::LAB_FAILED;
        }
        // What it said when it was asked.
        if Dump::parse(&log).is_some() {
            return self.died(None, machine);
        }
        let bugcheck = Bugcheck {
            code: RUN_TIMEOUT.0.into(),
            name: RUN_TIMEOUT.1.into(),
            parameters: vec![format!("{seconds:#x}"), "0x0".into(), "0x0".into(), "0x0".into()],
            text: format!(
                "the run took longer than {seconds} s (--timeout), and the kernel no longer reacted, not even to an NMI"
            ),
            stack: Vec::new(),
        };
        rundown_streams::tell!("*** {}: {}", bugcheck.name, bugcheck.text);
        self.dead(bugcheck);
        exit::DRIVER_FAILED
    }

    /// The machine went off by itself: a bug check, or trouble.
    fn died(&mut self, code: Option<i32>, machine: &mut Machine) -> u8 {
        let log = machine.log();
        if let Some(reason) = dump::bad_input(&log) {
            rundown_streams::tell!("rundown-lab: {reason}");
            return exit::BAD_INPUT;
        }
        let Some(mut dump) = Dump::parse(&log) else {
            let how = match (code, machine.signal()) {
                (Some(code), _) => format!("ended with QEMU's exit code {code}"),
                (None, Some(signal)) => {
                    format!("is gone: QEMU was ended by signal {signal}{}", meaning(signal))
                }
                (None, None) => "did not switch itself off".into(),
            };
            rundown_streams::tell!("rundown-lab: the machine {how}, without a report");
            Self::show_machine(machine);
            return exit::LAB_FAILED;
        };
        if let Some(name) = names::find(&self.inputs.names, dump.code) {
            dump.name = name.into();
        }
        let kernel_symbols = KernelSymbols::read(&self.inputs.kernel_path);
        let images = self.inputs.images(kernel_symbols.as_ref());
        let (bugcheck, text) = explain::bugcheck(&dump, &images);
        rundown_streams::tell_raw!("{text}");
        self.report.leaks = dump.leaks.len();
        self.report.findings = explain::leaks(&dump, &images);
        self.count(dump.counters, &log);
        self.dead(bugcheck);
        self.leave_dump(&dump, &images, machine);
        // QEMU's exit code for "the lab itself failed" (the kernel's `hal::power::Exit`).
        if code == Some(39) {
            exit::LAB_FAILED
        } else {
            exit::DRIVER_FAILED
        }
    }

    /// Writes the timeline. The machine is off, or never reacts again.
    fn write_trace(&self, trace: Trace, machine: &Machine) -> Result<(), String> {
        let kernel_symbols = KernelSymbols::read(&self.inputs.kernel_path);
        trace.write(&trace::Names {
            kernel: &self.inputs.kernel,
            kernel_symbols: kernel_symbols.as_ref(),
            driver_symbols: self.inputs.symbols.as_ref(),
            driver: dump::image(&machine.log(), "driver"),
        })
    }

    /// Tells the client how the machine died, and everybody else how to see it again.
    fn dead(&mut self, bugcheck: Bugcheck) {
        last_line(&format!(
            "bugcheck {} {} {}",
            bugcheck.code, bugcheck.name, bugcheck.text
        ));
        self.report.bugcheck = Some(bugcheck);
        self.repeat();
    }

    /// Leaves the machine as a crash dump, and says where.
    fn leave_dump(&self, dump: &Dump, images: &Images<'_>, machine: &Machine) {
        let Some(scope) = self.arguments.dump_scope else {
            return;
        };
        let path = self.arguments.dump.clone();
        let path = path.unwrap_or_else(|| self.failure_path().with_extension("dmp"));
        let written = CrashDump {
            dump,
            memory: Memory::new(machine.memory(), u64::from(self.arguments.memory) << 20),
            images,
            windows_code: self.inputs.native.is_some() || self.inputs.framework.is_some(),
            scope,
        }
        .write(&path);
        match written {
            Ok(()) => {
                rundown_streams::tell!("DUMP:           {} (for WinDbg: docs/windbg.md)", path.display());
            }
            // The verdict stands without it.
            Err(text) => rundown_streams::tell!("rundown-lab: {text}"),
        }
    }

    /// Where a failed run leaves what it takes to repeat it.
    fn failure_path(&self) -> PathBuf {
        let path = self.arguments.failure.clone();
        path.unwrap_or_else(|| failure::default_path(&self.inputs.driver.path))
    }

    /// Says how the run is repeated, and leaves a file that does.
    fn repeat(&self) {
        if self.arguments.for_sweep {
            return;
        }
        rundown_streams::tell!("REPEAT:         {}", self.arguments.repeat_command(self.seed));
        let driver = &self.inputs.driver;
        let why = match (&self.report.bugcheck, self.report.findings.first()) {
            (Some(bugcheck), _) => format!("{}: {}", bugcheck.name, bugcheck.text),
            (None, Some(finding)) => finding.clone(),
            (None, None) => String::new(),
        };
        let path = self.failure_path();
        let failure = FailedRun::new(self.arguments, self.seed, (&driver.path, &driver.bytes), &why);
        match failure.write(&path) {
            Ok(()) => rundown_streams::tell!(
                "                or rundown-lab repeat {} (--gdb PORT)",
                path.display()
            ),
            // The verdict stands without it.
            Err(text) => rundown_streams::tell!("rundown-lab: {text}"),
        }
    }

    fn show_machine(machine: &Machine) {
        let messages = machine.messages();
        if !messages.is_empty() {
            rundown_streams::tell!("QEMU says: {messages}");
        }
        let log = machine.log();
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(10)..] {
            rundown_streams::tell!("kernel: {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_words;

    #[test]
    fn the_kernels_command_line() {
        let plain = parse_words("rundown-lab serve --timeout 9").unwrap();
        assert_eq!(
            command_line(&plain, 7, &[]),
            "cpus=2 seed=7 mode=smp monitorx=1 timeout=9 hang=30000"
        );
        let traced = parse_words("rundown-lab serve --timeout 9 --trace t.json").unwrap();
        assert_eq!(
            command_line(&traced, 7, &[]),
            "cpus=2 seed=7 mode=smp monitorx=1 timeout=9 hang=30000 trace"
        );
        let full = parse_words(
            "rundown-lab serve --cpus 4 --mode chaos --monitorx 0 --unparked 1 --cycles-per-yield 40 --spin-cycles 99 --verifier 1 --allow rundown-wait --max-processors 300 --foreign-layout 1 --timeout 9",
        )
        .unwrap();
        assert_eq!(
            command_line(&full, 7, &[0x1234, 0x20]),
            "cpus=4 seed=7 mode=chaos monitorx=0 timeout=9 hang=30000 unparked=1 cpy=40 spin=99 allow=rundown-wait verifier=1 maxcpus=300 foreign=1 watch=0x1234,0x20"
        );
    }
}
