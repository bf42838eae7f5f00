//! rundown-abi
#![no_std]
