//! Who is told what happens in a run: each transition once with its command, whatever the webhook does, and its URL nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::orders::gate;
use crate::sandbox::{Live, Outcome, Sandbox};

/// What a webhook's URL has that nobody may learn.
const SECRET: &str = "T0SWORDFISH/B0TROUT";
const SECRET_QUERY: &str = "sig=mackerel-and-eel";

/// What a message is answered.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Status(u16),
    /// The connection stays open.
    Never,
}

/// A webhook: a listener that takes messages.
struct Webhook {
    url: String,
    messages: Receiver<Value>,
}

impl Webhook {
    fn new(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/services/{SECRET}?{SECRET_QUERY}", listener.local_addr().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                open.extend(take(stream.unwrap(), &answer, &sender));
            }
        });
        Self { url, messages }
    }

    /// Waits for the next message.
    #[track_caller]
    fn next(&self) -> Value {
        self.messages.recv_timeout(Duration::from_secs(120)).expect("a message")
    }

    /// Returns what was posted, once nobody posts any more.
    fn all(&self) -> Vec<Value> {
        self.messages.try_iter().collect()
    }
}

/// Takes one message, and returns the connection if it is to stay open.
fn take(stream: TcpStream, answer: &impl Fn(&str) -> Answer, sender: &Sender<Value>) -> Option<TcpStream> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut len) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    assert!(head.starts_with(&format!("POST /services/{SECRET}?{SECRET_QUERY} ")), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let answer = answer(message["event"].as_str().unwrap());
    let _ = sender.send(message);
    match answer {
        Answer::Never => Some(reader.into_inner()),
        Answer::Status(status) => {
            let _ = write!(reader.into_inner(), "HTTP/1.1 {status} As told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            None
        }
    }
}

fn notified(sandbox: &Sandbox, args: &[&str], url: &str) -> Outcome {
    Outcome::of(sandbox.command(args).env("WF_NOTIFY_WEBHOOK", url))
}

fn live(sandbox: &Sandbox, args: &[&str], url: &str) -> Live {
    sandbox.start(&[args, &["--notify-webhook", url]].concat())
}

/// The events of messages, after a check that each has an own id and shows its command.
#[track_caller]
fn events(messages: &[Value]) -> Vec<String> {
    let ids: BTreeSet<_> = messages.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), messages.len(), "each is told once: {messages:?}");
    for message in messages {
        let command = message["next"][0]["command"].as_str().expect("a command");
        assert!(command.contains(message["run"].as_str().unwrap()), "{message}");
        assert!(message["text"].as_str().unwrap().contains(&format!("`{command}`")), "{message}");
    }
    messages.iter().map(|message| message["event"].as_str().unwrap().to_owned()).collect()
}

/// The commands of the message about an event, without `wf` and with `RUN` for the run.
#[track_caller]
fn commands(messages: &[Value], event: &str) -> Vec<String> {
    let message = messages.iter().find(|message| message["event"] == event).unwrap_or_else(|| panic!("no {event} in {messages:?}"));
    let run = message["run"].as_str().unwrap();
    let commands = message["next"].as_array().unwrap().iter().map(|next| next["command"].as_str().unwrap());
    commands.map(|command| command.strip_prefix("wf ").unwrap().replace(run, "RUN")).collect()
}

