//! What the step makes of a record, without a world.

use super::*;
use crate::aws::recovery_cluster::Endpoint;

fn step(to: Destination) -> Route53Failover {
    Route53Failover {
        zone: "company.com".into(),
        zone_id: None,
        private: false,
        record: "app.company.com".into(),
        r#type: "A".into(),
        set_identifier: Some("primary".into()),
        to,
        via: Via::RecordEdit,
        create: false,
    }
}

fn east() -> RecordSet {
    RecordSet {
        name: "app.company.com.".into(),
        kind: "A".into(),
        set_identifier: Some("primary".into()),
        failover: Some("PRIMARY".into()),
        alias: Some(Alias { dns_name: "east.".into(), zone_id: "ZE".into(), evaluate_target_health: false }),
        health_check_id: Some("watches-east".into()),
        ..RecordSet::default()
    }
}

#[test]
fn only_the_destination_changes() {
    let before = RecordBefore::new("Z".into(), Some(east()));
    assert_eq!((before.alias_dns_name.as_deref(), before.alias_zone_id.as_deref()), (Some("east."), Some("ZE")));
    let west = Destination::Alias { dns_name: "west".into(), zone_id: "ZW".into(), evaluate_target_health: None };
    let alias = Some(Alias { dns_name: "west".into(), zone_id: "ZW".into(), evaluate_target_health: false });
    assert_eq!(step(west).desired(&before), RecordSet { alias, ..east() });
}

#[test]
fn an_alias_can_become_values_and_the_other_way_round() {
    let values = Destination::Values { values: vec!["192.0.2.1".into()], ttl: Some(Span::secs(30)) };
    let as_values = step(values).desired(&RecordBefore::new("Z".into(), Some(east())));
    assert_eq!((as_values.alias.clone(), as_values.ttl, as_values.values.len()), (None, Some(30), 1));
    let west = Destination::Alias { dns_name: "west".into(), zone_id: "ZW".into(), evaluate_target_health: None };
    let as_alias = step(west).desired(&RecordBefore::new("Z".into(), Some(as_values)));
    assert_eq!((as_alias.ttl, as_alias.values.len(), as_alias.alias.map(|alias| alias.evaluate_target_health)), (None, 0, Some(true)));
}

#[test]
fn nonsense_is_named() {
    let mut bad = step(Destination::Values { values: vec![], ttl: None });
    bad.r#type = "a".into();
    bad.record = "app.companyx.com".into();
    bad.create = true;
    assert_eq!(bad.problems().len(), 4);
}

#[test]
fn nonsense_about_routing_controls_is_named() {
    const CONTROL: &str = "arn:aws:route53-recovery-control::123456789012:controlpanel/p/routingcontrol/r";
    let endpoint = |url: &str, region: &str| Endpoint { url: url.into(), region: region.into() };
    let east = endpoint("https://0c1d2e3f.route53-recovery-cluster.us-east-1.amazonaws.com/v1", "us-east-1");
    let of = |endpoints: &[Endpoint], on: &[&str], off: &[&str], rules: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let via =
            Via::RoutingControl { endpoints: endpoints.to_vec(), on: owned(on), off: owned(off), override_safety_rules: owned(rules) };
        Route53Failover { via, ..step(Destination::Values { values: vec!["192.0.2.1".into()], ttl: None }) }.problems()
    };
    let good = std::slice::from_ref(&east);
    assert_eq!(of(good, &[CONTROL], &[], &[&CONTROL.replace("routingcontrol", "safetyrule")]), Vec::<String>::new());
    let many: Vec<_> = (0..11).map(|n| format!("{CONTROL}{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (problems, said) in [
        (of(&[], &[CONTROL], &[], &[]), "`endpoints` names none"),
        (of(&[east.clone(), east.clone()], &[CONTROL], &[], &[]), "region us-east-1 twice"),
        (of(&[endpoint("0c1d2e3f.example", "us-east-1")], &[CONTROL], &[], &[]), "does not begin with https://"),
        (of(&[endpoint(&east.url, "us-west-2")], &[CONTROL], &[], &[]), "is not in region us-west-2"),
        (of(&[endpoint("https://x", "")], &[CONTROL], &[], &[]), "has no `region`"),
        (of(good, &[], &[], &[]), "name no routing control"),
        (of(good, &["primary"], &[], &[]), "\"primary\" is not the ARN of a routing control"),
        (of(good, &[CONTROL], &[CONTROL], &[]), "is named twice, On and Off"),
        (of(good, &[CONTROL, CONTROL], &[], &[]), "is named twice"),
        (of(good, &many, &[], &[]), "one call sets 10 at most"),
        (of(good, &[CONTROL], &[], &[CONTROL]), "is not the ARN of a safety rule"),
    ] {
        assert!(problems.len() == 1 && problems[0].contains(said), "{said}: {problems:?}");
    }
}
