//! Where the program begins: at `begin` (src/main.rs), before libc does anything.
//!
//! The linker is told so, which no line of the source could do. Nothing else is decided here.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,-e,begin");
}
