//! From a request to its answer: found in the table, allowed by the role, read within limits, done in time.
//!
//! What a verb does is in `verbs` and `stream`; here is what holds for all of them. Every way out that is no success is
//! a document, too.

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use node_api::Role;
use node_api::limits::{ANSWER_WITHIN, BODY_BYTES_MAX, BODY_WITHIN, PATH_BYTES_MAX};
use node_api::reply::ErrorCode;
use node_api::verb::{Found, Shape, Verb, find};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::body::Body;
use super::followers::Followers;
use super::host::observe::Host;
use super::logs::Logs;
use super::pid1::Pid1;
use super::refusal::Refusal;
use crate::control::message::{Answer, Request as Question};

/// Who asks, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its common name.
    pub name: String,
    /// What it may do.
    pub role: Option<Role>,
}

/// Everything that answers are made from.
pub struct Api {
    pub(super) pid1: Arc<dyn Pid1>,
    pub(super) logs: Arc<dyn Logs>,
    pub(super) host: Arc<Host>,
    pub(super) followers: Followers,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Api {
    /// Asks these.
    #[must_use]
    pub fn new(pid1: Arc<dyn Pid1>, logs: Arc<dyn Logs>, host: Host) -> Self {
        Self { pid1, logs, host: Arc::new(host), followers: Followers::default() }
    }

    /// Answers, whatever is asked.
    pub async fn answer(&self, request: Request<Incoming>, client: &Client) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path.len().saturating_add(head.uri.query().map_or(0, str::len)) > PATH_BYTES_MAX {
            return refused(Refusal::new(ErrorCode::TooLarge, "the path is too long"));
        }
        let (verb, service) = match find(head.method.as_str(), path) {
            Found::Verb(verb, service) => (verb, service),
            Found::OtherMethod(method) => {
                let refusal = Refusal::new(
                    ErrorCode::MethodNotAllowed,
                    format!("{path} is asked by {}", method.as_str()),
                );
                let mut answer = refused(refusal);
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static(method.as_str()));
                return answer;
            }
            Found::Nothing => {
                return refused(Refusal::new(ErrorCode::NotFound, format!("there is no {path}")));
            }
        };
        let needed = verb.route().role;
        if client.role.is_none_or(|role| !role.suffices_for(needed)) {
            tracing::warn!(client = client.name, path, "not allowed");
            return refused(Refusal::forbidden(client.role, needed));
        }
        let query = head.uri.query().unwrap_or_default();
        match self.reply(verb, service, query, body, client).await {
            Ok(answer) => answer,
            Err(refusal) => refused(refusal),
        }
    }

    async fn reply(
        &self,
        verb: Verb,
        service: &str,
        query: &str,
        body: Incoming,
        client: &Client,
    ) -> Result<Response<Body>, Refusal> {
        let body = read(body).await?;
        let answering = async {
            Ok(match verb.route().shape {
                Shape::Document => answer(
                    "application/json",
                    Body::whole(self.document(verb, service, query, &body, client).await?),
                ),
                Shape::Metrics => {
                    answer("text/plain; version=0.0.4; charset=utf-8", Body::whole(self.metrics().await?))
                }
                Shape::Lines => answer("application/x-ndjson", self.lines(verb, query, client).await?),
            })
        };
        let late =
            |_| Refusal::new(ErrorCode::Unavailable, format!("no answer in {} s", ANSWER_WITHIN.as_secs()));
        timeout(ANSWER_WITHIN, answering).await.map_err(late)?
    }

    /// Asks PID 1, from a thread that may wait for it.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, Refusal> {
        let pid1 = Arc::clone(&self.pid1);
        match blocking(move || pid1.ask(&question)).await? {
            Ok(Answer::Refused(why)) => Err(Refusal::new(ErrorCode::Refused, why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Refusal::new(ErrorCode::Unavailable, error.to_string())),
        }
    }

    /// Looks at the machine, from a thread that may wait for it.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Host) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let host = Arc::clone(&self.host);
        blocking(move || look(&host)).await
    }
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(run)
        .await
        .map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))
}

/// PID 1 said something that is no answer to what it was asked.
pub(super) fn unexpected() -> Refusal {
    Refusal::new(ErrorCode::Internal, "PID 1 answered something else than it was asked")
}

/// A document as bytes.
pub(super) fn document<T: Serialize>(value: &T) -> Result<Bytes, Refusal> {
    let mut text =
        serde_json::to_vec(value).map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))?;
    text.push(b'\n');
    Ok(text.into())
}

/// What a body says; an empty one says what is usual.
pub(super) fn from_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text)
        .map_err(|error| Refusal::new(ErrorCode::BadRequest, format!("reading the body: {error}")))
}

/// What a query says.
pub(super) fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, Refusal> {
    serde_urlencoded::from_str(query)
        .map_err(|error| Refusal::new(ErrorCode::BadRequest, format!("reading the query: {error}")))
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    match timeout(BODY_WITHIN, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refusal::new(ErrorCode::TooLarge, format!("the body has more than {BODY_BYTES_MAX} bytes")))
        }
        Ok(Err(error)) => Err(Refusal::new(ErrorCode::BadRequest, format!("reading the body: {error}"))),
        Err(_) => Err(Refusal::new(ErrorCode::BadRequest, "reading the body: it did not come in time")),
    }
}

fn answer(kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn refused(Refusal(reply): Refusal) -> Response<Body> {
    let body = document(&reply).unwrap_or_default();
    let mut answer = answer("application/json", Body::whole(body));
    *answer.status_mut() =
        StatusCode::from_u16(reply.error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}
