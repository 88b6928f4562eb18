//! What must hold whatever happens: the invariants of reference/supervisors.md 5.9, by number.
//!
//! Those about signals and processes are checked at each action, those about events after each
//! event, the rest whenever nothing is left to do. 4, 9, 18 and 22 are about the shell and the
//! machine's end, and are checked there (`plan` has 9's times).

use std::time::Duration;

use machine_config::service::{Edge, EdgeKind, OnLoss, Place, Ready, Start};

use super::world::World;
use crate::control::message::{Finding, StateName};
use crate::monotonic::Monotonic;
use crate::service::core::backoff::{PROVEN, WORKED};
use crate::service::core::cause::Cause;
use crate::service::core::journal::Record;
use crate::service::core::limiter::{BURST, RATE};
use crate::service::core::state::{AFTER_WITHIN, Degradation, KILL_WITHIN, SWEEP_WITHIN, State};
use crate::service::core::{Action, Event, Instance, Report, Services, StepKind};

/// The world before an event.
pub struct Before {
    states: Vec<State>,
    ready_since: Vec<Option<Monotonic>>,
}

impl Before {
    pub fn of(world: &World) -> Self {
        let members = &world.services.members;
        Self {
            states: members.iter().map(|member| member.state.clone()).collect(),
            ready_since: members.iter().map(|member| member.run.ready).collect(),
        }
    }
}

/// Checks what must hold at the moment of an action.
pub fn before_action(world: &mut World, place: Place, instance: Instance, action: &Action) {
    match action {
        Action::StartMain => {
            invariant_1_needs_are_ready_whenever_a_process_is_made(world, place);
            invariant_2_one_main_process_and_none_beside_leftovers(world, place);
            invariant_8_nothing_is_made_after_the_latch(world, place);
        }
        Action::RunStep { kind: StepKind::Before, .. } => {
            invariant_1_needs_are_ready_whenever_a_process_is_made(world, place);
            invariant_8_nothing_is_made_after_the_latch(world, place);
        }
        Action::RunReload => invariant_8_nothing_is_made_after_the_latch(world, place),
        Action::Prepare => {
            invariant_8_nothing_is_made_after_the_latch(world, place);
            invariant_11_nothing_starts_before_its_pause_is_over(world, place);
            invariant_12_starts_are_limited(world, place);
        }
        Action::SignalMain(_) => {
            invariant_5_signals_go_to_processes_that_are_there(world, place, instance);
            invariant_7_dependents_have_gone_before_a_service_is_asked_to(world, place);
        }
        Action::KillMain => invariant_5_signals_go_to_processes_that_are_there(world, place, instance),
        _ => {}
    }
}

fn invariant_1_needs_are_ready_whenever_a_process_is_made(world: &World, place: Place) {
    for edge in &world.unit(place).edges {
        let need = world.services.member(edge.to).unwrap();
        match edge.kind {
            EdgeKind::Requires => assert!(
                matches!(need.state, State::Ready | State::Done | State::Degraded(Degradation::Reload)),
                "1: {place:?} starts although {:?} is {:?}",
                edge.to,
                need.state
            ),
            EdgeKind::Milestone => {
                assert!(need.was_ready, "1: {place:?} starts before {:?} was ready", edge.to)
            }
            EdgeKind::Wants { .. } | EdgeKind::After => {}
        }
    }
}

fn invariant_2_one_main_process_and_none_beside_leftovers(world: &World, place: Place) {
    let actor = &world.actors[place.index()];
    assert!(actor.main.is_none(), "2: two main processes of {place:?}");
    assert!(actor.step.is_none() && actor.reload.is_none(), "2: {place:?} starts beside a step");
    if world.owns_group(place) {
        assert!(!actor.is_populated(), "2: {place:?} starts beside its leftovers");
    }
}

/// A pause is no time for leftovers to end in: whoever rests has nothing left.
fn invariant_2_who_rests_has_no_leftovers(world: &World) {
    for (place, (actor, member)) in
        world.services.places().zip(world.actors.iter().zip(world.services.members.iter()))
    {
        let alone = !world.owns_group(place) || !actor.is_populated();
        assert!(!member.state.rests() || alone, "2: leftovers of {place:?}, which is {:?}", member.state);
    }
}

fn invariant_3_every_end_is_attributed_once(world: &World) {
    for (actor, member) in world.actors.iter().zip(world.services.members.iter()) {
        assert_eq!(actor.main.is_some(), member.run.main, "3: {:?}", member.state);
        assert_eq!(actor.step.is_some(), member.run.step, "3: {:?}", member.state);
        assert_eq!(actor.reload.is_some(), member.run.reload, "3: {:?}", member.state);
        if let Some(instance) = actor.main {
            assert_eq!(instance, member.run.instance, "3: of an earlier instance");
        }
    }
}

