//! A service as others see it: the fields of `control::message::ServiceView`.
//!
//! What only the shell knows (the process's number, what the service said of itself) is left
//! empty for the shell to fill in.

use machine_config::service::Place;

use super::services::Services;
use crate::control::message::{ServiceView, Stamps};

impl Services {
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
            alarm: member.alarm.clone(),
            milestone: unit.milestone,
            could_not_ask: member.run.health.unclear(),
        })
    }
}
