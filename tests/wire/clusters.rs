//! The Kubernetes API of moto's clusters, which have none of their own: the simulator's, on loopback. That part of these tests is ours; the
//! instances, databases, records and messages are not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions};

use crate::servers::Servers;

/// Virtual seconds per real one: workloads start within moments.
const SPEED: f64 = 20.0;
/// By which the clusters' endpoints are believed, if they are asked over TLS; here they are not.
const AUTHORITY: &str = include_str!("../../sim/src/k8s/ca.pem");

/// The API, until this value goes.
pub struct Clusters {
    url: String,
    _end: oneshot::Sender<()>,
}

impl Clusters {
    /// Starts it, and has moto tell of it.
    pub fn start(servers: &Servers) -> Self {
        let world = ready_world().parse().unwrap();
        let sim = Sim::open(SimOptions { world, state_dir: None, speed: SPEED, seed: None, faults: Vec::new() }).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                wf_sim::serve(sim, listener, async {
                    let _ended = ended.await;
                })
                .await
                .unwrap();
            });
        });
        let url = format!("http://{}", told.recv().unwrap());
        servers.ask(&serde_json::json!({ "do": "clusters", "url": url, "authority": AUTHORITY }));
        Self { url, _end: end }
    }

    /// Reads an object of a cluster, as anybody would who asks its API.
    pub fn read(&self, region: &str, cluster: &str, path: &str) -> Value {
        let host = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        write!(stream, "GET /k8s/{region}/{cluster}{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

/// The simulator's world without its fire, now, with nodes in the west: moto's node groups have none that could join.
fn ready_world() -> String {
    let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap();
    let changes = [
        ("incident: (region: \"us-east-1\", at: 210, heals_after: 1200),", String::new()),
        ("start: \"2026-03-14T02:55:00Z\"", format!("start: \"{now}\"")),
        ("(name: \"general\", min: 0, max: 20, desired: 0, ", "(name: \"general\", min: 3, max: 20, desired: 6, ".to_owned()),
    ];
    changes.into_iter().fold(DEFAULT_WORLD.to_owned(), |world, (from, to)| {
        assert!(world.contains(from), "the world file has no `{from}`");
        world.replace(from, &to)
    })
}
