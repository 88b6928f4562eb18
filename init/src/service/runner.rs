//! Performs what `state` decides: processes, control groups, pipes.
//!
//! Each service keeps its pipe and its control group over restarts. No decision about a
//! service is taken here: what happens comes back as events. Signals go to pidfds and whole
//! groups only, never to a number.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use machine_config::service::{KillScope, OVERLAY_MAX, Overlay, Ready, StopSignal, Table, Unit};
use node_sys::event::{self, Interest, Poll};
use node_sys::fence::Fence;
use node_sys::process::{Child, Exit, Pid, Signal, Spawn};

use super::set::Id;
use super::state::{Action, Ending, Event, Instance, Verdict};
use crate::cgroup;
use crate::fence;
use crate::log::{Lines, Ring};
use crate::monotonic::Monotonic;
use crate::supervisor::token::Token;

/// Where services find their programs' programs.
const PATH: &str = "PATH=/usr/sbin:/usr/bin";
/// What the agents decided about services.
const OVERLAYS: &str = crate::agent::paths::OVERLAYS;
/// Our own program, whose `probe` asks what a spec says.
const INIT: &str = "/usr/sbin/init";
/// What one turn reads of one service's output, so that none keeps the others waiting.
const OUTPUT_PER_TURN: usize = 64 * 1024;

/// A service's processes and what belongs to them.
#[derive(Debug)]
struct Seat {
    unit: Unit,
    fence: Option<Fence>,
    group: Option<Group>,
    output: OwnedFd,
    output_write: OwnedFd,
    lines: Lines,
    ring: Ring,
    main: Option<(Instance, Child)>,
    probe: Option<(Instance, Child)>,
}

/// A service's control group.
#[derive(Debug)]
struct Group {
    path: PathBuf,
    directory: File,
    events: File,
    killed: bool,
}

/// All services' processes.
#[derive(Debug)]
pub struct Runner {
    seats: Vec<Seat>,
    notify_socket: String,
}

impl Runner {
    /// Makes the services' pipes and has `poll` watch them. Nothing is started.
    ///
    /// # Errors
    /// Those of pipe2(2) and epoll_ctl(2).
    pub fn new(table: Table, notify_socket: &Path, poll: &Poll) -> io::Result<Self> {
        let mut seats = Vec::new();
        for (index, unit) in table.units.into_iter().enumerate() {
            let (output, output_write) = event::pipe()?;
            poll.add(&output, Token::Output(Id::from_index(index)).to_raw(), Interest::Read)?;
            let fence = fence::of(&unit.sandbox)?;
            seats.push(Seat {
                unit,
                fence,
                group: None,
                output,
                output_write,
                lines: Lines::default(),
                ring: Ring::default(),
                main: None,
                probe: None,
            });
        }
        Ok(Self { seats, notify_socket: format!("NOTIFY_SOCKET={}", notify_socket.display()) })
    }

    /// Does one thing for one service; what that made happen at once, if anything.
    pub fn perform(&mut self, service: Id, action: &Action, poll: &Poll) -> Option<Event> {
        let notify_socket = self.notify_socket.clone();
        let seat = self.seats.get_mut(service.index())?;
        match action {
            Action::Start(instance) => {
                let started = seat.start(service, notify_socket, poll);
                match started {
                    Ok(child) => {
                        seat.main = Some((*instance, child));
                        None
                    }
                    Err(why) => Some(Event::Ended(*instance, Ending::NotStarted(why))),
                }
            }
            Action::Probe(instance) => match seat.start_probe() {
                Ok(child) => {
                    seat.probe = Some((*instance, child));
                    None
                }
                Err(why) => {
                    seat.ring.push(Monotonic::now(), format!("readiness probe: {why}"));
                    Some(Event::Probed(*instance, Verdict::Unclear))
                }
            },
            Action::EndProbe => {
                if let Some((_, probe)) = seat.probe.take() {
                    seat.note("ending the probe", probe.signal(Signal::Kill));
                }
                None
            }
            Action::AskToStop => {
                if let Some((_, main)) = &seat.main {
                    let done = main.signal(signal(seat.unit.stop_signal));
                    seat.note("sending the stop signal", done);
                }
                None
            }
            Action::Kill => {
                let done = match (&seat.main, seat.unit.kill) {
                    (_, KillScope::Cgroup) => seat.kill_group(),
                    (Some((_, main)), KillScope::Process) => main.signal(Signal::Kill),
                    (None, KillScope::Process) => Ok(()),
                };
                seat.note("killing", done);
                None
            }
            Action::Clear => {
                let done = seat.kill_group();
                seat.note("killing what is left", done);
                seat.is_empty().then_some(Event::Empty)
            }
            Action::Tell(_) => None,
        }
    }

