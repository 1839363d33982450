//! What every kind of Kubernetes must do: as the suite of the AWS kinds, in a standby region that has its nodes and its workloads. How the
//! world is before and after is asked of the API itself, object by object.

use std::collections::BTreeSet;

use serde_json::Value;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::FailureKind;
use wf_engine::readiness::Check;
use wf_engine::step::{KindInfo, Reversibility};
use wf_steps::aws::Cloud;

use crate::stage::{Cut, Known, Stage, Stepped};

/// What they do stays when they are rolled back, and harms nobody.
const STAYS: [&str; 3] = ["K8sRolloutRestart", "VeleroBackup", "VeleroRestore"];

fn kinds() -> Vec<&'static KindInfo> {
    wf_steps::registry(Cloud::offline()).kinds().filter(|kind| !kind.rbac.read.is_empty()).collect()
}

/// Returns a kind's EXAMPLE, its files where they are.
fn text(kind: &KindInfo) -> String {
    kind.example.replace("\"workflows/", concat!("\"", env!("CARGO_MANIFEST_DIR"), "/../workflows/"))
}

/// A world in which the kind's EXAMPLE can succeed, and the example.
async fn example(kind: &KindInfo) -> (Stage, Stepped) {
    let stage = Stage::new(&[]);
    for first in ["EksScaleNodegroup", "K8sWaitNodes", "VeleroRestore", "K8sRolloutRestart"] {
        if first == kind.name {
            break;
        }
        stage.step(&stage.registry.kind(first).unwrap().example.replace("(id: \"", "(id: \"before_")).succeed().await;
    }
    stage.take_actions();
    stage.take_rights();
    let step = stage.step(&text(kind));
    (stage, step)
}

/// How many calls had an effect on objects of a cluster.
fn effects(stage: &Stage) -> usize {
    stage.all_effects().iter().filter(|call| call.service == "kubernetes").count()
}

/// The rights of an expression such as "get,list secrets".
fn rights(expressions: &[&str]) -> BTreeSet<String> {
    let each = expressions.iter().flat_map(|expression| {
        let (verbs, resources) = expression.split_once(' ').unwrap();
        verbs.split(',').flat_map(move |verb| resources.split(',').map(move |resource| format!("{verb} {resource}")))
    });
    each.collect()
}

/// Returns the right that a request to a cluster needs; `None` of other requests, and of those that look types up.
pub fn right(method: &str, uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once(".eks.amazonaws.com/")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let group = match segments.as_slice() {
        ["api", _, ..] => {
            segments.drain(..2);
            String::new()
        }
        ["apis", group, _, ..] => {
            let group = format!(".{group}");
            segments.drain(..3);
            group
        }
        _ => return None,
    };
    if let ["namespaces", _, _, ..] = segments.as_slice() {
        segments.drain(..2);
    }
    let (resource, name, sub) = match segments.as_slice() {
        [] => return None,
        [resource] => (*resource, false, String::new()),
        [resource, _] => (*resource, true, String::new()),
        [resource, _, sub, ..] => (*resource, true, format!("/{sub}")),
    };
    assert!(!query.contains("watch="), "steps poll: {uri}");
    let verb = match (method, name) {
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("PUT", _) => "update",
        ("DELETE", _) => "delete",
        _ => panic!("{method} {uri}"),
    };
    Some(format!("{verb} {resource}{group}{sub}"))
}

