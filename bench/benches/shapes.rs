//! The table of what durability costs:
//!
//! ```text
//! cargo bench -p wf-bench                      journals in the temporary directory
//! cargo bench -p wf-bench -- /var/lib/wf       on the disk in question
//! ROUNDS=9 ONLY=chain cargo bench -p wf-bench  more rounds, of the lines that begin so
//! ```
//!
//! Each round is a process of its own, so that the memory of one is not counted for the next. Figures are medians.
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wf_bench::{Commit, Effect, Figures, Floors, Links, Resumed, Round, Shape, median, resume};

/// As many and as long as those of a chain of 1,000 steps.
const FLOOR_WRITES: u64 = 1_000;
const FLOOR_LEN: usize = 500;

/// Tells a process of this program to measure one round of a line, and to print what it found as JSON.
const ROUND_OF: &str = "--round-of=";

/// What is measured in a line of the table.
#[derive(Clone, Copy)]
enum Line {
    Floors,
    Run(Round),
    Resume(usize),
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let dir = args.iter().find(|arg| !arg.starts_with('-')).map_or_else(std::env::temp_dir, PathBuf::from);
    let lines = lines();
    match args.iter().find_map(|arg| arg.strip_prefix(ROUND_OF)) {
        Some(number) => round(lines[number.parse::<usize>()?], &dir),
        None => table(&lines, &dir),
    }
}

fn lines() -> Vec<Line> {
    let layers = |depth, width, links| Shape::Layers { depth, width, links };
    let chain = Shape::Chain(1_000);
    let fan = Shape::Fan(10_000);
    let (small, diamonds) = (layers(10, 100, Links::Two), layers(10, 100, Links::All));
    let (middle, large) = (layers(100, 100, Links::Two), layers(1_000, 100, Links::Two));
    let together = [
        (chain, Effect::None),
        (chain, Effect::Intent),
        (Shape::Fan(1_000), Effect::None),
        (fan, Effect::None),
        (fan, Effect::Intent),
        (small, Effect::None),
        (small, Effect::Intent),
        (diamonds, Effect::None),
        (middle, Effect::None),
        (large, Effect::None),
        (large, Effect::Intent),
    ];
    let cut_up = [
        (chain, Commit::TwiceAStep),
        (chain, Commit::EachRecord),
        (Shape::Fan(1_000), Commit::TwiceAStep),
        (Shape::Fan(1_000), Commit::EachRecord),
        (small, Commit::TwiceAStep),
        (small, Commit::EachRecord),
    ];
    let mut lines = vec![Line::Floors];
    lines.extend(together.map(|(shape, effect)| Line::Run(Round { shape, effect, commit: Commit::Together })));
    lines.extend(cut_up.map(|(shape, commit)| Line::Run(Round { shape, effect: Effect::None, commit })));
    lines.extend([1_000, 10_000, 100_000].map(Line::Resume));
    lines
}

fn title(line: Line) -> String {
    match line {
        Line::Floors => "floors".to_owned(),
        Line::Run(round) => round.to_string(),
        Line::Resume(records) => format!("resume {records}"),
    }
}

fn round(line: Line, dir: &Path) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match line {
            Line::Floors => tell(&Floors::measure(dir, FLOOR_WRITES, FLOOR_LEN).await?),
            Line::Run(round) => tell(&round.measure(dir).await?),
            Line::Resume(records) => tell(&resume(dir, records).await?),
        }
    })
}

fn tell(found: &impl Serialize) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(found)?);
    Ok(())
}

fn table(lines: &[Line], dir: &Path) -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::var("ROUNDS").ok().map_or(Ok(5), |rounds| rounds.parse())?;
    let only = std::env::var("ONLY").unwrap_or_default();
    println!("journals in {}, medians of {rounds} rounds", dir.display());
    println!("floor: one raw write + fdatasync of as many bytes as a sync carries, in the same directory and round");
    println!("× floor: the run, beside one such write per step");
    println!();
    println!(
        "{:<34} {:>7} {:>9} {:>7} {:>8} {:>9} {:>8} {:>8} {:>7} {:>8} {:>6}",
        "", "wall s", "steps/s", "syncs", "/step", "floor ms", "× floor", "MB", "CPU s", "µs/step", "MiB"
    );
    for (number, &line) in lines.iter().enumerate().filter(|(_, line)| title(**line).starts_with(&only)) {
        match line {
            Line::Floors => print_floors(&measured(number, dir, rounds)?),
            Line::Run(_) => print_run(&title(line), &measured(number, dir, rounds)?),
            Line::Resume(_) => print_resumed(&measured(number, dir, rounds)?),
        }
    }
    Ok(())
}

/// Has each round measured in a process of its own.
fn measured<T: DeserializeOwned>(line: usize, dir: &Path, rounds: usize) -> Result<Vec<T>, Box<dyn Error>> {
    let mut found = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let child = Command::new(std::env::current_exe()?).arg(format!("{ROUND_OF}{line}")).arg(dir).stderr(Stdio::inherit()).output()?;
        if !child.status.success() {
            return Err(format!("a round of line {line} failed: {}", child.status).into());
        }
        found.push(serde_json::from_slice(&child.stdout)?);
    }
    Ok(found)
}

fn print_floors(found: &[Floors]) {
    let line = |name: &str, of: &dyn Fn(&Floors) -> f64| {
        let over = median(found, |floors| of(floors) / floors.disk);
        println!("{name:<34} {:>7.3} ms each, {over:.2} × raw", median(found, of) * 1e3);
    };
    println!("{FLOOR_WRITES} durable writes of {FLOOR_LEN} bytes:");
    line("  raw write + fdatasync", &|floors| floors.disk);
    line("  sled insert + flush, fdatasync", &|floors| floors.sled);
    line("  journal append", &|floors| floors.journal);
}

fn print_run(title: &str, found: &[Figures]) {
    let of = |what: &dyn Fn(&Figures) -> f64| median(found, what);
    println!(
        "{title:<34} {:>7.3} {:>9.0} {:>7.0} {:>8.4} {:>9.3} {:>8.2} {:>8.1} {:>7.2} {:>8.1} {:>6.0}",
        of(&|f| f.wall_seconds),
        of(&Figures::steps_per_second),
        of(&|f| f.syncs as f64),
        of(&Figures::syncs_per_step),
        of(&|f| f.floor_sync_seconds * 1e3),
        of(&Figures::over_floor),
        of(&|f| f.bytes_written as f64 / 1e6),
        of(&|f| f.cpu_seconds),
        of(&|f| f.cpu_per_step().as_secs_f64() * 1e6),
        of(&|f| f.peak_rss_mib as f64),
    );
}

fn print_resumed(found: &[Resumed]) {
    let of = |what: &dyn Fn(&Resumed) -> f64| median(found, what);
    println!(
        "{:<34} {:>7.3} {:>61.2} {:>15.0}",
        format!("resume of {} records", of(&|r| r.records as f64)),
        of(&|r| r.wall_seconds),
        of(&|r| r.cpu_seconds),
        of(&|r| r.peak_rss_mib as f64),
    );
}
