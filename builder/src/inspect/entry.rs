//! One file of anything that holds files, as a line of `ls` would have it.
//!
//! Shared by slots, initramfs archives and disks, so that their listings read alike; each
//! reader turns its format's inodes into an [`Entry`]. Contents are not shown: a machine's
//! disk holds secrets.

use std::fmt;

use serde::Serialize;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Special,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Where.
    pub path: String,
    /// What.
    pub kind: Kind,
    /// Permission bits.
    #[serde(serialize_with = "octal")]
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bytes of its contents.
    pub size: u64,
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Kind {
    /// The kind that stat(2)'s mode says.
    #[must_use]
    pub fn of_mode(mode: u16) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            _ => Self::Special,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::File => '-',
            Kind::Directory => 'd',
            Kind::Symlink => 'l',
            Kind::Special => '?',
        };
        write!(
            f,
            "{kind} {:04o} {:>5}:{:<5} {:>11} {}",
            self.mode, self.uid, self.gid, self.size, self.path
        )?;
        match &self.target {
            Some(target) => write!(f, " -> {target}"),
            None => Ok(()),
        }
    }
}

/// All entries, one per line, each line indented.
pub(super) fn lines(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("  {entry}\n")).collect()
}

fn octal<S: serde::Serializer>(mode: &u16, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{mode:04o}"))
}