fn invariant_5_signals_go_to_processes_that_are_there(world: &World, place: Place, instance: Instance) {
    let main = world.actors[place.index()].main;
    assert_eq!(main, Some(instance), "5: {place:?} is signalled, but has ended");
}

/// The longest that a stop may take.
fn stop_bound(world: &World, place: Place) -> Duration {
    let last = Duration::from_secs(1);
    world.unit(place).stop_timeout.duration() + KILL_WITHIN + AFTER_WITHIN + last.max(SWEEP_WITHIN)
}

fn invariant_6_a_stop_ends_in_time(world: &mut World) {
    for place in world.services.places() {
        let goes = world.services.member(place).unwrap().state.goes();
        let (now, bound) = (world.now, stop_bound(world, place));
        let since = &mut world.actors[place.index()].goes_since;
        match (goes, *since) {
            (true, None) => *since = Some(now),
            (true, Some(begun)) => assert!(
                u128::from(now - begun) <= bound.as_millis(),
                "6: {place:?} goes since {begun}, now {now}: {:?}",
                world.services.member(place).unwrap().state
            ),
            (false, _) => *since = None,
        }
    }
}

fn is_going(state: StateName) -> bool {
    matches!(state, StateName::Stopping | StateName::Killing | StateName::Cleaning)
}

fn invariant_7_dependents_have_gone_before_a_service_is_asked_to(world: &World, place: Place) {
    if world.services.state(place) != Some(StateName::Stopping) {
        return;
    }
    // By all edges of the table, also through those who rest: `near` has one to the service itself.
    let mut below = vec![place];
    for dependent in world.services.places() {
        let edges = world.unit(dependent).edges.iter();
        let needed: Vec<&Edge> = edges.filter(|edge| below.contains(&edge.to)).collect();
        if needed.is_empty() {
            continue;
        }
        below.push(dependent);
        let member = world.services.member(dependent).unwrap();
        let ends = world.ended && world.services.ends_with_machine(dependent);
        let near = |edge: &Edge| edge.to == place && edge.on_loss != OnLoss::Keep;
        let bound = ends || (needed.into_iter().any(near) && member.hold.is_none());
        // One that only comes after it may begin in the same turn, once it is on its way out.
        let began_later = member.state.name() == StateName::Preparing
            && last_change(world, dependent) > last_change(world, place);
        assert!(
            !bound || began_later || !(member.state.runs() || member.state.goes()),
            "7: {place:?} is asked to end, but {dependent:?} is {:?}",
            member.state
        );
    }
}

fn last_change(world: &World, place: Place) -> Option<u64> {
    let changes = world.services.journal().since(0);
    changes
        .filter(|(_, record)| record.service == Some(place) && record.change.is_some())
        .map(|(n, _)| n)
        .last()
}

fn invariant_8_nothing_is_made_after_the_latch(world: &World, place: Place) {
    assert!(!world.ended, "8: {place:?} starts although the machine ends");
}

/// Who waited would be nothing but an end that is never reached, or a timer that starts something after it.
fn invariant_8_nobody_waits_for_a_start_after_the_latch(world: &World) {
    for (place, member) in world.services.places().zip(world.services.members.iter()) {
        let waits = matches!(member.state, State::Waiting | State::Blocked { .. } | State::Backoff { .. });
        assert!(!(world.ended && waits), "8: {place:?} is {:?} although the machine ends", member.state);
    }
}

fn invariant_10_nothing_remains_of_what_is_off(world: &World) {
    for (place, (actor, member)) in
        world.services.places().zip(world.actors.iter().zip(world.services.members.iter()))
    {
        if member.state != State::Off {
            continue;
        }
        assert!(actor.main.is_none() && actor.step.is_none() && actor.reload.is_none(), "10: {place:?}");
        assert!(!world.owns_group(place) || !actor.children, "10: leftovers of {place:?}");
        assert!(member.run.health.deadline().is_none() && member.run.health.due().is_none(), "10: {place:?}");
        assert!(!world.questions.values().any(|(asked, _)| *asked == place), "10: {place:?} is asked");
    }
}

fn invariant_11_pauses_grow_within_bounds(
    world: &mut World,
    place: Place,
    record: &Record,
    ready_for: Duration,
) {
    let Cause::Failed { again, .. } = &record.cause else { return };
    let (first, cap) = (world.unit(place).pause.duration(), world.unit(place).longest_pause.duration());
    let actor = &mut world.actors[place.index()];
    if ready_for >= PROVEN {
        actor.pause = Duration::ZERO;
    }
    let Some(pause) = *again else { return };
    actor.not_before = record.at.after(pause);
    if ready_for >= WORKED {
        return;
    }
    assert!(pause >= actor.pause, "11: {place:?} pauses {pause:?} after {:?}", actor.pause);
    assert!(pause * 10 >= first * 8 && pause * 10 <= cap * 12, "11: {pause:?}");
    actor.pause = pause;
}

