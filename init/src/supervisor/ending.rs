//! The machine's end as long as services are part of it: announced, stopped, swept, logs written out.
//!
//! `service::core::Plan` says which phase is on and until when; here is what each phase does and
//! how it is seen to be done. From the first unmount on nobody is left to supervise: that is
//! `shutdown`'s.

use serde::{Deserialize, Serialize};

use super::Supervisor;
use crate::console::Subject;
use crate::control::message::{Answer, Ending};
use crate::control::server::Client;
use crate::monotonic::Monotonic;
use crate::service::core::{Entry, Phase, Plan};
use crate::shutdown::sweep;

/// What has been done for the end, and who is told of it before it begins, with something to do first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Herald {
    client: Option<Client>,
    told: bool,
    /// Whether what was left was killed.
    swept: bool,
}

impl Herald {
    /// `client` wants to be told.
    pub(super) fn is_at(&mut self, client: Client) {
        (self.client, self.told) = (Some(client), false);
    }

    /// `client` is gone, or has done what it had to do.
    pub(super) fn is_done(&mut self, client: Client) {
        self.client.take_if(|at| *at == client);
    }
}

impl Supervisor {
    /// Somebody at the machine wants it to end: whoever presses a button once more may just not have seen
    /// anything happen yet, and whoever does not stop means it.
    pub(super) fn pressed(&mut self, ending: Ending, reason: &str, now: Monotonic) {
        if self.insistence.press(now) || self.shutdown.is_none() {
            self.end(ending, reason, now);
        }
    }

    /// Begins the end; asked a second time, services have no more time.
    pub(super) fn end(&mut self, ending: Ending, reason: &str, now: Monotonic) {
        if let Some(plan) = &mut self.shutdown {
            plan.again(now);
            return;
        }
        self.tell();
        self.console.say(now, Subject::Machine, &format!("shutting down ({ending})"));
        let plan = Plan::begin(ending, Entry::Request, now);
        self.dog.bite_at(plan.bites(), now);
        self.changed = true;
        self.shutdown = Some(plan);
        let steps = self.services.announce_end(ending, reason, now);
        self.perform(steps, now);
    }

    /// Goes on with the end as far as it goes now; the plan, once PID 1 is needed for the rest of it.
    pub(super) fn go_on_ending(&mut self, now: Monotonic) -> Option<Plan> {
        loop {
            let (phase, ending) = self.shutdown.as_ref().map(|plan| (plan.phase(), plan.ending()))?;
            let done = match phase {
                Phase::Latch => true,
                Phase::Announce => self.is_announced(ending),
                Phase::Stop => {
                    let steps = self.services.shut_down(ending, "its time has come", now);
                    self.perform(steps, now);
                    self.services.all_stopped()
                }
                Phase::Kill => {
                    self.sweep(ending, now);
                    sweep::has_gone(&self.services.spared())
                }
                Phase::Flush => {
                    let steps = self.services.shut_down_rest(ending, now);
                    self.perform(steps, now);
                    self.services.all_stopped()
                }
                Phase::Unmount | Phase::Sync | Phase::Reboot => return self.shutdown.take(),
            };
            let plan = self.shutdown.as_mut()?;
            let moved = if done { plan.done(phase, now) } else { plan.time(now) };
            if !moved {
                return None;
            }
        }
    }

    /// Whether everybody who wanted to know of the end has done what it had to do.
    fn is_announced(&mut self, ending: Ending) -> bool {
        let Some(client) = self.herald.client else { return true };
        if !std::mem::replace(&mut self.herald.told, true) {
            self.server.answer(client, &Answer::MachineEnds(ending), &[], &self.poll);
        }
        false
    }

    /// Kills whatever is left but for those that work until the end, once.
    fn sweep(&mut self, ending: Ending, now: Monotonic) {
        if std::mem::replace(&mut self.herald.swept, true) {
            return;
        }
        // Whoever insisted has left out the phases before.
        let steps = self.services.shut_down(ending, "its time has come", now);
        self.perform(steps, now);
        if let Err(error) = sweep::kill(&self.services.spared()) {
            let text = format!("problem: killing what is left: {error}");
            self.console.say(now, Subject::Machine, &text);
        }
    }
}
