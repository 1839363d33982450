//! As whom a run acts: each way to credentials that the SDK knows, from the command line, against moto's STS and doubles on loopback of
//! those who give credentials out: the metadata of an instance, a container's agent, SSO, a program.
//!
//! What cannot be tried here: a real sign-in to SSO and the renewal of its token, which need a browser, and whether AWS trusts a web
//! identity, whose token moto does not look at.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::servers::Servers;

/// A step that has nothing to change: what matters is as whom it looks.
const LOOKS: &str = r#"Workflow(name: "looks", steps: [
    (id: "a", run: AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 0, desired: 0, max: 10)),
])"#;
const ROLE: &str = "arn:aws:iam::123456789012:role/dr";
/// The SHA-1 of [`START_URL`], by which the AWS CLI names what it keeps of a sign-in.
const SSO_CACHE: &str = ".aws/sso/cache/7487b5b67d5fa1132cf33fa93ae51ef38cc37752.json";
const START_URL: &str = "https://d-1234567890.awsapps.com/start";

/// Gives out credentials to who asks at a path, as instances, containers and SSO do.
fn double(answers: Vec<(&'static str, Value)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let mut lines = Vec::new();
            while let Some(Ok(line)) = (&mut reader).lines().next().filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty())) {
                lines.push(line);
            }
            let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
            let answer = answers.iter().find(|(known, _)| path.split('?').next() == Some(known)).map(|(_, answer)| answer);
            let (status, body) = match answer {
                Some(Value::String(text)) => ("200 OK", text.clone()),
                Some(answer) => ("200 OK", answer.to_string()),
                None => ("404 Not Found", String::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\nx-aws-ec2-metadata-token-ttl-seconds: 600\r\n");
            let _ = (&stream).write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        }
    });
    url
}

/// An operator who has nothing but a home directory.
struct Operator {
    home: tempfile::TempDir,
}