fn invariant_11_nothing_starts_before_its_pause_is_over(world: &World, place: Place) {
    let not_before = world.actors[place.index()].not_before;
    assert!(world.moment() >= not_before, "11: {place:?} starts at {}, not {not_before}", world.moment());
}

fn invariant_12_starts_are_limited(world: &mut World, place: Place) {
    let unit = world.unit(place);
    let cost = 1 + (unit.before_start.len() + unit.after_stop.len()) as u64;
    world.starts.push_back((world.now, cost));
    while world.starts.front().is_some_and(|(at, _)| at + 10_000 < world.now) {
        world.starts.pop_front();
    }
    let sum: u64 = world.starts.iter().map(|(_, cost)| cost).sum();
    assert!(sum <= RATE * 10 + BURST, "12: {sum} starts in 10 s");
}

fn invariant_13_a_clock_that_jumps_changes_nothing(world: &World, before: &Before, quiet: bool) {
    let states = world.services.members.iter().map(|member| &member.state);
    assert!(before.states.iter().eq(states), "13: states differ");
    assert!(quiet, "13: something is done");
}

fn invariant_14_ready_is_entered_by_the_declared_way_only(world: &World, place: Place, record: &Record) {
    if !matches!(record.change, Some((StateName::Starting, StateName::Ready))) {
        return;
    }
    let current = world.services.instance(place).unwrap();
    let proper = match (&world.unit(place).ready, world.telling.as_ref().unwrap()) {
        (Ready::Probe { .. }, Event::Answered { finding: Finding::Good, .. }) => true,
        (ready, Event::Report { service, instance, report }) => {
            let how = matches!(
                (ready, report),
                (Ready::Exec, Report::Started { .. })
                    | (Ready::Notify, Report::SaidReady)
                    | (Ready::Descriptor(_), Report::WroteReady)
            );
            how && *service == place && *instance == current
        }
        _ => false,
    };
    assert!(proper, "14: {place:?} became ready by {:?}", world.telling);
}

fn invariant_15_stale_and_unclear_answers_change_nothing(world: &World, before: &Before) {
    let Some(Event::Answered { finding, .. }) = world.telling else { return };
    if finding == Finding::CouldNotAsk {
        let states = world.services.members.iter().map(|member| member.state.name());
        assert!(before.states.iter().map(State::name).eq(states), "15: an unclear answer changed a state");
    }
}

/// After a report about an instance that is gone, or an answer that nobody waits for.
pub fn invariant_15_nothing_stale_counts(world: &mut World, event: Event) {
    let next = world.services.journal().next();
    let states: Vec<State> = world.services.members.iter().map(|member| member.state.clone()).collect();
    world.tell(event.clone());
    let now = world.services.members.iter().map(|member| &member.state);
    assert!(states.iter().eq(now), "15: {event:?} changed a state");
    assert_eq!(world.services.journal().next(), next, "15: {event:?} was recorded");
}

fn invariant_16_a_loss_that_is_to_be_borne_is_borne(world: &World, before: &Before, record: &Record) {
    let Some(Event::Report { service: lost, report: Report::Ended(_), .. }) = &world.telling else { return };
    let (Some(place), Some(_)) = (record.service, record.change) else { return };
    let bears = world.unit(place).edges.iter().all(|edge| edge.on_loss == OnLoss::Keep);
    let up = before.states[place.index()].is_up() && before.states[place.index()] != State::Done;
    let needs_it = world.unit(place).edges.iter().any(|edge| edge.to == *lost);
    let wanted = world.services.member(place).unwrap().desired;
    assert!(!(bears && up && needs_it && wanted && place != *lost), "16: {place:?} changed with {lost:?}");
}

/// After the same overlay was applied once more.
pub fn invariant_17_an_identical_configuration_changes_nothing(before: u64, world: &World) {
    assert_eq!(world.services.journal().next(), before, "17: something was recorded");
}

