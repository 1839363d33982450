//! `wf iam`: the rights that a workflow needs, as narrow as AWS and Kubernetes allow: an IAM policy and ClusterRoles, for planning and for running.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Value, json};
use wf_engine::model::event::Mode;
use wf_engine::model::occasion::Occasion;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Registry, resolve_inputs};
use wf_engine::step::KindInfo;
use wf_steps::aws::arns;
use wf_steps::aws::rights::{GET_ROLE, SIMULATE};

use crate::args::{Iam as Args, Rights};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::sim_world::offline_registry;
use crate::source::Source;
use crate::{rights, values, whoami};

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
    fn kinds(&self) -> impl Iterator<Item = &'static KindInfo> {
        (0..self.workflow.len()).filter_map(|ix| self.registry.kind(&self.workflow.step(ix).kind.value))
    }

    /// Makes the IAM policy. Actions with the same resources share a statement.
    fn policy(&self, wanted: Rights) -> Value {
        let imports = IndexMap::new();
        let params =
            whoami::Plan { workflow: self.workflow, inputs: self.inputs, imports: &imports, occasion: Occasion::real(Mode::Unplanned) };
        // Whoever runs a plan asks who they are, and who checks it beforehand, what they may do.
        let whose = |kinds: &[&str]| kinds.iter().map(|kind| format!("arn:aws:iam::{}:{kind}/*", self.account)).collect();
        let mut allowed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::from([
            ("sts:GetCallerIdentity", BTreeSet::from(["*".to_owned()])),
            (GET_ROLE, whose(&["role"])),
            (SIMULATE, whose(&["role", "user"])),
        ]);
        for ix in 0..self.workflow.len() {
            for action in rights::of_step(&params, ix, self.registry, wanted) {
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
    fn roles(&self, wanted: Rights) -> Value {
        let mut rules: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
        for kind in self.kinds() {
            for right in rights::parts(wanted, [kind.rbac.read, &[], kind.rbac.apply, kind.rbac.compensate]).into_iter().flatten() {
                let Some((verbs, resources)) = right.split_once(' ') else { continue };
                resources.split(',').for_each(|resource| rules.entry(group(resource)).or_default().extend(verbs.split(',')));
            }
        }
        let name = if wanted == Rights::Plan { "wf-plan" } else { "wf-run" };
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
