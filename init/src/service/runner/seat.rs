//! One service's seat: its pipe, its group, and the processes that run for it now.
//!
//! A main process, a step, a reload command: at most one of each, each with the instance that
//! it runs for. Reports are made here, from what the kernel says.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use machine_config::service::{Place, Ready, Reload, StopSignal, Unit};
use node_sys::event::{self, Interest, Poll};
use node_sys::fence::Fence;
use node_sys::process::{Child, Exit, Pid, Signal};
use node_sys::spawn::Spawn;

use super::group::Group;
use super::overlay;
use crate::agent::paths::OVERLAYS;
use crate::control::message::LogPipe;
use crate::fence;
use crate::service::core::{Digest, Ending, Instance, Report, StepKind};
use crate::supervisor::token::Token;

/// What a service may say while logd is away.
const LOG_PIPE: usize = 1024 * 1024;
/// Where services find their programs' programs.
const PATH: &str = "PATH=/usr/sbin:/usr/bin";

/// A service's place to work.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) unit: Rc<Unit>,
    pub(super) fence: Option<Arc<Fence>>,
    pub(super) group: Option<Group>,
    /// Whether the group is to be removed as soon as nothing else is to be done, unless it is wanted again before.
    pub(super) left: bool,
    /// Whether its group was to be made ahead, since it last had none.
    pub(super) ahead: bool,
    pub(super) output: OwnedFd,
    pub(super) output_write: OwnedFd,
    pub(super) main: Option<Main>,
    pub(super) step: Option<(Instance, StepKind, u16, Child)>,
    pub(super) reload: Option<(Instance, Child)>,
    /// Whose end of the group is to be told.
    pub(super) watched: Option<Instance>,
}

/// The main process of an instance.
#[derive(Debug)]
pub(super) struct Main {
    pub(super) instance: Instance,
    pub(super) child: Child,
    pub(super) overlay: Option<Digest>,
    /// Whether its program was executed or not is known, and was told.
    pub(super) settled: bool,
    /// The reading end of its descriptor for readiness.
    pub(super) readiness: Option<OwnedFd>,
}

impl Seat {
    pub(super) fn new(unit: Rc<Unit>) -> io::Result<Self> {
        let (output, output_write) = event::pipe()?;
        // Less is enough for most: it is what a service may say while nobody reads.
        let _ = event::set_pipe_size(&output, LOG_PIPE);
        let fence = fence::of(&unit.sandbox)?;
        Ok(Self {
            unit,
            fence,
            group: None,
            left: false,
            ahead: false,
            output,
            output_write,
            main: None,
            step: None,
            reload: None,
            watched: None,
        })
    }

    pub(super) fn name(&self) -> &str {
        self.unit.name.as_str()
    }

    pub(super) fn is_agent(&self) -> bool {
        matches!(self.unit.exec.as_slice(), [_, word, ..] if word == "agent")
    }

    /// What it would be called with now.
    pub(super) fn overlay(&self) -> Option<Digest> {
        let path = Path::new(OVERLAYS).join(self.unit.name.as_str());
        self.unit.configured.then(|| overlay::read(&path).ok()).flatten().map(|(_, digest)| digest)
    }

    pub(super) fn running(&self) -> Option<(Instance, i32)> {
        self.main.as_ref().map(|main| (main.instance, main.child.pid.as_raw()))
    }

    pub(super) fn pipe(&self) -> (LogPipe, BorrowedFd<'_>) {
        let log = &self.unit.log;
        let pipe = LogPipe {
            service: self.unit.name.to_string(),
            lines_per_second: log.lines_per_second,
            burst: log.burst,
            disk_mib: log.disk_mib,
        };
        (pipe, self.output())
    }

    pub(super) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Has a group in which processes can be started.
    pub(super) fn prepare(&mut self, service: Place, poll: &Poll) -> Result<(), String> {
        let was_left = std::mem::take(&mut self.left);
        if let Some(group) = &mut self.group
            && (group.is_spent() || was_left && !group.is_as_new())
        {
            group.remove(poll).map_err(|error| error.to_string())?;
            self.group = None;
        }
        if self.group.is_none() {
            self.group = Some(Group::make(&self.unit, service, poll)?);
        }
        Ok(())
    }

    /// Whether its group could be made before it is asked for.
    pub(super) fn could_be_ahead(&self) -> bool {
        self.group.is_none() && !self.ahead
    }

    /// Makes its group before it is asked for. What goes wrong is told when that happens.
    pub(super) fn make_ahead(&mut self, service: Place, poll: &Poll) {
        self.ahead = true;
        self.group = Group::make(&self.unit, service, poll).ok();
    }

    pub(super) fn run_step(
        &mut self,
        service: Place,
        instance: Instance,
        kind: StepKind,
        index: u16,
        poll: &Poll,
    ) -> Option<Report> {
        let steps = match kind {
            StepKind::Before => &self.unit.before_start,
            StepKind::After => &self.unit.after_stop,
        };
        let command = steps.get(usize::from(index)).cloned().unwrap_or_default();
        let started =
            self.prepare(service, poll).and_then(|()| self.spawn(&command, &self.environment(), None));
        match started {
            Ok(child) => {
                self.step = Some((instance, kind, index, child));
                None
            }
            Err(why) => Some(Report::StepEnded { kind, index, how: Ending::NotStarted(why) }),
        }
    }

