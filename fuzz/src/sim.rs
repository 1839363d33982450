//! The simulator's wire protocols: whatever is asked, there is an answer that a client of the protocol can read.

use std::sync::LazyLock;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;
use wf_sim::{DEFAULT_WORLD, Fault, Sim, SimOptions, WorldDef};

/// The default world at the beginning of its story: what passes before the operator comes takes most of the time.
#[expect(clippy::expect_used, reason = "the shipped world is valid, and without it there is no target")]
static WORLD: LazyLock<WorldDef> = LazyLock::new(|| {
    let lines = DEFAULT_WORLD.lines().filter(|line| !line.trim_start().starts_with("preroll:"));
    lines.collect::<Vec<_>>().join("\n").parse().expect("a world")
});

/// The longest time that an answer may take, by the simulator's clock: no fault that hangs is switched on.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// The most requests of one input.
const REQUESTS_MAX: usize = 6;

/// Checks an input: HTTP requests, with `----` between them. The first line of one is `METHOD service path`, where the
/// service may be followed by `@region` and `+cbor`, the rest is its body; or it is `fault` and a fault, or `wait` and a number of seconds.
///
/// # Panics
/// When an answer is missing, late, or not of its protocol.
pub fn check(input: &[u8]) {
    thread_local! {
        static RUNTIME: Option<tokio::runtime::Runtime> =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().ok();
    }
    RUNTIME.with(|runtime| {
        if let Some(runtime) = runtime {
            runtime.block_on(answered(input));
        }
    });
}

async fn answered(input: &[u8]) {
    let options = SimOptions { world: WORLD.clone(), state_dir: None, speed: 1.0, seed: None, faults: Vec::new() };
    let Ok(sim) = Sim::open(options) else { panic!("the shipped world cannot be opened") };
    for part in parts(input).into_iter().take(REQUESTS_MAX) {
        let (line, body) = part.iter().position(|&byte| byte == b'\n').map_or((part, &[][..]), |at| (&part[..at], &part[at + 1..]));
        let Ok(line) = std::str::from_utf8(line) else { return };
        match line.split_once(' ') {
            Some(("wait", seconds)) => {
                let seconds = seconds.parse::<u16>().unwrap_or(1).min(600);
                sim.clock().sleep(Duration::from_secs(seconds.into())).await;
            }
            Some(("fault", fault)) => fault_reads_back(fault),
            _ => {
                let Some((request, protocol)) = request(line, body) else { return };
                let began = Instant::now();
                let answer = sim.handle(request).await;
                assert!(began.elapsed() <= ANSWER_TIME_MAX, "the answer took {:?}", began.elapsed());
                match answer {
                    Ok(response) => well_formed(&response, protocol),
                    Err(error) => assert_eq!(protocol, Protocol::Web, "an AWS service did not answer: {error}"),
                }
            }
        }
    }
    sim.clock().sleep(Duration::from_secs(5)).await;
    let (_, _) = (sim.status(), sim.traffic());
}

fn parts(input: &[u8]) -> Vec<&[u8]> {
    const BORDER: &[u8] = b"\n----\n";
    let (mut parts, mut rest) = (Vec::new(), input);
    while let Some(at) = rest.windows(BORDER.len()).position(|window| window == BORDER) {
        parts.push(&rest[..at]);
        rest = &rest[at + BORDER.len()..];
    }
    parts.push(rest);
    parts
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Xml,
    Json,
    Cbor,
    Web,
}

fn request(line: &str, body: &[u8]) -> Option<(Request<Vec<u8>>, Protocol)> {
    let mut words = line.splitn(3, ' ');
    let (method, service, path) = (words.next()?, words.next()?, words.next().unwrap_or("/"));
    let (service, cbor) = service.strip_suffix("+cbor").map_or((service, false), |service| (service, true));
    let (service, region) = service.split_once('@').unwrap_or((service, "us-west-2"));
    let request = Request::builder().method(method).uri(path);
    if service == "web" {
        return Some((request.body(body.to_vec()).ok()?, Protocol::Web));
    }
    if !service.bytes().chain(region.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    let scope = format!("AWS4-HMAC-SHA256 Credential=AKIA/20260314/{region}/{service}/aws4_request, SignedHeaders=host");
    let request = request.header("authorization", scope);
    let request = if cbor { request.header("smithy-protocol", "rpc-v2-cbor") } else { request };
    let protocol = match service {
        "eks" | "route53-recovery-cluster" => Protocol::Json,
        "rds" | "autoscaling" | "sns" | "sts" | "elasticloadbalancing" | "monitoring" if cbor => Protocol::Cbor,
        _ => Protocol::Xml,
    };
    Some((request.body(body.to_vec()).ok()?, protocol))
}

fn well_formed(response: &Response<Vec<u8>>, protocol: Protocol) {
    let body = String::from_utf8_lossy(response.body());
    let status = response.status().as_u16();
    assert!(matches!(status, 200..=599), "{status}");
    match protocol {
        Protocol::Xml => assert!(is_xml(response.body()), "{status}, and no XML: {body}"),
        Protocol::Json => assert!(serde_json::from_slice::<serde_json::Value>(response.body()).is_ok(), "{status}, and no JSON: {body}"),
        Protocol::Cbor => {
            assert!(ciborium::from_reader::<ciborium::Value, _>(response.body().as_slice()).is_ok(), "{status}, and no CBOR: {body}");
        }
        Protocol::Web => {}
    }
    if protocol != Protocol::Web {
        assert!(response.headers().contains_key("content-type"), "{status} without a content type");
    }
}

fn is_xml(body: &[u8]) -> bool {
    use quick_xml::events::Event;
    let Ok(text) = std::str::from_utf8(body) else { return false };
    // XML 1.0, "Char": what a strict reader takes.
    if text.chars().any(|c| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return false;
    }
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut roots) = (0_u32, 0_u32);
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                roots += u32::from(depth == 0);
                depth += 1;
            }
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Empty(_)) => roots += u32::from(depth == 0),
            Ok(Event::Eof) => return depth == 0 && roots == 1,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// What is understood as a fault is written as it is understood.
fn fault_reads_back(text: &str) {
    if let Ok(fault) = text.parse::<Fault>() {
        assert_eq!(fault.to_string().parse().ok(), Some(fault), "written and read, it is another fault than '{text}'");
    }
}
