//! What the machine is called, and its random bytes.
//!
//! Names come from the machine config; nothing here knows it.

use std::io;

/// Sets the kernel's host name.
///
/// # Errors
/// The kernel's.
pub fn set_hostname(name: &str) -> io::Result<()> {
    rustix::system::sethostname(name.as_bytes())?;
    Ok(())
}

/// Fills 16 bytes from the kernel's generator, waiting until it is seeded.
///
/// # Errors
/// The kernel's.
pub fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled = filled.saturating_add(rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?);
    }
    Ok(bytes)
}
