//! What executes a scenario's machine: User-mode Linux, or QEMU for what only hardware shows.
//!
//! QEMU's machines are the lab's (q35, the role images' kernel, translated wherever they run), without a network.
//! Their time is counted in instructions and jumps over every rest, so that a minute in which nothing
//! happens takes no minute, and no deadline in there is missed because this host is busy.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::boot::Setup;
use crate::inside::REPORT_WORD;
use crate::kernel;

/// What the kernel of every machine of ours is told; here there is no slot to name beside it.
const CMDLINE: &str = include_str!("../../../builder/src/emit/cmdline.txt");

/// Two kinds of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// User-mode Linux: quick, and without hardware.
    Uml,
    /// QEMU: a PC that can be reset.
    Qemu,
}

/// One of them, at hand.
#[derive(Debug, Clone)]
pub(crate) struct Emulator {
    kind: Kind,
    slipway: PathBuf,
    kernel: PathBuf,
}

/// Why there is none.
#[derive(Debug, Clone)]
pub(crate) enum Absence {
    /// Nobody wants its machines.
    NotAskedFor(&'static str),
    /// Somebody does.
    Missing(String),
}

impl Emulator {
    /// Finds what `SLIPWAY` and `SLIPWAY_DRIVER` want.
    pub(crate) fn find(kind: Kind) -> Result<Self, Absence> {
        let (name, component, left_out) = match kind {
            Kind::Uml => ("uml", "kernel-um", "SLIPWAY_DRIVER wants no User-mode Linux"),
            Kind::Qemu => ("qemu", "kernel", "SLIPWAY_DRIVER wants no QEMU"),
        };
        let Some(slipway) = std::env::var_os("SLIPWAY").map(PathBuf::from) else {
            return Err(Absence::NotAskedFor("SLIPWAY is not set"));
        };
        if std::env::var_os("SLIPWAY_DRIVER").is_some_and(|driver| driver != name) {
            return Err(Absence::NotAskedFor(left_out));
        }
        let kernel = kernel::find(&slipway, component).map_err(Absence::Missing)?;
        let emulator = Self { kind, slipway, kernel };
        emulator.starts().map_err(Absence::Missing)?;
        Ok(emulator)
    }

    /// Completes the command of the process that a machine is; its console is its standard output, its report its
    /// standard error.
    pub(crate) fn complete(&self, command: &mut Command, setup: &Setup, home: &Path, initramfs: &Path) {
        match self.kind {
            Kind::Uml => {
                command.args(self.uml(setup, initramfs));
                command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
                command.env("HOME", home).env("TMPDIR", memory(home)).current_dir(home);
            }
            Kind::Qemu => {
                command.args(self.qemu(setup, initramfs)).current_dir(kernel::ROOT);
            }
        }
    }

    fn uml(&self, setup: &Setup, initramfs: &Path) -> Vec<OsString> {
        let mut words = vec![self.kernel.clone().into_os_string()];
        let mut add = |word: String| words.push(word.into());
        add(format!("mem={}M", setup.memory_mib));
        add(format!("initrd={}", initramfs.display()));
        for (n, disk) in setup.disks.iter().enumerate() {
            add(format!("ubd{n}={}", disk.display()));
        }
        let fixed = "seccomp=on umid=m con=null con0=null,fd:1 con1=null,fd:2 quiet";
        fixed.split(' ').chain(setup.cmdline.split_whitespace()).for_each(|word| add(word.to_owned()));
        words
    }

    fn qemu(&self, setup: &Setup, initramfs: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![self.slipway.clone().into_os_string()];
        let mut add = |some: &[&str]| words.extend(some.iter().map(OsString::from));
        add(&["lab", "qemu", "--", "-nodefaults", "-no-user-config", "-display", "none", "-M", "q35"]);
        add(&["-accel", "tcg,tb-size=128", "-cpu", "Westmere,+smap,+smep", "-smp", "1"]);
        add(&["-icount", "shift=3,sleep=off", "-m", &setup.memory_mib.to_string()]);
        add(&["-kernel", &self.kernel.display().to_string(), "-initrd", &initramfs.display().to_string()]);
        for (name, file) in [("console", "/dev/stdout"), ("report", "/dev/stderr")] {
            add(&["-chardev", &format!("file,id={name},path={file}"), "-serial", &format!("chardev:{name}")]);
        }
        for (n, disk) in setup.disks.iter().enumerate() {
            // Time also jumps while the machine waits for this host's disk: it is not to wait for flushes.
            let drive = format!("if=none,id=d{n},format=raw,cache=unsafe,file={}", disk.display());
            add(&["-drive", &drive, "-device", &format!("virtio-blk-pci,drive=d{n}")]);
        }
        add(setup.devices);
        let report = format!("{REPORT_WORD}=/dev/ttyS1");
        let said = ["console=ttyS0", CMDLINE.trim_end(), "8250.nr_uarts=2", &report, setup.cmdline];
        add(&["-append", &said.join(" ")]);
        words
    }

    /// Whether it can be started at all.
    fn starts(&self) -> Result<(), String> {
        if self.kind == Kind::Uml {
            return Ok(());
        }
        let mut command = Command::new(&self.slipway);
        command.args(["lab", "qemu", "--", "--version"]).current_dir(kernel::ROOT);
        let told =
            command.output().map_err(|error| format!("starting {}: {error}", self.slipway.display()))?;
        if told.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&told.stderr).into_owned()) }
    }
}

/// Where a machine's memory is kept: a tmpfs that programs may be mapped from and that has room, or else `home`.
fn memory(home: &Path) -> &Path {
    const ROOM: u64 = 1 << 30;
    let shm = Path::new("/dev/shm");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let fits = mounts.any(|mount| mount.get(1) == Some(&"/dev/shm") && !mount[3].contains("noexec"));
    let has_room = node_sys::mount::space(shm).is_ok_and(|(_, left)| left > ROOM);
    if fits && has_room { shm } else { home }
}
