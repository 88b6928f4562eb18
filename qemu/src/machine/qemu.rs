//! QEMU: a whole machine with firmware, PCI and virtio, under KVM where that works and in software where it does not.
//!
//! The kernel is booted directly. The power button is ctrl-alt-del on the keyboard, the same wish that User-mode
//! Linux's management console sends, so that the guest has one path for both; everything else goes over QMP.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::driver::{Driver, Invocation, Pending};
use super::place::Place;
use super::power::Abilities;
use super::qmp;
use super::spec::MachineSpec;
use crate::error::{Error, Result};
use crate::switch::Framing;

/// Who executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The host's CPU.
    Kvm,
    /// A translator: some 18 times the CPU time.
    Tcg,
}

/// How to start QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QemuProgram {
    /// `qemu-system-x86_64`, or the program loader of the tree that it lives in.
    pub program: PathBuf,
    /// What comes before QEMU's own options: a loader's, and where its firmware files are.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Where its loadable modules are, if not where it was built for.
    #[serde(default)]
    pub modules: Option<PathBuf>,
}

impl QemuProgram {
    /// The program of a Debian tree that was unpacked to `root`, run by the tree's own loader with the tree's own
    /// libraries: the host's may be older, or another kind.
    pub fn in_tree(root: &Path) -> Result<Self> {
        let places = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib64", "lib64"];
        let loader = places
            .iter()
            .map(|place| root.join(place).join("ld-linux-x86-64.so.2"))
            .find(|path| path.exists());
        let Some(program) = loader else {
            return Err(Error::Other(format!("{} has no program loader", root.display())));
        };
        let libraries = [root.join("usr/lib/x86_64-linux-gnu"), root.join("lib/x86_64-linux-gnu")];
        let nested =
            ["pulseaudio", "blas", "lapack"].map(|name| root.join("usr/lib/x86_64-linux-gnu").join(name));
        let path: Vec<_> = libraries.iter().chain(&nested).map(|path| path.display().to_string()).collect();
        let text = |path: &str| root.join(path).display().to_string();
        let mut arguments =
            vec!["--library-path".to_owned(), path.join(":"), text("usr/bin/qemu-system-x86_64")];
        for firmware in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            arguments.extend(["-L".to_owned(), text(firmware)]);
        }
        Ok(QemuProgram { program, arguments, modules: Some(root.join("usr/lib/x86_64-linux-gnu/qemu")) })
    }

    /// A QEMU that is installed on the host.
    pub fn installed(program: PathBuf) -> Self {
        QemuProgram { program, arguments: Vec::new(), modules: None }
    }

    /// A process of it, for QEMU's own options to be added.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment());
        command
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.modules.iter().map(|path| ("QEMU_MODULE_DIR", path.clone().into_os_string())).collect()
    }
}

/// The driver.
#[derive(Debug)]
pub(crate) struct Qemu {
    pub(crate) program: QemuProgram,
    pub(crate) accelerator: Accelerator,
}

impl Driver for Qemu {
    fn framing(&self) -> Framing {
        Framing::Stream
    }

    fn abilities(&self) -> Abilities {
        Abilities { reset_in_place: true }
    }

