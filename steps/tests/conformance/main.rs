//! What every kind must do, whatever it is: the suite walks the registry and runs each kind from its EXAMPLE on the simulated
//! AWS, on tokio's paused clock. A new kind is tested by being registered.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dns_propagated;
mod fence;
mod kubernetes;
mod live;
mod rds;
mod routing_control;
#[path = "../common/routing_controls.rs"]
mod routing_controls;
mod sns;
mod stage;
mod stop_object;
#[path = "../common/virtual_clock.rs"]
mod virtual_clock;

use std::collections::BTreeSet;

use stage::{Cut, Known, Stage, Stepped};
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::FailureKind;
use wf_engine::readiness::Check;
use wf_engine::step::{KindInfo, Reversibility};
use wf_steps::aws::Cloud;

/// Kinds that run programs of the machine, which live in real time and not on the paused clock. They have tests of their own.
const REAL_TIME: [&str; 1] = ["Exec"];

/// The kinds of AWS; those of Kubernetes need more of a world, and are in `kubernetes.rs`.
fn kinds() -> Vec<&'static KindInfo> {
    let all = wf_steps::registry(Cloud::offline());
    all.kinds().filter(|kind| !REAL_TIME.contains(&kind.name) && kind.rbac.read.is_empty()).collect()
}

/// A world in which the kind's EXAMPLE can succeed, and the example.
async fn example(kind: &KindInfo, faults: &[&str]) -> (Stage, Stepped) {
    let stage = Stage::new(faults);
    if kind.name == "ElbWaitTargetsHealthy" {
        // The application's own health page wants a database that takes writes.
        for first in ["RdsPromoteReadReplica", "AutoScalingScale"] {
            stage.step(stage.registry.kind(first).unwrap().example).succeed().await;
        }
    }
    if kind.name == "DnsPropagated" {
        // The record has to lead where the example expects it.
        stage.step(stage.registry.kind("Route53Failover").unwrap().example).succeed().await;
    }
    stage.take_actions();
    let step = stage.step(kind.example);
    (stage, step)
}

