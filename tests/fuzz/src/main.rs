//! The program that libFuzzer drives: one for all targets, `FUZZ_TARGET` says which.
//!
//! libFuzzer brings `main` and all its options. `cargo xtask fuzz` builds this with coverage
//! counters and runs it; the targets themselves are the library's.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |input: &[u8]| fuzz::run(input));
