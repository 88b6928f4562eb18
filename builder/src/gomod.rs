//! Go modules and the Go toolchain.
