//! As much of D-Bus and of org.freedesktop.login1 as the kubelet uses, for one client at a time.
//!
//! `Hello` and `AddMatch` are what a bus would answer; the rest is the manager's: how long it waits,
//! a lock, and the signal that the machine is about to end (systemd's inhibitor locks, login1(5)).

use std::os::unix::net::UnixStream;
use std::time::Duration;

use zbus::connection::{Builder, Connection};
use zbus::object_server::SignalEmitter;
use zbus::{Guid, OwnedFd, fdo, interface};

use super::lock::Locks;

const BUS: &str = "/org/freedesktop/DBus";
const MANAGER: &str = "/org/freedesktop/login1";
/// How long the machine's end waits for whoever holds a lock: PID 1's patience is the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is left of a bus when there are only two.
struct Bus;

#[interface(name = "org.freedesktop.DBus")]
impl Bus {
    fn hello(&self) -> &'static str {
        ":1.1"
    }

    /// Everything goes to the only one there is.
    fn add_match(&self, _rule: &str) {}
}

struct Manager(Locks);

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    /// A lock; whatever it is for, it holds up the machine's end.
    fn inhibit(&self, _what: &str, who: &str, _why: &str, _mode: &str) -> fdo::Result<OwnedFd> {
        tracing::info!(who, "wants to know before the machine ends");
        let lock = self.0.give().map_err(|error| fdo::Error::Failed(format!("making a lock: {error}")))?;
        Ok(lock.into())
    }

    #[zbus(property, name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max(&self) -> u64 {
        u64::try_from(PATIENCE.as_micros()).unwrap_or(u64::MAX)
    }

    #[zbus(signal)]
    async fn prepare_for_shutdown(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
}

/// Serves a client that has connected.
///
/// # Errors
/// It does not speak D-Bus.
pub(super) async fn serve(stream: UnixStream, locks: Locks) -> zbus::Result<Connection> {
    Builder::unix_stream(stream)
        .server(Guid::generate())
        .p2p()
        .serve_at(BUS, Bus)
        .serve_at(MANAGER, Manager(locks))
        .build()
        .await
}

/// Tells a client that the machine is about to end.
///
/// # Errors
/// It is gone.
pub(super) async fn tell(connection: &Connection) -> zbus::Result<()> {
    Manager::prepare_for_shutdown(&SignalEmitter::new(connection, MANAGER)?, true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client is another implementation where one is at hand; here it is zbus' own.
    #[tokio::test]
    async fn a_client_reads_the_delay_takes_a_lock_and_hears_of_the_end() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let locks = Locks::default();
        let serving = tokio::spawn(serve(ours, locks.clone()));
        let client = Builder::unix_stream(theirs).p2p().build().await.unwrap();
        let server = serving.await.unwrap().unwrap();
        let mut messages = zbus::MessageStream::from(&client);
        let delay = client
            .call_method(
                Some("org.freedesktop.login1"),
                MANAGER,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &("org.freedesktop.login1.Manager", "InhibitDelayMaxUSec"),
            )
            .await
            .unwrap();
        let delay: zbus::OwnedVariant = delay.body().deserialize().unwrap();
        assert_eq!(u64::try_from(delay).unwrap(), 60_000_000);
        let words = ("shutdown", "kubelet", "pods", "delay");
        let interface = Some("org.freedesktop.login1.Manager");
        let answer = client.call_method(None::<&str>, MANAGER, interface, "Inhibit", &words).await.unwrap();
        let lock: OwnedFd = answer.body().deserialize().unwrap();
        tell(&server).await.unwrap();
        let heard = loop {
            let message = futures_util::StreamExt::next(&mut messages).await.unwrap().unwrap();
            if message.header().member().is_some_and(|member| member == "PrepareForShutdown") {
                break message.body().deserialize::<bool>().unwrap();
            }
        };
        assert!(heard);
        let held = tokio::time::timeout(Duration::from_millis(50), locks.all_released()).await;
        assert!(held.is_err(), "it is still held");
        drop((lock, answer, messages));
        locks.all_released().await;
    }
}
