//! Jobs, whose pods run once and leave a log, and cron jobs, which make them.
//!
//! What a container would do is not simulated: it succeeds, unless its command says `exit N` or `false`, or unless it is given a
//! database host that takes no writes.

use serde_json::{Value, json};

use super::kinds::{CRON_JOBS, JOBS, PODS};
use super::pods::{self, Stage};
use super::tick::{Tick, owner};
use super::value::{is_owned_by, list, name, namespace, number, put, set_condition, text};
use super::{key_of, schedule};

/// Finished jobs of a cron job that are kept.
const HISTORY: usize = 3;

/// Lets cron jobs make the jobs of this minute.
pub(super) fn schedule(tick: &mut Tick) {
    let minute = tick.now.div_euclid(60_000);
    for key in tick.kube.keys(CRON_JOBS) {
        let Some(cron) = tick.kube.hidden(CRON_JOBS, &key).map(|c| c.json.clone()) else {
            continue;
        };
        if cron["spec"]["suspend"] == true {
            continue;
        }
        if let Some(next) = schedule::next(text(&cron, "/spec/schedule"), tick.now) {
            tick.wake_at(next);
        }
        let job = format!("{}-{minute}", name(&cron));
        let made_before = tick.kube.get(JOBS, namespace(&cron), &job).is_some();
        if made_before || !schedule::is_due(text(&cron, "/spec/schedule"), tick.now) {
            continue;
        }
        let mut made = cron["spec"]["jobTemplate"].clone();
        put(&mut made, &["metadata", "name"], job.into());
        put(&mut made, &["metadata", "namespace"], namespace(&cron).into());
        put(&mut made, &["metadata", "ownerReferences"], owner(CRON_JOBS, &cron));
        super::fill_in(JOBS, &mut made);
        tick.create(JOBS, made);
        let stamp = tick.stamp();
        tick.kube.change(CRON_JOBS, &key, |c| put(c, &["status", "lastScheduleTime"], stamp.into()));
        forget_old(tick, &cron);
    }
}

fn forget_old(tick: &mut Tick, cron: &Value) {
    let uid = text(cron, "/metadata/uid");
    let ended = tick.kube.all(JOBS).map(|j| &j.json).filter(|j| is_owned_by(j, uid) && is_over(j));
    let mut ended: Vec<(String, String)> = ended.map(|j| (text(j, "/metadata/creationTimestamp").to_owned(), key_of(j))).collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(HISTORY);
    for (_, key) in ended.into_iter().take(surplus) {
        tick.kube.remove(JOBS, &key);
    }
}

fn is_over(job: &Value) -> bool {
    list(job, "/status/conditions").iter().any(|c| matches!(text(c, "/type"), "Complete" | "Failed") && text(c, "/status") == "True")
}

/// Reports whether a pod belongs to a job.
pub(super) fn is_of_a_job(pod: &Value) -> bool {
    list(pod, "/metadata/ownerReferences").iter().any(|o| text(o, "/kind") == "Job")
}

/// Starts the pods of jobs and writes what became of them.
pub(super) fn run(tick: &mut Tick) {
    for key in tick.kube.keys(JOBS) {
        let Some(job) = tick.kube.hidden(JOBS, &key).map(|j| j.json.clone()) else {
            continue;
        };
        if is_over(&job) || job["spec"]["suspend"] == true {
            continue;
        }
        let uid = text(&job, "/metadata/uid");
        let phase = |wanted: &str| {
            tick.kube.all(PODS).filter(|p| is_owned_by(&p.json, uid) && text(&p.json, "/status/phase") == wanted).count() as i64
        };
        let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
        let active = tick.kube.active_pods(uid).count() as i64;
        let completions = number(&job, "/spec/completions").unwrap_or(1);
        let gives_up = failed > number(&job, "/spec/backoffLimit").unwrap_or(6);
        let stamp = tick.stamp();
        let mut status = job.get("status").cloned().unwrap_or_else(|| json!({}));
        super::value::default(&mut status, &["startTime"], stamp.as_str().into());
        if succeeded >= completions {
            for kind in ["SuccessCriteriaMet", "Complete"] {
                set_condition(&mut status, kind, "True", "CompletionsReached", "Reached expected number of succeeded pods", &stamp);
            }
            put(&mut status, &["completionTime"], stamp.as_str().into());
        } else if gives_up {
            for kind in ["FailureTarget", "Failed"] {
                let message = "Job has reached the specified backoff limit";
                set_condition(&mut status, kind, "True", "BackoffLimitExceeded", message, &stamp);
            }
        } else if active == 0 {
            let pod = format!("{}-{}", name(&job), tick.suffix());
            pods::create(
                tick,
                JOBS,
                &job,
                &pod,
                &[("batch.kubernetes.io/job-name", name(&job).to_owned()), ("job-name", name(&job).to_owned())],
            );
        }
        let active = tick.kube.active_pods(uid).count();
        for (field, count) in [("succeeded", succeeded), ("failed", failed), ("active", active as i64)] {
            match count {
                0 => drop(super::value::remove(&mut status, &[field])),
                count => put(&mut status, &[field], count.into()),
            }
        }
        tick.kube.change(JOBS, &key, |j| put(j, &["status"], status));
    }
}

/// Ends the pod of a job: its container has run.
pub(super) fn end(tick: &mut Tick, key: &str, pod: &Value) {
    let database = tick.kube.hidden(PODS, key).and_then(|p| p.pod.clone()).and_then(|p| p.database);
    let (code, log) = outcome(tick, pod, database.as_deref());
    let stamp = tick.stamp();
    let succeeded = code == 0;
    pods::enter(tick, key, Stage::Ended, None);
    if let Some(pod) = tick.kube.hidden(PODS, key).and_then(|p| p.pod.as_mut()) {
        pod.log = log;
    }
    tick.kube.change(PODS, key, |pod| {
        let phase = if succeeded { "Succeeded" } else { "Failed" };
        put(pod, &["status", "phase"], phase.into());
        let mut status = pod["status"].clone();
        for kind in ["ContainersReady", "Ready"] {
            set_condition(&mut status, kind, "False", if succeeded { "PodCompleted" } else { "PodFailed" }, "", &stamp);
        }
        let state =
            json!({ "terminated": { "exitCode": code, "reason": if succeeded { "Completed" } else { "Error" }, "finishedAt": stamp } });
        for container in status.get_mut("containerStatuses").and_then(Value::as_array_mut).into_iter().flatten() {
            put(container, &["state"], state.clone());
            put(container, &["ready"], false.into());
        }
        put(pod, &["status"], status);
    });
}

/// The exit code and the log of a job's container.
fn outcome(tick: &Tick, pod: &Value, database: Option<&str>) -> (i64, String) {
    let container = &pod["spec"]["containers"][0];
    let words = list(container, "/command").iter().chain(list(container, "/args")).filter_map(Value::as_str);
    let command = words.collect::<Vec<_>>().join(" ");
    let mut log = format!("{} starting {}\n", tick.stamp(), text(container, "/image"));
    if let Some(host) = database {
        match tick.world.database_at(host) {
            Ok(_) => log += &format!("connected to {host}, which takes writes\n"),
            Err(why) => return (1, format!("{log}cannot write to {host}: {why}\n")),
        }
    }
    let exits = command.split("exit ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    let code = exits.unwrap_or(i64::from(command.split_whitespace().next() == Some("false")));
    log += &match code {
        0 => "done\n".to_owned(),
        code => format!("failed with exit code {code}\n"),
    };
    (code, log)
}
