//! The default world with the routing controls of ARC that it has in comments, and a step that uses them.

use wf_sim::DEFAULT_WORLD;

/// The region of each endpoint of the cluster.
pub const ENDPOINTS: [&str; 5] = ["us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2"];
const PANEL: &str = "arn:aws:route53-recovery-control::123456789012:controlpanel/0f1e2d3c4b5a";

/// The routing control of the primary.
pub fn east() -> String {
    format!("{PANEL}/routingcontrol/ea57ea57ea57")
}

/// The routing control of the standby.
pub fn west() -> String {
    format!("{PANEL}/routingcontrol/0e570e570e57")
}

/// The rule that one of the two has to be On.
pub fn rule() -> String {
    format!("{PANEL}/safetyrule/0a1b2c3d4e5f")
}

/// The world: the records of the application have health checks that follow the controls, and nothing else moves its users.
pub fn world() -> String {
    let commented = |line: &str| line.trim_start().starts_with("// ") && line.contains("// ");
    let begins = |line: &str| line.trim() == "// recovery: (" || line.trim() == "// (";
    let (mut lines, mut inside) = (Vec::new(), false);
    for line in DEFAULT_WORLD.lines() {
        inside = commented(line) && (inside || begins(line));
        lines.push(if inside { line.replacen("// ", "", 1) } else { line.to_owned() });
    }
    let text = lines
        .join("\n")
        .replace("health_check: \"c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15\"", "health_check: \"e1d0c9b8-a7f6-4e5d-8c4b-3a2918070605\"");
    let (head, tail) = text.split_once("set_identifier: \"secondary\", failover: \"SECONDARY\",").unwrap();
    let text = format!(
        "{head}set_identifier: \"secondary\", failover: \"SECONDARY\", health_check: \"f2e1d0c9-b8a7-4f6e-9d5c-4b3a29180716\",{tail}"
    );
    // No load balancer's health counts: the controls alone say where the users go.
    let (head, tail) = text.split_once("hosted_zones").unwrap();
    let (of_app, rest) = tail.split_at(tail.find("shop.company.com").unwrap());
    format!("{head}hosted_zones{}{rest}", of_app.replace("evaluate_target_health: true", "evaluate_target_health: false"))
}

/// How the users are moved, as it stands in a plan.
pub fn via(on: &[String], off: &[String], overridden: &[String]) -> String {
    let endpoint =
        |region: &&str| format!("(url: \"https://0c1d2e3f.route53-recovery-cluster.{region}.amazonaws.com/v1\", region: \"{region}\")");
    let endpoints: Vec<_> = ENDPOINTS.iter().map(endpoint).collect();
    format!("via: RoutingControl(endpoints: [{}], on: {on:?}, off: {off:?}, override_safety_rules: {overridden:?})", endpoints.join(", "))
}
