//! [`Occasion`]: what kind of run a run is; [`Only`]: which of them a step is part of.

use serde::Deserialize;

use super::event::Mode;

/// What kind of run a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion {
    /// Whether the failing side still works with us.
    pub mode: Mode,
    /// Whether it is an exercise.
    pub drill: bool,
}

impl Occasion {
    /// All that there are.
    pub const ALL: [Self; 4] =
        [Self::real(Mode::Planned), Self::real(Mode::Unplanned), Self::drill(Mode::Planned), Self::drill(Mode::Unplanned)];

    /// Makes that of a run that is meant.
    pub const fn real(mode: Mode) -> Self {
        Self { mode, drill: false }
    }

    /// Makes that of an exercise.
    pub const fn drill(mode: Mode) -> Self {
        Self { mode, drill: true }
    }
}

impl std::fmt::Display for Occasion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let article = if self.mode == Mode::Unplanned { "an" } else { "a" };
        write!(f, "{article} {} {}", self.mode, if self.drill { "drill" } else { "run" })
    }
}

/// Which runs a step is part of, where that is not all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Only {
    /// Those in which both sides answer.
    Planned,
    /// Those in which the primary is failing.
    Unplanned,
    /// Exercises.
    Drill,
    /// Runs that are no exercise.
    Real,
    /// None: readiness looks at it beforehand, to know of what no step of the run names.
    Check,
}

impl Only {
    /// All that there are.
    pub const ALL: [Self; 5] = [Self::Planned, Self::Unplanned, Self::Drill, Self::Real, Self::Check];

    /// Tells whether a run of this kind has the step.
    pub fn includes(self, occasion: Occasion) -> bool {
        match self {
            Self::Planned => occasion.mode == Mode::Planned,
            Self::Unplanned => occasion.mode == Mode::Unplanned,
            Self::Drill => occasion.drill,
            Self::Real => !occasion.drill,
            Self::Check => false,
        }
    }

    /// Returns what it says, behind an "only".
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Planned => "part of planned runs",
            Self::Unplanned => "part of unplanned runs",
            Self::Drill => "part of drills",
            Self::Real => "part of runs that are no drill",
            Self::Check => "looked at before a run",
        }
    }
}

impl std::fmt::Display for Only {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Unplanned => "unplanned",
            Self::Drill => "drill",
            Self::Real => "real",
            Self::Check => "check",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_part_of_the_runs_that_it_names() {
        let of = |only: Only| Occasion::ALL.map(|occasion| only.includes(occasion));
        assert_eq!(
            Only::ALL.map(of),
            [
                [true, false, true, false],
                [false, true, false, true],
                [false, false, true, true],
                [true, true, false, false],
                [false, false, false, false],
            ]
        );
    }
}
