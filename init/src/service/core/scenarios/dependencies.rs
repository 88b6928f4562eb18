//! S1 to S12: who starts and stops with whom.
//!
//! S5 and S6 (cycles, missing names) are refused when an image is built: their tests are
//! `machine_config::service`'s.

use super::*;

/// S1
#[test]
fn a_start_pulls_in_what_it_needs_and_the_stop_of_the_last_dependent_releases_it() {
    let b = format!("requires = [\"a\"]\n{ON_DEMAND}");
    let mut world = world(&[("a", ON_DEMAND), ("b", &b), ("c", &b)]);
    assert_eq!(world.states(), [StateName::Off; 3]);
    assert_eq!(world.start("b"), Ok(Accepted::Changed));
    assert_eq!((world.state("a"), world.state("b")), (StateName::Starting, StateName::Waiting));
    world.is_ready("a");
    world.is_ready("b");
    world.start("c").unwrap();
    world.is_ready("c");
    world.stop("b").unwrap();
    world.exits("b", 0);
    assert_eq!((world.state("a"), world.state("b")), (StateName::Ready, StateName::Off));
    world.stop("c").unwrap();
    assert_eq!(world.state("a"), StateName::Ready, "it goes after its dependent");
    world.exits("c", 0);
    assert_eq!(world.state("a"), StateName::Stopping);
    world.exits("a", 0);
    assert_eq!(world.states(), [StateName::Off; 3]);
}

/// S2
#[test]
fn stopping_a_need_stops_its_hard_dependents_first_and_only_when_that_is_said() {
    let mut world = world(&[("a", ""), ("b", "requires = [\"a\"]"), ("c", "requires = [\"b\"]")]);
    for name in ["a", "b", "c"] {
        world.is_ready(name);
    }
    assert_eq!(world.stop("a"), Err(Refusal::Needed(vec!["b".to_owned(), "c".to_owned()])));
    assert_eq!(world.stop_all_of("a"), Ok(Accepted::Changed));
    for name in ["c", "b", "a"] {
        assert_eq!(world.state(name), StateName::Stopping, "{name}");
        world.exits(name, 0);
        assert_eq!(world.state(name), StateName::Off, "{name}");
    }
    assert_eq!(world.stop_all_of("a"), Ok(Accepted::Unchanged));
}

/// S3
#[test]
fn a_milestone_given_up_blocks_its_dependents_and_a_want_given_up_does_not() {
    let task = format!("{TASK}[restart]\nattempts = 1");
    let mut world = world(&[("a", &task), ("hard", "milestones = [\"a\"]"), ("soft", "wants = [\"a\"]")]);
    assert_eq!(world.state("soft"), StateName::Waiting);
    world.exits("a", 1);
    assert_eq!(world.state("a"), StateName::Failed);
    assert_eq!(world.state("hard"), StateName::Blocked);
    assert_eq!(world.state("soft"), StateName::Starting);
    assert!(world.explained("hard").contains("a: exited with status 1"), "{}", world.explained("hard"));
    world.start("a").unwrap();
    assert_eq!(world.state("hard"), StateName::Waiting, "it is tried again with its need");
    world.exits("a", 0);
    assert_eq!((world.state("a"), world.state("hard")), (StateName::Done, StateName::Starting));
}

/// S3: an operator starts what is blocked.
#[test]
fn starting_what_is_blocked_tries_what_blocks_it_once_more() {
    let task = format!("{TASK}[restart]\nattempts = 1");
    let mut world = world(&[("a", &task), ("b", "milestones = [\"a\"]")]);
    world.exits("a", 1);
    assert_eq!(world.state("b"), StateName::Blocked);
    assert_eq!(world.start("b"), Ok(Accepted::Changed));
    assert_eq!((world.state("a"), world.state("b")), (StateName::Starting, StateName::Waiting));
}

/// S3: a want that takes too long is no longer waited for.
#[test]
fn a_want_that_is_late_is_waited_for_no_longer_than_its_edge_says() {
    let want = "wants = [{ service = \"a\", within = \"7s\" }]";
    let mut world = world(&[("a", ""), ("b", want)]);
    world.pass(6999);
    assert_eq!(world.state("b"), StateName::Waiting);
    world.pass(1);
    assert_eq!(world.state("b"), StateName::Starting);
}

