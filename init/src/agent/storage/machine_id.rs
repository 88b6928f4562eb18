//! The machine's id: drawn once, kept in STATE, shown in /etc.
//!
//! Random bytes as 32 hex digits, as systemd's machine-id(5) has them; what reads /etc/machine-id
//! (the kubelet, for one) expects that form. It is no secret, and no identity that anybody
//! trusts: those are `agent::pki`'s.

use std::io;
use std::path::Path;

use node_sys::host;

use super::{StorageError, device, version_4};
use crate::agent::{files, paths};

/// Where it is kept.
const MACHINE_ID: &str = "/state/machine-id";

/// The machine's id: made once, kept in STATE, shown in /etc.
pub(super) fn settle() -> Result<(), StorageError> {
    let path = Path::new(MACHINE_ID);
    let text = match files::read_text(path, 64) {
        Ok(text) if is_machine_id(text.trim_end()) => text,
        Ok(_) => new_machine_id(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_machine_id(path)?,
        Err(error) => return Err(error.into()),
    };
    files::replace(Path::new(paths::MACHINE_ID), text.as_bytes(), 0o444)?;
    Ok(())
}

fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn new_machine_id(path: &Path) -> Result<String, StorageError> {
    let bytes = version_4(host::random().map_err(device("drawing", path))?);
    let text = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    files::replace(path, text.as_bytes(), 0o444)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_32_hex_digits() {
        assert!(is_machine_id("0123456789abcdef0123456789abcdef"));
        assert!(!is_machine_id("0123456789ABCDEF0123456789abcdef"));
        assert!(!is_machine_id(""));
    }
}
