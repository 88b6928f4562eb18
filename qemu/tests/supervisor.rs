//! Promises of the supervisor, kept with shell scripts for machines: the lab does not care what a kernel is.
//!
//! This binary is its own supervisor (`supervise DIR`) and its own short-lived command (`up ROOT NAME`), because the
//! promises are about processes that are killed.

use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab::{
    Disk, DriverSpec, Error, LabSpec, LabStatus, Labs, Mac, MachineOrder, MachineSpec, Network, Off,
    PowerState, Tether,
};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1..).unwrap_or_default() {
        [verb, dir] if verb == "supervise" => lab::supervise(Path::new(dir))?,
        [verb, root, name] if verb == "up" => up(root, name)?,
        _ => return Ok(libtest_mimic::run(&Arguments::from_args(), trials()).exit_code()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a lab and stays attached to it until killed.
fn up(root: &str, name: &str) -> Result<()> {
    let _tether = launch(&Labs::in_directory(root.into()), name)?;
    println!("up");
    sleep(Duration::from_secs(600));
    Ok(())
}

fn launch(labs: &Labs, name: &str) -> Result<Tether> {
    let mut command = Command::new(std::env::current_exe()?);
    // Known sockets: one test looks for them.
    command.arg("supervise").env_remove("XDG_RUNTIME_DIR");
    Ok(labs.launch(name, command)?)
}

/// A test, given a user's directory.
type Promise = fn(&Scene) -> Result<()>;

fn trials() -> Vec<Trial> {
    let all: [(&str, Promise); 13] = [
        ("a_supervisor_obeys_signals_that_its_starter_had_blocked", a_supervisor_obeys_blocked_signals),
        ("a_lab_that_nobody_made_is_said_not_to_exist", a_lab_that_nobody_made_does_not_exist),
        ("a_killed_up_command_takes_its_lab_down", a_killed_up_command_takes_its_lab_down),
        ("a_detached_lab_outlives_the_command_that_started_it", a_detached_lab_outlives_its_command),
        ("a_killed_supervisor_leaves_no_process_and_no_socket", a_killed_supervisor_leaves_nothing),
        ("two_labs_run_at_the_same_time", two_labs_run_at_the_same_time),
        ("a_lab_cannot_be_started_twice", a_lab_cannot_be_started_twice),
        ("a_machine_that_crashes_is_reset_but_not_for_ever", a_crash_is_reset_but_not_for_ever),
        ("a_guest_that_says_farewell_is_started_again", a_guest_that_says_farewell_is_started_again),
        ("a_killed_machine_stays_off_until_it_is_started", a_killed_machine_stays_off_until_started),
        ("a_machine_without_power_button_is_killed_when_it_is_stopped", a_machine_without_button_is_killed),
        ("helpers_of_a_killed_machine_die_with_it", helpers_of_a_killed_machine_die_with_it),
        ("logs_of_a_lab_can_be_kept_after_it_is_gone", logs_can_be_kept),
    ];
    let run = |name: &str, test: Promise| {
        Trial::test(name.to_owned(), move || {
            let scene = Scene::new().map_err(|error| Failed::from(format!("{error:#}")))?;
            test(&scene).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    all.into_iter().map(|(name, test)| run(name, test)).collect()
}

/// A user with a directory for labs.
struct Scene {
    dir: tempfile::TempDir,
    labs: Labs,
}

impl Scene {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let labs = Labs::in_directory(dir.path().join("labs"));
        Ok(Scene { dir, labs })
    }

    /// A lab of one machine whose kernel is a script.
    fn create(&self, name: &str, script: &str) -> Result<PathBuf> {
        let kernel = self.dir.path().join(format!("{name}.sh"));
        fs::write(&kernel, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&kernel, fs::Permissions::from_mode(0o755))?;
        let machine = MachineSpec {
            name: "m1".into(),
            kernel,
            initramfs: "/dev/null".into(),
            cmdline: String::new(),
            disks: vec![Disk { path: "data.img".into(), read_only: false, create_bytes: Some(1 << 20) }],
            memory_mib: 1,
            mac: Mac([0x52, 0x54, 0, 0x4d, 0, 1]),
            address: Ipv4Addr::new(10, 77, 0, 10),
            cpu: Some(0),
        };
        let spec = LabSpec {
            name: name.into(),
            driver: DriverSpec::Uml {},
            network: Network {
                gateway: Ipv4Addr::new(10, 77, 0, 1),
                prefix: 24,
                hosts: vec![],
                names: std::collections::BTreeMap::new(),
            },
            machines: vec![machine],
            forwards: vec![],
            capture: false,
            farewell: Some("machine: rebooting".into()),
        };
        Ok(self.labs.create(&spec)?.console("m1"))
    }

    /// Creates, starts, and waits until the machine's first line is there.
    fn running(&self, name: &str, script: &str) -> Result<(Tether, PathBuf)> {
        let console = self.create(name, script)?;
        let tether = launch(&self.labs, name)?;
        eventually("the machine writes", || Ok(read(&console).contains("hello")))?;
        Ok((tether, console))
    }

    fn status(&self, name: &str) -> Result<LabStatus> {
        Ok(self.labs.open(name)?.status()?)
    }

    fn order(&self, name: &str, order: MachineOrder) -> Result<()> {
        Ok(self.labs.open(name)?.order("m1", order, None)?)
    }
}

const IDLE: &str = "echo hello; exec sleep 600";

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if holds()? {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    bail!("never: {what}")
}

/// Gone, or dead and waiting to be collected.
fn is_dead(pid: u32) -> bool {
    let stat = read(Path::new(&format!("/proc/{pid}/stat")));
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

fn machine_pid(status: &LabStatus) -> Result<u32> {
    status.machines.first().and_then(|machine| machine.pid).context("the machine has no process")
}

fn kill(pid: u32) -> Result<()> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
    Ok(nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?)
}

fn a_killed_up_command_takes_its_lab_down(scene: &Scene) -> Result<()> {
    let console = scene.create("one", IDLE)?;
    let mut up = Command::new(std::env::current_exe()?)
        .args(["up".as_ref(), scene.dir.path().join("labs").as_os_str(), "one".as_ref()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = [0; 3];
    up.stdout.take().context("no output")?.read_exact(&mut said)?;
    eventually("the machine writes", || Ok(read(&console).contains("hello")))?;
    let status = scene.status("one")?;
    ensure!(status.attached);
    up.kill()?;
    up.wait()?;
    eventually("the machine dies", || Ok(machine_pid(&status).is_ok_and(is_dead)))?;
    eventually("the supervisor ends", || Ok(is_dead(status.pid)))?;
    ensure!(matches!(scene.labs.open("one"), Err(Error::NotRunning(_))));
    Ok(())
}

fn a_detached_lab_outlives_its_command(scene: &Scene) -> Result<()> {
    let (tether, _) = scene.running("one", IDLE)?;
    tether.detach()?;
    eventually("the lab is detached", || Ok(!scene.status("one")?.attached))?;
    sleep(Duration::from_millis(100));
    let status = scene.status("one")?;
    ensure!(!is_dead(machine_pid(&status)?));
    scene.labs.down("one")?;
    ensure!(is_dead(machine_pid(&status)?));
    Ok(())
}

fn a_killed_supervisor_leaves_nothing(scene: &Scene) -> Result<()> {
    let (_tether, _) = scene.running("one", "echo hello; sleep 601 & exec sleep 600")?;
    let status = scene.status("one")?;
    let group = machine_pid(&status)?;
    let sockets = PathBuf::from(format!("/tmp/slipway-lab-{}-0", status.pid));
    kill(status.pid)?;
    eventually("the machine dies", || Ok(is_dead(group)))?;
    ensure!(matches!(scene.labs.open("one"), Err(Error::NotRunning(_))));
    scene.labs.remove("one")?;
    ensure!(!sockets.exists(), "{} is still there", sockets.display());
    // The script's own helper is no child of the supervisor, so nothing but its group names it; real machines' helpers
    // die with their parent, a shell's do not.
    let _ = nix::sys::signal::killpg(
        nix::unistd::Pid::from_raw(i32::try_from(group)?),
        nix::sys::signal::Signal::SIGKILL,
    );
    Ok(())
}

fn a_supervisor_obeys_blocked_signals(scene: &Scene) -> Result<()> {
    use nix::sys::signal::{SigSet, Signal, kill};
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.thread_block()?;
    let started = scene.running("one", IDLE);
    set.thread_unblock()?;
    let (_tether, _) = started?;
    let status = scene.status("one")?;
    kill(nix::unistd::Pid::from_raw(i32::try_from(status.pid)?), Signal::SIGTERM)?;
    eventually("the machine dies", || Ok(machine_pid(&status).is_ok_and(is_dead)))?;
    eventually("the lab ends", || Ok(matches!(scene.labs.open("one"), Err(Error::NotRunning(_)))))
}

fn two_labs_run_at_the_same_time(scene: &Scene) -> Result<()> {
    let (_one, _) = scene.running("one", IDLE)?;
    let (_two, _) = scene.running("two", IDLE)?;
    let listed = scene.labs.list()?;
    ensure!(listed.iter().filter(|lab| lab.running).count() == 2, "{listed:?}");
    scene.labs.down("one")?;
    ensure!(!is_dead(machine_pid(&scene.status("two")?)?));
    Ok(())
}

fn a_lab_that_nobody_made_does_not_exist(scene: &Scene) -> Result<()> {
    ensure!(scene.labs.list()?.is_empty());
    ensure!(matches!(scene.labs.open("one"), Err(Error::NoSuchLab(_))));
    ensure!(matches!(scene.labs.down("one"), Err(Error::NoSuchLab(_))));
    ensure!(launch(&scene.labs, "one").is_err());
    Ok(())
}

fn a_lab_cannot_be_started_twice(scene: &Scene) -> Result<()> {
    let (_tether, _) = scene.running("one", IDLE)?;
    ensure!(launch(&scene.labs, "one").is_err());
    ensure!(matches!(scene.labs.remove("one"), Err(Error::RunningAlready(_))));
    ensure!(scene.status("one")?.machines.len() == 1);
    Ok(())
}

fn a_crash_is_reset_but_not_for_ever(scene: &Scene) -> Result<()> {
    let (_tether, console) = scene.running("one", "echo hello; kill -ABRT $$")?;
    let machine = || -> Result<_> { Ok(scene.status("one")?.machines.remove(0)) };
    eventually("the machine is given up", || Ok(machine()?.off_because == Some(Off::GaveUp)))?;
    ensure!(machine()?.starts == 6, "{:?}", machine()?);
    ensure!(read(&console).matches("hello").count() == 6);
    ensure!(machine()?.last_crash.as_deref() == Some("killed by signal 6"));
    Ok(())
}

fn a_guest_that_says_farewell_is_started_again(scene: &Scene) -> Result<()> {
    let once = format!(
        "echo hello; [ -e {0} ] && exec sleep 600; touch {0}; echo 'x[1.0] machine: rebooting'; exec sleep 600",
        scene.dir.path().join("once").display()
    );
    let (_tether, _) = scene.running("one", &once)?;
    eventually("it is started again", || Ok(scene.status("one")?.machines[0].starts == 2))?;
    sleep(Duration::from_millis(100));
    let status = scene.status("one")?;
    ensure!(status.machines[0].starts == 2 && status.machines[0].power == PowerState::On);
    Ok(())
}

fn a_killed_machine_stays_off_until_started(scene: &Scene) -> Result<()> {
    let (_tether, console) = scene.running("one", IDLE)?;
    scene.order("one", MachineOrder::Kill)?;
    eventually("it is off", || Ok(scene.status("one")?.machines[0].off_because == Some(Off::Asked)))?;
    scene.order("one", MachineOrder::Start)?;
    eventually("it is on", || Ok(scene.status("one")?.machines[0].power == PowerState::On))?;
    eventually("it writes again", || Ok(read(&console).matches("hello").count() == 2))?;
    ensure!(scene.labs.open("one")?.order("m2", MachineOrder::Kill, None).is_err());
    Ok(())
}

fn a_machine_without_button_is_killed(scene: &Scene) -> Result<()> {
    let (_tether, console) = scene.running("one", IDLE)?;
    let pid = machine_pid(&scene.status("one")?)?;
    scene.order("one", MachineOrder::Stop)?;
    eventually("it is off", || Ok(scene.status("one")?.machines[0].power == PowerState::Off))?;
    ensure!(is_dead(pid) && read(&console).contains("the button does not work"));
    Ok(())
}

fn helpers_of_a_killed_machine_die_with_it(scene: &Scene) -> Result<()> {
    let (_tether, console) =
        scene.running("one", "sleep 600 & echo helper $!; echo hello; exec sleep 600")?;
    let text = read(&console);
    let helper = text.split("helper ").nth(1).and_then(|rest| rest.lines().next()).context("no helper")?;
    scene.order("one", MachineOrder::Kill)?;
    let helper: u32 = helper.parse()?;
    eventually("the helper is gone", || Ok(!Path::new(&format!("/proc/{helper}")).exists()))
}

fn logs_can_be_kept(scene: &Scene) -> Result<()> {
    let (_tether, _) = scene.running("one", IDLE)?;
    scene.labs.down("one")?;
    let kept = scene.dir.path().join("kept");
    scene.labs.keep_logs("one", &kept)?;
    scene.labs.remove("one")?;
    ensure!(read(&kept.join("m1.console.log")).contains("hello"));
    ensure!(scene.labs.list()?.is_empty() && !scene.labs.dir("one").path().exists());
    Ok(())
}
