//! What an operator reads who meets each sort of error, through the binary: what happened, to what, why, and what to type next. Where moto makes
//! the error by itself, it does; what it never does is said by the proxy in AWS's own words.

use serde_json::{Value, json};

use super::shell::Shell;
use super::table::{Row, print};

const KEYS: &[(&str, &str)] = &[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

const SCALE: &str = r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 0, desired: 1)"#;
const PROMOTE: &str = r#"RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-west-2")"#;
const RESIZE: &str = r#"RdsModifyInstance(instance: "alone", region: "us-east-1", instance_class: "db.r6g.16xlarge")"#;
const REPLICA: &str = r#"RdsCreateReadReplica(instance: "new", region: "us-west-2", source: "arn:aws:rds:us-east-1:123456789012:db:alone", kms_key: "alias/dr")"#;
const NODES: &str = r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-west-2", min: 1, desired: 1)"#;

/// An error, who makes it, and what must be told of it.
struct Case {
    sort: &'static str,
    step: &'static str,
    env: Vec<(&'static str, String)>,
    faults: Value,
    kind: &'static str,
    says: &'static [&'static str],
    hints: &'static [&'static str],
}

/// An error that the server makes by itself.
fn case(sort: &'static str, step: &'static str, kind: &'static str, says: &'static [&'static str], hints: &'static [&'static str]) -> Case {
    let env = KEYS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Case { sort, step, env, faults: json!([]), kind, says, hints }
}

impl Case {
    /// Has AWS refuse an operation.
    fn refused(mut self, operation: &str, code: &str, status: u16, message: &str) -> Self {
        self.faults = json!([{ "operation": operation, "error": { "code": code, "status": status, "message": message } }]);
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn without_keys(mut self) -> Self {
        self.env.clear();
        self
    }
}

/// Errors that are answers.
fn refusals() -> Vec<Case> {
    const DENIED: &str = "User: arn:aws:sts::123456789012:assumed-role/dr/wf is not authorized to perform: rds:PromoteReadReplica on resource: \
                          arn:aws:rds:us-west-2:123456789012:db:prod-db-replica-west because no identity-based policy allows the \
                          rds:PromoteReadReplica action";
    let scale = |sort, kind, says, hints| case(sort, SCALE, kind, says, hints);
    vec![
        scale("throttled", "Transient", &["Rate exceeded"], &["fewer calls", "tried again"]).refused(
            "DescribeAutoScalingGroups",
            "Throttling",
            400,
            "Rate exceeded",
        ),
        scale("failed by itself", "Transient", &["unavailable"], &["tried again"]).refused(
            "DescribeAutoScalingGroups",
            "ServiceUnavailable",
            503,
            "unavailable",
        ),
        case("wrong state", PROMOTE, "Transient", &["promote prod-db-replica-west in us-west-2", "backing-up"], &["tried again"]).refused(
            "PromoteReadReplica",
            "InvalidDBInstanceState",
            400,
            "Instance prod-db-replica-west is currently backing-up",
        ),
        case("busy", NODES, "Transient", &["production-dr/general in us-west-2", "not in Active State"], &["under way", "tried again"])
            .refused("UpdateNodegroupConfig", "ResourceInUseException", 409, "Nodegroup is currently not in Active State"),
        case(
            "denied",
            PROMOTE,
            "Permanent",
            &["promote prod-db-replica-west in us-west-2", "AccessDenied"],
            &[
                "allow rds:PromoteReadReplica on arn:aws:rds:us-west-2:123456789012:db:prod-db-replica-west",
                "to arn:aws:sts::123456789012:assumed-role/dr/wf",
            ],
        )
        .refused("PromoteReadReplica", "AccessDenied", 403, DENIED),
        scale(
            "expired credentials",
            "Permanent",
            &["the security token included in the request is expired"],
            &["log in again", "wf resume"],
        )
        .refused("DescribeAutoScalingGroups", "ExpiredToken", 403, "the security token included in the request is expired"),
        scale("credentials that AWS does not know", "Permanent", &["security token", "invalid"], &["AWS_PROFILE"]).refused(
            "DescribeAutoScalingGroups",
            "InvalidClientTokenId",
            403,
            "The security token included in the request is invalid",
        ),
        scale("a wrong clock", "Permanent", &["Signature expired"], &["clock"]).refused(
            "DescribeAutoScalingGroups",
            "SignatureDoesNotMatch",
            403,
            "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z",
        ),
        scale("a region that is not enabled", "Permanent", &["OptInRequired"], &["region"]).refused(
            "DescribeAutoScalingGroups",
            "OptInRequired",
            403,
            "You are not subscribed to this service",
        ),
        case("quota", REPLICA, "Permanent", &["new in us-west-2", "quota"], &["quota"]).refused(
            "CreateDBInstanceReadReplica",
            "InstanceQuotaExceeded",
            400,
            "this would exceed your quota of 40 DB instances",
        ),
        case("capacity", RESIZE, "Permanent", &["alone in us-east-1", "InsufficientDBInstanceCapacity"], &["another instance class"])
            .refused("ModifyDBInstance", "InsufficientDBInstanceCapacity", 400, "no capacity for db.r6g.16xlarge"),
        case("bad parameter", RESIZE, "Permanent", &["alone in us-east-1", "Invalid DB instance class"], &["correct the step"]).refused(
            "ModifyDBInstance",
            "InvalidParameterValue",
            400,
            "Invalid DB instance class: db.r6g.16xlarge",
        ),
    ]
}

/// Names that moto does not know, and those that are like them.
fn missing() -> Vec<Case> {
    vec![
        case(
            "no such group",
            r#"AutoScalingScale(group: "prod-app-dr-agg", region: "us-west-2", min: 1)"#,
            "Permanent",
            &["no Auto Scaling group prod-app-dr-agg in us-west-2 of account 123456789012"],
            &["did you mean prod-app-dr-asg?"],
        ),
        case(
            "no such instance",
            r#"RdsPromoteReadReplica(instance: "prod-db-replica-wets", region: "us-west-2")"#,
            "Permanent",
            &["no RDS instance prod-db-replica-wets in us-west-2 of account 123456789012"],
            &["did you mean prod-db-replica-west?"],
        ),
        case(
            "no such node group",
            r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "genera", region: "us-west-2", min: 1)"#,
            "Permanent",
            &["no node group genera in cluster production-dr in us-west-2 of account 123456789012"],
            &["did you mean general?"],
        ),
        case(
            "the wrong region",
            r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-east-1", min: 1)"#,
            "Permanent",
            &["no cluster production-dr in us-east-1 of account 123456789012"],
            &["production-primary"],
        ),
        case(
            "no such zone",
            r#"Route53Failover(zone: "compani.com", record: "app.compani.com", type: "A", to: Values(values: ["192.0.2.1"]))"#,
            "Permanent",
            &["hosted zone compani.com"],
            &["company.com"],
        ),
        case(
            "no such target group",
            r#"ElbWaitTargetsHealthy(target_group: "prod-app-dr-gt", region: "us-west-2")"#,
            "Permanent",
            &["prod-app-dr-gt", "us-west-2"],
            &["prod-app-dr-tg"],
        ),
        case(
            "no such topic",
            r#"SnsPublish(topic: "production-dr-alert", region: "us-west-2", subject: "x")"#,
            "Permanent",
            &["production-dr-alert", "us-west-2"],
            &["production-dr-alerts"],
        ),
    ]
}

/// Credentials and endpoints that are none.
fn nobody(shell: &Shell) -> Vec<Case> {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let page = shell.servers.site.trim_end_matches("/health").to_owned();
    let tls = page.replace("http://", "https://");
    let scale = |sort, kind, says, hints| case(sort, SCALE, kind, says, hints);
    vec![
        scale("no credentials", "Refused", &["there are no AWS credentials"], &["aws sso login", "AWS_PROFILE"]).without_keys(),
        scale("a profile that is not there", "Refused", &["there are no AWS credentials"], &["AWS_PROFILE"])
            .without_keys()
            .with("AWS_PROFILE", "nobody"),
        scale("a web server that is no AWS", "Permanent", &["HTTP 501 without an error code of AWS"], &["AWS_ENDPOINT_URL"])
            .with("AWS_ENDPOINT_URL", &page),
        scale("a server without TLS", "Unreachable", &["does not speak TLS"], &["AWS_ENDPOINT_URL"]).with("AWS_ENDPOINT_URL", &tls),
        scale("a closed port", "Unreachable", &["the connection was refused"], &["AWS_ENDPOINT_URL"])
            .with("AWS_ENDPOINT_URL", &format!("http://{closed}")),
        scale("an unknown host", "Unreachable", &["the name of its endpoint is unknown"], &["region", "DNS"])
            .with("AWS_ENDPOINT_URL", "http://nowhere.invalid"),
        scale("no URL", "Permanent", &["its endpoint is no URL"], &["AWS_ENDPOINT_URL"]).with("AWS_ENDPOINT_URL", "nowhere"),
    ]
}

#[test]
fn an_operator_reads_what_happened_to_what_why_and_what_next() {
    let shell = Shell::new();
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for case in [refusals(), missing(), nobody(&shell)].into_iter().flatten() {
        shell.servers.faults(&case.faults);
        let env: Vec<_> = case.env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = shell.run(case.step, &env);
        // Who has no credentials at all is refused before the run begins, so there is no record of it.
        let failure = match said.code {
            Some(4) => {
                let shown = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
                json!({ "kind": "Refused", "message": shown, "hint": shown })
            }
            _ => shell.failure(),
        };
        let text = |field: &str| failure[field].as_str().unwrap_or_default().to_owned();
        let (kind, message, hint) = (text("kind"), text("message"), text("hint"));
        let told = case.says.iter().all(|words| message.contains(words)) && case.hints.iter().all(|words| hint.contains(words));
        // What was sent may be secret, and helps nobody.
        assert!(!failure.to_string().contains("Request {"), "{}: {failure}", case.sort);
        // A refused promotion is past the point of no return: that run pauses. What is on record is also what is shown: the screen breaks no lines when it is none.
        let shown = said.code == Some(4) || said.stderr.contains(&message) && said.stderr.contains(&hint);
        if !told || !shown || kind != case.kind || hint.is_empty() || !matches!(said.code, Some(4 | 10 | 12)) {
            wrong.push(format!("{}: exit {:?}, {failure}, shown: {shown}", case.sort, said.code));
        }
        rows.push(Row {
            fault: case.sort.to_owned(),
            what: case.step.split('(').next().unwrap().to_owned(),
            outcome: kind,
            effects: String::new(),
            calls: shell.servers.seen().len(),
            time: said.took,
            message: format!("{message} [{hint}]"),
        });
    }
    print("Errors told apart", &rows);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
