//! Asks every machine, again and again, for as long as somebody looks.
//!
//! Per machine a task for its status and services, one that follows its events, and one its logs. What breaks off is
//! begun anew after a pause; events go on where they were.

use std::time::Duration;

use anyhow::Result;
use node_api::Verb;
use node_api::reply::{Event, LogLine, Services, Status};
use node_api::request::{EventQuery, LogQuery};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::state::News;
use crate::node::client::{Connection, Question};
use crate::node::{Machine, Target};

/// Between two looks at a machine.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Before a stream that broke off is begun anew.
const AGAIN_IN: Duration = Duration::from_secs(2);
/// Log lines to begin with.
const BEGIN_WITH_LINES: u64 = 100;
/// Events to begin with; of those that are kept, the last.
const BEGIN_WITH_EVENTS: u64 = 100;

/// Begins to ask.
pub(super) fn watch(target: &Target, within: Duration, sender: &Sender<News>) {
    for machine in &target.machines {
        let one = Watch { target: target.clone(), machine: machine.clone(), within, news: sender.clone() };
        tokio::spawn(one.clone().look());
        tokio::spawn(one.clone().events());
        tokio::spawn(one.logs());
    }
}

#[derive(Clone)]
struct Watch {
    target: Target,
    machine: Machine,
    within: Duration,
    news: Sender<News>,
}

impl Watch {
    async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.target, &self.machine, self.within).await
    }

    async fn look(self) {
        let mut connection = None;
        while !self.news.is_closed() {
            if let Err(error) = self.look_once(&mut connection).await {
                connection = None;
                let news = News::Status(self.machine.name.clone(), Err(format!("{error:#}")));
                // Nobody looks any more: the loop ends by itself.
                let _ = self.news.send(news).await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn look_once(&self, kept: &mut Option<Connection>) -> Result<()> {
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(self.connect().await?),
        };
        let name = || self.machine.name.clone();
        let status: Status = connection.document(&Question::of(Verb::Status)).await?;
        let services: Services = connection.document(&Question::of(Verb::Services)).await?;
        let _ = self.news.send(News::Status(name(), Ok(Box::new(status)))).await;
        let _ = self.news.send(News::Services(name(), services.services)).await;
        Ok(())
    }

    async fn events(self) {
        let mut since = None;
        while !self.news.is_closed() {
            // Why it broke off is told by the machine's own line.
            let _ = self.follow_events(&mut since).await;
            sleep(AGAIN_IN).await;
        }
    }

    async fn follow_events(&self, since: &mut Option<u64>) -> Result<()> {
        let mut connection = self.connect().await?;
        if since.is_none() {
            let status: Status = connection.document(&Question::of(Verb::Status)).await?;
            *since = Some(status.next_event.saturating_sub(BEGIN_WITH_EVENTS));
        }
        let query = EventQuery { since: *since, service: None, follow: true };
        let mut lines = connection.lines(&Question::of(Verb::Events).with_query(&query)?).await?;
        while let Some(event) = lines.next::<Event>().await? {
            *since = Some(event.number + 1);
            if self.news.send(News::Event(self.machine.name.clone(), Box::new(event))).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn logs(self) {
        let mut begun = false;
        while !self.news.is_closed() {
            let _ = self.follow_logs(&mut begun).await;
            sleep(AGAIN_IN).await;
        }
    }

    async fn follow_logs(&self, begun: &mut bool) -> Result<()> {
        let mut connection = self.connect().await?;
        let tail = if *begun { 0 } else { BEGIN_WITH_LINES };
        let query = LogQuery { tail: Some(tail), follow: true, ..LogQuery::default() };
        let mut lines = connection.lines(&Question::of(Verb::Logs).with_query(&query)?).await?;
        while let Some(line) = lines.next::<LogLine>().await? {
            *begun = true;
            if self.news.send(News::Log(self.machine.name.clone(), Box::new(line))).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}
