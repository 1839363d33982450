//! The faults that an operator can switch on: their text forms, and which calls each one concerns.
//!
//! Pure: a `Fault` is a description. `Sim` asks it about each call; the world asks it about each second.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// One thing that goes wrong on purpose, as written: `region-outage us-east-1`, `throttle rds 20%`, ….
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub(crate) kind: FaultKind,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultKind {
    RegionOutage { region: String },
    RegionHang { region: String },
    ServiceOutage { service: String, region: Option<String> },
    Throttle { service: String, percent: f64 },
    Lag { instance: String, lag: Duration },
    WriteLoad { instance: String },
    NoCapacity { group: String },
    Fail { name: String, times: Option<u64> },
    LostResponse { name: String, times: Option<u64> },
    Deny { name: String },
    AllowOnly { names: Vec<String> },
    Timeout { name: String },
    PrimaryAlive,
    ApiLimits,
    EventualConsistency { delay: Duration },
    BackupPartial,
    RestorePartial,
    ImagePull { region: String },
    NoAddress { ingress: String },
    ApiServerDown { cluster: String, lasts: Option<Duration> },
    NoAccessEntry { cluster: String },
}

/// Every form, as shown in messages.
pub(crate) const FORMS: [(&str, &str); 21] = [
    ("region-outage", "region-outage REGION"),
    ("region-hang", "region-hang REGION"),
    ("service-outage", "service-outage SERVICE [REGION]"),
    ("throttle", "throttle SERVICE PERCENT%"),
    ("lag", "lag INSTANCE DURATION"),
    ("write-load", "write-load INSTANCE"),
    ("no-capacity", "no-capacity GROUP"),
    ("fail", "fail KIND-OR-ACTION [TIMES]"),
    ("lost-response", "lost-response KIND-OR-ACTION [TIMES]"),
    ("deny", "deny KIND-OR-ACTION"),
    ("allow-only", "allow-only ACTION,ACTION,…"),
    ("timeout", "timeout KIND-OR-ACTION"),
    ("primary-alive", "primary-alive"),
    ("api-limits", "api-limits"),
    ("eventual-consistency", "eventual-consistency DURATION"),
    ("backup-partial", "backup-partial"),
    ("restore-partial", "restore-partial"),
    ("image-pull", "image-pull REGION"),
    ("no-address", "no-address INGRESS-OR-REGION"),
    ("k8s-down", "k8s-down CLUSTER [DURATION]"),
    ("k8s-no-access", "k8s-no-access CLUSTER"),
];

/// The services by the names that faults and the call log use.
pub(crate) const SERVICES: [&str; 17] = [
    "rds",
    "acm",
    "autoscaling",
    "ec2",
    "ecr",
    "eks",
    "iam",
    "kms",
    "route53",
    "route53-recovery-cluster",
    "s3",
    "servicequotas",
    "sns",
    "sts",
    "elasticloadbalancing",
    "monitoring",
    "kubernetes",
];

/// Other names that people use for them.
const SERVICE_ALIASES: [(&str, &str); 7] = [
    ("arc", "route53-recovery-cluster"),
    ("cloudwatch", "monitoring"),
    ("elb", "elasticloadbalancing"),
    ("elbv2", "elasticloadbalancing"),
    ("asg", "autoscaling"),
    ("route-53", "route53"),
    ("service-quotas", "servicequotas"),
];

