//! Whether a workflow would work if it were run now: what each step's `observe` says, and what its kind checks beyond that
//! ([`StepKind::readiness`](crate::step::StepKind::readiness)). Nothing is applied, nothing is journaled. Knows nothing of what a kind checks,
//! nor of how it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::definition::StepDef;
use crate::model::event::{FailureKind, StepFailure};
use crate::model::occasion::Only;
use crate::model::workflow::{StepIx, Workflow};
use crate::plan::{Looking, Verdict, look_at, overdue, soften};
use crate::registry::Step;
use crate::step::StepContext;

/// The name of the check that a step's `observe` is.
pub const OBSERVE: &str = "observe";
/// What is named where nobody knows a better thing to do.
const LOOK_CLOSER: &str = "`wf plan FILE` tells more; mend it, and check again";

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All is well.
    Passed,
    /// A run would go on, and somebody should look at this before.
    Warned {
        /// What is wrong.
        why: String,
        /// What to do about it, best as a command.
        fix: String,
    },
    /// A run would fail, or would not lead to what it is for.
    Failed {
        /// What is wrong.
        why: String,
        /// What to do about it, best as a command.
        fix: String,
    },
    /// It could not be found out.
    Unknown {
        /// What was in the way.
        why: String,
        /// What to do about that.
        fix: String,
    },
}

/// A check of one thing that a step needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is checked, in a word or two, the same for all steps of the kind.
    pub name: &'static str,
    /// What it was checked on.
    pub subject: String,
    /// What was found.
    pub found: Finding,
    /// Whether `observe` refuses the same, or waits for it to pass.
    pub observed: bool,
    /// The kinds of steps that mend it when they run before this one.
    pub mended_by: &'static [&'static str],
    /// What all checks of this name have to have found.
    pub agreed: Option<String>,
}

impl Check {
    /// Makes a check that passed, so far.
    pub fn of(name: &'static str, subject: impl ToString) -> Self {
        Self { name, subject: subject.to_string(), found: Finding::Passed, observed: false, mended_by: &[], agreed: None }
    }

    /// Makes a check that could not be made.
    pub fn unknown(name: &'static str, subject: impl ToString, failure: StepFailure) -> Self {
        Self { found: unknown(failure), ..Self::of(name, subject) }
    }

    /// Fails it when something is `bad`, unless something was found already.
    #[must_use]
    pub fn fail_if(self, bad: bool, why: impl Into<String>, fix: impl Into<String>) -> Self {
        self.found_if(bad, || Finding::Failed { why: why.into(), fix: fix.into() })
    }

    /// Warns when something is `bad`, unless something was found already.
    #[must_use]
    pub fn warn_if(self, bad: bool, why: impl Into<String>, fix: impl Into<String>) -> Self {
        self.found_if(bad, || Finding::Warned { why: why.into(), fix: fix.into() })
    }

    /// Fails it with what the world refuses for good; what may pass, such as no answer, leaves it unknown.
    #[must_use]
    pub fn fail_on<T>(self, result: Result<T, StepFailure>) -> Self {
        let Err(failure) = result else { return self };
        self.found_if(true, || match failure.kind {
            FailureKind::Permanent => {
                let (why, fix) = told(failure);
                Finding::Failed { why, fix }
            }
            FailureKind::Transient | FailureKind::Unreachable => unknown(failure),
        })
    }

    /// Says that `observe` refuses the same, or waits for it to pass: the two are told once.
    #[must_use]
    pub fn as_observed(self) -> Self {
        Self { observed: true, ..self }
    }

    /// Names the kinds of steps that mend it when they run before this one: then it is no obstacle yet.
    #[must_use]
    pub fn mended_by(self, kinds: &'static [&'static str]) -> Self {
        Self { mended_by: kinds, ..self }
    }

    /// Names a value that all checks of this name have to have found.
    #[must_use]
    pub fn agreeing_on(self, value: impl Into<String>) -> Self {
        Self { agreed: Some(value.into()), ..self }
    }

    /// Returns what is wrong; nothing when nothing is.
    pub fn why(&self) -> &str {
        match &self.found {
            Finding::Passed => "",
            Finding::Warned { why, .. } | Finding::Failed { why, .. } | Finding::Unknown { why, .. } => why,
        }
    }

    /// Returns what to do about it; nothing when nothing is wrong.
    pub fn fix(&self) -> &str {
        match &self.found {
            Finding::Passed => "",
            Finding::Warned { fix, .. } | Finding::Failed { fix, .. } | Finding::Unknown { fix, .. } => fix,
        }
    }

    /// Tells whether nothing is in the way of a run.
    pub fn is_good(&self) -> bool {
        matches!(self.found, Finding::Passed | Finding::Warned { .. })
    }

    fn found_if(self, bad: bool, found: impl FnOnce() -> Finding) -> Self {
        if bad && self.found == Finding::Passed { Self { found: found(), ..self } } else { self }
    }
}

