//! ex-rundown
#![no_std]
