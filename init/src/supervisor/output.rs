//! What services print: the last of it, per service, for the console.
//!
//! Read from the pipes that the runner keeps; bounded in what a turn reads and in what is kept.

use std::os::fd::BorrowedFd;

use machine_config::service::Place;
use node_sys::event;

use crate::log::{Lines, Ring};
use crate::monotonic::Monotonic;

/// What one turn reads of one service's output, so that none keeps the others waiting.
const PER_TURN: usize = 64 * 1024;

/// All services' output.
#[derive(Debug)]
pub(super) struct Outputs {
    kept: Vec<(Lines, Ring)>,
    buffer: Vec<u8>,
}

impl Outputs {
    /// Nothing yet, of so many services.
    pub(super) fn of(services: usize) -> Self {
        let kept = (0..services).map(|_| (Lines::default(), Ring::default())).collect();
        Self { kept, buffer: vec![0; PER_TURN] }
    }

    /// Reads what came; the lines that it completes.
    pub(super) fn read(&mut self, service: Place, pipe: BorrowedFd<'_>, now: Monotonic) -> Vec<String> {
        let Some((lines, ring)) = self.kept.get_mut(service.index()) else { return Vec::new() };
        let complete = match event::read_now(pipe, &mut self.buffer) {
            Ok(Some(len)) => lines.take(self.buffer.get(..len).unwrap_or_default()),
            Ok(None) => Vec::new(),
            Err(error) => vec![format!("reading its output: {error}")],
        };
        for line in &complete {
            ring.push(now, line.clone());
        }
        complete
    }

    /// The last lines since `since`.
    pub(super) fn last(&self, service: Place, since: Monotonic, most: usize) -> Vec<String> {
        let Some((_, ring)) = self.kept.get(service.index()) else { return Vec::new() };
        ring.tail(since, most).map(str::to_owned).collect()
    }
}
