//! What became of the file of a run since: how it differs from what the run is of, and whether the run takes that over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wf_engine::model::edit::Edit;
use wf_engine::model::workflow::Workflow;
use wf_engine::runtime::{Adoption, Replayed};

use crate::args::Resume;
use crate::console::Console;
use crate::failure::Failure;
use crate::render::{clean, pad};
use crate::sim_world::offline_registry;
use crate::source::Source;
use crate::split_brain;

/// Returns what the run is to take over: nothing, unless the operator says so. An edit that is not taken over is told.
pub fn adoption(console: &mut Console, replayed: &Replayed, args: &Resume) -> Result<Option<Adoption>, Failure> {
    if !args.accept_changes {
        tell(console, replayed);
        return Ok(None);
    }
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(&replayed.header.file));
    let (workflow, edit) = compared(replayed, &path)?;
    if edit.is_empty() {
        console.say(&format!("{} says what the run is of already: nothing to take over", path.display()));
        return Ok(None);
    }
    console.say(&table(&path, &edit));
    let refusals = edit.refusals();
    if refusals.is_empty() {
        let occasion = replayed.state.occasion();
        let risk = split_brain::taken(&split_brain::still_risked(replayed, &workflow, occasion, args.accept_split_brain_risk)?);
        risk.iter().for_each(|risk| console.say(risk));
        return Ok(Some(Adoption { workflow, file: path.display().to_string() }));
    }
    let why = format!("nothing was done: the run cannot take over what was edited: {}", refusals.join("; "));
    let run = &replayed.header.run;
    Err(Failure::refused(why).help(format!("put that back and try again, or go on without the edit: `wf resume {run}`")))
}

/// Says that the file is not what the run is of any more, if it can be read.
fn tell(console: &mut Console, replayed: &Replayed) {
    let (path, run) = (Path::new(&replayed.header.file), &replayed.header.run);
    let Ok(source) = Source::read(path) else { return };
    if source.text == replayed.workflow.text() {
        return;
    }
    match compared(replayed, path) {
        Ok((_, edit)) if edit.is_empty() => {}
        Ok((_, edit)) => {
            console.say(&table(path, &edit));
            console.say(&format!("the run is still what it was; to take the edit over: wf resume {run} --accept-changes"));
        }
        Err(_) => console.say(&format!(
            "{} was edited since and is no valid workflow any more (`wf check` tells why); the run is still what it was",
            path.display()
        )),
    }
}

fn compared(replayed: &Replayed, path: &Path) -> Result<(Arc<Workflow>, Edit), Failure> {
    let workflow = Source::read(path)?.workflow(&offline_registry())?;
    let edit = Edit::of(&replayed.state, &workflow);
    Ok((workflow, edit))
}

fn table(path: &Path, edit: &Edit) -> String {
    let mut text = format!("{} was edited since:\n", path.display());
    for (what, refused) in &edit.settings {
        text.push_str(&format!("  {}{}\n", clean(what), cannot(refused.as_deref())));
    }
    let ids = edit.steps.iter().map(|edit| edit.step.as_str().chars().count()).max().unwrap_or_default();
    for step in &edit.steps {
        let what = step.what.join(", ");
        let line = format!("  {}  {}  {}", pad(step.step.as_str(), ids), pad(&step.class.to_string(), 23), clean(&what));
        text.push_str(&format!("{}{}\n", line.trim_end(), cannot(step.refused.as_deref())));
    }
    text.push_str(&format!("  {} as before", crate::render::count(edit.kept, "step")));
    text
}

fn cannot(why: Option<&str>) -> String {
    why.map(|why| format!("  ✗ {why}")).unwrap_or_default()
}
