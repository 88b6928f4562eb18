//! Questions to probed: which are on their way, and to whom.
//!
//! probed may be gone for a moment: what was not answered then is asked again when it is back.
//! The core stops waiting by itself, so nothing here has a deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use node_sys::event::Poll;
use serde::{Deserialize, Serialize};

use crate::control::message::Answer;
use crate::control::server::{Client, Server};
use crate::service::core::Question;

/// PID 1's side of probed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Prober {
    client: Option<Client>,
    asked: BTreeMap<Question, Answer>,
}

impl Prober {
    /// Asks, now or when probed is there.
    pub(super) fn ask(
        &mut self,
        question: Question,
        words: Vec<String>,
        within: Duration,
        server: &mut Server,
        poll: &Poll,
    ) {
        let within = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let ask = Answer::Ask { question: question.0, words, within };
        if let Some(client) = self.client {
            server.answer(client, &ask, &[], poll);
        }
        self.asked.insert(question, ask);
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget(&mut self, question: Question, server: &mut Server, poll: &Poll) {
        if self.asked.remove(&question).is_some()
            && let Some(client) = self.client
        {
            server.answer(client, &Answer::Forget(question.0), &[], poll);
        }
    }

    /// probed is at `client` from now on.
    pub(super) fn is_at(&mut self, client: Client, server: &mut Server, poll: &Poll) {
        self.client = Some(client);
        for ask in self.asked.values() {
            server.answer(client, ask, &[], poll);
        }
    }

    /// `client` is gone.
    pub(super) fn gone(&mut self, client: Client) {
        self.client = self.client.filter(|at| *at != client);
    }

    /// The question with this number was answered by `client`; none if nobody waits, or it is not probed's to say.
    pub(super) fn answered(&mut self, client: Client, number: u64) -> Option<Question> {
        let question = Question(number);
        (self.client == Some(client) && self.asked.remove(&question).is_some()).then_some(question)
    }
}
