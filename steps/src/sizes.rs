//! The three sizes of a group of servers, and how a step changes some of them: shared by Auto Scaling groups and node groups.

use serde::{Deserialize, Serialize};
use wf_engine::step::Change;

/// The sizes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The smallest size.
    pub min: i32,
    /// The desired size.
    pub desired: i32,
    /// The largest size.
    pub max: i32,
}

impl Sizes {
    /// Names what is to become another number.
    pub fn changes_to(&self, wanted: &Self) -> Vec<Change> {
        let sizes = [("min", self.min, wanted.min), ("desired", self.desired, wanted.desired), ("max", self.max, wanted.max)];
        sizes.iter().filter_map(|(what, from, to)| Change::if_other(what, from, Some(to))).collect()
    }
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "min {}, desired {}, max {}", self.min, self.desired, self.max)
    }
}

/// The sizes that a step asks for; what it leaves out stays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) min: Option<u32>,
    pub(crate) desired: Option<u32>,
    pub(crate) max: Option<u32>,
}

impl Wish {
    /// Says what no group could satisfy.
    pub(crate) fn problems(&self) -> Vec<String> {
        if let (None, None, None) = (self.min, self.desired, self.max) {
            return vec!["none of `min`, `desired` and `max` is given, so there is nothing to change".to_owned()];
        }
        let pairs =
            [("min", self.min, "desired", self.desired), ("desired", self.desired, "max", self.max), ("min", self.min, "max", self.max)];
        pairs
            .into_iter()
            .filter_map(|(small, a, large, b)| Some((small, a?, large, b?)))
            .filter(|(_, a, _, b)| a > b)
            .map(|(small, a, large, b)| format!("`{small}` ({a}) is more than `{large}` ({b})"))
            .collect()
    }

    /// Returns the sizes that a group gets that now has the sizes `now`. AWS's own rule: a desired size that is not given is
    /// moved into the new bounds; a bound that is not given stays, and what lies beyond it is refused.
    pub(crate) fn applied_to(&self, now: Sizes) -> Result<Sizes, String> {
        let size = |given: Option<u32>, else_: i32| given.map_or(else_, |given| i32::try_from(given).unwrap_or(i32::MAX));
        let (min, max) = (size(self.min, now.min), size(self.max, now.max));
        if min > max {
            let missing = if self.max.is_none() { "max" } else { "min" };
            return Err(format!("min {min} is more than max {max}: set `{missing}` too"));
        }
        let desired = size(self.desired, now.desired.clamp(min, max));
        if desired < min {
            return Err(format!("desired {desired} is less than min {min}, which the step leaves as it is: set `min` too"));
        }
        if desired > max {
            return Err(format!("desired {desired} is more than max {max}, which the step leaves as it is: set `max` too"));
        }
        Ok(Sizes { min, desired, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Sizes = Sizes { min: 2, desired: 4, max: 10 };

    fn wish(min: Option<u32>, desired: Option<u32>, max: Option<u32>) -> Wish {
        Wish { min, desired, max }
    }

    #[test]
    fn sizes_that_are_not_given_stay_and_desired_follows_the_bounds() {
        let sizes = |min, desired, max| Ok(Sizes { min, desired, max });
        assert_eq!(wish(None, Some(6), None).applied_to(NOW), sizes(2, 6, 10));
        assert_eq!(wish(Some(6), None, None).applied_to(NOW), sizes(6, 6, 10));
        assert_eq!(wish(None, None, Some(3)).applied_to(NOW), sizes(2, 3, 3));
        assert_eq!(wish(Some(0), Some(0), Some(0)).applied_to(NOW), sizes(0, 0, 0));
    }

    #[test]
    fn sizes_beyond_a_bound_that_stays_are_refused() {
        for (wish, size) in [
            (wish(None, Some(0), None), "`min`"),
            (wish(None, Some(11), None), "`max`"),
            (wish(Some(11), None, None), "`max`"),
            (wish(None, None, Some(1)), "`min`"),
        ] {
            let problem = wish.applied_to(NOW).expect_err("out of bounds");
            assert!(problem.contains(&format!("set {size} too")), "{problem}");
        }
    }

    #[test]
    fn contradictions_are_found_without_a_group() {
        assert_eq!(wish(Some(3), Some(6), Some(9)).problems(), Vec::<String>::new());
        assert_eq!(wish(Some(7), Some(6), Some(5)).problems().len(), 3);
        assert_eq!(wish(None, None, None).problems().len(), 1);
    }
}
