//! A machine's power as a state machine, without processes and clocks: events in, actions out.
//!
//! Its picture is at [`Power`]; processes and timers are `runner`'s. A crash is what a reset
//! button would make of it: the machine starts again, but no more than `CRASH_LIMIT` times
//! within `CRASH_WINDOW`, so that a machine which cannot boot ends as a failed machine and not
//! as a busy host.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Crashes after which a machine stays off.
pub const CRASH_LIMIT: usize = 5;
/// The time within which they count.
pub const CRASH_WINDOW: Duration = Duration::from_secs(60);

/// How a machine's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With status 0: the guest switched itself off.
    Clean,
    /// With another status.
    Status(i32),
    /// By a signal; 6 is a guest kernel's panic under User-mode Linux.
    Signal(i32),
}

/// Why a machine is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Off {
    /// It was never switched on.
    NotStarted,
    /// Somebody asked for it.
    Asked,
    /// It switched itself off.
    PoweredOff,
    /// It crashed too often.
    GaveUp,
}

/// Where a machine's process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is no process.
    Off(Off),
    /// The process runs.
    On,
    /// The power button was pressed; after `deadline` it is held down.
    Stopping {
        /// Since the lab's start.
        deadline: Duration,
    },
    /// The power button was pressed to have the guest restart; after `deadline` the reset button is.
    Rebooting {
        /// Since the lab's start.
        deadline: Duration,
    },
    /// The process was killed and has not been seen dead yet.
    Dying {
        /// Whether it is switched on again afterwards.
        again: bool,
    },
}

/// What happened to a machine, or what somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Switch it on.
    Start,
    /// Press the power button, and hold it down after this long.
    Stop(Duration),
    /// Press the power button, and have the machine on afterwards; reset it if that takes longer than this.
    Reboot(Duration),
    /// Pull the plug.
    Kill,
    /// Press the reset button.
    Reset,
    /// Pull the plug and put it back.
    Cycle,
    /// The process ended.
    Exited(Exit),
    /// The guest wrote its last line before a restart.
    Farewell,
    /// A moment that `WakeAt` asked for has come.
    Wake,
}

/// What the runner has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the process.
    Spawn,
    /// Ask the guest to shut down.
    PressPower,
    /// Reset the guest, keeping the process.
    ResetInPlace,
    /// Kill the process group.
    Kill,
    /// Come back with `Event::Wake` then.
    WakeAt(Duration),
}

/// What a driver's machines can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// The process outlives a reset of its guest.
    pub reset_in_place: bool,
}

/// One machine's power.
///
/// ```text
///            Start                 Stop                    farewell or deadline
///   Off ------------> On ------------------> Stopping ------------------------> Dying
///    ^                |  Kill/Reset/Cycle: Dying --exited--> Off, or On again     |
///    +-- exit 0 ------+-- crash: On again, unless too often <---------------------+
/// ```
#[derive(Debug)]
pub struct Power {
    state: State,
    abilities: Abilities,
    crashes: VecDeque<Duration>,
}

impl Power {
    /// A machine that is off.
    pub fn new(abilities: Abilities) -> Self {
        Power { state: State::Off(Off::NotStarted), abilities, crashes: VecDeque::new() }
    }

