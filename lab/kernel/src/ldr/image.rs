//! The driver's image in memory.

use super::export;
use super::missing::{self, Substitute};
use super::pe::{self, Headers, PeError, Read, Section};
use crate::config::{self, Missing};
use crate::lock::IrqLock;
use crate::log;
use crate::mm::pageable;
use crate::mm::{IMAGES, PAGE, paging, paging::Protection};
use crate::rng;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// Why an image was not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// It is not one.
    Pe(PeError),
    /// It names routines that the lab does not export; all of them, as `module!name`.
    MissingImports(Vec<String>),
    /// A relocation that is neither ABSOLUTE nor DIR64: its type and place.
    Relocation(u16, u32),
    /// Memory is short.
    NoMemory,
    /// There is a driver already.
    AlreadyLoaded,
}

impl From<PeError> for LoadError {
    fn from(error: PeError) -> Self {
        Self::Pe(error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pe(error) => error.fmt(f),
            Self::MissingImports(names) => {
                write!(f, "the driver imports what the lab does not export:")?;
                names.iter().try_for_each(|name| write!(f, " {name}"))
            }
            Self::Relocation(kind, place) => {
                write!(
                    f,
                    "relocation type {kind} at offset {place:#x} is not supported; x64 images have DIR64 only"
                )
            }
            Self::NoMemory => write!(f, "the machine has not enough memory for the image"),
            Self::AlreadyLoaded => write!(f, "a driver is loaded already"),
        }
    }
}

/// A loaded image.
#[derive(Debug)]
pub struct Image {
    /// Where it lies.
    pub base: u64,
    /// Its size, bytes.
    pub size: u64,
    /// Its entry point.
    pub entry: u64,
    sections: Vec<Section>,
}

static BASE: AtomicU64 = AtomicU64::new(0);
static SIZE: AtomicU64 = AtomicU64::new(0);
static NEXT: IrqLock<u64> = IrqLock::new(IMAGES);
/// Writable ranges of the loaded driver, for the search of a lost wake-up's word.
static WRITABLE: IrqLock<Vec<(u64, u64)>> = IrqLock::new(Vec::new());

/// Base and size of the driver's image; zeros if none is loaded.
pub fn driver() -> (u64, u64) {
    (BASE.load(Ordering::Relaxed), SIZE.load(Ordering::Relaxed))
}

/// Whether `address` lies in the driver's image.
pub fn in_driver(address: u64) -> bool {
    let (base, size) = driver();
    address.wrapping_sub(base) < size
}

/// Calls `f` with each range that the driver's image may write.
pub fn for_each_writable(f: impl FnMut(&(u64, u64))) {
    WRITABLE.lock().iter().for_each(f);
}

impl Image {
    /// Maps `file`, relocates it, binds its imports, and protects its sections.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing stays mapped then.
    pub fn load(file: &[u8]) -> Result<Self, LoadError> {
        if BASE.load(Ordering::Relaxed) != 0 {
            return Err(LoadError::AlreadyLoaded);
        }
        let headers = Headers::parse(file)?;
        let size = u64::from(headers.image_size);
        let base = {
            let mut next = NEXT.lock();
            let base = *next;
            *next += size + 16 * PAGE;
            base
        };
        let sections = headers.sections().collect::<Result<Vec<_>, _>>()?;
        if !paging::map(base, size / PAGE, Protection::ReadWrite) {
            return Err(LoadError::NoMemory);
        }
        // SAFETY: the range was just mapped, writable, for this image alone, and is not shared before `load` returns.
        let memory = unsafe { core::slice::from_raw_parts_mut(base as *mut u8, size as usize) };
        if let Err(error) = fill(memory, file, &headers, &sections, base) {
            paging::unmap(base, size / PAGE);
            return Err(error);
        }
        protect(base, &headers, &sections);
        BASE.store(base, Ordering::Relaxed);
        SIZE.store(size, Ordering::Relaxed);
        log!("module: driver {base:#x} {size:#x}");
        *WRITABLE.lock() = sections
            .iter()
            .filter(|section| section.characteristics & pe::WRITE != 0)
            .map(|section| (base + u64::from(section.address), u64::from(section.size)))
            .collect();
        for section in sections.iter().filter(|section| section.is_pageable()) {
            pageable::add(pageable::Range {
                start: base + u64::from(section.address),
                pages: u64::from(section.size).div_ceil(PAGE),
                protection: protection(section),
            });
        }
        Ok(Self {
            base,
            size,
            entry: base + u64::from(headers.entry),
            sections,
        })
    }

    /// Unmaps the discardable sections, as NT does after `DriverEntry`: a later call into INIT faults.
    pub fn discard_initialization(&self) {
        for section in self
            .sections
            .iter()
            .filter(|section| section.characteristics & pe::DISCARDABLE != 0)
        {
            let pages = u64::from(section.size).div_ceil(PAGE);
            paging::unmap(self.base + u64::from(section.address), pages);
        }
    }

    /// Unmaps the image: what still runs in it faults.
    pub fn unload(self) {
        BASE.store(0, Ordering::Relaxed);
        SIZE.store(0, Ordering::Relaxed);
        WRITABLE.lock().clear();
        for section in self.sections.iter().filter(|section| section.is_pageable()) {
            pageable::remove(self.base + u64::from(section.address));
        }
        paging::unmap(self.base, self.size / PAGE);
    }
}

