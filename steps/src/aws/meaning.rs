//! [`Meaning`]: what an error code of AWS means for a step, in one table for all services.

use wf_engine::model::event::StepFailure;

use self::Meaning::{
    Busy, Clock, Conflict, Credentials, Denied, Endpoint, Expired, Failed, Full, Missing, Parameter, Quota, RegionOff, State, Taken,
    Throttled,
};

/// What an error code means: whether to try again, and what the operator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Too many calls: the same call is accepted later.
    Throttled,
    /// Another change is under way: the same call is accepted later.
    Busy,
    /// The resource's state does not allow it now: tried again until the attempts or the step's time are used up.
    State,
    /// The service failed by itself.
    Failed,
    /// There is no such thing in this region and account.
    Missing,
    /// The name is taken.
    Taken,
    /// The credentials may not do this.
    Denied,
    /// The credentials were good once.
    Expired,
    /// The credentials are none of AWS's.
    Credentials,
    /// This machine's clock is wrong, so that no signature is accepted.
    Clock,
    /// What answers is not this service.
    Endpoint,
    /// The account has not enabled the region or the service.
    RegionOff,
    /// A quota of the account is used up.
    Quota,
    /// The region has not the room, whatever the quota.
    Full,
    /// The parts of the request contradict what is there.
    Conflict,
    /// The request itself is refused.
    Parameter,
}