/// S4
#[test]
fn an_edge_that_only_orders_never_pulls_in() {
    let world = world(&[("a", ON_DEMAND), ("b", "after = [\"a\"]")]);
    assert_eq!((world.state("a"), world.state("b")), (StateName::Off, StateName::Starting));
}

/// S4: both in play.
#[test]
fn an_edge_that_only_orders_waits_for_what_is_started_anyway() {
    let mut world = world(&[("a", ""), ("b", "after = [\"a\"]")]);
    assert_eq!(world.state("b"), StateName::Waiting);
    world.is_ready("a");
    assert_eq!(world.state("b"), StateName::Starting);
}

/// S7
#[test]
fn a_held_service_ignores_a_stop_until_it_is_released() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    assert_eq!(world.ordered(Order::Hold("a".to_owned())), Ok(Accepted::Changed));
    assert_eq!(world.ordered(Order::Hold("a".to_owned())), Ok(Accepted::Unchanged));
    world.stop("a").unwrap();
    world.pass(60_000);
    assert_eq!(world.state("a"), StateName::Ready);
    world.ordered(Order::Release("a".to_owned())).unwrap();
    assert_eq!(world.state("a"), StateName::Stopping);
}

/// S7: held down.
#[test]
fn a_held_service_that_is_down_stays_down_whatever_pulls_it_in() {
    let mut world = world(&[("a", ON_DEMAND), ("b", &format!("requires = [\"a\"]\n{ON_DEMAND}"))]);
    world.ordered(Order::Hold("a".to_owned())).unwrap();
    world.start("b").unwrap();
    assert_eq!(world.state("a"), StateName::Off);
    assert!(world.explained("b").ends_with("a: off, and held"), "{}", world.explained("b"));
    world.ordered(Order::Release("a".to_owned())).unwrap();
    assert_eq!(world.state("a"), StateName::Starting);
}

/// Who locks the machine's last door from inside stays outside.
#[test]
fn what_works_until_the_end_may_be_restarted_but_is_stopped_and_held_down_by_nobody() {
    let apid = "until-end = true\nrequires = [\"need\"]";
    let mut world = world(&[("need", ""), ("apid", apid)]);
    let until_end = Err(Refusal::UntilEnd("apid".to_owned()));
    let hold = || Order::Hold("apid".to_owned());
    assert_eq!(world.state("apid"), StateName::Waiting);
    assert_eq!(world.ordered(hold()), until_end, "it would never start");
    world.is_ready("need");
    world.is_ready("apid");
    assert_eq!(world.stop("apid"), until_end);
    assert_eq!(world.stop_all_of("need"), until_end, "nor with what it needs");
    assert_eq!((world.state("need"), world.state("apid")), (StateName::Ready, StateName::Ready));
    assert_eq!(world.ordered(hold()), Ok(Accepted::Changed), "up it may be held");
    world.dies("apid");
    world.pass(300);
    world.is_ready("apid");
    world.ordered(Order::Release("apid".to_owned())).unwrap();
    assert_eq!(world.restart("apid"), Ok(Accepted::Changed));
    world.exits("apid", 0);
    world.is_ready("apid");
    assert_eq!(world.state("apid"), StateName::Ready);
}

/// S8
#[test]
fn a_restart_takes_those_along_once_who_follow_it_and_nobody_else() {
    let follows = "milestones = [{ service = \"a\", on-loss = \"restart\" }]";
    let mut world = world(&[("a", ""), ("follows", follows), ("keeps", "requires = [\"a\"]")]);
    world.all_ready();
    world.all_ready();
    let next = world.next();
    world.restart("a").unwrap();
    assert_eq!(world.state("a"), StateName::Ready, "after those who follow it");
    world.exits("follows", 0);
    world.exits("a", 0);
    assert_eq!((world.state("a"), world.state("follows")), (StateName::Starting, StateName::Waiting));
    world.is_ready("a");
    world.is_ready("follows");
    world.pass(600_000);
    let starts = |path: Vec<StateName>| path.iter().filter(|to| **to == StateName::Starting).count();
    assert_eq!(starts(world.path("a", next)), 1);
    assert_eq!(starts(world.path("follows", next)), 1);
    assert_eq!(world.path("keeps", next), []);
}

