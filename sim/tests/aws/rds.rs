//! RDS: promotion, replicas, modification, deletion.

use aws_sdk_rds::error::ProvideErrorMetadata;
use aws_sdk_rds::types::{DbInstance, Tag};

use crate::support::*;

const REPLICA: &str = "prod-db-replica-west";
const PRIMARY_ARN: &str = "arn:aws:rds:us-east-1:123456789012:db:prod-db-primary";

async fn describe(client: &aws_sdk_rds::Client, id: &str) -> DbInstance {
    let found = client.describe_db_instances().db_instance_identifier(id).send().await.unwrap();
    found.db_instances().first().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn describes_what_the_guide_builds() {
    let sim = open(&[]);
    let (east, west) = (rds(&sim, EAST).await, rds(&sim, WEST).await);
    let primary = describe(&east, "prod-db-primary").await;
    assert_eq!(primary.engine(), Some("postgres"));
    assert_eq!(primary.backup_retention_period(), Some(30));
    assert_eq!(primary.multi_az(), Some(true));
    let replica_arn = "arn:aws:rds:us-west-2:123456789012:db:prod-db-replica-west";
    assert_eq!(primary.read_replica_db_instance_identifiers(), [replica_arn]);
    assert!(primary.latest_restorable_time().is_some());
    let replica = describe(&west, replica_arn).await;
    assert_eq!(replica.read_replica_source_db_instance_identifier(), Some(PRIMARY_ARN));
    assert_eq!(replica.status_infos()[0].status(), Some("replicating"));
    assert_eq!(replica.backup_retention_period(), Some(0));
    assert_eq!(replica.endpoint().unwrap().port(), Some(5432));
    assert_eq!(west.describe_db_instances().send().await.unwrap().db_instances().len(), 1);
    for absent in ["nope", PRIMARY_ARN] {
        let error = west.describe_db_instances().db_instance_identifier(absent).send().await.unwrap_err();
        assert!(error.as_service_error().unwrap().is_db_instance_not_found_fault());
    }
}

#[tokio::test(start_paused = true)]
async fn a_promotion_looks_available_before_it_looks_busy_and_keeps_its_source_until_done() {
    let sim = open(&[]);
    let client = rds(&sim, WEST).await;
    client.promote_read_replica().db_instance_identifier(REPLICA).backup_retention_period(7).send().await.unwrap();
    let at_once = describe(&client, REPLICA).await;
    assert_eq!(at_once.db_instance_status(), Some("available"));
    assert!(at_once.read_replica_source_db_instance_identifier().is_some());
    let again = client.promote_read_replica().db_instance_identifier(REPLICA).send().await.unwrap_err();
    assert_eq!(again.as_service_error().unwrap().code(), Some("InvalidDBInstanceState"));
    pass(&sim, 20).await;
    assert_eq!(describe(&client, REPLICA).await.db_instance_status(), Some("modifying"));
    let mut seen_rebooting = false;
    for _ in 0..47 {
        pass(&sim, 10).await;
        let now = describe(&client, REPLICA).await;
        seen_rebooting |= now.db_instance_status() == Some("rebooting");
        if now.db_instance_status() == Some("available") {
            break;
        }
        assert!(now.read_replica_source_db_instance_identifier().is_some());
    }
    assert!(seen_rebooting);
    let done = describe(&client, REPLICA).await;
    assert_eq!(done.db_instance_status(), Some("available"));
    assert_eq!(done.read_replica_source_db_instance_identifier(), None);
    assert_eq!(done.backup_retention_period(), Some(7));
    let primary = describe(&rds(&sim, EAST).await, "prod-db-primary").await;
    assert!(primary.read_replica_db_instance_identifiers().is_empty());
    let no_replica = client.promote_read_replica().db_instance_identifier(REPLICA).send().await.unwrap_err();
    assert_eq!(no_replica.as_service_error().unwrap().code(), Some("InvalidDBInstanceState"));
    assert_eq!(effective(&sim, "PromoteReadReplica").len(), 1);
    assert_eq!(sim.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reverse_replica_is_created_catches_up_and_follows() {
    let sim = open(&["primary-alive"]);
    let (east, west) = (rds(&sim, EAST).await, rds(&sim, WEST).await);
    let create = || {
        east.create_db_instance_read_replica()
            .db_instance_identifier("prod-db-primary-new")
            .source_db_instance_identifier("arn:aws:rds:us-west-2:123456789012:db:prod-db-replica-west")
            .db_instance_class("db.r6g.2xlarge")
            .tags(Tag::builder().key("DR_Role").value("failback").build())
    };
    let refused = create().send().await.unwrap_err();
    assert_eq!(refused.as_service_error().unwrap().code(), Some("InvalidDBInstanceState"));
    let missing = create().source_db_instance_identifier("arn:aws:rds:us-west-2:123456789012:db:x").send().await;
    assert!(missing.unwrap_err().as_service_error().unwrap().is_db_instance_not_found_fault());

    west.promote_read_replica().db_instance_identifier(REPLICA).backup_retention_period(7).send().await.unwrap();
    pass(&sim, 500).await;
    // A key does not leave its region, and an encrypted source has no other replicas.
    let keyless = create().send().await.unwrap_err();
    assert_eq!(keyless.as_service_error().unwrap().code(), Some("InvalidParameterCombination"));
    let unknown = create().kms_key_id("alias/none").send().await.unwrap_err();
    assert!(unknown.as_service_error().unwrap().is_kms_key_not_accessible_fault());
    let created = create().kms_key_id("alias/prod-db").send().await.unwrap();
    assert_eq!(created.db_instance().unwrap().db_instance_status(), Some("creating"));
    let twice = create().send().await.unwrap_err();
    assert!(twice.as_service_error().unwrap().is_db_instance_already_exists_fault());
    pass(&sim, 1000).await;
    assert_eq!(describe(&east, "prod-db-primary-new").await.db_instance_status(), Some("creating"));
    pass(&sim, 1500).await;
    let replica = describe(&east, "prod-db-primary-new").await;
    assert_eq!(replica.db_instance_status(), Some("available"));
    assert_eq!(replica.db_instance_class(), Some("db.r6g.2xlarge"));
    let source = replica.read_replica_source_db_instance_identifier().unwrap();
    assert!(source.ends_with("us-west-2:123456789012:db:prod-db-replica-west"), "{source}");
    let tags = east.list_tags_for_resource().resource_name(replica.db_instance_arn().unwrap()).send().await.unwrap();
    assert_eq!(tags.tag_list()[0].value(), Some("failback"));
    east.add_tags_to_resource()
        .resource_name(replica.db_instance_arn().unwrap())
        .tags(Tag::builder().key("Run").value("1").build())
        .send()
        .await
        .unwrap();
    let tags = east.list_tags_for_resource().resource_name("arn:aws:rds:us-east-1:123456789012:db:prod-db-primary-new");
    assert_eq!(tags.send().await.unwrap().tag_list().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_modification_shows_as_pending_and_then_applies() {
    let sim = open(&[]);
    let west = rds(&sim, WEST).await;
    let modify = || west.modify_db_instance().db_instance_identifier(REPLICA).db_instance_class("db.r6g.2xlarge");
    let deferred = modify().send().await.unwrap();
    let pending = deferred.db_instance().unwrap().pending_modified_values().unwrap().clone();
    assert_eq!(pending.db_instance_class(), Some("db.r6g.2xlarge"));
    assert_eq!(describe(&west, REPLICA).await.db_instance_class(), Some("db.r6g.xlarge"));
    modify().backup_retention_period(7).apply_immediately(true).send().await.unwrap();
    pass(&sim, 20).await;
    assert_eq!(describe(&west, REPLICA).await.db_instance_status(), Some("modifying"));
    let busy = modify().apply_immediately(true).send().await.unwrap_err();
    assert!(busy.as_service_error().unwrap().is_invalid_db_instance_state_fault());
    pass(&sim, 180).await;
    let done = describe(&west, REPLICA).await;
    assert_eq!((done.db_instance_class(), done.backup_retention_period()), (Some("db.r6g.2xlarge"), Some(7)));
    let before = effective(&sim, "ModifyDBInstance").len();
    modify().apply_immediately(true).send().await.unwrap();
    assert_eq!(effective(&sim, "ModifyDBInstance").len(), before);
    let wrong = west.modify_db_instance().db_instance_identifier(REPLICA).backup_retention_period(99);
    assert_eq!(wrong.send().await.unwrap_err().as_service_error().unwrap().code(), Some("InvalidParameterValue"));
}

#[tokio::test(start_paused = true)]
async fn a_rename_moves_name_arn_and_endpoint_and_keeps_replication() {
    let sim = open(&[]);
    let (east, west) = (rds(&sim, EAST).await, rds(&sim, WEST).await);
    let rename = |to: &str| {
        east.modify_db_instance().db_instance_identifier("prod-db-primary").new_db_instance_identifier(to).apply_immediately(true)
    };
    rename("prod-db-old").send().await.unwrap();
    pass(&sim, 10).await;
    assert_eq!(describe(&east, "prod-db-primary").await.db_instance_status(), Some("renaming"));
    pass(&sim, 200).await;
    let renamed = describe(&east, "prod-db-old").await;
    assert!(renamed.endpoint().unwrap().address().unwrap().starts_with("prod-db-old."));
    let gone = east.describe_db_instances().db_instance_identifier("prod-db-primary").send().await.unwrap_err();
    assert!(gone.as_service_error().unwrap().is_db_instance_not_found_fault());
    let replica = describe(&west, REPLICA).await;
    assert!(replica.read_replica_source_db_instance_identifier().unwrap().ends_with(":db:prod-db-old"));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_wants_a_decision_about_the_final_snapshot() {
    let sim = open(&[]);
    let east = rds(&sim, EAST).await;
    let delete = || east.delete_db_instance().db_instance_identifier("prod-db-primary");
    for wrong in [delete(), delete().skip_final_snapshot(true).final_db_snapshot_identifier("last")] {
        let error = wrong.send().await.unwrap_err();
        assert_eq!(error.as_service_error().unwrap().code(), Some("InvalidParameterCombination"));
    }
    let deleting = delete().final_db_snapshot_identifier("last").send().await.unwrap();
    assert_eq!(deleting.db_instance().unwrap().db_instance_status(), Some("deleting"));
    assert!(delete().skip_final_snapshot(true).send().await.is_err());
    pass(&sim, 250).await;
    assert!(delete().skip_final_snapshot(true).send().await.unwrap_err().as_service_error().unwrap().is_db_instance_not_found_fault());
    let snapshots = east.describe_db_snapshots().db_snapshot_identifier("last").send().await.unwrap();
    assert_eq!(snapshots.db_snapshots()[0].db_instance_identifier(), Some("prod-db-primary"));
    let none = east.describe_db_snapshots().db_snapshot_identifier("first").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_db_snapshot_not_found_fault());
    let west = rds(&sim, WEST).await;
    let orphan = describe(&west, REPLICA).await;
    assert_eq!(orphan.status_infos()[0].status(), Some("terminated"));
    let no_snapshot = west.delete_db_instance().db_instance_identifier(REPLICA).final_db_snapshot_identifier("x");
    assert_eq!(no_snapshot.send().await.unwrap_err().as_service_error().unwrap().code(), Some("InvalidParameterCombination"));
}
