//! S13 to S24: processes that die, fork, do not die, and what follows from it.
//!
//! What needs real processes beside (errno texts, 10⁵ rounds, pid files) is the shell's; see
//! tests/scenarios.md.

use super::*;
use crate::service::core::{Demand, Digest};

/// S13
#[test]
fn a_killed_service_is_back_as_another_instance() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    let first = world.main("a");
    world.dies("a");
    assert_eq!(world.state("a"), StateName::Backoff);
    world.pass(300);
    assert!(world.main("a") > first);
    let view = world.services.view(world.place("a")).unwrap();
    assert_eq!((view.starts, view.failures), (2, 1));
    assert_eq!(view.last_end.as_deref(), Some("killed by signal 9 after 0 s"));
}

/// S13: making a group takes as long as all the rest of a start.
#[test]
fn the_group_stays_over_a_pause_and_goes_when_nobody_wants_the_service_any_more() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    world.dies("a");
    let place = world.place("a");
    assert!(world.state("a") == StateName::Backoff && world.actor(place).group);
    world.stop("a").unwrap();
    assert!(world.state("a") == StateName::Off && !world.actor(place).group);
}

/// S13: who worked for a while is back at once.
#[test]
fn a_service_that_worked_for_ten_seconds_is_back_without_a_pause() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    world.pass(10_000);
    world.dies("a");
    assert_eq!(world.state("a"), StateName::Starting);
}

/// S14
#[test]
fn a_task_is_given_up_after_its_attempts_and_a_start_gives_it_a_fresh_budget() {
    let mut world = world(&[("a", &format!("{TASK}[restart]\nattempts = 3"))]);
    for _ in 0..2 {
        world.exits("a", 1);
        assert_eq!(world.state("a"), StateName::Backoff);
        world.pass(5000);
    }
    world.exits("a", 1);
    assert_eq!(world.state("a"), StateName::Failed);
    assert!(world.alarm("a").is_some());
    world.pass(3_600_000);
    assert_eq!(world.state("a"), StateName::Failed);
    assert_eq!(world.start("a"), Ok(Accepted::Changed));
    world.exits("a", 1);
    assert_eq!(world.state("a"), StateName::Backoff, "its budget is fresh");
}

/// S14
#[test]
fn a_status_that_says_trying_is_of_no_use_is_believed_but_not_of_a_critical_service() {
    let mut world = world(&[("a", ""), ("b", "class = \"critical\"")]);
    world.exits("a", 125);
    world.exits("b", 125);
    assert_eq!((world.state("a"), world.state("b")), (StateName::Failed, StateName::Backoff));
    assert!(world.alarm("b").is_some());
    world.pass(60_000);
    assert_eq!(world.state("b"), StateName::Starting, "tried seldom, but tried");
}

/// S14: escalation.
#[test]
fn five_failures_in_ten_minutes_are_an_alarm_and_fifteen_degrade_the_node() {
    let mut world = world(&[("a", "class = \"critical\"")]);
    let alarms = |world: &World| world.demands.iter().filter(|d| matches!(d, Demand::Alarm { .. })).count();
    for failure in 1..=15 {
        while world.main("a").is_none() {
            world.pass(250);
        }
        world.dies("a");
        let told = usize::from(failure >= 5) + usize::from(failure == 15);
        assert_eq!((alarms(&world), world.degrades_node("a")), (told, failure == 15), "{failure}");
    }
}

/// S14: who is well now and then is no better.
#[test]
fn a_service_that_comes_and_goes_degrades_the_node_for_as_long_as_ten_minutes_remember_it() {
    let mut world = world(&[("a", "class = \"critical\"")]);
    for _ in 0..15 {
        world.is_ready("a");
        world.pass(11_000);
        world.dies("a");
    }
    world.is_ready("a");
    let fails = "failed 15 times in 10 min: the node does not do its work";
    assert_eq!((world.state("a"), world.degrades_node("a")), (StateName::Ready, true));
    assert_eq!(world.alarm("a").as_deref(), Some(fails));
    assert_eq!(world.explained("a"), format!("a: is ready; {fails}"));
    world.pass(450_000);
    assert_eq!((world.degrades_node("a"), world.alarm("a").is_some()), (false, true), "it still fails often");
    world.pass(150_000);
    assert_eq!((world.alarm("a"), world.explained("a")), (None, "a: is ready".to_owned()));
}