/// Every code that the operations of the kinds declare, those that all services share, and those that only the wire shows. Without
/// the endings `Exception` and `Fault`, which the protocols add or leave out.
const CODES: &[(&str, Meaning)] = &[
    // Shared by all services: the common errors of the API references, and the SDKs' list of throttling codes.
    ("AccessDenied", Denied),
    ("AuthFailure", Credentials),
    ("BandwidthLimitExceeded", Throttled),
    ("EC2Throttled", Throttled),
    ("ExpiredToken", Expired),
    ("IncompleteSignature", Credentials),
    ("InternalError", Failed),
    ("InternalFailure", Failed),
    ("InternalServerError", Failed),
    ("InternalService", Failed),
    ("InternalServiceError", Failed),
    ("InvalidAccessKeyId", Credentials),
    ("InvalidAction", Endpoint),
    ("InvalidClientTokenId", Credentials),
    ("InvalidParameterCombination", Parameter),
    ("InvalidParameterValue", Parameter),
    ("InvalidQueryParameter", Parameter),
    ("InvalidSignature", Credentials),
    ("LimitExceeded", Quota),
    ("MalformedQueryString", Parameter),
    ("MissingAction", Endpoint),
    ("MissingAuthenticationToken", Credentials),
    ("MissingParameter", Parameter),
    ("NotAuthorized", Denied),
    ("OptInRequired", RegionOff),
    ("PriorRequestNotComplete", Busy),
    ("ProvisionedThroughputExceeded", Throttled),
    ("RegionDisabled", RegionOff),
    ("RequestExpired", Clock),
    ("RequestLimitExceeded", Throttled),
    ("RequestThrottled", Throttled),
    ("RequestTimeTooSkewed", Clock),
    ("RequestTimeout", Failed),
    ("ServiceUnavailable", Failed),
    ("SignatureDoesNotMatch", Credentials),
    ("SlowDown", Throttled),
    ("SubscriptionRequired", RegionOff),
    ("Throttled", Throttled),
    ("Throttling", Throttled),
    ("TooManyRequests", Throttled),
    ("TransactionInProgress", Busy),
    ("UnauthorizedOperation", Denied),
    ("Unavailable", Failed),
    ("UnknownOperation", Endpoint),
    ("UnrecognizedClient", Credentials),
    ("Validation", Parameter),
    ("ValidationError", Parameter),
    // RDS
    ("AuthorizationNotFound", Missing),
    ("BackupPolicyNotFound", Missing),
    ("CertificateNotFound", Missing),
    ("DBClusterNotFound", Missing),
    ("DBInstanceAlreadyExists", Taken),
    ("DBInstanceAutomatedBackupQuotaExceeded", Quota),
    ("DBInstanceNotFound", Missing),
    ("DBParameterGroupNotFound", Missing),
    ("DBSecurityGroupNotFound", Missing),
    ("DBSnapshotAlreadyExists", Taken),
    ("DBSnapshotNotFound", Missing),
    ("DBSubnetGroupDoesNotCoverEnoughAZs", Parameter),
    ("DBSubnetGroupNotAllowed", Parameter),
    ("DBSubnetGroupNotFound", Missing),
    ("DBUpgradeDependencyFailure", Conflict),
    ("DomainNotFound", Missing),
    ("InstanceQuotaExceeded", Quota),
    ("InsufficientDBInstanceCapacity", Full),
    ("InvalidDBClusterState", State),
    ("InvalidDBInstanceState", State),
    ("InvalidDBSecurityGroupState", State),
    ("InvalidDBSnapshotState", State),
    ("InvalidDBSubnetGroup", Parameter),
    ("InvalidSubnet", Parameter),
    ("InvalidVPCNetworkState", State),
    ("KMSKeyNotAccessible", Denied),
    ("NetworkTypeNotSupported", Parameter),
    ("OptionGroupNotFound", Missing),
    ("ProvisionedIopsNotAvailableInAZ", Full),
    ("SnapshotQuotaExceeded", Quota),
    ("StorageQuotaExceeded", Quota),
    ("StorageTypeNotSupported", Parameter),
    ("TenantDatabaseQuotaExceeded", Quota),
    ("VpcEncryptionControlViolation", Denied),
    // EC2, whose API model names none
    ("InvalidAMIID.Malformed", Parameter),
    ("InvalidAMIID.NotFound", Missing),
    ("InvalidAMIID.Unavailable", Missing),
    ("InvalidInstanceType", Parameter),
    ("InvalidLaunchTemplateId.NotFound", Missing),
    ("InvalidLaunchTemplateId.VersionNotFound", Missing),
    ("InvalidLaunchTemplateName.NotFound", Missing),
    ("InvalidSubnetID.NotFound", Missing),
    ("InvalidVpcPeeringConnectionID.NotFound", Missing),
    // Service Quotas
    ("IllegalArgument", Parameter),
    ("NoSuchResource", Missing),
    ("Service", Failed),
    // EC2 Auto Scaling
    ("InvalidNextToken", Parameter),
    ("ResourceContention", Busy),
    ("ScalingActivityInProgress", Busy),
    ("ServiceLinkedRoleFailure", Denied),
    // ECR and ACM
    ("ImageNotFound", Missing),
    ("InvalidArn", Parameter),
    ("RepositoryNotFound", Missing),
    // IAM and KMS
    ("DependencyTimeout", Failed),
    ("KMSInternal", Failed),
    ("NoSuchEntity", Missing),
    ("PolicyEvaluation", Failed),
    ("ServiceFailure", Failed),
    // EKS
    ("Client", Parameter),
    ("InvalidParameter", Parameter),
    ("InvalidRequest", Parameter),
    ("ResourceInUse", Busy),
    ("ResourceLimitExceeded", Quota),
    ("ResourceNotFound", Missing),
    ("Server", Failed),
    // Route 53
    ("InvalidChangeBatch", Parameter),
    ("IncompatibleVersion", Parameter),
    ("InvalidDomainName", Parameter),
    ("InvalidInput", Parameter),
    ("NoSuchChange", Missing),
    ("NoSuchHostedZone", Missing),
    ("NoSuchHealthCheck", Missing),
    // ARC
    ("Conflict", Conflict),
    ("EndpointTemporarilyUnavailable", Failed),
    ("InternalServer", Failed),
    ("ServiceLimitExceeded", Parameter),
    // S3
    ("AuthorizationHeaderMalformed", Parameter),
    ("EncryptionTypeMismatch", Parameter),
    ("InvalidObjectState", State),
    ("InvalidWriteOffset", Parameter),
    ("NoSuchBucket", Missing),
    ("NoSuchKey", Missing),
    ("PermanentRedirect", Parameter),
    ("TooManyParts", Parameter),
    // SNS
    ("AuthorizationError", Denied),
    ("EndpointDisabled", State),
    ("InvalidSecurity", Credentials),
    ("KMSAccessDenied", Denied),
    ("KMSDisabled", Denied),
    ("KMSInvalidState", Denied),
    ("KMSNotFound", Missing),
    ("KMSOptInRequired", RegionOff),
    ("KMSThrottling", Throttled),
    ("NotFound", Missing),
    ("ParameterValueInvalid", Parameter),
    ("PlatformApplicationDisabled", State),
    // Elastic Load Balancing
    ("HealthUnavailable", Failed),
    ("InvalidTarget", Parameter),
    ("ListenerNotFound", Missing),
    ("LoadBalancerNotFound", Missing),
    ("TargetGroupNotFound", Missing),
    ("UnsupportedProtocol", Parameter),
    // STS
    ("IDPCommunicationError", Failed),
    ("IDPRejectedClaim", Credentials),
    ("InvalidIdentityToken", Credentials),
    ("MalformedPolicyDocument", Parameter),
    ("PackedPolicyTooLarge", Parameter),
];

