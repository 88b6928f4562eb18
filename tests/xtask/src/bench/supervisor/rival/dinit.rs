//! dinit: a description per service, and `boot`, which waits for all of them.
//!
//! No start limit and, where none is asked for, no delay; its programs come from the outside.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Programs, Start, words};
use crate::bench::supervisor::set::{BY_DESCRIPTOR, Part, Set};

pub(super) fn furnish(files: &Path, set: &Set, programs: &Programs) -> Result<Start> {
    let dinit = programs.dinit.as_ref().context("dinit is in no Debian: say where it is by --dinit")?;
    let write = || -> std::io::Result<()> {
        let directory = files.join("etc/dinit.d");
        fs::create_dir_all(&directory)?;
        let mut boot = "type = internal\n".to_owned();
        for number in set.numbers() {
            fs::write(directory.join(format!("s{number}")), description(set, number))?;
            let _ = writeln!(boot, "waits-for: s{number}");
        }
        fs::write(directory.join("boot"), boot)?;
        fs::copy(dinit.join("dinit"), files.join("bench/dinit")).map(drop)
    };
    write().with_context(|| format!("furnishing {}", files.display()))?;
    let command = words(&["/bench/dinit", "--system", "--quiet", "--services-dir", "/etc/dinit.d"]);
    Ok(Start { usr: None, command, environment: Vec::new() })
}

fn description(set: &Set, number: u32) -> String {
    let mut text = format!(
        "type = process\ncommand = /bench/stamp {}\nrestart = true\nrestart-delay = {}\nrestart-limit-count = 0\n",
        set.words(number, BY_DESCRIPTOR),
        set.delay.as_secs_f64()
    );
    if set.part == Part::Ready {
        text.push_str("ready-notification = pipefd:3\n");
    }
    if let Some(need) = set.need(number) {
        let _ = writeln!(text, "depends-on: s{need}");
    }
    text
}
