//! [`Report`] as one HTML file: no network, no script. Every text passes [`clean`] and is escaped by `maud`; a content security policy
//! says so once more to the browser.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use wf_engine::model::event::{Operator, StepFailure};

use super::gantt::gantt;
use super::trend::trend;
use super::{Approval, Changed, Deed, Report, Restorer, Trouble, secs};
use crate::render::summary::{OF_VOLUMES, Objective, Row, Users, Verdict};
use crate::render::{Ink, clean, date_and_time, who};

const STYLE: &str = include_str!("style.css");
/// Nothing may be loaded and nothing may run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// The most rows of a table; the JSON has all.
pub(super) const ROWS_MAX: usize = 5_000;

impl Report {
    /// Writes the report as an HTML file.
    pub(super) fn html(&self) -> String {
        let summary = &self.summary;
        let title = format!("{}: {}", clean(&summary.workflow), summary.state);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · " (summary.run) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.head())
                    main {
                        (section("summary", "Summary", &self.key_figures()))
                        (section("timeline", "Timeline", &self.timeline()))
                        (section("people", "Approvals and interventions", &self.people()))
                        (section("left", "Left changed", &self.left_changed()))
                        (section("changes", "Everything that was changed", &self.all_changes()))
                        (section("failures", "Failures", &self.failures()))
                        (section("audit", "For the audit", &self.proof()))
                    }
                    footer { "Written by wf from the run's journal, as of record " (self.audit.last_seq) "." }
                }
            }
        };
        page.into_string() + "\n"
    }

    fn head(&self) -> Markup {
        let summary = &self.summary;
        html! {
            header {
                p.badge.(tone(summary.ink)) { (summary.state) }
                h1 { (clean(&summary.workflow)) }
                p.id { code { (summary.run) } }
                dl.facts {
                    (fact("Began", &html! { (date_and_time(summary.started_at)) " UTC" }))
                    (fact("Last record", &html! { (date_and_time(summary.last_at)) " UTC" }))
                    (fact("Mode", &html! { (summary.mode) }))
                    (fact("Acted on", &html! { (if summary.world == "sim" { "simulated AWS" } else { "AWS" }) }))
                    @if let Some(identity) = &summary.identity { (fact("As", &html! { code { (clean(&identity.arn)) } })) }
                    @if let Some(follows) = &self.follows { (fact("Follows run", &html! { code { (follows) } })) }
                }
            }
        }
    }

    fn key_figures(&self) -> Markup {
        let summary = &self.summary;
        html! {
            ul.sentences { @for sentence in self.sentences() { li { (clean(&sentence)) } } }
            @if let Some(reason) = &summary.reason { p.alert { "Paused: " (clean(reason)) } }
            div.cards {
                (objective("RTO", &summary.rto, summary.rto_of()))
                (objective("RPO", &summary.rpo, "replica lag at the promotion"))
                @if let Some(volumes) = &summary.rpo_volumes { (objective("RPO", volumes, OF_VOLUMES)) }
                div.card { h3 { "Critical path" } p.figure { (secs(summary.critical_path.seconds)) }
                    p.small {
                        @if let Some(ratio) = summary.critical_path.ratio { "the run took " (format!("{ratio:.2}")) " times that; " }
                        (format!("{:.1}", summary.parallelism)) " steps at once on average"
                    }
                }
                @for users in &summary.users { (users_card(users)) }
            }
            @if let Some(drawing) = trend(&self.earlier, summary) { (drawing) }
            @if !summary.next.is_empty() {
                h3 { "What can be done next" }
                dl.next { @for next in &summary.next { dt { code { (next.command) } } dd { (clean(&next.does)) } } }
            }
        }
    }

    fn timeline(&self) -> Markup {
        let summary = &self.summary;
        let path = summary.critical_path.steps.iter().map(ToString::to_string);
        let path: Vec<_> = path.chain(summary.critical_path.compensations.iter().map(|step| format!("undo {step}"))).collect();
        html! {
            @if !path.is_empty() {
                p.path { strong { "Critical path: " } (short_path(&path)) }
                p.legend {
                    span.key.critical { "critical path" } span.key.well { "other steps" } span.key.bad { "failed" }
                    span.key.warn { "interrupted, by hand" } span.key.undo { "undone" }
                }
            }
            @if let Some(drawing) = gantt(summary) { (drawing) }
            (steps("Steps", &summary.steps))
            @if !summary.compensations.is_empty() { (steps("Undone", &summary.compensations)) }
        }
    }

    fn people(&self) -> Markup {
        html! {
            h3 { "Approvals" }
            @if self.approvals.is_empty() { p.none { "The run asked nobody." } } @else {
                (table(&["Step", "Question", "Answer", "By", "Reason", "Asked, answered (UTC)"], self.approvals.len(), &html! {
                    @for approval in self.approvals.iter().take(ROWS_MAX) { (approval_row(approval)) }
                }))
            }
            h3 { "Who did what" }
            (table(&["When (UTC)", "What", "By", "Reason"], self.deeds.len(), &html! {
                @for deed in self.deeds.iter().take(ROWS_MAX) { (deed_row(deed)) }
            }))
        }
    }

    fn left_changed(&self) -> Markup {
        let left: Vec<_> = self.left().collect();
        html! {
            @if left.is_empty() { p.none { "Nothing is left changed." } } @else {
                p { "What the run changed, or may have changed, and did not put back itself." }
                (table(&["Step", "Value", "Was", "Set to", "Who puts it back"], left.len(), &html! {
                    @for changed in left.iter().take(ROWS_MAX) { (ledger_rows(changed, &restorers(changed))) }
                }))
                dl.next { @for (name, command) in self.ways_back() { dt { (clean(&name)) } dd { code { (clean(&command)) } } } }
            }
        }
    }

    fn all_changes(&self) -> Markup {
        html! {
            @if self.changes.is_empty() { p.none { "The run changed nothing." } } @else {
                (table(&["Step", "Value", "Old", "New", "What became of it"], self.changes.len(), &html! {
                    @for changed in self.changes.iter().take(ROWS_MAX) { (ledger_rows(changed, &fate(changed))) }
                }))
            }
        }
    }

    fn failures(&self) -> Markup {
        html! {
            @if self.troubles.is_empty() { p.none { "Nothing failed." } }
            @for trouble in self.troubles.iter().take(ROWS_MAX) { (trouble_block(trouble)) }
            @if self.troubles.len() > ROWS_MAX { p.note { "… and " (self.troubles.len() - ROWS_MAX) " more: the JSON has all." } }
        }
    }

    fn proof(&self) -> Markup {
        let audit = &self.audit;
        html! {
            dl.facts.wide {
                (fact("Run", &html! { code { (self.summary.run) } }))
                (fact("Workflow", &html! { code { (clean(&self.file)) } }))
                (fact("SHA-256 of its text", &html! { code.hash { (clean(&audit.workflow_hash)) } }))
                (fact("Records", &html! { (audit.records) ", the last one is " (audit.last_seq) " of " (date_and_time(audit.last_at)) " UTC" }))
                (fact("SHA-256 of the last record", &html! { code.hash { (audit.head) } }))
                (fact("Processes that owned the run", &html! { (audit.owners) }))
                (fact("wf", &html! { (clean(&audit.wf.join(", "))) }))
                (fact("To check", &html! { code { (audit.verify) } " shows the same number and hash while the journal is whole and unaltered" }))
            }
            @if !self.inputs.is_empty() {
                h3 { "Inputs" }
                (table(&["Input", "Value"], self.inputs.len(), &html! {
                    @for (name, value) in &self.inputs { tr { td { code { (clean(name)) } } td { (clean(&plain(value))) } } }
                }))
            }
        }
    }
}

