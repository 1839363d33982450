//! The drills of a workflow in an environment, one after the other: the RTO and RPO that they measured against what was wanted, as drawings for the
//! report of a drill. Places along the line are percentages, as in the timeline.

use jiff::Timestamp;
use maud::{Markup, html};
use wf_engine::model::ids::RunId;
use wf_engine::runtime::Replayed;

use super::secs;
use crate::render::date_and_time;
use crate::render::drill::{Drill, DrillVerdict};
use crate::render::summary::{Objective, Summary};
use crate::runs::Runs;

/// The most drills that are drawn, the newest.
const DRILLS_MAX: usize = 40;
/// The height of a drawing, and what is left free above and below the points, in pixels.
const HEIGHT: f64 = 150.0;
const MARGIN: f64 = 22.0;
/// What is left free on the left and right, in percent.
const SIDE: f64 = 4.0;

/// What a drill measured.
#[derive(Debug, Clone)]
pub struct Measured {
    pub run: RunId,
    pub started_at: Timestamp,
    pub verdict: DrillVerdict,
    pub rto: Objective,
    pub rpo: Objective,
}

impl Measured {
    /// Takes what a drill measured out of its summary; `None` of one that is not over, or is none.
    pub fn of(summary: &Summary) -> Option<Self> {
        let verdict = summary.drill.as_ref()?.verdict?;
        Some(Self { run: summary.run.clone(), started_at: summary.started_at, verdict, rto: summary.rto, rpo: summary.rpo })
    }
}

/// Gathers the drills of the same workflow in the same environment and world that began before a run, oldest first; none for a run that is no drill.
pub async fn earlier_drills(runs: &Runs, replayed: &Replayed) -> Vec<Measured> {
    let header = &replayed.header;
    let (Some(_), Ok(ids)) = (&header.drill, runs.ids().await) else { return Vec::new() };
    let mut earlier = Vec::new();
    for run in ids.into_iter().rev().skip_while(|run| run.made_at_ms() > header.run.made_at_ms()).filter(|run| *run != header.run) {
        if earlier.len() + 1 >= DRILLS_MAX {
            break;
        }
        // One that cannot be read is shown by `wf list`.
        let Ok((other, found)) = runs.replayed(&run).await else { continue };
        let same = |of: &Replayed| (of.header.workflow.clone(), of.header.drill.clone(), of.header.world.clone());
        if same(&other) == same(replayed) {
            earlier.extend(Measured::of(&Summary::of(&other, &found.records, &[])));
        }
    }
    earlier.reverse();
    earlier
}

/// Draws the drills up to this one; `None` when there was none before it.
pub(super) fn trend(earlier: &[Measured], summary: &Summary) -> Option<Markup> {
    let this = Measured::of(summary)?;
    let Some(Drill { environment, .. }) = &summary.drill else { return None };
    let drills: Vec<&Measured> = earlier.iter().chain([&this]).collect();
    if drills.len() < 2 {
        return None;
    }
    let passed = drills.iter().filter(|drill| drill.verdict == DrillVerdict::Pass).count();
    Some(html! {
        h3 { "The drills before it" }
        p { (passed) " of the last " (drills.len()) " drills of " (environment) " passed. The line across is what was wanted." }
        (drawing("RTO", &drills, |drill| &drill.rto))
        (drawing("RPO", &drills, |drill| &drill.rpo))
    })
}

