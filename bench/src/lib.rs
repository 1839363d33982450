//! What durability costs: runs of steps that do nothing, on the real engine and the real journal, beside what the disk alone takes.
//!
//! The counts (syncs, records, bytes) are exact and the same on every machine. The times are not: on a machine with few cores a
//! sync costs what the scheduler makes of it. So the floor, the same number of raw `write` + `fdatasync` in the same directory, is
//! measured in the same round, and what can be compared between machines is the ratio.
//!
//! `wf bench SHAPE SIZE` prints one line of it, `cargo bench -p wf-bench` the table.

mod durability;
mod figures;
mod floor;
mod kinds;
mod meter;
mod resume;
mod round;
mod shape;

pub use durability::Commit;
pub use figures::{Figures, median};
pub use floor::Floors;
pub use resume::{Resumed, resume};
pub use round::{BenchError, Round};
pub use shape::{Effect, Links, Shape, ShapeError};
