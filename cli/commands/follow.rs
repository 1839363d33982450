//! What `wf status --follow` shows: a run that another process drives, as the terminal of that process shows it. What steps wait for is
//! not on record, so their progress is not there.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::{IllegalTransition, RunState};
use wf_engine::report::Reporter as _;
use wf_engine::runtime::Replayed;

use crate::console::Console;
use crate::control_client::connect;
use crate::failure::Failure;
use crate::render::live::LiveReporter;
use crate::render::tables::status_text;
use crate::runs::{Runs, failed};
use crate::sim_world::clock_of;
use crate::usual::Expected;

/// How long an owner that broke off may take to be gone, so that its journal can be read.
const GOING_TIME: Duration = Duration::from_millis(50);

/// Shows what follows the `records` until the run leaves its process, which may be because the process is killed. It was `now` there when
/// they were read.
pub async fn follow(
    console: &mut Console,
    runs: &Runs,
    state_dir: &Path,
    replayed: &Replayed,
    records: &[Record],
    now: Timestamp,
) -> Result<(), Failure> {
    let Replayed { header, workflow, state, .. } = replayed;
    let look = *console.out_look();
    let shown = !console.json();
    if shown && !look.tty {
        let text = status_text(replayed, records, &look, Some(now));
        console.data(&format!("{text}\n"))?;
    }
    let out: Box<dyn std::io::Write + Send> = if shown { Box::new(std::io::stdout()) } else { Box::new(std::io::sink()) };
    let mut live = LiveReporter::new(look, out, clock_of(&header.world, now, state_dir));
    live.catch_up(records, state);
    let expected = if look.tty { Expected::of_run(workflow, header) } else { None };
    let usual = expected.map(|expected| tokio::spawn(expected.tell(runs.clone(), live.suspend_handle())));
    let (mut state, mut next, mut illegal) = (state.clone(), records.last().map_or(0, |last| last.seq + 1), None);
    let told = async {
        let owner = connect(&runs.layout().control_socket(&header.run)).await?;
        owner.records(true, |record| illegal = illegal.take().or(take_in(&record, &mut next, &mut state, &mut live).err())).await
    };
    if let Err(error) = told.await {
        tracing::debug!(%error, "the owner of the run broke off");
        tokio::time::sleep(GOING_TIME).await;
    }
    if let Some(usual) = usual {
        usual.abort();
    }
    illegal.map_or(Ok(()), |error: IllegalTransition| Err(failed(&header.run, error.into())))
}

/// Shows a record, once.
fn take_in(record: &Record, next: &mut u64, state: &mut RunState, live: &mut LiveReporter) -> Result<(), IllegalTransition> {
    if record.seq < *next {
        return Ok(());
    }
    state.apply(record)?;
    *next = record.seq + 1;
    live.recorded(record, state);
    Ok(())
}
