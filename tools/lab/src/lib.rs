//! `rundown-lab` starts a virtual machine with the lab's kernel and a Windows driver's own `.sys` in it, carries requests between
//! standard input and the driver, and says what came of it.
//!
//! ```text
//! cli      what the user asks for             session  one run: lines in, frames out, replies back
//! driver   the .sys, checked before the boot  pipe     the line protocol
//! inf      what Plug and Play would know      machine  the QEMU process
//! symbols  PDB and DWARF                      dump     the kernel's report of a bug check
//! watch    the reads of CR8 to be counted     stack    unwinding what it dumped
//! report   JSON, for scripts                  explain  words, for people
//! sweep    a script at every point            script   its lines
//! client   the pipe's other end             failure  what it takes to run a failed run again
//! names    bug checks of the driver's own         framework  a Windows' own, for the driver to run on
//! native   NT's own routines, from a listing      qmp      a look into a machine that no longer reacts
//! kvm      whether it can be used
//! events   what the driver told ETW             crash_dump  the machine as WinDbg opens it
//! doctor   what of a driver the lab has         run      one run, the sweeps, and JUnit's XML
//! coverage what of the driver ran
//! gdb      what gdb is told of the driver        lines    where each instruction comes from
//! trace    the timeline
//! ```

pub mod cli;
pub mod client;
pub mod coverage;
pub mod crash_dump;
pub mod doctor;
pub mod driver;
pub mod events;
pub mod explain;
pub mod failure;
pub mod framework;
pub mod gdb;
pub mod inf;
pub mod kvm;
pub mod lines;
pub mod machine;
pub mod names;
pub mod native;
pub mod pipe;
pub mod qmp;
pub mod report;
pub mod run;
pub mod script;
pub mod serve;
pub mod session;
pub mod stack;
pub mod sweep;
pub mod symbols;
pub mod trace;
pub mod watch;
