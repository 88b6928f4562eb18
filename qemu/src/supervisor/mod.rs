//! The process that a lab is: it owns the switch and the machines, and listens on a control socket.
//!
//! It is tethered to the command that started it by its standard input: as long as nobody wrote `d` (detach) into it,
//! the end of that command, by whatever signal, takes the lab down. Its own death takes the machines down, because the
//! kernel kills them with their parent. So there is no way for a lab to leave a process behind.

mod control;
mod tether;

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, RwLock};
use tokio::task::LocalSet;

use crate::error::{Doing, Error, Result, on};
use crate::labs::{LabDir, Running};
use crate::machine::{self, Driver, Machine, Order, Place, Qemu, Reaper, Uml};
use crate::protocol::{ForwardStatus, READY};
use crate::spec::{DriverSpec, LabSpec};
use crate::{Gateway, Host, Network, Switch};

/// Killed processes are gone at once; longer than this means one that the kernel cannot kill.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Runs the lab that is described in `dir` until it is told to end, or loses its tether.
pub fn supervise(dir: &Path) -> Result<()> {
    let dir = LabDir::at(dir);
    let _lock = dir.lock()?;
    // Whoever started this may have blocked signals for itself, and the machines would inherit that, too.
    nix::sys::signal::SigSet::empty().thread_set_mask().doing(|| "unblocking signals".to_owned())?;
    // Not the terminal's business any more; an error means that this process leads a session already.
    let _ = rustix::process::setsid();
    nix::sys::prctl::set_child_subreaper(true).doing(|| "adopting orphans".to_owned())?;
    let spec = dir.read_spec()?;
    let run = RunDir::create()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting the runtime".to_owned())?;
    let result = LocalSet::new().block_on(&runtime, live(&dir, &run, spec));
    dir.forget_running();
    result
}

/// A lab that runs.
pub(crate) struct Lab {
    spec: LabSpec,
    switch: Switch,
    gateway: RwLock<Gateway>,
    forwards: RefCell<Vec<ForwardStatus>>,
    machines: Vec<Machine>,
    started: Instant,
    attached: Cell<bool>,
    end: Notify,
}

async fn live(dir: &LabDir, run: &RunDir, spec: LabSpec) -> Result<()> {
    let lab = Rc::new(build(dir, run, spec).await?);
    let control = run.path.join("control");
    let listener = control::listen(&control)?;
    dir.write_running(&Running { pid: std::process::id(), run: run.path.clone(), control })?;
    let serving = tokio::task::spawn_local(control::serve(listener, Rc::clone(&lab)));
    let tethered = tokio::task::spawn_local(tether::watch(Rc::clone(&lab)));
    let (mut term, mut int) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);

    for machine in &lab.machines {
        machine.order(Order::Start);
    }
    announce();
    tokio::select! {
        () = lab.end.notified() => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!(lab = lab.spec.name, "going down");
    serving.abort();
    tethered.abort();
    kill_all(&lab).await
}

fn announce() {
    let mut out = std::io::stdout();
    // Whoever started this may not listen.
    let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).doing(|| "listening for signals".to_owned())
}

async fn build(dir: &LabDir, run: &RunDir, spec: LabSpec) -> Result<Lab> {
    let driver: Rc<dyn Driver> = match &spec.driver {
        DriverSpec::Uml {} => Rc::new(Uml),
        DriverSpec::Qemu { program, accelerator } => {
            Rc::new(Qemu { program: program.clone(), accelerator: *accelerator })
        }
    };
    let mut network: Network = spec.network.clone();
    network.hosts.extend(spec.machines.iter().map(|machine| Host {
        name: machine.name.clone(),
        mac: machine.mac,
        address: machine.address,
    }));
    let capture = spec.capture.then(|| dir.capture());
    let mut switch = Switch::new(network, capture.as_deref())?;
    let mut gateway = Gateway::new(&switch);
    let mut forwards = Vec::new();
    for forward in &spec.forwards {
        let host = gateway.forward(forward.target).await?;
        forwards.push(ForwardStatus { name: forward.name.clone(), host, target: forward.target });
    }

    let needed = spec.machines.iter().map(|machine| u64::from(machine.memory_mib) << 20).sum();
    let memory = machine::memory_directory(needed, &dir.memory_fallback()?);
    let reaper = Rc::new(Reaper::start()?);
    let mut machines = Vec::new();
    for machine in &spec.machines {
        let place = Place {
            kept: dir.machine(&machine.name),
            run: run.path.join(&machine.name),
            memory: memory.clone(),
        };
        if machine::longest_socket(&place) > SOCKET_LIMIT {
            return Err(Error::Other(format!("{} is too long for sockets", place.run.display())));
        }
        let made = Machine::new(
            machine.clone(),
            place.clone(),
            Rc::clone(&driver),
            Rc::clone(&reaper),
            spec.farewell.clone(),
        )?;
        switch.open_port(&machine.name, &place.cable(), driver.framing())?;
        machines.push(made);
    }
    Ok(Lab {
        spec,
        switch,
        gateway: RwLock::new(gateway),
        forwards: RefCell::new(forwards),
        machines,
        started: Instant::now(),
        attached: Cell::new(true),
        end: Notify::new(),
    })
}

/// `sun_path` has 108 bytes, one of them for the final zero.
const SOCKET_LIMIT: usize = 107;

async fn kill_all(lab: &Lab) -> Result<()> {
    for machine in &lab.machines {
        machine.order(Order::Kill);
    }
    let deadline = Instant::now() + LAST_WAIT;
    // The first look is too early: the orders are carried out by tasks that have not run yet.
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let alive: Vec<_> =
            lab.machines.iter().filter(|machine| !machine.is_off()).map(Machine::name).collect();
        if alive.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Other(format!("still there after being killed: {}", alive.join(", "))));
        }
    }
}

/// A directory for sockets, private to this user and gone with this value.
struct RunDir {
    path: PathBuf,
}

impl RunDir {
    fn create() -> Result<Self> {
        let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| usable(path));
        let base = base.unwrap_or_else(|| PathBuf::from("/tmp"));
        for attempt in 0..100u32 {
            let path = base.join(format!("slipway-lab-{}-{attempt}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing(on("creating", &path)),
                Ok(()) => return Ok(RunDir { path }),
            }
        }
        Err(Error::Other(format!("{} is full of old labs", base.display())))
    }
}

/// The runtime directory is ours and short enough for sockets below it.
fn usable(path: &Path) -> bool {
    let ours = fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.permissions().mode() & 0o077 == 0);
    ours && path.as_os_str().len() <= 24 && File::open(path).is_ok()
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "run directory not removed");
        }
    }
}
