//! A client of this machine's own API server: a handful of verbs over one connection.
//!
//! HTTP/1.1 over TLS with the cluster agent's certificate; every request has a deadline and
//! every answer a limit. What to ask is decided elsewhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::objects::Object;
use crate::agent::paths;
use crate::tls::{Identity, TlsError, client_config};

/// Where the API server of this machine listens.
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// How long one request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest answer: a list of requests or of nodes' metadata.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
/// Who applies: what others set in our objects stays theirs.
const FIELD_MANAGER: &str = "slipway";
/// A list without what the objects hold: names and labels are enough.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Why the API did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection.
    #[error("connecting to {SERVER}: {0}")]
    Connect(io::Error),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The conversation broke off.
    #[error("{request}: {source}")]
    Http {
        /// Method and path.
        request: String,
        /// Why.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("{0}: no answer in time")]
    Late(String),
    /// An answer that cannot be read.
    #[error("{request}: {why}")]
    Answer {
        /// Method and path.
        request: String,
        /// Too long, or no JSON.
        why: String,
    },
    /// A refusal.
    #[error("{request}: {status}: {message}")]
    Refused {
        /// Method and path.
        request: String,
        /// HTTP's.
        status: StatusCode,
        /// The API's.
        message: String,
    },
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Api {
    sender: SendRequest<Full<Bytes>>,
}

impl Api {
    /// Connects anew, with the certificate as it is now.
    pub(super) async fn connect() -> Result<Self, ApiError> {
        let pki = |name: &str| PathBuf::from(paths::PKI).join(name);
        let identity = Identity::load(&pki("cluster-agent.crt"), &pki("cluster-agent.key"))?;
        let config = client_config(&pki("kubernetes-ca.crt"), Some(identity))?;
        let connecting = async {
            let stream = TcpStream::connect(SERVER).await?;
            TlsConnector::from(Arc::new(config)).connect(ServerName::from(SERVER.ip()), stream).await
        };
        let stream = match timeout(ANSWER_WITHIN, connecting).await {
            Ok(outcome) => outcome.map_err(ApiError::Connect)?,
            Err(_) => return Err(ApiError::Connect(io::ErrorKind::TimedOut.into())),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| ApiError::Http { request: "handshake".to_owned(), source })?;
        // Its end shows in the next request.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Reads an object or a list.
    pub(super) async fn get(&mut self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::GET, path, None, "application/json").await
    }

    /// Reads a list's metadata only.
    pub(super) async fn get_metadata(&mut self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::GET, path, None, METADATA_ONLY).await
    }

    /// Makes an object what it should be, whether it exists or not.
    pub(super) async fn apply(&mut self, object: &Object) -> Result<(), ApiError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}&force=true", object.path);
        let body = ("application/apply-patch+yaml", &object.body);
        self.ask(Method::PATCH, &path, Some(body), "application/json").await.map(drop)
    }

    /// Changes fields of an object that exists.
    pub(super) async fn merge(&mut self, path: &str, patch: &Value) -> Result<(), ApiError> {
        let body = ("application/merge-patch+json", patch);
        self.ask(Method::PATCH, path, Some(body), "application/json").await.map(drop)
    }

    /// Replaces an object; gives back what became of it.
    pub(super) async fn put(&mut self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.ask(Method::PUT, path, Some(("application/json", object)), "application/json").await
    }

    /// Turns the connection into a bell that rings whenever something changes in a collection.
    pub(super) async fn bell(mut self, collection: &str) -> Result<Bell, ApiError> {
        let path = format!("{collection}?watch=true");
        let request = format!("GET {path}");
        let asking = self.send(Method::GET, &path, None, "application/json", &request);
        let answer = timeout(ANSWER_WITHIN, asking).await.map_err(|_| ApiError::Late(request.clone()))??;
        if !answer.status().is_success() {
            return Err(ApiError::Refused {
                request,
                status: answer.status(),
                message: "no watch".to_owned(),
            });
        }
        Ok(Bell { body: Some(answer.into_body()), _sender: self.sender })
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
        accept: &str,
    ) -> Result<Value, ApiError> {
        let request = format!("{method} {path}");
        match timeout(ANSWER_WITHIN, self.converse(method, path, body, accept, &request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ApiError::Late(request)),
        }
    }

    async fn converse(
        &mut self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
        accept: &str,
        request: &str,
    ) -> Result<Value, ApiError> {
        let unreadable = |why: String| ApiError::Answer { request: request.to_owned(), why };
        let answer = self.send(method, path, body, accept, request).await?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| unreadable(error.to_string()))?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()));
        }
        Err(ApiError::Refused { request: request.to_owned(), status, message: message_of(&bytes) })
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
        accept: &str,
        request: &str,
    ) -> Result<Response<Incoming>, ApiError> {
        let broken = |source| ApiError::Http { request: request.to_owned(), source };
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, SERVER.to_string())
            .header(ACCEPT, accept);
        let mut bytes = Bytes::new();
        if let Some((kind, value)) = body {
            builder = builder.header(CONTENT_TYPE, kind);
            bytes = Bytes::from(value.to_string());
        }
        let message = builder
            .body(Full::new(bytes))
            .map_err(|error| ApiError::Answer { request: request.to_owned(), why: error.to_string() })?;
        self.sender.ready().await.map_err(broken)?;
        self.sender.send_request(message).await.map_err(broken)
    }
}

/// A watch of which only the ringing counts: whoever hears it looks for himself.
#[derive(Debug)]
pub(super) struct Bell {
    body: Option<Incoming>,
    // Dropping it would end the connection.
    _sender: SendRequest<Full<Bytes>>,
}

impl Bell {
    /// Comes back when something has changed. A bell that has broken never rings again; the
    /// listener looks from time to time anyway.
    pub(super) async fn ring(&mut self) {
        let Some(body) = &mut self.body else { return std::future::pending().await };
        if !matches!(body.frame().await, Some(Ok(_))) {
            self.body = None;
            std::future::pending().await
        }
    }
}

/// The API explains itself in a Status object.
fn message_of(bytes: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(bytes).ok();
    let message = status.as_ref().and_then(|status| status.get("message")?.as_str());
    message.unwrap_or("no explanation").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_apis_words() {
        assert_eq!(
            message_of(br#"{"kind":"Status","message":"namespaces \"x\" not found"}"#),
            "namespaces \"x\" not found"
        );
        assert_eq!(message_of(b"<html>"), "no explanation");
    }
}
