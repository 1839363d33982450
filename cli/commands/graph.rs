//! `wf graph`: a workflow as a drawing in Mermaid, DOT or SVG.

use wf_engine::step::Reversibility;

use crate::args::{Graph, GraphFormat};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::graph_svg::graph_svg;
use crate::render::tables::{graph_dot, graph_mermaid};
use crate::sim_world::offline_registry;
use crate::source::Source;

pub fn graph(console: &mut Console, args: &Graph) -> Result<Exit, Failure> {
    let registry = offline_registry();
    let workflow = Source::read(&args.file)?.workflow(&registry)?;
    let text = match args.format {
        GraphFormat::Mermaid => graph_mermaid(&workflow),
        GraphFormat::Dot => graph_dot(&workflow),
        GraphFormat::Svg => {
            graph_svg(&workflow, |kind| registry.kind(kind).is_some_and(|info| info.reversibility == Reversibility::Irreversible))
        }
    };
    console.data(&text)?;
    Ok(Exit::Completed)
}
