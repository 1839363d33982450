"""Starts the servers on free ports of loopback, and then does what the tests ask: a line of JSON comes on stdin, a line goes to stdout.
Ends when stdin does, and the servers end with it, whatever became of the test that started it.

    {"do": "reset"}                         both servers forget everything
    {"do": "seed", "at": "moto"}            makes the world of the guide; with "shop", a load balancer's name, the second site's record too
    {"do": "clusters", "url": "…", "authority": "PEM"}      where the Kubernetes API of moto's clusters is from now on
    {"do": "look", "at": "moto"}            what a step can change, as boto3 sees it
    {"do": "call", "at": "ministack", "region": "us-east-1", "service": "rds", "operation": "stop_db_instance", "params": {}}
    {"do": "errors", "actions": ["rds:PromoteReadReplica"]}     the error codes that AWS documents
    {"do": "calls"}                         what was asked of moto since the reset, and by whom
    {"do": "perform", "sides": []}          sequences of calls, see differ.py
    {"do": "proxies"}                       starts a proxy before each server, if there is none yet, and tells their addresses
    {"do": "faults", "rules": [...]}        what the proxies do to the requests from now on; they forget what they saw before
    {"do": "black_hole"}                    an address that takes no connection, and refuses none either
    {"do": "seen"}                          the requests that came to the proxies since, in their order
"""

import ctypes
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request

import botocore.exceptions
import botocore.model
import botocore.session
from differ import perform_all
from world import World

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_SECONDS = 60


def die_with_parent():
    """For the case that this process is killed. Linux only; elsewhere only a normal end of it ends the servers."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start(args, **env):
    # What the servers say goes to stderr: stdout is the test's.
    return subprocess.Popen(
        [sys.executable, *args], env={**os.environ, **env}, preexec_fn=die_with_parent,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sys.stderr,
    )


def ask(url, method="GET", said=None):
    data = None if said is None else json.dumps(said).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def healthy(url, process):
    """Waits until a server answers. False when it has ended instead."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < limit:
        if process.poll() is not None:
            return False
        try:
            ask(url)
            return True
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{url} does not answer within {PATIENCE_SECONDS} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def black_hole(held=[]):
    """A listener that accepts nothing and whose queue is full, so that the kernel drops whatever comes: what a dead network looks like."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    held.append(listener)
    for _ in range(16):
        client = socket.socket()
        client.settimeout(0.3)
        held.append(client)
        try:
            client.connect(listener.getsockname())
        except TimeoutError:
            return f"http://127.0.0.1:{listener.getsockname()[1]}"
    raise RuntimeError("the queue of a listener does not fill")


def start_moto():
    process = start([os.path.join(HERE, "moto_patched.py")], MOTO_ALLOW_NONEXISTENT_REGION="false")
    port = process.stdout.readline().strip().decode()
    if not port:
        raise RuntimeError("moto does not start")
    return process, f"http://127.0.0.1:{port}"


def start_on_free_port(name, health, command):
    """Starts a server that takes a port and cannot choose one, so that another process may be faster."""
    for _ in range(5):
        port = free_port()
        args, env = command(port)
        process = start(args, **env)
        threading.Thread(target=process.stdout.read, daemon=True).start()
        url = f"http://127.0.0.1:{port}"
        if healthy(f"{url}{health}", process):
            return process, url
    raise RuntimeError(f"{name} does not start")


def start_ministack():
    args = ["-c", "from ministack.app import main; main()"]
    env = {"BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR"}
    return start_on_free_port("ministack", "/_ministack/health", lambda port: (args, {**env, "GATEWAY_PORT": str(port)}))


# The log of each request is not the tests' business: what it saw is asked of it.
MICROBURST = "import logging; logging.basicConfig(level=logging.CRITICAL); from microburst.cli import main; main()"


def start_proxy(upstream):
    options = ["--upstream", upstream, "--host", "127.0.0.1"]
    return start_on_free_port("microburst", "/_microburst/health", lambda port: (["-c", MICROBURST, *options, "--port", str(port)], {}))


class Site(http.server.BaseHTTPRequestHandler):
    """The health pages of both sites, as a user sees them whom moto's Route 53 sends to a load balancer."""

    def do_GET(self):
        status, said = self.server.world.serving("shop" if self.path == "/shop" else "app")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *_):
        pass


