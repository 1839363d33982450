//! Kills a real `wf` with SIGKILL at 24 random moments of a failover, a failback and a rollback, and many of those that resume it too, and
//! resumes it to its end: every run comes to the end of one that nobody killed, the world was changed once, and nothing that had succeeded ran
//! again. `WF_KILLS=200 WF_KILL_SEED=7 cargo test --test cli crash -- --nocapture` is a longer run with other moments.
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

const SPEED: &str = "300";
/// The runs wait for simulated time, mostly.
const AT_ONCE: usize = 6;
/// How often one run is killed at most.
const KILLS_A_RUN: usize = 4;
/// A failover's lines before its promotion: up to there it can be rolled back whole.
const REVERSIBLE: usize = 22;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// What is killed: a verb, where it starts from, and how it ends when nobody kills it.
struct Verb {
    name: &'static str,
    args: Vec<&'static str>,
    before: Sandbox,
    lines: usize,
    code: i32,
    effects: BTreeMap<String, usize>,
    done: Vec<String>,
}

impl Verb {
    fn new(name: &'static str, args: &[&'static str], before: Sandbox, code: i32) -> Self {
        let (args, whole) = ([args, &["--yes", "--sim-speed", SPEED]].concat(), before.copy());
        let outcome = Outcome::of(&mut whole.at_root(&args));
        outcome.exits(code);
        let (lines, effects, done) = (outcome.stderr.lines().count(), effects(&whole), done(&events(&whole)));
        Self { name, args, before, lines, code, effects, done }
    }

    fn all() -> [Self; 3] {
        let failover = ["run", "workflows/failover.ron", "--sim"];
        let (fresh, completed, begun) = (Sandbox::new(), Sandbox::new(), Sandbox::new());
        let whole = [&failover[..], &["--yes", "--sim-speed", SPEED]].concat();
        Outcome::of(&mut completed.at_root(&whole)).exits(0);
        assert!(killed(begun.at_root(&whole), REVERSIBLE, Duration::ZERO).is_none(), "it ended before it was killed");
        [
            Self::new("failover", &failover, fresh, 0),
            Self::new("failback", &["failback", "workflows/failback.ron", "--sim"], completed, 0),
            Self::new("rollback", &["rollback", "@latest"], begun, 10),
        ]
    }

    /// Kills it, and what resumes it, until it has come to its end. Returns how often it was killed.
    fn kill(&self, rng: &mut Rng) -> usize {
        let sandbox = self.before.copy();
        let moment = |rng: &mut Rng, lines: usize| (rng.usize(2..lines.max(3)), Duration::from_micros(rng.u64(0..20_000)));
        let (lines, pause) = moment(rng, self.lines - 4);
        let mut ended = killed(sandbox.at_root(&self.args), lines, pause);
        let mut kills = usize::from(ended.is_none());
        while ended.is_none() {
            let args = self.carry_on(&sandbox);
            ended = if kills < KILLS_A_RUN && rng.bool() {
                let (lines, pause) = moment(rng, self.lines / 2);
                killed(sandbox.at_root(&args), lines, pause)
            } else {
                Some(Outcome::of(&mut sandbox.at_root(&args)))
            };
            kills += usize::from(ended.is_none());
        }
        self.check(&sandbox, &ended.unwrap());
        kills
    }

    /// A rollback that had not begun has to be asked for again.
    fn carry_on(&self, sandbox: &Sandbox) -> Vec<&'static str> {
        let begun = self.name != "rollback" || events(sandbox).iter().any(|record| record["event"]["RollbackStarted"].is_object());
        if begun { vec!["resume", "@latest", "--yes", "--sim-speed", SPEED] } else { self.args.clone() }
    }

    fn check(&self, sandbox: &Sandbox, ended: &Outcome) {
        // It may have been killed right after its end was on record; then there was nothing to resume.
        let over =
            ended.code == Some(4) && ["is completed", "is rolled back", "nothing to"].iter().any(|words| ended.stderr.contains(words));
        assert!(over || ended.code == Some(self.code), "{ended:?}");
        let events = events(sandbox);
        assert_nothing_repeated(&events);
        assert_eq!(done(&events), self.done);
        let effects = effects(sandbox);
        assert_eq!(effects.keys().collect::<Vec<_>>(), self.effects.keys().collect::<Vec<_>>());
        for (call, times) in effects.iter().filter(|(call, _)| !call.starts_with("Publish")) {
            assert_eq!(*times, self.effects[call], "{call}");
        }
        sandbox.wf(&["journal", "verify", "--all"]).exits(0);
    }
}

