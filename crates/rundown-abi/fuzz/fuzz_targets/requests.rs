//! Any bytes as any request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rundown_abi_fuzz::run(data));
