//! The report for people, in the words of `WinDbg`.

use crate::qmp::Processor;
use crate::report::{Bugcheck, StackFrame};
use crate::stack::{self, Frame, Images, Method};
use lab_wire::dump::{self, Dump, Leak, Thread};
use std::fmt::Write as _;

/// Other threads shown with their stacks; a hang may have many more.
const THREADS_SHOWN: usize = 8;

/// A bug check in the report's shape, and in words.
#[must_use]
pub fn bugcheck(dump: &Dump, images: &Images<'_>) -> (Bugcheck, String) {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_bugcheck(&mut text, dump, images);
    let (frames, _) = dump
        .threads
        .first()
        .map_or((Vec::new(), Method::Scanned), |t| stack::walk(dump, t, images));
    let bugcheck = Bugcheck {
        code: format!("{:#010X}", dump.code).replacen("0X", "0x", 1),
        name: dump.name.clone(),
        parameters: dump.parameters.iter().map(|p| format!("{p:#x}")).collect(),
        text: with_callers(dump, images),
        stack: frames.iter().flat_map(entries).collect(),
    };
    (bugcheck, text)
}

/// The kernel's text, and behind each address of the driver's that something was called from the function, where it is known.
fn with_callers(dump: &Dump, images: &Images<'_>) -> String {
    const FROM: &str = "from 0x";
    let mut told = String::new();
    let mut rest = dump.text.as_str();
    while let Some(digits) = rest.find(FROM).map(|at| at + FROM.len()) {
        let end = rest[digits..].find(|c: char| !c.is_ascii_hexdigit());
        let end = end.map_or(rest.len(), |length| digits + length);
        told.push_str(&rest[..end]);
        let address = u64::from_str_radix(&rest[digits..end], 16).unwrap_or(0);
        rest = &rest[end..];
        let caller = stack::resolve(dump, address, true, images);
        let location = caller.locations.first();
        if let Some((location, function)) = location.and_then(|l| Some((l, l.function.as_ref()?))) {
            // Writing to a String cannot fail.
            let _ = match (&location.file, location.line) {
                (Some(file), Some(line)) => write!(told, " ({function} [{} @ {line}])", short(file)),
                _ => write!(told, " ({function})"),
            };
        }
    }
    told + rest
}

/// One line for each pool block that was not freed.
#[must_use]
pub fn leaks(dump: &Dump, images: &Images<'_>) -> Vec<String> {
    let line = |leak: &Leak| {
        if leak.caller == 0 {
            return format!(
                "{} bytes with tag '{}', allocated by the kernel on the driver's behalf",
                leak.size, leak.tag
            );
        }
        let caller = stack::resolve(dump, leak.caller, true, images);
        let place = caller
            .locations
            .last()
            .and_then(|location| location.function.clone());
        let place = place.unwrap_or_else(|| format!("{}+{:#x}", caller.module, caller.offset));
        format!(
            "{} bytes with tag '{}', allocated by {place}",
            leak.size, leak.tag
        )
    };
    dump.leaks.iter().map(line).collect()
}

/// One entry for each function at an address.
fn entries(frame: &Frame) -> Vec<StackFrame> {
    let entry = |function, file, line| StackFrame {
        module: frame.module.clone(),
        function,
        file,
        line,
        address: format!("{:#x}", frame.address),
    };
    if frame.locations.is_empty() {
        return vec![entry(None, None, None)];
    }
    frame
        .locations
        .iter()
        .map(|l| entry(l.function.clone(), l.file.clone(), l.line))
        .collect()
}

fn write_bugcheck(out: &mut String, dump: &Dump, images: &Images<'_>) -> std::fmt::Result {
    writeln!(out, "*** {} ({:x})", dump.name, dump.code)?;
    writeln!(out, "{}", with_callers(dump, images))?;
    writeln!(out)?;
    writeln!(out, "BUGCHECK_CODE:  {:x}", dump.code)?;
    for (index, parameter) in dump.parameters.iter().enumerate() {
        writeln!(out, "BUGCHECK_P{}:    {parameter:x}", index + 1)?;
    }
    if dump.register("rip").is_some_and(|rip| rip != 0) {
        write_registers(out, &dump.registers)?;
    }
    for (index, leak) in leaks(dump, images).iter().enumerate() {
        writeln!(out, "{:15} {leak}", if index == 0 { "LEAKED_POOL:" } else { "" })?;
    }
    let Some((guilty, others)) = dump.threads.split_first() else {
        return writeln!(
            out,
            "STACK_TEXT:     (the machine failed before it could list its threads)"
        );
    };
    writeln!(out, "PROCESS_NAME:   System")?;
    write_thread(out, "FAULTING_THREAD:", dump, guilty, images)?;
    if !others.is_empty() {
        writeln!(out, "OTHER_THREADS:  {}", others.len())?;
    }
    for thread in others.iter().take(THREADS_SHOWN) {
        write_thread(out, "THREAD:         ", dump, thread, images)?;
    }
    if others.len() > THREADS_SHOWN {
        writeln!(out, "  ... and {} more; see --log", others.len() - THREADS_SHOWN)?;
    }
    if !dump.complete {
        writeln!(out, "(the kernel's report breaks off here)")?;
    }
    Ok(())
}

