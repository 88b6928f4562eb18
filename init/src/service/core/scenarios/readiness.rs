//! S25 to S32: how services show that they are ready and alive, and what is made of it.
//!
//! S29 (who may speak for a service) is the shell's: what it hands to the core bears an
//! instance already.

use super::*;
use crate::service::core::Event;

/// Section 5.8: what the time line of a boot is made of.
#[test]
fn every_step_of_a_start_has_its_moment_and_the_next_start_has_its_own() {
    let mut world =
        world(&[("need", TASK), ("a", "milestones = [\"need\"]\nbefore-start = [[\"/bin/step\"]]")]);
    let steps = |world: &World| {
        let stamps = world.services.view(world.place("a")).unwrap().stamps;
        let wanted = stamps.wanted.unwrap();
        [stamps.met, stamps.prepared, stamps.started, stamps.executed, stamps.ready]
            .map(|step| step.map(|moment| moment - wanted))
    };
    let end_step = |world: &mut World| {
        let place = world.place("a");
        let events = world.end_step(place, &Ending::Status(0), true);
        world.tell_all(events);
    };
    assert_eq!(steps(&world), [None; 5]);
    world.pass(10);
    world.exits("need", 0);
    assert_eq!(steps(&world), [Some(10), Some(10), None, None, None]);
    world.pass(5);
    end_step(&mut world);
    world.pass(7);
    world.is_ready("a");
    assert_eq!(steps(&world), [10, 10, 15, 15, 22].map(Some));
    world.dies("a");
    while world.state("a") != StateName::Preparing {
        world.pass(1);
    }
    assert!(matches!(steps(&world), [Some(23..), Some(23..), None, None, None]), "{:?}", steps(&world));
}

/// S25
#[test]
fn a_service_that_is_never_ready_is_stopped_at_its_timeout_and_those_who_want_it_start() {
    let mut world = world(&[("a", "start-timeout = \"5s\""), ("b", "wants = [\"a\"]")]);
    world.pass(4999);
    assert_eq!((world.state("a"), world.state("b")), (StateName::Starting, StateName::Waiting));
    world.pass(1);
    assert_eq!(world.state("a"), StateName::Stopping);
    world.pass(10_000);
    assert_eq!(world.state("a"), StateName::Backoff, "killed after its signal did not help");
    assert_eq!(world.state("b"), StateName::Starting);
}

/// S25: for services that wait for a quorum.
#[test]
fn a_start_without_a_timeout_is_an_alarm_after_90_s_and_is_never_killed() {
    let mut world = world(&[("a", "start-timeout = \"none\"")]);
    world.pass(89_999);
    assert_eq!(world.alarm("a"), None);
    world.pass(1);
    assert!(world.alarm("a").is_some());
    world.pass(86_400_000);
    assert_eq!(world.state("a"), StateName::Starting);
    world.is_ready("a");
    assert_eq!((world.state("a"), world.alarm("a")), (StateName::Ready, None));
}

/// S26
#[test]
fn an_end_before_readiness_is_a_failure_even_with_status_0() {
    let mut world = world(&[("a", ""), ("b", "requires = [\"a\"]")]);
    world.exits("a", 0);
    assert_eq!((world.state("a"), world.state("b")), (StateName::Backoff, StateName::Waiting));
    assert_eq!(world.services.view(world.place("a")).unwrap().failures, 1);
}

/// S27
#[test]
fn ready_after_an_extension_counts_and_silence_after_it_fails() {
    for ready in [true, false] {
        let mut world = world(&[("a", "start-timeout = \"5s\"")]);
        world.pass(4000);
        world.says("a", Report::Extended(Duration::from_secs(10)));
        world.pass(9999);
        assert_eq!(world.state("a"), StateName::Starting);
        if ready {
            world.is_ready("a");
        }
        world.pass(1);
        assert_eq!(world.state("a"), if ready { StateName::Ready } else { StateName::Stopping });
    }
}

/// S28
#[test]
fn who_dies_while_it_takes_up_files_has_failed() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    world.says("a", Report::SaidReloading);
    assert_eq!(world.state("a"), StateName::Reloading);
    world.dies("a");
    assert_eq!(world.state("a"), StateName::Backoff);
}

/// S30
#[test]
fn a_probe_changes_a_state_at_its_threshold_and_not_below() {
    let mut world = world(&[("a", PROBE)]);
    world.is_ready("a");
    assert_eq!(world.state("a"), StateName::Ready);
    let place = world.place("a");
    let ask = |world: &mut World, finding| {
        world.pass(7000);
        world.an_answer_for(place, finding);
    };
    for finding in [Finding::Bad, Finding::Bad, Finding::Good, Finding::Bad, Finding::Bad] {
        ask(&mut world, finding);
        assert_eq!(world.state("a"), StateName::Ready);
    }
    for _ in 0..20 {
        ask(&mut world, Finding::CouldNotAsk);
        assert_eq!(world.state("a"), StateName::Ready, "a probe that cannot be run is no failure");
    }
    ask(&mut world, Finding::Bad);
    assert_eq!(world.state("a"), StateName::Degraded);
    ask(&mut world, Finding::Good);
    assert_eq!(world.state("a"), StateName::Degraded);
    ask(&mut world, Finding::Good);
    assert_eq!(world.state("a"), StateName::Ready);
}