    /// Where the machine is now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes an event in at `now`, counted from the lab's start.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let in_place = self.abilities.reset_in_place;
        match (self.state, event) {
            (State::Off(_), Event::Start | Event::Reset | Event::Cycle | Event::Reboot(_)) => {
                self.crashes.clear();
                self.to(State::On, Action::Spawn)
            }
            (State::Dying { .. }, Event::Start | Event::Reboot(_)) => self.change_wish(true),
            (State::Dying { .. }, Event::Kill | Event::Stop(_)) => self.change_wish(false),

            (State::On | State::Rebooting { .. }, Event::Stop(patience)) => {
                let deadline = now.saturating_add(patience);
                self.state = State::Stopping { deadline };
                vec![Action::PressPower, Action::WakeAt(deadline)]
            }
            (State::Stopping { .. }, Event::Farewell) => self.to(State::Dying { again: false }, Action::Kill),
            (State::Stopping { deadline }, Event::Wake) if now >= deadline => {
                self.to(State::Dying { again: false }, Action::Kill)
            }

            (State::On, Event::Reboot(patience)) => {
                let deadline = now.saturating_add(patience);
                self.state = State::Rebooting { deadline };
                vec![Action::PressPower, Action::WakeAt(deadline)]
            }
            (State::Rebooting { .. }, Event::Farewell) if in_place => {
                self.state = State::On;
                vec![]
            }
            (State::Rebooting { .. }, Event::Farewell) => self.to(State::Dying { again: true }, Action::Kill),
            (State::Rebooting { deadline }, Event::Wake) if now >= deadline => {
                self.to(State::Dying { again: true }, Action::Kill)
            }
            (State::Rebooting { .. }, Event::Exited(_)) => self.to(State::On, Action::Spawn),

            (State::On | State::Stopping { .. } | State::Rebooting { .. }, Event::Kill) => {
                self.to(State::Dying { again: false }, Action::Kill)
            }
            (State::On, Event::Reset) if in_place => vec![Action::ResetInPlace],
            (State::On | State::Stopping { .. } | State::Rebooting { .. }, Event::Reset | Event::Cycle) => {
                self.to(State::Dying { again: true }, Action::Kill)
            }
            // The guest restarts itself. A process that could do that in place is left alone; the other kind is
            // replaced, so that every start is the same start.
            (State::On, Event::Farewell) if !in_place => self.to(State::Dying { again: true }, Action::Kill),

            (State::Dying { again: true }, Event::Exited(_)) => self.to(State::On, Action::Spawn),
            (State::Dying { again: false } | State::Stopping { .. }, Event::Exited(_)) => {
                self.off(Off::Asked)
            }
            (State::On, Event::Exited(Exit::Clean)) => self.off(Off::PoweredOff),
            (State::On, Event::Exited(_)) => self.crashed(now),
            _ => vec![],
        }
    }

    /// The process could not be started.
    pub fn spawn_failed(&mut self) {
        self.state = State::Off(Off::GaveUp);
    }

    fn crashed(&mut self, now: Duration) -> Vec<Action> {
        self.crashes.push_back(now);
        while self.crashes.front().is_some_and(|at| now.saturating_sub(*at) > CRASH_WINDOW) {
            self.crashes.pop_front();
        }
        if self.crashes.len() > CRASH_LIMIT {
            self.off(Off::GaveUp)
        } else {
            self.to(State::On, Action::Spawn)
        }
    }

    fn to(&mut self, state: State, action: Action) -> Vec<Action> {
        self.state = state;
        vec![action]
    }

    fn change_wish(&mut self, again: bool) -> Vec<Action> {
        self.state = State::Dying { again };
        vec![]
    }

    fn off(&mut self, why: Off) -> Vec<Action> {
        self.state = State::Off(why);
        vec![]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CRASH: Event = Event::Exited(Exit::Signal(6));

    fn running(reset_in_place: bool) -> Power {
        let mut power = Power::new(Abilities { reset_in_place });
        assert_eq!(power.handle(Event::Start, Duration::ZERO), [Action::Spawn]);
        power
    }

    #[test]
    fn an_orderly_stop_presses_the_button_and_ends_the_process_at_its_farewell() {
        let mut power = running(false);
        let actions = power.handle(Event::Stop(20 * SECOND), SECOND);
        assert_eq!(actions, [Action::PressPower, Action::WakeAt(21 * SECOND)]);
        assert_eq!(power.handle(Event::Farewell, 3 * SECOND), [Action::Kill]);
        assert_eq!(power.handle(Event::Exited(Exit::Signal(9)), 3 * SECOND), []);
        assert_eq!(power.state(), State::Off(Off::Asked));
    }

    #[test]
    fn a_guest_that_does_not_shut_down_in_time_is_killed_and_no_earlier() {
        let mut power = running(false);
        power.handle(Event::Stop(20 * SECOND), Duration::ZERO);
        assert_eq!(power.handle(Event::Wake, 19 * SECOND), []);
        assert_eq!(power.handle(Event::Wake, 20 * SECOND), [Action::Kill]);
    }

    #[test]
    fn a_crash_is_a_reset_until_it_happens_too_often() {
        let mut power = running(false);
        for crash in 0..5 {
            assert_eq!(power.handle(CRASH, crash * SECOND), [Action::Spawn]);
        }
        assert_eq!(power.handle(CRASH, 6 * SECOND), []);
        assert_eq!(power.state(), State::Off(Off::GaveUp));
        assert_eq!(power.handle(Event::Start, 7 * SECOND), [Action::Spawn]);
        assert_eq!(power.handle(CRASH, 8 * SECOND), [Action::Spawn]);
    }

    #[test]
    fn crashes_far_apart_never_add_up() {
        let mut power = running(false);
        for crash in 0..50 {
            assert_eq!(power.handle(CRASH, crash * 20 * SECOND), [Action::Spawn]);
        }
    }

    #[test]
    fn a_reset_keeps_the_process_where_the_driver_can_and_replaces_it_elsewhere() {
        assert_eq!(running(true).handle(Event::Reset, SECOND), [Action::ResetInPlace]);
        let mut power = running(false);
        assert_eq!(power.handle(Event::Reset, SECOND), [Action::Kill]);
        assert_eq!(power.handle(Event::Exited(Exit::Signal(9)), SECOND), [Action::Spawn]);
    }

    #[test]
    fn a_guest_that_restarts_itself_is_followed() {
        let mut power = running(false);
        assert_eq!(power.handle(Event::Farewell, SECOND), [Action::Kill]);
        assert_eq!(power.handle(Event::Exited(Exit::Signal(9)), SECOND), [Action::Spawn]);
        assert_eq!(running(true).handle(Event::Farewell, SECOND), []);
    }

    #[test]
    fn a_guest_that_switches_itself_off_stays_off() {
        let mut power = running(false);
        assert_eq!(power.handle(Event::Exited(Exit::Clean), SECOND), []);
        assert_eq!(power.state(), State::Off(Off::PoweredOff));
    }

    #[test]
    fn an_asked_for_reboot_starts_again_by_whichever_way_the_guest_ends() {
        for end in [Event::Farewell, Event::Wake] {
            let mut power = running(false);
            let actions = power.handle(Event::Reboot(20 * SECOND), Duration::ZERO);
            assert_eq!(actions, [Action::PressPower, Action::WakeAt(20 * SECOND)]);
            assert_eq!(power.handle(end, 20 * SECOND), [Action::Kill]);
            assert_eq!(power.handle(Event::Exited(Exit::Signal(9)), 20 * SECOND), [Action::Spawn]);
        }
        let mut power = running(true);
        power.handle(Event::Reboot(20 * SECOND), Duration::ZERO);
        assert_eq!(power.handle(Event::Farewell, SECOND), []);
        assert_eq!(power.handle(Event::Wake, 20 * SECOND), []);
        assert_eq!(power.state(), State::On);
    }

    #[test]
    fn the_last_wish_counts_while_a_process_is_dying() {
        let mut power = running(false);
        power.handle(Event::Kill, SECOND);
        power.handle(Event::Start, SECOND);
        assert_eq!(power.handle(Event::Exited(Exit::Signal(9)), SECOND), [Action::Spawn]);
    }
}