impl Operator {
    fn new() -> Self {
        let operator = Self { home: tempfile::tempdir().unwrap() };
        operator.write("looks.ron", LOOKS);
        operator
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn wf(&self, servers: &Servers, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wf"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("USER", "tester");
        command.env("HOME", self.home.path()).env("WF_STATE_DIR", self.home.path().join("state"));
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ENDPOINT_URL", &servers.moto).env("AWS_REGION", "us-west-2");
        command.envs(env.iter().copied()).current_dir::<&Path>(self.home.path()).args(args).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs the workflow, and returns as whom.
    #[track_caller]
    fn acts(&self, servers: &Servers, env: &[(&str, &str)]) -> String {
        let ran = self.wf(servers, &["run", "looks.ron", "--yes"], env);
        assert!(ran.status.success(), "{env:?}: {}", said(&ran));
        let status = self.wf(servers, &["status", "--json"], &[]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let who = &status["started_by"]["identity"];
        assert_eq!(who["account"], "123456789012", "{status}");
        let arn = who["arn"].as_str().unwrap().to_owned();
        assert!(said(&ran).contains(&format!("as {arn}")), "{}", said(&ran));
        arn
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Has moto give out credentials of a role, which it knows again.
fn credentials(servers: &Servers, session: &str) -> (String, String, String) {
    let params = json!({ "RoleArn": ROLE, "RoleSessionName": session });
    let asked =
        json!({ "do": "call", "at": "moto", "region": "us-west-2", "service": "sts", "operation": "assume_role", "params": params });
    let answer = servers.ask(&asked);
    let part = |name: &str| answer["Credentials"][name].as_str().unwrap().to_owned();
    (part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken"))
}

fn as_role(session: &str) -> String {
    format!("arn:aws:sts::123456789012:assumed-role/dr/{session}")
}

#[test]
fn every_way_to_credentials_leads_to_its_identity() {
    let servers = Servers::start();
    servers.seed("moto");
    let operator = Operator::new();
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let given = |session: &str| {
        let (key, secret, token) = credentials(&servers, session);
        json!({ "Code": "Success", "Version": 1, "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": secret, "Token": token,
            "SessionToken": token, "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z" })
    };

    assert_eq!(operator.acts(&servers, &keys), "arn:aws:sts::123456789012:user/moto", "static credentials");

    let program = operator.write("credentials.json", &given("program").to_string());
    let sso_session = format!("sso_start_url = {START_URL}\nsso_region = us-west-2\nsso_account_id = 123456789012\nsso_role_name = dr\n");
    let config = format!(
        "[profile program]\ncredential_process = cat {program}\n\
         [profile keys]\naws_access_key_id = test\naws_secret_access_key = test\n\
         [profile role]\nrole_arn = {ROLE}\nrole_session_name = profile\nsource_profile = keys\nregion = us-west-2\n\
         [profile sso]\n{sso_session}\
         [profile fips]\naws_access_key_id = test\naws_secret_access_key = test\nuse_fips_endpoint = true\n"
    );
    operator.write(".aws/config", &config);
    assert_eq!(operator.acts(&servers, &[("AWS_PROFILE", "program")]), as_role("program"), "credential_process");

    // The global endpoint of STS is in the failing region: an old setting does not lead there.
    let legacy = [("AWS_PROFILE", "role"), ("AWS_STS_REGIONAL_ENDPOINTS", "legacy")];
    assert_eq!(operator.acts(&servers, &legacy), as_role("profile"), "role_arn and source_profile");
    let calls = servers.ask(&json!({ "do": "calls" }));
    let regions: Vec<_> = calls.as_array().unwrap().iter().filter(|call| call["by"] == "wf").map(|call| call["region"].clone()).collect();
    assert!(!regions.is_empty() && regions.iter().all(|region| region == "us-west-2"), "{calls}");

    let token = operator.write("token", "a.b.c");
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()), ("AWS_ROLE_ARN", ROLE), ("AWS_ROLE_SESSION_NAME", "web")];
    assert_eq!(operator.acts(&servers, &web), as_role("web"), "web identity");

    let agent = double(vec![("/agent", given("container"))]);
    let container = format!("{agent}/agent");
    let pod = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod")];
    assert_eq!(operator.acts(&servers, &pod), as_role("container"), "a container, or an EKS pod identity");

    let base = "/latest/meta-data/iam/security-credentials/";
    let metadata = double(vec![
        ("/latest/api/token", json!("token")),
        (base, json!("dr")),
        ("/latest/meta-data/iam/security-credentials/dr", given("instance")),
    ]);
    let instance = [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str())];
    assert_eq!(operator.acts(&servers, &instance), as_role("instance"), "the metadata of an instance");

    let (key, secret, session) = credentials(&servers, "sso");
    let portal = double(vec![(
        "/federation/credentials",
        json!({ "roleCredentials": { "accessKeyId": key, "secretAccessKey": secret, "sessionToken": session, "expiration": 4_070_908_800_000_u64 } }),
    )]);
    let token = json!({ "accessToken": "token", "expiresAt": "2099-01-01T00:00:00Z", "region": "us-west-2", "startUrl": START_URL });
    operator.write(SSO_CACHE, &token.to_string());
    let sso = [("AWS_PROFILE", "sso"), ("AWS_ENDPOINT_URL_SSO", portal.as_str())];
    assert_eq!(operator.acts(&servers, &sso), as_role("sso"), "SSO");

    // That these settings are heard shows in that the SDK refuses them beside an endpoint of our own.
    for (env, refusal) in [
        ([("AWS_USE_FIPS_ENDPOINT", "true"), keys[0], keys[1]], "FIPS and custom endpoint are not supported"),
        ([("AWS_USE_DUALSTACK_ENDPOINT", "true"), keys[0], keys[1]], "Dualstack and custom endpoint are not supported"),
        ([("AWS_PROFILE", "fips"), ("X", ""), ("Y", "")], "FIPS and custom endpoint are not supported"),
    ] {
        let ran = operator.wf(&servers, &["run", "looks.ron", "--yes"], &env);
        assert!(!ran.status.success() && said(&ran).contains(refusal), "{env:?}: {}", said(&ran));
    }
}

#[test]
fn a_run_is_not_started_by_nobody_nor_carried_on_in_another_account() {
    let servers = Servers::start();
    servers.seed("moto");
    let operator = Operator::new();
    let nobody = operator.wf(&servers, &["run", "looks.ron", "--yes"], &[]);
    assert_eq!(nobody.status.code(), Some(4), "{}", said(&nobody));
    assert!(said(&nobody).contains("nothing was done") && said(&nobody).contains("there are no AWS credentials"), "{}", said(&nobody));
    assert!(!operator.home.path().join("state").exists(), "nothing is recorded");

    // Nobody answers for STS: the run starts all the same, soon, and says what it does not know.
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let began = std::time::Instant::now();
    let ran = operator.wf(&servers, &["run", "looks.ron", "--yes"], &[keys[0], keys[1], ("AWS_ENDPOINT_URL_STS", &url)]);
    assert!(ran.status.success() && said(&ran).contains("warning: it is not known as whom this run acts"), "{}", said(&ran));
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());

    // A run that stops at a question, and is resumed by others.
    let asks = r#"Workflow(name: "asks", steps: [
        (id: "a", run: AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 0, desired: 0, max: 10)),
        (id: "b", needs: ["a"], run: AutoScalingScale(group: "nowhere", region: "us-west-2", min: 0), retry: (attempts: 1)),
    ], on_failure: Pause)"#;
    operator.write("asks.ron", asks);
    let paused = operator.wf(&servers, &["run", "asks.ron", "--yes"], &keys);
    assert_eq!(paused.status.code(), Some(12), "{}", said(&paused));
    let sts = ("AWS_ENDPOINT_URL_STS", servers.ministack.as_str());
    let refused = operator.wf(&servers, &["resume"], &[keys[0], keys[1], sts]);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(said(&refused).contains("the run belongs to account 123456789012, and you are"), "{}", said(&refused));
    let meant = operator.wf(&servers, &["resume", "--other-account"], &[keys[0], keys[1], sts]);
    assert_eq!(meant.status.code(), Some(12), "{}", said(&meant));
    let (key, secret, token) = credentials(&servers, "colleague");
    let colleague = [("AWS_ACCESS_KEY_ID", key.as_str()), ("AWS_SECRET_ACCESS_KEY", &secret), ("AWS_SESSION_TOKEN", &token)];
    let resumed = operator.wf(&servers, &["resume"], &colleague);
    assert_eq!(resumed.status.code(), Some(12), "{}", said(&resumed));
    assert!(said(&resumed).contains(&format!("and goes on as {}", as_role("colleague"))), "{}", said(&resumed));
    let log = operator.wf(&servers, &["log"], &[]);
    assert!(said(&log).contains(&format!("as {}", as_role("colleague"))), "{}", said(&log));
}

#[test]
fn a_step_acts_as_the_role_of_its_account() {
    let servers = Servers::start();
    servers.seed("moto");
    let operator = Operator::new();
    let account = format!(r#"account: Account(role: "{ROLE}", external_id: "blue"), steps"#);
    operator.write("looks.ron", &LOOKS.replace("steps", &account));
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    operator.acts(&servers, &keys);
    assert_eq!(servers.calls("AssumeRole"), 1);
    assert!(servers.calls("DescribeAutoScalingGroups") > 0);
}
