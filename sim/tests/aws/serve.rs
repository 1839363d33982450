//! The simulator over loopback HTTP, asked by the SDK with an endpoint URL.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use wf_sim::{Sim, SimOptions};

use crate::support::*;

#[tokio::test]
async fn answers_the_sdk_over_http() {
    let sim = Sim::open(SimOptions { speed: 1000.0, ..options(&["lost-response SetDesiredCapacity"]) }).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(wf_sim::serve(sim.clone(), listener, async {
        let _ = stopped.await;
    }));
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(WEST))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(&url)
        .load()
        .await;
    let databases = aws_sdk_rds::Client::new(&config).describe_db_instances().send().await.unwrap();
    assert_eq!(databases.db_instances()[0].db_instance_identifier(), Some("prod-db-replica-west"));
    let zones = aws_sdk_route53::Client::new(&config).list_hosted_zones().send().await.unwrap();
    assert_eq!(zones.hosted_zones.len(), 4);
    let clusters = aws_sdk_eks::Client::new(&config).list_clusters().send().await.unwrap();
    assert_eq!(clusters.clusters(), ["production-dr"]);
    // The lost answer is a closed connection; the SDK asks again.
    let scaling = aws_sdk_autoscaling::Client::new(&config);
    let set = scaling.set_desired_capacity().auto_scaling_group_name("prod-app-dr-asg").desired_capacity(1);
    set.send().await.unwrap();
    assert_eq!(sim.calls().iter().map(|c| c.effective).collect::<Vec<_>>(), [true, false]);
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
