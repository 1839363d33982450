//! The fleet's world, its workflow and what a run of it used.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wf_engine::clock::{Clock, between};
use wf_engine::model::event::{Mode, StepFailure};
use wf_engine::model::ids::RunId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, resolve_inputs};
use wf_engine::report::{Notice, Reporter};
use wf_engine::runtime::{self, RunEnd, Runtime, StartPlan, channel};
use wf_engine::testkit::{MemoryJournal, somebody};
use wf_sim::{ApiUse, DEFAULT_WORLD, Sim, SimOptions};
use wf_steps::aws::Cloud;
use wf_steps::aws::budget::{PUBLISHED, UNPUBLISHED};

use crate::virtual_clock::Virtual;

/// How large the fleet is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub zones: usize,
    pub records: usize,
    pub groups: usize,
    pub nodegroups: usize,
}

pub struct Fleet {
    sim: Sim,
    size: Size,
}

/// What a run took and used.
pub struct Ended {
    pub end: RunEnd,
    pub failures: Vec<StepFailure>,
    pub makespan: Duration,
    pub floor: Duration,
    pub uses: Vec<ApiUse>,
    /// What the operator was shown.
    pub told: Vec<String>,
}

/// Remembers the progress that the operator is shown.
struct Listener(Arc<Mutex<Vec<String>>>);

impl Reporter for Listener {
    fn recorded(&mut self, _: &Record, _: &RunState) {}

