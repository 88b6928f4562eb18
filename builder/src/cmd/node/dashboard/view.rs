//! Draws what is known: machines above, the selected one's services beside its logs and events.
//!
//! Nothing is decided here but where things go. A screen that is too small shows less, and never fails.

use node_api::reply::{Stage, State as ServiceState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

use super::state::{Known, State};
use crate::cmd::node::show::{bytes, span};
use crate::cmd::node::{events, logs};

const KEYS: &str = " ←→ machine   ↑↓ service   q quit ";

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame<'_>) {
    let rows = u16::try_from(state.machines.len()).unwrap_or(u16::MAX).saturating_add(3);
    let [above, middle, below] =
        Layout::vertical([Constraint::Max(rows), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    let [left, right] = Layout::horizontal([Constraint::Percentage(40), Constraint::Fill(1)]).areas(middle);
    let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(right);
    machines(state, frame, above);
    let nothing = Known::default();
    let (name, known) = state.selected().unwrap_or(("", &nothing));
    services(state, name, known, frame, left);
    lines(&format!("logs of {name}"), known.logs.iter().map(logs::told), frame, upper);
    lines(&format!("events of {name}"), known.events.iter().map(events::told), frame, lower);
    frame.render_widget(Paragraph::new(KEYS).style(Style::new().add_modifier(Modifier::DIM)), below);
}

fn block(title: &str) -> Block<'static> {
    Block::new().borders(Borders::ALL).title(format!(" {title} "))
}

fn good() -> Style {
    Style::new().fg(Color::Green)
}

fn busy() -> Style {
    Style::new().fg(Color::Yellow)
}

fn bad() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

fn chosen() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

fn machines(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let row = |(name, role): &(String, String)| {
        let known = state.known.get(name).and_then(|known| known.status.as_ref());
        let cells = match known {
            None => vec![Cell::from("…")],
            Some(Err(error)) => vec![Cell::from("away").style(bad()), Cell::from(error.clone())],
            Some(Ok(status)) => {
                let stage = match status.stage {
                    Stage::Up => Cell::from("up").style(good()),
                    Stage::Booting => Cell::from("booting").style(busy()),
                    Stage::Rebooting => Cell::from("rebooting").style(busy()),
                    Stage::ShuttingDown => Cell::from("shutting down").style(busy()),
                };
                let alarm = status.alarms.first().map(|alarm| format!("{}: {}", alarm.service, alarm.text));
                let waiting = || match status.waiting_for.as_slice() {
                    [] => String::new(),
                    names => format!("waiting for {}", names.join(", ")),
                };
                let used = status.memory.total_bytes.saturating_sub(status.memory.available_bytes);
                vec![
                    stage,
                    Cell::from(format!(
                        "{:<12} {:>2} of {:<2} services  {:>10}  load {:.2}  {}",
                        span(status.uptime_ms),
                        status.services_good,
                        status.services_wanted,
                        bytes(used),
                        status.load[0],
                        alarm.unwrap_or_else(waiting)
                    )),
                ]
            }
        };
        Row::new([Cell::from(name.clone()), Cell::from(role.clone())].into_iter().chain(cells))
    };
    let widths =
        [Constraint::Length(16), Constraint::Length(14), Constraint::Length(14), Constraint::Fill(1)];
    let table = Table::new(state.machines.iter().map(row), widths)
        .header(Row::new(["MACHINE", "ROLE", "STAGE", ""]).style(Style::new().add_modifier(Modifier::DIM)))
        .row_highlight_style(chosen())
        .block(block(&format!("cluster {}", state.cluster)));
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(state.machine));
}

fn services(state: &State, name: &str, known: &Known, frame: &mut Frame<'_>, area: Rect) {
    let row = |service: &node_api::reply::Service| {
        let style = match service.state {
            state if state.is_good() => good(),
            state if state.is_bad() => bad(),
            ServiceState::Off if !service.wanted => Style::new().add_modifier(Modifier::DIM),
            _ => busy(),
        };
        let memory = service.usage.filter(|_| service.pid.is_some()).map(|usage| bytes(usage.memory_bytes));
        Row::new([
            Cell::from(service.name.clone()),
            Cell::from(service.state.as_str()).style(style),
            Cell::from(service.starts.to_string()),
            Cell::from(memory.unwrap_or_default()),
        ])
    };
    let widths = [Constraint::Fill(1), Constraint::Length(10), Constraint::Length(6), Constraint::Length(11)];
    let table = Table::new(known.services.iter().map(row), widths)
        .header(
            Row::new(["SERVICE", "STATE", "STARTS", "MEMORY"])
                .style(Style::new().add_modifier(Modifier::DIM)),
        )
        .row_highlight_style(chosen())
        .block(block(&format!("services of {name}")));
    let selected = (!known.services.is_empty()).then_some(state.service);
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
}

/// The last lines that fit.
fn lines(title: &str, all: impl DoubleEndedIterator<Item = String>, frame: &mut Frame<'_>, area: Rect) {
    let room = usize::from(area.height.saturating_sub(2));
    let mut last: Vec<Line<'_>> = all.rev().take(room).map(Line::from).collect();
    last.reverse();
    frame.render_widget(Paragraph::new(last).block(block(title)), area);
}
