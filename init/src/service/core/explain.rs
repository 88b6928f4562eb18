//! Why a service is not ready, link by link, in words.
//!
//! The service itself first, then whatever it waits for, and what that waits for. Reads the
//! same conditions that `settle` decides by, so that the words cannot disagree with the deed.

use machine_config::service::{EdgeKind, Place};

use super::cause::{Cause, seconds};
use super::member::{Goal, Hold, Member};
use super::services::Services;
use super::settle::Unmet;
use super::state::{Cleanup, Degradation, Preparation, StartDeadline, State, Then};
use crate::monotonic::Monotonic;

/// The longest chain that is followed; as deep as a table may be.
const LINKS_MAX: usize = machine_config::service::DEPTH_MAX;

impl Services {
    /// Why a service is as it is: one line per link, none for a service that nobody knows.
    #[must_use]
    pub fn explain(&self, place: Place) -> Vec<String> {
        let mut lines = Vec::new();
        let mut at = Some(place);
        while let Some((place, member)) = at.and_then(|place| Some((place, self.member(place)?))) {
            let (level, times) = member.failures.level(self.machine.now);
            let often = Cause::often(level, times).map(|often| format!("; {}", often.words(|_| "a need")));
            let sentence = self.sentence(place, member);
            lines.push(format!("{}: {sentence}{}", self.name(place), often.unwrap_or_default()));
            at = self.next_link(place, member).filter(|_| lines.len() < LINKS_MAX);
        }
        lines
    }

    /// Whom this one waits for.
    fn next_link(&self, place: Place, member: &Member) -> Option<Place> {
        match &member.state {
            State::Waiting => match self.unmet(place) {
                Some(Unmet::Need(edge)) => Some(edge.to),
                _ => None,
            },
            State::Blocked { on } => Some(*on),
            _ if member.state.runs() && self.is_leaving(place) => self.who_goes_first(place),
            _ => None,
        }
    }

    fn sentence(&self, place: Place, member: &Member) -> String {
        let name = |place: Place| self.name(place);
        let left = |until: Monotonic| seconds(until.since(self.machine.now));
        let last = || match &member.last_end {
            Some((failure, after)) => failure.words(*after, name),
            None => "it failed".to_owned(),
        };
        let leaving = self.leaving.get(place.index()).copied().flatten().filter(|_| member.state.runs());
        if let Some(why) = leaving {
            let first = self.who_goes_first(place).map_or("its turn", name);
            return format!("is to be {}, and waits for {first} first", why.words(name));
        }
        match &member.state {
            State::Off => self.why_off(member).to_owned(),
            State::Waiting => self.why_waiting(place, member),
            State::Blocked { on } => format!("blocked: it needs {}, which has failed", name(*on)),
            State::Preparing { stage: Preparation::Group, .. } => "its control group is being made".to_owned(),
            State::Preparing { stage: Preparation::Step(index), until } => {
                format!("step {index} before its start runs, for at most {} more", left(*until))
            }
            State::Starting(StartDeadline::Fails(until)) => {
                format!("was started and has not shown that it is ready; it is stopped in {}", left(*until))
            }
            State::Starting(_) => match member.run.health.unclear() {
                0 => "was started and has not shown that it is ready".to_owned(),
                times => {
                    format!("was started and has not shown that it is ready; it could not be asked {times} times")
                }
            },
            State::Ready => "is ready".to_owned(),
            State::Done => "its task is done".to_owned(),
            State::Degraded(Degradation::Probe) => "runs, but its probe says no".to_owned(),
            State::Degraded(Degradation::Reload) => "runs, but did not take up changed files".to_owned(),
            State::Reloading { until, .. } => format!("takes up changed files, for at most {}", left(*until)),
            State::Backoff { until } => format!("{}; started again in {}", last(), left(*until)),
            State::Stopping { why, until } => format!("{}; killed in {}", why.words(name), left(*until)),
            State::Killing { why, .. } => format!("{}; was killed and has not ended yet", why.words(name)),
            State::Cleaning { stage, then } => {
                let what = match stage {
                    Cleanup::Emptying { .. } => "what is left of it is being killed",
                    Cleanup::Step { .. } => "a step after its end runs",
                    Cleanup::Sweeping { .. } => "what its last steps left is being killed",
                    Cleanup::Removing { .. } => "its control group is being removed",
                };
                let why = if matches!(then, Then::Pause(_) | Then::Fail) { last() } else { "has ended".to_owned() };
                format!("{why}; {what}")
            }
            State::Stuck { .. } => {
                "was killed and does not end: the kernel does not let go of it; it is not started again beside \
                 what is left"
                    .to_owned()
            }
            State::Failed => format!("{}, and is not tried again until somebody starts it", last()),
        }
    }

    fn why_off(&self, member: &Member) -> &'static str {
        match (self.machine.ending, member.hold, member.goal) {
            (Some(_), ..) => "off, since the machine ends",
            (_, Some(_), _) => "off, and held",
            (.., Goal::Down) => "off: an operator stopped it",
            (.., Goal::WhenUp) => "off: it starts when the machine is up",
            (.., Goal::OnDemand) => "off: nobody wants it",
            (.., Goal::Up) => "off, about to be started",
        }
    }

    fn why_waiting(&self, place: Place, member: &Member) -> String {
        let held = if member.hold == Some(Hold::Down) { "held, and " } else { "" };
        let edge = match self.unmet(place) {
            Some(Unmet::Need(edge)) => edge,
            Some(Unmet::Held) => return "held: it is not started until it is released".to_owned(),
            Some(Unmet::NotWaiting) => return "waits, but is not wanted any more".to_owned(),
            None => {
                return "waits for its turn: the machine starts at most 20 processes per second".to_owned();
            }
        };
        let need = self.name(edge.to);
        let how = match edge.kind {
            _ if self.is_leaving(edge.to) => format!("{need}, which is about to be stopped"),
            EdgeKind::Requires => format!("{need} to be ready"),
            EdgeKind::Milestone => format!("{need} to have been ready once"),
            EdgeKind::Wants { within } => {
                let left = member.since.after(within.duration()).since(self.machine.now);
                format!("{need}, for at most {} more", seconds(left))
            }
            EdgeKind::After => format!("{need}, which comes before it"),
        };
        format!("{held}waits for {how}")
    }
}
