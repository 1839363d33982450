//! The rows of a database: in which seconds one was written to it.

use serde::{Deserialize, Serialize};

use super::Ms;

/// Rows by the second in which they were written, as closed ranges in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rows {
    ranges: Vec<(i64, i64)>,
}

impl Rows {
    /// Adds one row for each second from `first` to `last`.
    pub(crate) fn write(&mut self, first: i64, last: i64) {
        match self.ranges.last_mut() {
            Some(range) if range.1 + 1 >= first => range.1 = range.1.max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    /// Counts the rows.
    pub(crate) fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| (last - first + 1).max(0) as u64).sum()
    }

    /// Returns the rows written up to an instant.
    pub(crate) fn until(&self, instant: Ms) -> Rows {
        let end = instant.div_euclid(1000);
        let ranges = self.ranges.iter().filter(|r| r.0 <= end).map(|r| (r.0, r.1.min(end))).collect();
        Rows { ranges }
    }

    /// Returns the instant of the last row.
    pub(crate) fn last(&self) -> Option<Ms> {
        self.ranges.last().map(|r| r.1 * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_cuts() {
        let mut rows = Rows::default();
        rows.write(10, 10);
        rows.write(11, 20);
        rows.write(30, 39);
        assert_eq!(rows.count(), 21);
        assert_eq!(rows.until(15_999).count(), 6);
        assert_eq!(rows.until(32_000).count(), 14);
        assert_eq!(rows.until(9_000).count(), 0);
        assert_eq!(rows.last(), Some(39_000));
    }
}
