//! The host's side of a forward: a loopback listener, and one task per connection that moves bytes both ways.
//!
//! Bytes go straight between the host's socket and the stack's buffers. Each direction ends by itself, so half-closed
//! connections work; a connection that breaks on one side is broken off on the other, not ended politely.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_local};

use super::stack::{Connection, Ended, Stack};

/// Connections of one forward at a time; with 256 KiB of buffers each, 128 MiB at the very most.
const LIMIT: usize = 512;

/// Accepts connections until the task is aborted, which ends them too.
pub(super) async fn accept(listener: TcpListener, target: SocketAddrV4, stack: Rc<RefCell<Stack>>) {
    let open = Rc::new(Cell::new(0));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((client, _)) if open.get() >= LIMIT => {
                tracing::warn!(%target, "too many connections");
                break_off(&client);
            }
            Ok((client, _)) => {
                open.set(open.get() + 1);
                let (open, stack) = (Rc::clone(&open), Rc::clone(&stack));
                connections.spawn_local(async move {
                    serve(client, target, &stack).await;
                    open.set(open.get() - 1);
                });
            }
            Err(error) => {
                tracing::warn!(%target, %error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(mut client: TcpStream, target: SocketAddrV4, stack: &Rc<RefCell<Stack>>) {
    let Ok(connection) = Connection::open(stack, target).await else { return break_off(&client) };
    // Small messages matter more than full segments on a loopback socket.
    let _ = client.set_nodelay(true);
    let (reader, mut writer) = client.split();
    let both =
        async { tokio::try_join!(to_machine(&reader, &connection), to_host(&mut writer, &connection)) };
    match both.await {
        Ok(_) => {
            drop(client);
            spawn_local(async move { connection.settled().await });
        }
        Err(_broken) => break_off(&client),
    }
}

/// Makes the client see a reset instead of a polite end.
fn break_off(client: &TcpStream) {
    let _ = client.set_zero_linger();
}

async fn to_machine(reader: &ReadHalf<'_>, connection: &Connection) -> Result<(), Ended> {
    loop {
        connection.room().await?;
        tokio::select! {
            ready = reader.readable() => ready.map_err(|_| Ended::Broken)?,
            () = connection.gone() => return Err(Ended::Broken),
        }
        let read = connection.send(|room| match reader.try_read(room) {
            Ok(count) => (count, Ok(count)),
            Err(error) => (0, Err(error)),
        })?;
        match read {
            Ok(0) => {
                connection.finish();
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Ended::Broken),
        }
    }
}

async fn to_host(writer: &mut WriteHalf<'_>, connection: &Connection) -> Result<(), Ended> {
    loop {
        match connection.data().await {
            Ok(()) => {}
            Err(Ended::Finished) => return writer.shutdown().await.map_err(|_| Ended::Broken),
            Err(Ended::Broken) => return Err(Ended::Broken),
        }
        writer.writable().await.map_err(|_| Ended::Broken)?;
        let written = connection.receive(|bytes| match writer.try_write(bytes) {
            Ok(count) => (count, Ok(())),
            Err(error) => (0, Err(error)),
        });
        match written {
            Ok(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Err(Ended::Broken),
            _ => {}
        }
    }
}
