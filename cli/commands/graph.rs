//! `wf graph`: a workflow as a drawing in Mermaid or DOT.

use crate::args::{Graph, GraphFormat};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::tables::{graph_dot, graph_mermaid};
use crate::sim_world::offline_registry;
use crate::source::Source;

pub fn graph(console: &mut Console, args: &Graph) -> Result<Exit, Failure> {
    let workflow = Source::read(&args.file)?.workflow(&offline_registry())?;
    let text = match args.format {
        GraphFormat::Mermaid => graph_mermaid(&workflow),
        GraphFormat::Dot => graph_dot(&workflow),
    };
    console.data(&text)?;
    Ok(Exit::Completed)
}
