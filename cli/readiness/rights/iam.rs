//! What IAM's policy simulator says of each step that acts in an account.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use wf_engine::model::account::Account;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::model::workflow::StepIx;
use wf_engine::readiness::Check;
use wf_steps::aws::rights::{Principal, Ruling};
use wf_steps::aws::{Cloud, arns};

use super::{AT_ONCE, Asked};
use crate::args::Rights;
use crate::{rights, whoami};

/// The names of the checks: of a step, and of what holds for all that somebody does.
const NAME: &str = "rights";
const SIMULATED: &str = "rights simulated";

/// What helps who does not know as whom they act.
const WHO: &str = "`aws sts get-caller-identity` tells";

/// How long it may take, in the world's time: IAM hangs when us-east-1 does.
const WITHIN: Duration = Duration::from_secs(120);

/// An action of a step on a resource.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    action: &'static str,
    /// Its ARN.
    resource: String,
    /// From where it is called, for the conditions on that.
    region: Option<String>,
    /// The name of the hosted zone that it is about, and whether that is private, until its id is known.
    zone: Option<(String, bool)>,
}

impl Asked<'_> {
    /// Asks IAM about every step that is looked at. What stands in the way of asking is told once, beside the first step of whom it is about.
    pub(super) async fn iam_rights(&self) -> Vec<(StepIx, Check)> {
        let mut actors: BTreeMap<Option<&Account>, Vec<StepIx>> = BTreeMap::new();
        for (ix, _) in self.steps().filter(|(_, kind)| !kind.iam.is_empty()) {
            actors.entry(self.looking.bound.account(ix)).or_default().push(ix);
        }
        let mut checks = Vec::new();
        for (account, steps) in actors {
            checks.extend(self.of_actor(account, &steps).await);
        }
        checks
    }

    /// Asks about the steps of one who acts.
    async fn of_actor(&self, account: Option<&Account>, steps: &[StepIx]) -> Vec<(StepIx, Check)> {
        let Some(&first) = steps.first() else { return Vec::new() };
        let own = || self.whose.or(self.place.identity.as_ref().map(|identity| identity.arn.as_str()));
        let Some(whose) = account.map(|account| account.role.as_str()).or_else(own) else {
            let failure = StepFailure::unreachable("it is not known as whom a run would act").hint(WHO);
            return vec![(first, Check::unknown(SIMULATED, "", failure))];
        };
        match self.within(WITHIN, self.asked_of_iam(&self.cloud(account), whose, steps)).await {
            Ok(checks) => checks,
            Err(failure) => vec![(first, Check::unknown(SIMULATED, whose, unasked(failure)))],
        }
    }

    /// Asks what somebody may do.
    async fn asked_of_iam(&self, cloud: &Cloud, whose: &str, steps: &[StepIx]) -> Result<Vec<(StepIx, Check)>, StepFailure> {
        let principal = match cloud.principal(whose).await? {
            Principal::Of(principal) => principal,
            Principal::Unknowable(why) => {
                let why = format!("IAM does not tell what {whose} may do: {why}");
                let check = Check::of(SIMULATED, whose).warn_if(true, why, "act as a role, or name one: `--rights-of ARN`");
                return Ok(steps.first().map(|&first| (first, check)).into_iter().collect());
            }
        };
        let number = principal.split(':').nth(4).unwrap_or("*");
        let mut needed: Vec<(StepIx, Vec<Need>)> = steps.iter().map(|&ix| (ix, self.needs(ix, number))).collect();
        let named: BTreeSet<_> =
            needed.iter().flat_map(|(_, needs)| needs).map(|need| (need.resource.clone(), need.zone.clone())).collect();
        let exact = stream::iter(named).map(async |(resource, zone)| {
            let of_zone = zone.as_ref().map(|(name, private)| (name.as_str(), *private));
            let exact = cloud.exact(resource.clone(), of_zone).await;
            ((resource, zone), exact)
        });
        let exact: BTreeMap<_, _> = exact.buffer_unordered(AT_ONCE).collect().await;
        for need in needed.iter_mut().flat_map(|(_, needs)| needs) {
            if let Some(exact) = exact.get(&(need.resource.clone(), need.zone.take())) {
                need.resource.clone_from(exact);
            }
        }
        let rulings = ask(cloud, &principal, needed.iter().flat_map(|(_, needs)| needs)).await?;
        let first = steps.first().map(|&first| (first, conditions(&principal, &rulings)));
        let each = needed.iter().map(|(ix, needs)| (*ix, self.check(&principal, number, needs, &rulings)));
        Ok(first.into_iter().chain(each).collect())
    }

    /// Returns what a step does.
    fn needs(&self, ix: StepIx, number: &str) -> Vec<Need> {
        let plan = &self.place.run;
        let zone = plan.param(ix, "zone").map(|zone| (zone, plan.value(ix, "private").unwrap_or(false)));
        let need = |action: &'static str| Need {
            action,
            resource: arns::touched(action, number, |name| plan.param(ix, name)),
            region: region(plan, ix, action),
            zone: zone.clone(),
        };
        rights::of_step(plan, ix, &self.looking.registry, Rights::Run).map(need).collect()
    }

    fn check(&self, principal: &str, number: &str, needs: &[Need], rulings: &BTreeMap<Need, Ruling>) -> Check {
        let fix = format!(
            "`wf iam {} --account {number}` prints a policy that allows it; an explicit deny, an SCP and a boundary are to be changed where they are",
            self.file.display()
        );
        let mut found: [BTreeMap<(&str, &str), BTreeSet<&str>>; 2] = Default::default();
        for need in needs {
            let (ix, why) = match rulings.get(need) {
                Some(Ruling::Denied(why)) => (0, why.as_str()),
                Some(Ruling::Depends(why)) => (1, why.as_str()),
                Some(Ruling::Allowed | Ruling::Conditions(_)) => continue,
                None => (1, "IAM was not asked"),
            };
            found[ix].entry((why, &need.resource)).or_default().insert(need.action);
        }
        let told = |found: &BTreeMap<(&str, &str), BTreeSet<&str>>, says: &str| {
            let each = found.iter().map(|((why, resource), actions)| {
                let actions: Vec<_> = actions.iter().copied().collect();
                format!("{says} {} on {resource}: {why}", actions.join(", "))
            });
            format!("{principal} {}", each.collect::<Vec<_>>().join("; "))
        };
        let [denied, depends] = &found;
        Check::of(NAME, principal).fail_if(!denied.is_empty(), told(denied, "may not"), &fix).warn_if(
            !depends.is_empty(),
            told(depends, "is not allowed"),
            &fix,
        )
    }
}