    /// Whose process ended, and what that means; none for a stranger's.
    pub fn reaped(&mut self, pid: Pid, exit: Exit) -> Option<(Id, Event)> {
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let service = Id::from_index(index);
            if let Some((instance, child)) = seat.main.take_if(|(_, child)| child.pid == pid) {
                let how = match (child.failure(), exit) {
                    (Some(failure), _) => Ending::NotStarted(failure.to_string()),
                    (None, Exit::Status(status)) => Ending::Status(status),
                    (None, Exit::Signal(signal)) => Ending::Signal(signal),
                };
                return Some((service, Event::Ended(instance, how)));
            }
            if let Some((instance, _)) = seat.probe.take_if(|(_, child)| child.pid == pid) {
                let verdict = if exit == Exit::Status(0) { Verdict::Ready } else { Verdict::Unclear };
                return Some((service, Event::Probed(instance, verdict)));
            }
        }
        None
    }

    /// Whose main process has this number: only it may speak for its service.
    #[must_use]
    pub fn speaker(&self, pid: i32) -> Option<(Id, Instance)> {
        self.seats.iter().enumerate().find_map(|(index, seat)| {
            let (instance, child) = seat.main.as_ref()?;
            (child.pid.as_raw() == pid).then_some((Id::from_index(index), *instance))
        })
    }

    /// Reads what a service printed; the lines that it completed.
    pub fn read_output(&mut self, service: Id, now: Monotonic) -> Vec<String> {
        let Some(seat) = self.seats.get_mut(service.index()) else { return Vec::new() };
        let mut buffer = vec![0; OUTPUT_PER_TURN];
        let lines = match event::read_now(&seat.output, &mut buffer) {
            Ok(Some(len)) => seat.lines.take(buffer.get(..len).unwrap_or_default()),
            Ok(None) => Vec::new(),
            Err(error) => vec![format!("reading its output: {error}")],
        };
        for line in &lines {
            seat.ring.push(now, line.clone());
        }
        lines
    }

    /// A service's last lines since `since`.
    #[must_use]
    pub fn last_lines(&self, service: Id, since: Monotonic, most: usize) -> Vec<String> {
        let Some(seat) = self.seats.get(service.index()) else { return Vec::new() };
        seat.ring.tail(since, most).map(str::to_owned).collect()
    }

    /// Looks whether a service's control group has become empty.
    pub fn group_changed(&mut self, service: Id) -> Option<Event> {
        let seat = self.seats.get_mut(service.index())?;
        seat.is_empty().then_some(Event::Empty)
    }

    /// Whether this is one of our own agents, whose words are about the machine.
    #[must_use]
    pub fn is_agent(&self, service: Id) -> bool {
        self.seats.get(service.index()).is_some_and(Seat::is_agent)
    }
}

impl Seat {
    fn start(&mut self, service: Id, notify_socket: String, poll: &Poll) -> Result<Child, String> {
        // Since Linux 6.12 a process that is cloned into a group where cgroup.kill was ever written is
        // killed at birth: the kernel compares the group's count of kills with that of the parent's
        // group. So a group that was killed is replaced; it is empty, or nobody would start here again.
        if let Some(group) = self.group.as_ref().filter(|group| group.killed) {
            // Busy for a moment after its last process, sometimes: then it is tried again like any start.
            fs::remove_dir(&group.path)
                .map_err(|error| format!("replacing the control group {}: {error}", group.path.display()))?;
            // Its descriptor is closed next, which is all that the kernel needs to forget it.
            let _ = poll.remove(&group.events);
            self.group = None;
        }
        if self.group.is_none() {
            self.group = Some(self.make_group(service, poll)?);
        }
        let mut command = self.unit.exec.clone();
        let mut environment = self.environment();
        if self.unit.configured {
            let overlay = overlay(&Path::new(OVERLAYS).join(self.unit.name.as_str()))?;
            command.extend(overlay.arguments);
            environment.extend(overlay.environment);
        }
        // An agent has things to say about the machine, however it shows that it is ready.
        if matches!(self.unit.ready, Ready::Notify) || self.is_agent() {
            environment.push(notify_socket);
        }
        self.spawn(&command, &environment)
    }

