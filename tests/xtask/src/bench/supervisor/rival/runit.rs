//! runit: its own PID 1, whose second stage is runsvdir over a directory of services.
//!
//! It knows neither needs nor delays; a service that ran for less than a second waits for one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Programs, Start, path_of_debian, service_directory, words};
use crate::bench::supervisor::room::Room;
use crate::bench::supervisor::set::{BY_DESCRIPTOR, Set};

const STAGES: [(&str, &str); 3] = [
    ("1", "#!/usr/bin/dash\n"),
    ("2", "#!/usr/bin/dash\nexec /usr/bin/runsvdir -P /service\n"),
    ("3", "#!/usr/bin/dash\n"),
];

pub(super) fn furnish(files: &Path, set: &Set, programs: &Programs) -> Result<Start> {
    let write = || -> std::io::Result<()> {
        for number in set.numbers() {
            let directory = files.join(format!("service/s{number}"));
            service_directory(&directory, &set.words(number, BY_DESCRIPTOR))?;
        }
        let stages = files.join("etc/runit");
        fs::create_dir_all(&stages)?;
        for (name, text) in STAGES {
            fs::write(stages.join(name), text)?;
            fs::set_permissions(stages.join(name), fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    };
    write().with_context(|| format!("furnishing {}", files.display()))?;
    let command = words(&["/usr/sbin/runit"]);
    Ok(Start { usr: Some(programs.rivals.join("usr")), command, environment: vec![path_of_debian()] })
}

/// Who passes on that everything is to be stopped.
pub(super) fn directory_supervisor(room: &Room) -> Result<i32> {
    let found = room.supervisors().into_iter().find(|process| process.name() == "runsvdir");
    Ok(found.context("there is no runsvdir")?.0)
}