/// Says what helps who may not ask.
fn unasked(failure: StepFailure) -> StepFailure {
    let why = StepFailure { message: format!("what they may do is not known: {}", failure.message), ..failure };
    match why.kind {
        FailureKind::Permanent => why,
        FailureKind::Transient | FailureKind::Unreachable => {
            why.hint("IAM is asked in us-east-1 for all regions; while it does not answer, the policies hold as they are")
        }
    }
}

/// Tells on what it depends, of all that somebody does.
fn conditions(principal: &str, rulings: &BTreeMap<Need, Ruling>) -> Check {
    let keys = rulings.values().filter_map(|ruling| if let Ruling::Conditions(keys) = ruling { Some(keys) } else { None });
    let keys: BTreeSet<&str> = keys.flatten().map(String::as_str).collect();
    Check::of(SIMULATED, principal).warn_if(
        !keys.is_empty(),
        format!(
            "whether {principal} may do all of it depends on {}, which only a call has",
            keys.iter().copied().collect::<Vec<_>>().join(", ")
        ),
        "look at the conditions of their policies: what they want has to be so when a run starts",
    )
}

/// Asks about each action, those on the same resource together.
async fn ask(cloud: &Cloud, principal: &str, needs: impl Iterator<Item = &Need>) -> Result<BTreeMap<Need, Ruling>, StepFailure> {
    let mut questions: BTreeMap<(Option<&str>, &str), BTreeSet<&'static str>> = BTreeMap::new();
    for need in needs {
        questions.entry((need.region.as_deref(), &need.resource)).or_default().insert(need.action);
    }
    let answers = stream::iter(questions).map(async |((region, resource), actions)| {
        let actions: Vec<_> = actions.into_iter().collect();
        let rulings = cloud.rulings(principal, region, resource, &actions).await?;
        let (region, resource) = (region.map(str::to_owned), resource.to_owned());
        let of = |action| Need { action, resource: resource.clone(), region: region.clone(), zone: None };
        Ok(rulings.into_iter().map(|(action, ruling)| (of(action), ruling)).collect::<Vec<_>>())
    });
    let answers: Vec<Vec<_>> = answers.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Returns the region from which a step calls, for the conditions on it; what has one control plane for the world is called in us-east-1.
fn region(plan: &whoami::Plan<'_>, ix: StepIx, action: &str) -> Option<String> {
    if action.starts_with("route53:") { Some("us-east-1".to_owned()) } else { plan.region(ix) }
}
