//! [`Detector`]: looks at a page → an incident. Pure: time comes in with the looks.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::Says;

/// What a look adds to those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing new.
    Quiet,
    /// The first good look, or the first after bad ones.
    Well,
    /// The first look that found nothing out.
    Unknown,
    /// So many of the last looks were bad.
    Bad(usize),
    /// There is nothing to fall from: the page was never well.
    NeverWell,
    /// It is an incident, which began with this look.
    Incident(Timestamp),
}

/// Decides from looks at a page when an incident began. Only a fall is one: a page that was not well before it is none of ours.
#[derive(Debug)]
pub struct Detector {
    failures: usize,
    of: usize,
    /// The last looks, and what each said.
    window: VecDeque<(Timestamp, Says)>,
    was_well: bool,
}

impl Detector {
    /// Takes how many looks must be bad, of how many.
    pub fn new(failures: usize, of: usize) -> Self {
        Self { failures, of: of.max(failures), window: VecDeque::new(), was_well: false }
    }

    /// Takes for granted that the page was well before: an earlier watch saw it fall.
    #[must_use]
    pub fn fallen(self) -> Self {
        Self { was_well: true, ..self }
    }

    /// Takes a look in. One that found nothing out is neither good nor bad, and takes the place of one that was: an incident is not made of it.
    pub fn take(&mut self, at: Timestamp, says: Says) -> Seen {
        let last = self.window.back().map(|&(_, says)| says);
        self.window.push_back((at, says));
        while self.window.len() > self.of {
            self.window.pop_front();
        }
        match says {
            Says::Unknown => return if last == Some(Says::Unknown) { Seen::Quiet } else { Seen::Unknown },
            Says::Good => {
                let new = !self.was_well || last != Some(Says::Good);
                self.was_well = true;
                return if new { Seen::Well } else { Seen::Quiet };
            }
            Says::Bad => {}
        }
        let mut bad = self.window.iter().filter(|(_, says)| *says == Says::Bad);
        let (count, first) = (bad.clone().count(), bad.next().map(|&(at, _)| at));
        match first {
            _ if !self.was_well => Seen::NeverWell,
            Some(first) if count >= self.failures => Seen::Incident(first),
            _ => Seen::Bad(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(detector: &mut Detector, looks: &str) -> Vec<Seen> {
        let at = |secs: usize| Timestamp::from_second(i64::try_from(secs).expect("few")).expect("in range");
        let says = |look: char| match look {
            'x' => Says::Bad,
            '?' => Says::Unknown,
            _ => Says::Good,
        };
        looks.chars().enumerate().map(|(secs, look)| detector.take(at(secs), says(look))).collect()
    }

    fn began(second: i64) -> Seen {
        Seen::Incident(Timestamp::from_second(second).expect("in range"))
    }

    #[test]
    fn so_many_bad_looks_in_a_row_are_an_incident_that_began_with_the_first() {
        let looks = seen(&mut Detector::new(3, 3), "..xxx");
        assert_eq!(looks, [Seen::Well, Seen::Quiet, Seen::Bad(1), Seen::Bad(2), began(2)]);
    }

    #[test]
    fn flapping_is_none() {
        let looks = seen(&mut Detector::new(3, 3), &".xx.x.xx.x.".repeat(50));
        assert!(!looks.iter().any(|seen| matches!(seen, Seen::Incident(_))), "{looks:?}");
        // Unless somebody says that so much of it is one.
        assert_eq!(seen(&mut Detector::new(3, 5), ".xx.x").last(), Some(&began(1)));
    }

    #[test]
    fn a_look_that_found_nothing_out_is_neither_good_nor_bad() {
        let looks = seen(&mut Detector::new(3, 3), ".xx?x.");
        assert_eq!(looks, [Seen::Well, Seen::Bad(1), Seen::Bad(2), Seen::Unknown, Seen::Bad(2), Seen::Well]);
        let never = seen(&mut Detector::new(2, 2), &format!(".{}", "x?".repeat(50)));
        assert!(!never.iter().any(|seen| matches!(seen, Seen::Incident(_))), "{never:?}");
        assert_eq!(seen(&mut Detector::new(2, 2), "??x")[..], [Seen::Unknown, Seen::Quiet, Seen::NeverWell], "nor was it well");
        assert_eq!(seen(&mut Detector::new(3, 4), ".xx?x").last(), Some(&began(1)));
    }

    #[test]
    fn a_page_that_was_never_well_does_not_fall() {
        let mut detector = Detector::new(2, 2);
        assert!(seen(&mut detector, "xxxxx").iter().all(|seen| *seen == Seen::NeverWell));
        assert_eq!(seen(&mut detector, ".xx").last(), Some(&began(1)));
        // Unless an earlier watch saw it fall.
        assert_eq!(seen(&mut Detector::new(2, 2).fallen(), "xx"), [Seen::Bad(1), began(0)]);
    }
}
