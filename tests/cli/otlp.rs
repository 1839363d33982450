//! Spans go to a collector, and a collector that hangs or is not there holds nothing up. Only in a `wf` that was built for it:
//! `cargo test --features otlp --test cli otlp`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::sandbox::{Outcome, Sandbox};

fn exported(sandbox: &Sandbox, endpoint: &str) -> Outcome {
    let mut command = sandbox.command(["run", "traced.ron", "--yes"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=swordfish-of-the-collector");
    Outcome::of(command.env("WF_LOG", "trace"))
}

fn traced() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.workflow(
        "traced",
        r#"(id: "first_step", run: Wait(duration: "0s")), (id: "fails", needs: ["first_step"], run: Exec(command: ["false"]))"#,
    );
    sandbox
}

#[test]
fn a_collector_receives_the_spans_of_run_and_steps() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut head, mut len) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {
                let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
                len = line.strip_prefix("content-length:").map_or(len, |value| value.trim().parse().unwrap());
            }
            let mut body = vec![0; len];
            reader.read_exact(&mut body).unwrap();
            sender.send((head, body)).unwrap();
            let _ = write!(reader.into_inner(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let run = exported(&traced(), &endpoint);
    run.exits(10);
    assert!(!run.stderr.contains("swordfish"), "the header is in the log: {}", run.stderr);
    let (head, body) = received.recv_timeout(Duration::from_secs(60)).expect("an export");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces ") && head.contains("content-type: application/x-protobuf"), "{head}");
    assert!(head.contains("x-api-key: swordfish-of-the-collector"), "{head}");
    let has = |words: &str| body.windows(words.len()).any(|window| window == words.as_bytes());
    // Names and values stand in protobuf as they are.
    for words in ["service.name", "run", "step", "first_step", "fails", "workflow", "traced", "outcome", "as desired", "failed"] {
        assert!(has(words), "no {words} in {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_collector_that_hangs_or_is_not_there_fails_no_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = format!("http://{}", listener.local_addr().unwrap());
    for endpoint in [hangs.as_str(), "http://127.0.0.2:1", "no url"] {
        exported(&traced(), endpoint).exits(10).tells("rolled back");
    }
}