fn write_thread(
    out: &mut String,
    title: &str,
    dump: &Dump,
    thread: &Thread,
    images: &Images<'_>,
) -> std::fmt::Result {
    let origin = thread.origin.to_lowercase();
    let state = thread.state.to_lowercase();
    let inside = thread
        .inside
        .as_ref()
        .map(|export| format!(", in nt!{export}"))
        .unwrap_or_default();
    let waits = thread.waits.as_ref();
    let waits = waits.map(|wait| format!(", for {wait}")).unwrap_or_default();
    writeln!(
        out,
        "{title} {} ({origin} thread, {state} on processor {}{inside}{waits})",
        thread.id, thread.cpu
    )?;
    let (frames, method) = stack::walk(dump, thread, images);
    match method {
        Method::Unwound => writeln!(out, "STACK_TEXT:")?,
        Method::Scanned if frames.is_empty() => {
            return writeln!(out, "STACK_TEXT:     (no code of the driver on it)");
        }
        Method::Scanned => writeln!(
            out,
            "STACK_TEXT:     (return addresses found by scanning; some may be stale)"
        )?,
    }
    for same in frames.chunk_by(|one, next| one.address == next.address) {
        write_frame(out, &same[0])?;
        if same.len() > 1 {
            writeln!(out, "  ... {} more of the same", same.len() - 1)?;
        }
    }
    Ok(())
}

/// Where the processors of a hung machine stand, whose log names the images in it.
#[must_use]
pub fn processors(processors: &[Processor], log: &str, images: &Images<'_>) -> String {
    let dump = Dump {
        driver: dump::image(log, "driver"),
        framework: dump::image(log, "framework"),
        ..Dump::default()
    };
    let mut text = String::new();
    for processor in processors {
        // Writing to a String cannot fail.
        let _ = write_processor(&mut text, processor, &dump, images);
    }
    text
}

fn write_processor(
    out: &mut String,
    processor: &Processor,
    dump: &Dump,
    images: &Images<'_>,
) -> std::fmt::Result {
    const INTERRUPT_FLAG: u64 = 1 << 9;
    let register = |name| processor.register(name).unwrap_or(0);
    let flags = register("rfl");
    let [served, requested] = &processor.interrupts;
    writeln!(
        out,
        "PROCESSOR:      {} (IRQL {}, interrupts {}{}; vectors served: {served}, requested: {requested})",
        processor.number,
        register("cr8"),
        if flags & INTERRUPT_FLAG == 0 {
            "disabled"
        } else {
            "enabled"
        },
        if processor.halted { ", halted" } else { "" },
    )?;
    write_registers(out, &processor.registers)?;
    let thread = Thread {
        rsp: register("rsp"),
        running: (register("rip"), register("rbp")),
        stack_start: register("rsp") & !7,
        stack: processor.stack.clone(),
        ..Thread::default()
    };
    writeln!(out, "STACK_TEXT:")?;
    for frame in stack::walk_all(dump, &thread, images) {
        write_frame(out, &frame)?;
    }
    Ok(())
}

fn write_registers(out: &mut String, registers: &[(String, u64)]) -> std::fmt::Result {
    writeln!(out, "CONTEXT:")?;
    for line in registers.chunks(4) {
        let line: Vec<String> = line
            .iter()
            .map(|(name, value)| format!("{name:>8}={value:016x}"))
            .collect();
        writeln!(out, "{}", line.join(""))?;
    }
    Ok(())
}

