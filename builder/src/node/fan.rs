//! Many machines at once: each has its own time, and none waits for another.
//!
//! Answers come in batches, so that who prints them has the quick ones in the machines' order and is not held up by the
//! late: a machine that is dead, or takes a connection and then is silent, comes by itself when its time is over. One
//! that does not answer has an error in its place.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;

use super::client::{Connection, Question};
use super::target::{Machine, Target};

/// How long those who have said something wait for others: more than machines of one cluster differ by, and not yet
/// what people call waiting.
pub const GRACE: Duration = Duration::from_millis(300);

/// A machine and what it said.
pub type Said<T> = (Machine, Result<T>);

/// Machines that have been asked.
#[derive(Debug)]
pub struct Asked<T> {
    machines: Vec<(Machine, Id)>,
    answers: JoinSet<Result<T>>,
}

/// Asks all machines of `target` the same.
pub fn ask<T: DeserializeOwned + Send + 'static>(
    target: &Target,
    question: &Question,
    within: Duration,
) -> Asked<T> {
    let mut answers = JoinSet::new();
    let ask = |machine: &Machine| {
        let (target, machine, question) = (target.clone(), machine.clone(), question.clone());
        let task = answers.spawn(async move {
            let mut connection = Connection::open(&target, &machine, within).await?;
            connection.document::<T>(&question).await
        });
        task.id()
    };
    let tasks: Vec<Id> = target.machines.iter().map(ask).collect();
    Asked { machines: target.machines.iter().cloned().zip(tasks).collect(), answers }
}

impl<T: Send + 'static> Asked<T> {
    /// The first that answers and whoever else does within [`GRACE`], in the machines' order; empty when all have.
    pub async fn batch(&mut self) -> Vec<Said<T>> {
        let mut batch = Vec::new();
        batch.extend(self.answer().await);
        let others = async {
            while let Some(answer) = self.answer().await {
                batch.push(answer);
            }
        };
        // Whoever is not there by then is of a later batch.
        let _ = timeout(GRACE, others).await;
        self.named(batch)
    }

    /// All answers, in the machines' order.
    pub async fn all(mut self) -> Vec<Said<T>> {
        let mut all = Vec::new();
        while let Some(answer) = self.answer().await {
            all.push(answer);
        }
        self.named(all)
    }

    async fn answer(&mut self) -> Option<(Id, Result<T>)> {
        Some(match self.answers.join_next_with_id().await? {
            Ok(answer) => answer,
            Err(error) => (error.id(), Err(anyhow!("asking it ended without an answer"))),
        })
    }

    fn named(&self, answers: Vec<(Id, Result<T>)>) -> Vec<Said<T>> {
        let mut answers: HashMap<Id, Result<T>> = answers.into_iter().collect();
        let said = |(machine, id): &(Machine, Id)| Some((machine.clone(), answers.remove(id)?));
        self.machines.iter().filter_map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::time::Instant;

    use rustls::{ClientConfig, RootCertStore};

    use super::*;

    /// Machines at these addresses, m0 and so on.
    fn target(at: &[SocketAddr]) -> Target {
        let machine = |(n, at): (usize, &SocketAddr)| Machine {
            name: format!("m{n}"),
            role: "worker".to_owned(),
            at: *at,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Target {
            cluster: "x".to_owned(),
            machines: at.iter().enumerate().map(machine).collect(),
            tls: Arc::new(tls),
        }
    }

    /// Takes connections and never says a word.
    fn silent() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        (listener, at)
    }

    fn names<T>(said: &[Said<T>]) -> Vec<&str> {
        said.iter().map(|(machine, _)| machine.name.as_str()).collect()
    }

    #[tokio::test]
    async fn dead_machines_cost_their_own_time_and_not_each_others() {
        let (_listener, at) = silent();
        let begun = Instant::now();
        let question = Question::of(node_api::Verb::Status);
        let within = Duration::from_millis(200);
        let said = ask::<serde_json::Value>(&target(&[at; 3]), &question, within).all().await;
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        assert_eq!(names(&said), ["m0", "m1", "m2"]);
        assert!(
            said.iter().all(|(_, answer)| answer.as_ref().is_err_and(|e| e.to_string().contains("0.2 s")))
        );
    }

    #[tokio::test]
    async fn who_answers_is_told_in_order_before_the_time_of_the_silent_is_over() {
        let (_listener, silent) = silent();
        // Nobody listens there, which the kernel says at once.
        let quick = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let question = Question::of(node_api::Verb::Status);
        let within = GRACE * 4;
        let begun = Instant::now();
        let target = target(&[quick, silent, quick, silent]);
        let mut asked = ask::<serde_json::Value>(&target, &question, within);
        assert_eq!(names(&asked.batch().await), ["m0", "m2"]);
        assert!(begun.elapsed() < within, "{:?}", begun.elapsed());
        assert_eq!(names(&asked.batch().await), ["m1", "m3"]);
        assert!(asked.batch().await.is_empty());
    }
}
