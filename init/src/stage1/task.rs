//! Finds the slot, maps it, moves there and becomes its PID 1.
//!
//! Only effects, in order; each wait has a deadline. The initramfs' files are deleted on the
//! way out, but only after making sure that it is one: their memory is the machine's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use image_format::Digest;
use image_format::verity::Superblock;
use node_sys::mount::{self, Options};
use node_sys::{dm, power};

use super::{cmdline, slot};
use crate::console::{Console, Subject};
use crate::monotonic::Monotonic;

/// How long block devices may take to appear.
const DEVICES_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at the devices.
const LOOK: Duration = Duration::from_millis(10);
/// How long a last message stays on the console before the machine starts again.
const REBOOT_AFTER: Duration = Duration::from_secs(10);
/// Where the slot is mounted until it is the root.
const SYSROOT: &str = "/sysroot";
/// PID 1 in the slot.
const INIT: &str = "/usr/sbin/init";

/// Why there is no system to hand over to.
#[derive(Debug, thiserror::Error)]
enum Stage1Error {
    #[error("{doing}: {source}")]
    Step { doing: String, source: io::Error },
    #[error(transparent)]
    Cmdline(#[from] cmdline::CmdlineError),
    #[error("no device has the slot {root} after {} s; {seen}", DEVICES_WITHIN.as_secs())]
    NoSlot { root: Digest, seen: String },
}

fn step(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Stage1Error {
    let doing = doing.into();
    move |source| Stage1Error::Step { doing, source }
}

/// Becomes the slot's PID 1, or reboots. Comes back only if even that is refused.
pub fn run() {
    let error = match prepare() {
        Ok(()) => hand_over(),
        Err(error) => error,
    };
    let mut console = Console::open(Path::new("/dev/console"));
    console.say(Monotonic::now(), Subject::Stage1, &format!("problem: {error}"));
    let text = format!("rebooting in {} s", REBOOT_AFTER.as_secs());
    console.say(Monotonic::now(), Subject::Stage1, &text);
    thread::sleep(REBOOT_AFTER);
    if let Err(error) = power::restart() {
        console.say(Monotonic::now(), Subject::Stage1, &format!("problem: rebooting: {error}"));
    }
}

/// Up to a root file system that is verified and mounted.
fn prepare() -> Result<(), Stage1Error> {
    for (kind, target) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        fs::create_dir_all(target).map_err(step(format!("making {target}")))?;
        mount::mount(kind, Path::new(target), kind, Options::default(), "")
            .map_err(step(format!("mounting {kind} on {target}")))?;
    }
    let text = fs::read_to_string("/proc/cmdline").map_err(step("reading /proc/cmdline"))?;
    let root = cmdline::root(&text)?;
    let (device, superblock) = find(&root)?;
    let table = superblock.table(&device.to_string_lossy(), &root, &["panic_on_corruption"]);
    let target = dm::Target { kind: "verity", sectors: superblock.data_len() >> 9, parameters: &table };
    let mapped = dm::create_read_only("slot", target)
        .map_err(step(format!("verifying {} by {table:?}", device.display())))?;
    let node = format!("/dev/dm-{}", mapped.minor);
    fs::create_dir_all(SYSROOT).map_err(step(format!("making {SYSROOT}")))?;
    let read_only = Options { read_only: true, no_dev: true, ..Options::default() };
    mount::mount(&node, Path::new(SYSROOT), "erofs", read_only, "")
        .map_err(step(format!("mounting {node} of {}", device.display())))?;
    let short: String = root.to_string().chars().take(12).collect();
    let mut console = Console::open(Path::new("/dev/console"));
    let text = format!("root {short} verified on {}", device.display());
    console.say(Monotonic::now(), Subject::Stage1, &text);
    Ok(())
}

/// Looks at every block device until one is the slot.
fn find(root: &Digest) -> Result<(PathBuf, Superblock), Stage1Error> {
    let deadline = Monotonic::now().after(DEVICES_WITHIN);
    loop {
        let mut seen = Vec::new();
        for device in devices().map_err(step("listing /sys/class/block"))? {
            match File::open(&device).map_err(Into::into).and_then(|mut file| slot::examine(&mut file, root))
            {
                Ok(superblock) => return Ok((device, superblock)),
                Err(why) => seen.push(format!("{}: {why}", device.display())),
            }
        }
        if Monotonic::now() >= deadline {
            let seen = if seen.is_empty() { "there is no block device".to_owned() } else { seen.join("; ") };
            return Err(Stage1Error::NoSlot { root: *root, seen });
        }
        thread::sleep(LOOK);
    }
}

/// Every block device and partition that may hold a slot, in the order of their names.
fn devices() -> io::Result<Vec<PathBuf>> {
    let mut names: Vec<_> =
        fs::read_dir("/sys/class/block")?.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let virtual_device =
        |name: &str| ["ram", "loop", "dm-", "zram"].iter().any(|kind| name.starts_with(kind));
    Ok(names
        .iter()
        .filter(|name| !virtual_device(&name.to_string_lossy()))
        .map(|name| Path::new("/dev").join(name))
        .collect())
}

/// Leaves the initramfs for the mounted slot; comes back only with a reason.
fn hand_over() -> Stage1Error {
    match leave() {
        Ok(()) => step(format!("executing {INIT}"))(Command::new(INIT).env_clear().exec()),
        Err(error) => error,
    }
}

fn leave() -> Result<(), Stage1Error> {
    // PID 1 mounts them anew, with the options of a running machine.
    for target in ["/sys", "/proc", "/dev"] {
        mount::detach(Path::new(target)).map_err(step(format!("unmounting {target}")))?;
    }
    let root = Path::new("/");
    if mount::is_in_memory(root).map_err(step("examining /"))? {
        let device = fs::metadata(root).map_err(step("examining /"))?.dev();
        empty(root, device);
    }
    mount::switch_root(Path::new(SYSROOT)).map_err(step(format!("moving to {SYSROOT}")))
}

/// Deletes everything on `device` below `directory`; what can't be deleted only costs memory.
fn empty(directory: &Path, device: u64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.dev() != device => {}
            Ok(found) if found.is_dir() => {
                empty(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => {
                let _ = fs::remove_file(&path);
            }
        }
    }
}
