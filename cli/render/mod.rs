//! What people read: events as lines, the live display, the summary of a run, tables.
//!
//! Knows events and state, and how wide the terminal is. Must not know where the words go: every function here returns text, and the
//! one writer ([`live::LiveReporter`]) is handed its output. Whatever comes from outside passes [`clean`] before it is laid
//! out, and all that is laid out passes [`harmless`] before it is shown.

mod board;
mod clocks;
pub mod drill;
mod graph;
pub mod graph_svg;
mod kinds;
pub mod lines;
pub mod live;
pub mod next;
mod rows;
mod screen;
pub mod summary;
mod summary_text;
pub mod tables;
#[cfg(test)]
pub mod tale;
mod text;
pub mod timeline;
pub mod usual;

use wf_engine::model::event::RunOutcome;
use wf_engine::model::run_state::{RunPhase, RunState};

pub use text::{clean, cut, harmless, harmless_json};
pub use text::{count, date_and_time, pad, pad_left, span, time_of_day, who};
use text::{short_fields, short_value, whole_span, wrapped};

/// How text is to look where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether colours are understood and wanted.
    pub color: bool,
    /// Whether it is a terminal, whose lines can be drawn anew.
    pub tty: bool,
    /// Whether words are wanted instead of signs and drawings: what is written is read aloud, searched, or kept in a log.
    pub plain: bool,
    /// How many columns there are.
    pub width: usize,
}

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It needs a look.
    Warn,
    /// It is under way.
    Busy,
    /// It matters less.
    Dim,
    /// It matters more.
    Bold,
    /// Nothing to say.
    Plain,
}

impl Look {
    /// Returns a sign with the space behind it; nothing where words are wanted.
    pub fn sign(&self, ink: Ink, sign: &str) -> String {
        if self.plain { String::new() } else { format!("{} ", self.paint(ink, sign)) }
    }

    /// Returns `text` in the colour of `ink`, if colours are wanted.
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Warn => "33",
            Ink::Busy => "36",
            Ink::Dim => "2",
            Ink::Bold => "1",
            Ink::Plain => "",
        };
        if self.color && !code.is_empty() && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Names where a run is. Whether a process drives it (`live`) is not on record: a run that nobody drives is interrupted.
pub fn state_word(state: &RunState, live: bool) -> (&'static str, Ink) {
    match state.phase() {
        RunPhase::Forward | RunPhase::Compensating if live && state.held().is_some() => ("paused", Ink::Warn),
        RunPhase::Forward if live => ("running", Ink::Busy),
        RunPhase::Forward => ("interrupted", Ink::Warn),
        RunPhase::Paused => ("paused", Ink::Warn),
        RunPhase::Compensating if live => ("rolling back", Ink::Warn),
        RunPhase::Compensating => ("interrupted while rolling back", Ink::Warn),
        RunPhase::Finished(RunOutcome::Completed) => ("completed", Ink::Good),
        RunPhase::Finished(RunOutcome::CompletedWithExceptions) => ("completed with exceptions", Ink::Warn),
        RunPhase::Finished(RunOutcome::RolledBack) => ("rolled back", Ink::Warn),
        RunPhase::Finished(RunOutcome::Stuck) => ("stuck", Ink::Bad),
        RunPhase::Finished(RunOutcome::Abandoned) => ("abandoned", Ink::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_when_not_wanted() {
        let look = |color| Look { color, tty: false, plain: false, width: 80 };
        assert_eq!(look(false).paint(Ink::Bad, "x"), "x");
        assert_eq!(look(true).paint(Ink::Bad, "x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(look(true).paint(Ink::Plain, "x"), "x");
    }
}