/// Step kinds and the API actions that carry out what they do.
const KIND_ACTIONS: [(&str, &[&str]); 27] = [
    ("RdsPromoteReadReplica", &["PromoteReadReplica"]),
    ("RdsCreateReadReplica", &["CreateDBInstanceReadReplica"]),
    ("RdsModifyInstance", &["ModifyDBInstance"]),
    ("RdsDeleteInstance", &["DeleteDBInstance"]),
    ("RdsWaitReplicaLag", &["GetMetricStatistics", "GetMetricData"]),
    ("AutoScalingScale", &["UpdateAutoScalingGroup", "SetDesiredCapacity"]),
    ("EksScaleNodegroup", &["UpdateNodegroupConfig"]),
    ("Route53Failover", &["ChangeResourceRecordSets", "PutObject", "DeleteObject", "UpdateRoutingControlStates"]),
    ("Route53Weighted", &["ChangeResourceRecordSets"]),
    ("ElbWaitTargetsHealthy", &["DescribeTargetHealth"]),
    ("SnsPublish", &["Publish"]),
    ("HttpCheck", &["HttpGet"]),
    ("S3Replicated", &["GetReplicationConfiguration"]),
    ("EcrReplicated", &["DescribeRegistry"]),
    ("VpcPeering", &["DescribeVpcPeeringConnections"]),
    ("K8sWaitNodes", &["list:nodes"]),
    ("VeleroRestore", &["create:restores"]),
    ("VeleroBackup", &["create:backups"]),
    ("K8sPatchSecret", &["patch:secrets"]),
    ("K8sPatchConfigMap", &["patch:configmaps"]),
    ("K8sRolloutRestart", &["patch:deployments", "patch:statefulsets", "patch:daemonsets"]),
    ("K8sScale", &["patch:deployments/scale", "patch:statefulsets/scale", "update:deployments/scale", "update:statefulsets/scale"]),
    ("K8sSuspendCronJobs", &["patch:cronjobs"]),
    ("K8sIngressAddress", &["get:ingresses"]),
    ("K8sWaitPodsReady", &["list:pods"]),
    ("K8sJob", &["create:jobs"]),
    ("K8sApply", &["apply"]),
];

/// Why a fault could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No fault has this name.
    #[error("no such fault: '{name}'{hint}; the forms are: {forms}", hint = did_you_mean(nearest.as_deref()), forms = all_forms())]
    Unknown {
        /// The name as given.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The fault exists, its arguments are wrong.
    #[error("{problem} in '{text}'; the form is: {form}")]
    Arguments {
        /// The fault as given.
        text: String,
        /// What is wrong with it.
        problem: String,
        /// The form it should have.
        form: &'static str,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default()
}

fn all_forms() -> String {
    FORMS.map(|(_, form)| form).join(" | ")
}

/// Returns the candidate most like `name`, if any is like it at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let wanted = name.to_ascii_lowercase();
    let likeness = |c: &str| {
        let candidate = c.to_ascii_lowercase();
        let swapped = strsim::normalized_damerau_levenshtein(&wanted, &candidate);
        let shared = strsim::jaro_winkler(&wanted, &candidate);
        if swapped > 0.6 || shared > 0.8 { swapped.max(shared) } else { 0.0 }
    };
    candidates
        .into_iter()
        .map(|c| (likeness(c), c))
        .filter(|(score, _)| *score > 0.0)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c.to_owned())
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let name = words.first().copied().unwrap_or("").to_ascii_lowercase();
        let Some((_, form)) = FORMS.iter().find(|(known, _)| *known == name) else {
            return Err(FaultError::Unknown { nearest: nearest(&name, FORMS.iter().map(|(known, _)| *known)), name });
        };
        let arguments = words.get(1..).unwrap_or_default();
        parse_kind(&name, arguments).map(|kind| Fault { kind }).map_err(|problem| FaultError::Arguments {
            text: text.trim().to_owned(),
            problem,
            form,
        })
    }
}

