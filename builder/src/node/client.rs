//! One connection to one machine: HTTP/2 over TLS 1.3, with deadlines and limits.
//!
//! A refusal becomes an error in the machine's own words. Streams are read line by line; empty lines are the server's
//! way to say that it is still there. Ours are pings: a stream may have to wait until others have been read.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use node_api::Verb;
use node_api::limits::{ANSWER_BYTES_MAX, ANSWER_WITHIN, HEARTBEAT_EVERY, LINE_BYTES_MAX, STALLED_WITHIN};
use node_api::reply::ErrorReply;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::target::{Machine, Target};

/// How long an answer may take beyond what the server allows itself.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    verb: Verb,
    service: String,
    query: String,
    body: String,
}

impl Question {
    /// Of the whole machine.
    #[must_use]
    pub fn of(verb: Verb) -> Self {
        Self { verb, service: String::new(), query: String::new(), body: String::new() }
    }

    /// About a service.
    #[must_use]
    pub fn about(verb: Verb, service: &str) -> Self {
        Self { service: service.to_owned(), ..Self::of(verb) }
    }

    /// With a query.
    ///
    /// # Errors
    /// It can't be written down.
    pub fn with_query<T: serde::Serialize>(mut self, query: &T) -> Result<Self> {
        self.query = serde_urlencoded::to_string(query).context("writing down the query")?;
        Ok(self)
    }

    /// With a body.
    ///
    /// # Errors
    /// It can't be written down.
    pub fn with_body<T: serde::Serialize>(mut self, body: &T) -> Result<Self> {
        self.body = serde_json::to_string(body).context("writing down the request")?;
        Ok(self)
    }

    fn uri(&self, machine: &str) -> String {
        let path = self.verb.route().path_for(&self.service);
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("https://{machine}{path}{mark}{}", self.query)
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    machine: String,
}

impl Connection {
    /// Connects to `machine`, and believes that it is the one only if its certificate says so.
    ///
    /// # Errors
    /// Not there, not in time, or not the machine that is meant.
    pub async fn open(target: &Target, machine: &Machine, within: Duration) -> Result<Self> {
        let connecting = async {
            let stream = TcpStream::connect(machine.at).await.context("connecting")?;
            stream.set_nodelay(true).context("connecting")?;
            let name = ServerName::try_from(machine.name.clone()).context("naming the machine")?;
            let stream = TlsConnector::from(std::sync::Arc::clone(&target.tls))
                .connect(name, stream)
                .await
                .context("greeting")?;
            let (sender, connection) = Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(HEARTBEAT_EVERY)
                .handshake(TokioIo::new(stream))
                .await
                .context("greeting")?;
            // Its end shows in the next request.
            tokio::spawn(connection);
            Ok(Self { sender, machine: machine.name.clone() })
        };
        match timeout(within, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("no answer within {} s", within.as_secs_f64()),
        }
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// A refusal, or no answer that can be read.
    pub async fn document<T: DeserializeOwned>(&mut self, question: &Question) -> Result<T> {
        let asking = async {
            let body = Limited::new(self.send(question).await?, ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|error| anyhow!(error)).context("reading the answer")?.to_bytes();
            serde_json::from_slice(&bytes).context("reading the answer")
        };
        match timeout(ANSWER_WITHIN + ON_THE_WAY, asking).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("no answer in time"),
        }
    }

    /// Asks for a stream.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn lines(&mut self, question: &Question) -> Result<Lines> {
        match timeout(ANSWER_WITHIN + ON_THE_WAY, self.send(question)).await {
            Ok(body) => Ok(Lines { body: body?, buffer: Vec::new(), ended: false }),
            Err(_) => bail!("no answer in time"),
        }
    }

    async fn send(&mut self, question: &Question) -> Result<Incoming> {
        let request = Request::builder()
            .method(question.verb.route().method.as_str())
            .uri(question.uri(&self.machine))
            .body(Full::new(Bytes::from(question.body.clone())))
            .context("writing down the request")?;
        self.sender.ready().await.context("asking")?;
        let answer = self.sender.send_request(request).await.context("asking")?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body = Limited::new(answer.into_body(), LINE_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| anyhow!(error)).context("reading the refusal")?.to_bytes();
        match serde_json::from_slice::<ErrorReply>(&bytes) {
            Ok(reply) => bail!("refused: {}", reply.message),
            Err(_) => bail!("refused: {status}"),
        }
    }
}

/// A stream of documents, one per line.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// The next document; none at the end.
    ///
    /// # Errors
    /// The stream broke off, or a line is no such document.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.len() > 1 {
                    return serde_json::from_slice(&line).map(Some).context("reading a line");
                }
            }
            if self.ended {
                return Ok(None);
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                bail!("a line has more than {LINE_BYTES_MAX} bytes");
            }
            match timeout(STALLED_WITHIN, self.body.frame()).await {
                Ok(Some(frame)) => {
                    if let Ok(data) = frame.context("reading the stream")?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Ok(None) => self.ended = true,
                Err(_) => bail!("the stream has stalled"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_as_the_table_says() {
        let query = node_api::request::LogQuery {
            grep: Some("a b&c".to_owned()),
            follow: true,
            ..Default::default()
        };
        let logs = Question::of(Verb::Logs).with_query(&query).unwrap();
        assert_eq!(logs.uri("w1"), "https://w1/v1/logs?grep=a+b%26c&follow=true");
        assert_eq!(Question::about(Verb::Stop, "etcd").uri("e1"), "https://e1/v1/services/etcd/stop");
    }
}
