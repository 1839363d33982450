//! Route 53: finding zones, changing records as a whole or not at all, waiting for them to be served.

use aws_sdk_route53::error::ProvideErrorMetadata;
use aws_sdk_route53::types::{AliasTarget, Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType};

use crate::support::*;

async fn records(client: &aws_sdk_route53::Client) -> Vec<ResourceRecordSet> {
    client.list_resource_record_sets().hosted_zone_id(ZONE).send().await.unwrap().resource_record_sets
}

async fn primary(client: &aws_sdk_route53::Client) -> ResourceRecordSet {
    records(client).await.into_iter().find(|r| r.set_identifier() == Some("primary")).unwrap()
}

pub(crate) fn towards_west(record: &ResourceRecordSet) -> ResourceRecordSet {
    let alias = AliasTarget::builder().hosted_zone_id("Z1H1FL5HABSF5").dns_name(WEST_ALB).evaluate_target_health(true);
    let mut record = record.clone();
    record.alias_target = Some(alias.build().unwrap());
    record
}

fn simple(name: &str, value: &str) -> ResourceRecordSet {
    let record = ResourceRecord::builder().value(value).build().unwrap();
    ResourceRecordSet::builder().name(name).r#type(RrType::A).ttl(60).resource_records(record).build().unwrap()
}

async fn submit(
    client: &aws_sdk_route53::Client,
    changes: Vec<(ChangeAction, ResourceRecordSet)>,
) -> Result<String, (u16, String, String)> {
    let changes = changes.into_iter().map(|(a, r)| Change::builder().action(a).resource_record_set(r).build().unwrap());
    let batch = ChangeBatch::builder().set_changes(Some(changes.collect())).build().unwrap();
    match client.change_resource_record_sets().hosted_zone_id(ZONE).change_batch(batch).send().await {
        Ok(answer) => Ok(answer.change_info.unwrap().id),
        Err(error) => {
            let http = error.raw_response().unwrap().status().as_u16();
            let error = error.into_service_error();
            Err((http, error.code().unwrap().to_owned(), error.message().unwrap_or_default().to_owned()))
        }
    }
}

#[tokio::test(start_paused = true)]
async fn zones_are_listed_at_or_after_a_name_with_the_private_ones() {
    let sim = open(&[]);
    let client = route53(&sim).await;
    let list = |name: &'static str| client.list_hosted_zones_by_name().dns_name(name).send();
    let names: Vec<(String, bool)> =
        list("company.com").await.unwrap().hosted_zones.into_iter().map(|z| (z.name, z.config.unwrap().private_zone)).collect();
    assert_eq!(names[0], ("company.com.".to_owned(), true));
    assert_eq!(names[1], ("company.com.".to_owned(), false));
    let after = list("company.cn").await.unwrap();
    assert_eq!(after.hosted_zones[0].name, "company.co.", "the first zone is not the one asked for");
    let page = client.list_hosted_zones_by_name().dns_name("company.com").max_items(1).send().await.unwrap();
    assert!(page.is_truncated);
    assert_eq!(page.next_hosted_zone_id(), Some(ZONE));
    assert_eq!(client.list_hosted_zones().send().await.unwrap().hosted_zones.len(), 4);
    let zone = client.get_hosted_zone().id(ZONE).send().await.unwrap();
    assert_eq!(zone.hosted_zone.unwrap().id, format!("/hostedzone/{ZONE}"));
    let none = client.get_hosted_zone().id("Z0").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_no_such_hosted_zone());
}

