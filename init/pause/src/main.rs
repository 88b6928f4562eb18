//! The process that holds a pod's namespaces open while its containers come and go.
//!
//! Does nothing but wait: SIGTERM and SIGINT end it, and where a pod shares its process namespace
//! it is pid 1 in there and reaps what is orphaned to it. The kernel's part is in node-sys.

use std::io;
use std::process::ExitCode;

use node_sys::event::{Interest, Poll, Signal, Signals};
use node_sys::process::reap;

fn main() -> ExitCode {
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pause: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until it is told to end.
fn hold() -> io::Result<()> {
    let signals = Signals::listen()?;
    let poll = Poll::new()?;
    poll.add(&signals, 0, Interest::Read)?;
    // A child may have ended before its signal was listened to.
    reap_all()?;
    loop {
        poll.wait(None)?;
        while let Some(signal) = signals.next()? {
            match signal {
                Signal::Child => reap_all()?,
                Signal::Terminate | Signal::Interrupt => return Ok(()),
                _ => {}
            }
        }
    }
}

fn reap_all() -> io::Result<()> {
    while reap()?.is_some() {}
    Ok(())
}
