//! A seat as numbers: what a successor of PID 1 needs to go on, and how it does.
//!
//! Children and descriptors live on over an exec; groups are found again by their names. After a
//! fault the saved picture may be a turn old, so it is compared with what is there
//! ([`Seat::reconcile`]): a process that nobody knows of is taken over, never doubled.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use machine_config::service::{KillScope, Place, Unit};
use node_sys::adoption::KeptChild;
use node_sys::event::{Interest, Poll};
use node_sys::process::Child;
use node_sys::resume;
use serde::{Deserialize, Serialize};

use super::group::Group;
use super::seat::{Main, Seat};
use crate::fence;
use crate::service::core::{Belief, Digest, Ending, Instance, Report, StepKind};
use crate::supervisor::token::Token;

/// One service's seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSeat {
    output: (RawFd, RawFd),
    /// Whether there is a group, and whether it is spent.
    group: Option<bool>,
    left: bool,
    main: Option<SavedMain>,
    step: Option<(Instance, StepKind, u16, SavedChild)>,
    reload: Option<(Instance, SavedChild)>,
    watched: Option<Instance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedMain {
    instance: Instance,
    child: SavedChild,
    overlay: Option<Digest>,
    settled: bool,
    readiness: Option<RawFd>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedChild {
    pid: i32,
    pidfd: RawFd,
    failure: RawFd,
    report: Option<[u8; 8]>,
}

impl SavedChild {
    fn of(child: &Child) -> Self {
        let KeptChild { pid, pidfd, failure, report } = child.kept();
        Self { pid, pidfd, failure, report }
    }

    fn adopt(self) -> io::Result<Child> {
        let Self { pid, pidfd, failure, report } = self;
        Child::adopt(KeptChild { pid, pidfd, failure, report })
    }
}

impl SavedSeat {
    /// All its descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let main = self.main.iter().map(|main| &main.child);
        let step = self.step.iter().map(|(.., child)| child);
        let reload = self.reload.iter().map(|(_, child)| child);
        let children = main.chain(step).chain(reload).flat_map(|child| [child.pidfd, child.failure]);
        let readiness = self.main.iter().filter_map(|main| main.readiness);
        children.chain(readiness).chain([self.output.0, self.output.1])
    }
}

impl Seat {
    pub(super) fn save(&self) -> SavedSeat {
        SavedSeat {
            output: (self.output.as_raw_fd(), self.output_write.as_raw_fd()),
            group: self.group.as_ref().map(Group::is_spent),
            left: self.left,
            main: self.main.as_ref().map(|main| SavedMain {
                instance: main.instance,
                child: SavedChild::of(&main.child),
                overlay: main.overlay,
                settled: main.settled,
                readiness: main.readiness.as_ref().map(|pipe| pipe.as_raw_fd()),
            }),
            step: self
                .step
                .as_ref()
                .map(|(instance, kind, index, child)| (*instance, *kind, *index, SavedChild::of(child))),
            reload: self.reload.as_ref().map(|(instance, child)| (*instance, SavedChild::of(child))),
            watched: self.watched,
        }
    }

    pub(super) fn restore(unit: Rc<Unit>, saved: SavedSeat, place: Place, poll: &Poll) -> io::Result<Self> {
        let SavedSeat { output: (read, write), group, left, main, step, reload, watched } = saved;
        let group = match group {
            Some(spent) => {
                let mut group = Group::make(&unit, place, poll).map_err(io::Error::other)?;
                group.set_spent(spent);
                if watched.is_some() {
                    group.watch(poll)?;
                }
                Some(group)
            }
            None => None,
        };
        let main = main.map(|main| main.restore(place, poll)).transpose()?;
        let step = step
            .map(|(instance, kind, index, child)| child.adopt().map(|child| (instance, kind, index, child)));
        let reload = reload.map(|(instance, child)| child.adopt().map(|child| (instance, child)));
        Ok(Self {
            fence: fence::of(&unit.sandbox)?,
            unit,
            group,
            left,
            ahead: false,
            output: resume::adopt(read)?,
            output_write: resume::adopt(write)?,
            main,
            step: step.transpose()?,
            reload: reload.transpose()?,
            watched,
        })
    }

    /// Takes over, or reports as ended, what the core believes to run.
    pub(super) fn reconcile(&mut self, belief: &Belief) -> Vec<Report> {
        let lost = || Ending::NotStarted("lost while PID 1 recovered from a fault".to_owned());
        let mut reports = Vec::new();
        self.main.take_if(|main| !main.child.is_there() || main.instance != belief.instance);
        self.step.take_if(|(.., child)| !child.is_there());
        self.reload.take_if(|(_, child)| !child.is_there());
        if belief.main && self.main.is_none() {
            self.main = self.stranger().map(|child| Main {
                instance: belief.instance,
                child,
                overlay: self.overlay(),
                settled: false,
                readiness: None,
            });
            reports.push(match &self.main {
                Some(main) => Report::Started { overlay: main.overlay },
                None => Report::Ended(lost()),
            });
            if let Some(main) = &mut self.main {
                main.settled = true;
            }
        }
        if let (Some((kind, index)), None) = (belief.step, &self.step) {
            reports.push(Report::StepEnded { kind, index, how: lost() });
        }
        if belief.reload && self.reload.is_none() {
            reports.push(Report::ReloadEnded(lost()));
        }
        reports
    }

    /// A process in the group that nobody knows of and that is a child of ours: the main process that was
    /// started when the fault came. Where children outlive their parents, it is known by its program.
    fn stranger(&self) -> Option<Child> {
        let known =
            [self.step.as_ref().map(|(.., child)| child), self.reload.as_ref().map(|(_, child)| child)];
        let is_known = |pid: i32| known.iter().flatten().any(|child| child.pid.as_raw() == pid);
        let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
        let own = program(1);
        let may_be = |pid: &i32| {
            !is_known(*pid)
                && (self.unit.kill == KillScope::Cgroup
                    || program(*pid).is_some_and(|at| {
                        Some(&at) == own.as_ref()
                            || self.unit.exec.first().is_some_and(|exec| at == *exec.as_str())
                    }))
        };
        let pids = self.group.as_ref()?.processes().into_iter().filter(|pid| parent(*pid) == Some(1));
        pids.filter(may_be).find_map(|pid| Child::found(pid).ok())
    }
}

impl SavedMain {
    fn restore(self, place: Place, poll: &Poll) -> io::Result<Main> {
        let child = self.child.adopt()?;
        if !self.settled {
            poll.add(child.failure_pipe(), Token::Execution(place).to_raw(), Interest::Read)?;
        }
        let readiness = self.readiness.map(resume::adopt).transpose()?;
        if let Some(pipe) = &readiness {
            poll.add(pipe, Token::Readiness(place).to_raw(), Interest::Read)?;
        }
        let Self { instance, overlay, settled, .. } = self;
        Ok(Main { instance, child, overlay, settled, readiness })
    }
}

/// The parent of a process, from its line in /proc: after the name, which may hold anything.
fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_s_parent_is_known() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(parent(own), i32::try_from(std::os::unix::process::parent_id()).ok());
        assert_eq!(parent(-1), None);
    }
}