/// Runs a step of which something is known to its end.
async fn carry_on(kind: &KindInfo, step: &Stepped, known: &mut Known, cut: Cut) {
    for attempt in 1.. {
        match step.drive(known, None).await {
            Ok(_) => return,
            Err(Some(failure)) if attempt == 4 => panic!("{} cut off after {cut:?} fails: {failure:?}", kind.name),
            Err(_) => step.cx.sleep(std::time::Duration::from_secs(5)).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_example_succeeds_with_the_outputs_that_it_declares() {
    for kind in kinds() {
        let (_stage, step) = example(kind, &[]).await;
        let (known, outputs) = step.succeed().await;
        let declared: BTreeSet<_> = kind.outputs.iter().map(|field| field.name).collect();
        let given: BTreeSet<_> = outputs.keys().map(String::as_str).collect();
        assert!(given.is_subset(&declared), "{}: {given:?} is not within {declared:?}", kind.name);
        assert!(outputs.values().all(|value| !value.is_null()), "{}: {outputs:?}", kind.name);
        let declared: BTreeSet<_> = kind.before.iter().map(|field| field.name).collect();
        let before = known.before.unwrap();
        let held: BTreeSet<_> = before.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert!(declared.is_subset(&held), "{}: {held:?} lacks some of {declared:?}", kind.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_run_changes_nothing_more() {
    for kind in kinds() {
        if kind.name == "SnsPublish" {
            // At least once: nothing tells that the message went out.
            continue;
        }
        let (stage, step) = example(kind, &[]).await;
        let (mut known, _) = step.succeed().await;
        let effects = stage.all_effects().len();
        if kind.reversibility == Reversibility::Irreversible {
            // Without a record of its own doing it stops and asks; with one it is done.
            known.handle = None;
            carry_on(kind, &step, &mut known, Cut::Called).await;
        } else {
            step.succeed().await;
        }
        assert_eq!(stage.all_effects().len(), effects, "{}: {:?}", kind.name, stage.all_effects());
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_cut_off_anywhere_is_carried_on_with_one_effect() {
    for kind in kinds() {
        for cut in [Cut::Observed, Cut::Called, Cut::Applied, Cut::Settled] {
            let (stage, step) = example(kind, &[]).await;
            let prepared = stage.all_effects().len();
            let mut known = Known::default();
            if !matches!(step.drive(&mut known, Some(cut)).await, Err(None)) {
                continue;
            }
            carry_on(kind, &step, &mut known, cut).await;
            let effects = stage.all_effects().len() - prepared;
            let expected = match kind.name {
                "SnsPublish" if cut == Cut::Called => 2,
                _ => usize::from(!kind.iam.apply.is_empty()),
            };
            assert_eq!(effects, expected, "{} cut off after {cut:?}: {:?}", kind.name, stage.all_effects());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_has_one_effect_even_while_describes_show_the_past() {
    for kind in kinds().into_iter().filter(|kind| !kind.iam.apply.is_empty() && kind.name != "SnsPublish") {
        let (stage, step) = example(kind, &["eventual-consistency 10s"]).await;
        let mut known = Known::default();
        assert!(matches!(step.drive(&mut known, Some(Cut::Called)).await, Err(None)), "{}", kind.name);
        carry_on(kind, &step, &mut known, Cut::Called).await;
        assert_eq!(stage.all_effects().len(), 1, "{}: {:?}", kind.name, stage.all_effects());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_restores_the_world_however_far_the_step_came_and_can_be_repeated() {
    for kind in kinds() {
        for cut in [Some(Cut::Observed), Some(Cut::Called), Some(Cut::Applied), None] {
            let (stage, step) = example(kind, &[]).await;
            if !step.is_reversible() {
                continue;
            }
            let before = stage.world();
            let mut known = Known::default();
            let ended = step.drive(&mut known, cut).await;
            assert!(!matches!(ended, Err(Some(_))), "{}: {ended:?}", kind.name);
            assert!(cut.is_some() || kind.name == "SnsPublish" || stage.world() != before, "{} changed nothing", kind.name);
            for _ in 0..2 {
                step.undo(&known).await.unwrap_or_else(|failure| panic!("{} cut off after {cut:?}: {failure:?}", kind.name));
                stage.wait(600).await;
                assert_eq!(stage.world(), before, "{} cut off after {cut:?}", kind.name);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_part_needs_an_iam_action_that_it_does_not_declare() {
    for kind in kinds() {
        let (stage, step) = example(kind, &[]).await;
        let iam = step.step.iam();
        let read: BTreeSet<_> = iam.read.iter().map(|action| (*action).to_owned()).collect();
        let apply: BTreeSet<_> = read.iter().cloned().chain(iam.apply.iter().map(|action| (*action).to_owned())).collect();
        let all: BTreeSet<_> = apply.iter().cloned().chain(iam.compensate.iter().map(|action| (*action).to_owned())).collect();
        let ready: BTreeSet<_> = read.iter().cloned().chain(iam.ready.iter().map(|action| (*action).to_owned())).collect();
        let mut used_in_all = BTreeSet::new();
        let mut check = |part: &str, allowed: &BTreeSet<String>| {
            let used = stage.take_actions();
            assert!(used.is_subset(allowed), "{}: {part} uses {used:?}, {allowed:?} are declared", kind.name);
            used_in_all.extend(used);
        };
        let mut known = Known::default();
        let _ = step.drive(&mut known, Some(Cut::Observed)).await;
        check("observe", &read);
        let checks = step.step.readiness(&step.cx, &Objectives::default()).await.unwrap();
        assert!(checks.iter().all(Check::is_good), "{}: {checks:?}", kind.name);
        check("readiness", &ready);
        let _ = step.drive(&mut known, Some(Cut::Applied)).await;
        check("apply", &apply);
        step.drive(&mut known, None).await.unwrap();
        check("settle", &read);
        if step.is_reversible() {
            step.undo(&known).await.unwrap();
            check("compensate", &all);
        }
        let actions_of_services = all.union(&ready).filter(|action| !is_by_proxy(action));
        let needless: Vec<_> =
            actions_of_services.filter(|action| !used_in_all.contains(*action) && !is_for_trouble(kind, action)).collect();
        assert!(needless.is_empty(), "{}: {needless:?} are declared and not used", kind.name);
    }
}

/// Actions that AWS checks when it acts on the caller's behalf: no call of ours shows them.
fn is_by_proxy(action: &str) -> bool {
    matches!(action, "rds:AddTagsToResource" | "rds:CreateDBSnapshot" | "kms:CreateGrant" | "kms:DescribeKey")
}

/// Actions that the EXAMPLE does not come to use.
fn is_for_trouble(kind: &KindInfo, action: &str) -> bool {
    matches!(
        (kind.name, action),
        ("RdsDeleteInstance", "rds:DescribeDBSnapshots")
            | ("EksScaleNodegroup", "eks:ListNodegroups")
            | ("AutoScalingScale", "autoscaling:DescribeLaunchConfigurations")
            | ("AutoScalingScale" | "EksScaleNodegroup", "servicequotas:GetAWSDefaultServiceQuota")
    )
}

#[tokio::test(start_paused = true)]
async fn every_kind_tells_a_missing_permission_a_dead_region_and_throttling_apart() {
    for kind in kinds().into_iter().filter(|kind| !kind.iam.read.is_empty()) {
        let first = kind.iam.read[0];
        let (service, action) = first.split_once(':').unwrap();
        // Route 53 is in no region; its control plane can only be out as a whole.
        let global = service == "route53";
        let dead = if global { vec!["service-outage route53"] } else { vec!["region-outage us-east-1", "region-outage us-west-2"] };
        let trouble = [
            (vec![format!("deny {action}")], FailureKind::Permanent),
            (dead.into_iter().map(str::to_owned).collect(), if global { FailureKind::Transient } else { FailureKind::Unreachable }),
            (vec![format!("throttle {service} 100%")], FailureKind::Transient),
        ];
        for (faults, expected) in trouble {
            let (stage, step) = example(kind, &[]).await;
            stage.set_faults(&faults.iter().map(String::as_str).collect::<Vec<_>>());
            let failure = step.drive(&mut Known::default(), None).await.expect_err(kind.name).unwrap();
            assert_eq!(failure.kind, expected, "{} with {faults:?}: {failure:?}", kind.name);
            assert!(failure.hint.is_some() && failure.message.starts_with("failed to "), "{} with {faults:?}: {failure:?}", kind.name);
            let hint = failure.hint.unwrap_or_default();
            assert!(expected != FailureKind::Permanent || hint.contains(first), "{}: {hint}", kind.name);
        }
    }
}

#[test]
fn every_kind_is_documented_as_its_struct_is() {
    let registry = wf_steps::registry(Cloud::offline());
    for kind in registry.kinds() {
        let documented: Vec<_> = kind.params.iter().map(|field| field.name).collect();
        assert_eq!(documented, registry.param_names(kind.name), "{}", kind.name);
        assert!(!kind.facts.is_empty() && !kind.summary.is_empty(), "{}", kind.name);
        assert!(kind.typical <= kind.timeout, "{}", kind.name);
        let applies = !kind.iam.apply.is_empty() || !kind.rbac.apply.is_empty();
        assert!(kind.reversibility != Reversibility::ReadOnly || !applies, "{}", kind.name);
    }
}