    pub(super) fn start_main(
        &mut self,
        service: Place,
        instance: Instance,
        notify: &str,
        poll: &Poll,
    ) -> Option<Report> {
        match self.try_start(service, instance, notify, poll) {
            Ok(main) => {
                self.main = Some(main);
                None
            }
            Err(why) => Some(Report::Ended(Ending::NotStarted(why))),
        }
    }

    fn try_start(
        &mut self,
        service: Place,
        instance: Instance,
        notify: &str,
        poll: &Poll,
    ) -> Result<Main, String> {
        let mut command = self.unit.exec.clone();
        let mut environment = self.environment();
        let mut digest = None;
        if self.unit.configured {
            let (overlay, read) = overlay::read(&Path::new(OVERLAYS).join(self.unit.name.as_str()))?;
            command.extend(overlay.arguments);
            environment.extend(overlay.environment);
            digest = Some(read);
        }
        environment.push(notify.to_owned());
        let told = |error: io::Error| format!("making a pipe: {error}");
        let readiness = match self.unit.ready {
            Ready::Descriptor(number) => Some((event::pipe().map_err(told)?, number)),
            _ => None,
        };
        let extra = readiness.as_ref().map(|((_, write), number)| (write.as_fd(), *number));
        let child = self.spawn(&command, &environment, extra)?;
        let readiness = readiness.map(|((read, _), _)| read);
        let watch = || -> io::Result<()> {
            poll.add(child.failure_pipe(), Token::Execution(service).to_raw(), Interest::Read)?;
            if let Some(read) = &readiness {
                poll.add(read, Token::Readiness(service).to_raw(), Interest::Read)?;
            }
            Ok(())
        };
        if let Err(error) = watch() {
            // It runs and nobody would hear of it: it ends as it began. Its end is reaped as a stranger's.
            let _ = child.signal(Signal::Kill);
            return Err(format!("watching the new process: {error}"));
        }
        Ok(Main { instance, child, overlay: digest, settled: false, readiness })
    }

    fn environment(&self) -> Vec<String> {
        [PATH.to_owned()].into_iter().chain(self.unit.environment.iter().cloned()).collect()
    }

