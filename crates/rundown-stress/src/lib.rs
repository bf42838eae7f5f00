//! rundown-stress
#![no_std]
