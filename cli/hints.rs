//! What to type next, for each way in which a verb can fail.

use wf_engine::journal::JournalError;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::RecordError;
use wf_engine::runtime::{Refusal, RunError};
use wf_journal::{CopyError, Gone};
use wf_sim::SimError;

use crate::failure::Failure;

/// What makes a journal fail that is not damaged.
const CHECK_DISK: &str = "Check the disk (free space, permissions, the kernel's log)";

/// Says what to type next, if anything helps.
pub fn hint(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Usage { help, .. } | Failure::Refused { help, .. } => help.clone(),
        Failure::Invalid { .. } | Failure::Output(_) | Failure::System { .. } => None,
        Failure::Unreadable { .. } => Some("give the path of a file that you can read".to_owned()),
        Failure::Run { run, source } => run_hint(run, source),
        Failure::Journal(error) => journal_hint(error),
        Failure::State(_) => Some("name another directory with --state-dir or WF_STATE_DIR".to_owned()),
        Failure::Files { .. } => Some("check the directory's owner and free space; --state-dir names another one".to_owned()),
        Failure::Sim(error) => sim_hint(error),
    }
}

fn run_hint(run: &RunId, error: &RunError) -> Option<String> {
    match error {
        RunError::Journal(error) => journal_hint(error),
        RunError::Record(_) => Some(format!("nothing was done that is not on record; `wf resume {run}` carries the run on")),
        RunError::Illegal(_) => Some(format!("`wf journal verify {run}` tells whether the journal was altered")),
        RunError::NotARun { .. } => Some("start a new run; this one can be left where it is".to_owned()),
        RunError::Workflow { .. } => None,
        RunError::Stalled { .. } => Some(format!("please report this, with the output of `wf log {run} --json`")),
        RunError::Refused(refusal) => refusal_hint(run, refusal),
    }
}

/// Says what to type when an order is refused, if anything helps.
pub fn refusal_hint(run: &RunId, refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::NoSuchStep { .. } | Refusal::Status { .. } => Some(format!("`wf status {run}` shows every step")),
        Refusal::ValueNeeded { step, field, .. } => {
            Some(format!("if you did it by hand: wf mark-done {run} {step} --output {field}=… --reason …"))
        }
        Refusal::Figures(_) => None,
        Refusal::Edit(_) => Some(format!("put that back and try again, or go on without the edit: wf resume {run}")),
        Refusal::Finished { .. } => Some(format!("`wf log {run}` shows what it did; `wf run` starts a new run")),
        Refusal::PastPointOfNoReturn { .. } => Some(format!("wf rollback {run} --past-point-of-no-return")),
        Refusal::RollingBack => Some(format!("`wf resume {run}` carries it on, if nobody drives it")),
        Refusal::AlreadyPaused => Some(format!("wf resume {run}")),
        Refusal::NotPaused | Refusal::AlreadyUnplanned | Refusal::Cancelled => Some(format!("wf status {run}")),
        Refusal::NotUnderWay { verb: "roll back" } => Some(format!("wf rollback {run}")),
        Refusal::NotUnderWay { .. } => Some(format!("`wf resume {run}` carries it on; to give it up: wf cancel {run}")),
        Refusal::Leaving => Some(format!("wait for it to end, then: wf resume {run}")),
    }
}

fn journal_hint(error: &JournalError) -> Option<String> {
    Some(match error {
        JournalError::NoSuchRun { .. } => "`wf list` shows the runs of this state directory".to_owned(),
        JournalError::Locked { run, pid, .. } => {
            let wait = pid.map_or_else(String::new, |pid| format!("; to end it: kill -INT {pid}, then `wf resume {run}`"));
            format!("nothing was touched. `wf status {run}` and `wf log {run} --follow` watch it{wait}")
        }
        JournalError::Fenced { run, .. } => format!("another process took the run over; `wf status {run}` shows where it is"),
        JournalError::Damaged { run, source: RecordError::Newer { .. } } => {
            format!(
                "nothing is wrong with the run, and nothing was touched. Install the wf that wrote it, or a newer one, and then: wf status {run}"
            )
        }
        JournalError::Damaged { run, .. } => {
            format!(
                "nothing was done, and the files are as they were. The run is quarantined, all others work. `wf journal verify {run}` shows the first bad record; restore the run's directory from a backup, or look after its steps by hand"
            )
        }
        JournalError::Storage { run, source, .. } if source.is::<Gone>() => {
            format!(
                "nothing more was started. What this process recorded is gone with the file: put the directory back and `wf resume {run}`, or look after the steps above by hand"
            )
        }
        JournalError::Storage { run, source, .. } if source.is::<CopyError>() => {
            format!("nothing was touched. Name a directory with free space, and then: TMPDIR=… wf journal verify {run}")
        }
        JournalError::Storage { doing: "created", .. } => {
            format!("nothing was done: the run had not begun. {CHECK_DISK}, and start it again")
        }
        JournalError::Storage { run, doing: "locked" | "opened", .. } => {
            format!("nothing was done. {CHECK_DISK}, then: wf resume {run}. If that does not know it, it had not begun: start it again")
        }
        JournalError::Storage { run, .. } => format!("nothing was done that is not on record. {CHECK_DISK}, then: wf resume {run}"),
        JournalError::Poisoned { run } => format!("nothing was done that is not on record. {CHECK_DISK}, then: wf resume {run}"),
    })
}

fn sim_hint(error: &SimError) -> Option<String> {
    match error {
        SimError::Locked { .. } => Some("a simulated world is used by one process at a time; --state-dir names another one".to_owned()),
        SimError::Missing { .. } => Some("`wf run workflows/failover.ron --sim` begins one".to_owned()),
        SimError::Corrupt { .. } => Some("`wf sim reset` forgets it".to_owned()),
        SimError::World(_) => Some("`wf sim world` prints one that is right".to_owned()),
        _ => None,
    }
}