#[test]
fn a_question_a_failure_and_a_rollback_are_told_with_what_to_type() {
    let (sandbox, webhook) = (Sandbox::new(), Webhook::new(|_| Answer::Status(200)));
    let steps = r#"(id: "go", run: Approval(message: "Promote <!channel> & go?")),
        (id: "touch", needs: ["go"], run: Exec(command: ["touch", "made"], undo: ["rm", "-f", "made"], idempotent: true)),
        (id: "fail", needs: ["touch"], run: Exec(command: ["ls", "missing"]))"#;
    sandbox.workflow("asks", steps);
    let mut live = live(&sandbox, &["run", "asks.ron", "--sim", "--sim-exec", "--no-tty"], &webhook.url);
    live.until("asks: ");
    sandbox.wf(&["approve", "@latest", "go"]).exits(0);
    assert_eq!(live.end().code, Some(10));
    let messages = webhook.all();
    assert_eq!(events(&messages), ["started", "asks", "step-failed", "rolling-back", "rolled-back"]);
    assert_eq!(commands(&messages, "started"), ["status RUN --follow", "cancel RUN --rollback --reason …"]);
    assert_eq!(commands(&messages, "asks"), ["approve RUN go", "reject RUN go"]);
    assert_eq!(commands(&messages, "step-failed"), ["explain RUN fail", "status RUN --follow"]);
    assert_eq!(commands(&messages, "rolled-back"), ["report RUN"]);
    let asks = &messages[1];
    assert_eq!((asks["step"].as_str(), asks["world"].as_str(), asks["late"].as_bool()), (Some("go"), Some("sim"), Some(false)));
    assert!(asks["summary"].as_str().unwrap().starts_with("SIMULATED: asks "), "{asks}");
    assert!(asks["summary"].as_str().unwrap().ends_with("go asks: Promote <!channel> & go?"), "{asks}");
    assert!(asks["text"].as_str().unwrap().contains("Promote &lt;!channel&gt; &amp; go?"), "{asks}");
    let failed = messages[2]["details"].to_string();
    assert!(failed.contains("the run is rolled back once what is under way has ended"), "{failed}");
}