    fn spawn(
        &mut self,
        command: &[String],
        environment: &[String],
        extra: Option<(BorrowedFd<'_>, u8)>,
    ) -> Result<Child, String> {
        let groups: Vec<u32> = self.unit.groups.iter().map(|group| group.number()).collect();
        Spawn {
            command,
            environment,
            output: self.output_write.as_fd(),
            cgroup: self.group.as_mut().map(Group::directory),
            user: self.unit.user,
            groups: &groups,
            fence: self.fence.as_ref(),
            extra,
            open_files: self.unit.limits.open_files.map(u64::from),
            oom_score_adjust: self.unit.oom_score_adjust,
        }
        .start()
        .map_err(|error| format!("starting a process: {error}"))
    }

    /// The pipe of the new main process changed: its program was executed, or could not be. Of the
    /// latter its end tells.
    pub(super) fn executed(&mut self, poll: &Poll) -> Option<(Instance, Report)> {
        let main = self.main.as_mut().filter(|main| !main.settled)?;
        let executed = main.child.was_executed()?;
        main.settled = true;
        let _ = poll.remove(main.child.failure_pipe());
        executed.then_some((main.instance, Report::Started { overlay: main.overlay }))
    }

    pub(super) fn wrote_ready(&mut self, poll: &Poll) -> Option<(Instance, Report)> {
        let main = self.main.as_mut()?;
        let mut bytes = [0; 256];
        let read = main.readiness.as_ref().map(|pipe| event::read_now(pipe, &mut bytes));
        let len = match read? {
            Ok(None) => return None,
            Ok(Some(len)) => len,
            Err(_) => 0,
        };
        let is_line = bytes.get(..len).unwrap_or_default().contains(&b'\n');
        if (is_line || len == 0)
            && let Some(done) = main.readiness.take()
        {
            let _ = poll.remove(&done);
        }
        is_line.then_some((main.instance, Report::WroteReady))
    }

    /// Whether process `pid` runs for it.
    pub(super) fn has(&self, pid: Pid) -> bool {
        let main = self.main.iter().map(|main| &main.child);
        let step = self.step.iter().map(|(.., child)| child);
        let reload = self.reload.iter().map(|(_, child)| child);
        main.chain(step).chain(reload).any(|child| child.pid == pid)
    }

    /// What the end of process `pid` means, if it is one of this service's.
    pub(super) fn reaped(&mut self, pid: Pid, exit: Exit, poll: &Poll) -> Vec<(Instance, Report)> {
        if self.main.as_ref().is_some_and(|main| main.child.pid == pid) {
            // It may have been faster than the news that it was executed.
            let executed = self.executed(poll);
            let ready = self.wrote_ready(poll);
            let ended = self.main.take().map(|mut main| {
                if let Some(readiness) = &main.readiness {
                    let _ = poll.remove(readiness);
                }
                (main.instance, Report::Ended(ending(&mut main.child, exit)))
            });
            return [executed, ready, ended].into_iter().flatten().collect();
        }
        if let Some((instance, kind, index, mut child)) = self.step.take_if(|(.., child)| child.pid == pid) {
            return vec![(instance, Report::StepEnded { kind, index, how: ending(&mut child, exit) })];
        }
        let reload = self.reload.take_if(|(_, child)| child.pid == pid);
        let ended = |(instance, mut child)| (instance, Report::ReloadEnded(ending(&mut child, exit)));
        reload.map(ended).into_iter().collect()
    }

    pub(super) fn signal_main(&self, wanted: StopSignal) -> io::Result<()> {
        self.main.as_ref().map_or(Ok(()), |main| main.child.signal(signal(wanted)))
    }

    pub(super) fn signal_group(&self, wanted: StopSignal) -> io::Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.signal(signal(wanted)))
    }

    pub(super) fn kill_main(&self) -> io::Result<()> {
        self.main.as_ref().map_or(Ok(()), |main| main.child.signal(Signal::Kill))
    }

    pub(super) fn kill_step(&self) -> io::Result<()> {
        self.step.as_ref().map_or(Ok(()), |(.., child)| child.signal(Signal::Kill))
    }

    pub(super) fn kill_reload(&self) -> io::Result<()> {
        self.reload.as_ref().map_or(Ok(()), |(_, child)| child.signal(Signal::Kill))
    }

    pub(super) fn run_reload(&mut self, instance: Instance) -> Option<Report> {
        let unit = Rc::clone(&self.unit);
        let started = match &unit.reload {
            Some(Reload::Command(command)) => self.spawn(command, &self.environment(), None),
            _ => Err("no command is declared".to_owned()),
        };
        match started {
            Ok(child) => {
                self.reload = Some((instance, child));
                None
            }
            Err(why) => Some(Report::ReloadEnded(Ending::NotStarted(why))),
        }
    }

    pub(super) fn kill_group(&mut self) -> io::Result<()> {
        self.group.as_mut().map_or(Ok(()), Group::kill)
    }

    pub(super) fn watch_group(&mut self, instance: Instance, poll: &Poll) -> Option<Report> {
        self.watched = Some(instance);
        let told = self.tell_if_empty(poll).or_else(|| {
            // Looked at again, or its last process could have ended before it was watched. What cannot be watched is
            // told when it is asked for again, which the core does.
            let _ = self.group.as_mut().map(|group| group.watch(poll));
            self.tell_if_empty(poll)
        });
        told.map(|(_, report)| report)
    }

    fn tell_if_empty(&mut self, poll: &Poll) -> Option<(Instance, Report)> {
        // Looked at in any case: what is not read is reported as changed again and again.
        let empty = self.group.as_mut().is_none_or(Group::is_empty);
        let instance = self.watched.take_if(|_| empty)?;
        if let Some(group) = &mut self.group {
            group.unwatch(poll);
        }
        Some((instance, Report::GroupEmpty))
    }

    pub(super) fn group_changed(&mut self, poll: &Poll) -> Vec<(Instance, Report)> {
        let running = self.main.as_ref().map(|main| main.instance);
        let killed = self.group.as_mut().is_some_and(Group::was_out_of_memory);
        let out_of_memory = running.filter(|_| killed).map(|instance| (instance, Report::OutOfMemory));
        out_of_memory.into_iter().chain(self.tell_if_empty(poll)).collect()
    }

    /// Removes the group, as soon as nothing else is to be done: a service that is restarted at once gets it again.
    pub(super) fn remove_group(&mut self, poll: &Poll) -> io::Result<()> {
        self.left = self.group.as_mut().is_some_and(Group::is_as_new);
        if self.left { Ok(()) } else { self.remove_now(poll) }
    }

    /// Keeps the group for the next instance, if that can have it as it is.
    pub(super) fn spare_group(&mut self, poll: &Poll) -> io::Result<()> {
        let can_stay = self.group.as_mut().is_some_and(Group::is_as_new);
        if can_stay { Ok(()) } else { self.remove_now(poll) }
    }

    /// What was left is removed. What cannot be stays, and is removed before another instance starts.
    pub(super) fn tidy(&mut self, poll: &Poll) {
        if std::mem::take(&mut self.left)
            && self.remove_now(poll).is_err()
            && let Some(group) = &mut self.group
        {
            group.set_spent(true);
        }
    }

    fn remove_now(&mut self, poll: &Poll) -> io::Result<()> {
        if let Some(group) = &self.group {
            group.remove(poll)?;
        }
        self.group = None;
        self.ahead = false;
        Ok(())
    }
}

fn ending(child: &mut Child, exit: Exit) -> Ending {
    match (child.failure(), exit) {
        (Some(failure), _) => Ending::NotStarted(failure.to_string()),
        (None, Exit::Status(status)) => Ending::Status(status),
        (None, Exit::Signal(signal)) => Ending::Signal(signal),
    }
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