fn parse_kind(name: &str, arguments: &[&str]) -> Result<FaultKind, String> {
    let (least, most) = match name {
        "primary-alive" | "api-limits" | "backup-partial" | "restore-partial" => (0, 0),
        "throttle" | "lag" => (2, 2),
        "service-outage" | "fail" | "lost-response" | "k8s-down" => (1, 2),
        _ => (1, 1),
    };
    if arguments.len() < least {
        return Err("an argument is missing".to_owned());
    }
    if arguments.len() > most {
        return Err(format!("'{}' is too much", arguments[most]));
    }
    let first = arguments.first().copied().unwrap_or_default().to_owned();
    let second = arguments.get(1).copied();
    Ok(match name {
        "region-outage" => FaultKind::RegionOutage { region: region(&first)? },
        "region-hang" => FaultKind::RegionHang { region: region(&first)? },
        "service-outage" => FaultKind::ServiceOutage { service: service(&first)?, region: second.map(region).transpose()? },
        "throttle" => FaultKind::Throttle { service: service(&first)?, percent: percent(second)? },
        "lag" => FaultKind::Lag { instance: first, lag: duration(second.unwrap_or_default())? },
        "write-load" => FaultKind::WriteLoad { instance: first },
        "no-capacity" => FaultKind::NoCapacity { group: first },
        "fail" => FaultKind::Fail { name: action_name(&first)?, times: times(second)? },
        "lost-response" => FaultKind::LostResponse { name: action_name(&first)?, times: times(second)?.or(Some(1)) },
        "deny" => FaultKind::Deny { name: action_name(&first)? },
        "allow-only" => FaultKind::AllowOnly { names: first.split(',').map(action_name).collect::<Result<_, _>>()? },
        "timeout" => FaultKind::Timeout { name: action_name(&first)? },
        "eventual-consistency" => FaultKind::EventualConsistency { delay: duration(&first)? },
        "api-limits" => FaultKind::ApiLimits,
        "backup-partial" => FaultKind::BackupPartial,
        "restore-partial" => FaultKind::RestorePartial,
        "image-pull" => FaultKind::ImagePull { region: region(&first)? },
        "no-address" => FaultKind::NoAddress { ingress: first },
        "k8s-down" => FaultKind::ApiServerDown { cluster: first, lasts: second.map(duration).transpose()? },
        "k8s-no-access" => FaultKind::NoAccessEntry { cluster: first },
        _ => FaultKind::PrimaryAlive,
    })
}

fn region(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let plausible = parts.len() >= 3
        && parts.last().is_some_and(|n| n.parse::<u8>().is_ok())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if plausible { Ok(text.to_ascii_lowercase()) } else { Err(format!("'{text}' is not a region such as us-east-1")) }
}

fn service(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let name = SERVICE_ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(lower.as_str(), |(_, name)| name);
    if SERVICES.contains(&name) {
        return Ok(name.to_owned());
    }
    let hint = did_you_mean(nearest(name, SERVICES).as_deref());
    Err(format!("'{text}' is not a simulated service{hint} ({})", SERVICES.join(", ")))
}

fn percent(text: Option<&str>) -> Result<f64, String> {
    let text = text.unwrap_or_default();
    match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err(format!("'{text}' is not a percentage such as 20%")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("'{text}' is not a duration such as 90s or 2h"))
}

fn times(text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(times) if times > 0 => Ok(Some(times)),
        _ => Err(format!("'{text}' is not a number of times")),
    }
}

/// Brings a kind's or action's name to its usual spelling, or says that there is none such.
fn action_name(text: &str) -> Result<String, String> {
    let known = || KIND_ACTIONS.iter().map(|(kind, _)| *kind).chain(crate::services::ACTIONS.iter().map(|a| a.name));
    if let Some(name) = known().find(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(name.to_owned());
    }
    if crate::k8s::is_action(text) {
        return Ok(text.to_owned());
    }
    let hint = did_you_mean(nearest(text, known()).as_deref());
    Err(format!("'{text}' is neither a step kind nor an API action of the simulator{hint}"))
}

