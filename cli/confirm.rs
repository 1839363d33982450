//! Asks before the real world is changed. Under `--sim` nothing is asked: nothing can break there, and what could is refused.

use std::collections::BTreeSet;

use wf_engine::model::event::Identity;
use wf_engine::model::occasion::Occasion;
use wf_engine::plan::Looking;
use wf_engine::registry::BoundWorkflow;

use crate::console::Console;
use crate::failure::Failure;
use crate::launch::changes;
use crate::words::count;

/// How many steps are named.
const NAMED_MAX: usize = 12;

/// Refuses a run that needs a confirmation which nobody can give, before anybody is asked who the operator is.
pub fn possible(console: &mut Console, bound: &BoundWorkflow, occasion: Occasion, yes: bool) -> Result<(), Failure> {
    if console.asks() { Ok(()) } else { run(console, bound, occasion, yes, None) }
}

/// Lets a run through that changes nothing, or that the operator confirms: with `--yes`, or by typing the workflow's name.
pub fn run(console: &mut Console, bound: &BoundWorkflow, occasion: Occasion, yes: bool, who: Option<&Identity>) -> Result<(), Failure> {
    let (changing, irreversible) = changes(bound, occasion);
    if changing.is_empty() || yes {
        return Ok(());
    }
    let workflow = bound.workflow();
    let name = workflow.name();
    let mut facts = vec![format!(
        "`{name}` acts on the real world ({}): {} of {} change it",
        place(who),
        changing.len(),
        count(workflow.len(), "step")
    )];
    let roles: BTreeSet<_> = changing.iter().filter_map(|&ix| bound.account(ix)).map(|account| account.role.as_str()).collect();
    if !roles.is_empty() {
        facts.push(format!("in other accounts it acts as {}", roles.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ")));
    }
    if !irreversible.is_empty() {
        let names: Vec<_> = irreversible.iter().take(NAMED_MAX).map(|&ix| workflow.id(ix).as_str()).collect();
        let more = if irreversible.len() > NAMED_MAX { ", …" } else { "" };
        facts.push(format!("these cannot be undone: {}{more}", names.join(", ")));
    }
    let facts = facts.join("; ");
    confirmed(
        console,
        &facts,
        name,
        "start",
        "`--yes` confirms it, and approves in advance whatever its steps ask; `--sim` tries it on the simulated AWS",
    )
}

/// Lets a simulated run through whose steps all stay in the simulator: a program of the operator's own is run for real.
pub fn simulated(bound: &BoundWorkflow, occasion: Occasion, programs_allowed: bool) -> Result<(), Failure> {
    let workflow = bound.workflow();
    let outside = |ix: &usize| {
        let info = bound.declared(*ix).info();
        info.iam.apply.is_empty() && info.rbac.apply.is_empty()
    };
    let names: Vec<_> = changes(bound, occasion).0.into_iter().filter(outside).map(|ix| format!("`{}`", workflow.id(ix))).collect();
    if programs_allowed || names.is_empty() {
        return Ok(());
    }
    let shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    Err(Failure::refused(format!(
        "{} of `{}` would act on this machine, not on the simulated AWS: {shown}",
        count(names.len(), "step"),
        workflow.name()
    ))
    .help("`--sim-exec` lets their programs run for real"))
}

/// Lets a rollback through that the operator confirms.
pub fn rollback(console: &mut Console, name: &str, steps: usize, yes: bool, who: Option<&Identity>) -> Result<(), Failure> {
    if steps == 0 || yes {
        return Ok(());
    }
    let facts = format!("rolling back `{name}` undoes up to {} in the real world ({})", count(steps, "step"), place(who));
    confirmed(console, &facts, name, "roll back", "`--yes` confirms it")
}

/// Lets a run be given up that the operator confirms: what it changed stays.
pub fn cancel(console: &mut Console, name: &str, changed: usize, yes: bool) -> Result<(), Failure> {
    if changed == 0 || yes {
        return Ok(());
    }
    let facts = format!("giving `{name}` up leaves what {} changed in the real world as it is", count(changed, "step"));
    confirmed(console, &facts, name, "give it up", "`--yes` confirms it; `wf rollback` undoes instead")
}

/// Lets something be put to CloudWatch that the operator confirms.
pub fn put(console: &mut Console, what: &str, name: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    confirmed(
        console,
        &format!("this puts {what} ({})", place(None)),
        name,
        "put it",
        "`--yes` confirms it; `--sim` tries it on the simulated AWS",
    )
}

/// Refuses to exercise production, unless somebody says that it is meant, and types its name.
pub fn environment(console: &mut Console, name: &str, meant: bool, typed: Option<&str>, simulated: bool) -> Result<(), Failure> {
    if !is_production(name) {
        return Ok(());
    }
    if !meant {
        return Err(Failure::refused(format!(
            "nothing was done: `{}` is production by its name, and its users would be without service",
            name.escape_debug()
        ))
        .help("exercise another environment with `--env`; `--production` exercises this one"));
    }
    match typed {
        _ if simulated => Ok(()),
        Some(typed) if typed == name => Ok(()),
        Some(_) => Err(Failure::refused("nothing was done: `--confirm` names another environment")),
        None => confirmed(
            console,
            &format!("the drill takes `{name}` down"),
            name,
            "take it down",
            "`--confirm NAME` says so where nobody can type",
        ),
    }
}

/// Refuses a drill that would touch what is tagged as production, or whose tags cannot be read.
pub async fn not_production(looking: &Looking, environment: &str) -> Result<(), Failure> {
    let workflow = looking.bound.workflow();
    for (ix, told) in looking.environments().await {
        let id = workflow.id(ix);
        let why = match told {
            Ok(Some(tagged)) if is_production(&tagged) => format!("step `{id}` works on what is tagged as {}", tagged.escape_debug()),
            Ok(_) => continue,
            Err(failure) => format!("what step `{id}` works on may be production, its tags cannot be read: {}", failure.message),
        };
        return Err(Failure::refused(format!("nothing was done in {}: {why}", environment.escape_debug()))
            .help("look which environment is meant, and with whose credentials; `--production` exercises production"));
    }
    Ok(())
}

/// What is called after production without being it.
const NOT_PRODUCTION: [&str; 4] = ["nonprod", "non-prod", "preprod", "pre-prod"];

/// Tells whether an environment is production by its name. In doubt it is.
fn is_production(name: &str) -> bool {
    let name = NOT_PRODUCTION.iter().fold(name.to_lowercase(), |name, other| name.replace(other, ""));
    name.contains("prod")
}

fn confirmed(console: &mut Console, facts: &str, name: &str, verb: &str, help: &str) -> Result<(), Failure> {
    if !console.asks() {
        return Err(Failure::refused(format!("not confirmed: {facts}")).help(help));
    }
    console.say(facts);
    match console.ask(&format!("Type `{name}` to {verb}: ")) {
        Some(typed) if typed == name => Ok(()),
        Some(_) | None => Err(Failure::refused("not confirmed: nothing was done").help(help)),
    }
}

/// Says which account is meant, as far as AWS and the environment tell.
fn place(who: Option<&Identity>) -> String {
    let set =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| format!("{name}={}", value.escape_debug()));
    let who = who.map(|who| format!("as {} in account {}", who.arn, who.account));
    let told: Vec<_> = who.into_iter().chain(["AWS_PROFILE", "AWS_ENDPOINT_URL"].into_iter().filter_map(set)).collect();
    if told.is_empty() { "the AWS account of your default credentials".to_owned() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_told_by_its_name() {
        for name in ["prod", "Production", "eu-prod-1", "PRD-prod", "product"] {
            assert!(is_production(name), "{name}");
        }
        for name in ["staging", "nonprod", "Pre-Prod", "preproduction", "test"] {
            assert!(!is_production(name), "{name}");
        }
    }
}
