//! Drives a run that this process starts, resumes or rolls back: everything around the engine's loop, which is the display, the
//! signals, the questions, the control socket, and what is said at the end.

use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle};
use wf_engine::journal::Journal;
use wf_engine::model::event::{Event, RunHeader, RunOutcome};
use wf_engine::model::ids::RunId;
use wf_engine::model::record::Record;
use wf_engine::model::workflow::Workflow;
use wf_engine::runtime::{self, Controller, Replayed, ResumePlan, RollbackRequest, RunEnd, RunError, Runtime, StartPlan};
use wf_journal::Layout;

use crate::console::Console;
use crate::control_socket::{ControlSocket, Served};
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::ledger::{Ledger, Recorder};
use crate::notify::{About, Notifier, Targets};
use crate::render::harmless_json;
use crate::render::live::{LiveReporter, Suspend};
use crate::render::summary::Summary;
use crate::report::{self, Besides, DrillReport, Measured, Report};
use crate::run_summary::RunSummary;
use crate::runs::{Runs, failed};
use crate::sim_world::World;
use crate::usual::Expected;
use crate::{approvals, interrupt, operator};

/// What is to be done with the run.
pub enum Way {
    Start(Box<StartPlan>),
    Resume(ResumePlan),
    Rollback(RollbackRequest),
}

impl Way {
    /// Returns what is known beforehand of how long the steps take.
    fn expected(&self, workflow: &Arc<Workflow>, world: &World, earlier: &[Record]) -> Option<Expected> {
        match self {
            Self::Start(plan) => {
                let occasion = workflow.def().occasion(plan.mode, plan.drill.is_some());
                Some(Expected::of_bound(&plan.bound, occasion, world.name))
            }
            Self::Resume(ResumePlan { adopt: Some(edited), .. }) => Expected::of_run(&edited.workflow, header(earlier)?),
            Self::Resume(_) | Self::Rollback(_) => Expected::of_run(workflow, header(earlier)?),
        }
    }

    /// Tells whether the run goes forward as an exercise, which is to put back what it changed however it ends.
    fn is_drill(&self, earlier: &[Record]) -> bool {
        match self {
            Self::Start(plan) => plan.drill.is_some(),
            Self::Resume(_) => header(earlier).is_some_and(|header| header.drill.is_some()),
            Self::Rollback(_) => false,
        }
    }

    /// Drives the run in a task: its loop and the attempts that it starts then share a thread instead of waking each other's.
    async fn driven(self, runtime: Runtime, run: RunId) -> Result<RunEnd, RunError> {
        let driven = tokio::spawn(async move {
            match self {
                Self::Start(plan) => runtime::start(runtime, *plan).await,
                Self::Resume(plan) => runtime::resume(runtime, &run, plan).await,
                Self::Rollback(request) => runtime::rollback(runtime, &run, request).await,
            }
        });
        match driven.await.map_err(JoinError::try_into_panic) {
            Ok(end) => end,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // Nobody cancels it but the end of the process.
            Err(Err(_)) => std::future::pending().await,
        }
    }
}

/// A run on its way.
pub struct Drive {
    pub run: RunId,
    pub world: World,
    /// Where it is recorded.
    pub journal: Arc<dyn Journal>,
    /// The workflow that it was started with.
    pub workflow: Arc<Workflow>,
    /// What earlier owners recorded.
    pub earlier: Vec<Record>,
    pub way: Way,
    /// Who is told, besides whoever sits here.
    pub notify: Targets,
}

impl Drive {
    /// Drives the run until it ends, pauses or is interrupted, and tells how it went.
    pub async fn go(mut self, console: &mut Console, runs: &Runs) -> Result<Exit, Failure> {
        let live = LiveReporter::new(*console.err_look(), Box::new(std::io::stderr()), Arc::clone(&self.world.clock));
        let (notifier, deliveries) = std::mem::take(&mut self.notify).begin(About {
            run: &self.run,
            workflow: &self.workflow,
            earlier: &self.earlier,
            cloud: &self.world.cloud,
            layout: runs.layout(),
            suspend: live.suspend_handle(),
        });
        let end = self.reported(console, runs, live, notifier).await;
        deliveries.finish(&end).await;
        end
    }