fn write_frame(out: &mut String, frame: &Frame) -> std::fmt::Result {
    let module = frame.module.strip_suffix(".sys").unwrap_or(&frame.module);
    if frame.locations.is_empty() {
        return writeln!(out, "  {:016x}  {module}+{:#x}", frame.address, frame.offset);
    }
    let last = frame.locations.len() - 1;
    for (index, location) in frame.locations.iter().enumerate() {
        let address = if index == last {
            format!("{:016x}", frame.address)
        } else {
            "(Inline)        ".into()
        };
        let function = location.function.as_deref().unwrap_or("?");
        write!(out, "  {address}  {module}!{function}")?;
        match (&location.file, location.line) {
            (Some(file), Some(line)) => writeln!(out, " [{} @ {line}]", short(file))?,
            (Some(file), None) => writeln!(out, " [{}]", short(file))?,
            _ => writeln!(out)?,
        }
    }
    Ok(())
}

/// A file below the working directory is shown as seen from there.
fn short(file: &str) -> String {
    let below = std::env::current_dir().ok().and_then(|here| {
        std::path::Path::new(file)
            .strip_prefix(here)
            .ok()
            .map(|rest| rest.to_string_lossy().into_owned())
    });
    below.unwrap_or_else(|| file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Image, tests::with_code};

    const LOG: &str = "\
log: rundown-lab kernel: cpus=2
leak: 0xffffa00000003fc0 0x40 Irp  0xfffff80010001006
leak: 0xffffa00000005fc0 0x20 File 0x0
bug: 0x000000d1 DRIVER_IRQL_NOT_LESS_OR_EQUAL 0x8 0x2 0x0 0xfffff80010001006 the driver reads 0x8 at IRQL 2
module: driver 0xfffff80010000000 0x3000
reg: rip=0xfffff80010001006 rsp=0xffff900000005000 rbp=0x0 cr2=0x8 cr8=0x2
thread: 7 Driver Running cpu=1 rsp=0xffff900000005000 low=0xffff900000000000 high=0xffff900000006000 inside=- caller=0x0
stack: 0xffff900000005000 0x1 0xfffff80010001006 0xfffff80010001001 0x4
thread: 8 Kernel Waiting cpu=0 rsp=0xffff900000015000 low=0xffff900000010000 high=0xffff900000016000 inside=KeWaitForSingleObject caller=0xfffff8001000100c rip=0x0 rbp=0x0 waits=Thread:0xffff800000001000:31000
stack: 0xffff900000015000 0x1 0x2 0x3 0xfffff8001000100c
";

    const EXPECTED: &str = "\
*** DRIVER_IRQL_NOT_LESS_OR_EQUAL (d1)
the driver reads 0x8 at IRQL 2

BUGCHECK_CODE:  d1
BUGCHECK_P1:    8
BUGCHECK_P2:    2
BUGCHECK_P3:    0
BUGCHECK_P4:    fffff80010001006
CONTEXT:
     rip=fffff80010001006     rsp=ffff900000005000     rbp=0000000000000000     cr2=0000000000000008
     cr8=0000000000000002
LEAKED_POOL:    64 bytes with tag 'Irp ', allocated by rundown.sys+0x1006
                32 bytes with tag 'File', allocated by the kernel on the driver's behalf
PROCESS_NAME:   System
FAULTING_THREAD: 7 (driver thread, running on processor 1)
STACK_TEXT:     (return addresses found by scanning; some may be stale)
  fffff80010001006  rundown+0x1006
  ... 1 more of the same
OTHER_THREADS:  1
THREAD:          8 (kernel thread, waiting on processor 0, in nt!KeWaitForSingleObject, for 31000 ms, on the Thread 0xffff800000001000)
STACK_TEXT:     (return addresses found by scanning; some may be stale)
  fffff8001000100c  rundown+0x100c
(the kernel's report breaks off here)
";

    /// Without symbols and unwind tables: what is left is still said, and said to be guessed.
    #[test]
    fn a_report_without_symbols() {
        let driver = with_code(&[0x90, 0xE8, 1, 2, 3, 4, 0xFF, 0x15, 1, 2, 3, 4, 0x90]);
        let driver = Image {
            name: "rundown.sys".into(),
            bytes: &driver,
            symbols: None,
        };
        let images = Images {
            driver,
            framework: None,
            kernel: &[],
            kernel_symbols: None,
        };
        let dump = Dump::parse(LOG).expect("there is a report");
        let (bugcheck, text) = bugcheck(&dump, &images);
        assert_eq!(text, EXPECTED);
        assert_eq!(
            (bugcheck.code.as_str(), bugcheck.parameters[3].as_str()),
            ("0x000000D1", "0xfffff80010001006")
        );
        assert_eq!(bugcheck.stack[0].module, "rundown.sys");
        assert_eq!(leaks(&dump, &images).len(), 2);
    }
}
