//! Reads the output of `WinDbg`'s `uf` command back into code.
//!
//! A person who has `WinDbg` prints a routine of their own Windows build:
//!
//! ```text
//! 0: kd> uf nt!ExSomething
//! nt!ExSomething [file.c @ 12]:
//!    12 fffff802`10001000 31c0            xor     eax,eax
//!    13 fffff802`10001002 c3              ret
//! ```
//!
//! [`Listing::read`] takes such text, with or without source lines, of one or many functions and with prose in
//! between, and checks it: every row's bytes are decoded again and compared with the row's text, every direct branch
//! lands on a listed instruction or on a named routine, and no instruction is followed by a hole. [`Image::new`] lays
//! the bytes out at their own distances, with the names of what they refer to: whoever runs the code maps the
//! [segments](Image::segments) and answers for the [unlisted](Image::unlisted) names.
//!
//! [`protection`] knows which routines run-down protection needs, and what may stand in for what is not listed.
//!
//! Whatever is wrong is one [`Error`]: the line, what is wrong there, and what to dump again.
//!
//! ```
//! use rundown_uf::{Image, Listing};
//! let listing = Listing::read(concat!(
//!     "nt!Answer:\n",
//!     "fffff802`10001000 e8fb0f0000      call    nt!Ask (fffff802`10002000)\n",
//!     "fffff802`10001005 c3              ret\n",
//! ))?;
//! let image = Image::new(&listing)?;
//! assert_eq!(image.symbols["nt!Answer"], 0xffff_f802_1000_1000);
//! assert_eq!(image.unlisted().collect::<Vec<_>>(), ["nt!Ask"]);
//! # Ok::<(), rundown_uf::Error>(())
//! ```
#![forbid(unsafe_code)]

mod decode;
mod envelope;
mod error;
mod flow;
mod image;
mod line;
mod listing;
mod operand;
mod place;
pub mod protection;
mod spelling;

pub use error::Error;
pub use image::{Image, Kind, Reference, Segment};
pub use line::Row;
pub use listing::{Listing, Routine};
pub use place::Place;
