//! [`Summary`] in words: a table with a timeline, the figures below it, and what to type next.

use std::time::Duration;

use jiff::Timestamp;
use wf_engine::units::Span;
use wf_sim::Outage;

use super::clocks::Clocks;
use super::drill::{Drill, DrillVerdict};
use super::lines::why;
use super::next::commands_text;
use super::summary::{Failed, OF_VOLUMES, Objective, Row, Summary, Users, Verdict};
use crate::split_brain;

use super::{Ink, Look, clean, count, cut, date_and_time, pad, pad_left, span, time_of_day, wrapped};

/// The most steps, and the most compensations, that the table shows; `--json` has all.
const ROWS_MAX: usize = 120;
/// The most failures that are told in full.
const FAILURES_MAX: usize = 8;
/// The most steps of the critical path that are named.
const PATH_NAMES_MAX: usize = 20;
const STEP_WIDTH_MAX: usize = 28;
const OUTCOME_WIDTH: usize = 12;
const BAR_WIDTHS: std::ops::RangeInclusive<usize> = 12..=48;

impl Summary {
    /// Writes the summary, ready to be shown.
    pub fn text(&self, look: &Look) -> String {
        let mut text = self.headline(look);
        text.push_str(&self.table(look));
        text.push_str(&self.figures(look));
        for failed in self.failures.iter().take(FAILURES_MAX) {
            text.push_str(&failure_text(failed, look));
        }
        if self.failures.len() > FAILURES_MAX {
            text.push_str(&format!("    … and {}\n", count(self.failures.len() - FAILURES_MAX, "more failure")));
        }
        for part in [self.undo.text(look), commands_text(&self.next, look)] {
            if !part.is_empty() {
                text.push_str(&format!("\n{part}"));
            }
        }
        text
    }

    fn headline(&self, look: &Look) -> String {
        let what = look.paint(Ink::Bold, &format!("{} {}", self.workflow, self.run));
        let state = look.paint(self.ink, self.state);
        let place = if self.world == "sim" { "simulated AWS" } else { "AWS" };
        let began = date_and_time(self.started_at);
        let reason = self
            .reason
            .as_ref()
            .map(|reason| format!("  {}\n", look.paint(Ink::Warn, &cut(reason, look.width.saturating_sub(3)))))
            .unwrap_or_default();
        let identity = self.identity.as_ref().map(|identity| format!("  as {}\n", clean(&identity.arn))).unwrap_or_default();
        format!("{what}: {state} after {}\n  {}, {place}, began {began} UTC\n{identity}{reason}\n", secs(self.makespan), self.mode)
    }

    /// Writes every step with its times and its place in the run.
    pub fn table(&self, look: &Look) -> String {
        let all = || self.steps.iter().chain(&self.compensations);
        let step_width = all().map(|row| row.step.as_str().len()).max().unwrap_or(0).clamp(4, STEP_WIDTH_MAX);
        let before_bar = 2 + step_width + 2 + 8 + 8 + 7 + 2 + OUTCOME_WIDTH + 1;
        let columns = Columns {
            step: step_width,
            bar: look.width.saturating_sub(before_bar + 1).clamp(*BAR_WIDTHS.start(), *BAR_WIDTHS.end()),
            span: self.makespan,
        };
        let mut text = columns.title("STEP", look);
        text.push_str(&columns.rows(&self.steps, '▇', look));
        if !self.compensations.is_empty() {
            text.push_str(&columns.title("UNDONE", look));
            text.push_str(&columns.rows(&self.compensations, '▒', look));
        }
        text
    }

