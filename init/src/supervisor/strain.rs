//! When nobody may be judged by its liveness: the clock was set, or the CPU is too short for all.
//!
//! The kernel tells of both; the core decides what follows. A kernel that cannot tell is no reason
//! not to supervise.

use std::path::Path;
use std::time::Duration;

use node_sys::alarm::{ClockSteps, Pressure};
use node_sys::event::{Interest, Poll};

use super::token::Token;
use crate::monotonic::Monotonic;
use crate::service::core::Event;

/// Where the kernel tells how long processes wait for a CPU.
const CPU: &str = "/proc/pressure/cpu";
/// Too long: 60 % of the time.
const STALLED: Duration = Duration::from_millis(1200);
/// The time in which it is counted; the kernel tells once in it at most.
const WINDOW: Duration = Duration::from_secs(2);
/// So long after the last word of it the CPU is no longer short.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// What is watched, and how it is.
#[derive(Debug)]
pub(super) struct Strain {
    steps: Option<ClockSteps>,
    _pressure: Option<Pressure>,
    until: Option<Monotonic>,
}

impl Strain {
    /// Watches from now on, as far as the kernel can tell; what it cannot, in words. A CPU that a predecessor
    /// may have known to be short, since `may_be_short` is some moment, is taken to be so for a while.
    pub(super) fn watch(poll: &Poll, may_be_short: Option<Monotonic>) -> (Self, Vec<String>) {
        let mut untold = Vec::new();
        let steps = ClockSteps::watch().and_then(|steps| {
            poll.add(&steps, Token::Clock.to_raw(), Interest::Read)?;
            Ok(steps)
        });
        let pressure = Pressure::watch(Path::new(CPU), STALLED, WINDOW).and_then(|cpu| {
            poll.add(&cpu, Token::Pressure.to_raw(), Interest::Change)?;
            Ok(cpu)
        });
        let steps = steps.map_err(|error| untold.push(format!("watching for a set clock: {error}"))).ok();
        let pressure = pressure.map_err(|error| untold.push(format!("watching {CPU}: {error}"))).ok();
        (Self { steps, _pressure: pressure, until: may_be_short.map(|now| now.after(OVER_AFTER)) }, untold)
    }

    /// The kernel told of the clock.
    pub(super) fn clock(&mut self, poll: &Poll) -> Option<Event> {
        match self.steps.as_ref()?.stepped() {
            Ok(stepped) => stepped.then_some(Event::ClockJumped),
            Err(_) => {
                // It would be reported as ready for ever.
                let steps = self.steps.take()?;
                let _ = poll.remove(&steps);
                None
            }
        }
    }

    /// The kernel told of the CPU.
    pub(super) fn short(&mut self, now: Monotonic) -> Option<Event> {
        let was = self.until.replace(now.after(OVER_AFTER));
        was.is_none().then_some(Event::Pressure { high: true })
    }

    /// Whether the CPU is short.
    pub(super) fn is_short(&self) -> bool {
        self.until.is_some()
    }

    /// When [`Self::time`] has something to say.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.until
    }

    /// Time has passed.
    pub(super) fn time(&mut self, now: Monotonic) -> Option<Event> {
        self.until.take_if(|until| *until <= now).map(|_| Event::Pressure { high: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1000)
    }

    #[test]
    fn a_short_cpu_is_told_once_and_is_over_when_nothing_is_heard_of_it_for_ten_seconds() {
        let mut strain = Strain { steps: None, _pressure: None, until: None };
        assert_eq!(strain.short(at(1)), Some(Event::Pressure { high: true }));
        assert_eq!(strain.short(at(8)), None, "it goes on");
        assert_eq!(strain.time(at(11)), None);
        assert_eq!(strain.due(), Some(at(18)));
        assert_eq!(strain.time(at(18)), Some(Event::Pressure { high: false }));
        assert_eq!((strain.due(), strain.time(at(30))), (None, None));
    }
}
