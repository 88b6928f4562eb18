//! Unmounts: a process of its own, because the kernel may never let it go.
//!
//! `init unmount`, started by [`super::finish`] when nobody else is left. Each mount has a thread
//! and ten seconds: one that hangs (a dead server, a disk that does not answer) keeps the others
//! from nothing. What cannot be unmounted is made read-only and taken out of the tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use node_sys::{event, mount};

use super::mounts;

/// Rounds of unmounting: mounts hold each other in ways that their order does not tell.
const ROUNDS_MAX: usize = 10;
/// How long one call may take.
const WITHIN: Duration = Duration::from_secs(10);

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused(String),
    /// It still goes on.
    Hangs,
}

/// Does it.
pub fn run() {
    let mut left = list();
    for _ in 0..ROUNDS_MAX {
        let before = left.len();
        left.retain(|path| match within(WITHIN, path, mount::unmount) {
            Outcome::Done => false,
            Outcome::Refused(_) => true,
            Outcome::Hangs => {
                // It is out of the tree by then, and what it waits for nobody can hurry.
                tell(&format!("unmounting {} hangs", path.display()));
                false
            }
        });
        if left.is_empty() || left.len() == before {
            break;
        }
    }
    for path in left {
        take_out(&path);
    }
}

/// Whatever was written is safe after this, even if the mount can't be undone.
fn take_out(path: &Path) {
    let read_only = within(WITHIN, path, mount::remount_read_only);
    let detached = within(WITHIN, path, mount::detach);
    for (doing, outcome) in [("making it read-only", read_only), ("detaching it", detached)] {
        match outcome {
            Outcome::Done => {}
            Outcome::Refused(why) => tell(&format!("unmounting {}: {doing}: {why}", path.display())),
            Outcome::Hangs => tell(&format!("unmounting {}: {doing} hangs", path.display())),
        }
    }
}

/// Calls `call` in a thread of its own, which is left behind if it takes longer than `time`.
fn within(time: Duration, path: &Path, call: fn(&Path) -> io::Result<()>) -> Outcome {
    let (tell, told) = mpsc::channel();
    let owned = path.to_owned();
    let called = thread::Builder::new().spawn(move || tell.send(call(&owned)));
    let answer = match called {
        Ok(_) => told.recv_timeout(time),
        Err(_) => Ok(call(path)),
    };
    match answer {
        Ok(Ok(())) => Outcome::Done,
        Ok(Err(error)) => Outcome::Refused(error.to_string()),
        Err(_) => Outcome::Hangs,
    }
}

/// On a console that may be full or gone, where `eprintln!` would panic, with mounts still to be undone.
fn tell(text: &str) {
    let _ = event::write_now(io::stderr(), format!("{text}\n").as_bytes());
}

fn list() -> Vec<PathBuf> {
    mounts::to_unmount(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_left_behind() {
        let hang = |_: &Path| {
            thread::sleep(Duration::from_secs(5));
            Ok(())
        };
        assert_eq!(within(Duration::from_millis(10), Path::new("/"), hang), Outcome::Hangs);
        assert_eq!(within(WITHIN, Path::new("/"), |_| Ok(())), Outcome::Done);
        let refused = within(WITHIN, Path::new("/"), |_| Err(io::ErrorKind::ResourceBusy.into()));
        assert_eq!(refused, Outcome::Refused("resource busy".to_owned()));
    }
}
