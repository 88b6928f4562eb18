//! The real `slipway` on a terminal: keys in, a screen out.
//!
//! A pseudo terminal with somebody at its other end who draws what is written to it, in memory. The
//! terminal stays when the program has ended, so that what it left behind can be looked at.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use vt100::Parser;

use crate::{cli, wait};

/// As many as on a person's screen.
const ROWS: u16 = 45;
/// So that no line of a machine's is cut.
const COLUMNS: u16 = 160;

/// A program on a terminal.
#[expect(missing_debug_implementations, reason = "the drawn screen has none")]
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's end, which is the terminal itself.
    line: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<Parser>>,
}

impl Terminal {
    /// Starts `slipway` with `args` on a new terminal.
    ///
    /// # Errors
    /// There is no terminal, or no `slipway`.
    pub fn start(args: &[&str]) -> Result<Self> {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = openpty(&size, None).context("opening a pseudo terminal")?;
        let before = tcgetattr(&ends.slave).context("asking the terminal how it is")?;
        let end = || ends.slave.try_clone().context("opening the terminal once more");
        // A session of its own, whose terminal it is.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(cli::path()?).args(args).current_dir(cli::root());
        command.env("TERM", "xterm-256color").stdin(end()?).stdout(end()?).stderr(end()?);
        let child = command.spawn().context("starting setsid, from Debian's util-linux")?;
        let keyboard = File::from(ends.master);
        let mut output = keyboard.try_clone().context("opening the terminal once more")?;
        let screen = Arc::new(Mutex::new(Parser::new(ROWS, COLUMNS, 0)));
        let drawn = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is what a terminal gives that nobody has open any more.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let written = buffer.get(..length).unwrap_or_default();
                drawn.lock().unwrap_or_else(PoisonError::into_inner).process(written);
            }
        });
        Ok(Self { child, keyboard, line: ends.slave, before, screen })
    }

    fn screen(&self) -> MutexGuard<'_, Parser> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on the screen, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.screen().screen().rows(0, COLUMNS).collect()
    }

    /// Whether a program has the screen for itself, as one does that draws on all of it.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        let drawn = self.screen();
        drawn.screen().alternate_screen() || drawn.screen().hide_cursor()
    }

    /// Whether keys are read and shown as they were before the program was started.
    ///
    /// # Errors
    /// The terminal does not say.
    pub fn is_as_before(&self) -> Result<bool> {
        let now = tcgetattr(&self.line).context("asking the terminal how it is")?;
        // Not the speed of a line that has none: whoever sets anything says that, too.
        let flags = |at: &Termios| (at.input_flags, at.output_flags, at.local_flags);
        Ok(flags(&now) == flags(&self.before))
    }

    /// Presses keys.
    ///
    /// # Errors
    /// Nobody reads them.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes()).with_context(|| format!("pressing {keys:?}"))
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// It has not ended `within` that time; then it is killed.
    pub fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let ended = wait::until("the program ends", within, || {
            self.child.try_wait().context("waiting for the program")?.context("it is still there")
        });
        if ended.is_err() {
            self.kill();
        }
        ended
    }

    fn kill(&mut self) {
        // It may have ended this moment.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.kill();
    }
}