    fn is_agent(&self) -> bool {
        matches!(self.unit.exec.as_slice(), [_, word, ..] if word == "agent")
    }

    fn start_probe(&self) -> Result<Child, String> {
        match &self.unit.ready {
            Ready::Probe { ask, .. } => {
                let words = [INIT, "probe"].into_iter().map(str::to_owned);
                let command: Vec<String> = words.chain(ask.iter().cloned()).collect();
                self.spawn(&command, &self.environment())
            }
            _ => Err("none is declared".to_owned()),
        }
    }

    fn environment(&self) -> Vec<String> {
        [PATH.to_owned()].into_iter().chain(self.unit.environment.iter().cloned()).collect()
    }

    fn spawn(&self, command: &[String], environment: &[String]) -> Result<Child, String> {
        Spawn {
            command,
            environment,
            output: self.output_write.as_fd(),
            cgroup: self.group.as_ref().map(|group| group.directory.as_fd()),
            user: self.unit.user,
            fence: self.fence.as_ref(),
            extra: None,
            open_files: self.unit.limits.open_files.map(u64::from),
            oom_score_adjust: self.unit.oom_score_adjust,
        }
        .start()
        .map_err(|error| format!("starting a process: {error}"))
    }

    fn make_group(&self, service: Id, poll: &Poll) -> Result<Group, String> {
        let path = Path::new(cgroup::SERVICES).join(self.unit.name.as_str());
        let make = || -> io::Result<Group> {
            fs::create_dir_all(&path)?;
            for (file, value) in cgroup::settings(&self.unit.limits, self.unit.oom_policy) {
                match fs::write(path.join(file), value) {
                    // Every service says so by default; the kernel may have no memory controller.
                    Err(error) if file != "memory.oom.group" => return Err(error),
                    _ => {}
                }
            }
            let events = File::open(path.join("cgroup.events"))?;
            poll.add(&events, Token::Group(service).to_raw(), Interest::Change)?;
            Ok(Group { directory: File::open(&path)?, events, path: path.clone(), killed: false })
        };
        make().map_err(|error| format!("making the control group {}: {error}", path.display()))
    }

    fn kill_group(&mut self) -> io::Result<()> {
        match &mut self.group {
            Some(group) => {
                group.killed = true;
                File::options().write(true).open(group.path.join("cgroup.kill"))?.write_all(b"1")
            }
            None => Ok(()),
        }
    }

    /// Whether nobody is in its group; a group that was never made has nobody.
    fn is_empty(&mut self) -> bool {
        let Some(group) = &mut self.group else { return true };
        let mut text = String::new();
        let read = group.events.rewind().and_then(|()| group.events.read_to_string(&mut text));
        // When it cannot be told, it counts as busy: a second copy would be worse than none.
        read.is_ok() && cgroup::is_empty(&text)
    }

    /// Keeps what did not work where people look for it: among the service's own lines.
    fn note(&mut self, doing: &str, done: io::Result<()>) {
        if let Err(error) = done {
            self.ring.push(Monotonic::now(), format!("init: {doing}: {error}"));
        }
    }
}

fn overlay(path: &Path) -> Result<Overlay, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(OVERLAY_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("reading {}: {error}", path.display()))?;
    Overlay::decode(&bytes).map_err(|error| format!("reading {}: {error}", path.display()))
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::Terminate,
        StopSignal::Int => Signal::Interrupt,
        StopSignal::Hup => Signal::HangUp,
        StopSignal::Quit => Signal::Quit,
        StopSignal::Usr1 => Signal::User1,
        StopSignal::Usr2 => Signal::User2,
        StopSignal::Kill => Signal::Kill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd");
        let written =
            Overlay { arguments: vec!["--name".to_owned(), "with\nline".to_owned()], environment: vec![] };
        fs::write(&path, written.encode().unwrap()).unwrap();
        assert_eq!(overlay(&path).unwrap(), written);
    }

    #[test]
    fn an_absent_overlay_is_a_reason_not_to_start() {
        let error = overlay(Path::new("/nonexistent/etcd")).unwrap_err();
        assert!(error.starts_with("reading /nonexistent/etcd: No such file"), "{error}");
    }
}