impl Meaning {
    /// Returns what a code means, if it is a known one, whatever its ending.
    pub fn of_code(code: &str) -> Option<Self> {
        let stem = stem(code);
        CODES.iter().find(|(known, _)| *known == stem || *known == code).map(|(_, meaning)| *meaning)
    }

    /// Returns what an error means by its code, and by its HTTP status when the code is not known.
    pub(super) fn of(code: Option<&str>, status: u16, said: &str) -> Self {
        let known = code.and_then(Self::of_code);
        match (known, status) {
            (Some(Credentials), _) if said.contains("Signature expired") || said.contains("Signature not yet current") => Clock,
            (Some(meaning), _) => meaning,
            (None, 429) => Throttled,
            (None, 500..) if status != 501 => Failed,
            (None, 403) => Denied,
            // AWS gives a code with each refusal: who gives none is somebody else.
            (None, _) if code.is_none() => Endpoint,
            (None, _) => Parameter,
        }
    }

    /// Makes the failure of a call that was refused with this meaning. The hint says what helps.
    pub(super) fn failure(self, message: String, refused: &Refused) -> StepFailure {
        let again = "try again: `wf resume`, or `wf run` after a rollback";
        match self {
            Throttled => passing(message, "AWS asks for fewer calls"),
            Busy => passing(message, "another change is under way"),
            State => passing(message, "the resource is not in a state that allows this"),
            Failed => passing(message, "the service failed"),
            Missing => StepFailure::permanent(message).hint("check the name, the region and the account that the credentials belong to"),
            Taken => StepFailure::permanent(message).hint("somebody else has that name: look whose it is, then rename one of them"),
            Denied => StepFailure::permanent(message).hint(refused.denied()),
            Expired | Credentials => StepFailure::permanent(message).hint(super::errors::LOG_IN),
            Clock => StepFailure::permanent(message).hint(format!("set the clock of this machine (`timedatectl`), and then {again}")),
            Endpoint => StepFailure::permanent(message).hint(ENDPOINT),
            RegionOff => StepFailure::permanent(message)
                .hint("the account has not enabled this region or service: `aws account enable-region`, or choose another region"),
            Quota => StepFailure::permanent(message).hint(format!(
                "ask for a higher quota (`aws service-quotas request-service-quota-increase`) or free some, and then {again}"
            )),
            Full => StepFailure::permanent(message).hint("choose another instance class, storage or zone, or use a capacity reservation"),
            Conflict | Parameter => StepFailure::permanent(message)
                .hint("AWS does not take what the step asks for: correct the step in a new run, after a rollback of this one"),
        }
    }
}

/// Makes the failure of what passes by itself, most often.
fn passing(message: String, why: &str) -> StepFailure {
    StepFailure::transient(message)
        .hint(format!("{why}; the step is tried again, and once its attempts are used up: `wf resume`, or `wf run` after a rollback"))
}

