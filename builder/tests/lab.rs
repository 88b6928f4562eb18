//! What `slipway lab up` says when a machine does not come up.
//!
//! Machines are shell scripts in place of User-mode Linux kernels: the lab does not care what a
//! kernel is, and each way of dying takes a second. The command, its supervisor and the cluster
//! that it makes are real. Machines that do come up are the e2e tests'.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a machine does that is well and never up.
const IDLE: &str = "echo 'slipway[0.350] machine: started, role x, version y'; exec sleep 600";

/// A user with images and a key.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        let keys = scene.slipway(&["keys", "new", scene.path("keys").to_str().unwrap()]);
        assert!(keys.status.success(), "{keys:?}");
        for role in ["lb", "etcd", "control-plane", "worker"] {
            let index = format!(
                r#"{{"role":"{role}","version":"0","root-hash":"00","hash-offset":0,"slot":"slot.img",
                "initramfs":"slot.img","kernel":{{"x86-64":"kernel","um":"kernel"}},"cmdline":"panic=10"}}"#
            );
            let directory = scene.path("out").join(role);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("artifacts.json"), index).unwrap();
            fs::write(directory.join("slot.img"), "").unwrap();
            scene.kernel(role, IDLE);
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Gives the machines of `role` a kernel.
    fn kernel(&self, role: &str, script: &str) {
        let path = self.path("out").join(role).join("kernel");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn slipway(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .output()
            .unwrap()
    }

    /// Boots the demo's machines and gives what is said when they don't come up.
    fn failure(&self, seconds: &str) -> String {
        let key = self.path("keys/config.key");
        let up = ["lab", "up", "t", "--driver", "uml", "--timeout", seconds, "--key", key.to_str().unwrap()];
        let output = self.slipway(&up);
        assert!(!output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("lab t did not come up"), "{text}");
        text
    }

    fn console(&self, machine: &str) -> PathBuf {
        self.path("state/slipway/labs/t").join(machine).join("console.log")
    }
}

/// The text names the machine, its last words, its log and the next command.
fn is_told(text: &str, machine: &str, console: &Path, last_words: &str) {
    let all_of_it = format!("all of it: {}", console.display());
    let next = format!("next: slipway lab console t/{machine}");
    for wanted in [last_words, &all_of_it, &next] {
        assert!(text.contains(wanted), "{wanted:?} is not in:\n{text}");
    }
}

#[test]
fn a_kernel_that_panics_again_and_again_is_named_with_its_panic() {
    let scene = Scene::new();
    let panic = "Kernel panic - not syncing: VFS: unable to mount root fs";
    scene.kernel("control-plane", &format!("echo '[    0.2] {panic}'; kill -ABRT $$"));
    let text = scene.failure("60");
    assert!(
        text.contains("cp1 crashed too often within 60 s and was left off; it was started 6 times"),
        "{text}"
    );
    assert!(text.contains("the last one killed by signal 6"), "{text}");
    assert!(text.contains("problem: kernel panic: not syncing: VFS: unable to mount root fs"), "{text}");
    is_told(&text, "cp1", &scene.console("cp1"), panic);
    assert!(!text.contains(&format!("all of it: {}", scene.console("w1").display())), "{text}");
    // What it says to type next works, though the lab is down.
    let console = scene.slipway(&["lab", "console", "t/cp1"]);
    assert!(String::from_utf8(console.stdout).unwrap().contains(panic));
}

#[test]
fn a_machine_that_restarts_itself_in_circles_is_given_up_with_what_stopped_it() {
    let scene = Scene::new();
    let boot = "echo 'slipway[0.301] stage1: problem: no device has the slot 0123'; echo 'slipway[0.1] stage1: looking'";
    scene.kernel("worker", &format!("{boot}; {boot}; {boot}; {boot}; exec sleep 600"));
    let text = scene.failure("60");
    assert!(text.contains("w1 has booted") && text.contains("and was never up"), "{text}");
    is_told(&text, "w1", &scene.console("w1"), "no device has the slot 0123");
}

#[test]
fn a_kernel_that_cannot_be_run_is_named_with_the_reason() {
    let scene = Scene::new();
    let kernel = scene.path("out/etcd/kernel");
    fs::set_permissions(&kernel, fs::Permissions::from_mode(0o644)).unwrap();
    let text = scene.failure("60");
    assert!(text.contains("etcd1 could not be started"), "{text}");
    assert!(text.contains(kernel.to_str().unwrap()) && text.contains("Permission denied"), "{text}");
    is_told(&text, "etcd1", &scene.console("etcd1"), "lab: not started");
}

#[test]
fn machines_that_are_late_are_listed_with_what_each_was_at() {
    let scene = Scene::new();
    scene.kernel("lb", "echo 'slipway[1.0] service haproxy: starting'; exec sleep 600");
    scene.kernel("etcd", "exec sleep 600");
    let text = scene.failure("2");
    assert!(text.contains("not up after"), "{text}");
    assert!(text.contains("waiting for haproxy"), "{text}");
    for machine in ["lb1", "etcd1", "cp1", "w1"] {
        assert!(text.contains(&format!("all of it: {}", scene.console(machine).display())), "{text}");
    }
    is_told(&text, "lb1", &scene.console("lb1"), "service haproxy: starting");
}
