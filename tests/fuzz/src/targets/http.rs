//! The node API's own server, from the first byte after TLS: HTTP/1.1 in any shape, as any role.
//!
//! Whatever is sent, every answer is one of HTTP's, a refusal is a document, and PID 1 is never asked for
//! more than the role may: a reader's bytes order nothing, an operator's never end the machine.

use std::convert::Infallible;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hyper::Request as HttpRequest;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use init::apid::answer::{Api, Client};
use init::apid::host::observe::Host;
use init::apid::logs::{Counters, LogReader, Logs, Next};
use init::apid::pid1::Pid1;
use init::control::client::ControlError;
use init::control::message::{Answer, Order, Own, Request};
use init::service::core::Services;
use node_api::Role;
use node_api::reply::ErrorReply;
use node_api::request::LogQuery;
use node_api::verb::TABLE;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::input::Input;
use crate::world::{World, small_table};

/// More than any answer of an empty machine.
const PIPE: usize = 1 << 20;
/// So long a client listens who may follow, and then never hears an end.
const PATIENCE: Duration = Duration::from_millis(2);

struct Server {
    runtime: Runtime,
    pid1: Arc<Double>,
    api: Arc<Api>,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let pid1 = Arc::new(Double::default());
        let api = Api::new(
            Arc::clone(&pid1) as Arc<dyn Pid1>,
            Arc::new(NoLogs),
            Host::at(Path::new("/nonexistent")),
        );
        Server { runtime, pid1, api: Arc::new(api) }
    })
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let role = [None, Some(Role::Reader), Some(Role::Operator), Some(Role::Admin)][input.below(4)];
    let sent = input.rest();
    let server = server();
    let (heard, ended) = server.runtime.block_on(exchange(&server.api, role, sent));
    for order in server.pid1.orders.lock().unwrap().drain(..) {
        let needed = match order {
            Order::Shutdown { .. } => Role::Admin,
            _ => Role::Operator,
        };
        assert!(role.is_some_and(|role| role.suffices_for(needed)), "{role:?} ordered {order:?}");
    }
    let Some((head, body)) = split(&heard) else { return };
    let status: u16 = head.get(9..12).unwrap().parse().expect("an answer begins with its status");
    assert!(TABLE.iter().all(|route| route.role == Role::Reader) || role.is_some() || status != 200);
    // Alone, without its framing: several answers behind one another are not taken apart here.
    let whole =
        head.to_ascii_lowercase().contains("content-length") && !body.windows(7).any(|w| w == b"HTTP/1.");
    if status >= 400 && ended && whole && !body.is_empty() {
        serde_json::from_slice::<ErrorReply>(body).expect("a refusal is a document");
    }
}

fn split(heard: &[u8]) -> Option<(&str, &[u8])> {
    let end = heard.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&heard[..end]).expect("a head is text"), &heard[end + 4..]))
}

/// Everything that is answered until the server has had enough, or the client; and whether it was the server.
async fn exchange(api: &Arc<Api>, role: Option<Role>, sent: &[u8]) -> (Vec<u8>, bool) {
    let (ours, theirs) = duplex(PIPE);
    let client = Arc::new(Client { name: "ann".to_owned(), role });
    let service = service_fn(move |request: HttpRequest<hyper::body::Incoming>| {
        let (api, client) = (Arc::clone(api), Arc::clone(&client));
        async move { Ok::<_, Infallible>(api.answer(request, &client).await) }
    });
    let mut builder = http1::Builder::new();
    let serving =
        builder.timer(TokioTimer::new()).half_close(true).serve_connection(TokioIo::new(theirs), service);
    let asking = async {
        let (mut reading, mut writing) = tokio::io::split(ours);
        let mut heard = Vec::new();
        if writing.write_all(sent).await.is_err() || writing.shutdown().await.is_err() {
            return (heard, true);
        }
        let listening = reading.read_to_end(&mut heard);
        let ended = if may_follow(sent) {
            timeout(PATIENCE, listening).await.is_ok()
        } else {
            // A server that does not end by itself is found by the fuzzer's own patience.
            let _ = listening.await;
            true
        };
        (heard, ended)
    };
    let serving = async {
        let _ = serving.await;
        pending().await
    };
    let heard = tokio::select! {
        heard = asking => heard,
        heard = serving => heard,
    };
    // Whoever was followed notices that the client is gone.
    yield_now().await;
    heard
}

