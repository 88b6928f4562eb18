//! `slipway services`: what runs on machines, and what is done to it.
//!
//! Without a verb it lists, on all machines. The others take a service and the machines on which it is meant: what is
//! done to etcd everywhere is done on purpose.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::{Accepted, Service, Services, State};
use node_api::request::{Signal, SignalRequest, StopRequest};

use super::paint::Tone;
use super::show::{self, bytes};
use super::table::Cell;
use super::whom::{Named, Whom};
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    order: Option<Order>,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// List them
    List(List),
    /// Want one up, with a fresh budget
    Start(One),
    /// Want one down
    Stop(Down),
    /// Stop and start one
    Restart(Down),
    /// Have one take up changed files
    Reload(One),
    /// Forget one's failures and end its pause
    Reset(One),
    /// Send one a signal that its spec allows
    Signal(Send),
    /// Keep one as it is until it is released
    Hold(One),
    /// End a hold
    Release(One),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The service
    service: String,
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, clap::Args)]
struct Down {
    /// The service
    service: String,
    /// Stop those that would lose it, too
    #[arg(long)]
    cascade: bool,
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, clap::Args)]
struct Send {
    /// The service
    service: String,
    /// The signal: term, int, hup, quit, usr1, usr2, kill
    #[arg(value_parser = signal)]
    signal: Signal,
    #[command(flatten)]
    named: Named,
}

fn signal(text: &str) -> Result<Signal, String> {
    let known = Signal::ALL.into_iter().find(|signal| signal.as_str() == text);
    known.ok_or_else(|| format!("one of {} is wanted", Signal::ALL.map(Signal::as_str).join(", ")))
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let one = |one: &One, verb| order(&one.named, context, &Question::about(verb, &one.service));
    match &args.order {
        None => list(&args.whom, context),
        Some(Order::List(args)) => list(&args.whom, context),
        Some(Order::Start(args)) => one(args, Verb::Start),
        Some(Order::Stop(args)) => down(args, Verb::Stop, context),
        Some(Order::Restart(args)) => down(args, Verb::Restart, context),
        Some(Order::Reload(args)) => one(args, Verb::Reload),
        Some(Order::Reset(args)) => one(args, Verb::Reset),
        Some(Order::Hold(args)) => one(args, Verb::Hold),
        Some(Order::Release(args)) => one(args, Verb::Release),
        Some(Order::Signal(args)) => {
            let request = SignalRequest { signal: args.signal };
            order(&args.named, context, &Question::about(Verb::Signal, &args.service).with_body(&request)?)
        }
    }
}

fn down(args: &Down, verb: Verb, context: &Context) -> Result<()> {
    let request = StopRequest { cascade: args.cascade };
    order(&args.named, context, &Question::about(verb, &args.service).with_body(&request)?)
}

fn order(named: &Named, context: &Context, question: &Question) -> Result<()> {
    show::table::<Accepted>(named.whom()?, context, question, &["OUTCOME", "EVENTS"], |accepted| {
        let outcome = if accepted.changes { "being done" } else { "was so already" };
        vec![vec![Cell::toned(outcome, Tone::Good), format!("from {}", accepted.next_event).into()]]
    })
}

const HEAD: [&str; 8] = ["SERVICE", "STATE", "PID", "STARTS", "CPU", "MEMORY", "HELD", "NOTE"];

fn list(whom: &Whom, context: &Context) -> Result<()> {
    show::table::<Services>(whom, context, &Question::of(Verb::Services), &HEAD, |reply| {
        reply.services.iter().map(row).collect()
    })
}

fn row(service: &Service) -> Vec<Cell> {
    let usage = service.usage.unwrap_or_default();
    let running = service.pid.is_some();
    let used = |text: String| if running { text } else { String::new() };
    let note = [&service.alarm, &service.status, &service.last_end].into_iter().flatten().next();
    vec![
        service.name.as_str().into(),
        state(service.state, service.wanted),
        service.pid.map_or_else(String::new, |pid| pid.to_string()).into(),
        service.starts.to_string().into(),
        used(format!("{:.1} s", std::time::Duration::from_micros(usage.cpu_us).as_secs_f64())).into(),
        used(bytes(usage.memory_bytes)).into(),
        if service.held { Cell::toned("held", Tone::Busy) } else { "".into() },
        Cell::toned(
            note.cloned().unwrap_or_default(),
            if service.alarm.is_some() { Tone::Bad } else { Tone::Faint },
        ),
    ]
}

/// A state in its word and tone.
pub(super) fn state(state: State, wanted: bool) -> Cell {
    let tone = match state {
        good if good.is_good() => Tone::Good,
        bad if bad.is_bad() => Tone::Bad,
        State::Off if !wanted => Tone::Faint,
        _ => Tone::Busy,
    };
    Cell::toned(state.as_str(), tone)
}