/// S14: a person has seen to it.
#[test]
fn a_reset_forgets_that_a_service_degraded_the_node() {
    let mut world = world(&[("a", "class = \"critical\"")]);
    for _ in 0..15 {
        world.is_ready("a");
        world.pass(11_000);
        world.dies("a");
    }
    world.is_ready("a");
    world.pass(300_000);
    assert!(world.degrades_node("a"));
    assert_eq!(world.ordered(Order::Reset("a".to_owned())), Ok(Accepted::Changed));
    assert_eq!((world.degrades_node("a"), world.alarm("a")), (false, None));
}

/// S14: escalation of what pods need.
#[test]
fn a_node_service_that_fails_for_half_an_hour_asks_for_one_reboot_and_a_critical_one_never() {
    for (class, reboots) in [("node", 1), ("critical", 0)] {
        let mut world = world(&[("a", &format!("class = \"{class}\""))]);
        for _ in 0..80 {
            world.dies("a");
            world.pass(60_000);
        }
        let asked = world.demands.iter().filter(|demand| matches!(demand, Demand::Reboot { .. })).count();
        assert_eq!(asked, reboots, "{class}");
        assert_eq!(world.services.history().reboots, u8::try_from(reboots).unwrap());
    }
}

/// S15
#[test]
fn a_stop_during_a_pause_cancels_the_start() {
    let mut world = world(&[("a", "")]);
    world.dies("a");
    assert_eq!(world.state("a"), StateName::Backoff);
    world.stop("a").unwrap();
    assert_eq!((world.state("a"), world.services.deadline()), (StateName::Off, None));
    world.pass(600_000);
    assert_eq!(world.main("a"), None);
}

/// S16
#[test]
fn a_program_that_cannot_be_executed_is_a_failure_with_its_reason_and_dependents_wait() {
    let mut world = world(&[("a", ""), ("b", "requires = [\"a\"]")]);
    let place = world.place("a");
    let why = "executing /bin/x: No such file or directory (os error 2)";
    world.end_of_main(place, &Ending::NotStarted(why.to_owned()));
    assert_eq!(world.state("a"), StateName::Backoff);
    assert!(world.explained("b").contains(why), "{}", world.explained("b"));
    assert_eq!(world.state("b"), StateName::Waiting);
}

/// S17
#[test]
fn who_ignores_the_signal_is_killed_at_its_timeout_and_given_up_half_a_minute_later() {
    let mut world = world(&[("a", "[stop]\ntimeout = \"3s\"")]);
    world.is_ready("a");
    let place = world.place("a");
    world.actor(place).unkillable = true;
    world.stop("a").unwrap();
    world.pass(2999);
    assert_eq!(world.state("a"), StateName::Stopping);
    world.pass(1);
    assert_eq!(world.state("a"), StateName::Killing);
    world.pass(29_999);
    assert_eq!(world.state("a"), StateName::Killing);
    world.pass(1);
    assert_eq!(world.state("a"), StateName::Stuck);
    assert!(matches!(world.start("a"), Err(Refusal::Stuck(_))), "no second copy");
    world.dies("a");
    assert_eq!(world.state("a"), StateName::Off, "the kernel let go of it");
}

/// S17, S18: steps instead of stop commands.
#[test]
fn a_step_after_the_end_that_hangs_is_killed_after_ten_seconds() {
    let mut world = world(&[("a", "after-stop = [[\"/bin/a\"], [\"/bin/b\"]]")]);
    world.is_ready("a");
    world.stop("a").unwrap();
    world.exits("a", 0);
    assert_eq!(world.state("a"), StateName::Cleaning);
    world.pass(9999);
    assert_eq!(world.state("a"), StateName::Cleaning);
    world.pass(1);
    assert_eq!(world.state("a"), StateName::Off);
}

