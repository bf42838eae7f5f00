//! Builds Windows kernel drivers that use Microsoft's wdk crates on Linux, without Windows and without the WDK.
//!
//! The driver is compiled from the unmodified registry releases of wdk-sys, wdk, wdk-alloc and wdk-panic and linked by
//! lld. What the Windows Driver Kit would give is made here instead: headers over mingw-w64's, import libraries from
//! lists of exports, and two small static libraries ([`sysroot`]). wdk-build and `windows`, which run on the host and
//! expect it to be Windows, get a stand-in through a compiler wrapper ([`wrapper`]);
//! a linker wrapper ([`linker`]) and mapped paths make the same sources give the same bytes wherever they lie.
//!
//! [`toolchain`] finds a compiler, [`driver`] builds the driver and [`client`] its client for Windows, and [`pe`] checks
//! the driver against what Windows' loader and its kernel ask of one; [`residence`] says what of it may leave memory.

pub mod c;
pub mod client;
pub mod corrections;
pub mod driver;
pub mod error;
pub mod exports;
pub mod inf;
pub mod kmdf;
pub mod linker;
pub mod pe;
pub mod residence;
pub mod stack;
pub mod sysroot;
pub mod toolchain;
pub mod wdk;
pub mod wrapper;

pub use error::Error;
