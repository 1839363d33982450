//! A real etcd with two real API servers on free ports of loopback: a cluster in the east and one in the west, which share nothing but the
//! process that stores for them. No controller, no scheduler and no kubelet runs there: `controllers.rs` plays them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::asks::Asks;
use crate::double;

/// Where `build.sh` keeps the programs, unless this names another place.
const DIR_VARIABLE: &str = "WF_APISERVER_CACHE";
const NEEDED: &str =
    "there is no kube-apiserver: tests/apiserver/build.sh makes one, in some ten minutes, and tests/apiserver/run.sh does both";
/// How long the servers may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// The operator of the tests, who may do everything.
const ADMIN_TOKEN: &str = "admin-token";
/// Starts the servers, and ends them when its stdin ends: with this process, however that ends.
const SUPERVISOR: &str = r#"
cd "$DIR" || exit 1
pids=
"$BIN/etcd" --data-dir etcd --listen-client-urls "http://127.0.0.1:$ETCD" --advertise-client-urls "http://127.0.0.1:$ETCD" \
    --listen-peer-urls "http://127.0.0.1:$PEER" --unsafe-no-fsync --logger zap --log-level error >etcd.log 2>&1 & pids="$pids $!"
apiserver() {
    "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD" --etcd-prefix="/registry-$1" --secure-port="$2" --bind-address=127.0.0.1 \
        --advertise-address=127.0.0.1 --cert-dir="certs-$1" --token-auth-file=tokens.csv --authentication-token-webhook-config-file=webhook.json \
        --authentication-token-webhook-version=v1 --authentication-token-webhook-cache-ttl=0s --authorization-mode=RBAC \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.pub --service-account-signing-key-file=sa.key \
        --service-cluster-ip-range=10.0.0.0/24 --disable-admission-plugins=ServiceAccount \
        --audit-policy-file=audit.json --audit-log-path="audit-$1.log" >"apiserver-$1.log" 2>&1 & pids="$pids $!"
}
apiserver east "$EAST"
apiserver west "$WEST"
cat >/dev/null
kill -9 $pids
wait
[ -n "$WF_APISERVER_KEEP" ] || rm -rf "$DIR"
"#;

/// The servers of this test process, started by the first test that needs them.
static SERVERS: LazyLock<Servers> = LazyLock::new(Servers::start);

/// Returns the servers.
pub fn servers() -> &'static Servers {
    &SERVERS
}

/// The servers.
pub struct Servers {
    /// Where all is that they keep; the supervisor removes it.
    dir: PathBuf,
    east: u16,
    west: u16,
    /// Who sends the tokens of AWS to be looked at.
    pub identities: double::Identities,
    /// Ends when its stdin does, and all of them with it.
    _supervisor: Child,
}

/// A user that API servers know by a token, without any right of its own.
pub fn user(name: &str) -> String {
    format!("dr:{}", name.to_lowercase())
}

fn token(name: &str) -> String {
    format!("token-of-{}", name.to_lowercase())
}

/// Those that have tokens, beside the operator of the tests: one user a kind, and one who is allowed nothing.
fn names() -> Vec<String> {
    let registry = wf_steps::registry(wf_steps::aws::Cloud::offline());
    let kinds = registry.kinds().filter(|kind| !kind.rbac.read.is_empty()).map(|kind| kind.name.to_owned());
    kinds.chain(["nobody", "reader", "looker", "namer"].map(str::to_owned)).collect()
}

impl Servers {
    fn start() -> Self {
        let bin = bin();
        assert!(bin.join("kube-apiserver").exists() && bin.join("etcd").exists(), "{NEEDED} (looked in {})", bin.display());
        let dir = tempfile::Builder::new().prefix("wf-apiserver-").tempdir().unwrap().keep();
        let identities = double::Identities::start();
        let users: String = names().iter().enumerate().map(|(id, name)| format!("{},{},{}\n", token(name), user(name), id + 2)).collect();
        write(&dir, "tokens.csv", &format!("{ADMIN_TOKEN},admin,1,system:masters\n{users}"));
        write(&dir, "webhook.json", &kubeconfig(&[("identities", &identities.url, None, "")]).to_string());
        let rules = json!([{ "level": "Metadata", "omitStages": ["RequestReceived"], "users": names().iter().map(|n| user(n)).collect::<Vec<_>>() }, { "level": "None" }]);
        write(&dir, "audit.json", &json!({ "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules }).to_string());
        openssl(&dir, &["genrsa", "-out", "sa.key", "2048"]);
        openssl(&dir, &["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"]);
        let [etcd, peer, east, west] = free_ports();
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR])
            .env("DIR", &dir)
            .env("BIN", bin)
            .envs([("ETCD", etcd), ("PEER", peer), ("EAST", east), ("WEST", west)].map(|(name, port)| (name, port.to_string())))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let servers = Self { east, west, identities, _supervisor: supervisor, dir };
        servers.wait_until_ready();
        servers
    }

    /// Waits until both answer. Runs a runtime of its own, since whoever asks first may be in one.
    fn wait_until_ready(&self) {
        let ready = |region: &'static str| {
            let began = Instant::now();
            while !self.dir.join(format!("certs-{region}/apiserver.crt")).exists() {
                self.must_come_up(region, began);
            }
            double::block_on(async {
                let asks = self.admin(region).await;
                while asks.text("/readyz").await.as_deref() != Some("ok") {
                    self.must_come_up(region, began);
                }
            });
        };
        std::thread::scope(|scope| {
            scope.spawn(|| ready("east"));
            scope.spawn(|| ready("west"));
        });
    }