/// Replaces the core by what was saved of it, and sees whether both go on alike.
pub fn invariant_19_a_successor_goes_on_where_it_was(world: &mut World) {
    let bytes = world.services.save().unwrap();
    let mut successor = Services::restore(world.table.clone(), &bytes).unwrap();
    assert_eq!(successor.members, world.services.members, "19: members differ");
    let mut machine = successor.machine.clone();
    machine.unsettled = world.services.machine.unsettled;
    assert_eq!(machine, world.services.machine, "19: what is shared differs");
    let moment = world.moment();
    assert_eq!(successor.save().unwrap(), bytes, "19: saved again, it differs");
    let mut brief = Vec::new();
    world.services.save_briefly(&mut brief).unwrap();
    let recovered = Services::restore(world.table.clone(), &brief).unwrap();
    assert_eq!(recovered.members, world.services.members, "19: what was kept at hand is old");
    let (steps, again) = (world.services.handle(Event::Time, moment), successor.handle(Event::Time, moment));
    assert_eq!(steps, again, "19: the successor does other things");
    assert_eq!(successor.deadline(), world.services.deadline(), "19: deadlines differ");
    world.services = successor;
    world.telling = Some(Event::Time);
    let before = Before::of(world);
    after_event(world, &before, steps.is_empty());
    world.perform(steps);
}

fn invariant_20_the_record_replays_to_the_states_and_all_is_explained(world: &World) {
    let journal = world.services.journal();
    assert_eq!(journal.replay(), world.states(), "20: replay");
    assert!(journal.since(0).map(|(number, _)| number).eq(journal.oldest()..journal.next()), "20: gaps");
    for place in world.services.places() {
        let state = world.services.state(place).unwrap();
        let lines = world.services.explain(place);
        let said = lines.first().is_some_and(|line| line.len() > world.services.name(place).len() + 5);
        assert!(said, "20: {place:?} is {state:?} and nobody says why");
        if matches!(state, StateName::Blocked) {
            assert!(lines.len() > 1, "20: {place:?} is {state:?}: the chain is missing");
        }
    }
}

fn invariant_21_what_failed_has_a_timer_or_a_verdict(world: &World) {
    for member in world.services.members.iter() {
        let timed = member.state.deadline().is_some();
        match member.state.name() {
            StateName::Preparing
            | StateName::Reloading
            | StateName::Backoff
            | StateName::Stopping
            | StateName::Killing
            | StateName::Cleaning => assert!(timed, "21: {:?} for ever", member.state),
            StateName::Starting | StateName::Ready | StateName::Degraded => {
                let lives = member.run.main || member.run.ended.is_some();
                assert!(lives, "21: {:?} without a process", member.state);
            }
            _ => {}
        }
    }
}

/// Checks what an event may not do.
pub fn after_event(world: &mut World, before: &Before, quiet: bool) {
    match world.telling {
        Some(Event::ClockJumped) => invariant_13_a_clock_that_jumps_changes_nothing(world, before, quiet),
        Some(Event::Answered { .. }) => invariant_15_stale_and_unclear_answers_change_nothing(world, before),
        _ => {}
    }
    for record in world.news() {
        if let Some(place) = record.service {
            if record.change.is_some_and(|(_, to)| !is_going(to)) {
                world.actors[place.index()].goes_since = None;
            }
            let ready = before.ready_since[place.index()];
            let ready_for = ready.map_or(Duration::ZERO, |ready| record.at.since(ready));
            invariant_11_pauses_grow_within_bounds(world, place, &record, ready_for);
            invariant_14_ready_is_entered_by_the_declared_way_only(world, place, &record);
            invariant_16_a_loss_that_is_to_be_borne_is_borne(world, before, &record);
        }
    }
}

/// Checks what must hold once nothing is left to do.
pub fn at_rest(world: &mut World) {
    invariant_2_who_rests_has_no_leftovers(world);
    invariant_3_every_end_is_attributed_once(world);
    invariant_6_a_stop_ends_in_time(world);
    invariant_8_nobody_waits_for_a_start_after_the_latch(world);
    invariant_10_nothing_remains_of_what_is_off(world);
    invariant_21_what_failed_has_a_timer_or_a_verdict(world);
}

/// Checks what is dear to check.
pub fn now_and_then(world: &World) {
    invariant_20_the_record_replays_to_the_states_and_all_is_explained(world);
}

/// Whether a service has come as far as it can by itself.
pub fn has_arrived(world: &World, place: Place) -> bool {
    let member = world.services.member(place).unwrap();
    let unit = world.unit(place);
    let late = unit.start == Start::WhenUp && world.services.up_since().is_none();
    match member.state.name() {
        StateName::Ready | StateName::Done | StateName::Failed => true,
        StateName::Off => !member.desired || late,
        // For a need that is down, is held, or waits for one that is.
        StateName::Waiting | StateName::Blocked => {
            member.hold.is_some()
                || unit.edges.iter().any(|edge| {
                    let need = world.services.member(edge.to).unwrap();
                    !need.desired || need.hold.is_some() || !need.state.is_up()
                })
        }
        // Until it takes them up after all.
        StateName::Degraded => member.state == State::Degraded(Degradation::Reload),
        _ => member.hold.is_some(),
    }
}