fn drawing(name: &str, drills: &[&Measured], of: fn(&Measured) -> &Objective) -> Markup {
    let actual = |drill: &&Measured| of(drill).actual;
    let wanted = drills.last().and_then(|drill| of(drill).objective);
    let most = drills.iter().filter_map(actual).chain(wanted).fold(0.0, f64::max);
    if drills.iter().filter_map(actual).next().is_none() {
        return html! { p.none { (name) ": none of them measured it." } };
    }
    let begin = drills[0].started_at.as_second();
    let length = drills[drills.len() - 1].started_at.as_second() - begin;
    // Drills of one moment stand side by side.
    let x = |(nth, drill): (usize, &&Measured)| {
        let place = match length {
            0 => nth as f64 / (drills.len() - 1) as f64,
            _ => (drill.started_at.as_second() - begin) as f64 / length as f64,
        };
        format!("{:.2}%", SIDE + place * (100.0 - 2.0 * SIDE))
    };
    let y = |seconds: f64| format!("{:.1}", HEIGHT - MARGIN - seconds / most.max(1e-9) * (HEIGHT - 2.0 * MARGIN));
    let points: Vec<(String, f64, &Measured)> =
        drills.iter().enumerate().filter_map(|(nth, drill)| Some((x((nth, drill)), of(drill).actual?, *drill))).collect();
    let label = format!("{name} of {} drills; the points have the figures.", points.len());
    html! {
        figure.trend {
            figcaption { (name) }
            svg width="100%" height=(HEIGHT) role="group" aria-label=(label) {
                @if let Some(wanted) = wanted {
                    line.wanted x1="0" x2="100%" y1=(y(wanted)) y2=(y(wanted)) {}
                    text.scale x="0" y=(y(wanted)) dy="-4" { (secs(wanted)) }
                }
                @for pair in points.windows(2) { line.way x1=(pair[0].0) x2=(pair[1].0) y1=(y(pair[0].1)) y2=(y(pair[1].1)) {} }
                @for (x, seconds, drill) in &points {
                    g.(class(drill)) role="img" {
                        title { (drill.verdict) ", " (secs(*seconds)) ", " (date_and_time(drill.started_at)) " UTC, " (drill.run) }
                        circle cx=(x) cy=(y(*seconds)) r="5" {}
                        text x=(x) y=(y(*seconds)) dy="-9" text-anchor="middle" { (secs(*seconds)) }
                    }
                }
            }
        }
    }
}

fn class(drill: &Measured) -> &'static str {
    match drill.verdict {
        DrillVerdict::Pass => "well",
        DrillVerdict::Fail => "bad",
        DrillVerdict::Inconclusive => "warn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::summary::Verdict;
    use crate::render::tale::Tale;

    fn measured(at: i64, rto: f64, verdict: DrillVerdict) -> Measured {
        let objective = |actual| Objective { objective: Some(900.0), actual, verdict: Verdict::Met };
        let started_at = Timestamp::from_second(at).expect("in range");
        Measured { run: RunId::new(at.unsigned_abs(), 1), started_at, verdict, rto: objective(Some(rto)), rpo: objective(None) }
    }

    #[test]
    fn each_drill_is_a_point_under_the_line_that_was_wanted() {
        let tale = Tale::new();
        let mut summary = Summary::of(&tale.replayed(), &tale.records, &[]);
        assert!(trend(&[measured(0, 600.0, DrillVerdict::Pass)], &summary).is_none(), "it is no drill");
        summary.drill = Some(Drill { environment: "staging".into(), verdict: Some(DrillVerdict::Pass), why: Vec::new() });
        assert!(trend(&[], &summary).is_none(), "there is nothing to compare it with");
        summary.rto = Objective { objective: Some(900.0), actual: Some(300.0), verdict: Verdict::Met };
        summary.rpo.actual = None;
        let earlier = [measured(0, 600.0, DrillVerdict::Pass), measured(1000, 1200.0, DrillVerdict::Fail)];
        let drawn = trend(&earlier, &summary).expect("three drills").into_string();
        assert!(drawn.contains("2 of the last 3 drills of staging passed"), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert_eq!(drawn.matches("line class=\"way\"").count(), 2);
        // 1,200 s is the most, so at the upper margin; 900 s were wanted.
        assert!(drawn.contains("cy=\"22.0\"") && drawn.contains("y1=\"48.5\""), "{drawn}");
        assert!(drawn.contains("RPO: none of them measured it"), "{drawn}");
    }
}
