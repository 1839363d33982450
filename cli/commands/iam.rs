//! `wf iam`: the rights that a workflow needs, as narrow as AWS and Kubernetes allow: an IAM policy and ClusterRoles, for planning and for running.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Value, json};
use wf_engine::model::event::Mode;
use wf_engine::model::occasion::Occasion;
use wf_engine::model::workflow::{StepIx, Workflow};
use wf_engine::registry::{Registry, resolve_inputs};
use wf_engine::step::KindInfo;
use wf_steps::aws::arns;

use crate::args::{Iam as Args, Rights};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::sim_world::offline_registry;
use crate::source::Source;
use crate::{values, whoami};

pub fn iam(console: &mut Console, args: &Args) -> Result<Exit, Failure> {
    let (source, registry) = (Source::read(&args.file)?, offline_registry());
    let workflow = source.workflow(&registry)?;
    let given = values::inputs(args.inputs.as_deref(), &args.set)?;
    // What is not given stands for any.
    let inputs = resolve_inputs(&workflow, &given).unwrap_or_else(|_| given.into_iter().collect());
    let needs = Needs { workflow: &workflow, registry: &registry, inputs: &inputs, account: &args.account };
    if console.json() {
        let both = |of: &dyn Fn(Rights) -> Value| json!({ "plan": of(Rights::Plan), "run": of(Rights::Run) });
        console.document(&json!({ "iam": both(&|rights| needs.policy(rights)), "kubernetes": both(&|rights| needs.roles(rights)) }))?;
    } else {
        let document = if args.kubernetes { needs.roles(args.rights) } else { needs.policy(args.rights) };
        console.data(&format!("{document:#}"))?;
    }
    Ok(Exit::Completed)
}

/// What a workflow needs.
struct Needs<'a> {
    workflow: &'a Workflow,
    registry: &'a Registry,
    inputs: &'a IndexMap<String, Value>,
    account: &'a str,
}

impl Needs<'_> {
    fn kinds(&self) -> impl Iterator<Item = (StepIx, &'static KindInfo)> {
        (0..self.workflow.len()).filter_map(|ix| Some((ix, self.registry.kind(&self.workflow.step(ix).kind.value)?)))
    }

    /// Makes the IAM policy. Actions with the same resources share a statement.
    fn policy(&self, rights: Rights) -> Value {
        let imports = IndexMap::new();
        let params =
            whoami::Plan { workflow: self.workflow, inputs: self.inputs, imports: &imports, occasion: Occasion::real(Mode::Unplanned) };
        // Whoever runs a plan asks who they are.
        let mut allowed = BTreeMap::from([("sts:GetCallerIdentity", BTreeSet::from(["*".to_owned()]))]);
        for (ix, kind) in self.kinds() {
            let iam = params.step(ix, self.registry).map_or(kind.iam, |step| step.iam());
            for &action in parts(rights, [iam.read, iam.ready, iam.apply, iam.compensate]).into_iter().flatten() {
                let resource = arns::resource(action, self.account, |name| params.param(ix, name));
                allowed.entry(action).or_default().insert(resource);
            }
        }
        let mut statements: BTreeMap<BTreeSet<String>, Vec<&str>> = BTreeMap::new();
        for (action, resources) in allowed {
            let resources = if resources.contains("*") { BTreeSet::from(["*".to_owned()]) } else { resources };
            statements.entry(resources).or_default().push(action);
        }
        let statement = |(resources, actions)| json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
        json!({ "Version": "2012-10-17", "Statement": statements.into_iter().map(statement).collect::<Vec<_>>() })
    }

    /// Makes a ClusterRole of all that the workflow does in clusters.
    fn roles(&self, rights: Rights) -> Value {
        let mut rules: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
        for (_, kind) in self.kinds() {
            for right in parts(rights, [kind.rbac.read, &[], kind.rbac.apply, kind.rbac.compensate]).into_iter().flatten() {
                let Some((verbs, resources)) = right.split_once(' ') else { continue };
                resources.split(',').for_each(|resource| rules.entry(group(resource)).or_default().extend(verbs.split(',')));
            }
        }
        let name = if rights == Rights::Plan { "wf-plan" } else { "wf-run" };
        let rule = |((group, resource), verbs)| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
        let rules: Vec<_> = rules.into_iter().map(rule).collect();
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules })
    }
}

/// Takes "deployments.apps/scale" apart into the API group and the resource.
fn group(resource: &'static str) -> (&'static str, String) {
    let (whole, part) = resource.split_once('/').map_or((resource, None), |(whole, part)| (whole, Some(part)));
    let (name, group) = whole.split_once('.').unwrap_or((whole, ""));
    // As people write it in roles.
    let group = match group {
        "networking" => "networking.k8s.io",
        other => other,
    };
    (group, part.map_or_else(|| name.to_owned(), |part| format!("{name}/{part}")))
}

/// Planning, and checking beforehand, read only.
fn parts(rights: Rights, [read, ready, apply, compensate]: [&'static [&'static str]; 4]) -> Vec<&'static [&'static str]> {
    if rights == Rights::Plan { vec![read, ready] } else { vec![read, ready, apply, compensate] }
}
