//! Answers that go on: logs, the kernel's log, events; one JSON document per line.
//!
//! Logs are read on a thread of their own, events by asking PID 1 again and again for what follows the last number.
//! Either ends when the client is gone; a stream that has nothing to say sends an empty line now and then, which a
//! client skips, so that a dead connection is noticed on both sides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use node_api::limits::HEARTBEAT_EVERY;
use node_api::reply::ErrorCode;
use node_api::request::{EventQuery, LogQuery};
use node_api::verb::{Verb, is_service_name};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::answer::{Api, Client, blocking, document, from_query, unexpected};
use super::body::Body;
use super::followers::{Full, Place};
use super::logs::{LogReader, Next};
use super::refusal::Refusal;
use super::verbs::began;
use super::view;
use crate::control::client::ControlError;
use crate::control::message::{Answer, EVENTS_MAX, EventRecord, Request};

/// How often PID 1 is asked for new events.
const EVENTS_EVERY: Duration = Duration::from_millis(500);
/// A piece of a stream is sent when it has so many bytes, or when there is nothing more for now.
const PIECE_BYTES: usize = 16 * 1024;
/// Events of one question: with long causes they stay below PID 1's longest packet.
const EVENTS_AT_ONCE: u16 = if EVENTS_MAX < 256 { EVENTS_MAX } else { 256 };
/// The name under which the kernel's log is kept.
const KERNEL: &str = "kernel";

impl Api {
    /// The stream that a verb answers.
    pub(super) async fn lines(&self, verb: Verb, query: &str, client: &Client) -> Result<Body, Refusal> {
        match verb {
            Verb::Logs => self.logs(from_query(query)?, client).await,
            Verb::Dmesg => {
                let query: LogQuery = from_query(query)?;
                if query.service.is_some() {
                    return Err(Refusal::new(
                        ErrorCode::BadRequest,
                        "reading the query: the kernel is the service",
                    ));
                }
                self.logs(LogQuery { service: Some(KERNEL.to_owned()), ..query }, client).await
            }
            Verb::Events => self.events(from_query(query)?, client).await,
            _ => Err(unexpected()),
        }
    }

    /// A place among those that hold a thread, or ask again and again.
    fn follower(&self, client: &Client) -> Result<Place, Refusal> {
        self.followers.enter(&client.name).map_err(|full| {
            let message = match full {
                Full::Everybody => "too many are reading logs or events already".to_owned(),
                Full::Client => format!("{} reads too many logs or events already", client.name),
            };
            Refusal::new(ErrorCode::TooMany, message)
        })
    }

    async fn logs(&self, query: LogQuery, client: &Client) -> Result<Body, Refusal> {
        if query.service.as_deref().is_some_and(|service| !is_service_name(service)) {
            return Err(Refusal::new(ErrorCode::BadRequest, "reading the query: that is no service's name"));
        }
        if query.failure.is_some() && query.service.is_none() {
            return Err(Refusal::new(ErrorCode::BadRequest, "reading the query: a failure needs a service"));
        }
        let place = self.follower(client)?;
        let logs = Arc::clone(&self.logs);
        let reader = blocking(move || logs.open(&query))
            .await?
            .map_err(|why| Refusal::new(ErrorCode::Unavailable, why))?;
        let (sender, body) = Body::pieces();
        tokio::task::spawn_blocking(move || {
            read(reader, &sender);
            drop(place);
        });
        Ok(body)
    }

    async fn events(&self, query: EventQuery, client: &Client) -> Result<Body, Refusal> {
        let place = self.follower(client)?;
        let pid1 = Arc::clone(&self.pid1);
        let (sender, body) = Body::pieces();
        let ask = move |since: u64| {
            let pid1 = Arc::clone(&pid1);
            async move {
                let question = Request::Events { since, most: EVENTS_AT_ONCE };
                blocking(move || pid1.ask(&question)).await
            }
        };
        tokio::spawn(async move {
            follow(query, &sender, ask).await;
            drop(place);
        });
        Ok(body)
    }
}

/// Moves lines from a reader to a client until either ends.
fn read(mut reader: Box<dyn LogReader>, client: &mpsc::Sender<Bytes>) {
    let mut piece = Piece::default();
    loop {
        let more = match reader.next() {
            Ok(Next::Line(line)) => {
                piece.line(&line);
                piece.bytes.len() < PIECE_BYTES
            }
            Ok(Next::Nothing) => false,
            Ok(Next::End) => {
                let _ = client.blocking_send(piece.bytes.into());
                return;
            }
            Err(why) => {
                // The end without an end is all that a stream can say; who looks finds out here.
                tracing::warn!(why, "reading logs");
                return;
            }
        };
        if more {
            continue;
        }
        let gone = match piece.take() {
            Some(bytes) => client.blocking_send(bytes).is_err(),
            None => client.is_closed(),
        };
        if gone {
            return;
        }
    }
}

/// Asks for events by number, and moves them to a client until it is gone.
async fn follow<A: Future<Output = Result<Result<Answer, ControlError>, Refusal>>>(
    query: EventQuery,
    client: &mpsc::Sender<Bytes>,
    ask: impl Fn(u64) -> A,
) {
    let mut since = query.since.unwrap_or(0);
    let mut piece = Piece::default();
    let wanted = |event: &EventRecord| query.service.is_none() || event.service == query.service;
    loop {
        // While PID 1 replaces itself it does not answer; a follower bears that, another asks again.
        let answer = ask(since).await;
        let Ok(Ok(Answer::Events { events, next, .. })) = answer else {
            if !query.follow || client.is_closed() {
                return;
            }
            sleep(EVENTS_EVERY).await;
            continue;
        };
        let last = events.last().map(|event| event.number);
        for event in events.into_iter().filter(wanted) {
            piece.line(&view::event(event, began()));
        }
        if let Some(bytes) = piece.take()
            && client.send(bytes).await.is_err()
        {
            return;
        }
        since = last.map_or(next, |last| last.saturating_add(1));
        if since < next {
            continue;
        }
        if !query.follow {
            return;
        }
        tokio::select! {
            () = sleep(EVENTS_EVERY) => {}
            () = client.closed() => return,
        }
    }
}

/// Lines that wait to be sent together.
struct Piece {
    bytes: Vec<u8>,
    sent: Instant,
}

impl Default for Piece {
    fn default() -> Self {
        Self { bytes: Vec::new(), sent: Instant::now() }
    }
}

impl Piece {
    fn line<T: serde::Serialize>(&mut self, value: &T) {
        // Our own types always encode.
        self.bytes.extend_from_slice(&document(value).unwrap_or_default());
    }

    /// What there is; an empty line when there was nothing for long.
    fn take(&mut self) -> Option<Bytes> {
        if self.bytes.is_empty() && self.sent.elapsed() >= HEARTBEAT_EVERY {
            self.bytes.push(b'\n');
        }
        if self.bytes.is_empty() {
            return None;
        }
        self.sent = Instant::now();
        Some(std::mem::take(&mut self.bytes).into())
    }
}