    fn figures(&self, look: &Look) -> String {
        let path = &self.critical_path;
        let ids: Vec<_> =
            path.steps.iter().map(ToString::to_string).chain(path.compensations.iter().map(|step| format!("undo {step}"))).collect();
        let more = ids.len().saturating_sub(PATH_NAMES_MAX);
        let mut named = ids.iter().take(PATH_NAMES_MAX).cloned().collect::<Vec<_>>().join(" → ");
        if more > 0 {
            named.push_str(&format!(" → … {more} more"));
        }
        let mut text = String::from("\n");
        if let Some(ratio) = path.ratio {
            let named = wrapped(&named, room(look, 19)).join(&format!("\n{}", " ".repeat(19)));
            text.push_str(&format!("  {} critical path  {}\n{}{named}\n", look.paint(Ink::Busy, "*"), secs(path.seconds), " ".repeat(19)));
            let makespan = format!("{} = {ratio:.2} × the critical path", secs(self.makespan));
            text.push_str(&format!("    makespan       {makespan}, {:.1} steps at once\n", self.parallelism));
        }
        text.push_str(&clocks_text(&self.clocks, look));
        text.push_str(&objective_text("RTO", &self.rto, &self.rto_of().replace(" to the ", " → ").replace(" to ", " → "), look));
        text.push_str(&objective_text("RPO", &self.rpo, "replica lag at the promotion", look));
        if let Some(volumes) = &self.rpo_volumes {
            text.push_str(&objective_text("RPO", volumes, OF_VOLUMES, look));
        }
        self.users.iter().for_each(|users| text.push_str(&users_text(users, look)));
        if let Some(risk) = split_brain::taken(&self.unfenced) {
            text.push_str(&format!("    risk           {}\n", look.paint(Ink::Warn, &risk)));
        }
        if let Some(drill) = &self.drill {
            text.push_str(&drill_text(drill, look));
        }
        text
    }
}

/// The widths of the table's columns, and what its timeline spans.
struct Columns {
    step: usize,
    bar: usize,
    span: f64,
}

impl Columns {
    fn title(&self, first: &str, look: &Look) -> String {
        let end = secs(self.span);
        let scale = if look.plain { String::new() } else { format!("0{}{end}", "─".repeat(self.bar.saturating_sub(1 + end.len()))) };
        let title =
            format!("  {}  {:>8}{:>8}{:>7}  {:<OUTCOME_WIDTH$} {scale}", pad(first, self.step), "START", "TIME", "TRIES", "OUTCOME");
        format!("{}\n", look.paint(Ink::Dim, title.trim_end()))
    }

    fn rows(&self, rows: &[Row], block: char, look: &Look) -> String {
        let mut shown: Vec<&Row> = rows.iter().collect();
        if rows.len() > ROWS_MAX {
            // What matters most stays: what is critical, what went wrong, what took longest.
            let weight = |row: &&Row| (row.critical || row.ink == Ink::Bad, row.duration.unwrap_or_default());
            shown.sort_by(|a, b| weight(b).partial_cmp(&weight(a)).unwrap_or(std::cmp::Ordering::Equal));
            shown.truncate(ROWS_MAX);
            shown.sort_by(|a, b| a.start.unwrap_or(f64::MAX).total_cmp(&b.start.unwrap_or(f64::MAX)));
        }
        let mut text: String = shown.into_iter().map(|row| self.row(row, block, look)).collect();
        if rows.len() > ROWS_MAX {
            text.push_str(&format!("  … and {} more (--json has all)\n", rows.len() - ROWS_MAX));
        }
        text
    }

    fn row(&self, row: &Row, block: char, look: &Look) -> String {
        let mark = if row.critical { look.paint(Ink::Busy, "*") } else { " ".to_owned() };
        let step = pad(&cut(row.step.as_str(), self.step), self.step);
        let start = pad_left(&row.start.map(secs).unwrap_or_default(), 8);
        let time = pad_left(&row.duration.map(secs).unwrap_or_default(), 8);
        let tries = if row.attempts == 0 { String::new() } else { row.attempts.to_string() };
        let outcome = format!("{}{}", look.paint(row.ink, row.outcome), " ".repeat(OUTCOME_WIDTH.saturating_sub(row.outcome.len())));
        let bar = if look.plain { String::new() } else { self.bar(row, block) };
        let bar = if row.critical { look.paint(Ink::Busy, &bar) } else { bar };
        format!("{}\n", format!("{mark} {step}  {start}{time}{tries:>7}  {outcome} {bar}").trim_end())
    }

    /// Draws a row's place in the run: at least one block wide, and never beyond the end.
    fn bar(&self, row: &Row, block: char) -> String {
        let (Some(start), Some(duration)) = (row.start, row.duration) else { return String::new() };
        let column = |at: f64| if self.span > 0.0 { (at / self.span * self.bar as f64).round() as usize } else { 0 };
        let from = column(start).min(self.bar - 1);
        let until = column(start + duration).clamp(from + 1, self.bar);
        format!("{}{}", " ".repeat(from), block.to_string().repeat(until - from))
    }
}

