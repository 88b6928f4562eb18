//! systemd: a unit per service, wanted by default.target; all of them conflict with the machine's end.
//!
//! Neither generators nor journald: what they cost is not supervision.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Programs, Start, path_of_debian, words};
use crate::bench::supervisor::set::{BY_NOTIFY, Part, Set};

pub(super) fn furnish(files: &Path, set: &Set, programs: &Programs) -> Result<Start> {
    let write = || -> std::io::Result<()> {
        let directory = files.join("etc/systemd/system");
        fs::create_dir_all(&directory)?;
        let mut default = "[Unit]\nDescription=all\nDefaultDependencies=no\n".to_owned();
        let mut end = "[Unit]\nDescription=end\nDefaultDependencies=no\n".to_owned();
        for number in set.numbers() {
            fs::write(directory.join(format!("s{number}.service")), unit(set, number))?;
            let _ = writeln!(default, "Wants=s{number}.service");
            let _ = writeln!(end, "Conflicts=s{number}.service");
        }
        fs::write(directory.join("default.target"), default)?;
        fs::write(directory.join("ctrl-alt-del.target"), end)?;
        fs::write(files.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n")?;
        fs::write(files.join("etc/os-release"), "ID=room\n")
    };
    write().with_context(|| format!("furnishing {}", files.display()))?;
    let command = words(&["/usr/lib/systemd/systemd", "--system", "--log-level=err"]);
    let environment = vec![path_of_debian(), ("container".to_owned(), "room".to_owned())];
    Ok(Start { usr: Some(programs.rivals.join("usr")), command, environment })
}

fn unit(set: &Set, number: u32) -> String {
    let mut text = "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n".to_owned();
    if let Some(need) = set.need(number) {
        let _ = writeln!(text, "Requires=s{need}.service\nAfter=s{need}.service");
    }
    let kind = if set.part == Part::Ready { "notify" } else { "simple" };
    let _ = writeln!(
        text,
        "[Service]\nType={kind}\nExecStart=/bench/stamp {}\nRestart=always\nRestartSec={}ms\nStandardOutput=null\nStandardError=null",
        set.words(number, BY_NOTIFY),
        set.delay.as_millis()
    );
    text
}
