//! s6: a service directory each, under s6-svscan. Debian has no s6-rc, so it knows no needs.
//!
//! Services say that they are ready: only then is one that ran for a second restarted at once.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Programs, Start, path_of_debian, service_directory, words};
use crate::bench::supervisor::set::{BY_DESCRIPTOR, Part, Set};

pub(super) fn furnish(files: &Path, set: &Set, programs: &Programs) -> Result<Start> {
    let part = if set.part == Part::Stay { Part::Ready } else { set.part };
    let set = Set { part, ..*set };
    let write = || -> std::io::Result<()> {
        for number in set.numbers() {
            let directory = files.join(format!("service/s{number}"));
            service_directory(&directory, &set.words(number, BY_DESCRIPTOR))?;
            if part == Part::Ready {
                fs::write(directory.join("notification-fd"), "3\n")?;
            }
        }
        Ok(())
    };
    write().with_context(|| format!("furnishing {}", files.display()))?;
    let command = words(&["/usr/bin/s6-svscan", "/service"]);
    Ok(Start { usr: Some(programs.rivals.join("usr")), command, environment: vec![path_of_debian()] })
}