/// S19
#[test]
fn what_a_service_left_behind_is_gone_before_it_counts_as_stopped() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    let place = world.place("a");
    (world.actor(place).children, world.actor(place).unkillable) = (true, true);
    world.stop("a").unwrap();
    world.exits("a", 0);
    assert_eq!(world.state("a"), StateName::Stopping);
    world.pass(10_000);
    assert_eq!(world.state("a"), StateName::Killing);
    world.actor(place).unkillable = false;
    world.pass(5000);
    assert_eq!((world.state("a"), world.actor(place).children), (StateName::Off, false));
}

/// S19: and is asked first, as the main process was.
#[test]
fn whom_the_main_process_leaves_behind_is_asked_to_end_and_killed_only_when_the_time_is_over() {
    for deaf in [false, true] {
        let mut world = world(&[("a", "[stop]\ntimeout = \"3s\"")]);
        world.is_ready("a");
        let place = world.place("a");
        (world.actor(place).children, world.actor(place).deaf) = (true, deaf);
        let next = world.next();
        world.stop("a").unwrap();
        world.pass(1000);
        assert!(world.actor(place).children, "the main process has others to end in its own order");
        world.exits("a", 0);
        let ended = [StateName::Stopping, StateName::Cleaning, StateName::Off];
        if deaf {
            world.pass(1999);
            assert_eq!((world.state("a"), world.actor(place).children), (StateName::Stopping, true));
            world.pass(1);
            assert_eq!(world.path("a", next), [&ended[..1], &[StateName::Killing], &ended[1..]].concat());
        } else {
            assert_eq!(world.path("a", next), ended);
        }
        assert!(!world.actor(place).children);
    }
}

/// S19: who lives on without a main process is asked as well.
#[test]
fn what_is_left_of_a_service_whose_main_process_ended_long_ago_is_asked_to_end() {
    let mut world = world(&[("a", "[restart]\nexit = \"last\"")]);
    world.is_ready("a");
    let place = world.place("a");
    world.actor(place).children = true;
    world.exits("a", 0);
    assert_eq!(world.state("a"), StateName::Ready);
    let next = world.next();
    world.stop("a").unwrap();
    assert_eq!(world.path("a", next), [StateName::Stopping, StateName::Cleaning, StateName::Off]);
}

/// S19: containerd's shims.
#[test]
fn children_of_a_service_that_owns_only_its_process_live_on_over_a_restart() {
    let mut world = world(&[("a", "[stop]\nkill = \"process\"")]);
    world.is_ready("a");
    let place = world.place("a");
    world.actor(place).children = true;
    world.restart("a").unwrap();
    world.exits("a", 0);
    assert_eq!(world.state("a"), StateName::Starting);
    assert!(world.actor(place).children && world.actor(place).group, "nobody signalled them");
}

/// S20
#[test]
fn when_the_main_process_ends_its_exit_rule_says_whether_that_is_the_end() {
    let last = "[restart]\nexit = \"last\"";
    let mut world = world(&[("main", ""), ("last", last)]);
    world.all_ready();
    for name in ["main", "last"] {
        let place = world.place(name);
        world.actor(place).children = true;
        world.exits(name, 0);
    }
    assert_eq!((world.state("main"), world.state("last")), (StateName::Backoff, StateName::Ready));
    let place = world.place("last");
    world.actor(place).children = false;
    world.empty(place);
    assert_eq!(world.state("last"), StateName::Backoff);
}

/// S21: the order comes from the service itself, which dies by it.
#[test]
fn a_service_that_has_itself_restarted_is_restarted_once() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    let next = world.next();
    assert_eq!(world.restart("a"), Ok(Accepted::Changed));
    assert_eq!(world.restart("a"), Ok(Accepted::Unchanged));
    world.dies("a");
    world.is_ready("a");
    world.pass(60_000);
    let starts = world.path("a", next).iter().filter(|to| **to == StateName::Starting).count();
    assert_eq!((starts, world.services.view(world.place("a")).unwrap().failures), (1, 0));
}

/// S22
#[test]
fn a_task_that_always_fails_does_not_spin() {
    let mut world = world(&[("a", TASK)]);
    let mut starts = 0;
    for _ in 0..6000 {
        starts += u32::from(world.main("a").is_some());
        world.exits("a", 1);
        world.pass(100);
    }
    assert!((8..=14).contains(&starts), "{starts} in ten minutes");
}