/// Writes a value as people do: a text without quotes.
pub(super) fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn section(id: &str, title: &str, content: &Markup) -> Markup {
    html! { section id=(id) aria-labelledby=(format!("{id}-title")) { h2 id=(format!("{id}-title")) { (title) } (content) } }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A table that can be scrolled by hand and by keyboard where it is wider than the page.
fn table(titles: &[&str], rows: usize, content: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(titles.join(", ")) {
            table { thead { tr { @for title in titles { th scope="col" { (title) } } } } tbody { (content) } }
        }
        @if rows > ROWS_MAX { p.note { "… and " (rows - ROWS_MAX) " more: the JSON has all." } }
    }
}

fn tone(ink: Ink) -> &'static str {
    match ink {
        Ink::Good => "good",
        Ink::Bad => "bad",
        Ink::Warn => "warn",
        Ink::Busy => "busy",
        Ink::Dim | Ink::Bold | Ink::Plain => "plain",
    }
}

fn objective(name: &str, objective: &Objective, of_what: &str) -> Markup {
    let (word, ink) = verdict(objective.verdict);
    html! {
        div.card {
            h3 { (name) }
            p.figure { @match objective.actual { Some(actual) => (secs(actual)), None => "not measured" } }
            p { @if let Some(objective) = objective.objective { "of " (secs(objective)) " " } span.badge.(tone(ink)) { (word) } }
            p.small { (of_what) }
        }
    }
}

