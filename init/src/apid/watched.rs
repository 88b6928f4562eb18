//! A connection that remembers when it last moved a byte.
//!
//! One rule covers idle clients, clients that stop in the middle of a request, and clients that do not read their
//! answer: nothing moved for a while, so it is cut. Streams that have nothing to say send an empty line now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

/// When something last moved.
#[derive(Debug, Clone)]
pub struct Pulse {
    began: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Pulse {
    fn new() -> Self {
        Self { began: Instant::now(), last_ms: Arc::new(AtomicU64::new(0)) }
    }

    fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    /// Comes back when nothing has moved for `patience`.
    pub async fn stopped(&self, patience: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let rest = patience.saturating_sub(last.elapsed());
            if rest.is_zero() {
                return;
            }
            sleep(rest).await;
        }
    }
}

/// A stream with a pulse.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    pulse: Pulse,
}

impl<S> Watched<S> {
    /// Begins to watch.
    pub fn new(stream: S) -> (Self, Pulse) {
        let pulse = Pulse::new();
        (Self { stream, pulse: pulse.clone() }, pulse)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.pulse.beat();
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.pulse.beat();
        Poll::Ready(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_pulse_stops_only_when_nothing_moves() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut near, pulse) = Watched::new(near);
        for _ in 0..5 {
            sleep(Duration::from_millis(20)).await;
            far.write_all(b"x").await.unwrap();
            near.read_u8().await.unwrap();
        }
        let begun = Instant::now();
        pulse.stopped(Duration::from_millis(60)).await;
        assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
    }
}