/// Whether a query may say so: its letters may be written as numbers.
fn may_follow(sent: &[u8]) -> bool {
    memchr::memchr(b'%', sent).is_some() || memchr::memmem::find(sent, b"follow").is_some()
}

/// A machine's PID 1, as far as it is asked; what it is ordered is kept.
#[derive(Default)]
struct Double {
    orders: Mutex<Vec<Order>>,
}

thread_local! {
    /// Each of the threads that ask has its own: none of them changes.
    static MACHINE: World = World::new(small_table());
}

impl Pid1 for Double {
    fn ask(&self, request: &Request) -> Result<Answer, ControlError> {
        MACHINE.with(|machine| self.answer(request, &machine.services))
    }
}

impl Double {
    fn answer(&self, request: &Request, services: &Services) -> Result<Answer, ControlError> {
        let place = |name: &String| services.place(name);
        Ok(match request {
            Request::Services => {
                Answer::Services(services.places().filter_map(|at| services.view(at)).collect())
            }
            Request::Explain(name) => match place(name) {
                Some(place) => Answer::Explained(services.explain(place)),
                None => Answer::Refused("there is no such service".to_owned()),
            },
            Request::Own => Answer::Own(Own::default()),
            Request::Events { since, most } => Answer::Events {
                events: services.events(*since, usize::from(*most)),
                oldest: services.journal().oldest(),
                next: services.journal().next(),
            },
            Request::Do(order) => {
                self.orders.lock().unwrap().push(order.clone());
                Answer::Accepted { changes: true, next_event: 1 }
            }
            _ => Answer::Refused("that is for others".to_owned()),
        })
    }
}

/// Nobody has said anything, and nobody will.
struct NoLogs;

impl Logs for NoLogs {
    fn open(&self, query: &LogQuery) -> Result<Box<dyn LogReader>, String> {
        if query.grep.as_deref() == Some("") {
            Err("that finds everything".to_owned())
        } else {
            Ok(Box::new(NoLogs))
        }
    }

    fn counters(&self) -> Result<Vec<Counters>, String> {
        Ok(Vec::new())
    }
}

impl LogReader for NoLogs {
    fn next(&mut self) -> Result<Next, String> {
        Ok(Next::End)
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut add = |role: u8, text: String| seeds.push([&[role], text.as_bytes()].concat());
    for route in TABLE.iter().filter(|route| !route.path.contains("network")) {
        let (method, path) = (route.method.as_str(), route.path_for("b"));
        for role in [1, 3] {
            add(
                role,
                format!(
                    "{method} {path} HTTP/1.1\r\nhost: w1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                ),
            );
        }
    }
    let body = r#"{"cascade":true}"#;
    add(
        3,
        format!(
            "POST /v1/services/b/stop HTTP/1.1\r\nhost: w1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    add(2, "GET /v1/logs?service=b&tail=3&follow=true HTTP/1.1\r\nhost: w1\r\n\r\n".to_owned());
    add(2, "GET /v1/events?since=2&service=b HTTP/1.1\r\nhost: w1\r\n\r\n".to_owned());
    add(1, "GET /v1/events?service=b&follow=true HTTP/1.1\r\nhost: w1\r\n\r\n".to_owned());
    add(
        3,
        "POST /v1/reboot HTTP/1.1\r\nhost: w1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
            .to_owned(),
    );
    seeds
}
