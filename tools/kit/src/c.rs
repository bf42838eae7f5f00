//! What a driver in C is compiled and linked with, through the stand-in WDK.

use std::{ffi::OsString, path::PathBuf};

use crate::{
    driver::LINK_ARGUMENTS,
    sysroot::{Llvm, Sysroot},
};

/// Programs, and what they are told beyond the driver's own files.
#[derive(Debug, Clone)]
pub struct Flags {
    /// clang.
    pub compiler: PathBuf,
    /// For each C file.
    pub compile: Vec<OsString>,
    /// lld-link.
    pub linker: PathBuf,
    /// For the image.
    pub link: Vec<OsString>,
    /// What it is linked with.
    pub libraries: Vec<OsString>,
}

/// Optimised code with symbols and Control Flow Guard, as the kit has rustc make it.
const CODE: &[&str] = &["-O2", "-g", "-gcodeview", "-Xclang", "-cfguard"];

/// What wdk-build tells the linker about a driver in Rust (WindowsDriver.KernelMode.props of the WDK), and rustc of its own; but an
/// image that is no library.
const IMAGE: &[&str] = &[
    "/NOLOGO",
    "/DRIVER",
    "/NODEFAULTLIB",
    "/SUBSYSTEM:NATIVE",
    "/NXCOMPAT",
    "/DYNAMICBASE",
    "/INTEGRITYCHECK",
    "/OPT:REF,ICF",
    "/MANIFEST:NO",
    "/GUARD:CF",
    "/DEBUG",
    "/PDBALTPATH:%_PDB%",
];

impl Flags {
    /// For a driver of KMDF 1.`kmdf`, or of WDM.
    #[must_use]
    pub fn new(sysroot: &Sysroot, llvm: &Llvm, kmdf: Option<u32>) -> Self {
        let entry = if kmdf.is_some() {
            "/ENTRY:FxDriverEntry"
        } else {
            "/ENTRY:DriverEntry"
        };
        let link = IMAGE
            .iter()
            .copied()
            .chain([entry])
            .chain(LINK_ARGUMENTS.iter().copied());
        Self {
            compiler: llvm.program("clang"),
            compile: [
                CODE.iter().map(Into::into).collect(),
                sysroot.compiler_flags(kmdf),
            ]
            .concat(),
            linker: llvm.program("lld-link"),
            link: link.map(Into::into).collect(),
            libraries: sysroot.libraries_of(kmdf).into_iter().map(Into::into).collect(),
        }
    }
}
