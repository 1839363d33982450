//! [`Report`] as Markdown, for tickets and wikis. Foreign text is cleaned and escaped, so that it cannot become markup.

use wf_engine::model::event::Operator;

use super::html::{ROWS_MAX, plain, short_path, verdict};
use super::{Altered, Changed, Deed, Fate, Report, Restorer, Trouble, secs};
use crate::render::summary::{OF_VOLUMES, Objective};
use crate::render::{Look, clean, date_and_time, who};

/// How the timeline looks: as wide as pages are that show code.
const LOOK: Look = Look { color: false, tty: false, plain: false, width: 100 };

impl Report {
    /// Writes the report as Markdown.
    pub(super) fn markdown(&self) -> String {
        let summary = &self.summary;
        let mut page = format!("# {}: {}\n\n", md(&summary.workflow), summary.state);
        page.push_str(&format!(
            "Run {}, began {} UTC, last record {} UTC.\n",
            code(summary.run.as_str()),
            date_and_time(summary.started_at),
            date_and_time(summary.last_at)
        ));
        if let Some(identity) = &summary.identity {
            page.push_str(&format!("Acted as {}.\n", code(&identity.arn)));
        }
        if let Some(follows) = &self.follows {
            page.push_str(&format!("Follows run {}.\n", code(follows.as_str())));
        }
        page.push_str(&self.md_summary());
        page.push_str(&self.md_timeline());
        page.push_str(&self.md_people());
        page.push_str(&self.md_changes());
        page.push_str("\n## Failures\n\n");
        if self.troubles.is_empty() {
            page.push_str("Nothing failed.\n");
        }
        self.troubles.iter().take(ROWS_MAX).for_each(|trouble| page.push_str(&trouble_item(trouble)));
        page.push_str(&more(self.troubles.len()));
        page.push_str(&self.md_audit());
        page
    }

    fn md_summary(&self) -> String {
        let summary = &self.summary;
        let mut text = String::from("\n## Summary\n\n");
        self.sentences().iter().for_each(|sentence| text.push_str(&format!("- {}\n", md(sentence))));
        if let Some(reason) = &summary.reason {
            text.push_str(&format!("- Paused: {}\n", md(reason)));
        }
        text.push_str("\n| Objective | Achieved | Wanted | |\n|---|---|---|---|\n");
        text.push_str(&objective(&format!("RTO, {}", summary.rto_of()), &summary.rto));
        text.push_str(&objective("RPO, replica lag at the promotion", &summary.rpo));
        if let Some(volumes) = &summary.rpo_volumes {
            text.push_str(&objective(&format!("RPO, {OF_VOLUMES}"), volumes));
        }
        for users in &summary.users {
            let still = if users.still_out { ", still going on" } else { "" };
            text.push_str(&format!(
                "\nUsers of {}: {} of outage{still}; {} rows lost, {} in split brain, of {} since the world began.\n",
                md(&users.site),
                secs(users.outage),
                users.rows_lost,
                users.split_brain_rows,
                users.rows_written
            ));
        }
        if !summary.next.is_empty() {
            text.push_str("\nWhat can be done next:\n\n");
            summary.next.iter().for_each(|next| text.push_str(&format!("- {}: {}\n", code(&next.command), md(&next.does))));
        }
        text
    }

    fn md_timeline(&self) -> String {
        let path = &self.summary.critical_path;
        let named = path.steps.iter().map(ToString::to_string).chain(path.compensations.iter().map(|step| format!("undo {step}")));
        let named: Vec<_> = named.collect();
        let mut text = String::from("\n## Timeline\n\n");
        if !named.is_empty() {
            text.push_str(&format!("Critical path (*), {}: {}.\n\n", secs(path.seconds), md(&short_path(&named))));
        }
        text.push_str(&format!("```text\n{}```\n", self.summary.table(&LOOK)));
        text
    }

