//! A service as others see it: the fields of `control::message::ServiceView`, and for a
//! successor of PID 1 what the core believes to be alive.
//!
//! What only the shell knows (the process's number, what the service said of itself) is left
//! empty for the shell to fill in.

use machine_config::service::Place;

use super::event::{Instance, Question, StepKind};
use super::services::Services;
use super::state::{Cleanup, Preparation, State};
use crate::control::message::{ServiceView, Stamps};

/// What the core believes of a service's processes. A successor of PID 1 that finds one of them gone reports
/// its end; it never starts one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belief {
    /// Whose they are.
    pub instance: Instance,
    /// Whether its main process lives.
    pub main: bool,
    /// The step that runs.
    pub step: Option<(StepKind, u16)>,
    /// Whether its reload command runs.
    pub reload: bool,
    /// The question that is on its way.
    pub question: Option<Question>,
}

impl Services {
    /// What is believed of a service's processes.
    #[must_use]
    pub fn belief(&self, place: Place) -> Option<Belief> {
        let member = self.member(place)?;
        let step = match member.state {
            State::Preparing { stage: Preparation::Step(index), .. } => Some((StepKind::Before, index)),
            State::Cleaning { stage: Cleanup::Step { index, .. }, .. } => Some((StepKind::After, index)),
            _ => None,
        };
        Some(Belief {
            instance: member.run.instance,
            main: member.run.main,
            step: step.filter(|_| member.run.step),
            reload: member.run.reload,
            question: member.run.health.asked.map(|asked| asked.question),
        })
    }

    /// A service as it is now.
    #[must_use]
    pub fn view(&self, place: Place) -> Option<ServiceView> {
        let (unit, member) = (self.unit(place)?, self.member(place)?);
        let name = |place: Place| self.name(place);
        Some(ServiceView {
            name: unit.name.as_str().to_owned(),
            description: unit.description.clone(),
            wanted: member.desired,
            state: member.state.name(),
            since: member.since.millis(),
            pid: None,
            starts: member.starts,
            failures: member.backoff.failures(member.ready_for(self.machine.now)),
            held: member.hold.is_some(),
            last_end: member.last_end.as_ref().map(|(failure, after)| failure.words(*after, name)),
            status: None,
            stamps: Stamps { ..member.stamps },
            alarm: member.concern(self.machine.now),
            degrades_node: member.degrades_node(self.machine.now),
            milestone: unit.milestone,
            could_not_ask: member.run.health.unclear(),
        })
    }
}