fn objective_text(name: &str, objective: &Objective, of_what: &str, look: &Look) -> String {
    let (word, ink) = match objective.verdict {
        Verdict::Met => ("MET", Ink::Good),
        Verdict::Missed => ("MISSED", Ink::Bad),
        Verdict::NotReached => ("not reached", Ink::Warn),
        Verdict::Unknown => ("unknown", Ink::Warn),
        Verdict::NoObjective => ("no objective", Ink::Dim),
    };
    let figures = match (objective.actual, objective.objective) {
        (Some(actual), Some(objective)) => format!("{} of {}", secs(actual), set_span(objective)),
        (Some(actual), None) => secs(actual),
        (None, Some(objective)) => format!("? of {}", set_span(objective)),
        (None, None) => return String::new(),
    };
    format!("    {}  {} {}\n", pad(&format!("{name}  {figures}"), 25), look.paint(ink, &pad(word, 12)), look.paint(Ink::Dim, of_what))
}

/// Writes the moments of a run whose incident is known, each with its distance from it.
fn clocks_text(clocks: &Clocks, look: &Look) -> String {
    let Some(incident) = clocks.incident else { return String::new() };
    let moment = |(name, at): (&str, Timestamp)| match at.duration_since(incident).as_secs_f64() {
        0.0 => format!("{name} {}", time_of_day(at)),
        later @ 0.0.. => format!("{name} +{}", secs(later)),
        earlier => format!("{name} -{}", secs(-earlier)),
    };
    let moments: Vec<_> = clocks.known().into_iter().map(moment).collect();
    let moments = moments.join(" · ");
    format!("    clocks         {}\n", wrapped(&moments, room(look, 19)).join(&format!("\n{}", " ".repeat(19))))
}

fn drill_text(drill: &Drill, look: &Look) -> String {
    let (word, ink) = match drill.verdict {
        Some(verdict @ DrillVerdict::Pass) => (verdict.to_string(), Ink::Good),
        Some(verdict @ DrillVerdict::Fail) => (verdict.to_string(), Ink::Bad),
        Some(verdict @ DrillVerdict::Inconclusive) => (verdict.to_string(), Ink::Warn),
        None => ("not over".to_owned(), Ink::Warn),
    };
    let mut text =
        format!("    drill          {} {}\n", look.paint(ink, &word), look.paint(Ink::Dim, &format!("in {}", drill.environment)));
    for why in &drill.why {
        text.push_str(&format!("{0}{1}\n", " ".repeat(19), wrapped(why, room(look, 19)).join(&format!("\n{}", " ".repeat(19)))));
    }
    text
}

fn users_text(users: &Users, look: &Look) -> String {
    let ink = |bad: bool| if bad { Ink::Bad } else { Ink::Good };
    let outage = look.paint(ink(users.still_out), &format!("{} of outage", secs(users.outage)));
    let state = if users.still_out { ", still going on" } else { "" };
    let reason = match users.outages.as_slice() {
        [] => String::new(),
        [outage] => format!(":\n{}{}", " ".repeat(19), reason(outage, look)),
        [first, ..] => format!(" in {}, the first:\n{}{}", count(users.outages.len(), "outage"), " ".repeat(19), reason(first, look)),
    };
    let lost = look.paint(ink(users.rows_lost > 0), &format!("{} lost", count_rows(users.rows_lost)));
    let split = look.paint(ink(users.split_brain_rows > 0), &format!("{} in split brain", users.split_brain_rows));
    let rows = format!("{lost}; {split}, of {} since the world began", users.rows_written);
    format!("    users of {}\n      saw          {outage}{state}{reason}\n      their data   {rows}\n", clean(&users.site))
}

