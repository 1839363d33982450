//! How a step under way, and the run as a whole, are written in the block of the live display: one line each, narrower than the terminal.

use std::time::Duration;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr as _;
use wf_engine::clock::between;
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::units::Span;

use super::lines::STEP_WIDTH;
use super::{Ink, Look, count, cut, pad, pad_left, whole_span};

/// The columns of an elapsed time, and of the usual one behind it.
const ELAPSED_WIDTH: usize = 8;
const USUAL_WIDTH: usize = 11;
/// From how many columns on kinds are named too, and in how many.
const WIDE: usize = 120;
const KIND_WIDTH: usize = 24;
/// Below how many columns usual times are left out, and the fewest columns of an id.
const NARROW: usize = 60;
const ID_WIDTH_MIN: usize = 6;

/// A step under way.
#[derive(Debug)]
pub struct Row {
    pub id: StepId,
    pub kind: String,
    pub since: Timestamp,
    pub doing: Doing,
    /// When its question is not waited for any longer.
    pub lapses_at: Option<Timestamp>,
    pub note: String,
}

/// What a step under way does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Running,
    Asking,
    Retrying { at: Timestamp },
    Undoing,
}

/// Returns the columns that ids are given: as many as these need, but no more than a third of the terminal; a few at least.
pub fn id_width<'a>(ids: impl Iterator<Item = &'a StepId>, look: &Look) -> usize {
    ids.map(|id| id.as_str().len() + 1).max().unwrap_or_default().max(STEP_WIDTH).min((look.width / 3).max(ID_WIDTH_MIN))
}

impl Row {
    /// Writes the row. `critical` says that it decides when the run ends; `usual` is how long such a step takes.
    pub fn line(&self, now: Timestamp, critical: bool, usual: Option<Duration>, run: Option<&RunId>, ids: usize, look: &Look) -> String {
        let (sign, ink) = match self.doing {
            Doing::Running => ("▶", Ink::Busy),
            Doing::Asking => ("?", Ink::Warn),
            Doing::Retrying { .. } => ("↻", Ink::Warn),
            Doing::Undoing => ("◀", Ink::Warn),
        };
        let elapsed = between(self.since, now);
        // How long people take to answer is nothing to go by; what is asked needs the room.
        let usual = usual.filter(|_| self.doing != Doing::Asking && look.width >= NARROW);
        let usual_width = if usual.is_some() { USUAL_WIDTH } else { 0 };
        let usual = usual.filter(|usual| !usual.is_zero());
        let late = usual.is_some_and(|usual| elapsed > usual * 2);
        let kind = if look.width >= WIDE { pad(&cut(&self.kind, KIND_WIDTH - 1), KIND_WIDTH) } else { String::new() };
        let times = pad_left(&whole_span(elapsed), ELAPSED_WIDTH);
        let usual = pad(&usual.map(|usual| format!(" / ~{}", about(usual))).unwrap_or_default(), usual_width);
        let room = look.width.saturating_sub(1 + 4 + ids + kind.width() + ELAPSED_WIDTH + usual_width + 2);
        let line = format!(
            "{} {} {}{}{}{}  {}",
            if critical { look.paint(Ink::Busy, "»") } else { " ".to_owned() },
            look.paint(ink, sign),
            look.paint(Ink::Bold, &pad(&cut(self.id.as_str(), ids - 1), ids)),
            look.paint(Ink::Dim, &kind),
            look.paint(if late { Ink::Warn } else { Ink::Plain }, &times),
            look.paint(Ink::Dim, &usual),
            if room == 0 { String::new() } else { cut(&self.words(now, run), room).into_owned() }
        );
        line.trim_end().to_owned()
    }

    fn words(&self, now: Timestamp, run: Option<&RunId>) -> String {
        match self.doing {
            Doing::Running => self.note.clone(),
            Doing::Undoing => format!("undoing {}", self.note),
            Doing::Retrying { at } => format!("next attempt in {}: {}", whole_span(between(now, at)), self.note),
            Doing::Asking => {
                // The last characters of an id are enough to type.
                let command = run.map(|run| format!("wf approve {} {}", run.short(), self.id));
                let lapses = self.lapses_at.map(|at| format!("lapses in {}", whole_span(between(now, at))));
                let words: Vec<_> = [lapses, command, Some(self.note.clone())].into_iter().flatten().collect();
                words.join(" · ")
            }
        }
    }
}

/// What is told of the run as a whole.
#[derive(Debug)]
pub struct Footer<'a> {
    pub elapsed: Duration,
    /// How long it still takes, by what steps usually take; zero when nobody knows.
    pub left: Duration,
    pub rto: Option<Span>,
    pub steps: usize,
    pub done: usize,
    /// How many steps are still to be undone, if it goes back.
    pub undoing: Option<usize>,
    /// What it is about to do, if it is not to go on.
    pub word: Option<&'a str>,
    pub next: &'a [String],
}

impl Footer<'_> {
    /// Writes it.
    pub fn line(&self, look: &Look) -> String {
        let left = if self.left.is_zero() { String::new() } else { format!(" + ≈ {}", about(self.left)) };
        let elapsed = whole_span(self.elapsed);
        let (time, ink) = match self.rto {
            None => (format!("{elapsed}{left}"), Ink::Bold),
            Some(rto) if self.elapsed > rto.0 => (format!("{elapsed}{left}, over the RTO of {rto}"), Ink::Bad),
            Some(rto) if self.elapsed + self.left > rto.0 => (format!("{elapsed}{left}, over the RTO of {rto}"), Ink::Warn),
            Some(rto) => (format!("{elapsed}{left} of {rto} RTO"), Ink::Bold),
        };
        let progress = match self.undoing {
            Some(left) => format!("rolling back, {left} to undo"),
            None => format!("{}/{} done", self.done, count(self.steps, "step")),
        };
        let next = match (self.word, self.next) {
            (Some(word), _) => format!(" · {word}"),
            (None, []) => String::new(),
            (None, next) => format!(" · next: {}", next.join(", ")),
        };
        let time = cut(&time, look.width.saturating_sub(3));
        let room = look.width.saturating_sub(1 + 2 + time.width() + 3);
        let rest = if room > 1 { format!(" · {}", cut(&format!("{progress}{next}"), room)) } else { String::new() };
        format!("  {}{rest}", look.paint(ink, &time))
    }
}

/// Writes an estimate no more exactly than it can be: to 5 s, 10 s from a minute on, a minute from ten on.
fn about(duration: Duration) -> String {
    let secs = duration.as_secs_f64().ceil() as u64;
    let step = match secs {
        0..10 => 1,
        10..60 => 5,
        60..600 => 10,
        600.. => 60,
    };
    let text = whole_span(Duration::from_secs(secs.div_ceil(step) * step));
    text.strip_suffix(" 00s").or(text.strip_suffix(" 00m")).map_or(text.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_no_more_exact_than_they_can_be() {
        let about = [0, 7, 12, 58, 61, 150, 345, 601, 3_600, 7_450].map(|secs| about(Duration::from_secs(secs)));
        assert_eq!(about, ["0s", "7s", "15s", "1m", "1m 10s", "2m 30s", "5m 50s", "11m", "1h", "2h 05m"]);
    }
}
