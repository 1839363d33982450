//! `wf bench`, hidden: what durability costs on this machine and this disk. Prints one round of one shape.

use serde_json::json;
use wf_bench::{BenchError, Commit, Effect, Figures, Links, Round, Shape, ShapeError};

use crate::args::{self, CommitArg};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;

pub async fn bench(console: &mut Console, args: &args::Bench) -> Result<Exit, Failure> {
    let round = Round {
        shape: shape(args).map_err(|error| Failure::usage(error.to_string()))?,
        effect: if args.intents { Effect::Intent } else { Effect::None },
        commit: match args.commit {
            CommitArg::All => Commit::Together,
            CommitArg::TwiceAStep => Commit::TwiceAStep,
            CommitArg::EachRecord => Commit::EachRecord,
        },
    };
    let dir = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    if !dir.is_dir() {
        let message = format!("{} is not a directory", dir.display());
        return Err(Failure::usage(message).help("give --dir a directory that exists, on the disk to be measured"));
    }
    let figures = round
        .measure(&dir)
        .await
        .map_err(|source: BenchError| Failure::System { doing: "measuring", source: std::io::Error::other(source) })?;
    if console.json() {
        console.document(&json!({ "round": round.to_string(), "figures": figures }))?;
    } else {
        console.data(&text(round, &figures))?;
    }
    Ok(Exit::Completed)
}

fn shape(args: &args::Bench) -> Result<Shape, ShapeError> {
    match args.shape {
        args::Shape::Chain => Shape::number(&args.size).map(Shape::Chain),
        args::Shape::Fan => Shape::number(&args.size).map(Shape::Fan),
        args::Shape::Layers => Shape::layers(&args.size, Links::Two),
        args::Shape::Diamonds => Shape::layers(&args.size, Links::All),
    }
}

fn text(round: Round, figures: &Figures) -> String {
    format!(
        "{round}: {} steps, {} records
  wall      {:.3} s, {:.0} steps/s
  syncs     {}, {:.4} a step; floor {:.3} ms each (raw write + fdatasync)
  × floor   {:.2}, beside one raw write + fdatasync a step
  written   {:.1} MB
  cpu       {:.2} s, {:.1} µs a step
  memory    {} MiB at most",
        figures.steps,
        figures.records,
        figures.wall_seconds,
        figures.steps_per_second(),
        figures.syncs,
        figures.syncs_per_step(),
        figures.floor_sync_seconds * 1e3,
        figures.over_floor(),
        figures.bytes_written as f64 / 1e6,
        figures.cpu_seconds,
        figures.cpu_per_step().as_secs_f64() * 1e6,
        figures.peak_rss_mib,
    )
}