pub(super) const ENDPOINT: &str =
    "what answered is not this AWS service: check AWS_ENDPOINT_URL, its variants for single services, and the profile's endpoint_url";

fn stem(code: &str) -> &str {
    let code = code.strip_suffix("Exception").unwrap_or(code);
    code.strip_suffix("Fault").unwrap_or(code)
}

/// What is known of a call that was refused.
pub(super) struct Refused<'a> {
    /// The IAM action of the call.
    pub(super) action: &'a str,
    /// What AWS said.
    pub(super) said: &'a str,
}

impl Refused<'_> {
    /// Says who lacks which right, as far as AWS told: "User: ARN is not authorized to perform: ACTION on resource: ARN because …".
    fn denied(&self) -> String {
        let after = |mark: &str| self.said.split_once(mark).and_then(|(_, rest)| rest.split_whitespace().next());
        let action = after("not authorized to perform: ").unwrap_or(self.action);
        let whom = after("User: ").map_or_else(|| "the identity that `aws sts get-caller-identity` names".to_owned(), str::to_owned);
        let on = after("on resource: ").map(|resource| format!(" on {resource}")).unwrap_or_default();
        if self.said.contains("explicit deny") {
            return format!(
                "an explicit deny keeps {whom} from {action}{on}: no policy that allows it helps, the deny must go (an SCP of the organisation, a permissions boundary, or the role's own policy)"
            );
        }
        let encoded = match self.said.contains("Encoded authorization failure message") {
            true => "; `aws sts decode-authorization-message` tells more",
            false => "",
        };
        format!(
            "allow {action}{on} to {whom} (`wf kinds` lists what each step needs){encoded}; an SCP of the organisation may deny it as well"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_with_and_without_their_endings() {
        for code in ["Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "EC2ThrottledException"] {
            assert_eq!(Meaning::of_code(code), Some(Throttled), "{code}");
        }
        assert_eq!(Meaning::of_code("InvalidDBInstanceStateFault"), Some(State));
        assert_eq!(Meaning::of_code("NoSuchThing"), None);
    }

    #[test]
    fn a_code_stands_in_the_table_once_and_without_its_ending() {
        for (index, (code, _)) in CODES.iter().enumerate() {
            assert!(CODES[..index].iter().all(|(other, _)| other != code), "{code} twice");
            assert!(stem(code) == *code || Meaning::of_code(stem(code)).is_some(), "{code}");
        }
    }

    #[test]
    fn an_unknown_code_means_what_its_status_says() {
        let cases = [(429, Throttled), (500, Failed), (503, Failed), (403, Denied), (400, Parameter), (404, Parameter)];
        for (status, meaning) in cases {
            assert_eq!(Meaning::of(Some("Unheard"), status, ""), meaning, "{status}");
        }
        assert_eq!(Meaning::of(None, 404, ""), Endpoint);
        assert_eq!(Meaning::of(None, 501, ""), Endpoint);
    }

    #[test]
    fn who_is_denied_learns_which_right_is_missing_to_whom() {
        let denied = |said| Refused { action: "rds:PromoteReadReplica", said }.denied();
        let said = "User: arn:aws:sts::123456789012:assumed-role/dr/wf is not authorized to perform: rds:PromoteReadReplica on resource: arn:aws:rds:us-west-2:123456789012:db:r because no identity-based policy allows the rds:PromoteReadReplica action";
        let hint = denied(said);
        let start =
            "allow rds:PromoteReadReplica on arn:aws:rds:us-west-2:123456789012:db:r to arn:aws:sts::123456789012:assumed-role/dr/wf";
        assert!(hint.starts_with(start), "{hint}");
        let hint = denied(
            "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: eks:UpdateNodegroupConfig with an explicit deny in a service control policy",
        );
        assert!(hint.starts_with("an explicit deny keeps arn:aws:iam::123456789012:user/ann from eks:UpdateNodegroupConfig"), "{hint}");
        assert!(denied("Access denied").starts_with("allow rds:PromoteReadReplica to the identity"));
    }
}
