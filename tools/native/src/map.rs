//! Memory for an image: its own distances, and never writable and executable at once.

use std::{collections::BTreeSet, ffi::c_void, io, ptr::NonNull};

/// A page of the host.
pub(crate) const PAGE: usize = 0x1000;

/// A range of addresses, none of them accessible until it is told so.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: it is only an address range; who writes where is the business of those who hold pointers into it.
unsafe impl Send for Map {}
// SAFETY: as above; `protect` and `write` are for the one who is building it, by `&mut`.
unsafe impl Sync for Map {}

impl Map {
    /// Reserves `size` bytes.
    pub(crate) fn reserve(size: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping where the kernel likes overlaps nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            size,
        })
    }

    /// The address of an offset.
    ///
    /// # Panics
    /// When it lies outside.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.size, "offset {offset:#x} of {:#x}", self.size);
        // SAFETY: inside of the mapping, as was just checked.
        unsafe { self.start.add(offset) }
    }

    /// Makes pages, given by their offsets, readable and writable.
    pub(crate) fn make_writable(&mut self, pages: &BTreeSet<usize>) -> io::Result<()> {
        self.protect(pages, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Makes pages readable and executable, and no longer writable.
    pub(crate) fn make_executable(&mut self, pages: &BTreeSet<usize>) -> io::Result<()> {
        self.protect(pages, libc::PROT_READ | libc::PROT_EXEC)
    }

    fn protect(&mut self, pages: &BTreeSet<usize>, protection: libc::c_int) -> io::Result<()> {
        for page in pages {
            let start = self.at(*page).as_ptr().cast::<c_void>();
            // SAFETY: a page of this mapping, whose contents no Rust reference covers.
            if unsafe { libc::mprotect(start, PAGE, protection) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// Writes bytes at an offset whose pages are writable.
    ///
    /// # Panics
    /// When they lie outside.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.size, "{offset:#x}");
        let to = self.at(offset).as_ptr();
        // SAFETY: inside of the mapping, writable (the caller has made it so), and foreign to `bytes`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and pointers into it are not used beyond its life.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}