    fn must_come_up(&self, region: &str, began: Instant) {
        let log = || std::fs::read_to_string(self.dir.join(format!("apiserver-{region}.log"))).unwrap_or_default();
        assert!(began.elapsed() < READY_WITHIN, "the API server of the {region} does not come up:\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }

    /// Returns where the API of a region answers.
    pub fn endpoint(&self, region: &str) -> String {
        format!("https://127.0.0.1:{}", if region == "east" { self.east } else { self.west })
    }

    /// Returns the certificate of the region's authority, as PEM.
    pub fn authority(&self, region: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(format!("certs-{region}/apiserver.crt"))).unwrap()
    }

    /// Asks as the operator of the tests, in raw JSON.
    pub async fn admin(&self, region: &str) -> Asks {
        let authority = self.authority(region);
        Asks::of(&kubeconfig(&[("admin", &self.endpoint(region), Some(authority.as_slice()), ADMIN_TOKEN)])).await
    }

    /// Reaches a region's API without saying who asks.
    pub async fn nobody(&self, region: &str) -> Asks {
        Asks::of(&kubeconfig(&[("nobody", &self.endpoint(region), Some(self.authority(region).as_slice()), "")])).await
    }

    /// Writes a kubeconfig with one context, and returns the file.
    pub fn context(&self, name: &str, server: &str, authority: Option<&[u8]>, user: &str) -> PathBuf {
        let token = if user == "stranger" { "token-of-nobody-known".to_owned() } else { token(user) };
        self.file(&format!("{name}-{}.kubeconfig", user.to_lowercase()), &kubeconfig(&[(name, server, authority, &token)]).to_string())
    }

    /// Writes a file beside the servers' own.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        write(&self.dir, name, text)
    }

    /// Returns what the server's own audit log has of a user: each request's verb and resource, and the code of its answer.
    pub fn audit(&self, region: &str, name: &str) -> Vec<(String, u64)> {
        let log = std::fs::read_to_string(self.dir.join(format!("audit-{region}.log"))).unwrap_or_default();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_user = lines.filter(|line| line["user"]["username"] == user(name) && line["objectRef"]["resource"].is_string());
        let entry = |line: Value| {
            let at = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let sub = at("/objectRef/subresource");
            let sub = if sub.is_empty() { sub } else { format!("/{sub}") };
            let said = format!("{} {}{sub}", at("/verb"), at("/objectRef/resource"));
            (said, line["responseStatus"]["code"].as_u64().unwrap_or_default())
        };
        of_user.map(entry).collect()
    }
}

fn bin() -> PathBuf {
    let cache = std::env::var_os(DIR_VARIABLE).map(PathBuf::from);
    let xdg = || std::env::var_os("XDG_CACHE_HOME").map(|cache| Path::new(&cache).join("wf-apiserver"));
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/wf-apiserver"));
    cache.or_else(xdg).or_else(home).unwrap_or_default().join("bin")
}

/// A context's name, server, authority and token.
type Context<'a> = (&'a str, &'a str, Option<&'a [u8]>, &'a str);

/// A kubeconfig with these contexts. JSON is YAML.
fn kubeconfig(contexts: &[Context<'_>]) -> Value {
    use base64::Engine as _;
    let encode = |authority: &[u8]| base64::engine::general_purpose::STANDARD.encode(authority);
    let cluster = |server: &str, authority: Option<&[u8]>| match authority {
        Some(authority) => json!({ "server": server, "certificate-authority-data": encode(authority) }),
        None => json!({ "server": server }),
    };
    let each = |make: &dyn Fn(&Context<'_>) -> Value| contexts.iter().map(make).collect::<Vec<_>>();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": contexts[0].0,
        "clusters": each(&|(name, server, authority, _)| json!({ "name": name, "cluster": cluster(server, *authority) })),
        "contexts": each(&|(name, ..)| json!({ "name": name, "context": { "cluster": name, "user": name } })),
        "users": each(&|(name, _, _, token)| json!({ "name": name, "user": if token.is_empty() { json!({}) } else { json!({ "token": token }) } })),
    })
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn openssl(dir: &Path, args: &[&str]) {
    let made = Command::new("openssl").args(args).current_dir(dir).output().expect("openssl (Debian: apt-get install openssl)");
    assert!(made.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&made.stderr));
}

/// Finds ports that nobody listens on. Somebody may before the servers do: then these do not come up, and say so.
fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
