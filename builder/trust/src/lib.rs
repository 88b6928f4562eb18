//! Keys and signatures: whom to believe.
//!
//! `envelope` verifies a signed machine config, `signing` (feature `signing`) makes one,
//! `pki` mints X.509 certificates and reads them back. Bytes in, bytes out: nothing here
//! opens a file, asks a clock or parses what was signed.

pub mod envelope;
pub mod pki;
#[cfg(feature = "signing")]
pub mod signing;
