//! Takes connections: TLS first, then HTTP, each with its limits.
//!
//! A task per connection, all on one thread. What may be held open and how long is `limits` and `census`; who the
//! client is comes from its certificate, which rustls has verified before a byte of HTTP is read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use node_api::Role;
use node_api::limits::{
    CONNECTION_AGE_MAX, HANDSHAKE_WITHIN, HEADER_BYTES_MAX, HEADERS_WITHIN, STALLED_WITHIN,
    STREAMS_PER_CONNECTION_MAX,
};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use trust::pki::Facts;

use super::answer::{Api, Client};
use super::census::{Census, Id};
use super::watched::Watched;

/// The pause when the kernel has no descriptor left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// The most headers of a request; curl sends four.
const HEADERS_MAX: usize = 64;
/// How much of a body HTTP/2 takes before somebody wants it: more than any request has.
const WINDOW_BYTES: u32 = 64 * 1024;
/// What HTTP/2 holds of an answer that is not read.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

type Connected = Arc<Mutex<Census<AbortHandle>>>;

/// Serves for ever.
pub async fn serve(listener: TcpListener, config: Arc<ServerConfig>, api: Arc<Api>) {
    let acceptor = TlsAcceptor::from(config);
    let connected = Connected::default();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "taking a connection");
                sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        // The task cannot run before this one waits, so it finds itself in the census.
        let (told, number) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(connection(
            stream,
            acceptor.clone(),
            Arc::clone(&api),
            Arc::clone(&connected),
            number,
        ));
        let (id, evicted) = lock(&connected).arrive(canonical(peer), task.abort_handle());
        if let Some(evicted) = evicted {
            evicted.abort();
        }
        // A task that is gone already has nothing to be told.
        let _ = told.send(id);
    }
}

/// An IPv4 client of the socket for both families is the IPv4 client that it is.
fn canonical(peer: SocketAddr) -> std::net::IpAddr {
    peer.ip().to_canonical()
}

fn lock(connected: &Connected) -> std::sync::MutexGuard<'_, Census<AbortHandle>> {
    connected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves the census however the connection ends, even when its task is cut.
struct Place {
    id: Id,
    connected: Connected,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.connected).leave(self.id);
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    api: Arc<Api>,
    connected: Connected,
    number: tokio::sync::oneshot::Receiver<Id>,
) {
    let Ok(id) = number.await else { return };
    let place = Place { id, connected };
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    // Strangers, garbage and wrong certificates are the network's weather, not worth a line each.
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await else { return };
    if !lock(&place.connected).known(id) {
        return;
    }
    let client = Arc::new(client(&stream));
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let (stream, pulse) = Watched::new(stream);
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request: Request<Incoming>| {
        let (api, client) = (Arc::clone(&api), Arc::clone(&client));
        async move { Ok::<_, Infallible>(api.answer(request, &client).await) }
    });
    let serving = async {
        if h2 {
            let _ = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
                .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .max_send_buf_size(SEND_BUFFER_BYTES)
                .serve_connection(stream, service)
                .await;
        } else {
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS_WITHIN)
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(stream, service)
                .await;
        }
    };
    tokio::select! {
        () = serving => {}
        () = pulse.stopped(STALLED_WITHIN) => {}
        () = sleep(CONNECTION_AGE_MAX) => {}
    }
}

/// Who the client's certificate says that it is, and what it may do.
fn client(stream: &TlsStream<TcpStream>) -> Client {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    match certificate.map(|certificate| Facts::from_der(certificate)) {
        Some(Ok(facts)) => Client {
            role: Role::of_organizations(facts.organizations.iter().map(String::as_str)),
            name: facts.common_name,
        },
        // rustls has verified a chain, so neither happens; who is nobody may do nothing.
        Some(Err(_)) | None => Client { name: String::new(), role: None },
    }
}
