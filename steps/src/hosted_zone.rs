//! The hosted zones of Route 53: finding one by its name, reading a record, changing a record. The paging is done here.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError;
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, RrType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use wf_engine::clock::between;
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use crate::aws::{Cloud, errors};
use crate::record_set::{RecordSet, canonical};
use crate::zone_queue::Wish;

/// The limit of waiting for another change of the zone to be taken in.
const PRIOR_REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// How long that usually takes.
const PRIOR_REQUEST_TYPICALLY: Duration = Duration::from_secs(20);
/// Codes of a batch that has a mistake in one of its changes.
const REFUSED: [&str; 2] = ["InvalidChangeBatch", "InvalidInput"];

/// Lists the zones of exactly the name: their ids, and whether they are private. The list of Route 53 begins at the name and
/// goes on with others, so its first zone can be somebody else's.
pub(crate) async fn named(cloud: &Cloud, zone: &str) -> Result<Vec<(String, bool)>, StepFailure> {
    let call = cloud.route53().list_hosted_zones_by_name();
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

/// Reads the names of a zone's own name servers. A private zone has none that could be asked from outside.
pub(crate) async fn name_servers(cx: &StepContext<Cloud>, zone_id: &str) -> Result<Vec<String>, StepFailure> {
    let answer = cx.env.route53().get_hosted_zone().id(zone_id).send().await;
    let answer = answer.map_err(errors::reading("route53:GetHostedZone", format!("read the name servers of hosted zone {zone_id}")))?;
    Ok(answer.delegation_set.map(|set| set.name_servers).unwrap_or_default())
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

/// Changes a record, in one batch with the other changes of its zone that are ready ([`crate::zone_queue`]), and returns the id of the
/// change. `shown` names the record to the operator.
pub(crate) async fn change(
    cx: &StepContext<Cloud>,
    zone_id: &str,
    action: ChangeAction,
    record: &RecordSet,
    shown: &str,
) -> Result<String, StepFailure> {
    change_all(cx, zone_id, action, std::slice::from_ref(record), shown).await
}

/// As [`change`], for several records: all of them are changed, or none.
pub(crate) async fn change_all(
    cx: &StepContext<Cloud>,
    zone_id: &str,
    action: ChangeAction,
    records: &[RecordSet],
    shown: &str,
) -> Result<String, StepFailure> {
    let impossible = |error| StepFailure::permanent(format!("cannot write {shown}: {error}"));
    let one = |record: &RecordSet| {
        let change = Change::builder().action(action.clone()).resource_record_set(record.to_sdk().map_err(impossible)?);
        change.build().map_err(impossible)
    };
    let changes = records.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let answer = cx.env.zone(zone_id).make(changes, shown, cx.env.role(), async |batch| send(cx, zone_id, batch).await).await;
    answer.unwrap_or_else(|| Err(StepFailure::transient(format!("nobody told what became of the change of {shown}"))))
}

/// Sends a batch and answers each of its changes. Route 53 refuses a batch as a whole: one that it finds a mistake in is halved, until
/// the change with the mistake is alone.
async fn send(cx: &StepContext<Cloud>, zone_id: &str, batch: &[Arc<Wish>]) {
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        let shown = match part {
            [one] => one.shown.clone(),
            several => format!("{} records", several.len()),
        };
        let answer = match send_part(cx, zone_id, part).await {
            Ok(id) => id.ok_or_else(|| StepFailure::transient(format!("Route 53 named no change of {shown}"))),
            Err(error) if part.len() > 1 && REFUSED.iter().any(|code| errors::has_code(&error, code)) => {
                let (front, back) = part.split_at(part.len() / 2);
                parts.extend([back, front]);
                continue;
            }
            Err(error) => {
                Err(errors::changing("route53:ChangeResourceRecordSets", format!("change {shown} in hosted zone {zone_id}"))(error))
            }
        };
        part.iter().for_each(|wish| wish.answer(answer.clone()));
    }
}

/// Sends changes. Route 53 takes one change of a zone at a time: somebody else's that it has not taken in yet is waited for.
async fn send_part(
    cx: &StepContext<Cloud>,
    zone_id: &str,
    part: &[Arc<Wish>],
) -> Result<Option<String>, SdkError<ChangeResourceRecordSetsError, HttpResponse>> {
    let others = match part.len() {
        0 | 1 => String::new(),
        several => format!(" and {} others", several - 1),
    };
    let changes = part.iter().flat_map(|wish| wish.changes.clone()).collect();
    let batch = ChangeBatch::builder().comment(format!("wf run {} step {}{others}", cx.run, cx.step)).set_changes(Some(changes)).build();
    let call = cx.env.route53().change_resource_record_sets().hosted_zone_id(zone_id);
    let call = call.change_batch(batch.map_err(SdkError::construction_failure)?);
    let (mut pacer, began) = (cx.pacer(PRIOR_REQUEST_TYPICALLY), cx.clock.now());
    loop {
        match call.clone().send().await {
            Err(error) if errors::has_code(&error, "PriorRequestNotComplete") && between(began, cx.clock.now()) < PRIOR_REQUEST_LIMIT => {
                cx.progress("another change of the zone to be taken in");
                pacer.pause().await;
            }
            answer => return answer.map(|answer| answer.change_info.map(|info| info.id.trim_start_matches("/change/").to_owned())),
        }
    }
}
