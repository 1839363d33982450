//! Auto Scaling: sizes, instances, activities.

use aws_sdk_autoscaling::error::ProvideErrorMetadata;
use aws_sdk_autoscaling::types::{AutoScalingGroup, LifecycleState};

use crate::support::*;

const DR: &str = "prod-app-dr-asg";

async fn describe(client: &aws_sdk_autoscaling::Client, name: &str) -> AutoScalingGroup {
    let found = client.describe_auto_scaling_groups().auto_scaling_group_names(name).send().await.unwrap();
    found.auto_scaling_groups().first().unwrap().clone()
}

fn size(group: &AutoScalingGroup) -> (i32, i32, i32) {
    (group.min_size().unwrap(), group.max_size().unwrap(), group.desired_capacity().unwrap())
}

fn in_service(group: &AutoScalingGroup) -> usize {
    group.instances().iter().filter(|i| i.lifecycle_state() == Some(&LifecycleState::InService)).count()
}

#[tokio::test(start_paused = true)]
async fn instances_come_into_service_one_after_another() {
    let sim = open(&[]);
    let client = autoscaling(&sim, WEST).await;
    let update = client.update_auto_scaling_group().auto_scaling_group_name(DR);
    update.min_size(3).max_size(10).desired_capacity(6).send().await.unwrap();
    let group = describe(&client, DR).await;
    assert_eq!((size(&group), in_service(&group), group.instances().len()), ((3, 10, 6), 0, 6));
    pass(&sim, 90).await;
    let some = in_service(&describe(&client, DR).await);
    assert!((1..6).contains(&some), "{some}");
    pass(&sim, 31).await;
    assert_eq!(in_service(&describe(&client, DR).await), 6);
    let activities = client.describe_scaling_activities().auto_scaling_group_name(DR).send().await.unwrap();
    assert_eq!(activities.activities().len(), 6);
    assert!(activities.activities().iter().all(|a| a.progress() == Some(100)));
    client.update_auto_scaling_group().auto_scaling_group_name(DR).min_size(0).desired_capacity(0).send().await.unwrap();
    pass(&sim, 46).await;
    assert_eq!(describe(&client, DR).await.instances().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn sizes_follow_the_rules_of_the_api() {
    let sim = open(&[]);
    let client = autoscaling(&sim, WEST).await;
    let update = || client.update_auto_scaling_group().auto_scaling_group_name(DR);
    update().min_size(3).send().await.unwrap();
    assert_eq!(size(&describe(&client, DR).await), (3, 10, 3), "a higher min raises desired");
    update().min_size(0).max_size(2).send().await.unwrap();
    assert_eq!(size(&describe(&client, DR).await), (0, 2, 2), "a lower max lowers desired");
    update().min_size(1).send().await.unwrap();
    assert_eq!(size(&describe(&client, DR).await), (1, 2, 2), "what is not mentioned stays");
    for wrong in [update().desired_capacity(5), update().min_size(4), update().desired_capacity(0)] {
        let error = wrong.send().await.unwrap_err();
        assert_eq!(error.as_service_error().unwrap().code(), Some("ValidationError"));
    }
    assert_eq!(size(&describe(&client, DR).await), (1, 2, 2));
    let set = |desired| client.set_desired_capacity().auto_scaling_group_name(DR).desired_capacity(desired).send();
    set(1).await.unwrap();
    assert!(set(3).await.is_err());
    let unknown = client.update_auto_scaling_group().auto_scaling_group_name("nope").min_size(1).send().await.unwrap_err();
    assert_eq!(unknown.as_service_error().unwrap().code(), Some("ValidationError"));
    update().min_size(1).max_size(2).desired_capacity(1).send().await.unwrap();
    assert_eq!(effective(&sim, "UpdateAutoScalingGroup").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_capacity_the_activities_say_so_in_the_words_of_aws() {
    let sim = open(&["no-capacity prod-app-dr-asg"]);
    let client = autoscaling(&sim, WEST).await;
    client.update_auto_scaling_group().auto_scaling_group_name(DR).desired_capacity(2).send().await.unwrap();
    pass(&sim, 70).await;
    let activities = client.describe_scaling_activities().auto_scaling_group_name(DR).send().await.unwrap();
    let last = &activities.activities()[0];
    assert_eq!(last.status_code().unwrap().as_str(), "Failed");
    assert!(last.status_message().unwrap().contains("We currently do not have sufficient m5.large capacity in the Availability Zone"));
    assert!(describe(&client, DR).await.instances().is_empty());
    sim.set_faults(Vec::new());
    pass(&sim, 125).await;
    assert_eq!(in_service(&describe(&client, DR).await), 2);
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages() {
    let sim = open(&[]);
    let client = autoscaling(&sim, EAST).await;
    let fence = client.update_auto_scaling_group().auto_scaling_group_name("prod-app-asg");
    fence.min_size(0).desired_capacity(0).send().await.unwrap();
    let page = client.describe_scaling_activities().auto_scaling_group_name("prod-app-asg").max_records(4);
    let first = page.clone().send().await.unwrap();
    let second = page.next_token(first.next_token().unwrap()).send().await.unwrap();
    assert_eq!((first.activities().len(), second.activities().len()), (4, 2));
    assert_eq!(second.next_token(), None);
    let none = client.describe_auto_scaling_groups().auto_scaling_group_names("nope").send().await.unwrap();
    assert!(none.auto_scaling_groups().is_empty());
}
