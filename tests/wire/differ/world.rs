//! The simulator on loopback, with a world made for the sequences.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use wf_sim::{Sim, SimOptions, WorldDef};

use super::sequence::{Draw, EAST, WEST};
use super::{access, copies, databases, dns, groups, network, others};

/// How much faster the simulator's time runs: what takes 20 s there takes the second that it takes in moto.
const SPEED: f64 = 20.0;

/// What the world holds, as parts of a world file.
#[derive(Default)]
pub struct Parts {
    east: Vec<String>,
    west: Vec<String>,
    groups: Vec<String>,
    clusters: Vec<String>,
    topics: Vec<String>,
    balancers: Vec<String>,
    targets: Vec<String>,
    zones: Vec<String>,
    checks: Vec<String>,
    network: network::Simulated,
    copies: copies::Simulated,
    keys: Vec<String>,
}

impl Parts {
    /// Adds what the sequence of a service needs.
    pub fn add(&mut self, service: &str, draw: &Draw) {
        match service {
            "rds" => {
                self.east.push(databases::simulated_primary(draw));
                let (region, replica) = databases::simulated_replica(draw);
                if region == WEST { &mut self.west } else { &mut self.east }.push(replica);
            }
            "autoscaling" => self.groups.push(groups::simulated_groups(draw)),
            "ec2" => self.network.add(draw),
            "s3" | "ecr" => self.copies.add(service, draw),
            "eks" => self.clusters.push(groups::simulated_nodes(draw)),
            "kms" => self.keys.push(access::simulated_keys(draw)),
            "sns" => self.topics.push(format!("{:?}", others::topic(draw))),
            "elbv2" | "route53" => {
                let (balancer, targets) = others::simulated_balancer(draw);
                self.balancers.push(balancer);
                self.targets.push(targets);
                if service == "route53" {
                    let (zone, check) = dns::simulated_zone(draw);
                    self.zones.push(zone);
                    self.checks.push(check);
                }
            }
            _ => {}
        }
    }

    fn world(&self, account: &str) -> WorldDef {
        let all = |parts: &[String]| parts.join(",\n");
        let text = format!(
            r#"World(
                account: "{account}", principal: "arn:aws:iam::{account}:user/tester", start: "2026-03-14T03:00:00Z",
                timings: (
                    api_latency: (min: 0, max: 0), promote: (min: 20, max: 20), promote_unseen: (min: 0, max: 0),
                    create_replica: (min: 20, max: 20), replica_catch_up: (min: 0, max: 0), modify: (min: 20, max: 20),
                    delete: (min: 20, max: 20), replica_lag: (min: 1, max: 1), instance_launch: (min: 4, max: 4),
                    instance_terminate: (min: 4, max: 4), nodegroup_update: (min: 20, max: 20), dns_insync: (min: 4, max: 4),
                ),
                application: (
                    host: "app.example.com", health_path: "/health", resolver_ttl: 60, stampede: (factor: 0, max: 0), databases: {{}},
                ),
                regions: {{
                    "{EAST}": (
                        databases: [{}], load_balancers: [{}], target_groups: [{}], groups: [{}], clusters: [{}], topics: [{}],
                        ec2: {}, {}, keys: [{}],
                    ),
                    "{WEST}": (databases: [{}]),
                }},
                peerings: [{}],
                health_checks: [{}],
                hosted_zones: [{}],
            )"#,
            all(&self.east),
            all(&self.balancers),
            all(&self.targets),
            all(&self.groups),
            all(&self.clusters),
            all(&self.topics),
            self.network.section(),
            self.copies.fields(),
            all(&self.keys),
            all(&self.west),
            self.network.peerings(),
            all(&self.checks),
            all(&self.zones),
        );
        text.parse().unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }

    /// Serves the world; returns where. It ends with the test.
    pub async fn serve(&self, account: &str) -> String {
        let options = SimOptions { world: self.world(account), state_dir: None, speed: SPEED, seed: None, faults: Vec::new() };
        let sim = Sim::open(options).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(wf_sim::serve(sim, listener, std::future::pending()));
        url
    }
}
