//! Readers: a socket, a thread for each, a bound on how many.
//!
//! A thread that waits for a slow reader or a slow disk holds nothing that others need. Who may
//! connect is decided by the socket's owner and mode.

use std::fs::{self, Permissions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use machine_config::service::Group;

use super::answer::{self, Audience};
use super::board::Board;
use super::query::{self, QUESTION_MAX, Query, Reply};

/// Readers at once.
const READERS_MAX: usize = 32;
/// How long a reader may take to ask.
const QUESTION_WITHIN: Duration = Duration::from_secs(10);
/// How often a reader that waits is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A reader's thread keeps little on its stack.
const STACK: usize = 128 * 1024;
/// Makes the socket; a former logd's is replaced.
///
/// # Errors
/// Those of bind(2), chown(2) and chmod(2).
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    match std::os::unix::fs::chown(path, None, Some(Group::Logs.number())) {
        // Not root, or not of everything: a test, whose readers are ourselves.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) => {}
        result => result?,
    }
    Ok(listener)
}

/// Serves readers for ever.
pub fn run(board: &Arc<Board>, listener: &UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors: it passes when a reader goes.
            thread::sleep(LOOK_EVERY);
            continue;
        };
        let seat = Seat::take(board);
        if seat.before >= READERS_MAX * 2 {
            // So many that not even refusals are worth a thread.
            continue;
        }
        let spawned = thread::Builder::new().name("reader".to_owned()).stack_size(STACK).spawn(move || {
            // A reader that is gone is no news, and whatever else it was, it is told by the end.
            let _ = serve(seat, stream);
        });
        if spawned.is_err() {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// One of the readers that are served at once, counted as long as it exists.
struct Seat {
    board: Arc<Board>,
    /// How many there were before.
    before: usize,
}

impl Seat {
    fn take(board: &Arc<Board>) -> Self {
        let before = board.readers.fetch_add(1, SeqCst);
        Self { board: Arc::clone(board), before }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.board.readers.fetch_sub(1, SeqCst);
    }
}

fn serve(seat: Seat, stream: UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(QUESTION_WITHIN))?;
    let mut reader = Reader { board: &seat.board, out: BufWriter::with_capacity(16 * 1024, stream) };
    match query::receive::<Query>(&mut reader.out.get_ref(), QUESTION_MAX) {
        Ok(Some(_)) if seat.before >= READERS_MAX => {
            reader.tell(&Reply::Refused(format!("{READERS_MAX} readers are served already")))?;
        }
        Ok(Some(query)) => {
            if let Err(error) = answer::answer(&seat.board, &query, &mut reader)
                && !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
            {
                reader.tell(&Reply::Refused(format!("reading lines: {error}")))?;
            }
        }
        Ok(None) => {}
        Err(error) => reader.tell(&Reply::Refused(format!("reading the question: {error}")))?,
    }
    reader.out.flush()
}

struct Reader<'a> {
    board: &'a Board,
    out: BufWriter<UnixStream>,
}

impl Audience for Reader<'_> {
    fn tell(&mut self, reply: &Reply) -> io::Result<()> {
        query::send(&mut self.out, reply)
    }

    fn wait(&mut self, seen: u64) -> io::Result<()> {
        self.out.flush()?;
        while self.board.news.count() == seen {
            self.board.news.wait(seen, LOOK_EVERY);
            self.look()?;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Whether somebody is still there: a reader says nothing after its question.
    fn look(&mut self) -> io::Result<()> {
        let mut stream = self.out.get_ref();
        stream.set_nonblocking(true)?;
        let read = stream.read(&mut [0; 16]);
        stream.set_nonblocking(false)?;
        match read {
            Ok(0) => Err(ErrorKind::BrokenPipe.into()),
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}