fn count_rows(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

fn reason(outage: &Outage, look: &Look) -> String {
    cut(&clean(&outage.reason), room(look, 19).min(100)).into_owned()
}

/// Returns how much room there is behind an indent; elsewhere than on a terminal a line stays a line.
fn room(look: &Look, indent: usize) -> usize {
    if look.tty { look.width.saturating_sub(indent).max(30) } else { usize::MAX }
}

fn failure_text(failed: &Failed, look: &Look) -> String {
    let what = if failed.undoing { "could not be undone" } else { "failed" };
    let title = look.paint(Ink::Bad, &format!("{} {what}:", failed.step));
    let message = clean(&failed.failure.message);
    let why = why(&failed.failure);
    let lines = [message.as_ref()].into_iter().chain(why.iter().map(String::as_str));
    let lines: String = lines.flat_map(|line| wrapped(line, room(look, 4))).map(|line| format!("    {line}\n")).collect();
    format!("\n  {title}\n{lines}")
}

/// Writes an objective as it was set: `15m`.
fn set_span(seconds: f64) -> String {
    Span(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()).to_string()
}

fn secs(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use wf_engine::model::event::{Event, RunOutcome, StepFailure};
    use wf_sim::TrafficReport;

    use super::*;
    use crate::render::tale::{LOOK, Tale, at, id};

    fn summary(tale: &Tale) -> Summary {
        Summary::of(&tale.replayed(), &tale.records, &[])
    }

    fn traffic() -> TrafficReport {
        let outage = |from, until: Option<f64>, reason: &str| Outage { from: at(from), until: until.map(at), reason: reason.into() };
        TrafficReport {
            site: "app.company.com".into(),
            started_at: at(-600.0),
            outage: 590.0,
            outages: vec![outage(-500.0, Some(-400.0), "an older one"), outage(-20.0, Some(470.0), "no healthy instance\u{7}")],
            requests: 1_100,
            failed: 590,
            rows_written: 510,
            rows_lost: 20,
            losses: vec![wf_sim::Loss { at: at(-450.0), rows: 7 }, wf_sim::Loss { at: at(60.0), rows: 13 }],
            split_brain_rows: 0,
            serving_region: Some("us-west-2".into()),
            last_error: None,
        }
    }

    #[test]
    fn a_completed_run() {
        let tale = Tale::completed();
        let summary = Summary::of(&tale.replayed(), &tale.records, &[traffic()]);
        insta::assert_snapshot!(summary.text(&LOOK), @r"
        failover 01HZXW3V9K0000000000000042: completed after 8m 20s
          unplanned, simulated AWS, began 2026-03-01 02:59:00 UTC

          STEP          START    TIME  TRIES  OUTCOME      0─────────────────────────────────────────8m 20s
        * fence            0s     12s      1  succeeded    ▇
        * go              12s     18s      1  succeeded     ▇▇
          scale_app       12s  2m 01s      1  succeeded     ▇▇▇▇▇▇▇▇▇▇▇▇
        * promote         30s  7m 00s      1  succeeded       ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
        * dns          7m 30s     50s      1  succeeded                                               ▇▇▇▇▇
          old_dns                             skipped

          * critical path  8m 20s
                           fence → go → promote → dns
            makespan       8m 20s = 1.00 × the critical path, 1.2 steps at once
            RTO  8m 20s of 15m         MET          run start → end of its last step
            RPO  13s of 5m             MET          replica lag at the promotion
            users of app.company.com
              saw          8m 10s of outage:
                           no healthy instance
              their data   13 rows lost; 0 in split brain, of 510 since the world began
        ");
    }

    #[test]
    fn a_run_that_was_rolled_back() {
        insta::assert_snapshot!(summary(&Tale::rolled_back()).text(&LOOK), @r"
        failover 01HZXW3V9K0000000000000042: rolled back after 1m 55s
          unplanned, simulated AWS, began 2026-03-01 02:59:00 UTC

          STEP          START    TIME  TRIES  OUTCOME      0─────────────────────────────────────────1m 55s
        * fence            0s     12s      1  succeeded    ▇▇▇▇▇
          go              12s  1m 18s      1  interrupted       ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
        * scale_app       12s  1m 18s      1  failed            ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
          promote                             not started
          old_dns                             skipped
          dns                                 not started
          UNDONE        START    TIME  TRIES  OUTCOME      0─────────────────────────────────────────1m 55s
        * scale_app    1m 30s     20s      1  undone                                             ▒▒▒▒▒▒▒▒
        * fence        1m 50s      5s      1  undone                                                     ▒▒

          * critical path  1m 55s
                           fence → scale_app → undo scale_app → undo fence
            makespan       1m 55s = 1.00 × the critical path, 1.7 steps at once
            RTO  1m 55s of 15m         not reached  run start → end of its last step
            RPO  ? of 5m               not reached  replica lag at the promotion

          scale_app failed:
            scale_app cannot be scaled
            because: InsufficientInstanceCapacity
            hint: choose another instance type
        ");
    }

    #[test]
    fn a_run_that_is_paused_past_the_point_of_no_return() {
        insta::assert_snapshot!(summary(&Tale::paused()).text(&LOOK), @r"
        failover 01HZXW3V9K0000000000000042: paused after 7m 30s
          unplanned, simulated AWS, began 2026-03-01 02:59:00 UTC
          scale_app: scale_app cannot be scaled

          STEP          START    TIME  TRIES  OUTCOME      0─────────────────────────────────────────7m 30s
        * fence            0s     12s      1  succeeded    ▇
        * go              12s     18s      1  succeeded     ▇▇
          scale_app       12s  1m 18s      1  failed        ▇▇▇▇▇▇▇▇▇
        * promote         30s  7m 00s      1  succeeded       ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
          old_dns                             skipped
          dns                                 not started

          * critical path  7m 30s
                           fence → go → promote
            makespan       7m 30s = 1.00 × the critical path, 1.2 steps at once
            RTO  7m 30s of 15m         not reached  run start → end of its last step
            RPO  6m 40s of 5m          MISSED       replica lag at the promotion

          scale_app failed:
            scale_app cannot be scaled
            because: InsufficientInstanceCapacity
            hint: choose another instance type

          Can still be undone:
            fence               AutoScalingScale
            scale_app           AutoScalingScale
          Cannot be undone:
            promote             RdsPromoteReadReplica

          Type next:
            wf resume 01HZXW3V9K0000000000000042
                tries scale_app again and goes on
            wf resume 01HZXW3V9K0000000000000042 --mark-done scale_app
                if you did scale_app by hand: goes on behind it
            wf rollback 01HZXW3V9K0000000000000042 --past-point-of-no-return
                undoes fence, scale_app; what cannot be undone stays
        ");
    }

    #[test]
    fn a_run_that_is_stuck() {
        let mut tale = Tale::rolled_back();
        tale.records.truncate(tale.records.len() - 2);
        let mut tale = tale.rechained();
        let failure = StepFailure::permanent("AccessDenied: not authorized to perform autoscaling:UpdateAutoScalingGroup");
        tale = tale.then(115.0, Event::CompensationFailed { step: id("fence"), failure }).finished(115.0, RunOutcome::Stuck);
        insta::assert_snapshot!(summary(&tale).text(&LOOK), @r"
        failover 01HZXW3V9K0000000000000042: stuck after 1m 55s
          unplanned, simulated AWS, began 2026-03-01 02:59:00 UTC

          STEP          START    TIME  TRIES  OUTCOME      0─────────────────────────────────────────1m 55s
        * fence            0s     12s      1  succeeded    ▇▇▇▇▇
          go              12s  1m 18s      1  interrupted       ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
        * scale_app       12s  1m 18s      1  failed            ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
          promote                             not started
          old_dns                             skipped
          dns                                 not started
          UNDONE        START    TIME  TRIES  OUTCOME      0─────────────────────────────────────────1m 55s
        * scale_app    1m 30s     20s      1  undone                                             ▒▒▒▒▒▒▒▒
        * fence        1m 50s      5s      1  NOT UNDONE                                                 ▒▒

          * critical path  1m 55s
                           fence → scale_app → undo scale_app → undo fence
            makespan       1m 55s = 1.00 × the critical path, 1.7 steps at once
            RTO  1m 55s of 15m         not reached  run start → end of its last step
            RPO  ? of 5m               not reached  replica lag at the promotion

          scale_app failed:
            scale_app cannot be scaled
            because: InsufficientInstanceCapacity
            hint: choose another instance type

          fence could not be undone:
            AccessDenied: not authorized to perform autoscaling:UpdateAutoScalingGroup

          Can still be undone:
            fence               AutoScalingScale

          Type next:
            wf resume 01HZXW3V9K0000000000000042
                tries again to undo fence
            wf mark-done 01HZXW3V9K0000000000000042 fence --reason …
                if you undid fence by hand; then `wf resume`
            wf log 01HZXW3V9K0000000000000042
                shows everything that happened
        ");
    }

    #[test]
    fn figures_are_data_too() {
        let summary = serde_json::to_value(summary(&Tale::completed())).expect("JSON");
        assert_eq!((&summary["rto"]["verdict"], &summary["rpo"]["actual"]), (&"met".into(), &12.5.into()));
        assert_eq!(summary["critical_path"]["steps"], serde_json::json!(["fence", "go", "promote", "dns"]));
        assert_eq!((&summary["critical_path"]["ratio"], &summary["parallelism"]), (&1.0.into(), &1.241.into()));
    }

    #[test]
    fn bars_stay_in_their_column() {
        let columns = Columns { step: 4, bar: 10, span: 100.0 };
        let row = |start, duration| Row { start: Some(start), duration: Some(duration), ..summary(&Tale::completed()).steps[0].clone() };
        let bars = [(0.0, 0.0), (0.0, 100.0), (99.9, 0.1), (50.0, 20.0)].map(|(start, duration)| columns.bar(&row(start, duration), '▇'));
        assert_eq!(bars, ["▇", "▇▇▇▇▇▇▇▇▇▇", "         ▇", "     ▇▇"]);
    }
}