#[tokio::test(start_paused = true)]
async fn an_upsert_keeps_exactly_what_it_is_given_and_is_served_when_insync() {
    let sim = open(&[]);
    let client = route53(&sim).await;
    let before = primary(&client).await;
    assert_eq!(before.health_check_id(), Some("c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15"));
    assert_eq!(before.alias_target().unwrap().dns_name(), format!("{EAST_ALB}."));
    let id = submit(&client, vec![(ChangeAction::Upsert, towards_west(&before))]).await.unwrap();
    let after = primary(&client).await;
    assert_eq!(after.alias_target().unwrap().dns_name(), format!("{WEST_ALB}."));
    assert_eq!((after.health_check_id(), after.failover()), (before.health_check_id(), before.failover()));
    let get = || client.get_change().id(&id).send();
    assert_eq!(get().await.unwrap().change_info.unwrap().status, ChangeStatus::Pending);
    assert_eq!(status(&sim, "/dns/resolves_to"), EAST_ALB);
    pass(&sim, 61).await;
    assert_eq!(get().await.unwrap().change_info.unwrap().status, ChangeStatus::Insync);
    assert_eq!(status(&sim, "/dns/resolves_to"), WEST_ALB);
    submit(&client, vec![(ChangeAction::Upsert, towards_west(&before))]).await.unwrap();
    assert_eq!(effective(&sim, "ChangeResourceRecordSets").len(), 1, "the same again changes nothing");
    let none = client.get_change().id("C0").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_no_such_change());
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_atomic() {
    let sim = open(&[]);
    let client = route53(&sim).await;
    let before = records(&client).await;
    let good = (ChangeAction::Create, simple("new.company.com", "10.0.0.1"));
    for (bad, part) in [
        ((ChangeAction::Delete, simple("none.company.com", "10.0.0.1")), "it was not found"),
        ((ChangeAction::Create, simple("new.company.org", "10.0.0.1")), "is not permitted in zone company.com."),
        ((ChangeAction::Create, simple("app.company.com", "10.0.0.1")), "both simple and with a routing policy"),
        ((ChangeAction::Create, simple("new.company.com", "10.0.0.2")), "already exists"),
    ] {
        let (http, code, message) = submit(&client, vec![good.clone(), bad]).await.unwrap_err();
        assert_eq!((http, code.as_str()), (400, "InvalidChangeBatch"));
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(records(&client).await, before);
    submit(&client, vec![good.clone()]).await.unwrap();
    // The SDK would ask again, and by then the zone may be free.
    let once = aws_config::retry::RetryConfig::disabled();
    let once = aws_sdk_route53::Client::new(&config(&sim, EAST).await.into_builder().retry_config(once).build());
    let (_, code, _) = submit(&once, vec![(ChangeAction::Delete, good.1.clone())]).await.unwrap_err();
    assert_eq!(code, "PriorRequestNotComplete");
    pass(&sim, 2).await;
    let wrong = (ChangeAction::Delete, simple("new.company.com", "10.0.0.9"));
    let (_, _, message) = submit(&client, vec![wrong]).await.unwrap_err();
    assert!(message.contains("do not match the current values"), "{message}");
    submit(&client, vec![(ChangeAction::Delete, good.1)]).await.unwrap();
    assert_eq!(records(&client).await, before);
}

#[tokio::test(start_paused = true)]
async fn records_come_in_pages_from_a_given_one() {
    let sim = open(&[]);
    let client = route53(&sim).await;
    let list = client.list_resource_record_sets().hosted_zone_id(ZONE).start_record_name("app.company.com").max_items(1);
    let first = list.send().await.unwrap();
    assert_eq!(first.resource_record_sets[0].set_identifier(), Some("primary"));
    assert_eq!(first.next_record_identifier(), Some("secondary"));
    let second = client
        .list_resource_record_sets()
        .hosted_zone_id(ZONE)
        .set_start_record_name(first.next_record_name)
        .set_start_record_type(first.next_record_type)
        .set_start_record_identifier(first.next_record_identifier)
        .send()
        .await
        .unwrap();
    assert_eq!(second.resource_record_sets[0].set_identifier(), Some("secondary"));
    assert!(!second.is_truncated);
}

#[tokio::test(start_paused = true)]
async fn the_health_check_sees_the_incident() {
    let sim = open(&[]);
    let client = route53(&sim).await;
    let check = client.get_health_check().health_check_id(CHECK).send().await.unwrap().health_check.unwrap();
    assert_eq!(check.health_check_config.unwrap().fully_qualified_domain_name(), Some(EAST_ALB));
    assert_eq!(client.list_health_checks().send().await.unwrap().health_checks.len(), 3);
    pass(&sim, 30).await;
    let seen = client.get_health_check_status().health_check_id(CHECK).send().await.unwrap();
    let report = seen.health_check_observations[0].status_report().unwrap().status().unwrap().to_owned();
    assert!(report.starts_with("Failure: HTTP Status Code 504"), "{report}");
    assert_eq!(status(&sim, &format!("/dns/health_checks/{CHECK}/healthy")), false);
    let none = client.get_health_check_status().health_check_id("nope").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_no_such_health_check());
}
