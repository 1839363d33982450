//! The shipped workflows from the command line, on moto with the CloudWatch of ministack and the clusters of the simulator. What they changed
//! is asked of the servers through boto3, and counted by what moto was asked for; nothing is believed that `wf` says, but its exit code.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clusters::Clusters;
use crate::servers::Servers;

pub const EAST: &str = "us-east-1";
pub const WEST: &str = "us-west-2";
/// How much faster the calendar runs in a failback, which waits for the minutes of CloudWatch.
const CALENDAR_SPEED: &str = "15";

/// An operator at a fresh world.
pub struct Operator {
    pub servers: Servers,
    clusters: Clusters,
    seeded: Value,
    home: tempfile::TempDir,
    /// Where AWS is, and where its CloudWatch.
    endpoints: [String; 2],
}

impl Operator {
    pub fn new() -> Self {
        let servers = Servers::start();
        let clusters = Clusters::start(&servers);
        let shop = address(&clusters, EAST).unwrap();
        let seeded = servers.seed_with_shop("moto", &shop);
        let endpoints = [servers.moto.clone(), servers.ministack.clone()];
        Self { servers, clusters, seeded, home: tempfile::tempdir().unwrap(), endpoints }
    }

    /// An operator whose requests go by way of the proxies.
    pub fn behind_proxies() -> Self {
        let operator = Self::new();
        let proxies = operator.servers.proxies();
        let endpoints = ["moto", "ministack"].map(|server| proxies[server].as_str().unwrap().to_owned());
        Self { endpoints, ..operator }
    }