/// Says whether an objective was kept.
pub(super) fn verdict(verdict: Verdict) -> (&'static str, Ink) {
    match verdict {
        Verdict::Met => ("met", Ink::Good),
        Verdict::Missed => ("MISSED", Ink::Bad),
        Verdict::NotReached => ("not reached", Ink::Warn),
        Verdict::Unknown => ("unknown", Ink::Warn),
        Verdict::NoObjective => ("no objective", Ink::Dim),
    }
}

fn users_card(users: &Users) -> Markup {
    html! {
        div.card {
            h3 { "Users of " (clean(&users.site)) }
            p.figure { (secs(users.outage)) }
            p { "of outage" @if users.still_out { " " span.badge.bad { "still going on" } } }
            p.small { (users.rows_lost) " rows lost, " (users.split_brain_rows) " in split brain, of " (users.rows_written) " since the world began" }
        }
    }
}

/// Names a way of a few steps whole, and of many its beginning and its end.
pub(super) fn short_path(path: &[String]) -> String {
    const NAMED: usize = 30;
    if path.len() <= 2 * NAMED {
        return path.join(" → ");
    }
    let (first, last) = (&path[..NAMED], &path[path.len() - NAMED..]);
    format!("{} → … {} more … → {}", first.join(" → "), path.len() - 2 * NAMED, last.join(" → "))
}

fn steps(title: &str, rows: &[Row]) -> Markup {
    html! {
        h3 { (title) }
        (table(&["Step", "Kind", "Start", "Time", "Tries", "Outcome"], rows.len(), &html! {
            @for row in rows.iter().take(ROWS_MAX) {
                tr {
                    td { @if row.critical { strong title="on the critical path" { "▸ " code { (row.step) } } } @else { code { (row.step) } } }
                    td { (clean(&row.kind)) }
                    td.number { (row.start.map(secs).unwrap_or_default()) }
                    td.number { (row.duration.map(secs).unwrap_or_default()) }
                    td.number { @if row.attempts > 0 { (row.attempts) } }
                    td.(tone(row.ink)) { (row.outcome) }
                }
            }
        }))
    }
}

fn by(operator: Option<&Operator>) -> Markup {
    html! {
        @match operator {
            None => { "" }
            Some(operator) => {
                (who(operator))
                @if let Some(identity) = &operator.identity { br; code.small { (clean(&identity.arn)) } }
            }
        }
    }
}

fn approval_row(approval: &Approval) -> Markup {
    html! {
        tr {
            td { code { (approval.step) } }
            td { (clean(&approval.question)) }
            @match approval.granted {
                Some(true) => { td.good { "approved" } }
                Some(false) => { td.bad { "rejected" } }
                None => { td.warn { "no answer" } }
            }
            td { (by(approval.by.as_ref())) }
            td { (clean(approval.reason.as_deref().unwrap_or("not given"))) }
            td.time { (date_and_time(approval.asked_at)) @if let Some(at) = approval.answered_at { br; (date_and_time(at)) } }
        }
    }
}

