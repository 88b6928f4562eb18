//! Performs what `core` wants: processes, control groups, pipes; reports how it went.
//!
//! Each service has a seat for as long as PID 1 lives, with the pipe that it prints into. No
//! decision about a service is taken here. Signals go to pidfds and whole groups only, never to
//! a number. `seat` is one service, `group` its control group, `overlay` what the config adds.

mod group;
mod overlay;
mod saved;
mod seat;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::rc::Rc;

use machine_config::service::{Place, Unit};
use node_sys::event::Poll;
use node_sys::process::{Exit, Pid};

pub use self::saved::SavedSeat;
use self::seat::Seat;
use super::core::{Action, Belief, Deed, Digest, Event, Instance, Report};
use crate::control::message::LogPipe;
use crate::remembered::Remembered;
use crate::supervisor::token::Token;

/// All services' processes.
#[derive(Debug)]
pub struct Runner {
    seats: Remembered<Seat>,
    notify: String,
}

impl Runner {
    /// A seat for each of these services, by place. Nothing is started.
    ///
    /// # Errors
    /// Those of pipe2(2), and of a table that no builder made.
    pub fn new(units: &[Rc<Unit>], notify_socket: &Path) -> io::Result<Self> {
        let seats = units.iter().map(|unit| Seat::new(Rc::clone(unit))).collect::<io::Result<_>>()?;
        Ok(Self { seats: Remembered::new(seats), notify: notify(notify_socket) })
    }

    /// What a successor must know, by place.
    #[must_use]
    pub fn save(&self) -> Vec<SavedSeat> {
        self.seats.iter().map(Seat::save).collect()
    }

    /// Adds the same to `bytes`, encoded.
    ///
    /// # Errors
    /// None that seats in memory can cause.
    pub fn encode(&mut self, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
        self.seats.encode(bytes, Seat::save)
    }

    /// Goes on where a predecessor ended: no process is started or stopped by it.
    ///
    /// # Errors
    /// A descriptor is not what it should be; those of epoll_ctl(2).
    pub fn restore(
        units: &[Rc<Unit>],
        saved: Vec<SavedSeat>,
        notify_socket: &Path,
        poll: &Poll,
    ) -> io::Result<Self> {
        let seats = units.iter().zip(saved).zip(0..);
        let seat = |((unit, saved), place)| Seat::restore(Rc::clone(unit), saved, Place(place), poll);
        let seats = seats.map(seat).collect::<io::Result<_>>()?;
        Ok(Self { notify: notify(notify_socket), seats: Remembered::new(seats) })
    }

    /// After a fault of PID 1: what the core believes to run and what does is brought together. Reports come of it.
    pub fn reconcile(&mut self, service: Place, belief: &Belief) -> Vec<Event> {
        let Some(seat) = self.seats.get_mut(service.index()) else { return Vec::new() };
        let instance = belief.instance;
        let event = |report| Event::Report { service, instance, report };
        seat.reconcile(belief).into_iter().map(event).collect()
    }

    /// Does one thing for one service; what that made happen at once, if anything.
    /// Questions are not for the runner but for whoever talks to probed.
    pub fn perform(
        &mut self,
        service: Place,
        instance: Instance,
        action: &Action,
        poll: &Poll,
    ) -> Option<Event> {
        let seat = self.seats.get_mut(service.index())?;
        let report = match action {
            Action::Prepare => Some(match seat.prepare(service, poll) {
                Ok(()) => Report::Prepared,
                Err(why) => Report::CouldNot(Deed::Prepare, why),
            }),
            Action::RunStep { kind, index } => seat.run_step(service, instance, *kind, *index, poll),
            Action::KillStep => could_not(Deed::Kill, seat.kill_step()),
            Action::StartMain => seat.start_main(service, instance, &self.notify, poll),
            Action::SignalMain(signal) => could_not(Deed::Signal, seat.signal_main(*signal)),
            Action::SignalGroup(signal) => {
                let empty = seat.watch_group(instance, poll);
                empty.or_else(|| could_not(Deed::Signal, seat.signal_group(*signal)))
            }
            Action::KillMain => could_not(Deed::Kill, seat.kill_main()),
            Action::KillGroup => match seat.kill_group() {
                Ok(()) => seat.watch_group(instance, poll),
                Err(error) => could_not(Deed::Kill, Err(error)),
            },
            Action::WatchGroup => seat.watch_group(instance, poll),
            Action::RemoveGroup => Some(match seat.remove_group(poll) {
                Ok(()) => Report::GroupRemoved,
                Err(error) => Report::CouldNot(Deed::Remove, error.to_string()),
            }),
            Action::SpareGroup => Some(match seat.spare_group(poll) {
                Ok(()) => Report::GroupRemoved,
                Err(error) => Report::CouldNot(Deed::Remove, error.to_string()),
            }),
            Action::RunReload => seat.run_reload(instance),
            Action::KillReload => could_not(Deed::Kill, seat.kill_reload()),
            Action::Ask { .. } | Action::Forget(_) | Action::FreezeLog => None,
        };
        report.map(|report| Event::Report { service, instance, report })
    }

