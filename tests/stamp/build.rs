//! Has the program begin at `begin` (src/main.rs), before libc does anything.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,-e,begin");
}
