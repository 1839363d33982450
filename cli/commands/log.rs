//! `wf log`: a run's records as lines, or as JSON for machines.

use std::path::Path;
use std::time::Duration;

use wf_engine::model::ids::RunId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;
use wf_engine::runtime::{Replayed, replay};

use crate::args::Log;
use crate::console::Console;
use crate::control_client::connect;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::lines::line;
use crate::runs::{Runs, failed};

pub async fn log(console: &mut Console, state_dir: &Path, args: &Log) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let found = runs.read(&run).await?;
    let mut teller = Teller::new(&run, &found.records)?;
    for record in &found.records {
        teller.tell(console, record)?;
    }
    if args.follow && found.live_at.is_some() {
        follow(console, &runs, &run, &mut teller).await?;
    }
    Ok(Exit::Completed)
}

/// Tells what follows until the run leaves its process.
async fn follow(console: &mut Console, runs: &Runs, run: &RunId, teller: &mut Teller) -> Result<(), Failure> {
    let mut failure = None;
    let told = async {
        let conversation = connect(&runs.layout().control_socket(run)).await?;
        conversation.records(true, |record| failure = failure.take().or(teller.tell(console, &record).err())).await
    };
    let broken_off = told.await.is_err();
    if let Some(failure) = failure {
        return Err(failure);
    }
    if broken_off {
        // The owner was killed, or left between two calls: what it recorded last is in the journal.
        tokio::time::sleep(Duration::from_millis(50)).await;
        for record in runs.read(run).await?.records {
            teller.tell(console, &record)?;
        }
    }
    Ok(())
}

/// Tells records once each, in order, with the state that they led to.
struct Teller {
    run: RunId,
    state: RunState,
    next_seq: u64,
}

impl Teller {
    fn new(run: &RunId, records: &[Record]) -> Result<Self, Failure> {
        let Replayed { started_with, .. } = replay(run, records).map_err(|source| failed(run, source))?;
        Ok(Self { run: run.clone(), state: RunState::new(started_with, |_| Duration::from_secs(1)), next_seq: 0 })
    }

    fn tell(&mut self, console: &mut Console, record: &Record) -> Result<(), Failure> {
        if record.seq < self.next_seq {
            return Ok(());
        }
        self.next_seq = record.seq + 1;
        if console.json() {
            return console.json_line(record);
        }
        self.state.apply(record).map_err(|error| failed(&self.run, error.into()))?;
        match line(record, &self.state, console.out_look()) {
            Some(text) => console.data(&text),
            None => Ok(()),
        }
    }
}
