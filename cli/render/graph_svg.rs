//! A workflow as one SVG file that needs nothing else: a column for each depth, so that what stands side by side can run at once.

use maud::{PreEscaped, html};
use wf_engine::model::workflow::{StepIx, Workflow};

use super::{clean, cut};

/// The size of a box and the room for one, in pixels.
const BOX: (usize, usize) = (190, 46);
const ROOM: (usize, usize) = (250, 66);
const MARGIN: usize = 16;
/// The most columns of text in a box.
const TEXT_WIDTH: usize = 25;

const STYLE: &str = "text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#1c2128}.kind{font-size:11px;fill:#59636e}\
rect{fill:#f4f6f8;stroke:#59636e}.never rect{stroke:#cf222e;stroke-width:2.5}.mode rect{stroke-dasharray:5 3}\
path{fill:none;stroke:#a9b6c4;stroke-width:1.3}.sheet{fill:#fff;stroke:none}\
@media(prefers-color-scheme:dark){text{fill:#e4e9ee}.kind{fill:#9aa6b2}rect{fill:#1d232a}.sheet{fill:#14181d}path{stroke:#4d5b6a}}";

/// Draws a workflow. `irreversible` tells which kinds cannot be undone: their boxes have a strong red border.
pub fn graph_svg(workflow: &Workflow, irreversible: impl Fn(&str) -> bool) -> String {
    let places = places(workflow);
    let columns = places.iter().map(|place| place.0 + 1).max().unwrap_or(0);
    let rows = places.iter().map(|place| place.1 + 1).max().unwrap_or(0);
    let (width, height) = (columns * ROOM.0 + MARGIN, rows * ROOM.1 + MARGIN);
    let corner = |ix: StepIx| (MARGIN + places[ix].0 * ROOM.0, MARGIN + places[ix].1 * ROOM.1);
    let arrow = |need: StepIx, ix: StepIx| {
        let ((from, from_y), (to, to_y)) = (corner(need), corner(ix));
        let (from, from_y, to_y) = (from + BOX.0, from_y + BOX.1 / 2, to_y + BOX.1 / 2);
        let middle = to - (ROOM.0 - BOX.0) / 2;
        format!("M{from} {from_y}C{middle} {from_y} {middle} {to_y} {to} {to_y}")
    };
    let class = |ix: StepIx| {
        let step = workflow.step(ix);
        let classes = [(irreversible(&step.kind.value), "never"), (step.only.is_some(), "mode")];
        classes.into_iter().filter_map(|(holds, class)| holds.then_some(class)).collect::<Vec<_>>().join(" ")
    };
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox=(format!("0 0 {width} {height}")) role="img" {
            title { (clean(workflow.name())) }
            style { (PreEscaped(STYLE)) }
            rect.sheet width="100%" height="100%" {}
            @for ix in 0..workflow.len() { @for need in workflow.needs(ix) { path d=(arrow(need, ix)) {} } }
            @for ix in 0..workflow.len() {
                g class=(class(ix)) {
                    rect x=(corner(ix).0) y=(corner(ix).1) width=(BOX.0) height=(BOX.1) rx="5" {}
                    text x=(corner(ix).0 + 10) y=(corner(ix).1 + 19) { (cut(workflow.id(ix).as_str(), TEXT_WIDTH)) }
                    text.kind x=(corner(ix).0 + 10) y=(corner(ix).1 + 36) { (cut(&kind(workflow, ix), TEXT_WIDTH + 5)) }
                }
            }
        }
    };
    format!("{}\n", svg.into_string())
}

fn kind(workflow: &Workflow, ix: StepIx) -> String {
    let step = workflow.step(ix);
    let only = step.only.map(|only| format!(", only {only}")).unwrap_or_default();
    format!("{}{only}", clean(&step.kind.value))
}

/// Returns the column and row of each step: behind all that it needs, and near their rows.
fn places(workflow: &Workflow) -> Vec<(usize, usize)> {
    let mut column = vec![0; workflow.len()];
    for &ix in workflow.order() {
        column[ix] = workflow.needs(ix).map(|need| column[need] + 1).max().unwrap_or(0);
    }
    let columns = column.iter().max().map_or(0, |last| last + 1);
    let mut row = vec![0; workflow.len()];
    for at in 0..columns {
        let mut members: Vec<_> = (0..workflow.len()).filter(|&ix| column[ix] == at).collect();
        let middle = |ix: StepIx| {
            let (sum, needs) = workflow.needs(ix).fold((0_usize, 0), |(sum, needs), need| (sum + row[need], needs + 1));
            (sum * 1_000).checked_div(needs).unwrap_or(0)
        };
        members.sort_by_key(|&ix| (middle(ix), ix));
        for (place, ix) in members.into_iter().enumerate() {
            row[ix] = place;
        }
    }
    column.into_iter().zip(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::Tale;

    #[test]
    fn steps_stand_behind_what_they_need_and_share_no_place() {
        let workflow = Tale::new().replayed().workflow;
        let places = places(&workflow);
        for ix in 0..workflow.len() {
            assert!(workflow.needs(ix).all(|need| places[need].0 < places[ix].0), "{places:?}");
        }
        let mut distinct = places.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), places.len(), "{places:?}");
        let svg = graph_svg(&workflow, |kind| kind == "RdsPromoteReadReplica");
        let paths = svg.matches("<path ").count();
        assert_eq!(paths, (0..workflow.len()).map(|ix| workflow.needs(ix).count()).sum::<usize>());
        assert!(svg.contains(r#"<g class="never"><rect"#) && svg.contains("only planned") && !svg.contains("<script"), "{svg}");
    }
}
