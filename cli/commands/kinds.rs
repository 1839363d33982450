//! `wf kinds`: the step kinds, or one of them in full.

use serde_json::{Value, json};
use wf_engine::model::ron_fields::did_you_mean;
use wf_engine::step::{Field, KindInfo};

use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::tables::{kind_text, kinds_table};
use crate::sim_world::offline_registry;

pub fn kinds(console: &mut Console, name: Option<&str>) -> Result<Exit, Failure> {
    let registry = offline_registry();
    let look = *console.out_look();
    match (name, console.json()) {
        (None, true) => console.document(&registry.kinds().map(document).collect::<Vec<_>>())?,
        (None, false) => console.data(&kinds_table(registry.kinds(), &look))?,
        (Some(name), json) => {
            let known = || registry.kinds().map(|kind| kind.name);
            let named = registry.kind(name).or_else(|| registry.kinds().find(|kind| kind.name.eq_ignore_ascii_case(name)));
            let Some(kind) = named else {
                let message = format!("there is no step kind `{}`{}", name.escape_debug(), did_you_mean(name, known()));
                return Err(Failure::usage(message).help("`wf kinds` lists them all"));
            };
            if json { console.document(&document(kind))? } else { console.data(&kind_text(kind, &look))? }
        }
    }
    Ok(Exit::Completed)
}

fn document(kind: &KindInfo) -> Value {
    let fields = |fields: &[Field]| -> Vec<_> {
        fields
            .iter()
            .map(|field| json!({ "name": field.name, "type": format!("{:?}", field.ty).to_lowercase(), "doc": field.doc }))
            .collect()
    };
    json!({
        "name": kind.name,
        "summary": kind.summary,
        "reversibility": kind.reversibility.to_string(),
        "params": fields(kind.params),
        "outputs": fields(kind.outputs),
        "before": fields(kind.before),
        "rbac": { "read": kind.rbac.read, "apply": kind.rbac.apply, "compensate": kind.rbac.compensate },
        "iam": { "read": kind.iam.read, "apply": kind.iam.apply, "compensate": kind.iam.compensate, "ready": kind.iam.ready },
        "facts": kind.facts,
        "typical_seconds": kind.typical.as_secs_f64(),
        "timeout_seconds": kind.timeout.as_secs_f64(),
        "example": kind.example,
    })
}
