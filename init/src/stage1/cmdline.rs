//! The one word of the kernel command line that stage 1 understands: `slipway.root=HEX`.
//!
//! What else is on it is the kernel's or the driver's business, so unknown words are no errors.
//! Two root hashes are one: at least one of them is not what was meant.

use image_format::Digest;

const KEY: &str = "slipway.root=";

/// Why there is no root hash to look for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CmdlineError {
    /// None was given.
    #[error("the kernel command line has no {KEY}<root hash>")]
    Missing,
    /// More than one was given.
    #[error("the kernel command line has more than one {KEY}")]
    Several,
    /// It is no hash.
    #[error("the kernel command line's {KEY}{0:?} is not 64 hex digits")]
    Malformed(String),
}

/// The root hash of the slot to boot.
pub(super) fn root(cmdline: &str) -> Result<Digest, CmdlineError> {
    let mut found = cmdline.split_ascii_whitespace().filter_map(|word| word.strip_prefix(KEY));
    let text = found.next().ok_or(CmdlineError::Missing)?;
    if found.next().is_some() {
        return Err(CmdlineError::Several);
    }
    text.parse().map_err(|_| CmdlineError::Malformed(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_hash_is_found_among_others_words() {
        let hash = "0123456789abcdef".repeat(4);
        let text = format!("console=ttyS0 slipway.root={hash} panic=10\n");
        assert_eq!(root(&text).unwrap().to_string(), hash);
    }

    #[test]
    fn no_hash_two_hashes_and_half_a_hash_are_refused() {
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(root("quiet"), Err(CmdlineError::Missing));
        assert_eq!(root(&format!("slipway.root={hash} slipway.root={hash}")), Err(CmdlineError::Several));
        assert!(matches!(root("slipway.root=abc"), Err(CmdlineError::Malformed(_))));
    }
}
