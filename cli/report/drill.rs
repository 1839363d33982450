//! A drill's report in the fields that the scripts of others read: what was exercised, what was measured, what was wanted, and the verdict.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Report, Restorer};
use crate::render::drill::DrillVerdict;
use crate::render::summary::Verdict;

/// The drill as it was put together from a report; `None` of a run that is none, or is not over.
pub struct DrillReport {
    /// The name of its file: made of the moment that the drill began.
    pub name: String,
    /// Its fields.
    pub fields: Value,
}

impl DrillReport {
    /// Takes out of a report what it says of a drill.
    pub fn of(report: &Report) -> Option<Self> {
        let summary = &report.summary;
        let drill = summary.drill.as_ref()?;
        let status = match drill.verdict? {
            DrillVerdict::Pass => "PASSED",
            DrillVerdict::Fail => "FAILED",
            DrillVerdict::Inconclusive => "INCONCLUSIVE",
        };
        let met = |verdict: Verdict| match verdict {
            Verdict::Met => Some(true),
            Verdict::Missed => Some(false),
            Verdict::NotReached | Verdict::Unknown | Verdict::NoObjective => None,
        };
        let fields = json!({
            "test_type": summary.workflow.strip_prefix("drill-").unwrap_or(&summary.workflow),
            "environment": drill.environment,
            "start_time": summary.started_at,
            "recovery_time_seconds": summary.rto.actual,
            "rto_target_seconds": summary.rto.objective,
            "rto_met": met(summary.rto.verdict),
            "rpo_actual_seconds": summary.rpo.actual,
            "rpo_target_seconds": summary.rpo.objective,
            "rpo_met": met(summary.rpo.verdict),
            "rpo_volumes_actual_seconds": summary.rpo_volumes.as_ref().and_then(|volumes| volumes.actual),
            "rpo_volumes_met": summary.rpo_volumes.as_ref().and_then(|volumes| met(volumes.verdict)),
            "tier": summary.tier,
            "compliance": summary.compliance,
            "test_status": status,
            "reasons": drill.why,
            "clocks": summary.clocks,
            "leftovers": report.left().map(|left| json!({
                "step": left.step, "on": left.on, "values": left.values, "commands": commands(&left.restorers),
            })).collect::<Vec<_>>(),
            "run": summary.run,
            "workflow_hash": report.audit.workflow_hash,
            "journal_hash": report.audit.head,
        });
        Some(Self { name: format!("dr-test-report-{}.json", stamp(summary.started_at)), fields })
    }
}

fn commands(restorers: &[Restorer]) -> Vec<&str> {
    restorers
        .iter()
        .filter_map(|restorer| match restorer {
            Restorer::Rollback { command } | Restorer::Workflow { command, .. } => Some(command.as_str()),
            Restorer::Run { .. } | Restorer::Hand | Restorer::Nothing => None,
        })
        .collect()
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%d-%H%M%S").to_string()
}