    fn notice(&mut self, notice: &Notice, _: &RunState) {
        if let Notice::Progress { text, .. } = notice {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

impl Fleet {
    pub fn open(size: Size, faults: &[&str]) -> Self {
        let faults = faults.iter().chain(&["primary-alive"]).map(|fault| fault.parse().unwrap()).collect();
        let world = size.world().parse().unwrap();
        Self { sim: Sim::open(SimOptions { world, state_dir: None, speed: 1.0, seed: None, faults }).unwrap(), size }
    }

    pub async fn run(&self) -> Ended {
        self.run_text(&self.size.workflow()).await
    }

    /// How many calls of an action took effect.
    pub fn effective(&self, action: &str) -> usize {
        self.sim.calls().iter().filter(|call| call.effective && call.action == action).count()
    }

    pub async fn run_text(&self, text: &str) -> Ended {
        let clock: Arc<dyn Clock> = Arc::new(Virtual(self.sim.clock()));
        let registry = Arc::new(wf_steps::registry(Cloud::with_http_client(self.sim.http_client(), Arc::clone(&clock))));
        let workflow = Arc::new(Workflow::parse(text).unwrap());
        let inputs = resolve_inputs(&workflow, &[]).unwrap();
        let bound = registry.bind(Arc::clone(&workflow), &inputs, &Imports::Values(&Default::default())).unwrap();
        let run = RunId::new(u64::try_from(clock.now().as_millisecond()).unwrap(), 1);
        let journal = MemoryJournal::new();
        let plan = StartPlan {
            run: run.clone(),
            bound,
            file: "fleet.ron".to_owned(),
            inputs,
            imports: Default::default(),
            follows: None,
            mode: Mode::Planned,
            drill: None,
            unfenced: Vec::new(),
            incident_at: None,
            max_parallel: None,
            approve_all: true,
            world: "sim".to_owned(),
            by: somebody(),
        };
        let (_controller, control) = channel();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let began = clock.now();
        let runtime = Runtime {
            journal: Arc::new(journal.clone()),
            registry,
            clock: Arc::clone(&clock),
            reporter: Box::new(Listener(Arc::clone(&told))),
            control,
            workflow: None,
        };
        let end = runtime::start(runtime, plan).await.unwrap();
        let makespan = between(began, clock.now());
        let state = runtime::replay(&run, &journal.records(&run).unwrap()).unwrap().state;
        let failures = state.steps().iter().filter_map(|step| step.failure.clone()).collect();
        Ended {
            end,
            failures,
            makespan,
            floor: self.size.floor(),
            uses: self.sim.api_use(),
            told: std::mem::take(&mut told.lock().unwrap()),
        }
    }
}

impl Size {
    /// The default world, with the fleet in its standby region. All of it takes as long as it can take.
    fn world(self) -> String {
        let mut groups = String::new();
        for ix in 0..self.groups {
            writeln!(groups, "(name: \"fleet-{ix}\", min: 0, max: 10, desired: 0, instance_type: \"m5.large\"),").unwrap();
        }
        let mut nodegroups = String::new();
        for ix in 0..self.nodegroups {
            writeln!(nodegroups, "(name: \"fleet-{ix}\", min: 0, max: 20, desired: 0, instance_type: \"m5.xlarge\"),").unwrap();
        }
        let mut zones = String::new();
        for zone in 0..self.zones {
            write!(zones, "(id: \"Z0FLEET{zone}\", name: \"fleet{zone}.example\", records: [").unwrap();
            for ix in (0..self.records).filter(|ix| ix % self.zones == zone) {
                writeln!(zones, "(name: \"r{ix}.fleet{zone}.example\", type: \"A\", ttl: 60, values: [\"192.0.2.1\"]),").unwrap();
            }
            writeln!(zones, "]),").unwrap();
        }
        let insert = |text: String, before: &str, what: &str| {
            assert_eq!(text.matches(before).count(), 1, "{before}");
            text.replace(before, &format!("{what}{before}"))
        };
        let world = insert(DEFAULT_WORLD.to_owned(), "(name: \"prod-app-dr-asg\"", &groups);
        let west = "nodegroups: [(name: \"general\", min: 0";
        let world = world.replace(west, &format!("nodegroups: [{nodegroups}(name: \"general\", min: 0"));
        let world = insert(world, "(id: \"Z0COMPEXAMPLE0DEC\"", &zones);
        let world = world.replace("instance_launch: (min: 60, max: 120)", "instance_launch: (min: 120, max: 120)");
        let world = world.replace("nodegroup_update: (min: 120, max: 180)", "nodegroup_update: (min: 180, max: 180)");
        world.replace("dns_insync: (min: 20, max: 60)", "dns_insync: (min: 60, max: 60)")
    }

    /// The least time that the full limits (not the part of them that is used) and the world allow, without a single poll: the calls
    /// that must come before the last change of each service, and how long AWS itself takes for it.
    fn floor(self) -> Duration {
        let needs = |count: usize, calls: usize, (burst, rate): (f64, f64), change: f64| {
            if count == 0 { 0.0 } else { (calls as f64 - burst).max(0.0) / rate + change }
        };
        let route53 = PUBLISHED.iter().find(|limit| limit.service == "route53" && limit.operation.is_none()).unwrap();
        let floors = [
            // Read the record; one batch a zone.
            needs(self.records, self.records + self.zones, (route53.burst, route53.rate), 60.0),
            // Read the group, read its latest activity, change it.
            needs(self.groups, 3 * self.groups, UNPUBLISHED, 120.0),
            // Read the node group, read its health issues, change it.
            needs(self.nodegroups, 3 * self.nodegroups, UNPUBLISHED, 180.0),
        ];
        Duration::from_secs_f64(floors.into_iter().fold(0.0, f64::max))
    }

    pub fn workflow(self) -> String {
        let mut steps = String::new();
        for ix in 0..self.groups {
            writeln!(
                steps,
                "(id: \"group{ix}\", run: AutoScalingScale(group: \"fleet-{ix}\", region: \"us-west-2\", min: 2, desired: 2)),"
            )
            .unwrap();
        }
        for ix in 0..self.nodegroups {
            writeln!(
                steps,
                "(id: \"nodes{ix}\", run: EksScaleNodegroup(cluster: \"production-dr\", nodegroup: \"fleet-{ix}\", region: \"us-west-2\", min: 2, desired: 2)),"
            )
            .unwrap();
        }
        for ix in 0..self.records {
            let zone = ix % self.zones;
            writeln!(
                steps,
                "(id: \"record{ix}\", run: Route53Failover(zone: \"fleet{zone}.example\", zone_id: \"Z0FLEET{zone}\", record: \"r{ix}.fleet{zone}.example\", type: \"A\", to: Values(values: [\"198.51.100.1\"]))),"
            )
            .unwrap();
        }
        format!("#![enable(implicit_some)]\nWorkflow(name: \"fleet\", steps: [\n{steps}])")
    }
}

impl Ended {
    /// The least time that the full limits (not the part of them that is used) allow for the calls that were made, and the bucket
    /// that says so.
    pub fn allowed(&self) -> (Duration, String) {
        let calls = |service: &str, region: &str, operation: Option<&str>| {
            let of = |used: &&ApiUse| used.service == service && used.region == region && operation.is_none_or(|name| used.action == name);
            self.uses.iter().filter(of).map(|used| used.calls).sum::<u64>() as f64
        };
        let mut longest = (Duration::ZERO, "nothing".to_owned());
        for used in &self.uses {
            let of_all = |limit: &&wf_steps::aws::budget::Limit| limit.service == used.service && limit.operation.is_none();
            let (burst, rate) = PUBLISHED.iter().find(of_all).map_or(UNPUBLISHED, |limit| (limit.burst, limit.rate));
            let needed = (calls(&used.service, &used.region, None) - burst).max(0.0) / rate;
            if needed > longest.0.as_secs_f64() {
                longest = (Duration::from_secs_f64(needed), format!("{} in {}", used.service, used.region));
            }
        }
        longest
    }
}

/// The calls by action.
pub fn table(uses: &[ApiUse]) -> String {
    uses.iter().fold(String::new(), |mut text, used| {
        writeln!(text, "  {:>6} {} {} {}", used.calls, used.service, used.region, used.action).unwrap();
        text
    })
}
