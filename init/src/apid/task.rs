//! Starts the node API: certificates from the config, the port, one thread.
//!
//! The certificates are as old as the config, and a new config counts from the next boot on, so they are read once.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use node_api::PORT;
use node_api::limits::FOLLOWERS_MAX;
use tokio::net::TcpListener;

use super::answer::Api;
use super::host::observe::Host;
use super::keeper::Keeper;
use super::pid1::Socket;
use super::server;
use crate::agent::notify::Notifier;
use crate::agent::paths;
use crate::control;
use crate::forward;
use crate::logd::query;
use crate::tls::{self, Identity, TlsError};

/// Threads for what blocks besides followers of logs: questions to PID 1, and reading /proc.
const BLOCKING_THREADS: usize = 4;

/// Why there is no node API.
#[derive(Debug, thiserror::Error)]
pub enum ApidError {
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No runtime, or no port.
    #[error("{doing}: {source}")]
    Start {
        /// What.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Runs the process; it ends only by an error.
///
/// # Errors
/// [`ApidError`].
pub fn run() -> Result<(), ApidError> {
    let start = |doing| move |source| ApidError::Start { doing, source };
    let file = |name: &str| Path::new(paths::API).join(name);
    let identity = Identity::load(&file("tls.crt"), &file("tls.key"))?;
    let config = Arc::new(tls::server_config(&file("ca.crt"), identity)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FOLLOWERS_MAX + BLOCKING_THREADS)
        .build()
        .map_err(start("starting the runtime"))?;
    runtime.block_on(async {
        // One socket for both families.
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            // A kernel without IPv6.
            Err(_) => {
                TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], PORT))).await.map_err(start("listening"))?
            }
        };
        let api = Api::new(
            Arc::new(Socket::new(Path::new(control::CONTROL))),
            Arc::new(Keeper::new(Path::new(query::SOCKET), Path::new(forward::LEDGER))),
            Host::default(),
        );
        Notifier::from_environment().ready();
        tracing::info!(port = PORT, "serving");
        server::serve(listener, config, Arc::new(api)).await;
        Ok(())
    })
}
