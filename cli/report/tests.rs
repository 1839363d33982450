//! What reports say of made-up runs. Those of real ones are in `tests/cli/report.rs`.

use serde_json::json;
use wf_engine::model::event::{Event, RunOutcome, StepFailure};

use super::*;
use crate::render::tale::{Tale, at, id, operator, outputs};

fn report(tale: &Tale) -> Report {
    Report::of(&tale.replayed(), &tale.records, Besides::default())
}

fn markdown(tale: &Tale) -> String {
    report(tale).written(Format::Md).expect("text")
}

fn html(tale: &Tale) -> String {
    report(tale).written(Format::Html).expect("text")
}

/// Returns a section of a Markdown report.
fn part<'a>(page: &'a str, title: &str) -> &'a str {
    let start = page.find(&format!("## {title}\n")).expect("the section");
    page[start..].split("\n## ").next().expect("at least one")
}

#[test]
fn a_completed_run() {
    insta::assert_snapshot!(markdown(&Tale::completed()), @r#"
    # failover: completed

    Run `01HZXW3V9K0000000000000042`, began 2026-03-01 02:59:00 UTC, last record 2026-03-01 03:07:20 UTC.

    ## Summary

    - The unplanned run of failover on the simulated AWS: completed after 8m 20s.
    - 5 of 6 steps succeeded, 1 not part of this run.
    - 1 approval given; 0 manual interventions; 0 failed attempts.
    - 4 steps left something changed: see “Left changed”.

    | Objective | Achieved | Wanted | |
    |---|---|---|---|
    | RTO, run start to the end of its last step | 8m 20s | 15m 00s | met |
    | RPO, replica lag at the promotion | 13s | 5m 00s | met |

    ## Timeline

    Critical path (*), 8m 20s: fence → go → promote → dns.

    ```text
      STEP          START    TIME  TRIES  OUTCOME      0─────────────────────────────────────────8m 20s
    * fence            0s     12s      1  succeeded    ▇
    * go              12s     18s      1  succeeded     ▇▇
      scale_app       12s  2m 01s      1  succeeded     ▇▇▇▇▇▇▇▇▇▇▇▇
    * promote         30s  7m 00s      1  succeeded       ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
    * dns          7m 30s     50s      1  succeeded                                               ▇▇▇▇▇
      old_dns                             skipped
    ```

    ## Approvals and interventions

    | Step | Question | Answer | By | Reason | Asked (UTC) | Answered (UTC) |
    |---|---|---|---|---|---|---|
    | `go` | Promote prod-db-replica-west? | approved | ops@bastion | east is gone | 2026-03-01 02:59:12 | 2026-03-01 02:59:30 |

    | When (UTC) | What | By | Reason |
    |---|---|---|---|
    | 2026-03-01 02:59:00 | started the run | ops@bastion |  |
    | 2026-03-01 02:59:30 | passed the point of no return: `promote` | the run itself |  |

    ## Left changed

    What the run changed, or may have changed, and did not put back itself.

    | Step | Value | Was | Set to | Who puts it back |
    |---|---|---|---|---|
    | `fence` AutoScalingScale prod-app-asg | desired | 2 | *not recorded* | rollback |
    |  | min | 1 | *not recorded* |  |
    | `scale_app` AutoScalingScale prod-app-dr-asg | desired | 2 | *not recorded* | rollback |
    |  | min | 1 | *not recorded* |  |
    | `promote` RdsPromoteReadReplica prod-db-replica-west | desired | 2 | *not recorded* | cannot be undone; by hand, if at all |
    |  | min | 1 | *not recorded* |  |
    | `dns` Route53Failover z | desired | 2 | *not recorded* | rollback |
    |  | min | 1 | *not recorded* |  |

    - rollback: `wf rollback 01HZXW3V9K0000000000000042 --past-point-of-no-return`

    ## Everything that was changed

    | Step | Value | Old | New | What became of it |
    |---|---|---|---|---|
    | `fence` AutoScalingScale prod-app-asg | desired | 2 | *not recorded* | changed |
    |  | min | 1 | *not recorded* |  |
    | `scale_app` AutoScalingScale prod-app-dr-asg | desired | 2 | *not recorded* | changed |
    |  | min | 1 | *not recorded* |  |
    | `promote` RdsPromoteReadReplica prod-db-replica-west | desired | 2 | *not recorded* | changed, cannot be undone |
    |  | min | 1 | *not recorded* |  |
    | `dns` Route53Failover z | desired | 2 | *not recorded* | changed |
    |  | min | 1 | *not recorded* |  |

    ## Failures

    Nothing failed.

    ## For the audit

    - Workflow `workflows/failover.ron`, SHA-256 `3443243aa4298fb8727eff5a59fa7415681b7b39a78d7ad75bd5b7fcda46c47f`
    - 26 records; the last one, 25, was made 2026-03-01 03:07:20 UTC
    - SHA-256 of the last record: `2c3811976da755f9ed2f38dea5a11126fef9c4d2a13007de8bf5da1c6efbe363`
    - 1 process owned the run; wf 0.1.0
    - `wf journal verify 01HZXW3V9K0000000000000042` shows the same number and hash while the journal is whole and unaltered

    | Input | Value |
    |---|---|
    | `dr_region` | eu-west-1 |
    | `replica` | prod-db-replica-west |
    "#);
}

#[test]
fn a_run_that_was_rolled_back_leaves_nothing() {
    let tale = Tale::rolled_back();
    let page = markdown(&tale);
    insta::assert_snapshot!([part(&page, "Summary"), part(&page, "Left changed"), part(&page, "Everything that was changed"), part(&page, "Failures")].concat(), @r#"
    ## Summary

    - The unplanned run of failover on the simulated AWS: rolled back after 1m 55s.
    - 1 of 6 steps succeeded, 1 not part of this run.
    - 2 of 2 compensations succeeded.
    - 0 approvals given; 0 manual interventions; 1 failed attempt.
    - Nothing is left changed.

    | Objective | Achieved | Wanted | |
    |---|---|---|---|
    | RTO, run start to the end of its last step | 1m 55s | 15m 00s | not reached |
    | RPO, replica lag at the promotion | – | 5m 00s | not reached |
    ## Left changed

    Nothing is left changed.
    ## Everything that was changed

    | Step | Value | Old | New | What became of it |
    |---|---|---|---|---|
    | `fence` AutoScalingScale prod-app-asg | desired | 2 | *not recorded* | undone, 2026-03-01 03:00:55 UTC |
    |  | min | 1 | *not recorded* |  |
    | `scale_app` AutoScalingScale prod-app-dr-asg | desired | 2 | *not recorded* | undone, 2026-03-01 03:00:50 UTC |
    |  | min | 1 | *not recorded* |  |
    ## Failures

    - 2026-03-01 03:00:30 UTC `scale_app`: scale_app cannot be scaled
      - because: InsufficientInstanceCapacity
      - hint: choose another instance type
    "#);
    assert_eq!(report(&tale).left().count(), 0);
}

#[test]
fn a_run_that_is_paused_tells_who_puts_back_what() {
    let page = markdown(&Tale::paused());
    insta::assert_snapshot!([part(&page, "Summary"), part(&page, "Approvals and interventions"), part(&page, "Left changed")].concat(), @r#"
    ## Summary

    - The unplanned run of failover on the simulated AWS: paused after 7m 30s.
    - 3 of 6 steps succeeded, 1 not part of this run.
    - 1 approval given; 0 manual interventions; 1 failed attempt.
    - 3 steps left something changed: see “Left changed”.
    - Paused: scale_app: scale_app cannot be scaled

    | Objective | Achieved | Wanted | |
    |---|---|---|---|
    | RTO, run start to the end of its last step | 7m 30s | 15m 00s | not reached |
    | RPO, replica lag at the promotion | 6m 40s | 5m 00s | MISSED |

    What can be done next:

    - `wf resume 01HZXW3V9K0000000000000042`: tries scale_app again and goes on
    - `wf resume 01HZXW3V9K0000000000000042 --mark-done scale_app`: if you did scale_app by hand: goes on behind it
    - `wf rollback 01HZXW3V9K0000000000000042 --past-point-of-no-return`: undoes fence, scale_app; what cannot be undone stays
    ## Approvals and interventions

    | Step | Question | Answer | By | Reason | Asked (UTC) | Answered (UTC) |
    |---|---|---|---|---|---|---|
    | `go` | Promote prod-db-replica-west? | approved | ops@bastion | east is gone | 2026-03-01 02:59:12 | 2026-03-01 02:59:30 |

    | When (UTC) | What | By | Reason |
    |---|---|---|---|
    | 2026-03-01 02:59:00 | started the run | ops@bastion |  |
    | 2026-03-01 02:59:30 | passed the point of no return: `promote` | the run itself |  |
    | 2026-03-01 03:06:30 | paused | the run itself | scale_app: scale_app cannot be scaled |
    ## Left changed

    What the run changed, or may have changed, and did not put back itself.

    | Step | Value | Was | Set to | Who puts it back |
    |---|---|---|---|---|
    | `fence` AutoScalingScale prod-app-asg | desired | 2 | *not recorded* | rollback |
    |  | min | 1 | *not recorded* |  |
    | `scale_app` AutoScalingScale prod-app-dr-asg | desired | 2 | *not recorded* | rollback |
    |  | min | 1 | *not recorded* |  |
    | `promote` RdsPromoteReadReplica prod-db-replica-west | desired | 2 | *not recorded* | cannot be undone; by hand, if at all |
    |  | min | 1 | *not recorded* |  |

    - rollback: `wf rollback 01HZXW3V9K0000000000000042 --past-point-of-no-return`
    "#);
}

#[test]
fn the_ledger_as_html() {
    let page = html(&Tale::paused());
    let ledger = page.split("<section id=\"left\"").nth(1).expect("the section").split("<section").next().expect("at least one");
    // A line for each row.
    insta::assert_snapshot!(ledger.replace("<tr>", "\n<tr>"), @r#"
     aria-labelledby="left-title"><h2 id="left-title">Left changed</h2><p>What the run changed, or may have changed, and did not put back itself.</p><div class="scroll" tabindex="0" role="region" aria-label="Step, Value, Was, Set to, Who puts it back"><table><thead>
    <tr><th scope="col">Step</th><th scope="col">Value</th><th scope="col">Was</th><th scope="col">Set to</th><th scope="col">Who puts it back</th></tr></thead><tbody>
    <tr><td rowspan="2"><code>fence</code><br><span class="small">AutoScalingScale</span><br><span class="small">prod-app-asg</span></td><td>desired</td><td class="value">2</td><td class="value"><i>not recorded</i></td><td rowspan="2"><p>rollback</p></td></tr>
    <tr><td>min</td><td class="value">1</td><td class="value"><i>not recorded</i></td></tr>
    <tr><td rowspan="2"><code>scale_app</code><br><span class="small">AutoScalingScale</span><br><span class="small">prod-app-dr-asg</span></td><td>desired</td><td class="value">2</td><td class="value"><i>not recorded</i></td><td rowspan="2"><p>rollback</p></td></tr>
    <tr><td>min</td><td class="value">1</td><td class="value"><i>not recorded</i></td></tr>
    <tr><td rowspan="2"><code>promote</code><br><span class="small">RdsPromoteReadReplica</span><br><span class="small">prod-db-replica-west</span></td><td>desired</td><td class="value">2</td><td class="value"><i>not recorded</i></td><td rowspan="2"><p>cannot be undone; by hand, if at all</p></td></tr>
    <tr><td>min</td><td class="value">1</td><td class="value"><i>not recorded</i></td></tr></tbody></table></div><dl class="next"><dt>rollback</dt><dd><code>wf rollback 01HZXW3V9K0000000000000042 --past-point-of-no-return</code></dd></dl></section>
    "#);
}

#[test]
fn the_timeline_is_drawn() {
    let page = html(&Tale::rolled_back());
    let bars = page.split("<svg class=\"lanes\"").nth(1).expect("a drawing").split("</svg>").next().expect("at least one");
    insta::assert_snapshot!(bars.replace("<g ", "\n<g ").replace("<line ", "\n<line "), @r#"
     width="100%" height="156" role="group" aria-label="Timeline of 5 bars from its start to 1m 55s; the table below it has the same.">
    <line class="tick" x1="0.00%" x2="0.00%" y1="18" y2="156"></line><text class="scale" x="0.00%" y="13" text-anchor="start">0s</text>
    <line class="tick" x1="26.09%" x2="26.09%" y1="18" y2="156"></line><text class="scale" x="26.09%" y="13" text-anchor="start">30s</text>
    <line class="tick" x1="52.17%" x2="52.17%" y1="18" y2="156"></line><text class="scale" x="52.17%" y="13" text-anchor="start">1m 00s</text>
    <line class="tick" x1="78.26%" x2="78.26%" y1="18" y2="156"></line><text class="scale" x="78.26%" y="13" text-anchor="start">1m 30s</text>
    <g class="critical" role="img"><title>fence (AutoScalingScale): succeeded after 12s, began at 0s, on the critical path</title><rect x="0.00%" width="10.43%" y="27" height="15" rx="2"></rect><text class="time" x="10.43%" dx="5" y="39" text-anchor="start">12s</text></g>
    <g class="warn" role="img"><title>go (Approval): interrupted after 1m 18s, began at 12s</title><rect x="10.43%" width="67.83%" y="53" height="15" rx="2"></rect><text class="time" x="78.26%" dx="5" y="65" text-anchor="start">1m 18s</text></g>
    <g class="bad critical" role="img"><title>scale_app (AutoScalingScale): failed after 1m 18s, began at 12s, on the critical path</title><rect x="10.43%" width="67.83%" y="79" height="15" rx="2"></rect><text class="time" x="78.26%" dx="5" y="91" text-anchor="start">1m 18s</text></g>
    <g class="undo critical" role="img"><title>undo scale_app (AutoScalingScale): undone after 20s, began at 1m 30s, on the critical path</title><rect x="78.26%" width="17.39%" y="105" height="15" rx="2"></rect><text class="time" x="78.26%" dx="-5" y="117" text-anchor="end">20s</text></g>
    <g class="undo critical" role="img"><title>undo fence (AutoScalingScale): undone after 5s, began at 1m 50s, on the critical path</title><rect x="95.65%" width="4.35%" y="131" height="15" rx="2"></rect><text class="time" x="95.65%" dx="-5" y="143" text-anchor="end">5s</text></g>
    "#);
}

#[test]
fn what_could_not_be_undone_is_left() {
    let mut tale = Tale::rolled_back();
    tale.records.truncate(tale.records.len() - 2);
    let failure = StepFailure::permanent("AccessDenied: not authorized to perform autoscaling:UpdateAutoScalingGroup");
    let tale = tale.rechained().then(115.0, Event::CompensationFailed { step: id("fence"), failure }).finished(115.0, RunOutcome::Stuck);
    let report = report(&tale);
    let left: Vec<_> = report.left().map(|changed| (changed.step.as_str(), changed.fate)).collect();
    assert_eq!(left, [("fence", Fate::NotUndone)]);
    let again = Restorer::Rollback { command: format!("wf resume {}", report.summary.run) };
    assert_eq!(report.left().next().expect("fence").restorers, [again]);
    let last = report.troubles.last().expect("a failure");
    assert!(last.undoing && !last.made_good && last.failure.message.starts_with("AccessDenied"), "{last:?}");
}

#[test]
fn a_failure_is_made_good_by_what_comes_after_it() {
    let failure = || StepFailure::transient("Throttling: Rate exceeded");
    let retried = Event::AttemptFailed { step: id("fence"), attempt: 1, failure: failure(), retry_at: at(2.0) };
    let tale = Tale::new().then(0.0, Event::StepStarted { step: id("fence"), attempt: 1 }).then(1.0, retried);
    let made_good = |tale: &Tale| report(tale).troubles.iter().map(|trouble| (trouble.attempt, trouble.made_good)).collect::<Vec<_>>();
    assert_eq!(made_good(&tale), [(Some(1), false)]);
    let tale = tale.then(2.0, Event::StepStarted { step: id("fence"), attempt: 2 }).succeeded(3.0, "fence", json!({}));
    assert_eq!(made_good(&tale), [(Some(1), true)]);
    // That a step succeeded says nothing of its undoing.
    let undone = Tale::rolled_back();
    assert_eq!(made_good(&undone), [(None, false)]);
}

/// Between the intent and AWS's answer nobody knows.
#[test]
fn a_step_that_was_cut_off_is_perhaps_changed() {
    let tale = Tale::new().then(0.0, Event::StepStarted { step: id("fence"), attempt: 1 });
    let observed = Event::StepObserved { step: id("fence"), before: json!({"min": 1}), satisfied: false };
    let tale = tale.then(1.0, observed).then(2.0, Event::RunResumed { by: operator() });
    assert_eq!(report(&tale).changes[0].fate, Fate::Unknown);
    let marked =
        Event::StepMarkedDone { step: id("fence"), outputs: outputs(json!({"in_service": 0})), by: operator(), reason: String::new() };
    let report = report(&tale.then(3.0, marked));
    assert_eq!(report.changes[0].fate, Fate::Stands);
    let deeds: Vec<_> = report.deeds.iter().map(|deed| (deed.what.as_str(), deed.by.is_some())).collect();
    assert_eq!(deeds, [("started the run", true), ("resumed the run", true), ("said that the step is done", true)]);
}

#[test]
fn foreign_text_becomes_no_markup() {
    let hostile = "<script>alert(1)</script> | `x` [a](http://b) *c* \u{1b}[31mred\u{202e}";
    let failure = StepFailure::transient(hostile).because(hostile).hint(hostile);
    let tale = Tale::new().then(0.0, Event::StepStarted { step: id("fence"), attempt: 1 });
    let tale = tale.then(1.0, Event::StepFailed { step: id("fence"), failure }).then(1.0, Event::RunPaused { reason: hostile.into() });
    let page = html(&tale);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt; | `x`"), "{page}");
    for text in [page, markdown(&tale)] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
    let told = r"\<script\>alert(1)\</script\> \| \`x\` \[a\](http://b) \*c\* red";
    assert_eq!(markdown(&tale).matches(told).count(), 5, "paused twice, and message, cause and hint");
    // As data it stays what the journal holds.
    assert_eq!(report(&tale).troubles[0].failure.message, hostile);
}

#[test]
fn the_head_is_that_of_the_chain() {
    let tale = Tale::completed();
    let audit = report(&tale).audit;
    let last = tale.records.last().expect("records");
    assert_eq!((audit.last_seq, audit.records as u64), (last.seq, last.seq + 1));
    assert_eq!(audit.head, last.seal().expect("small").hash);
}

#[test]
fn names_within_words_need_no_escape() {
    let tale = Tale::new().then(0.0, Event::RunPaused { reason: "scale_app waits, _so_ it is".into() });
    assert!(markdown(&tale).contains(r"- Paused: scale_app waits, \_so\_ it is"), "{}", markdown(&tale));
}
