//! `slipway dashboard`: machines, services, logs and events on one screen, live.
//!
//! `state` is what is known and what keys do to it, `view` draws it, both without a terminal; `task` asks the machines
//! and `run` joins them with the keyboard. The screen is drawn when something has changed, and every second.

mod state;
mod task;
mod view;

#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::runtime;
use super::whom::Whom;
use state::{Key, News, State};

/// News that wait to be shown.
const WAITING: usize = 1024;
/// How long the keyboard is listened to at a time; also how long leaving may take.
const LISTEN: Duration = Duration::from_millis(100);
/// The longest pause between two drawings.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(args: &Args) -> Result<()> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        bail!("the dashboard wants a terminal (for programs: slipway status --json)");
    }
    let target = args.whom.target()?;
    let mut state = State::new(&target);
    let runtime = runtime()?;
    let mut terminal = ratatui::try_init().context("taking over the terminal")?;
    let outcome = runtime.block_on(async {
        let (sender, mut news) = mpsc::channel(WAITING);
        task::watch(&target, args.whom.within(), &sender);
        let keyboard = tokio::task::spawn_blocking(move || listen(&sender));
        let outcome = show(&mut terminal, &mut state, &mut news).await;
        // The keyboard's thread ends when nobody hears it any more.
        drop(news);
        keyboard.await.context("reading the keyboard")?.and(outcome)
    });
    ratatui::try_restore().context("giving the terminal back")?;
    outcome
}

async fn show(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    news: &mut mpsc::Receiver<News>,
) -> Result<()> {
    loop {
        terminal.draw(|frame| view::draw(state, frame)).context("drawing")?;
        // One thing or the pause; then whatever else has come in the meantime, and one drawing for all of it.
        if let Ok(Some(piece)) = tokio::time::timeout(DRAW_EVERY, news.recv()).await {
            state.take(piece);
        }
        while let Ok(piece) = news.try_recv() {
            state.take(piece);
        }
        if state.is_over() {
            return Ok(());
        }
    }
}

fn listen(sender: &mpsc::Sender<News>) -> Result<()> {
    while !sender.is_closed() {
        if !event::poll(LISTEN).context("reading the keyboard")? {
            continue;
        }
        let Event::Key(key) = event::read().context("reading the keyboard")? else { continue };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        let key = match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
            KeyCode::Up | KeyCode::Char('k') => Key::Up,
            KeyCode::Down | KeyCode::Char('j') => Key::Down,
            KeyCode::Tab | KeyCode::Char('l') | KeyCode::Right => Key::Next,
            KeyCode::BackTab | KeyCode::Char('h') | KeyCode::Left => Key::Previous,
            _ => continue,
        };
        if sender.blocking_send(News::Key(key)).is_err() {
            break;
        }
    }
    Ok(())
}
