//! What goes wrong in a cluster, in the middle of a failover: what the operator is told, what comes of the run, and what `resume` does once the
//! cause is gone. `--nocapture` prints the table.

use wf_engine::model::event::RunOutcome;
use wf_engine::runtime::RunEnd;

use crate::COMPLETED;
use crate::world::{Ended, Shipped};

/// A fault, and what must come of it.
struct Case {
    fault: &'static str,
    /// The step that fails; none when the fault passes by itself.
    step: Option<&'static str>,
    /// What the operator is told: what happened to what, and why.
    says: &'static [&'static str],
    /// What to do.
    hint: &'static str,
    /// Whether a resume, with the cause gone, completes the run by itself.
    resumes: bool,
}

const CASES: &[Case] = &[
    Case { fault: "backup-partial", step: None, says: &[], hint: "", resumes: true },
    Case {
        fault: "restore-partial",
        step: Some("restore"),
        says: &["backup production-backup-20260314020000 failed in part", "1 errors"],
        hint: "velero restore describe",
        resumes: true,
    },
    Case {
        fault: "image-pull us-west-2",
        step: Some("restore"),
        says: &["timed out after 30m", "Velero to take restore"],
        hint: "",
        resumes: true,
    },
    Case { fault: "no-address us-west-2", step: Some("address"), says: &["web-app-ingress"], hint: "", resumes: true },
    Case { fault: "k8s-down production-dr 90s", step: None, says: &[], hint: "", resumes: true },
    Case { fault: "k8s-down production-dr", step: Some("nodes"), says: &["production-dr"], hint: "", resumes: true },
    Case { fault: "k8s-no-access production-dr", step: Some("nodes"), says: &["production-dr"], hint: "access entry", resumes: true },
    Case { fault: "deny patch:secrets", step: Some("db_host"), says: &["secrets", "db-credentials"], hint: "", resumes: true },
    Case { fault: "fail create:restores", step: Some("restore"), says: &["restore"], hint: "", resumes: true },
    Case { fault: "lost-response create:restores", step: None, says: &[], hint: "", resumes: true },
    Case { fault: "lost-response patch:secrets", step: None, says: &[], hint: "", resumes: true },
    Case { fault: "throttle kubernetes 5%", step: None, says: &[], hint: "", resumes: true },
];

fn outcome(end: &RunEnd) -> String {
    match end {
        RunEnd::Finished(outcome) => outcome.to_string(),
        RunEnd::Paused { .. } => "paused".to_owned(),
        RunEnd::Interrupted { .. } => "interrupted".to_owned(),
    }
}

/// A resume tries a restore that has failed anew, under a new name.
fn one_of_each(world: &Shipped, fault: &str, restores: usize) {
    for (action, most) in [("create:restores", restores), ("PromoteReadReplica", 1)] {
        assert!(world.effective(action) <= most, "{fault}: {action} {} times", world.effective(action));
    }
}

async fn served(world: &Shipped) -> bool {
    // Resolvers keep the old address for a minute.
    world.pass_minutes(2).await;
    world.shop()["serving_region"] == "us-west-2"
}

impl Case {
    async fn try_it(&self) -> String {
        let Self { fault, .. } = self;
        let world = Shipped::burning(&[fault]);
        let run = world.run("failover.ron", |_| {}).await;
        one_of_each(&world, fault, 1);
        let Some(step) = self.step else {
            assert_eq!(run.end, COMPLETED, "{fault}: {:#?}", run.failures());
            assert!(served(&world).await, "{fault}: {}", world.shop());
            return self.row(&run, "-", "");
        };
        let failed = run.step(step).failure.unwrap_or_else(|| panic!("{fault}: {step} did not fail: {:?} {:#?}", run.end, run.failures()));
        let said = format!("{} {}", failed.message, failed.causes.join(" "));
        for says in self.says {
            assert!(said.contains(says), "{fault}: no {says:?} in {failed:#?}");
        }
        let hint = failed.hint.clone().unwrap_or_default();
        assert!(hint.contains(self.hint), "{fault}: no {:?} in {failed:#?}", self.hint);
        world.sim.set_faults(Vec::new());
        let RunEnd::Paused { .. } = run.end else {
            assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack), "{fault}");
            return self.row(&run, &format!("{}{}", failed.message, because(&failed.causes)), "nothing is left to resume: a new run");
        };
        let resumed = world.resume("failover.ron", &run).await;
        one_of_each(&world, fault, if step == "restore" { 2 } else { 1 });
        assert_eq!(resumed.end == COMPLETED, self.resumes, "{fault}: {:?} {:#?}", resumed.end, resumed.failures());
        assert_eq!(served(&world).await, self.resumes, "{fault}: {}", world.shop());
        self.row(&run, &format!("{}{}", failed.message, because(&failed.causes)), &format!("{} [{hint}]", outcome(&resumed.end)))
    }

    fn row(&self, run: &Ended, message: &str, then: &str) -> String {
        format!("| {} | {} | {message} | {} | {then} |", self.fault, self.step.unwrap_or("-"), outcome(&run.end))
    }
}

fn because(causes: &[String]) -> String {
    causes.first().map_or_else(String::new, |cause| format!(" (because: {cause})"))
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_cluster_is_told_and_carried_on_from() {
    let mut table = "\n| fault | step | message | outcome | resume, the cause gone |\n|---|---|---|---|---|".to_owned();
    for case in CASES {
        table = format!("{table}\n{}", case.try_it().await);
        #[expect(clippy::print_stderr, reason = "the table is what the test is for")]
        {
            eprintln!("{}", table.lines().last().unwrap());
        }
    }
}
