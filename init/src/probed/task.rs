//! The process: questions in from PID 1, a thread for each, findings out.
//!
//! At most [`ASKED_MAX`] are asked at a time, in the order that they came; a question that PID 1
//! forgets while it waits is not asked any more. The connection's end is the process' end.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use node_sys::packet::{Connection, Received};

use super::finding;
use crate::control::message::{Answer, Finding, PACKET_MAX, Request};
use crate::control::{CONTROL, WireError};
use crate::probe::{self, Question};

/// Questions that are asked at the same time.
const ASKED_MAX: usize = 8;
/// Between two attempts at one question, at least.
const PAUSE: Duration = Duration::from_millis(50);
/// So many times as long as an attempt took is the pause after it: a handshake on a slow machine must not
/// take the CPU that the service needs to get ready.
const PAUSE_FACTOR: u32 = 4;
/// A thread here needs little; the default reserves two megabytes of address space for each.
const STACK: usize = 256 * 1024;

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum ProbedError {
    /// PID 1 cannot be spoken to.
    #[error("speaking to PID 1 at {CONTROL}: {0}")]
    Control(#[from] io::Error),
    /// PID 1 said what this init does not know.
    #[error("listening to PID 1: {0}")]
    Wire(#[from] WireError),
    /// PID 1 does not want it.
    #[error("PID 1 refuses: {0}")]
    Refused(String),
}

#[derive(Debug)]
struct Asked {
    number: u64,
    words: Vec<String>,
    deadline: Instant,
}

/// What waits to be asked, and what is to be forgotten.
#[derive(Debug, Default)]
struct Waiting {
    questions: VecDeque<Asked>,
    asking: BTreeSet<u64>,
    forgotten: BTreeSet<u64>,
}

#[derive(Debug)]
struct Desk {
    waiting: Mutex<Waiting>,
    more: Condvar,
    pid1: Connection,
}

/// Runs until PID 1 hangs up.
///
/// # Errors
/// [`ProbedError`].
pub fn run() -> Result<(), ProbedError> {
    let pid1 = Connection::connect(Path::new(CONTROL))?;
    pid1.send(&Request::Probing.encode()?, &[])?;
    serve(pid1)
}

fn serve(pid1: Connection) -> Result<(), ProbedError> {
    let desk = Arc::new(Desk { waiting: Mutex::default(), more: Condvar::new(), pid1 });
    for _ in 0..ASKED_MAX {
        let desk = Arc::clone(&desk);
        thread::Builder::new().stack_size(STACK).spawn(move || desk.ask())?;
    }
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        match desk.pid1.receive(&mut buffer)? {
            Received::Packet(len, _) => match Answer::decode(buffer.get(..len).unwrap_or_default())? {
                Answer::Ask { question, words, within } => {
                    let deadline = Instant::now() + Duration::from_millis(u64::from(within));
                    desk.take(Asked { number: question, words, deadline });
                }
                Answer::Forget(question) => desk.forget(question),
                Answer::Refused(why) => return Err(ProbedError::Refused(why)),
                _ => {}
            },
            Received::TooLong | Received::Nothing => {}
            Received::End => return Ok(()),
        }
    }
}

impl Desk {
    fn take(&self, asked: Asked) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).questions.push_back(asked);
        self.more.notify_one();
    }

    fn forget(&self, number: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.questions.retain(|asked| asked.number != number);
        if waiting.asking.contains(&number) {
            waiting.forgotten.insert(number);
        }
    }

    /// One thread's work: the next question, again and again.
    fn ask(&self) {
        loop {
            let asked = self.next();
            let finding = self.answer(&asked);
            let forgotten = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.asking.remove(&asked.number);
                waiting.forgotten.remove(&asked.number)
            };
            let answer = Request::Probed { question: asked.number, finding };
            if !forgotten && let Ok(packet) = answer.encode() {
                // If PID 1 is gone, the thread that listens to it ends the process.
                let _ = self.pid1.send(&packet, &[]);
            }
        }
    }

    fn next(&self) -> Asked {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(asked) = waiting.questions.pop_front() {
                waiting.asking.insert(asked.number);
                return asked;
            }
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, asked: &Asked) -> Finding {
        let question = match Question::parse(&asked.words) {
            Ok(question) => question,
            Err(error) => {
                tracing::warn!(words = ?asked.words, %error, "a question that cannot be asked");
                return Finding::CouldNotAsk;
            }
        };
        loop {
            let began = Instant::now();
            let found = finding::of(&probe::ask(&question));
            let took = began.elapsed();
            let over = Instant::now() >= asked.deadline || self.is_forgotten(asked.number);
            if found == Finding::Good || over {
                return found;
            }
            thread::sleep(PAUSE.max(took.saturating_mul(PAUSE_FACTOR)));
        }
    }

    fn is_forgotten(&self, number: u64) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).forgotten.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    struct Pid1(Connection);

    impl Pid1 {
        fn with_probed() -> Self {
            let (ours, theirs) = Connection::pair().unwrap();
            thread::spawn(move || serve(theirs));
            Self(ours)
        }

        fn ask(&self, question: u64, words: &[&str], within: u32) {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            let packet = Answer::Ask { question, words, within }.encode().unwrap();
            self.0.send(&packet, &[]).unwrap();
        }

        fn answer(&self) -> (u64, Finding) {
            let mut buffer = [0; 64];
            let Received::Packet(len, _) = self.0.receive(&mut buffer).unwrap() else { panic!() };
            match Request::decode(&buffer[..len]).unwrap() {
                Request::Probed { question, finding } => (question, finding),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_question_is_repeated_until_the_answer_is_yes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let pid1 = Pid1::with_probed();
        pid1.ask(7, &["unix", path.to_str().unwrap()], 10_000);
        thread::sleep(Duration::from_millis(120));
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(pid1.answer(), (7, Finding::Good));
    }

    #[test]
    fn a_question_that_is_not_answered_in_time_is_a_no_and_one_without_sense_is_none() {
        let pid1 = Pid1::with_probed();
        pid1.ask(1, &["unix", "/nonexistent/socket"], 60);
        assert_eq!(pid1.answer(), (1, Finding::Bad));
        pid1.ask(2, &["telepathy"], 60);
        assert_eq!(pid1.answer(), (2, Finding::CouldNotAsk));
    }

    #[test]
    fn a_forgotten_question_is_not_answered() {
        let pid1 = Pid1::with_probed();
        pid1.ask(1, &["unix", "/nonexistent/socket"], 60_000);
        thread::sleep(Duration::from_millis(60));
        pid1.0.send(&Answer::Forget(1).encode().unwrap(), &[]).unwrap();
        pid1.ask(2, &["telepathy"], 60);
        assert_eq!(pid1.answer().0, 2, "the first is silent, and its thread free again");
    }

    #[test]
    fn eight_that_hang_do_not_keep_a_ninth_from_being_asked_in_the_end() {
        let pid1 = Pid1::with_probed();
        for question in 0..8 {
            pid1.ask(question, &["unix", "/nonexistent/socket"], 100);
        }
        pid1.ask(8, &["telepathy"], 100);
        let answered: BTreeSet<u64> = (0..9).map(|_| pid1.answer().0).collect();
        assert_eq!(answered, (0..9).collect());
    }
}
