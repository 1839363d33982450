//! The timeline as a drawing: a bar for each step and each compensation, the critical path strong, the time along the top. Places along the
//! line are percentages, so that it is as wide as the page and its texts stay as large as they are.

use maud::{Markup, html};

use super::secs;
use crate::render::summary::{Row, Summary};
use crate::render::{Ink, cut};

/// The most bars that are drawn; the table has every step.
const BARS_MAX: usize = 300;
/// The most columns of a step's name beside its bar.
const LABEL_WIDTH: usize = 26;
/// The most marks along the time.
const TICKS_MAX: f64 = 6.0;
/// The height of a row and of the scale above them, in pixels.
const ROW: usize = 26;
const SCALE: usize = 22;

/// A bar to be drawn.
struct Bar<'a> {
    row: &'a Row,
    undo: bool,
}

/// Draws a run's timeline; `None` when nothing began.
pub fn gantt(summary: &Summary) -> Option<Markup> {
    let bars = bars(summary);
    if bars.is_empty() {
        return None;
    }
    let all = summary.steps.iter().chain(&summary.compensations).filter(|row| row.start.is_some()).count();
    let height = SCALE + bars.len() * ROW + 4;
    // An end that is no moment's is one of a run that took none.
    let span = if summary.makespan > 0.0 { summary.makespan } else { 1.0 };
    let at = |seconds: f64| (seconds / span * 100.0).clamp(0.0, 100.0);
    let label = format!("Timeline of {} bars from its start to {}; the table below it has the same.", bars.len(), secs(summary.makespan));
    Some(html! {
        @if all > bars.len() {
            p.note { "Drawn are " (bars.len()) " of " (all) ": the critical path, what failed, and what took longest. The table has every step." }
        }
        div.gantt {
            svg.labels aria-hidden="true" width="100%" height=(height) {
                @for (place, bar) in bars.iter().enumerate() {
                    g.(class(bar)) { text x="0" y=(SCALE + place * ROW + 17) { @if bar.row.critical { "▸ " } (cut(&name(bar), LABEL_WIDTH)) } }
                }
            }
            svg.lanes width="100%" height=(height) role="group" aria-label=(label) {
                @for tick in ticks(span) {
                    line.tick x1=(percent(at(tick))) x2=(percent(at(tick))) y1=(SCALE - 4) y2=(height) {}
                    text.scale x=(percent(at(tick))) y="13" text-anchor=(if at(tick) > 94.0 { "end" } else { "start" }) { (secs(tick)) }
                }
                @for (place, bar) in bars.iter().enumerate() { (drawn(bar, SCALE + place * ROW, &at)) }
            }
        }
    })
}

fn name(bar: &Bar<'_>) -> String {
    if bar.undo { format!("undo {}", bar.row.step) } else { bar.row.step.to_string() }
}

fn drawn(bar: &Bar<'_>, top: usize, at: &dyn Fn(f64) -> f64) -> Markup {
    let row = bar.row;
    let (start, duration) = (row.start.unwrap_or_default(), row.duration.unwrap_or_default());
    let (from, until) = (at(start), at(start + duration));
    let time = secs(duration);
    let critical = if row.critical { ", on the critical path" } else { "" };
    let title = format!("{} ({}): {} after {time}, began at {}{critical}", name(bar), row.kind, row.outcome, secs(start));
    // The time stands behind its bar, or before it where there is no room behind, or at its end.
    let (x, anchor, dx, inside) = match (until, from) {
        (until, _) if until <= 84.0 => (until, "start", "5", false),
        (_, from) if from >= 16.0 => (from, "end", "-5", false),
        (until, _) => (until, "end", "-6", true),
    };
    html! {
        g.(class(bar)) role="img" {
            title { (title) }
            rect x=(percent(from)) width=(percent((until - from).max(0.35))) y=(top + 5) height="15" rx="2" {}
            text.time.inside[inside] x=(percent(x)) dx=(dx) y=(top + 17) text-anchor=(anchor) { (time) }
        }
    }
}

/// Names the looks of a bar: what it is, and whether it decided how long the run took.
fn class(bar: &Bar<'_>) -> &'static str {
    match (bar.row.ink, bar.undo, bar.row.critical) {
        (Ink::Bad, _, true) => "bad critical",
        (Ink::Bad, _, false) => "bad",
        (Ink::Warn, false, true) => "warn critical",
        (Ink::Warn, false, false) => "warn",
        (_, true, true) => "undo critical",
        (_, true, false) => "undo",
        (_, false, true) => "critical",
        (_, false, false) => "well",
    }
}

/// Chooses what is drawn: all of it, or what matters most.
fn bars(summary: &Summary) -> Vec<Bar<'_>> {
    let forward = summary.steps.iter().map(|row| Bar { row, undo: false });
    let back = summary.compensations.iter().map(|row| Bar { row, undo: true });
    let mut bars: Vec<_> = forward.chain(back).filter(|bar| bar.row.start.is_some()).collect();
    if bars.len() > BARS_MAX {
        let weight = |bar: &Bar<'_>| (bar.row.ink == Ink::Bad, bar.row.critical, bar.row.duration.unwrap_or_default());
        bars.sort_by(|a, b| weight(b).partial_cmp(&weight(a)).unwrap_or(std::cmp::Ordering::Equal));
        bars.truncate(BARS_MAX);
    }
    bars.sort_by(|a, b| a.undo.cmp(&b.undo).then(a.row.start.unwrap_or_default().total_cmp(&b.row.start.unwrap_or_default())));
    bars
}

/// Chooses round moments, few enough to be read side by side.
fn ticks(span: f64) -> Vec<f64> {
    const STEPS: [f64; 18] = [
        0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0,
    ];
    let step = STEPS.into_iter().find(|step| span / step <= TICKS_MAX).unwrap_or(span / TICKS_MAX);
    (0..).map(|n| f64::from(n) * step).take_while(|&tick| tick <= span).take(TICKS_MAX as usize + 1).collect()
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}
