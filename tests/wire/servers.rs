//! moto and ministack, two AWS servers that nobody here wrote, on free ports of loopback, boto3 to make and look at their worlds, and
//! microburst, a proxy before each of them that makes their answers fail.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The servers. They end with this value, and when the test is killed: their supervisor ends with its stdin, and they with it.
pub struct Servers {
    process: Child,
    talk: RefCell<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    pub moto: String,
    pub ministack: String,
    /// The health page of the application, as moto's Route 53 leads to it.
    pub site: String,
}

impl Servers {
    /// Starts both, and waits until they answer.
    pub fn start() -> Self {
        let control = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/servers/control.py");
        let mut process = Command::new(crate::venv::python())
            .arg(control)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let talk = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut servers =
            Self { process, talk: RefCell::new(Some(talk)), moto: String::new(), ministack: String::new(), site: String::new() };
        let urls = servers.ask(&json!({ "do": "urls" }));
        let url = |name: &str| urls[name].as_str().unwrap().to_owned();
        (servers.moto, servers.ministack, servers.site) = (url("moto"), url("ministack"), url("site"));
        servers
    }

    /// Has the supervisor do something.
    #[track_caller]
    pub fn ask(&self, asked: &Value) -> Value {
        let mut talk = self.talk.borrow_mut();
        let (to, from) = talk.as_mut().unwrap();
        writeln!(to, "{asked}").expect("the supervisor of the servers has ended: see what it said on stderr");
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let mut told: Value = serde_json::from_str(&line).expect("the supervisor of the servers has ended: see what it said on stderr");
        assert!(told["error"].is_null(), "{asked}:\n{}", told["error"].as_str().unwrap_or_default());
        told["ok"].take()
    }

    /// Makes the world of the guide on a server that has forgotten everything. Returns what the server named itself.
    pub fn seed(&self, server: &str) -> Value {
        self.ask(&json!({ "do": "reset" }));
        self.ask(&json!({ "do": "seed", "at": server }))
    }

    /// Makes the world of the guide, with a site in the cluster too, whose load balancer has this name.
    pub fn seed_with_shop(&self, server: &str, load_balancer: &str) -> Value {
        self.ask(&json!({ "do": "reset" }));
        self.ask(&json!({ "do": "seed", "at": server, "shop": load_balancer }))
    }

    /// Returns what a step can change, as boto3 sees it.
    pub fn look(&self, server: &str) -> Value {
        self.ask(&json!({ "do": "look", "at": server }))
    }

    /// Starts the proxies before the servers, and returns their addresses by the servers' names. They let everything pass at first.
    pub fn proxies(&self) -> Value {
        self.ask(&json!({ "do": "proxies" }))
    }

    /// Says what the proxies do to the requests from now on, in microburst's own words.
    pub fn faults(&self, rules: &Value) {
        self.ask(&json!({ "do": "faults", "rules": rules }));
    }

    /// Returns the requests that came to the proxies since that was said, whatever became of them.
    pub fn seen(&self) -> Vec<Value> {
        match self.ask(&json!({ "do": "seen" })) {
            Value::Array(seen) => seen,
            other => panic!("no list: {other}"),
        }
    }

    /// Returns how often `wf` asked moto for an action since the world was made.
    pub fn calls(&self, action: &str) -> usize {
        let calls = self.ask(&json!({ "do": "calls" }));
        let ours = calls.as_array().unwrap().iter().filter(|call| call["by"] == "wf");
        ours.filter(|call| call["action"].as_str().unwrap().contains(action)).count()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The end of its stdin is what it ends by.
        drop(self.talk.borrow_mut().take());
        let _ = self.process.wait();
    }
}

#[test]
fn the_servers_start_forget_and_end_with_their_supervisor_even_when_it_is_killed() {
    let mut servers = Servers::start();
    for server in ["moto", "ministack"] {
        servers.seed(server);
        let world = servers.look(server);
        assert_eq!(world["us-east-1"]["groups"]["prod-app-asg"]["instances"], 6, "{world}");
        assert_eq!(world["us-west-2"]["nodegroups"]["production-dr"]["max"], 20, "{world}");
    }
    assert_eq!(servers.calls(""), 0, "`wf` was not here yet");
    assert!(servers.site.starts_with("http://127.0.0.1:"));
    servers.ask(&json!({ "do": "reset" }));
    for server in ["moto", "ministack"] {
        let left = servers.ask(&json!({
            "do": "call", "at": server, "region": "us-east-1", "service": "rds", "operation": "describe_db_instances", "params": {}
        }));
        assert_eq!(left["DBInstances"], json!([]), "{server}");
    }
    servers.process.kill().unwrap();
    let ports = [&servers.moto, &servers.ministack].map(|url| url.trim_start_matches("http://").to_owned());
    for port in ports {
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::net::TcpStream::connect(&port).is_ok() {
            assert!(std::time::Instant::now() < limit, "{port} still answers");
        }
    }
}