    fn md_people(&self) -> String {
        let mut text = String::from("\n## Approvals and interventions\n\n");
        if self.approvals.is_empty() {
            text.push_str("The run asked nobody.\n");
        } else {
            text.push_str("| Step | Question | Answer | By | Reason | Asked (UTC) | Answered (UTC) |\n|---|---|---|---|---|---|---|\n");
        }
        for approval in self.approvals.iter().take(ROWS_MAX) {
            let answer = match approval.granted {
                Some(true) => "approved",
                Some(false) => "**rejected**",
                None => "no answer",
            };
            text.push_str(&row(&[
                code(approval.step.as_str()),
                md(&approval.question),
                answer.to_owned(),
                by(approval.by.as_ref()),
                md(approval.reason.as_deref().unwrap_or("not given")),
                date_and_time(approval.asked_at),
                approval.answered_at.map(date_and_time).unwrap_or_default(),
            ]));
        }
        text.push_str(&more(self.approvals.len()));
        text.push_str("\n| When (UTC) | What | By | Reason |\n|---|---|---|---|\n");
        self.deeds.iter().take(ROWS_MAX).for_each(|deed| text.push_str(&deed_row(deed)));
        text.push_str(&more(self.deeds.len()));
        text
    }

    fn md_changes(&self) -> String {
        let left: Vec<_> = self.left().collect();
        let mut text = String::from("\n## Left changed\n\n");
        if left.is_empty() {
            text.push_str("Nothing is left changed.\n");
        } else {
            text.push_str("What the run changed, or may have changed, and did not put back itself.\n\n");
            text.push_str("| Step | Value | Was | Set to | Who puts it back |\n|---|---|---|---|---|\n");
        }
        left.iter().take(ROWS_MAX).for_each(|changed| text.push_str(&ledger_rows(changed, &restorers(changed))));
        text.push_str(&more(left.len()));
        let ways = self.ways_back();
        text.push_str(if ways.is_empty() { "" } else { "\n" });
        ways.iter().for_each(|(name, command)| text.push_str(&format!("- {}: {}\n", md(name), code(command))));
        text.push_str("\n## Everything that was changed\n\n");
        if self.changes.is_empty() {
            text.push_str("The run changed nothing.\n");
        } else {
            text.push_str("| Step | Value | Old | New | What became of it |\n|---|---|---|---|---|\n");
        }
        self.changes.iter().take(ROWS_MAX).for_each(|changed| text.push_str(&ledger_rows(changed, &fate(changed))));
        text.push_str(&more(self.changes.len()));
        text
    }

    fn md_audit(&self) -> String {
        let audit = &self.audit;
        let mut text = String::from("\n## For the audit\n\n");
        text.push_str(&format!("- Workflow {}, SHA-256 {}\n", code(&self.file), code(&audit.workflow_hash)));
        text.push_str(&format!(
            "- {} records; the last one, {}, was made {} UTC\n",
            audit.records,
            audit.last_seq,
            date_and_time(audit.last_at)
        ));
        text.push_str(&format!("- SHA-256 of the last record: {}\n", code(&audit.head)));
        text.push_str(&format!(
            "- {} owned the run; wf {}\n",
            if audit.owners == 1 { "1 process".to_owned() } else { format!("{} processes", audit.owners) },
            md(&audit.wf.join(", "))
        ));
        text.push_str(&format!("- {} shows the same number and hash while the journal is whole and unaltered\n", code(&audit.verify)));
        if !self.inputs.is_empty() {
            text.push_str("\n| Input | Value |\n|---|---|\n");
            self.inputs.iter().for_each(|(name, value)| text.push_str(&row(&[code(name), md(&plain(value))])));
        }
        text
    }
}

/// Writes foreign text so that Markdown shows it as it is.
fn md(text: &str) -> String {
    let text = clean(text);
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let within = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
        let special = match c {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '$' => true,
            // Within a word it is no emphasis.
            '_' => !(before.is_alphanumeric() && within(chars.peek())),
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(c);
        before = c;
    }
    escaped
}