/// What the kind would record of the world now, without what is another each time.
async fn seen(stage: &Stage, kind: &KindInfo) -> Value {
    let step = stage.step(&text(kind));
    let mut known = Known::default();
    let _ = step.drive(&mut known, Some(Cut::Observed)).await;
    known.before.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn every_example_succeeds_with_the_outputs_that_it_declares() {
    for kind in kinds() {
        let (_stage, step) = example(kind).await;
        let (known, outputs) = step.succeed().await;
        let declared: BTreeSet<_> = kind.outputs.iter().map(|field| field.name).collect();
        let given: BTreeSet<_> = outputs.keys().map(String::as_str).collect();
        assert_eq!(given, declared, "{}", kind.name);
        let before = known.before.unwrap();
        let held: BTreeSet<_> = before.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert!(kind.before.iter().all(|field| held.contains(field.name)), "{}: {held:?}", kind.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_cut_off_anywhere_is_carried_on_with_one_effect() {
    for kind in kinds() {
        let (stage, step) = example(kind).await;
        let prepared = effects(&stage);
        step.succeed().await;
        let once = effects(&stage) - prepared;
        assert_eq!(once > 0, !kind.rbac.apply.is_empty(), "{}: {once}", kind.name);
        for cut in [Cut::Observed, Cut::Called, Cut::Applied, Cut::Settled] {
            let (stage, step) = example(kind).await;
            let prepared = effects(&stage);
            let mut known = Known::default();
            if !matches!(step.drive(&mut known, Some(cut)).await, Err(None)) {
                continue;
            }
            crate::carry_on(kind, &step, &mut known, cut).await;
            assert_eq!(effects(&stage) - prepared, once, "{} cut off after {cut:?}: {:?}", kind.name, stage.all_effects());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_restores_the_world_however_far_the_step_came_and_can_be_repeated() {
    for kind in kinds().into_iter().filter(|kind| kind.reversibility == Reversibility::Reversible) {
        for cut in [Some(Cut::Observed), Some(Cut::Called), Some(Cut::Applied), None] {
            let (stage, step) = example(kind).await;
            let before = seen(&stage, kind).await;
            let mut known = Known::default();
            let ended = step.drive(&mut known, cut).await;
            assert!(!matches!(ended, Err(Some(_))), "{}: {ended:?}", kind.name);
            for _ in 0..2 {
                step.undo(&known).await.unwrap_or_else(|failure| panic!("{} cut off after {cut:?}: {failure:?}", kind.name));
                stage.wait(60).await;
                if !STAYS.contains(&kind.name) {
                    assert_eq!(seen(&stage, kind).await, before, "{} cut off after {cut:?}", kind.name);
                }
            }
        }
    }
}

/// Who puts an object back manages its fields, unless they are given back too: a real API server refuses the next apply then.
#[tokio::test(start_paused = true)]
async fn what_manifests_change_is_put_back_and_can_be_applied_again() {
    let stage = Stage::new(&[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("objects.yaml");
    let write = |message: &str, cron: &str| {
        let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: page }}\ndata: {{ message: {message} }}\n");
        let custom = "apiVersion: velero.io/v1\nkind: Schedule\nmetadata: { name: production-backup, namespace: velero }\n";
        std::fs::write(&file, format!("{map}---\n{custom}spec: {{ schedule: \"{cron}\" }}\n")).unwrap();
    };
    let apply = |force: bool| {
        let cluster = r#"Eks(name: "production-primary", region: "us-east-1")"#;
        let params = format!(r#"cluster: {cluster}, namespace: "production", manifests: ["{}"], force: {force}"#, file.display());
        stage.step(&format!(r#"(id: "apply", run: K8sApply({params}))"#))
    };
    write("one", "0 1 * * *");
    apply(true).succeed().await;
    write("two", "0 2 * * *");
    let step = apply(false);
    let (known, _) = step.succeed().await;
    step.undo(&known).await.unwrap();
    let mut seen = Known::default();
    let _ = apply(false).drive(&mut seen, Some(Cut::Observed)).await;
    assert_eq!(seen.before.unwrap()["objects"], known.before.unwrap()["objects"]);
    apply(false).succeed().await;
    write("three", "0 3 * * *");
    let other = format!(
        r#"(id: "apply", run: K8sApply(cluster: Eks(name: "production-primary", region: "us-east-1"), namespace: "production", manifests: ["{}"], field_manager: "other"))"#,
        file.display()
    );
    let (_, failure) = stage.step(&other).fail().await;
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
    assert!(failure.hint.as_deref().unwrap_or_default().contains("`force: true`"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn no_part_needs_a_right_that_it_does_not_declare() {
    // Its rights are those of the manifests' kinds.
    for kind in kinds().into_iter().filter(|kind| kind.name != "K8sApply") {
        let (stage, step) = example(kind).await;
        let read = rights(kind.rbac.read);
        let apply: BTreeSet<_> = read.union(&rights(kind.rbac.apply)).cloned().collect();
        let all: BTreeSet<_> = apply.union(&rights(kind.rbac.compensate)).cloned().collect();
        let check = |part: &str, allowed: &BTreeSet<String>| {
            let used = stage.take_rights();
            assert!(used.is_subset(allowed), "{}: {part} uses {used:?}, {allowed:?} are declared", kind.name);
            let actions = stage.take_actions();
            let declared: BTreeSet<_> = kind.iam.read.iter().map(|action| (*action).to_owned()).collect();
            assert!(actions.is_subset(&declared), "{}: {part} uses {actions:?}", kind.name);
        };
        let mut known = Known::default();
        let _ = step.drive(&mut known, Some(Cut::Observed)).await;
        check("observe", &read);
        let checks = step.step.readiness(&step.cx, &Objectives::default()).await.unwrap();
        assert!(checks.iter().all(Check::is_good), "{}: {checks:?}", kind.name);
        check("readiness", &read);
        let _ = step.drive(&mut known, Some(Cut::Applied)).await;
        check("apply", &apply);
        step.drive(&mut known, None).await.unwrap();
        check("settle", &read);
        if step.is_reversible() {
            step.undo(&known).await.unwrap();
            check("compensate", &all);
        }
    }
}

/// Returns the fault that denies a right which the kind's EXAMPLE comes to use: the first by its name.
async fn denied(kind: &KindInfo) -> String {
    let (stage, step) = example(kind).await;
    step.succeed().await;
    let used = stage.take_rights().into_iter().next().unwrap();
    let (verb, resource) = used.split_once(' ').unwrap();
    let (group, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let sub = if sub.is_empty() { String::new() } else { format!("/{sub}") };
    format!("deny {verb}:{}{sub}", group.split('.').next().unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_api_out_of_reach_an_unknown_caller_a_denial_and_throttling_are_told_apart() {
    for kind in kinds() {
        let cluster = if kind.example.contains("production-primary") { "production-primary" } else { "production-dr" };
        let denied = denied(kind).await;
        let trouble = [
            (format!("k8s-down {cluster}"), FailureKind::Unreachable, "check that this machine reaches"),
            (format!("k8s-no-access {cluster}"), FailureKind::Permanent, "has no access entry in cluster"),
            ("throttle kubernetes 100%".to_owned(), FailureKind::Transient, "fewer calls"),
            (denied, FailureKind::Permanent, "a Role and its binding"),
        ];
        for (fault, expected, hint) in trouble {
            let (stage, step) = example(kind).await;
            stage.set_faults(&[fault.as_str()]);
            let mut known = Known::default();
            let failure = match step.drive(&mut known, None).await {
                Err(Some(failure)) => failure,
                ended => panic!("{} with {fault}: {ended:?}", kind.name),
            };
            assert_eq!(failure.kind, expected, "{} with {fault}: {failure:?}", kind.name);
            assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{} with {fault}: {failure:?}", kind.name);
            assert!(
                failure.message.starts_with("failed to ") && failure.message.contains(cluster),
                "{} with {fault}: {failure:?}",
                kind.name
            );
        }
    }
}
