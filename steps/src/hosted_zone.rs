//! The hosted zones of Route 53: finding one by its name, reading a record, changing a record. The paging is done here.

use std::time::Duration;

use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, RrType};
use wf_engine::clock::between;
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use crate::aws::{Cloud, errors};
use crate::record_set::{RecordSet, canonical};

/// The limit of waiting for another change of the zone to be taken in.
const PRIOR_REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// Lists the zones of exactly the name: their ids, and whether they are private. The list of Route 53 begins at the name and
/// goes on with others, so its first zone can be somebody else's.
pub(crate) async fn named(cx: &StepContext<Cloud>, zone: &str) -> Result<Vec<(String, bool)>, StepFailure> {
    let call = cx.env.route53().list_hosted_zones_by_name();
    let mut page = call.clone().dns_name(zone);
    let mut found = Vec::new();
    loop {
        let answer = page.send().await;
        let answer = answer.map_err(errors::reading("route53:ListHostedZonesByName", format!("find hosted zone {zone}")))?;
        let same = |name: &str| canonical(name) == canonical(zone);
        found.extend(answer.hosted_zones.iter().filter(|zone| same(&zone.name)).map(|zone| {
            (zone.id.trim_start_matches("/hostedzone/").to_owned(), zone.config.as_ref().is_some_and(|config| config.private_zone))
        }));
        match (answer.is_truncated, answer.next_dns_name) {
            (true, Some(name)) if same(&name) => page = call.clone().dns_name(name).set_hosted_zone_id(answer.next_hosted_zone_id),
            _ => return Ok(found),
        }
    }
}

/// Reads all records of a name and type.
pub(crate) async fn records(cx: &StepContext<Cloud>, zone_id: &str, name: &str, kind: &str) -> Result<Vec<RecordSet>, StepFailure> {
    let wanted = |other: &str, of: &RrType| canonical(other) == canonical(name) && of.as_str() == kind;
    let call = cx.env.route53().list_resource_record_sets().hosted_zone_id(zone_id);
    let mut page = call.clone().start_record_name(name).start_record_type(kind.into());
    let mut found = Vec::new();
    loop {
        let answer = page.send().await;
        let answer = answer
            .map_err(errors::reading("route53:ListResourceRecordSets", format!("read record {name} {kind} in hosted zone {zone_id}")))?;
        found.extend(answer.resource_record_sets.iter().filter(|record| wanted(&record.name, &record.r#type)).map(RecordSet::from));
        match (answer.is_truncated, answer.next_record_name, answer.next_record_type) {
            (true, Some(next), Some(of)) if wanted(&next, &of) => {
                page =
                    call.clone().start_record_name(next).start_record_type(of).set_start_record_identifier(answer.next_record_identifier);
            }
            _ => return Ok(found),
        }
    }
}

/// Changes a record in one batch, and returns the id of the change. Route 53 takes one change of a zone at a time: another one
/// that it has not taken in yet is waited for. `shown` names the record to the operator.
pub(crate) async fn change(
    cx: &StepContext<Cloud>,
    zone_id: &str,
    action: ChangeAction,
    record: &RecordSet,
    shown: &str,
) -> Result<String, StepFailure> {
    let impossible = |error| StepFailure::permanent(format!("cannot write {shown}: {error}"));
    let change = Change::builder().action(action).resource_record_set(record.to_sdk().map_err(impossible)?).build().map_err(impossible)?;
    let batch =
        ChangeBatch::builder().comment(format!("wf run {} step {}", cx.run, cx.step)).changes(change).build().map_err(impossible)?;
    let call = cx.env.route53().change_resource_record_sets().hosted_zone_id(zone_id).change_batch(batch);
    let (mut pacer, began) = (cx.pacer(), cx.clock.now());
    let answer = loop {
        match call.clone().send().await {
            Err(error) if errors::has_code(&error, "PriorRequestNotComplete") && between(began, cx.clock.now()) < PRIOR_REQUEST_LIMIT => {
                cx.progress("another change of the zone to be taken in");
                pacer.pause().await;
            }
            answer => break answer,
        }
    };
    let answer =
        answer.map_err(errors::changing("route53:ChangeResourceRecordSets", format!("change {shown} in hosted zone {zone_id}")))?;
    let id = answer.change_info.map(|info| info.id.trim_start_matches("/change/").to_owned());
    id.ok_or_else(|| StepFailure::transient(format!("Route 53 named no change of {shown}")))
}