    pub fn wf(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wf"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("USER", "tester")
            .env("WF_STATE_DIR", self.home.path().join("state"))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &self.endpoints[0])
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", &self.endpoints[1])
            .env("LD_PRELOAD", self.compiled("resolver"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    pub fn failover(&self) -> Command {
        let west = &self.seeded[WEST];
        let set = |name: &str, value: &str| ["--set".to_owned(), format!("{name}={value}")];
        // No name server of moto's turns over with a health check: the object of an unplanned failover would move nobody.
        let mut command = self.wf(&["run", "workflows/failover.ron", "--yes", "--mode", "planned"]);
        command
            .args(set("dr_alb_dns_name", west["alb_dns_name"].as_str().unwrap()))
            .args(set("dr_alb_zone_id", west["alb_zone_id"].as_str().unwrap()))
            .args(set("url", &self.servers.site))
            .args(set("shop_url", &self.shop_site()));
        command
    }

    fn failback(&self) -> Command {
        let [url, shop_url] = [format!("url={}", self.servers.site), format!("shop_url={}", self.shop_site())];
        let east = &self.seeded[EAST];
        let balancer = format!("primary_alb_dns_name={}", east["alb_dns_name"].as_str().unwrap());
        let zone = format!("primary_alb_zone_id={}", east["alb_zone_id"].as_str().unwrap());
        let mut command = self.wf(&["failback", "workflows/failback.ron", "--yes", "--set", &url, "--set", &shop_url]);
        command.args(["--set", &balancer, "--set", &zone]);
        let both = std::env::join_paths([self.compiled("resolver"), self.compiled("clock")]).unwrap();
        command.env("LD_PRELOAD", both).env("WF_CLOCK_SPEED", CALENDAR_SPEED);
        command
    }

    /// The health page of the site in the cluster.
    pub fn shop_site(&self) -> String {
        self.servers.site.replace("/health", "/shop")
    }

    /// Compiles one of the libraries that change what a process sees of its machine.
    fn compiled(&self, name: &str) -> PathBuf {
        let shim = self.home.path().join(format!("{name}.so"));
        if !shim.exists() {
            let source = format!("{}/tests/wire/{name}.c", env!("CARGO_MANIFEST_DIR"));
            let compiled = Command::new("gcc").args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&shim).arg(&source).status();
            assert!(compiled.expect("gcc is needed to compile the libraries in tests/wire").success(), "{source} does not compile");
        }
        shim
    }

    /// Checks what runs in the clusters.
    fn workloads_are_in(&self, home: &str) {
        for (region, cluster, replicas) in
            [(EAST, "production-primary", if home == EAST { 6 } else { 0 }), (WEST, "production-dr", if home == WEST { 6 } else { 0 })]
        {
            let read = |path: &str| self.clusters.read(region, cluster, path);
            assert_eq!(read("/apis/apps/v1/namespaces/production/deployments/web-app")["spec"]["replicas"], replicas, "{region}");
            let crons = read("/apis/batch/v1/namespaces/production/cronjobs");
            let suspended: Vec<_> = crons["items"].as_array().unwrap().iter().map(|cron| cron["spec"]["suspend"] == true).collect();
            assert_eq!(suspended, [replicas == 0; 2], "{region}: {crons}");
        }
    }

    /// Starts a `wf` and kills it once moto was asked so often for an action.
    fn kill_after(&self, mut command: Command, action: &str, calls: usize) {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        let mut killed = Killed(child);
        while self.servers.calls(action) < calls {
            assert!(killed.0.try_wait().unwrap().is_none(), "it ended before it asked for {action}: {}", killed.said());
            assert!(Instant::now() < limit, "it does not ask for {action}");
        }
    }

    pub fn subjects(&self, region: &str) -> Value {
        self.servers.ask(&json!({ "do": "subjects", "at": "moto", "region": region }))
    }

    /// Checks what a user and an operator would see after the failover.
    pub fn is_in_the_west(&self, before: &Value) {
        let now = self.servers.look("moto");
        assert_eq!([page(&self.servers.site), page(&self.shop_site())], [WEST, WEST]);
        self.workloads_are_in(WEST);
        assert_eq!(now[EAST]["groups"]["prod-app-asg"], json!({ "min": 0, "desired": 0, "max": 0, "instances": 0 }));
        assert_eq!(now[EAST]["nodegroups"]["production-primary"], json!({ "min": 0, "desired": 0, "max": 20 }));
        assert_eq!(now[EAST]["databases"]["prod-db-primary"]["replicas"], json!([]));
        assert_eq!(now[WEST]["groups"]["prod-app-dr-asg"], json!({ "min": 3, "desired": 6, "max": 10, "instances": 6 }));
        assert_eq!(now[WEST]["nodegroups"]["production-dr"], json!({ "min": 3, "desired": 6, "max": 20 }));
        let database = &now[WEST]["databases"]["prod-db-replica-west"];
        assert_eq!((&database["source"], &database["retention"], &database["status"]), (&json!(null), &json!(7), &json!("available")));
        let mut records = before["records"].clone();
        let alias = &mut records["app.company.com. A primary"]["AliasTarget"];
        alias["DNSName"] = self.seeded[WEST]["alb_dns_name"].clone();
        alias["HostedZoneId"] = self.seeded[WEST]["alb_zone_id"].clone();
        let alias = &mut records["shop.company.com. A primary"]["AliasTarget"];
        alias["DNSName"] = json!(address(&self.clusters, WEST));
        alias["HostedZoneId"] = json!("Z1H1FL5HABSF5");
        // Nothing else of them has changed, the health check neither.
        assert_eq!(now["records"], records);
    }

    fn called_once_each(&self) {
        for (action, times) in [
            ("PromoteReadReplica", 1),
            ("UpdateAutoScalingGroup", 2),
            ("/node-groups/general/update-config", 2),
            ("POST /2013-04-01/hostedzone/", 2),
        ] {
            assert_eq!(self.servers.calls(action), times, "{action}");
        }
    }
}

/// Returns the name of the load balancer of a cluster.
fn address(clusters: &Clusters, region: &str) -> Option<String> {
    let cluster = if region == EAST { "production-primary" } else { "production-dr" };
    let ingress = clusters.read(region, cluster, "/apis/networking.k8s.io/v1/namespaces/production/ingresses/web-app-ingress");
    Some(ingress["status"]["loadBalancer"]["ingress"][0]["hostname"].as_str()?.to_owned())
}

/// A process that is killed with SIGKILL when this value goes.
struct Killed(Child);

impl Killed {
    fn said(&mut self) -> String {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
pub fn completes(mut command: Command) {
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "stdout:\n{stdout}\nstderr:\n{stderr}");
}

/// Asks for a page, as a user would, and returns what it says.
pub fn page(url: &str) -> String {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_failover_and_the_way_back() {
    let operator = Operator::new();
    let before = operator.servers.look("moto");
    assert_eq!([page(&operator.servers.site), page(&operator.shop_site())], [EAST, EAST]);

    completes(operator.failover());
    operator.is_in_the_west(&before);
    operator.called_once_each();
    assert_eq!(operator.subjects(WEST), json!(["DR failover completed", "DR failover started"]));

    completes(operator.failback());
    let now = operator.servers.look("moto");
    assert_eq!([page(&operator.servers.site), page(&operator.shop_site())], [EAST, EAST]);
    operator.workloads_are_in(EAST);
    for (region, part) in [(EAST, "groups"), (EAST, "nodegroups"), (WEST, "nodegroups")] {
        assert_eq!(now[region][part], before[region][part], "{part} in {region}");
    }
    assert_eq!(now["records"], before["records"]);
    assert_eq!(now[WEST]["groups"]["prod-app-dr-asg"], json!({ "min": 0, "desired": 0, "max": 10, "instances": 0 }));
    let (east, west) = (&now[EAST]["databases"], &now[WEST]["databases"]);
    let primary = &east["prod-db-primary"];
    assert_eq!((&primary["source"], &primary["retention"], &primary["multi_az"]), (&json!(null), &json!(30), &json!(true)), "{east}");
    assert_eq!(west["prod-db-replica-west"]["source"], primary["arn"], "{west}");
    assert_eq!(primary["replicas"], json!([west["prod-db-replica-west"]["arn"]]), "{east}");
    assert_eq!((east.as_object().unwrap().len(), west.as_object().unwrap().len()), (2, 2), "the old ones are kept: {now}");
    assert!(
        east["prod-db-primary-before-failover"]["source"].is_null() && west["prod-db-replica-west-before-failback"]["source"].is_null()
    );
    assert_eq!(operator.servers.calls("PromoteReadReplica"), 2);
    assert_eq!(operator.servers.calls("CreateDBInstanceReadReplica"), 2);
}

#[test]
fn a_failover_killed_twice_promotes_once() {
    let operator = Operator::new();
    let before = operator.servers.look("moto");
    operator.kill_after(operator.failover(), "UpdateAutoScalingGroup", 1);
    operator.kill_after(operator.wf(&["resume", "@latest", "--yes"]), "PromoteReadReplica", 1);
    completes(operator.wf(&["resume", "@latest", "--yes"]));
    operator.is_in_the_west(&before);
    assert_eq!(operator.servers.calls("PromoteReadReplica"), 1);
    completes(operator.wf(&["journal", "verify", "--all"]));
}