/// S9
#[test]
fn applying_what_is_there_already_changes_nothing() {
    let mut world = world(&[("a", ""), ("b", "requires = [\"a\"]")]);
    world.all_ready();
    world.all_ready();
    let next = world.next();
    assert_eq!(world.ordered(Order::Apply("a".to_owned())), Ok(Accepted::Unchanged));
    assert_eq!(world.next(), next);
}

/// S9: from A to B and back.
#[test]
fn an_overlay_that_is_changed_and_changed_back_ends_as_it_began() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    let place = world.place("a");
    for digest in [Some(super::super::Digest(1)), None] {
        world.actor(place).overlay = digest;
        assert_eq!(world.give(&Order::Apply("a".to_owned()), digest), Some(Accepted::Changed));
        world.exits("a", 0);
        world.is_ready("a");
    }
    let next = world.next();
    assert_eq!(world.give(&Order::Apply("a".to_owned()), None), Some(Accepted::Unchanged));
    assert_eq!((world.next(), world.state("a")), (next, StateName::Ready));
}

/// S10
#[test]
fn who_stops_with_its_need_is_down_with_it_and_up_again_with_it_without_a_loop() {
    let bar = "requires = [{ service = \"foo\", on-loss = \"stop\" }]";
    let mut world = world(&[("foo", ""), ("bar", bar)]);
    assert_eq!(world.state("bar"), StateName::Waiting);
    world.is_ready("foo");
    world.is_ready("bar");
    let next = world.next();
    world.dies("foo");
    assert_eq!(world.state("bar"), StateName::Stopping);
    world.exits("bar", 0);
    assert_eq!(world.state("bar"), StateName::Waiting);
    world.pass(1000);
    world.is_ready("foo");
    world.is_ready("bar");
    world.pass(600_000);
    let starts = world.path("bar", next).iter().filter(|to| **to == StateName::Starting).count();
    assert_eq!((starts, world.state("bar")), (1, StateName::Ready));
}

/// S10: restarted once its need is back.
#[test]
fn who_restarts_with_its_need_runs_on_until_the_need_is_back() {
    let mut world = world(&[("a", ""), ("b", "requires = [{ service = \"a\", on-loss = \"restart\" }]")]);
    world.is_ready("a");
    world.is_ready("b");
    world.dies("a");
    world.pass(1000);
    assert_eq!((world.state("a"), world.state("b")), (StateName::Starting, StateName::Ready));
    world.is_ready("a");
    assert_eq!(world.state("b"), StateName::Stopping);
}

/// S11
#[test]
fn a_stop_while_a_restart_is_stopping_prevents_the_start() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    world.restart("a").unwrap();
    assert_eq!(world.state("a"), StateName::Stopping);
    world.stop("a").unwrap();
    world.exits("a", 0);
    world.pass(600_000);
    assert_eq!((world.state("a"), world.main("a")), (StateName::Off, None));
}

/// S12
#[test]
fn a_stop_while_waiting_ends_at_once() {
    let mut world = world(&[("a", ""), ("b", "requires = [\"a\"]")]);
    assert_eq!(world.state("b"), StateName::Waiting);
    world.stop("b").unwrap();
    assert_eq!(world.state("b"), StateName::Off);
    world.is_ready("a");
    assert_eq!(world.state("b"), StateName::Off);
}

/// The machine is up once all milestones are, and only then starts what looks at it.
#[test]
fn what_starts_when_the_machine_is_up_starts_then() {
    let late = "start = \"when-up\"\nmilestone = false";
    let mut world = world(&[("a", ""), ("late", late)]);
    world.pass(5000);
    assert_eq!(world.state("late"), StateName::Off);
    assert_eq!(world.explained("late"), "late: off: it starts when the machine is up");
    world.is_ready("a");
    assert_eq!(world.demands, [super::super::Demand::Up]);
    assert_eq!(world.state("late"), StateName::Starting);
}

/// An unknown name, an order for a machine that ends.
#[test]
fn an_order_that_cannot_be_carried_out_says_why() {
    let mut world = world(&[("a", "")]);
    assert_eq!(world.start("x").unwrap_err().to_string(), "there is no service x");
    assert_eq!(
        world.ordered(Order::Reload("a".to_owned())).unwrap_err().to_string(),
        "a has no way to reload"
    );
    let signal = Order::Signal { service: "a".to_owned(), signal: machine_config::service::StopSignal::Hup };
    assert_eq!(world.ordered(signal).unwrap_err().to_string(), "a may not be sent this signal");
}