def documented_errors(actions):
    """The codes that AWS's API models declare for IAM actions such as "rds:PromoteReadReplica"; None for one that is no operation."""
    models = botocore.session.get_session()
    found = {}
    for action in actions:
        service, operation = action.split(":")
        service = {"elasticloadbalancing": "elbv2", "servicequotas": "service-quotas"}.get(service, service)
        try:
            shapes = models.get_service_model(service).operation_model(operation).error_shapes
        except (botocore.exceptions.UnknownServiceError, botocore.model.OperationNotFoundError):
            found[action] = None
        else:
            found[action] = [shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes]
    return found


class Control:
    def __init__(self):
        self.processes = []
        try:
            for starter in (start_moto, start_ministack):
                self.processes.append(starter())
        except BaseException:
            self.stop()
            raise
        (_, self.moto), (_, self.ministack) = self.processes
        self.worlds = {"moto": World(self.moto, self.ministack), "ministack": World(self.ministack, self.ministack)}
        site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        site.world = self.worlds["moto"]
        threading.Thread(target=site.serve_forever, daemon=True).start()
        self.site = f"http://127.0.0.1:{site.server_port}/health"
        self.proxies = []

    def start_proxies(self):
        if not self.proxies:
            for upstream in (self.moto, self.ministack):
                self.processes.append(start_proxy(upstream))
            self.proxies = [url for _, url in self.processes[-2:]]
            # Each reads the models of a service when it first meets it, which takes seconds.
            World(*self.proxies).warm()
            self.set_faults([])
        return dict(zip(("moto", "ministack"), self.proxies))

    def set_faults(self, rules):
        for proxy in self.proxies:
            # The first rule that fits is what happens. The last fits all and does nothing, so that every request is written down.
            ask(f"{proxy}/_microburst/rules", "POST", [*rules, {}])
            ask(f"{proxy}/_microburst/fired", "DELETE")

    def seen(self):
        seen = [request for proxy in self.proxies for request in ask(f"{proxy}/_microburst/fired?limit=2000")]
        return sorted(seen, key=lambda request: request["ts"])

    def stop(self):
        for process, _ in self.processes:
            process.kill()
            process.wait()

    def answer(self, asked):
        do, world = asked["do"], self.worlds.get(asked.get("at"))
        if do == "urls":
            return {"moto": self.moto, "ministack": self.ministack, "site": self.site}
        if do == "reset":
            ask(f"{self.moto}/moto-api/reset", "POST")
            ask(f"{self.moto}/wire/calls", "DELETE")
            ask(f"{self.ministack}/_ministack/reset", "POST")
            return None
        if do == "seed":
            seeded = world.seed(asked["at"] == "moto", asked.get("shop"))
            ask(f"{self.moto}/wire/calls", "DELETE")
            return seeded
        if do == "clusters":
            return ask(f"{self.moto}/wire/clusters", "PUT", {"url": asked["url"], "authority": asked["authority"]})
        if do == "look":
            return world.look()
        if do == "subjects":
            return world.subjects(asked["region"])
        if do == "call":
            answer = getattr(world.client(asked["service"], asked["region"]), asked["operation"])(**asked["params"])
            return json.loads(json.dumps(answer, default=str))
        if do == "errors":
            return documented_errors(asked["actions"])
        if do == "calls":
            return ask(f"{self.moto}/wire/calls")
        if do == "perform":
            return perform_all(asked["sides"])
        if do == "proxies":
            return self.start_proxies()
        if do == "faults":
            return self.set_faults(asked["rules"])
        if do == "black_hole":
            return black_hole()
        if do == "seen":
            return self.seen()
        raise ValueError(f"cannot {do}")


def main():
    control = Control()
    try:
        for line in sys.stdin:
            try:
                told = {"ok": control.answer(json.loads(line))}
            except Exception:
                told = {"error": traceback.format_exc()}
            print(json.dumps(told), flush=True)
    finally:
        control.stop()


if __name__ == "__main__":
    main()