/// Writes foreign text as code, that it can be copied. A bar would end the cell of a table, and a backtick the code.
fn code(text: &str) -> String {
    let text = clean(text);
    if text.is_empty() || text.contains(['`', '|']) { md(&text) } else { format!("`{text}`") }
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn more(rows: usize) -> String {
    if rows > ROWS_MAX { format!("\n… and {} more: the JSON has all.\n", rows - ROWS_MAX) } else { String::new() }
}

fn objective(name: &str, objective: &Objective) -> String {
    let (word, _) = verdict(objective.verdict);
    let span = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), secs);
    row(&[name.to_owned(), span(objective.actual), span(objective.objective), word.to_owned()])
}

fn by(operator: Option<&Operator>) -> String {
    let Some(operator) = operator else { return String::new() };
    let identity = operator.identity.as_ref().map(|identity| format!(" as {}", code(&identity.arn))).unwrap_or_default();
    format!("{}{identity}", md(&who(operator)))
}

fn deed_row(deed: &Deed) -> String {
    let step = deed.step.as_ref().map(|step| format!(": {}", code(step.as_str()))).unwrap_or_default();
    let outputs: String = deed.outputs.iter().map(|(name, value)| format!(", {} = {}", md(name), md(&plain(value)))).collect();
    let by = if deed.by.is_some() { by(deed.by.as_ref()) } else { "the run itself".to_owned() };
    row(&[date_and_time(deed.at), format!("{}{step}{outputs}", deed.what), by, md(deed.reason.as_deref().unwrap_or_default())])
}

fn ledger_rows(changed: &Changed, last: &str) -> String {
    let on = if changed.on.is_empty() { String::new() } else { format!(" {}", md(&changed.on.join(", "))) };
    let step = format!("{} {}{on}", code(changed.step.as_str()), md(&changed.kind));
    if changed.values.is_empty() {
        return row(&[step, md(&changed.does), String::new(), String::new(), last.to_owned()]);
    }
    let none = |text: &str| if text.is_empty() { "*none*".to_owned() } else { md(text) };
    let new = |value: &Altered| value.to.as_deref().map_or_else(|| "*not recorded*".to_owned(), none);
    let values = changed.values.iter().enumerate();
    let told = values.map(|(place, value)| {
        let (step, last) = if place == 0 { (step.as_str(), last) } else { ("", "") };
        row(&[step.to_owned(), md(&value.what), none(&value.from), new(value), last.to_owned()])
    });
    told.collect()
}

fn fate(changed: &Changed) -> String {
    let at = changed.undone_at.map(|at| format!(", {} UTC", date_and_time(at))).unwrap_or_default();
    let never = if changed.irreversible { ", cannot be undone" } else { "" };
    format!("{}{at}{never}", changed.fate.words())
}

fn restorers(changed: &Changed) -> String {
    let told = changed.restorers.iter().map(|restorer| match restorer {
        Restorer::Rollback { .. } => "rollback".to_owned(),
        Restorer::Run { run, state, fields } => format!("run {}, {state}, took {}", md(run), md(&fields.join(", "))),
        Restorer::Workflow { workflow, fields, .. } => format!("{}, which takes {}", md(workflow), md(&fields.join(", "))),
        Restorer::Nothing => "nothing to put back is on record".to_owned(),
        Restorer::Hand if changed.irreversible => "cannot be undone; by hand, if at all".to_owned(),
        Restorer::Hand => "nobody known: by hand, if at all".to_owned(),
    });
    let told = told.collect::<Vec<_>>().join("; or ");
    if changed.fate == Fate::Stands { told } else { format!("{}: {told}", changed.fate.words()) }
}

fn trouble_item(trouble: &Trouble) -> String {
    let what = if trouble.undoing { "undoing " } else { "" };
    let attempt = trouble.attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
    let since = if trouble.made_good { ", made good since" } else { "" };
    let mut text = format!(
        "- {} UTC {what}{}{attempt}{since}: {}\n",
        date_and_time(trouble.at),
        code(trouble.step.as_str()),
        md(&trouble.failure.message)
    );
    trouble.failure.causes.iter().for_each(|cause| text.push_str(&format!("  - because: {}\n", md(cause))));
    trouble.failure.hint.iter().for_each(|hint| text.push_str(&format!("  - hint: {}\n", md(hint))));
    text
}
