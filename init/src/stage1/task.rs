//! Stage 1's effects: mounts, device mapper, the change of root.
//!
//! Everything is done once and in order; `run` returns only when it can't go on, after
//! having said so on the console. How long it waits for disks and before a restart is here.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use image_format::Digest;
use node_sys::{dm, mount, power, uptime};

use super::slot::{self, NoRoot};

/// How long disks may take to appear: slow controllers take seconds.
const DISKS_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at the disks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a person has to read why, before the machine restarts.
const RESTART_AFTER: Duration = Duration::from_secs(10);
/// Where the new root is prepared.
const SYSROOT: &str = "/sysroot";
/// What stage 1 becomes.
const INIT: &str = "/usr/sbin/init";

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum Stage1Error {
    /// The command line.
    #[error(transparent)]
    Root(#[from] NoRoot),
    /// No disk holds the slot.
    #[error("no disk holds the slot with root hash {root} (looked at: {seen})")]
    NoSlot {
        /// The hash.
        root: Digest,
        /// The disks, or "none".
        seen: String,
    },
    /// A call.
    #[error("{doing}: {source}")]
    Call {
        /// A gerund and its object.
        doing: String,
        /// The kernel's reason.
        source: io::Error,
    },
}

fn doing(text: impl Into<String>) -> impl FnOnce(io::Error) -> Stage1Error {
    let doing = text.into();
    move |source| Stage1Error::Call { doing, source }
}

/// Becomes the init of the verified root; what can't be done is told and the machine restarts.
pub fn run() {
    let Err(error) = find_and_switch();
    say(&format!("{error}; restarting in {} s", RESTART_AFTER.as_secs()));
    std::thread::sleep(RESTART_AFTER);
    if let Err(error) = power::restart() {
        // Returning ends PID 1, so the kernel panics, and restarts by `panic=`.
        say(&format!("restarting: {error}"));
    }
}

/// A line on the console; before /dev is there it goes where the kernel pointed stderr.
fn say(text: &str) {
    use std::io::Write;
    let now = uptime::since_boot();
    let line = format!("slipway[{}.{:03}] stage1: {text}\n", now.as_secs(), now.subsec_millis());
    let written =
        File::options().write(true).open("/dev/console").and_then(|mut file| file.write_all(line.as_bytes()));
    if written.is_err() {
        eprint!("{line}");
    }
}

fn find_and_switch() -> Result<Infallible, Stage1Error> {
    let none = mount::Options::default();
    for (kind, target) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        // devtmpfs may be there already: the kernel can mount it by itself.
        match mount::mount(kind, Path::new(target), kind, none, "") {
            Err(error) if error.kind() != io::ErrorKind::ResourceBusy => {
                return Err(doing(format!("mounting {target}"))(error));
            }
            _ => {}
        }
    }
    let command_line = fs::read_to_string("/proc/cmdline").map_err(doing("reading /proc/cmdline"))?;
    let root = slot::wanted(&command_line)?;
    let (disk, superblock) = find_slot(&root)?;
    let name = disk.display().to_string();
    let target = dm::Target {
        kind: "verity",
        sectors: superblock.data_len() / 512,
        // A block that does not match ends the machine: what runs from it can't be trusted on.
        parameters: &superblock.table(&name, &root, &["panic_on_corruption"]),
    };
    let device = dm::create_read_only("slipway-root", target)
        .map_err(doing(format!("putting dm-verity over {name}")))?;
    let options = mount::Options { read_only: true, ..none };
    mount::mount(&format!("/dev/dm-{}", device.minor), Path::new(SYSROOT), "erofs", options, "")
        .map_err(doing(format!("mounting the root of {name}")))?;
    let hash = root.to_string();
    say(&format!("root {} verified on {name}", hash.get(..12).unwrap_or(&hash)));
    for target in ["/dev", "/proc", "/sys"] {
        let below = PathBuf::from(format!("{SYSROOT}{target}"));
        mount::move_to(Path::new(target), &below)
            .map_err(doing(format!("moving {target} to the new root")))?;
    }
    // The initramfs lives in memory until the last file of it is gone.
    let _ = fs::remove_file("/init");
    mount::switch_root(Path::new(SYSROOT)).map_err(doing("changing to the new root"))?;
    Err(doing(format!("starting {INIT}"))(Command::new(INIT).exec()))
}

/// Looks through the disks until one holds the slot.
fn find_slot(root: &Digest) -> Result<(PathBuf, image_format::verity::Superblock), Stage1Error> {
    let deadline = uptime::since_boot().saturating_add(DISKS_WITHIN);
    loop {
        let disks = disks().map_err(doing("listing /sys/class/block"))?;
        for disk in &disks {
            // A disk that can't be read is not the one; others may be.
            let found = File::open(disk).and_then(|mut file| slot::find(&mut file, root));
            if let Ok(Some(superblock)) = found {
                return Ok((disk.clone(), superblock));
            }
        }
        if uptime::since_boot() > deadline {
            let names: Vec<String> = disks.iter().map(|disk| disk.display().to_string()).collect();
            let seen = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Stage1Error::NoSlot { root: *root, seen });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Disks and partitions, in the order of their names.
fn disks() -> io::Result<Vec<PathBuf>> {
    let mut disks = Vec::new();
    for entry in fs::read_dir("/sys/class/block")? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !["dm-", "loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind)) {
            disks.push(Path::new("/dev").join(&*name));
        }
    }
    disks.sort();
    Ok(disks)
}
