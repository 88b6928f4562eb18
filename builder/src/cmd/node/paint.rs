//! Whether output is for a person at a terminal, and what follows: colour, and how wide a table may be.
//!
//! `NO_COLOR` with any value takes the colour away; a pipe gets neither colour nor a cut line.

use std::io::{IsTerminal, stdout};

/// What a word is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Somebody should look.
    Bad,
    /// Less important.
    Faint,
}

/// How to write to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint {
    /// Whether colours are wanted.
    pub colour: bool,
    /// How many characters fit; as many as there are without it.
    pub width: Option<usize>,
}

impl Paint {
    /// As stdout is.
    pub(super) fn for_stdout() -> Self {
        let terminal = stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let size = rustix::termios::tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
        Self { colour: terminal && !plain, width: size.filter(|width| terminal && *width > 0) }
    }

    /// A text in its tone.
    pub(super) fn tone(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31;1",
            Tone::Faint => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
