//! Whom AWS takes the operator for: asked before anything is recorded, so that nobody acts in the wrong account unawares.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wf_engine::model::event::{Event, Identity};
use wf_engine::model::occasion::Occasion;
use wf_engine::model::record::Record;
use wf_engine::model::workflow::{StepIx, Workflow};
use wf_engine::model::{ron_fields, template};
use wf_engine::registry::{Registry, Step};
use wf_engine::runtime::Replayed;
use wf_engine::step::Reversibility;
use wf_steps::aws::Unidentified;

use crate::console::Console;
use crate::failure::Failure;
use crate::render::clean;
use crate::sim_world::World;

/// How long one STS may take. A dead region must not hold up the start.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How many of them are asked.
const REGIONS_MAX: usize = 2;

/// What a run is of, as far as it matters for who acts.
pub struct Plan<'a> {
    pub workflow: &'a Workflow,
    pub inputs: &'a IndexMap<String, Value>,
    pub imports: &'a IndexMap<String, Value>,
    pub occasion: Occasion,
}

/// Returns whom the world takes the operator for, and says so when that cannot be told. Nobody is asked when no step acts in an account.
///
/// The region of the environment or profile is asked, and when there is none, or it does not answer, the one that an irreversible step acts
/// in: that is where the run goes to.
pub async fn ask(console: &mut Console, world: &World, plan: &Plan<'_>) -> Result<Option<Identity>, Failure> {
    let acting = plan.acting(&world.registry);
    if acting.is_empty() {
        return Ok(None);
    }
    let mut why = "no step names a region, and neither does AWS_REGION or the profile".to_owned();
    let mut regions: Vec<String> = world.cloud.region().map(str::to_owned).into_iter().collect();
    for region in acting.into_iter().filter_map(|ix| plan.region(ix)) {
        if regions.len() < REGIONS_MAX && !regions.contains(&region) {
            regions.push(region);
        }
    }
    for region in regions {
        match tokio::time::timeout(ANSWER_WITHIN, world.cloud.identity(&region)).await {
            Ok(Ok(identity)) => return Ok(Some(identity)),
            Ok(Err(Unidentified::NoCredentials(failure))) => {
                let causes: Vec<_> = failure.causes.iter().map(|cause| format!("\nbecause: {cause}")).collect();
                let refused = Failure::refused(format!("nothing was done: {}{}", failure.message, causes.concat()));
                return Err(match failure.hint {
                    Some(hint) => refused.help(hint),
                    None => refused,
                });
            }
            Ok(Err(Unidentified::NoAnswer(failure))) => why = failure.message,
            Err(_) => why = format!("STS in {region} does not answer within {} s", ANSWER_WITHIN.as_secs()),
        }
    }
    console.say(&format!("warning: it is not known as whom this run acts: {}", clean(&why)));
    Ok(None)
}

impl<'a> Plan<'a> {
    /// Returns what a run is of that was started before.
    pub fn of(run: &'a Replayed) -> Self {
        let Replayed { header, workflow, .. } = run;
        Self {
            workflow,
            inputs: &header.inputs,
            imports: &header.imports,
            occasion: workflow.def().occasion(header.mode, header.drill.is_some()),
        }
    }

    /// Returns the steps that act in an account, the irreversible ones first.
    fn acting(&self, registry: &Registry) -> Vec<StepIx> {
        let takes_part = |ix: &StepIx| self.workflow.step(*ix).takes_part(self.occasion);
        let kind = |ix: StepIx| registry.kind(&self.workflow.step(ix).kind.value);
        let acts = |ix: &StepIx| kind(*ix).is_some_and(|kind| !kind.iam.is_empty());
        let mut acting: Vec<_> = (0..self.workflow.len()).filter(takes_part).filter(acts).collect();
        acting.sort_by_key(|&ix| kind(ix).is_none_or(|kind| kind.reversibility != Reversibility::Irreversible));
        acting
    }

    /// Returns the region that a step acts in, if it names one: its own, or that of its cluster.
    pub fn region(&self, ix: StepIx) -> Option<String> {
        self.param(ix, "region")
    }

