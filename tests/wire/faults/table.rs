//! The table that the tests print: what happened, what came of it, and how long it took.

use std::time::Duration;

/// A line of the table.
pub struct Row {
    pub fault: String,
    pub what: String,
    pub outcome: String,
    /// How often the server was asked to change something, and what of the world is as the step wants it.
    pub effects: String,
    pub calls: usize,
    pub time: Duration,
    pub message: String,
}

/// Prints the rows for whoever asked for them with `--nocapture`.
#[expect(clippy::print_stdout, reason = "the figures of a test are read by people")]
pub fn print(title: &str, rows: &[Row]) {
    println!("\n{title}\n| fault | what | outcome | effects | calls | time | message |\n|---|---|---|---|---|---|---|");
    for Row { fault, what, outcome, effects, calls, time, message } in rows {
        println!("| {fault} | {what} | {outcome} | {effects} | {calls} | {:.1} s | {message} |", time.as_secs_f64());
    }
}
