//! Stand-in for a crate that nothing on this host uses and that does not compile here.
#![no_std]