/// Why not all of a step could be checked: others run before it.
#[derive(Debug, Clone, PartialEq)]
pub enum Later {
    /// It uses what these steps give, and could not be checked at all.
    After(Vec<StepIx>),
    /// What was found is no obstacle yet: steps before it change the world first.
    NotYet(String),
}

/// What was found out about a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReadiness {
    /// The step.
    pub step: StepIx,
    /// What was checked.
    pub checks: Vec<Check>,
    /// Why that is not all.
    pub later: Option<Later>,
}

impl Looking {
    /// Checks every step of the run, and those that are there to be checked only, side by side. Only reads.
    pub async fn readiness(&self) -> Vec<StepReadiness> {
        let look = |step: Arc<dyn Step>, cx: StepContext<()>| {
            let objectives = self.bound.workflow().def().objectives.clone();
            async move {
                let checked = async {
                    tokio::select! {
                        checks = step.readiness(&cx, &objectives) => checks,
                        () = cx.sleep(overdue::AFTER) => Err(overdue::failure()),
                    }
                };
                tokio::join!(look_at(step.as_ref(), &cx), checked)
            }
        };
        let part = |step: &StepDef| step.only == Some(Only::Check) || step.takes_part(self.occasion);
        let looked = self.each(part, look).await.into_iter().map(|looked| looked.unwrap_or_else(|verdict| (verdict, Ok(Vec::new()))));
        let (mut verdicts, checks): (Vec<_>, Vec<_>) = looked.unzip();
        soften(self.bound.workflow(), &mut verdicts);
        let each = verdicts.into_iter().zip(checks).enumerate();
        let each = each.map(|(ix, (verdict, own))| (ix, verdict, own, kinds_before(self.bound.workflow(), ix)));
        let mut steps: Vec<_> = each.filter_map(|(ix, verdict, own, before)| step_readiness(ix, verdict, own, &before)).collect();
        refuse_disagreement(&mut steps);
        steps
    }
}

/// Returns the kinds of the steps that run before a step.
fn kinds_before(workflow: &Workflow, ix: StepIx) -> BTreeSet<&str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![ix]);
    while let Some(here) = next.pop() {
        next.extend(workflow.needs(here).filter(|need| seen.insert(*need)));
    }
    seen.into_iter().map(|need| workflow.step(need).kind.value.as_str()).collect()
}

/// Puts together what `observe` and the kind's own checks say of a step; `None` of one that is not looked at.
fn step_readiness(step: StepIx, verdict: Verdict, own: Result<Vec<Check>, StepFailure>, before: &BTreeSet<&str>) -> Option<StepReadiness> {
    let mut observe = Check::of(OBSERVE, "");
    let mut later = None;
    match verdict {
        Verdict::LeftOut => return None,
        Verdict::After(steps) => return Some(StepReadiness { step, checks: Vec::new(), later: Some(Later::After(steps)) }),
        Verdict::Changes { .. } | Verdict::AsDesired | Verdict::Waits => {}
        Verdict::NotYet(failure) => later = Some(Later::NotYet(failure.message)),
        Verdict::Unreachable(failure) | Verdict::Fails(failure) => {
            let (why, fix) = told(failure);
            observe = observe.fail_if(true, why, fix);
        }
    }
    let mut checks = match own {
        Ok(checks) => checks,
        // What could not be read for `observe` either is told with that.
        Err(_) if !observe.is_good() || later.is_some() => Vec::new(),
        Err(failure) => vec![Check::unknown("readiness", "", failure)],
    };
    checks.retain(|check| {
        let is_mended = !check.is_good() && check.mended_by.iter().any(|kind| before.contains(kind));
        if is_mended {
            later.get_or_insert_with(|| Later::NotYet(check.why().to_owned()));
        }
        !is_mended
    });
    if checks.iter().any(|check| check.observed && matches!(check.found, Finding::Failed { .. })) {
        return Some(StepReadiness { step, checks, later: None });
    }
    if later.is_none() {
        checks.retain(|check| observe.is_good() || !check.observed || check.is_good());
        checks.insert(0, observe);
    }
    Some(StepReadiness { step, checks, later })
}

