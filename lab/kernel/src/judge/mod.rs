//! The judge: every offence is a bug check with NT's code and parameters, and ends the run.
//!
//! # The report
//! Lines on the log, in this order; all numbers are hexadecimal and begin with `0x` unless said otherwise:
//! ```text
//! bug: CODE NAME P1 P2 P3 P4 one line for people
//! module: NAME BASE SIZE                                       the driver and the framework, if they are loaded
//! reg: rip=.. rsp=.. rflags=.. rax=.. ... r15=.. cs=.. ss=.. cr2=.. cr8=..
//!                                                              at a fault, or where bugcheck was called (rip, rsp, cr8)
//! machine: cr0=.. cr3=.. cr4=.. heap=.. heap_size=..           alike on every processor; where the kernel's heap lies
//! processor: N(decimal) gs=.. vectors=.. [rip=.. ... cr8=..]   one line per processor: its control region, what FXSAVE64 wrote, and,
//!                                                              if it said so, where it stood
//! leak: ADDRESS SIZE TAG CALLER                                one line per block, for a leak
//! counters: NAME=VALUE ...                                     decimal
//! thread: ID(decimal) ORIGIN STATE cpu=N at=.. rsp=.. low=.. high=.. inside=NAME|- caller=.. rip=.. rbp=.. waits=KIND:OBJECT:MILLISECONDS(decimal)|-
//!                                                              one line per thread,
//! stack: ADDRESS WORD WORD WORD WORD                           then its stack from RSP up, four words a line;
//!                                                              the guilty thread comes first
//! end: bug
//! ```
//! Every word of a stack that lies in a module is a candidate for a return address.

pub mod fault;
pub mod lock_order;
pub mod lost_wakeup;
pub mod trial;
pub mod unload;
pub mod watchdog;

use crate::bug::{BugCheck, code};
use crate::hal::power::power_off;
use crate::hal::{cpu, nmi, pcr};
use crate::ke::thread::{self, Origin, State, Thread};
use crate::ke::wait;
use crate::ldr::image;
use crate::mm::{heap, paging};
use crate::{counters, log};
use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use lab_wire::counters::Counters;

static REPORTING: AtomicU32 = AtomicU32::new(0);

crate::bug::reporter!(report);

/// Freezes the machine, reports, and switches off.
fn report(bug: BugCheck<'_>) -> ! {
    let BugCheck {
        code,
        parameters: [first, second, third, fourth],
        text,
        frame,
        exit,
        details,
    } = bug;
    trial::end(code, first);
    cpu::disable_interrupts();
    let irql = cpu::read_cr8();
    let this = pcr::current_number() as u32 + 1;
    if REPORTING.load(Ordering::Relaxed) == this {
        // A fault inside a report: what has been written must do.
        log!(
            "end: bug (the report itself failed: {code:#010x} {first:#x} {second:#x} {third:#x} {fourth:#x}: {text})"
        );
        power_off(exit);
    }
    if !nmi::freeze_others() {
        cpu::halt_for_ever();
    }
    REPORTING.store(this, Ordering::Relaxed);
    log!(
        "bug: {code:#010x} {} {first:#x} {second:#x} {third:#x} {fourth:#x} {text}",
        code::name(code)
    );
    for (role, base, size) in image::loaded() {
        log!("module: {} {base:#x} {size:#x}", role.name());
    }
    let standing = &pcr::this().frozen;
    standing.note(frame);
    let rsp = if let Some(frame) = frame {
        log!("reg:{}", Registers(standing));
        frame.rsp
    } else {
        let rsp: u64;
        // SAFETY: reads a register.
        unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
        log!(
            "reg: rip={:#x} rsp={rsp:#x} cr8={irql:#x}",
            thread::current().caller()
        );
        rsp
    };
    let [cr0, cr4] = cpu::read_cr0_and_cr4();
    let (heap, heap_size) = heap::range();
    log!(
        "machine: cr0={cr0:#x} cr3={:#x} cr4={cr4:#x} heap={heap:#x} heap_size={heap_size:#x}",
        paging::root()
    );
    for processor in pcr::online() {
        log!(
            "processor: {} gs={:#x} vectors={:#x}{}",
            processor.number(),
            (&raw const *processor) as u64,
            processor.frozen.vectors(),
            Registers(&processor.frozen)
        );
    }
    details();
    log!("counters:{}", Words(&counters::all()));
    let guilty = thread::current();
    report_thread(guilty, rsp, None);
    let whole = thread::try_for_each(|thread| {
        if core::ptr::eq(&raw const **thread, guilty) {
            return;
        }
        let frozen = &pcr::of(thread.processor.load(Ordering::Relaxed) as usize).frozen;
        let register = |name| {
            let found = frozen.registers().find(|(register, _)| *register == name);
            found.map_or(0, |(_, value)| value)
        };
        match thread.state() {
            // Idle threads have no stack of their own.
            State::Running if thread.stack().is_some() => {
                report_thread(thread, register("rsp"), Some((register("rip"), register("rbp"))));
            }
            State::Running => {}
            _ if thread.origin == Origin::Driver || thread.caller() != 0 => {
                report_thread(thread, thread.saved_rsp(), None);
            }
            _ => {}
        }
    });
    if !whole {
        log!("log: the thread table was being changed; other threads are not listed");
    }
    log!("end: bug");
    power_off(exit)
}

/// Counters as `name=value` words, each after a blank.
pub struct Words<'a>(pub &'a Counters);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .each()
            .try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// Registers as `name=value` words, each after a blank; nothing if the processor did not say where it stood.
struct Registers<'a>(&'a pcr::Frozen);

impl fmt::Display for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self
            .0
            .registers()
            .any(|(name, value)| name == "rip" && value == 0)
        {
            return Ok(());
        }
        self.0
            .registers()
            .try_for_each(|(name, value)| write!(f, " {name}={value:#x}"))
    }
}

/// A thread's wait, as the report has it.
struct Wait(Option<wait::Waiting>);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(wait) = &self.0 else {
            return f.write_str("-");
        };
        match wait.object {
            None => f.write_str("Delay:0x0")?,
            Some((object, Some(kind))) => write!(f, "{kind:?}:{object:#x}")?,
            Some((object, None)) => write!(f, "damaged-object:{object:#x}")?,
        }
        write!(f, ":{}", wait.milliseconds)
    }
}

/// `running` are RIP and RBP of a thread that ran on another processor.
fn report_thread(thread: &Thread, rsp: u64, running: Option<(u64, u64)>) {
    let (low, high) = thread.stack().unwrap_or((0, 0));
    let (rip, rbp) = running.unwrap_or((0, 0));
    log!(
        "thread: {} {:?} {:?} cpu={} at={:#x} rsp={rsp:#x} low={low:#x} high={high:#x} inside={} caller={:#x} rip={rip:#x} rbp={rbp:#x} waits={}",
        thread.id,
        thread.origin,
        thread.state(),
        thread.processor.load(Ordering::Relaxed),
        thread.address(),
        thread.inside().map_or("-", |export| export.name),
        thread.caller(),
        Wait(wait::of(thread)),
    );
    let mut address = rsp.max(low) & !7;
    while address < high {
        let words = [0, 8, 16, 24].map(|offset| paging::peek(address + offset).unwrap_or(0));
        log!(
            "stack: {address:#x} {:#x} {:#x} {:#x} {:#x}",
            words[0],
            words[1],
            words[2],
            words[3]
        );
        address += 32;
    }
}