    /// Whether groups were left behind.
    #[must_use]
    pub fn is_untidy(&self) -> bool {
        self.seats.iter().any(|seat| seat.left)
    }

    /// Removes groups that were left behind and that nobody has wanted again since.
    pub fn tidy(&mut self, poll: &Poll) {
        self.seats.iter_mut(|seat| seat.left).for_each(|seat| seat.tidy(poll));
    }

    /// Whether a service's group could be made before it is asked for.
    #[must_use]
    pub fn could_be_ahead(&self, service: Place) -> bool {
        self.seats.get(service.index()).is_some_and(Seat::could_be_ahead)
    }

    /// Makes it: a group takes as long as all the rest of a start.
    pub fn make_ahead(&mut self, service: Place, poll: &Poll) {
        if let Some(seat) = self.seats.get_mut(service.index()) {
            seat.make_ahead(service, poll);
        }
    }

    /// Whose process ended, and what that means; none for a stranger's.
    pub fn reaped(&mut self, pid: Pid, exit: Exit, poll: &Poll) -> Vec<Event> {
        let Some(place) = self.seats.iter().position(|seat| seat.has(pid)) else { return Vec::new() };
        let reports = self.seats.get_mut(place).map(|seat| seat.reaped(pid, exit, poll)).unwrap_or_default();
        let service = Place(u16::try_from(place).unwrap_or(u16::MAX));
        let event = |(instance, report)| Event::Report { service, instance, report };
        reports.into_iter().map(event).collect()
    }

    /// The pipe on which a new process would say why it never ran has something, or was closed by its exec.
    pub fn execution_changed(&mut self, service: Place, poll: &Poll) -> Option<Event> {
        let (instance, report) = self.seats.get_mut(service.index())?.executed(poll)?;
        Some(Event::Report { service, instance, report })
    }

    /// A service wrote to its descriptor for readiness, or closed it.
    pub fn readiness_written(&mut self, service: Place, poll: &Poll) -> Option<Event> {
        let (instance, report) = self.seats.get_mut(service.index())?.wrote_ready(poll)?;
        Some(Event::Report { service, instance, report })
    }

    /// Looks at a service's control group, whose events changed.
    pub fn group_changed(&mut self, service: Place, poll: &Poll) -> Vec<Event> {
        let Some(seat) = self.seats.get_mut(service.index()) else { return Vec::new() };
        let reports = seat.group_changed(poll);
        let event = |(instance, report)| Event::Report { service, instance, report };
        reports.into_iter().map(event).collect()
    }

    /// Which running instance process `pid` may speak for: one of its own group.
    #[must_use]
    pub fn speaker(&self, pid: i32) -> Option<(Place, Instance)> {
        let of_main = self.seats.iter().zip(0..).find_map(|(seat, place)| {
            Some((Place(place), seat.running().filter(|(_, main)| *main == pid)?.0))
        });
        of_main.or_else(|| {
            let name = group::service_of(pid)?;
            let place = self.seats.iter().position(|seat| seat.name() == name)?;
            let (instance, _) = self.seats.get(place)?.running()?;
            Some((Place(u16::try_from(place).ok()?), instance))
        })
    }

    /// What a service would be called with if it were started now.
    #[must_use]
    pub fn overlay(&self, service: Place) -> Option<Digest> {
        self.seats.get(service.index())?.overlay()
    }

    /// The reading ends of all services' pipes, with what names them.
    pub fn outputs(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Token)> + Clone {
        self.seats.iter().zip(0..).map(|(seat, place)| (seat.output(), Token::Output(Place(place))))
    }

    /// The reading end of a service's pipe.
    #[must_use]
    pub fn output(&self, service: Place) -> Option<BorrowedFd<'_>> {
        self.seats.get(service.index()).map(Seat::output)
    }

    /// A service's main process.
    #[must_use]
    pub fn main(&self, service: Place) -> Option<i32> {
        self.seats.get(service.index())?.running().map(|(_, pid)| pid)
    }

    /// The reading ends of all services' pipes, with what logd must know of each.
    pub fn pipes(&self) -> impl Iterator<Item = (LogPipe, BorrowedFd<'_>)> {
        self.seats.iter().map(Seat::pipe)
    }

    /// Whether this is one of our own agents, whose words are about the machine.
    #[must_use]
    pub fn is_agent(&self, service: Place) -> bool {
        self.seats.get(service.index()).is_some_and(Seat::is_agent)
    }
}

fn notify(socket: &Path) -> String {
    format!("NOTIFY_SOCKET={}", socket.display())
}

fn could_not(deed: Deed, done: io::Result<()>) -> Option<Report> {
    done.err().map(|error| Report::CouldNot(deed, error.to_string()))
}