    async fn reported(self, console: &mut Console, runs: &Runs, live: LiveReporter, notifier: Notifier) -> Result<Exit, Failure> {
        let Self { run, world, journal, workflow, earlier, way, notify: _ } = self;
        // Whatever a cache says is not so any more, even if this process is killed.
        let _ = std::fs::remove_file(runs.layout().summary_file(&run));
        let (controller, control) = runtime::channel();
        let suspend = live.suspend_handle();
        let expected = if console.err_look().tty { way.expected(&workflow, &world, &earlier) } else { None };
        let usual = expected.map(|expected| tokio::spawn(expected.tell(runs.clone(), suspend.clone())));
        let drill = way.is_drill(&earlier);
        let ledger = Ledger::new(earlier);
        let (recorder, questions) = Recorder::new(Arc::clone(&ledger), live, notifier);
        let served =
            Served { run: run.clone(), ledger: Arc::clone(&ledger), controller: controller.clone(), clock: Arc::clone(&world.clock) };
        let socket = tokio::spawn(serve(runs.layout().control_socket(&run), served, suspend.clone()));
        let over = interrupt::obey(run.clone(), drill, controller.clone(), suspend.clone())?;
        let asking = console.asks().then(|| tokio::spawn(approvals::ask(questions, controller.clone(), operator::this(), suspend.clone())));
        let runtime = Runtime {
            journal,
            registry: Arc::clone(&world.registry),
            clock: Arc::clone(&world.clock),
            reporter: Box::new(recorder),
            control,
            workflow: Some(Arc::clone(&workflow)),
        };
        let end = way.driven(runtime, run.clone()).await;
        over.send_replace(Some(exit(&end)));
        if let Some(usual) = usual {
            usual.abort();
        }
        wind_up(&ledger, asking, socket, controller).await;
        suspend.finish();
        let flushed = world.sim.as_ref().map_or(Ok(()), wf_sim::Sim::flush);
        // That the journal failed is worth more than that the simulated world could not be kept either.
        let end = end.map_err(|source| failed(&run, source))?;
        flushed?;
        let records = ledger.since(0);
        let replayed = Replayed::of(&run, workflow, &records).map_err(|source| failed(&run, source))?;
        let summary = Summary::of(&replayed, &records, &world.sim.as_ref().map(wf_sim::Sim::sites).unwrap_or_default());
        let exit = exit_of(&end, &summary);
        let earlier = report::earlier_drills(runs, &replayed).await;
        match tell(console, runs, summary, &replayed, &records, earlier) {
            // How the run went does not depend on who reads about it.
            Err(Failure::Output(error)) => console.say(&format!("the summary could not be written ({error}): wf status {run}")),
            told => told?,
        }
        Ok(exit)
    }
}

fn header(records: &[Record]) -> Option<&RunHeader> {
    match &records.first()?.event {
        Event::RunStarted(header) => Some(header),
        _ => None,
    }
}

/// Puts the control socket up as soon as the run is surely ours.
async fn serve(path: std::path::PathBuf, served: Served, suspend: Suspend) {
    let mut progress = served.ledger.watch();
    let owned = progress.wait_for(|progress| progress.owned || progress.ended).await.is_ok_and(|progress| progress.owned);
    if !owned {
        return;
    }
    match ControlSocket::bind(&path) {
        Ok(socket) => socket.serve(served).await,
        Err(error) => suspend.run(|out| {
            let _ = writeln!(
                out,
                "warning: {} cannot be made ({error}): `wf status`, `wf log` and `wf approve` cannot reach this run while it is live",
                path.display()
            );
        }),
    }
}

/// Returns the exit code of how a run ended, or did not.
fn exit(end: &Result<RunEnd, RunError>) -> Exit {
    match end {
        Ok(end) => Exit::from(end),
        Err(error) => Exit::from(error),
    }
}

async fn wind_up(ledger: &Ledger, asking: Option<JoinHandle<()>>, socket: JoinHandle<()>, controller: Controller) {
    drop(controller);
    ledger.end();
    if let Some(asking) = asking {
        asking.abort();
    }
    // Ends by itself soon after the ledger has.
    let _ = socket.await;
}

/// Returns the exit code of a run that came to rest: a drill that put everything back says what it proved.
fn exit_of(end: &RunEnd, summary: &Summary) -> Exit {
    match (end, summary.drill.as_ref().and_then(|drill| drill.verdict)) {
        (RunEnd::Finished(RunOutcome::RolledBack), Some(verdict)) => verdict.into(),
        _ => end.into(),
    }
}

/// Says how it went, and keeps the summary.
fn tell(
    console: &mut Console,
    runs: &Runs,
    summary: Summary,
    replayed: &Replayed,
    records: &[Record],
    earlier: Vec<Measured>,
) -> Result<(), Failure> {
    RunSummary::of(replayed, false).keep(runs.layout());
    let told = if console.json() {
        console.document(&summary)
    } else {
        let text = summary.text(console.out_look());
        console.data(&format!("\n{text}"))
    };
    let followers = report::beside(replayed);
    keep_report(console, runs, replayed, records, Besides { live: false, users: summary.users, followers, earlier });
    told
}

/// Keeps the report, and says where. It can be made anew, so a failure is only said.
fn keep_report(console: &mut Console, runs: &Runs, replayed: &Replayed, records: &[Record], besides: Besides) {
    let (layout, run) = (runs.layout(), &replayed.header.run);
    let report = Report::of(replayed, records, besides);
    match report::keep(&report, layout) {
        Ok(()) => {
            console.say(&format!("report: {} (.md and .json beside it)", layout.report_file(run, "html").display()));
            keep_drill(console, &report, layout);
        }
        Err(error) => console.say(&format!("the report could not be kept ({error}): `wf report {run}` writes it anew")),
    }
}

/// Keeps what a drill proved in a file of its own beside the report, and names what it left.
fn keep_drill(console: &mut Console, report: &Report, layout: &Layout) {
    let Some(drill) = DrillReport::of(report) else { return };
    match layout.write_beside_reports(&report.summary.run, &drill.name, harmless_json(format!("{:#}\n", drill.fields)).as_bytes()) {
        Ok(path) => console.say(&format!("drill report: {}", path.display())),
        Err(error) => console.say(&format!("{} could not be written ({error})", drill.name)),
    }
}