/// S23
#[test]
fn a_kill_for_memory_means_what_the_policy_says() {
    let policy = |policy: &str| format!("oom-policy = \"{policy}\"");
    let (kill, stop, go_on) = (policy("kill"), policy("stop"), policy("continue"));
    let mut world = world(&[("kill", &kill), ("stop", &stop), ("goes-on", &go_on)]);
    world.all_ready();
    let place = world.place("stop");
    world.actor(place).unkillable = true;
    for name in ["kill", "stop", "goes-on"] {
        world.says(name, Report::OutOfMemory);
    }
    assert_eq!(world.state("kill"), StateName::Backoff, "all of it died");
    assert_eq!(world.state("stop"), StateName::Stopping);
    assert_eq!(world.state("goes-on"), StateName::Ready);
}

/// S24: the order in which the shell hears of it.
#[test]
fn the_ends_of_the_main_process_and_of_its_children_count_in_either_order() {
    for children_first in [true, false] {
        let mut world = world(&[("a", "")]);
        world.is_ready("a");
        let place = world.place("a");
        (world.actor(place).children, world.actor(place).unkillable) = (true, true);
        if children_first {
            world.actor(place).children = false;
            world.empty(place);
            world.exits("a", 0);
        } else {
            world.exits("a", 0);
            world.actor(place).children = false;
            world.empty(place);
        }
        assert_eq!(world.state("a"), StateName::Backoff, "children first: {children_first}");
    }
}

/// A changed overlay is a reason to try what had been given up.
#[test]
fn a_changed_overlay_ends_a_pause() {
    let mut world = world(&[("a", "")]);
    world.exits("a", 125);
    assert_eq!(world.state("a"), StateName::Failed);
    let place = world.place("a");
    world.actor(place).overlay = Some(Digest(7));
    assert_eq!(world.give(&Order::Apply("a".to_owned()), Some(Digest(7))), Some(Accepted::Changed));
    assert_eq!(world.state("a"), StateName::Starting);
}

/// 12: what a start makes in the end counts, too.
#[test]
fn a_storm_of_services_with_steps_after_their_end_is_slowed_down_by_these_as_well() {
    let spec = format!("{EXEC}class = \"critical\"\nafter-stop = [[\"/bin/a\"], [\"/bin/b\"], [\"/bin/c\"]]");
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let named: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), spec.as_str())).collect();
    let mut world = world(&named);
    let mut made = 0;
    for _ in 0..150 {
        for place in world.services.places() {
            made += u32::from(world.actors[place.index()].main.is_some());
            world.end_of_main(place, &Ending::Signal(9));
            for _ in 0..3 {
                made += u32::from(world.actors[place.index()].step.is_some());
                let events = world.end_step(place, &Ending::Status(0), true);
                world.tell_all(events);
            }
        }
        for name in &names {
            let _ = world.start(name);
        }
        world.pass(200);
    }
    // Half a minute's, and what was saved up before it.
    assert!((600..=700).contains(&made), "{made} processes in half a minute");
}

/// 12: fairness, wherever in the table the unrelated one stands.
#[test]
fn a_storm_of_starts_delays_an_unrelated_one_by_at_most_100_ms() {
    for (unrelated, place) in [("early", 0), ("unrelated", 130)] {
        let specs: Vec<(String, String)> =
            (0..130).map(|n| (format!("storm{n}"), format!("{EXEC}class = \"critical\"\n"))).collect();
        let mut named: Vec<(&str, &str)> =
            specs.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        named.push((unrelated, ON_DEMAND));
        let mut world = world(&named);
        assert_eq!(world.place(unrelated).index(), place);
        let storm = |world: &mut World| {
            for n in 0..130 {
                let name = format!("storm{n}");
                world.dies(&name);
                let _ = world.start(&name);
            }
        };
        // Until each was served once: who never was comes before all others, as the unrelated one does.
        for _ in 0..20 {
            storm(&mut world);
            world.pass(100);
        }
        let began = world.now;
        world.start(unrelated).unwrap();
        while world.main(unrelated).is_none() {
            storm(&mut world);
            world.pass(10);
            assert!(world.now - began <= 100, "{unrelated}: {} ms", world.now - began);
        }
    }
}