/// Fails the checks that found another value than the first of their name.
fn refuse_disagreement(steps: &mut [StepReadiness]) {
    let mut first: BTreeMap<&'static str, (String, String)> = BTreeMap::new();
    for check in steps.iter_mut().flat_map(|step| &mut step.checks) {
        let Some(value) = check.agreed.clone() else { continue };
        let (expected, of) = first.entry(check.name).or_insert_with(|| (value.clone(), check.subject.clone()));
        if *expected != value && check.is_good() {
            let why = format!("{} has {value}, and {of} has {expected}", check.subject);
            check.found = Finding::Failed { why, fix: format!("bring both to the same: {expected}, or {value}") };
        }
    }
}

fn unknown(failure: StepFailure) -> Finding {
    let (why, fix) = told(failure);
    Finding::Unknown { why, fix }
}

/// What a failure says, in one sentence, and what helps.
fn told(failure: StepFailure) -> (String, String) {
    let StepFailure { message, causes, hint, .. } = failure;
    let why = std::iter::once(message).chain(causes).collect::<Vec<_>>().join(": ");
    (why, hint.unwrap_or_else(|| LOOK_CLOSER.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(name: &'static str) -> Check {
        Check::of(name, "db").fail_if(true, format!("{name} is bad"), "mend it")
    }

    fn names(readiness: &StepReadiness) -> Vec<&str> {
        readiness.checks.iter().filter(|check| !check.is_good()).map(|check| check.name).collect()
    }

    #[test]
    fn one_cause_is_told_once_and_two_are_both() {
        let fails = || Verdict::Fails(StepFailure::permanent("refused").hint("do this"));
        let of = |verdict, own| step_readiness(0, verdict, own, &BTreeSet::new()).expect("part of the run");
        assert_eq!(names(&of(fails(), Ok(vec![bad("status").as_observed()]))), ["status"]);
        assert_eq!(names(&of(fails(), Ok(vec![bad("backups")]))), ["observe", "backups"]);
        assert_eq!(names(&of(fails(), Err(StepFailure::permanent("refused")))), ["observe"]);
        assert_eq!(names(&of(Verdict::Waits, Err(StepFailure::unreachable("no answer")))), ["readiness"]);
        let unread = Check::unknown("lag", "db", StepFailure::unreachable("no answer")).as_observed();
        assert_eq!(names(&of(fails(), Ok(vec![unread.clone()]))), ["observe"]);
        assert_eq!(names(&of(Verdict::Waits, Ok(vec![unread]))), ["lag"]);
        let told = of(fails(), Ok(Vec::new()));
        assert_eq!(told.checks[0].found, Finding::Failed { why: "refused".to_owned(), fix: "do this".to_owned() });
    }

    #[test]
    fn what_earlier_steps_mend_is_no_obstacle_yet_and_what_they_do_not_is() {
        let own = || Ok(vec![bad("namespace").as_observed().mended_by(&["Restore"]), bad("load balancer")]);
        let readiness = step_readiness(0, Verdict::Waits, own(), &["Restore"].into()).expect("part of the run");
        assert_eq!(names(&readiness), ["load balancer"]);
        assert_eq!(readiness.later, Some(Later::NotYet("namespace is bad".to_owned())));
        let not_yet = || Verdict::NotYet(StepFailure::permanent("nothing there"));
        let readiness = step_readiness(0, not_yet(), own(), &["Restore"].into()).expect("part of the run");
        assert_eq!((names(&readiness), readiness.later.clone()), (vec!["load balancer"], Some(Later::NotYet("nothing there".to_owned()))));
        let readiness = step_readiness(0, not_yet(), own(), &["Scale"].into()).expect("part of the run");
        assert_eq!((names(&readiness), readiness.later.clone()), (vec!["namespace", "load balancer"], None));
    }

    #[test]
    fn checks_that_have_to_agree_are_compared_across_steps() {
        let step = |step, subject: &str, value: &str| StepReadiness {
            step,
            checks: vec![Check::of("version", subject).agreeing_on(value)],
            later: None,
        };
        let mut steps = vec![step(0, "east", "1.28"), step(1, "west", "1.27"), step(2, "west again", "1.28")];
        refuse_disagreement(&mut steps);
        let good: Vec<_> = steps.iter().map(|step| step.checks[0].is_good()).collect();
        assert_eq!(good, [true, false, true]);
        assert!(matches!(&steps[1].checks[0].found, Finding::Failed { why, .. } if why == "west has 1.27, and east has 1.28"));
    }
}
