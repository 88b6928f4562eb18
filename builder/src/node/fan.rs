//! Many machines at once: each has its own time, and none waits for another.
//!
//! The answers come back in the machines' order, whatever order they arrived in; a machine that does not answer has an
//! error in its place.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::client::{Connection, Question};
use super::target::{Machine, Target};

/// A machine and what it said.
pub type Said<T> = (Machine, Result<T>);

/// Asks all machines of `target` the same.
pub async fn ask<T: DeserializeOwned + Send + 'static>(
    target: &Target,
    question: &Question,
    within: Duration,
) -> Vec<Said<T>> {
    let mut tasks = JoinSet::new();
    for (index, machine) in target.machines.iter().cloned().enumerate() {
        let (target, question) = (target.clone(), question.clone());
        tasks.spawn(async move {
            let asking = async {
                let mut connection = Connection::open(&target, &machine, within).await?;
                connection.document::<T>(&question).await
            };
            (index, asking.await)
        });
    }
    let mut said: Vec<Option<Result<T>>> = target.machines.iter().map(|_| None).collect();
    while let Some(outcome) = tasks.join_next().await {
        if let Ok((index, answer)) = outcome
            && let Some(place) = said.get_mut(index)
        {
            *place = Some(answer);
        }
    }
    let missing = || Err(anyhow!("asking it ended without an answer"));
    target
        .machines
        .iter()
        .cloned()
        .zip(said.into_iter().map(|answer| answer.unwrap_or_else(missing)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use rustls::{ClientConfig, RootCertStore};

    use super::*;

    #[tokio::test]
    async fn dead_machines_cost_their_own_time_and_not_each_others() {
        // Three that take a connection and never say a word.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let machine = |n: usize| Machine { name: format!("m{n}"), role: "worker".to_owned(), at };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let target =
            Target { cluster: "x".to_owned(), machines: (0..3).map(machine).collect(), tls: Arc::new(tls) };
        let begun = Instant::now();
        let question = Question::of(node_api::Verb::Status);
        let said = ask::<serde_json::Value>(&target, &question, Duration::from_millis(200)).await;
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        let names: Vec<&str> = said.iter().map(|(machine, _)| machine.name.as_str()).collect();
        assert_eq!(names, ["m0", "m1", "m2"]);
        assert!(
            said.iter().all(|(_, answer)| answer.as_ref().is_err_and(|e| e.to_string().contains("0.2 s")))
        );
    }
}
