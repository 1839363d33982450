//! [`Cloud::live`] against loopback: endpoints from the environment, what a dead endpoint is, and web pages by way of another host.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use wf_engine::model::event::FailureKind;
use wf_steps::aws::{Cloud, errors};

/// Set for the child process, in which the environment is the one that is tested.
const CHILD: &str = "WF_TEST_LIVE_CHILD";

/// Answers requests on loopback with one response, until the process ends; what was asked goes into the channel.
fn serve(status: &'static str, body: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 16 * 1024];
            let read = stream.read(&mut buffer).unwrap_or(0);
            let _ = seen.send(String::from_utf8_lossy(&buffer[..read]).into_owned());
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    (port, requests)
}

#[test]
fn endpoints_and_credentials_come_from_the_environment() {
    if std::env::var_os(CHILD).is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(child());
        return;
    }
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    let (port, requests) = serve("403 Forbidden", denied);
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "live::endpoints_and_credentials_come_from_the_environment"])
        .env_clear()
        .env(CHILD, "1")
        .env("AWS_ACCESS_KEY_ID", "AKIATEST")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_ENDPOINT_URL_RDS", format!("http://127.0.0.1:{port}"))
        .status()
        .unwrap();
    assert!(status.success());
    let request = requests.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(request.contains("/us-west-2/rds/aws4_request"), "{request}");
}

async fn child() {
    let cloud = Cloud::live().await;
    let failure = cloud
        .rds("us-west-2")
        .describe_db_instances()
        .send()
        .await
        .map_err(errors::reading("rds:DescribeDBInstances", "look"))
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
    // No endpoint of its own, so the general one, where nobody listens.
    let failure = cloud.sns("us-west-2").list_topics().send().await.map_err(errors::reading("sns:ListTopics", "look")).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
    assert!(failure.message.contains("the connection was refused"), "{failure:?}");
}

#[tokio::test]
async fn a_page_is_asked_by_way_of_another_host_under_its_own_name() {
    let (port, requests) = serve("200 OK", "fine");
    let cloud = Cloud::live().await;
    let url = format!("http://app.company.com:{port}/health?full=1");
    let answer = cloud.get(&url, Some("127.0.0.1"), Duration::from_secs(5)).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"fine".as_slice()));
    let request = requests.recv_timeout(Duration::from_secs(5)).unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /health?full=1 http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: app.company.com:{port}\r\n")) && !request.contains("x-wf-connect-to"), "{request}");
}

#[tokio::test]
async fn a_page_that_nobody_serves_is_unreachable_and_no_url_is_a_mistake() {
    let cloud = Cloud::live().await;
    let failure = cloud.get("http://127.0.0.1:1/health", None, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let failure = cloud.get(&url, None, Duration::from_millis(100)).await.unwrap_err();
    assert!(failure.causes.iter().any(|cause| cause.contains("no answer within 100ms")), "{failure:?}");
    assert_eq!(cloud.get("app.company.com", None, Duration::from_secs(5)).await.unwrap_err().kind, FailureKind::Permanent);
}