    fn invocation(&self, spec: &MachineSpec, place: &Place) -> Invocation {
        let mut arguments: Vec<OsString> = self.program.arguments.iter().map(OsString::from).collect();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-M", "q35", "-smp", "1"]);
        add(&["-name", &spec.name, "-m", &spec.memory_mib.to_string()]);
        match self.accelerator {
            Accelerator::Kvm => add(&["-accel", "kvm", "-cpu", "host"]),
            // A model without AVX is about 10 % faster for Go, but verity wants the SHA instructions. The default
            // translation buffer of 1 GiB per machine is a waste: a whole control plane uses 78 MB of it.
            Accelerator::Tcg => {
                add(&["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "Westmere,+smap,+smep,+sha-ni"]);
            }
        }
        add(&["-kernel", &text(&spec.kernel), "-initrd", &text(&spec.initramfs)]);
        add(&["-append", &format!("console=ttyS0 {}", spec.cmdline)]);
        add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        for (number, disk) in spec.disks.iter().enumerate() {
            let node = format!("disk{number}");
            // As JSON, because a comma in a path would end QEMU's own notation.
            let file = json!({ "driver": "file", "filename": text(&place.disk(disk)), "discard": "unmap" });
            // The guest's flushes stop at the host's cache: a lab does not outlive its host, and etcd waits for each one.
            let cache = json!({ "direct": false, "no-flush": true });
            let drive = json!({
                "driver": "raw", "node-name": node, "read-only": disk.read_only, "discard": "unmap", "cache": cache, "file": file,
            });
            add(&["-blockdev", &drive.to_string(), "-device", &format!("virtio-blk-pci,drive={node}")]);
        }
        let cable = json!({
            "type": "stream", "id": "net0", "server": false,
            "addr": { "type": "unix", "path": text(&place.cable()) },
        });
        let card = format!("virtio-net-pci,netdev=net0,mac={},romfile=", spec.mac);
        add(&["-netdev", &cable.to_string(), "-device", &card, "-device", "virtio-rng-pci"]);
        add(&["-qmp", &format!("unix:{},server=on,wait=off", text(&monitor(place)))]);
        Invocation {
            program: self.program.program.clone(),
            arguments,
            environment: self.program.environment(),
        }
    }

    fn press_power<'a>(&'a self, place: &'a Place) -> Pending<'a, Result<()>> {
        let key = |name| json!({ "type": "qcode", "data": name });
        let keys = json!({ "keys": [key("ctrl"), key("alt"), key("delete")] });
        Box::pin(async move { qmp::execute(&monitor(place), "send-key", keys).await })
    }

    fn reset_in_place<'a>(&'a self, place: &'a Place) -> Pending<'a, Result<()>> {
        Box::pin(async move { qmp::execute(&monitor(place), "system_reset", json!({})).await })
    }
}

fn monitor(place: &Place) -> PathBuf {
    place.scratch().join("qmp")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::spec::Disk;
    use super::*;
    use crate::Mac;

    #[test]
    fn disks_keep_their_order_and_a_comma_in_a_path_stays_in_the_path() {
        let disk = |path: &str, read_only| Disk { path: path.into(), read_only, create_bytes: None };
        let spec = MachineSpec {
            name: "w1".into(),
            kernel: "/k/vmlinuz".into(),
            initramfs: "/i/initramfs".into(),
            cmdline: "panic=10".into(),
            disks: vec![disk("/o,x/slot.img", true), disk("data.img", false)],
            memory_mib: 1536,
            mac: Mac([0x52, 0x54, 0, 0x4d, 0, 1]),
            address: Ipv4Addr::new(10, 77, 0, 21),
            cpu: None,
        };
        let place = Place { kept: "/s/w1".into(), run: "/r/w1".into(), memory: "/dev/shm".into() };
        let program = QemuProgram::installed("/usr/bin/qemu-system-x86_64".into());
        let words = Qemu { program, accelerator: Accelerator::Tcg }.invocation(&spec, &place).arguments;
        let after = |flag: &str| -> Vec<String> {
            let pairs = words.windows(2).filter(|pair| pair[0] == *flag);
            pairs.map(|pair| pair[1].to_str().unwrap().to_owned()).collect()
        };
        let drives: Vec<serde_json::Value> =
            after("-blockdev").iter().map(|drive| serde_json::from_str(drive).unwrap()).collect();
        assert_eq!(drives[0]["file"]["filename"], "/o,x/slot.img");
        assert_eq!((&drives[0]["read-only"], &drives[1]["read-only"]), (&json!(true), &json!(false)));
        assert_eq!(drives[1]["file"]["filename"], "/s/w1/data.img");
        assert_eq!(after("-append"), ["console=ttyS0 panic=10"]);
        assert_eq!(after("-qmp"), ["unix:/r/w1/run/qmp,server=on,wait=off"]);
    }

    #[test]
    fn a_tree_is_run_by_its_own_loader() {
        let root = tempfile::tempdir().unwrap();
        let libraries = root.path().join("usr/lib/x86_64-linux-gnu");
        std::fs::create_dir_all(&libraries).unwrap();
        assert!(QemuProgram::in_tree(root.path()).is_err());
        std::fs::write(libraries.join("ld-linux-x86-64.so.2"), b"").unwrap();
        let program = QemuProgram::in_tree(root.path()).unwrap();
        assert_eq!(program.program, libraries.join("ld-linux-x86-64.so.2"));
        assert!(
            program.arguments.contains(&root.path().join("usr/bin/qemu-system-x86_64").display().to_string())
        );
    }
}
