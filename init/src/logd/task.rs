//! The intake thread: one epoll over all pipes, the kernel's log and our signals.
//!
//! A turn takes what is there and wakes whoever waits for it. When lines come one by one and
//! fast, it lets them gather for a moment, or every write of a service would cost a whole turn.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use node_sys::event::{Interest, Poll, Signal, Signals};
use node_sys::packet::{Connection, Received};

use super::arguments::{self, Arguments};
use super::block::TEXT_MAX;
use super::board::{Board, Service};
use super::echo::Echo;
use super::intake::Intake;
use super::kernel::Kernel;
use super::limit::Limit;
use super::record::BootId;
use super::shelf::{Shelf, Stamp};
use super::source::{self, Source, SourceError};
use super::word::Word;
use super::{KERNEL, PID1, keeper, serve};
use crate::agent::{self, notify::Notifier};
use crate::control::message::{Answer, Request};

/// So much is worth waking the keeper for; it looks by itself once per second.
const WORTH_COPYING: u64 = 64 * 1024;
/// A turn that brings less than this, right after another, is followed by a pause.
const SMALL_TURN: usize = 64 * 1024;
/// The pause: 30 KiB of the fastest writer of lines, which is less than any pipe. A longer one was slower.
const GATHER: Duration = Duration::from_micros(50);
/// Turns closer together than this are fast.
const FAST: Duration = Duration::from_millis(1);
/// What the keeper may take to write the rest when we are asked to end.
const LAST_COPY: Duration = Duration::from_secs(2);
/// Where the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What the kernel's lines may take on disk.
const KERNEL_DISK: u64 = 16 * 1024 * 1024;
/// A thread of ours keeps little on its stack.
const STACK: usize = 128 * 1024;

/// How long it waits when nothing is due: to have a bound, nothing depends on it.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

const SIGNALS: u64 = u64::MAX;
const KMSG: u64 = u64::MAX - 1;
const PID1_ASKS: u64 = u64::MAX - 2;

/// Why logd cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LogdError {
    /// There are no pipes.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something does not work.
    #[error("{doing}")]
    Io {
        /// What.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn while_doing(doing: &'static str) -> impl Fn(io::Error) -> LogdError {
    move |source| LogdError::Io { doing, source }
}

