//! Watches: what starts a run and what does not, on a page of this machine; and on the simulated AWS from the first bad look to healthy users.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::sandbox::Sandbox;
use crate::sns_signing::{TOPIC, notification, sign};

const SPEED: &str = "300";

/// A page that answers as told, a letter a look, and then as the last one said. Returns its address.
fn page(looks: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/health", listener.local_addr().expect("bound"));
    let looks: Vec<char> = looks.chars().collect();
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            // A client may have gone: the next one counts.
            let _ = stream.read(&mut [0; 2048]);
            let status = if looks[nth.min(looks.len() - 1)] == 'x' { "503 Service Unavailable" } else { "200 OK" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    url
}

fn runs(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.json(&["list"]).as_array().expect("runs").clone()
}

#[test]
fn flapping_starts_nothing_and_a_fall_starts_one_run() {
    let sandbox = Sandbox::new();
    sandbox.workflow("w", r#"(id: "a", run: Wait(duration: "0s"))"#);
    let url = page(&format!("{}xxx", ".x.xx.x.".repeat(6)));
    let args = ["watch", "w.ron", "--url", &url, "--interval", "20ms", "--yes", "--no-tty"];
    let watched = sandbox.wf(&args);
    watched.exits(0).says("bad, 2 of 3: HTTP 503").says("an incident since");
    assert_eq!(watched.stderr.matches("an incident").count(), 1);
    assert!(watched.stderr.matches("  well").count() > 12, "it flapped: {}", watched.stderr);
    assert_eq!(runs(&sandbox).len(), 1);
    // Started again, it answers the same incident no second time.
    sandbox.wf(&args).exits(4).says("is answered by run").says("--rearm");
    // Nor one so soon after the last run.
    let flaps = page(".xxxxxxxx");
    let mut again = sandbox.start(&["watch", "w.ron", "--url", &flaps, "--interval", "20ms", "--yes", "--no-tty", "--rearm"]);
    again.until("was started less than 1h ago: starts nothing");
    sandbox.wf(&["watch", "w.ron", "--url", &flaps, "--yes"]).exits(4).says("another process watches for `w` already");
    again.signal("INT");
    assert_eq!(again.end().code, Some(130));
    assert_eq!(runs(&sandbox).len(), 1);
}

#[test]
fn a_page_that_was_never_well_starts_nothing_and_nobody_is_promoted_unasked() {
    let sandbox = Sandbox::new();
    sandbox.workflow("w", r#"(id: "a", run: Wait(duration: "0s"))"#);
    let url = page("x");
    let mut watch = sandbox.start(&["watch", "w.ron", "--url", &url, "--interval", "20ms", "--yes", "--no-tty"]);
    (0..5).for_each(|_| {
        watch.until("was never well since the watch began");
    });
    watch.signal("TERM");
    watch.end().exits(130).says("the watch ends, and nothing was started");
    assert_eq!(runs(&sandbox), Vec::<Value>::new());
    sandbox.workflow("p", r#"(id: "promote", run: RdsPromoteReadReplica(instance: "i", region: "us-west-2"))"#);
    let refused = sandbox.wf(&["watch", "p.ron", "--url", &url, "--sim", "--yes", "--accept-split-brain-risk"]);
    refused.exits(4).says("step `promote` cannot be undone, and `p` asks nobody before it").says("--auto");
}

/// The watch died between its memory and the first record of the run.
#[test]
fn an_incident_whose_run_never_began_is_answered_by_the_next_watch() {
    let sandbox = Sandbox::new();
    sandbox.workflow("w", r#"(id: "a", run: Wait(duration: "0s"))"#);
    std::fs::create_dir(sandbox.path(".wf")).expect("writable");
    let left = r#"{"v":1,"began_at":"2026-03-14T02:58:39Z","run":"01HZXW3V9K0000000000000042"}"#;
    sandbox.file(".wf/watch-w.json", left);
    let url = page("x");
    let watched = sandbox.wf(&["watch", "w.ron", "--url", &url, "--interval", "20ms", "--yes", "--no-tty"]);
    watched.exits(0).says("its run had not begun").says("an incident since 02:58:39");
    let started = &events(&sandbox)[0]["event"]["RunStarted"];
    assert_eq!(started["incident_at"], "2026-03-14T02:58:39Z");
    // A page that is well again has no incident any more.
    sandbox.file(".wf/watch-w.json", left);
    let url = page("..xxx");
    let watched = sandbox.wf(&["watch", "w.ron", "--url", &url, "--interval", "20ms", "--yes", "--no-tty", "--min-delay", "0s"]);
    watched.exits(0).says("its run had not begun");
    assert!(!watched.stderr.contains("an incident since 02:58:39"), "{}", watched.stderr);
    assert_eq!(runs(&sandbox).len(), 2);
}

fn events(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.wf(&["log", "@latest", "--json"]).stdout.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

/// Of several sources all that are known must be bad, and what is not known starts nothing.
#[test]
fn an_alarm_starts_the_workflow_when_it_goes_off_and_not_while_nobody_knows() {
    let sandbox = quiet_at_first();
    let sim = ["--sim", "--sim-world", "world.ron", "--sim-speed", "5"];
    sandbox.wf(&[&["check", "failover.ron", "--live"], &sim[..]].concat()).exits(0);
    sandbox.wf(&["alarms", "failover.ron", "--put", "--sim", "--sim-speed", "5"]).exits(0);
    let at = |speed, more: &[&'static str]| {
        [&["watch", "failover.ron", "--sim", "--yes", "--no-tty", "--plain", "--sim-speed", speed], more].concat()
    };
    // Slowly: the outage is to come during the last of these looks.
    let watch = |more: &[&'static str]| at("5", more);
    let nobody = watch(&["--alarm", "wf-failover-health-app.company.com@us-east-1", "--sim-fault", "service-outage monitoring"]);
    let mut live = sandbox.start(&nobody);
    live.until("unknown, which starts nothing: alarm wf-failover-health-app.company.com@us-east-1 unknown");
    live.signal("INT");
    live.end().exits(130).says("nothing was started");
    sandbox.wf(&watch(&["--alarm", "nope@us-west-2"])).exits(4).says("there is no alarm nope in us-west-2");
    sandbox.wf(&watch(&["--alarm", "nope"])).exits(2).says("named with its region");
    sandbox.wf(&watch(&[])).exits(2).says("--url");
    // The page falls long before the alarm, which is in no haste: it has to see three bad minutes.
    let both = ["--url", "https://app.company.com/health", "--alarm", "wf-failover-health-app.company.com@us-east-1"];
    let checks = ["--health-check", "c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15", "--auto"];
    let watched = sandbox.wf(&[at(SPEED, &both), checks.to_vec()].concat());
    watched.exits(0).says(
        "well: page well; alarm wf-failover-health-app.company.com@us-east-1 well; health check c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15 well",
    );
    watched
        .says("as before: page bad, HTTP 50")
        .says("us-east-1 bad, in alarm; health check c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15 bad, unhealthy");
    watched.says("an incident since 03:0");
    assert_eq!(runs(&sandbox).len(), 1);
}

/// A world in which the incident is still to come.
fn quiet_at_first() -> Sandbox {
    let sandbox = Sandbox::new();
    let world = sandbox.wf(&["sim", "world"]).stdout.replace("preroll: 300", "preroll: 120");
    sandbox.file("world.ron", &world);
    let failover = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/failover.ron");
    sandbox.file("failover.ron", &std::fs::read_to_string(failover).expect("the shipped failover"));
    sandbox
}

const WATCH: [&str; 12] = [
    "watch",
    "failover.ron",
    "--url",
    "https://app.company.com/health",
    "--sim",
    "--sim-world",
    "world.ron",
    "--sim-speed",
    "100",
    "--yes",
    "--no-tty",
    "--plain",
];

#[test]
fn an_outage_is_answered_once_from_the_first_bad_look_to_healthy_users_also_when_the_watch_dies_in_the_middle() {
    let sandbox = quiet_at_first();
    let auto = [&WATCH[..], &["--auto"]].concat();
    let mut live = sandbox.start(&auto);
    live.until("an incident since 02:58:");
    live.until("POINT OF NO RETURN");
    live.kill();
    let again = sandbox.wf(&auto);
    again.exits(0).says("which was cut off: it goes on");
    assert_eq!(runs(&sandbox).len(), 1);
    let report = sandbox.wf(&["report", "@latest", "--format", "json"]);
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    let clocks = &report["summary"]["clocks"];
    let moments =
        ["incident", "start", "decision", "writable", "healthy"].map(|clock| clocks[clock].as_str().expect("a moment").to_owned());
    assert!(moments.is_sorted() && moments[0].starts_with("2026-03-14T02:58:"), "{clocks}");
    // At 02:58:30 the servers died: three bad looks later, ten seconds apart, the run began.
    assert!(moments[1].as_str() < "2026-03-14T03:00:30", "{clocks}");
    assert_eq!(report["summary"]["rto"]["verdict"], json!("met"));
}

#[test]
fn without_auto_the_run_prepares_and_asks() {
    let sandbox = quiet_at_first();
    let mut live = sandbox.start(&WATCH);
    live.until("wf approve");
    sandbox.wf(&["approve", "@latest", "go", "--reason", "it is real"]).exits(0);
    live.end().exits(0).tells("decision +");
}

/// Posts a message to a watch; returns the status and what it says.
fn post(address: &str, message: &Value) -> (u16, String) {
    post_on(std::net::TcpStream::connect(address).expect("the watch listens"), message)
}

fn post_on(mut stream: impl Read + Write, message: &Value) -> (u16, String) {
    let body = message.to_string();
    write!(stream, "POST /sns HTTP/1.1\r\nhost: watch\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"));
    (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

#[test]
fn a_message_that_sns_signed_starts_the_workflow_and_no_other_does() {
    let sandbox = Sandbox::new();
    sandbox.workflow("w", r#"(id: "a", run: Wait(duration: "0s"))"#);
    let args = ["watch", "w.ron", "--sim", "--sim-speed", "5", "--interval", "100ms", "--yes", "--no-tty", "--sns-topic", TOPIC];
    sandbox.wf(&args).exits(2).says("--sns-listen");
    let mut live = sandbox.start(&[&args[..], &["--sns-listen", "127.0.0.1:0"]].concat());
    let said = live.until("when 3 looks in a row are bad").said().to_owned();
    let address = said.split(" on ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_else(|| panic!("no address in {said}"));
    live.until("unknown, which starts nothing: SNS unknown, no message of an alarm yet");

    let at: jiff::Timestamp = "2026-03-14T03:00:00Z".parse().expect("the world's clock");
    let alarm = json!({ "AlarmName": "health", "OldStateValue": "OK", "NewStateValue": "ALARM", "NewStateReason": "3 of 3" }).to_string();
    let signed = sign(notification(&alarm, Some("ALARM: health"), at));
    let changed = |field: &str, value: &str| {
        let mut changed = signed.clone();
        changed[field] = json!(value);
        changed
    };
    assert_eq!(post(address, &changed("Message", &alarm.replace("health", "other"))), (403, "SNS did not sign it".to_owned()));
    assert_eq!(post(address, &changed("SigningCertURL", "https://evil.example/x.pem")).0, 403);
    assert_eq!(post(address, &changed("TopicArn", "arn:aws:sns:us-west-2:123456789012:other")).0, 403);
    assert_eq!(post(address, &sign(notification(&alarm, None, at - jiff::SignedDuration::from_hours(2)))).0, 403, "said before");
    assert_eq!(post(address, &changed("SigningCertURL", "https://sns.us-west-2.amazonaws.com/none.pem")).0, 503, "it may be there later");
    assert_eq!(post(address, &sign(notification("lunch?", None, at))).0, 200, "of no use, and not to be delivered again");

    let mut subscribe = notification("You have chosen to subscribe", None, at);
    subscribe["Type"] = json!("SubscriptionConfirmation");
    subscribe["Token"] = json!("abc");
    subscribe["SubscribeURL"] =
        json!(format!("https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"));
    let (status, says) = post(address, &sign(subscribe));
    assert!(status == 200 && says.contains("is confirmed"), "{status} {says}");
    assert_eq!(runs(&sandbox), Vec::<Value>::new());

    assert_eq!(post(address, &signed), (200, "alarm health is ALARM".to_owned()));
    live.end().exits(0).says("bad, 1 of 3: SNS bad, alarm health is ALARM: 3 of 3").says("an incident since");
    assert_eq!(runs(&sandbox).len(), 1);
}

/// The certificate of a watch, which names `watch.test` and is good until 2126, and its key, which is nobody's else.
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/watch-certificate.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/watch-key.pem");

#[test]
fn sns_delivers_over_https_to_a_watch_that_has_a_certificate() {
    let sandbox = Sandbox::new();
    sandbox.workflow("w", r#"(id: "a", run: Wait(duration: "0s"))"#);
    let args = ["watch", "w.ron", "--sim", "--sim-speed", "5", "--interval", "100ms", "--yes", "--no-tty", "--sns-topic", TOPIC];
    let secure = |certificate: &str, key: &str| {
        [&args[..], &["--failures", "1", "--sns-listen", "127.0.0.1:0", "--sns-certificate", certificate, "--sns-key", key]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let refused = |certificate: &str, key: &str| {
        let args = secure(certificate, key);
        sandbox.wf(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    refused(KEY, KEY).exits(2).says("watch-key.pem is no PEM file with a certificate");
    refused(CERTIFICATE, CERTIFICATE).exits(2).says("watch-certificate.pem is no PEM file with a private key");
    sandbox.wf(&[&args[..], &["--sns-listen", "127.0.0.1:0", "--sns-certificate", CERTIFICATE]].concat()).exits(2).says("--sns-key");

    let args = secure(CERTIFICATE, KEY);
    let mut live = sandbox.start(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let said = live.until("a look is bad").said().to_owned();
    let address = said.split(" on ").nth(1).and_then(|rest| rest.split(" (TLS)").next()).unwrap_or_else(|| panic!("no address in {said}"));
    live.until("unknown, which starts nothing: SNS unknown, no message of an alarm yet");

    let at: jiff::Timestamp = "2026-03-14T03:00:00Z".parse().expect("the world's clock");
    let alarm = json!({ "AlarmName": "health", "OldStateValue": "OK", "NewStateValue": "ALARM", "NewStateReason": "3 of 3" }).to_string();
    let signed = sign(notification(&alarm, Some("ALARM: health"), at));
    let mut plain = std::net::TcpStream::connect(address).expect("the watch listens");
    plain.write_all(b"POST /sns HTTP/1.1\r\nhost: watch\r\ncontent-length: 0\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "who speaks no TLS has no answer");

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(CERTIFICATE).expect("a certificate")).expect("good enough");
    let config =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().expect("known");
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let connection = ClientConnection::new(config, "watch.test".try_into().expect("a name")).expect("a connection");
    let stream = StreamOwned::new(connection, std::net::TcpStream::connect(address).expect("the watch listens"));
    assert_eq!(post_on(stream, &signed), (200, "alarm health is ALARM".to_owned()));
    live.end().exits(0).says("an incident since");
    assert_eq!(runs(&sandbox).len(), 1);
}