/// Copies the sections, applies relocations, binds imports, sets the security cookie.
fn fill(
    memory: &mut [u8],
    file: &[u8],
    headers: &Headers<'_>,
    sections: &[Section],
    base: u64,
) -> Result<(), LoadError> {
    let count = (headers.headers_size as usize).min(file.len()).min(memory.len());
    memory[..count].copy_from_slice(&file[..count]);
    for section in sections {
        let count = section.file_size.min(section.size) as usize;
        let start = section.file_offset as usize;
        let bytes = file
            .get(start..start + count)
            .ok_or(PeError::Truncated("sections"))?;
        memory[section.address as usize..][..count].copy_from_slice(bytes);
    }
    relocate(memory, headers, base)?;
    bind_imports(memory, headers)?;
    set_cookie(memory, headers, base)
}

fn write(memory: &mut [u8], offset: u64, value: u64) -> Result<(), PeError> {
    let start = offset as usize;
    let slot = memory
        .get_mut(start..start.saturating_add(8))
        .ok_or(PeError::Truncated("image"))?;
    slot.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

fn relocate(memory: &mut [u8], headers: &Headers<'_>, base: u64) -> Result<(), LoadError> {
    const ABSOLUTE: u16 = 0;
    const DIR64: u16 = 10;
    let delta = base.wrapping_sub(headers.preferred_base);
    let (address, size) = headers.directory(pe::RELOCATIONS)?;
    let (mut block, end) = (u64::from(address), u64::from(address) + u64::from(size));
    while block + 8 <= end {
        let page = u64::from(memory.u32(block, "relocations")?);
        let block_size = u64::from(memory.u32(block + 4, "relocations")?);
        if block_size < 8 {
            return Err(PeError::Truncated("relocations").into());
        }
        for entry in (block + 8..block + block_size).step_by(2) {
            let entry = memory.u16(entry, "relocations")?;
            let place = page + u64::from(entry & 0xFFF);
            match entry >> 12 {
                ABSOLUTE => {}
                DIR64 => {
                    let value = memory.u64(place, "relocated words")?;
                    write(memory, place, value.wrapping_add(delta))?;
                }
                kind => return Err(LoadError::Relocation(kind, place as u32)),
            }
        }
        block += block_size;
    }
    Ok(())
}

fn bind_imports(memory: &mut [u8], headers: &Headers<'_>) -> Result<(), LoadError> {
    const BY_ORDINAL: u64 = 1 << 63;
    let (address, size) = headers.directory(pe::IMPORTS)?;
    let mut missing = Vec::new();
    if size == 0 {
        return Ok(());
    }
    for descriptor in (u64::from(address)..).step_by(20) {
        let lookup = u64::from(memory.u32(descriptor, "import table")?);
        let module = u64::from(memory.u32(descriptor + 12, "import table")?);
        let slots = u64::from(memory.u32(descriptor + 16, "import table")?);
        if module == 0 {
            break;
        }
        let names = if lookup == 0 { slots } else { lookup };
        for index in (0_u64..).step_by(8) {
            let entry = memory.u64(names + index, "import lookup table")?;
            if entry == 0 {
                break;
            }
            let module = pe::name(memory, module)?;
            let name = if entry & BY_ORDINAL != 0 {
                alloc::format!("#{}", entry & 0xFFFF)
            } else {
                pe::name(memory, entry + 2)?.to_string()
            };
            let bound = if let Some(export) = export::find(module, &name) {
                export::bind(export)
            } else {
                missing.push(alloc::format!("{module}!{name}"));
                match missing::substitute(module, &name) {
                    Substitute::Function(trap) => export::bind(trap),
                    Substitute::Variable(address) => Some(address),
                }
            };
            write(memory, slots + index, bound.ok_or(LoadError::NoMemory)?)?;
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    if config::get().missing == Missing::Refuse {
        return Err(LoadError::MissingImports(missing));
    }
    log!(
        "log: imports that the lab does not have, each of which traps: {}",
        missing.join(" ")
    );
    Ok(())
}

/// Gives the image a security cookie, if its load configuration names one.
fn set_cookie(memory: &mut [u8], headers: &Headers<'_>, base: u64) -> Result<(), LoadError> {
    const SECURITY_COOKIE: u64 = 0x58;
    const DEFAULT: u64 = 0x2B99_2DDF_A232;
    let (address, size) = headers.directory(pe::LOAD_CONFIG)?;
    if u64::from(size) < SECURITY_COOKIE + 8 {
        return Ok(());
    }
    // Relocated already, so an address in memory.
    let cookie = memory.u64(u64::from(address) + SECURITY_COOKIE, "load configuration")?;
    if cookie != 0 {
        // The two highest bytes are 0, by convention.
        let value = match rng::next() >> 16 {
            DEFAULT | 0 => DEFAULT + 1,
            value => value,
        };
        write(memory, cookie.wrapping_sub(base), value)?;
    }
    Ok(())
}

fn protect(base: u64, headers: &Headers<'_>, sections: &[Section]) {
    paging::protect(
        base,
        u64::from(headers.headers_size).div_ceil(PAGE),
        Protection::ReadOnly,
    );
    for section in sections.iter().filter(|section| section.size != 0) {
        paging::protect(
            base + u64::from(section.address),
            u64::from(section.size).div_ceil(PAGE),
            protection(section),
        );
    }
}

fn protection(section: &Section) -> Protection {
    match (
        section.characteristics & pe::WRITE != 0,
        section.characteristics & pe::EXECUTE != 0,
    ) {
        (false, false) => Protection::ReadOnly,
        (true, false) => Protection::ReadWrite,
        (false, true) => Protection::ReadExecute,
        (true, true) => Protection::ReadWriteExecute,
    }
}