/// Runs logd until it is asked to end.
#[must_use]
pub fn main(words: &[String]) -> ExitCode {
    agent::log_to_stdout();
    let Some(arguments) = arguments::parse(words) else {
        tracing::error!(
            "usage: init logd [--pipe FD=NAME[,LINES-PER-SECOND,BURST,DISK-MIB]]… [--memory DIR] [--disk DIR] [--socket PATH] [--kernel DEVICE] [--console DEVICE]"
        );
        return ExitCode::from(2);
    };
    agent::process(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<(), LogdError> {
    // Blocked before any thread is made, so that all of them have it so.
    let signals = Signals::listen().map_err(while_doing("listening to signals"))?;
    let source = match arguments.pipes.as_slice() {
        [] => source::from_pid1()?,
        words => Source::from_words(words)?,
    };
    let board = Arc::new(board(arguments, &source)?);
    let echo = Echo::to(arguments.console.as_deref(), source.up);
    let mut logd = Logd::new(&board, signals, source, echo)?;
    if let Some(device) = &arguments.kernel {
        logd.open_kernel(device);
    }
    let listener = serve::bind(&arguments.socket).map_err(while_doing("making the readers' socket"))?;
    serve_readers(&board, listener)?;
    let copied = start_keeper(&board, arguments.disk_is)?;
    let notifier = Notifier::from_environment();
    notifier.ready();
    let result = logd.run();
    board.ending.store(true, SeqCst);
    board.work.ring();
    // A disk that hangs now must not keep the machine from ending.
    let _ = copied.recv_timeout(LAST_COPY);
    result
}

fn board(arguments: &Arguments, source: &Source) -> Result<Board, LogdError> {
    let boot = fs::read_to_string(BOOT_ID).map_err(while_doing("reading the boot's id"))?;
    let boot = BootId::parse(&boot).unwrap_or_default();
    let service =
        |name: &str, disk: u64| Arc::new(Service::new(name.to_owned(), arguments.memory.join(name), disk));
    let mut services: Vec<_> = source
        .pipes
        .iter()
        .map(|pipe| service(&pipe.of.service, u64::from(pipe.of.disk_mib) * 1024 * 1024))
        .collect();
    services.extend(arguments.kernel.as_ref().map(|_| service(KERNEL, KERNEL_DISK)));
    Ok(Board::new(boot, arguments.disk.clone(), services))
}

fn serve_readers(board: &Arc<Board>, listener: UnixListener) -> Result<(), LogdError> {
    let board = Arc::clone(board);
    let serve = move || serve::run(&board, &listener);
    thread::Builder::new()
        .name("readers".to_owned())
        .stack_size(STACK)
        .spawn(serve)
        .map(drop)
        .map_err(while_doing("starting the readers' thread"))
}

/// Starts the keeper; it says when it has ended.
fn start_keeper(board: &Arc<Board>, disk_is: keeper::DiskIs) -> Result<mpsc::Receiver<()>, LogdError> {
    let (done, copied) = mpsc::channel();
    let board = Arc::clone(board);
    let keep = move || {
        keeper::run(&board, disk_is);
        // Nobody may be waiting any more.
        let _ = done.send(());
    };
    thread::Builder::new()
        .name("keeper".to_owned())
        .stack_size(STACK)
        .spawn(keep)
        .map_err(while_doing("starting the keeper"))?;
    Ok(copied)
}

struct Logd {
    poll: Poll,
    signals: Signals,
    board: Arc<Board>,
    /// By token; an ended one is gone.
    intakes: Vec<Option<Intake>>,
    kernel: Option<Kernel>,
    buffer: Vec<u8>,
    to_copy: u64,
    echo: Echo,
    /// As long as it is open, PID 1 leaves reading to us, and asks on it whether we do.
    reading: Option<Connection>,
}

impl Logd {
    fn new(board: &Arc<Board>, signals: Signals, source: Source, echo: Echo) -> Result<Self, LogdError> {
        let poll = Poll::new().map_err(while_doing("making an epoll"))?;
        poll.add(&signals, SIGNALS, Interest::Read).map_err(while_doing("waiting for signals"))?;
        let mut intakes = Vec::new();
        for (pipe, service) in source.pipes.into_iter().zip(&board.services) {
            let shelf = Shelf::open(board, service).map_err(while_doing("opening a ring"))?;
            let limit = Limit::new(pipe.of.lines_per_second, pipe.of.burst, Stamp::now().monotonic);
            let intake = Intake::new(pipe.end, shelf, limit, pipe.of.service == PID1);
            let token = intakes.len() as u64;
            poll.add(&intake, token, Interest::Read).map_err(while_doing("waiting for a pipe"))?;
            intakes.push(Some(intake));
        }
        let board = Arc::clone(board);
        let buffer = vec![0; TEXT_MAX];
        let reading = source.reading;
        if let Some(pid1) = &reading {
            poll.add(pid1, PID1_ASKS, Interest::Read).map_err(while_doing("listening to PID 1"))?;
        }
        Ok(Self { poll, signals, board, intakes, kernel: None, buffer, to_copy: 0, echo, reading })
    }

    /// The kernel's log is worth having, but services' lines do not depend on it.
    fn open_kernel(&mut self, device: &Path) {
        let Some(service) = self.board.services.iter().find(|service| service.name == KERNEL) else { return };
        let opened = Shelf::open(&self.board, service)
            .and_then(|shelf| Kernel::open(device, shelf))
            .and_then(|kernel| self.poll.add(&kernel, KMSG, Interest::Read).map(|()| kernel));
        match opened {
            Ok(kernel) => self.kernel = Some(kernel),
            Err(error) => tracing::warn!(%error, device = %device.display(), "reading the kernel's log"),
        }
    }

    /// Until every pipe has ended, or we are asked to end.
    fn run(&mut self) -> Result<(), LogdError> {
        let mut last = Instant::now();
        while self.intakes.iter().any(Option::is_some) {
            let ready = self.poll.wait(Some(self.patience())).map_err(while_doing("waiting"))?;
            if ready.contains(&SIGNALS) && self.is_asked_to_end() {
                self.end();
                return Ok(());
            }
            let taken = self.turn(&ready);
            let now = Instant::now();
            if taken > 0 && taken < SMALL_TURN && now.duration_since(last) < FAST {
                thread::sleep(GATHER);
            }
            last = now;
        }
        Ok(())
    }

    /// How long nothing is due.
    fn patience(&self) -> Duration {
        let notice = self.intakes.iter().flatten().filter_map(Intake::due).min();
        let notice = notice.map(|due| Duration::from_micros(due.saturating_sub(Stamp::now().monotonic)));
        let console = self.echo.pause();
        [notice, console].into_iter().flatten().min().unwrap_or(LONGEST_WAIT)
    }

    fn is_asked_to_end(&self) -> bool {
        while let Ok(Some(signal)) = self.signals.next() {
            if matches!(signal, Signal::Terminate | Signal::Interrupt) {
                return true;
            }
        }
        false
    }

    /// Takes what is there; how many bytes that was.
    fn turn(&mut self, ready: &[u64]) -> usize {
        let mut taken = 0;
        for token in ready {
            match *token {
                SIGNALS => {}
                KMSG => taken += self.take_kernel(),
                PID1_ASKS => self.answer_pid1(),
                token => taken += self.take(token),
            }
        }
        self.echo.flush();
        self.say_what_is_gone();
        let stored: u64 = self.intakes.iter_mut().flatten().map(|intake| intake.shelf().stored()).sum();
        let stored = stored + self.kernel.as_mut().map_or(0, |kernel| kernel.shelf().stored());
        if stored > 0 {
            self.board.news.ring();
        }
        self.to_copy += stored;
        if self.to_copy >= WORTH_COPYING {
            self.to_copy = 0;
            self.board.work.ring();
        }
        taken
    }

    /// We read, since this is the thread that does. A PID 1 that is gone has nothing to ask any more.
    fn answer_pid1(&mut self) {
        let Some(pid1) = &self.reading else { return };
        let mut packet = [0; 64];
        let asked = match pid1.receive(&mut packet) {
            Ok(Received::Packet(length, _)) => Answer::decode(packet.get(..length).unwrap_or_default()).ok(),
            Ok(Received::End) | Err(_) => {
                let _ = self.poll.remove(pid1);
                return;
            }
            Ok(Received::TooLong | Received::Nothing) => None,
        };
        if asked == Some(Answer::AreYouReading)
            && let Ok(reading) = Request::Reading.encode()
        {
            // If it cannot be said, PID 1 thinks what it must.
            let _ = pid1.send(&reading, &[]);
        }
    }

    fn take(&mut self, token: u64) -> usize {
        let Some(place) = usize::try_from(token).ok().and_then(|token| self.intakes.get_mut(token)) else {
            return 0;
        };
        let Some(intake) = place else { return 0 };
        let taken = match intake.take(&mut self.buffer, &mut self.echo) {
            Ok(taken) => taken,
            // A pipe that cannot be read would be reported as ready for ever.
            Err(_) => super::intake::Taken { ended: true, ..Default::default() },
        };
        if taken.ended {
            // Closed at once, which takes it out; a failure to do so has no other consequence.
            let _ = self.poll.remove(&*intake);
            *place = None;
        }
        for word in &taken.words {
            self.obey(word);
        }
        taken.bytes
    }

    fn obey(&mut self, word: &Word) {
        match word {
            Word::Up => self.echo.is_up(),
            Word::Failed { service, started } => self.set_apart(service, *started),
        }
    }

    /// A service has failed: its last words may still be in its pipe.
    fn set_apart(&mut self, name: &str, started_ms: u64) {
        let mut intakes = self.intakes.iter_mut().flatten();
        if let Some(intake) = intakes.find(|intake| intake.service().name == name) {
            // If it cannot be read, its turn will say so.
            let _ = intake.take(&mut self.buffer, &mut self.echo);
            let lines = intake.shelf().failed();
            self.echo.show_failure(name, started_ms.saturating_mul(1000), &lines);
        }
    }

    fn take_kernel(&mut self) -> usize {
        let Some(kernel) = &mut self.kernel else { return 0 };
        match kernel.take(&mut self.buffer) {
            Ok(taken) => taken,
            Err(_) => {
                let _ = self.poll.remove(&*kernel);
                self.kernel = None;
                0
            }
        }
    }

    fn say_what_is_gone(&mut self) {
        if self.intakes.iter().flatten().any(|intake| intake.due().is_some()) {
            let now = Stamp::now();
            self.intakes.iter_mut().flatten().for_each(|intake| intake.notice(now));
        }
    }

    /// What is in the pipes now is taken; what comes later is PID 1's to keep for our successor.
    fn end(&mut self) {
        for intake in self.intakes.iter_mut().flatten() {
            // Whatever cannot be read now cannot be read at all.
            let _ = intake.take(&mut self.buffer, &mut self.echo);
            intake.finish(&mut self.echo);
        }
    }
}