fn deed_row(deed: &Deed) -> Markup {
    html! {
        tr {
            td.time { (date_and_time(deed.at)) }
            td { (deed.what) @if let Some(step) = &deed.step { ": " code { (step) } }
                @for (name, value) in &deed.outputs { br; code.small { (clean(name)) " = " (clean(&plain(value))) } } }
            td { @if deed.by.is_some() { (by(deed.by.as_ref())) } @else { "the run itself" } }
            td { (clean(deed.reason.as_deref().unwrap_or_default())) }
        }
    }
}

/// A row for each value of a step, the step and what became of it once.
fn ledger_rows(changed: &Changed, last: &Markup) -> Markup {
    let rows = changed.values.len().max(1);
    let step = html! {
        td rowspan=(rows) { code { (changed.step) } br; span.small { (clean(&changed.kind)) }
            @if !changed.on.is_empty() { br; span.small { (clean(&changed.on.join(", "))) } } }
    };
    html! {
        @if changed.values.is_empty() {
            tr { (step) td colspan="3" { (clean(&changed.does)) } td { (last) } }
        }
        @for (place, value) in changed.values.iter().enumerate() {
            tr {
                @if place == 0 { (step) }
                td { (clean(&value.what)) }
                td.value { (or_none(&value.from)) }
                td.value { @match &value.to { Some(to) => (or_none(to)), None => { i { "not recorded" } } } }
                @if place == 0 { td rowspan=(rows) { (last) } }
            }
        }
    }
}

fn or_none(text: &str) -> Markup {
    html! { @if text.is_empty() { i { "none" } } @else { (clean(text)) } }
}

fn fate(changed: &Changed) -> Markup {
    let ink = match changed.fate {
        super::Fate::Stands => Ink::Plain,
        super::Fate::Undone | super::Fate::Gone => Ink::Good,
        super::Fate::Unknown => Ink::Warn,
        super::Fate::NotUndone => Ink::Bad,
    };
    html! {
        span.(tone(ink)) { (changed.fate.words()) }
        @if let Some(at) = changed.undone_at { br; span.small { (date_and_time(at)) " UTC" } }
        @if changed.irreversible { br; span.small { "cannot be undone" } }
    }
}

fn restorers(changed: &Changed) -> Markup {
    html! {
        @if changed.fate != super::Fate::Stands { p.(if changed.fate == super::Fate::NotUndone { "bad" } else { "warn" }) { (changed.fate.words()) } }
        @for restorer in &changed.restorers {
            @match restorer {
                Restorer::Rollback { .. } => { p { "rollback" } }
                Restorer::Run { run, state, fields } => { p { "run " code { (clean(run)) } ", " (state) ", took " (clean(&fields.join(", "))) } }
                Restorer::Workflow { workflow, fields, .. } => { p { (clean(workflow)) span.small { ", which takes " (clean(&fields.join(", "))) } } }
                Restorer::Nothing => { p.none { "nothing to put back is on record" } }
                Restorer::Hand => { p { @if changed.irreversible { "cannot be undone; by hand, if at all" } @else { "nobody known: by hand, if at all" } } }
            }
        }
    }
}

fn trouble_block(trouble: &Trouble) -> Markup {
    let Trouble { failure, .. } = trouble;
    let what = if trouble.undoing { "undoing " } else { "" };
    html! {
        article.trouble {
            h3 { (what) code { (trouble.step) } " "
                @if trouble.made_good { span.badge.good { "made good since" } } @else if trouble.attempt.is_none() { span.badge.bad { "failed" } } @else { span.badge.warn { "tried again" } } }
            p.small { (date_and_time(trouble.at)) " UTC" @if let Some(attempt) = trouble.attempt { ", attempt " (attempt) } }
            (failure_text(failure))
        }
    }
}

fn failure_text(failure: &StepFailure) -> Markup {
    html! {
        p.said { (clean(&failure.message)) }
        @if !failure.causes.is_empty() { ul.causes { @for cause in &failure.causes { li { "because: " (clean(cause)) } } } }
        @if let Some(hint) = &failure.hint { p { strong { "Hint: " } (clean(hint)) } }
    }
}
