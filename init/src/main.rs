//! One static binary, several processes: which one this is follows from its pid and its words.
//!
//! As pid 1 without an image around it, it is stage 1 of the initramfs; as pid 1 of an
//! image, the supervisor. `init agent NAME` and `init probe KIND TARGET…` are ordinary
//! supervised processes. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    init::main(&std::env::args().skip(1).collect::<Vec<_>>())
}
