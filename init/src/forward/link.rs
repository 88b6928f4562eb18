//! The connection to the syslog server: TCP, or TLS over it.
//!
//! Blocking, with a bound on every wait. What is sent when is `task`'s.

use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine_config::machine::SyslogServer;
use node_sys::outgoing;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::tls::{self, TlsError};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a server may take nothing.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The certificate or the name.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The network, or the server.
    #[error("{doing}")]
    Io {
        /// What.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn while_doing(doing: &'static str) -> impl Fn(io::Error) -> LinkError {
    move |source| LinkError::Io { doing, source }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Link {
    /// As it is.
    Plain(TcpStream),
    /// Within TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) fn connect(server: &SyslogServer, authority: Option<&Path>) -> Result<Self, LinkError> {
        let addresses = (server.host.as_str(), server.port).to_socket_addrs();
        let addresses = addresses.map_err(while_doing("resolving the server's name"))?;
        let mut found = Err(while_doing("resolving the server's name")(ErrorKind::NotFound.into()));
        for address in addresses {
            found = TcpStream::connect_timeout(&address, CONNECT_WITHIN).map_err(while_doing("connecting"));
            if found.is_ok() {
                break;
            }
        }
        let stream = found?;
        let bound = || {
            stream.set_write_timeout(Some(WRITE_WITHIN))?;
            stream.set_read_timeout(Some(WRITE_WITHIN))
        };
        bound().map_err(while_doing("connecting"))?;
        let Some(authority) = authority.filter(|_| server.tls) else { return Ok(Self::Plain(stream)) };
        let config = tls::client_config(authority, None)?;
        let name =
            ServerName::try_from(server.host.clone()).map_err(|_| TlsError::Name(server.host.clone()))?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(TlsError::Session)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(while_doing("starting a TLS session"))?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// [`LinkError`]; then nobody knows how much of it was sent.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let sent = match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.map_err(while_doing("sending"))
    }

    /// Bytes that the other end has not confirmed; with TLS rather too many than too few.
    ///
    /// # Errors
    /// [`LinkError`], also when the other end is gone.
    pub(super) fn unconfirmed(&self) -> Result<u64, LinkError> {
        let socket = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        };
        // A syslog server says nothing but that it goes.
        let ask = || {
            socket.set_nonblocking(true)?;
            let peeked = socket.peek(&mut [0]);
            socket.set_nonblocking(false)?;
            match peeked {
                Ok(0) => Err(ErrorKind::ConnectionAborted.into()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                _ => outgoing::unconfirmed(socket),
            }
        };
        ask().map_err(while_doing("looking after the connection"))
    }
}