#[test]
fn what_pauses_and_what_is_stuck_is_told_with_how_to_go_on() {
    let (sandbox, webhook) = (Sandbox::new(), Webhook::new(|_| Answer::Status(200)));
    let steps = r#"(id: "cut", run: Exec(command: ["echo", "gone"], irreversible: true)),
        (id: "fail", needs: ["cut"], run: Exec(command: ["ls", "fixed"]))"#;
    sandbox.workflow("pauses", steps);
    notified(&sandbox, &["run", "pauses.ron", "--yes"], &webhook.url).exits(12);
    let messages = webhook.all();
    assert_eq!(events(&messages), ["started", "point-of-no-return", "step-failed", "paused"]);
    assert_eq!(commands(&messages, "paused"), ["resume RUN", "resume RUN --mark-done fail", "rollback RUN --past-point-of-no-return"]);
    sandbox.file("fixed", "");
    notified(&sandbox, &["resume", "@latest"], &webhook.url).exits(0);
    let messages = webhook.all();
    assert_eq!(events(&messages), ["resumed", "completed"]);
    assert_eq!(commands(&messages, "completed"), ["report RUN"]);

    let steps = r#"(id: "make", run: Exec(command: ["true"], undo: ["ls", "undoable"])),
        (id: "fail", needs: ["make"], run: Exec(command: ["false"]))"#;
    sandbox.workflow("stuck", steps);
    notified(&sandbox, &["run", "stuck.ron", "--yes"], &webhook.url).exits(11);
    let messages = webhook.all();
    assert_eq!(events(&messages), ["started", "step-failed", "rolling-back", "stuck"]);
    assert_eq!(commands(&messages, "stuck"), ["resume RUN", "mark-done RUN make --reason …", "log RUN"]);

    sandbox.workflow("except", r#"(id: "fail", run: Exec(command: ["false"]), on_failure: Continue)"#);
    notified(&sandbox, &["run", "except.ron", "--yes"], &webhook.url).exits(0);
    assert_eq!(events(&webhook.all()), ["started", "completed-with-exceptions"], "the plan lets it fail");
}

#[test]
fn orders_and_interruptions_are_told() {
    let (sandbox, webhook) = (Sandbox::new(), Webhook::new(|_| Answer::Status(200)));
    let first = gate(&sandbox, "first");
    sandbox.workflow(
        "steered",
        &format!(r#"(id: "first", run: {first}), (id: "long", needs: ["first"], run: Wait(duration: "10h"), timeout: "20h")"#),
    );
    let mut live = live(&sandbox, &["run", "steered.ron", "--yes", "--no-tty"], &webhook.url);
    fs::read(sandbox.path("first.begun")).unwrap();
    sandbox.wf(&["pause", "@latest", "--reason", "lag grows"]).exits(0);
    sandbox.wf(&["resume", "@latest"]).exits(0);
    fs::write(sandbox.path("first.go"), "x").unwrap();
    live.until("long                started");
    live.signal("INT");
    assert_eq!(live.end().code, Some(130));
    let messages = webhook.all();
    assert_eq!(events(&messages), ["started", "paused", "resumed", "interrupted"]);
    assert_eq!(commands(&messages, "paused"), ["resume RUN", "cancel RUN --rollback --reason …"]);
    assert!(messages[1]["summary"].as_str().unwrap().contains("lag grows"), "{messages:?}");
    assert_eq!(commands(&messages, "interrupted")[0], "resume RUN");
}

#[test]
fn a_webhook_that_hangs_or_fails_neither_holds_a_run_up_nor_fails_it_and_its_url_is_nowhere() {
    let answers = [Answer::Never, Answer::Status(500), Answer::Status(404), Answer::Status(302)];
    for answer in answers {
        let (sandbox, webhook) = (Sandbox::new(), Webhook::new(move |_| answer));
        sandbox.workflow("goes_on", r#"(id: "one", run: Wait(duration: "0s")), (id: "two", needs: ["one"], run: Exec(command: ["env"]))"#);
        let mut command = sandbox.command(["run", "goes_on.ron", "--yes"]);
        let run = Outcome::of(command.env("WF_NOTIFY_WEBHOOK", &webhook.url).env("WF_LOG", "trace").env("WF_LOG_FORMAT", "json"));
        run.exits(0).tells("completed").says("warning: the webhook was not notified of 2 of 2 events");
        let tries = webhook.all();
        match answer {
            Answer::Never => {
                assert_eq!(tries[0]["event"], "started");
                run.says("2 of them for want of time at the end");
            }
            Answer::Status(500) => assert_eq!(tries.len(), 4, "three times, and once what follows"),
            Answer::Status(_) => assert_eq!(tries.len(), 2, "what nobody takes is not posted again"),
        }
        if let Answer::Status(status) = answer {
            run.says(&format!("warning: the webhook was not notified (`started`): it answered {status}; nothing waits for it"));
        }
        nowhere(&sandbox, &run);
    }
    // Nobody listens at all.
    let url = Webhook::new(|_| Answer::Never).url.replace("127.0.0.1", "127.0.0.2");
    let sandbox = Sandbox::new();
    sandbox.workflow("goes_on", r#"(id: "one", run: Wait(duration: "0s"))"#);
    let run = Outcome::of(sandbox.command(["run", "goes_on.ron"]).env("WF_NOTIFY_WEBHOOK", &url).env("WF_LOG", "trace"));
    run.exits(0).says("(`started`): nobody answered; ");
    nowhere(&sandbox, &run);
}

/// Asserts that the URL is in nothing that was said, kept, or can be asked for.
#[track_caller]
fn nowhere(sandbox: &Sandbox, run: &Outcome) {
    let silent = |text: &str, place: &str| {
        for secret in SECRET.split('/').chain([SECRET_QUERY]) {
            assert!(!text.contains(secret), "{secret} is in {place}: {text}");
        }
    };
    let url = format!("https://x/{SECRET}?{SECRET_QUERY}");
    silent(&format!("{run:?}"), "what was said");
    for args in
        [&["log", "--json"][..], &["status", "--json"], &["report"], &["run", "--help"], &["help", "resume"], &["run", "missing.ron"]]
    {
        let said = notified(sandbox, args, &url);
        silent(&format!("{said:?}"), &args.join(" "));
    }
    look_through(&sandbox.path(".wf"), &silent);
}

fn look_through(dir: &Path, silent: &impl Fn(&str, &str)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look_through(&path, silent);
        } else if let Ok(bytes) = fs::read(&path) {
            silent(&String::from_utf8_lossy(&bytes), &path.display().to_string());
        }
    }
}

#[test]
fn a_wrong_webhook_or_topic_is_refused_before_anything_is_done() {
    let sandbox = Sandbox::new();
    sandbox.workflow("none", r#"(id: "touch", run: Exec(command: ["touch", "made"]))"#);
    for wrong in [format!("http://example.com/{SECRET}"), format!("ftp://x/{SECRET}"), format!("not a url {SECRET}")] {
        let refused = notified(&sandbox, &["run", "none.ron", "--yes"], &wrong);
        refused.exits(2).says("the webhook to notify is no address that can be posted to");
        assert!(!refused.stderr.contains("SWORDFISH"), "{refused:?}");
    }
    sandbox.wf(&["run", "none.ron", "--yes", "--notify-sns", "alerts"]).exits(2).says("names no region").says("alerts");
    sandbox.wf(&["run", "none.ron", "--yes", "--notify-webhook", "@missing.txt"]).exits(2).says("missing.txt");
    assert!(!sandbox.path("made").exists() && !sandbox.path(".wf").exists());
}

#[test]
fn what_a_killed_process_could_not_tell_is_told_by_the_next_and_nothing_twice() {
    let (sandbox, dead) = (Sandbox::new(), Webhook::new(|event| if event == "paused" { Answer::Never } else { Answer::Status(200) }));
    let steps = r#"(id: "cut", run: Exec(command: ["echo", "gone"], irreversible: true)),
        (id: "fail", needs: ["cut"], run: Exec(command: ["ls", "fixed"]))"#;
    sandbox.workflow("killed", steps);
    sandbox.file("url", &format!("{}\n", dead.url));
    let live = live(&sandbox, &["run", "killed.ron", "--yes", "--no-tty"], "@url");
    let told: Vec<_> = std::iter::repeat_with(|| dead.next()).take(4).collect();
    assert_eq!(events(&told), ["started", "point-of-no-return", "step-failed", "paused"]);
    live.kill();

    let webhook = Webhook::new(|_| Answer::Status(200));
    sandbox.file("fixed", "");
    notified(&sandbox, &["resume", "@latest"], &webhook.url).exits(0);
    let messages = webhook.all();
    assert_eq!(events(&messages), ["paused", "resumed", "completed"]);
    assert_eq!((&messages[0]["id"], messages[0]["late"].as_bool()), (&told[3]["id"], Some(true)));
    assert_eq!(commands(&messages, "paused"), ["status RUN"], "how to go on is another matter by now");
    notified(&sandbox, &["rollback", "@latest", "--yes", "--past-point-of-no-return"], &webhook.url);
    let again = webhook.all();
    assert!(again.iter().all(|message| message["late"] == false && message["event"] != "completed"), "{again:?}");
}

#[test]
fn a_failover_tells_a_topic_of_the_simulated_aws_and_a_live_webhook() {
    let (sandbox, webhook) = (Sandbox::new(), Webhook::new(|_| Answer::Status(200)));
    let topics = "production-dr-alerts@us-west-2,arn:aws:sns:us-west-2:123456789012:nobody-made-it";
    let mut command = sandbox.at_root(&["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", "300", "--notify-sns", topics]);
    let run = Outcome::of(command.env("WF_NOTIFY_WEBHOOK", &webhook.url));
    run.exits(0).says("warning: topic arn:aws:sns:us-west-2:123456789012:nobody-made-it was not notified (`started`)");
    assert_eq!(events(&webhook.all()), ["started", "point-of-no-return", "completed"], "approvals were given in advance");
    let calls = sandbox.json(&["sim", "log"]);
    let published = calls.as_array().unwrap().iter().filter(|call| call["action"] == "Publish" && call["error"].is_null());
    let subjects: Vec<_> =
        published.filter_map(|call| call["params"]["Subject"].as_str()?.strip_prefix("wf ").map(str::to_owned)).collect();
    let kinds: Vec<_> = subjects.iter().map(|subject| subject.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["started", "point-of-no-return", "completed"]);
    assert!(subjects.iter().all(|subject| subject.contains("(simulated): failover 01")), "{subjects:?}");
}