/// S30: the prober hangs.
#[test]
fn a_question_that_nobody_answers_is_asked_anew_and_blames_nobody() {
    let mut world = world(&[("a", PROBE)]);
    world.is_ready("a");
    world.pass(600_000);
    assert_eq!((world.state("a"), world.questions.len()), (StateName::Ready, 1));
    assert!(world.old_questions.len() > 30);
}

/// S30: at most eight at once, and one per service.
#[test]
fn probes_of_many_services_share_eight_questions() {
    let specs: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
    let named: Vec<(&str, &str)> = specs.iter().map(|name| (name.as_str(), PROBE)).collect();
    let mut world = world(&named);
    assert_eq!(world.questions.len(), 8);
    for _ in 0..200 {
        world.all_ready();
        world.pass(250);
        assert!(world.questions.len() <= 8);
    }
    assert!(world.states().iter().all(|state| *state == StateName::Ready));
}

/// S31
#[test]
fn an_answer_that_comes_before_the_start_is_reported_counts() {
    let mut world = world(&[("a", PROBE)]);
    let place = world.place("a");
    assert_eq!(world.questions.len(), 1, "it is asked with its start");
    world.an_answer_for(place, Finding::Good);
    world.says("a", Report::Started { overlay: None });
    assert_eq!(world.state("a"), StateName::Ready);
}

/// S32
#[test]
fn files_not_taken_up_in_time_degrade_a_service_and_it_is_mended_by_taking_them_up() {
    let mut world = world(&[("a", "reload = { by = \"signal\", signal = \"hup\" }")]);
    world.is_ready("a");
    world.ordered(Order::Reload("a".to_owned())).unwrap();
    assert_eq!(world.state("a"), StateName::Reloading);
    world.says("a", Report::SaidReady);
    assert_eq!(world.state("a"), StateName::Reloading, "READY counts after RELOADING");
    world.pass(30_000);
    assert_eq!(world.state("a"), StateName::Degraded);
    assert!(world.alarm("a").is_some());
    world.ordered(Order::Reload("a".to_owned())).unwrap();
    world.says("a", Report::SaidReloading);
    world.says("a", Report::SaidReady);
    assert_eq!(world.state("a"), StateName::Ready);
}

/// S32: others go on.
#[test]
fn who_needs_a_service_that_did_not_take_up_files_may_start_on_it() {
    let mut world =
        world(&[("a", "reload = { by = \"signal\", signal = \"hup\" }"), ("b", "requires = [\"a\"]")]);
    world.is_ready("a");
    world.ordered(Order::Reload("a".to_owned())).unwrap();
    world.dies("b");
    world.pass(30_000);
    assert_eq!((world.state("a"), world.state("b")), (StateName::Degraded, StateName::Starting));
}

/// S32: by a command.
#[test]
fn a_reload_command_is_believed_by_its_status() {
    let reload = "reload = { by = \"command\", command = [\"/bin/reload\"] }";
    for (status, state) in [(0, StateName::Ready), (1, StateName::Degraded)] {
        let mut world = world(&[("a", reload)]);
        world.is_ready("a");
        world.ordered(Order::Reload("a".to_owned())).unwrap();
        let place = world.place("a");
        let events = world.end_reload(place, &Ending::Status(status), true);
        world.tell_all(events);
        assert_eq!(world.state("a"), state);
    }
}

/// Liveness by `WATCHDOG=1`.
#[test]
fn a_watchdog_that_is_not_fed_stops_the_service_and_one_that_is_fed_does_not() {
    let mut world = world(&[("a", "[liveness]\nevery = \"10s\"\nfailures = 3")]);
    world.is_ready("a");
    for _ in 0..20 {
        world.pass(9000);
        world.says("a", Report::Pinged);
    }
    assert_eq!(world.state("a"), StateName::Ready);
    world.pass(29_999);
    assert_eq!(world.state("a"), StateName::Ready);
    world.pass(1);
    assert_eq!(world.state("a"), StateName::Stopping);
}

/// Liveness and its fences.
#[test]
fn nobody_is_judged_by_its_liveness_after_the_machine_slept_or_without_cpu() {
    let live = "[liveness]\nask = [\"tcp\", \"1\"]\nevery = \"1s\"\nfailures = 1";
    let mut world = world(&[("a", live)]);
    world.is_ready("a");
    let place = world.place("a");
    let bad = |world: &mut World| {
        world.pass(2000);
        world.an_answer_for(place, Finding::Bad);
    };
    world.tell(Event::ClockJumped);
    (0..20).for_each(|_| bad(&mut world));
    world.tell(Event::Pressure { high: true });
    (0..100).for_each(|_| bad(&mut world));
    assert_eq!(world.state("a"), StateName::Ready);
    world.tell(Event::Pressure { high: false });
    bad(&mut world);
    assert_eq!(world.state("a"), StateName::Stopping);
}

/// Descriptors and exec.
#[test]
fn each_way_of_readiness_counts_only_where_it_is_declared() {
    let descriptor = "ready = { by = \"descriptor\", number = 3 }\n";
    let mut world = world(&[("notify", ""), ("descriptor", descriptor), ("exec", EXEC)]);
    assert_eq!(world.state("exec"), StateName::Ready);
    world.says("notify", Report::WroteReady);
    world.says("descriptor", Report::SaidReady);
    assert_eq!(
        (world.state("notify"), world.state("descriptor")),
        (StateName::Starting, StateName::Starting)
    );
    world.says("notify", Report::SaidReady);
    world.says("descriptor", Report::WroteReady);
    assert_eq!((world.state("notify"), world.state("descriptor")), (StateName::Ready, StateName::Ready));
}
