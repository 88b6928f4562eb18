//! The flag that names a mirror, shared by the verbs that may need one: lock, fetch and build.
//!
//! Only the flag, and where else to look: the environment, and this machine's apt. Which of
//! them wins and how a mirror is talked to is [`crate::mirror`]'s. No mirror is known to us
//! by name.

use std::path::Path;

use crate::mirror::{Mirror, VARIABLE};

/// The choice of the mirror.
#[derive(Debug, clap::Args)]
pub struct MirrorArgs {
    /// The mirror of Debian's archive; this machine's apt sources name it otherwise.
    #[arg(long, value_name = "URL")]
    debian_mirror: Option<String>,
}

impl MirrorArgs {
    /// The mirror of the flag, the environment or this machine's apt.
    ///
    /// # Errors
    /// There is none; the message says which three ways there are.
    pub fn find(&self) -> anyhow::Result<Mirror> {
        let variable = std::env::var(VARIABLE).ok();
        Ok(Mirror::find(self.debian_mirror.as_deref(), variable.as_deref(), Path::new("/etc/apt"))?)
    }
}
