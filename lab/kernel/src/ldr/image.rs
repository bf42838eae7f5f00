//! Images in memory: the driver's under test, and the framework's below it, if the lab's own is not to do.

use super::export;
use super::missing::{self, Substitute};
use super::pe::{self, Headers, PeError, Read, Section};
use crate::config::{self, Missing};
use crate::lock::IrqLock;
use crate::log;
use crate::mm::pageable;
use crate::mm::{FRAMEWORKS, IMAGES, PAGE, paging, paging::Protection};
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
    /// There is one in this role already.
    AlreadyLoaded(Role),
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
                write!(f, "it imports what the lab does not export:")?;
                names.iter().try_for_each(|name| write!(f, " {name}"))
            }
            Self::Relocation(kind, place) => {
                write!(
                    f,
                    "relocation type {kind} at offset {place:#x} is not supported; x64 images have DIR64 only"
                )
            }
            Self::NoMemory => write!(f, "the machine has not enough memory for the image"),
            Self::AlreadyLoaded(role) => write!(f, "a {} is loaded already", role.name()),
        }
    }
}

/// What an image is in this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The driver under test.
    Driver,
    /// The framework that it runs on.
    Framework,
}

impl Role {
    const ALL: [Self; 2] = [Self::Driver, Self::Framework];

    /// As the log has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Framework => "framework",
        }
    }

    fn place(self) -> &'static Place {
        &PLACES[self as usize]
    }
}

/// Where the image of a role lies; zeros if there is none.
struct Place {
    base: AtomicU64,
    size: AtomicU64,
    /// Where the next one goes: no two lie in the same place, so a stale address is none of another's.
    next: IrqLock<u64>,
    /// Its writable ranges, for the search of a lost wake-up's word.
    writable: IrqLock<Vec<(u64, u64)>>,
}

impl Place {
    const fn new(first: u64) -> Self {
        Self {
            base: AtomicU64::new(0),
            size: AtomicU64::new(0),
            next: IrqLock::new(first),
            writable: IrqLock::new(Vec::new()),
        }
    }

    fn set(&self, base: u64, size: u64, writable: Vec<(u64, u64)>) {
        self.base.store(base, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
        *self.writable.lock() = writable;
    }

    fn range(&self) -> (u64, u64) {
        (
            self.base.load(Ordering::Relaxed),
            self.size.load(Ordering::Relaxed),
        )
    }
}

/// In the order of [`Role`].
static PLACES: [Place; 2] = [Place::new(IMAGES), Place::new(FRAMEWORKS)];

/// A loaded image.
#[derive(Debug)]
pub struct Image {
    /// What it is.
    pub role: Role,
    /// Where it lies.
    pub base: u64,
    /// Its size, bytes.
    pub size: u64,
    /// Its entry point.
    pub entry: u64,
    sections: Vec<Section>,
}

/// Base and size of the image of a role; zeros if there is none.
pub fn range(role: Role) -> (u64, u64) {
    role.place().range()
}

/// Whether `address` lies in the driver's image.
pub fn in_driver(address: u64) -> bool {
    holder(address) == Some(Role::Driver)
}

/// Whose image `address` lies in; `None` for the kernel's own code and for no code at all.
pub fn holder(address: u64) -> Option<Role> {
    let mut loaded = loaded();
    let found = loaded.find(|(_, base, size)| address.wrapping_sub(*base) < *size);
    found.map(|(role, ..)| role)
}

/// The images that are there: role, base and size.
pub fn loaded() -> impl Iterator<Item = (Role, u64, u64)> {
    let places = Role::ALL.into_iter().map(|role| (role, role.place().range()));
    places.filter_map(|(role, (base, size))| (base != 0).then_some((role, base, size)))
}

/// Calls `f` with each range that an image may write.
pub fn for_each_writable(mut f: impl FnMut(&(u64, u64))) {
    for place in &PLACES {
        place.writable.lock().iter().for_each(&mut f);
    }
}

impl Image {
    /// Maps `file`, relocates it, binds its imports, and protects its sections.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing stays mapped then.
    pub fn load(role: Role, file: &[u8]) -> Result<Self, LoadError> {
        if role.place().range() != (0, 0) {
            return Err(LoadError::AlreadyLoaded(role));
        }
        let headers = Headers::parse(file)?;
        let size = u64::from(headers.image_size);
        let base = {
            let mut next = role.place().next.lock();
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
        if let Err(error) = fill(memory, file, &headers, &sections, base, role) {
            paging::unmap(base, size / PAGE);
            return Err(error);
        }
        protect(base, &headers, &sections);
        let writable = sections
            .iter()
            .filter(|section| section.characteristics & pe::WRITE != 0)
            .map(|section| (base + u64::from(section.address), u64::from(section.size)));
        role.place().set(base, size, writable.collect());
        log!("module: {} {base:#x} {size:#x}", role.name());
        for section in sections.iter().filter(|section| section.is_pageable()) {
            pageable::add(pageable::Range {
                start: base + u64::from(section.address),
                pages: u64::from(section.size).div_ceil(PAGE),
                protection: protection(section),
            });
        }
        Ok(Self {
            role,
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
        self.role.place().set(0, 0, Vec::new());
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
    role: Role,
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
    bind_imports(memory, headers, role)?;
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

/// Writes into each import's slot where it is. What a framework imports and the lab lacks traps whatever the user said, who wrote the driver and
/// not the framework.
fn bind_imports(memory: &mut [u8], headers: &Headers<'_>, role: Role) -> Result<(), LoadError> {
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
    if role == Role::Driver && config::get().missing == Missing::Refuse {
        return Err(LoadError::MissingImports(missing));
    }
    log!(
        "log: imports of the {} that the lab does not have, each of which traps: {}",
        role.name(),
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
