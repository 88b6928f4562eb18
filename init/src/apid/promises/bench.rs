//! A server to be tested: its certificates, its clients, and the doubles of PID 1 and the logs.
//!
//! PID 1's double has one service, `kubelet`, which cannot be reloaded, and 600 events; the logs' double has five
//! lines of it and then goes on for ever when it is followed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request as HttpRequest, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::{SignedDuration, Timestamp};
use node_api::Role;
use node_api::reply::LogLine;
use node_api::request::LogQuery;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use trust::pki::{Authority, Leaf, Minted, Usage, Validity};

use crate::apid::answer::Api;
use crate::apid::host::observe::Host;
use crate::apid::logs::{Counters, LogReader, Logs, Next};
use crate::apid::pid1::Pid1;
use crate::apid::server;
use crate::control::client::ControlError;
use crate::control::message::{Answer, EventRecord, Order, Own, Request, ServiceView, Stamps, StateName};
use crate::tls::{self, Identity};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What a client shows.
#[derive(Debug)]
pub(super) enum Shown {
    Role(Role),
    /// A reader of this name.
    Named(&'static str),
    NoRole,
    Organization(&'static str),
    Nothing,
    OtherAuthority(Role),
    Expired(Role),
    /// A machine's certificate, which is for servers only.
    ServerLeaf,
    /// A good one, but nothing newer than TLS 1.2.
    Tls12(Role),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

pub(super) struct Bench {
    pub(super) address: SocketAddr,
    pub(super) pid1: Arc<Double>,
    authority: Minted,
}

fn authority() -> Minted {
    let validity = Validity::starting(Timestamp::now(), Duration::from_secs(3600)).unwrap();
    Authority::mint("node-api", validity).unwrap()
}

fn issue(authority: &Minted, organization: Option<String>, usage: Usage, made: Timestamp) -> Minted {
    issue_for("ann", authority, organization, usage, made)
}

fn issue_for(
    name: &str,
    authority: &Minted,
    organization: Option<String>,
    usage: Usage,
    made: Timestamp,
) -> Minted {
    let leaf = Leaf {
        common_name: name.to_owned(),
        organization,
        dns_names: if usage == Usage::Server { vec!["w1".to_owned()] } else { Vec::new() },
        addresses: Vec::new(),
        usage,
    };
    let validity = Validity::starting(made, Duration::from_secs(600)).unwrap();
    Authority::from_pem(&authority.certificate, &authority.key).unwrap().issue(&leaf, validity).unwrap()
}

impl Bench {
    pub(super) async fn start() -> Self {
        let authority = authority();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let leaf = issue(&authority, None, Usage::Server, Timestamp::now());
        for (name, text) in
            [("ca.crt", &authority.certificate), ("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]
        {
            std::fs::write(path(name), text).unwrap();
        }
        let identity = Identity::load(&path("tls.crt"), &path("tls.key")).unwrap();
        let config = Arc::new(tls::server_config(&path("ca.crt"), identity).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pid1 = Arc::new(Double::default());
        let api = Api::new(Arc::clone(&pid1) as Arc<dyn Pid1>, Arc::new(Kept), Host::at(Path::new("/")));
        tokio::spawn(server::serve(listener, config, Arc::new(api)));
        Self { address, pid1, authority }
    }

    fn identity(&self, shown: &Shown) -> Option<Minted> {
        let now = Timestamp::now();
        let ours = |organization: Option<String>| issue(&self.authority, organization, Usage::Client, now);
        Some(match shown {
            Shown::Nothing => return None,
            Shown::Role(role) | Shown::Tls12(role) => ours(Some(role.organization())),
            Shown::Named(name) => {
                let reader = Some(Role::Reader.organization());
                issue_for(name, &self.authority, reader, Usage::Client, now)
            }
            Shown::NoRole => ours(None),
            Shown::Organization(name) => ours(Some((*name).to_owned())),
            Shown::OtherAuthority(role) => issue(&authority(), Some(role.organization()), Usage::Client, now),
            Shown::Expired(role) => {
                let leaf = Leaf {
                    common_name: "ann".to_owned(),
                    organization: Some(role.organization()),
                    dns_names: Vec::new(),
                    addresses: Vec::new(),
                    usage: Usage::Client,
                };
                // Its end lies after the authority's begin, which is five minutes ago, and before now.
                let brief = Validity::starting(now - SignedDuration::from_secs(120), Duration::from_secs(60))
                    .unwrap();
                Authority::from_pem(&self.authority.certificate, &self.authority.key)
                    .unwrap()
                    .issue(&leaf, brief)
                    .unwrap()
            }
            Shown::ServerLeaf => issue(&self.authority, Some(Role::Admin.organization()), Usage::Server, now),
        })
    }

    pub(super) async fn client(&self, shown: Shown, protocol: Protocol) -> Result<Client, AnyError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate.as_bytes())?)?;
        let versions: &[_] = match shown {
            Shown::Tls12(_) => &[&rustls::version::TLS12],
            _ => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        let mut config = match self.identity(&shown) {
            None => builder.with_no_client_auth(),
            Some(minted) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(minted.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(minted.key.as_bytes())?,
            )?,
        };
        config.alpn_protocols = vec![match protocol {
            Protocol::Http1 => b"http/1.1".to_vec(),
            Protocol::Http2 => b"h2".to_vec(),
        }];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("w1")?;
        let stream = TokioIo::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?);
        Ok(Client(match protocol {
            Protocol::Http1 => {
                let (sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        }))
    }
}

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

pub(super) struct Client(Sender);

impl Client {
    async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<hyper::Response<Incoming>, AnyError> {
        let uri = match self.0 {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("https://w1{path}"),
        };
        let request = HttpRequest::builder()
            .method(method)
            .uri(uri)
            .header("host", "w1")
            .body(Full::new(Bytes::from(body.to_owned())))?;
        Ok(match &mut self.0 {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(StatusCode, T), AnyError> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes)?))
    }

    pub(super) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, AnyError> {
        Ok(self.ask("GET", path, "").await?.1)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &str,
    ) -> Result<(StatusCode, T), AnyError> {
        self.ask("POST", path, body).await
    }

    pub(super) async fn open(&mut self, path: &str) -> Result<Incoming, AnyError> {
        let answer = self.send("GET", path, "").await?;
        if answer.status() != StatusCode::OK {
            return Err(answer.status().to_string().into());
        }
        Ok(answer.into_body())
    }

    pub(super) async fn text(&mut self, path: &str) -> Result<String, AnyError> {
        Ok(String::from_utf8(self.open(path).await?.collect().await?.to_bytes().to_vec())?)
    }

    pub(super) async fn lines<T: DeserializeOwned>(&mut self, path: &str) -> Result<Vec<T>, AnyError> {
        let text = self.text(path).await?;
        Ok(text
            .lines()
            .filter(|line| !line.is_empty())
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?)
    }
}

/// PID 1's double.
#[derive(Debug)]
pub(super) struct Double {
    orders: Mutex<Vec<Order>>,
    questions: AtomicU64,
    events: AtomicU64,
    dead: AtomicBool,
}

impl Default for Double {
    fn default() -> Self {
        Self {
            orders: Mutex::default(),
            questions: AtomicU64::new(0),
            events: AtomicU64::new(600),
            dead: AtomicBool::new(false),
        }
    }
}

impl Double {
    pub(super) fn orders(&self) -> Vec<Order> {
        self.orders.lock().unwrap().clone()
    }

    pub(super) fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// One more event.
    pub(super) fn happen(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }
}

fn kubelet() -> ServiceView {
    ServiceView {
        name: "kubelet".to_owned(),
        description: "runs pods".to_owned(),
        wanted: true,
        state: StateName::Ready,
        since: 1000,
        pid: Some(77),
        starts: 1,
        failures: 0,
        held: false,
        last_end: None,
        status: None,
        stamps: Stamps::default(),
        alarm: None,
        degrades_node: false,
        milestone: true,
        could_not_ask: 0,
    }
}

impl Pid1 for Double {
    fn ask(&self, request: &Request) -> Result<Answer, ControlError> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        if self.dead.load(Ordering::Relaxed) {
            return Err(ControlError::Late);
        }
        let last = self.events.load(Ordering::Relaxed);
        Ok(match request {
            Request::Services => Answer::Services(vec![kubelet()]),
            Request::Own => Answer::Own(Own { up: Some(5000), ..Own::default() }),
            Request::Events { since, most } => {
                let first = (*since).max(1);
                let events = (first..=last).take(usize::from(*most)).map(|number| EventRecord {
                    number,
                    at: number,
                    service: Some("kubelet".to_owned()),
                    change: None,
                    cause: "a test".to_owned(),
                });
                Answer::Events { events: events.collect(), oldest: 1, next: last + 1 }
            }
            Request::Do(Order::Reload(_)) => Answer::Refused("it cannot be reloaded".to_owned()),
            Request::Do(Order::Start(name)) if name != "kubelet" => {
                Answer::Refused("no such service".to_owned())
            }
            Request::Do(order) => {
                self.orders.lock().unwrap().push(order.clone());
                Answer::Accepted { changes: true, next_event: last + 1 }
            }
            _ => Answer::Refused("the double does not know".to_owned()),
        })
    }
}

/// The logs' double.
struct Kept;

struct Reader {
    left: u64,
    follow: bool,
}

impl Logs for Kept {
    fn open(&self, query: &LogQuery) -> Result<Box<dyn LogReader>, String> {
        Ok(Box::new(Reader { left: query.tail.unwrap_or(5).min(5), follow: query.follow }))
    }

    fn counters(&self) -> Result<Vec<Counters>, String> {
        Ok(vec![Counters { service: "kubelet".to_owned(), lines: 5, dropped: vec![("limit", 2)] }])
    }
}

impl LogReader for Reader {
    fn next(&mut self) -> Result<Next, String> {
        if self.left == 0 {
            if !self.follow {
                return Ok(Next::End);
            }
            std::thread::sleep(Duration::from_millis(20));
            return Ok(Next::Nothing);
        }
        self.left -= 1;
        Ok(Next::Line(LogLine {
            service: "kubelet".to_owned(),
            time: Timestamp::now().to_string(),
            at_ms: 1,
            boot: "0".repeat(32),
            number: self.left,
            text: "a line".to_owned(),
            cut: false,
            continued: false,
            dropped: 0,
        }))
    }
}
