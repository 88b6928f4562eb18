//! Between the kubelet and PID 1: hears of the end, passes it on, says when everybody has let go.
//!
//! PID 1 is asked on a connection of its own, in a thread, since its client waits; clients are served
//! one beside the other. A kubelet that restarts connects anew; what the old one held is let go.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UnixListener;
use tokio::sync::oneshot;
use zbus::connection::Connection;

use super::bus;
use super::lock::Locks;
use crate::agent::files::{self, FileError};
use crate::agent::notify::Notifier;
use crate::agent::paths::LOGIN;
use crate::control::CONTROL;
use crate::control::client::{ControlError, Line};
use crate::control::message::{Answer, Request};

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The socket does not work.
    #[error("listening at {LOGIN}")]
    Listen(#[source] io::Error),
    /// A former agent's socket cannot be removed.
    #[error(transparent)]
    File(#[from] FileError),
    /// PID 1 does not tell.
    #[error("asking PID 1 to be told of the machine's end")]
    Control(#[source] ControlError),
    /// Something else does not work.
    #[error("{doing}")]
    Io {
        /// What.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Runs until PID 1 ends it.
///
/// # Errors
/// [`LoginError`].
pub fn run() -> Result<(), LoginError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| LoginError::Io { doing: "starting the runtime", source })?;
    runtime.block_on(serve())
}

async fn serve() -> Result<(), LoginError> {
    let listener = listen()?;
    let locks = Locks::default();
    let clients = Arc::new(Mutex::new(Vec::new()));
    let (pid1, end) = hear_of_end()?;
    Notifier::from_environment().ready();
    tokio::spawn(accept(listener, Arc::clone(&clients), locks.clone()));
    if end.await.is_err() {
        // PID 1 closed the connection: the service is started anew.
        return Ok(());
    }
    let clients: Vec<Connection> =
        std::mem::take(&mut *clients.lock().unwrap_or_else(PoisonError::into_inner));
    for client in &clients {
        if let Err(error) = bus::tell(client).await {
            tracing::warn!(%error, "telling a client of the machine's end");
        }
    }
    locks.all_released().await;
    tracing::info!("everybody is ready for the machine's end");
    pid1.say(&Request::ReadyToEnd).map_err(LoginError::Control)
}

fn listen() -> Result<UnixListener, LoginError> {
    files::remove(Path::new(LOGIN))?;
    let listener = UnixListener::bind(LOGIN).map_err(LoginError::Listen)?;
    fs::set_permissions(LOGIN, Permissions::from_mode(0o600)).map_err(LoginError::Listen)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, clients: Arc<Mutex<Vec<Connection>>>, locks: Locks) {
    while let Ok((stream, _)) = listener.accept().await {
        let served = match stream.into_std() {
            Ok(stream) => bus::serve(stream, locks.clone()).await,
            Err(error) => Err(error.into()),
        };
        match served {
            Ok(client) => clients.lock().unwrap_or_else(PoisonError::into_inner).push(client),
            Err(error) => tracing::warn!(%error, "serving a client"),
        }
    }
}

/// The connection to PID 1, and what comes on it in the end.
fn hear_of_end() -> Result<(Arc<Line>, oneshot::Receiver<()>), LoginError> {
    let pid1 = Arc::new(Line::open(Path::new(CONTROL)).map_err(LoginError::Control)?);
    pid1.say(&Request::HearOfEnd).map_err(LoginError::Control)?;
    let (tell, told) = oneshot::channel();
    let listening = Arc::clone(&pid1);
    std::thread::Builder::new()
        .name("pid1".to_owned())
        .spawn(move || {
            if let Ok(Answer::MachineEnds(ending)) = listening.hear() {
                tracing::info!(%ending, "the machine is about to end");
                // Without anybody to tell, we are ending, too.
                let _ = tell.send(());
            }
        })
        .map_err(|source| LoginError::Io { doing: "starting a thread", source })?;
    Ok((pid1, told))
}