/// Reports whether `name`, a step kind or an API action, means `action`.
pub(crate) fn names_action(name: &str, action: &str) -> bool {
    name == action || KIND_ACTIONS.iter().any(|(kind, actions)| *kind == name && actions.contains(&action))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |f: &mut fmt::Formatter<'_>, word: &str, name: &str, times: Option<u64>| match times {
            Some(times) => write!(f, "{word} {name} {times}"),
            None => write!(f, "{word} {name}"),
        };
        match &self.kind {
            FaultKind::RegionOutage { region } => write!(f, "region-outage {region}"),
            FaultKind::RegionHang { region } => write!(f, "region-hang {region}"),
            FaultKind::ServiceOutage { service, region: None } => write!(f, "service-outage {service}"),
            FaultKind::ServiceOutage { service, region: Some(region) } => write!(f, "service-outage {service} {region}"),
            FaultKind::Throttle { service, percent } => write!(f, "throttle {service} {percent}%"),
            FaultKind::Lag { instance, lag } => write!(f, "lag {instance} {}", compact(*lag)),
            FaultKind::WriteLoad { instance } => write!(f, "write-load {instance}"),
            FaultKind::NoCapacity { group } => write!(f, "no-capacity {group}"),
            FaultKind::Fail { name, times } => counted(f, "fail", name, *times),
            FaultKind::LostResponse { name, times } => counted(f, "lost-response", name, *times),
            FaultKind::Deny { name } => write!(f, "deny {name}"),
            FaultKind::AllowOnly { names } => write!(f, "allow-only {}", names.join(",")),
            FaultKind::Timeout { name } => write!(f, "timeout {name}"),
            FaultKind::PrimaryAlive => write!(f, "primary-alive"),
            FaultKind::ApiLimits => write!(f, "api-limits"),
            FaultKind::EventualConsistency { delay } => {
                write!(f, "eventual-consistency {}", compact(*delay))
            }
            FaultKind::BackupPartial => write!(f, "backup-partial"),
            FaultKind::RestorePartial => write!(f, "restore-partial"),
            FaultKind::ImagePull { region } => write!(f, "image-pull {region}"),
            FaultKind::NoAddress { ingress } => write!(f, "no-address {ingress}"),
            FaultKind::ApiServerDown { cluster, lasts: Some(lasts) } => write!(f, "k8s-down {cluster} {}", compact(*lasts)),
            FaultKind::ApiServerDown { cluster, lasts: None } => write!(f, "k8s-down {cluster}"),
            FaultKind::NoAccessEntry { cluster } => write!(f, "k8s-no-access {cluster}"),
        }
    }
}

/// Writes a duration without blanks, so that a fault's text reads back as one argument.
fn compact(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn every_form_reads_back_as_it_was_written() {
        for text in [
            "region-outage us-east-1",
            "region-hang us-west-2",
            "service-outage route53",
            "service-outage route53-recovery-cluster eu-west-1",
            "throttle rds 20%",
            "lag prod-db-replica-west 2h",
            "lag prod-db-replica-west 1m30s",
            "write-load prod-db-primary",
            "no-capacity prod-app-dr-asg",
            "fail EksScaleNodegroup",
            "fail UpdateNodegroupConfig 3",
            "lost-response PromoteReadReplica 1",
            "deny ChangeResourceRecordSets",
            "allow-only PromoteReadReplica,get:secrets",
            "timeout DescribeDBInstances",
            "primary-alive",
            "api-limits",
            "eventual-consistency 30s",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
            assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        }
    }

    #[test]
    fn is_lenient_about_case_and_aliases() {
        assert_eq!("Throttle CloudWatch 5".parse::<Fault>().unwrap().to_string(), "throttle monitoring 5%");
        assert_eq!("lost-response promotereadreplica".parse::<Fault>().unwrap().to_string(), "lost-response PromoteReadReplica 1");
    }

    #[test]
    fn mistakes_name_the_form_and_the_nearest_word() {
        for (text, part) in [
            ("regionoutage us-east-1", "did you mean 'region-outage'"),
            ("", "the forms are: region-outage REGION"),
            ("region-outage", "an argument is missing"),
            ("region-outage mars", "is not a region"),
            ("throttle rds 200%", "is not a percentage"),
            ("throttle rsd 20%", "did you mean 'rds'"),
            ("lag db soon", "is not a duration"),
            ("fail UpdateNodegroup", "did you mean 'UpdateNodegroupConfig'"),
            ("fail Publish 0", "is not a number of times"),
            ("primary-alive now", "'now' is too much"),
        ] {
            let message = text.parse::<Fault>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_step_kind_stands_for_its_actions() {
        assert!(names_action("AutoScalingScale", "SetDesiredCapacity"));
        assert!(names_action("PromoteReadReplica", "PromoteReadReplica"));
        assert!(!names_action("AutoScalingScale", "DescribeAutoScalingGroups"));
    }
}