    /// Returns a step as it is known before the run, with any text for what only the run will know; `None` when that will not do.
    pub fn step(&self, ix: StepIx, registry: &Registry) -> Option<Arc<dyn Step>> {
        registry.step(&self.workflow.step(ix).kind.value, &self.params(ix, &"*".into())?).ok()
    }

    fn params(&self, ix: StepIx, unknown: &Value) -> Option<String> {
        let value = |reference: &template::Reference| {
            let from = self.workflow.def().inputs.get(&reference.path).and_then(|input| input.from.as_ref());
            let given = self.inputs.get(&reference.path).or_else(|| self.imports.get(from.map_or(&reference.path, |from| &from.path)));
            Some(given.unwrap_or(unknown).clone())
        };
        Some(self.workflow.step(ix).params.render(value).ok()?.text)
    }

    /// Returns a param of a step, as far as it is known before the run.
    pub fn value<T: DeserializeOwned>(&self, ix: StepIx, name: &str) -> Option<T> {
        ron_fields::value(&field(&self.params(ix, &Value::Null)?, name)?).ok()
    }

    /// Returns a text param of a step, as far as it is known before the run. `cluster` is the cluster's name, however it is written; what a
    /// step does not say itself, such as its region, its cluster says, the way that it goes, or the lease that it gives away.
    pub fn param(&self, ix: StepIx, name: &str) -> Option<String> {
        // What only the run will know is no text.
        let params = self.params(ix, &Value::Null)?;
        let text = |raw: String| ron_fields::value::<String>(&raw).ok();
        let of_cluster = || field(&field(&params, "cluster")?, if name == "cluster" { "name" } else { name });
        let of_another = |other: &str| field(&field(&params, other)?, name).and_then(text);
        let known = field(&params, name).and_then(text).or_else(|| of_cluster().and_then(text));
        known.or_else(|| ["via", "lease"].into_iter().find_map(of_another))
    }
}

/// Returns the text of a field of params.
fn field(params: &str, name: &str) -> Option<String> {
    let field = ron_fields::split(params).ok()?.into_iter().find(|field| field.name == name)?;
    Some(params[field.value].to_owned())
}

/// Returns whom the world took the operator for who started the run, or took it over, first.
pub fn recorded(records: &[Record]) -> Option<&Identity> {
    records.iter().find_map(|record| match &record.event {
        Event::RunStarted(header) => header.by.identity.as_ref(),
        Event::RunResumed { by } => by.identity.as_ref(),
        _ => None,
    })
}

/// Refuses to carry a run on in another account, unless that is said to be meant; says so when somebody else of the same account does.
pub fn same(console: &mut Console, recorded: Option<&Identity>, now: Option<&Identity>, other_account: bool) -> Result<(), Failure> {
    let (Some(recorded), Some(now)) = (recorded, now) else { return Ok(()) };
    if recorded.account != now.account && !other_account {
        let message = format!("the run belongs to account {}, and you are {} in account {}", recorded.account, now.arn, now.account);
        return Err(Failure::refused(message)
            .help(format!("log in to account {} (AWS_PROFILE), or say that you mean it: `--other-account`", recorded.account)));
    }
    if who(&recorded.arn) != who(&now.arn) {
        console.say(&format!("note: the run was started as {}, and goes on as {}", clean(&recorded.arn), clean(&now.arn)));
    }
    Ok(())
}

/// Leaves out the name of a role's session, which is another one each time.
fn who(arn: &str) -> &str {
    let session = arn.split_once(":assumed-role/").and_then(|(_, name)| name.split_once('/'));
    session.map_or(arn, |(_, session)| &arn[..arn.len() - session.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_of_a_role_are_the_same_person() {
        let arn = |name: &str| format!("arn:aws:sts::123456789012:{name}");
        assert_eq!(who(&arn("assumed-role/dr/ana")), who(&arn("assumed-role/dr/bob")));
        assert_ne!(who(&arn("assumed-role/dr/ana")), who(&arn("assumed-role/ops/ana")));
        assert_ne!(who("arn:aws:iam::123456789012:user/ana"), who("arn:aws:iam::123456789012:user/bob"));
    }
}