/// Starts a process and kills it a moment after it has said so many lines: each is said after its event is durable, so the kills hit the
/// run where it is, however fast the machine. `None` when it was killed, and what it left when it came to its end before.
fn killed(mut command: Command, lines: usize, pause: Duration) -> Option<Outcome> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    let read = (0..lines).take_while(|_| said.read_line(&mut stderr).unwrap() > 0).count();
    if read == lines {
        std::thread::sleep(pause);
        child.kill().unwrap();
    }
    said.read_to_string(&mut stderr).unwrap();
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    // A process that was killed has no code.
    child.wait().unwrap().code().map(|code| Outcome { code: Some(code), stdout, stderr })
}

/// Effective mutating calls by action and resource.
fn effects(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let log = sandbox.json(&["sim", "log"]);
    let mut effects = BTreeMap::new();
    for call in log.as_array().unwrap().iter().filter(|call| call["effective"] == true && !depends_on_autoscaler(call)) {
        let text = |field: &str| call[field].as_str().unwrap_or_default().to_owned();
        *effects.entry(format!("{} {}", text("action"), without_run_id(&text("resource")))).or_default() += 1;
    }
    effects
}

/// Whether the workload that was restored in the west still has to be scaled depends on what its autoscaler did meanwhile.
fn depends_on_autoscaler(call: &Value) -> bool {
    let scales = call["action"] == "patch:deployments/scale" || call["action"] == "patch:horizontalpodautoscalers";
    scales && call["resource"].as_str().unwrap().starts_with("production-dr/")
}

/// A name that was made of a run's id is another one in each run.
fn without_run_id(resource: &str) -> &str {
    resource.split_once("/wf-").map_or(resource, |(before, _)| before)
}

/// The events of the newest run.
fn events(sandbox: &Sandbox) -> Vec<Value> {
    let log = sandbox.wf(&["log", "@latest", "--json"]);
    log.exits(0);
    log.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The steps that were done and undone, sorted.
fn done(events: &[Value]) -> Vec<String> {
    let ends = ["StepSucceeded", "StepCompensated"];
    let of = |record: &Value| ends.iter().find_map(|end| Some(format!("{end} {}", record["event"][end]["step"].as_str()?)));
    let mut done: Vec<_> = events.iter().filter_map(of).collect();
    done.sort();
    done
}

/// Asserts that no step was started after it had succeeded, nor undone after it had been.
fn assert_nothing_repeated(events: &[Value]) {
    for (start, end) in [("StepStarted", "StepSucceeded"), ("CompensationStarted", "StepCompensated")] {
        let mut ended = Vec::new();
        for record in events {
            let event = &record["event"];
            if let Some(step) = event[start]["step"].as_str() {
                assert!(!ended.contains(&step.to_owned()), "{start} of `{step}` after {end}");
            }
            ended.extend(event[end]["step"].as_str().map(str::to_owned));
        }
    }
}

#[test]
fn what_is_killed_at_any_moment_comes_to_its_end_when_resumed() {
    let (kills, seed) = (number("WF_KILLS", 24) as usize, number("WF_KILL_SEED", 1));
    let say = |text: &str| drop(writeln!(std::io::stderr(), "{text}"));
    say(&format!("{kills} runs are killed, seed {seed}"));
    let verbs = Verb::all();
    let (next, killed, resumes) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let kill = next.fetch_add(1, Ordering::Relaxed);
                    if kill >= kills {
                        return;
                    }
                    let verb = &verbs[[0, 1, 0, 2][kill % 4]];
                    let at = format!("kill {kill} of {kills}, seed {seed}: {}", verb.name);
                    let run = || verb.kill(&mut Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(kill as u64)));
                    let times = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| panic!("{at}"));
                    killed.fetch_add(times.min(1), Ordering::Relaxed);
                    resumes.fetch_add(times.saturating_sub(1), Ordering::Relaxed);
                }
            });
        }
    });
    let (killed, resumes) = (killed.into_inner(), resumes.into_inner());
    say(&format!("{killed} runs were killed, and {resumes} resumed ones; all came to their end"));
    assert!(killed + 2 >= kills * 9 / 10, "only {killed} of {kills} runs were cut off");
}
