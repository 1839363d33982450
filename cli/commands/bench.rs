//! `wf bench`, hidden: steps that do nothing, on the real journal. Tells what durability costs: the syncs, counted where they happen.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::json;
use wf_engine::clock::SystemClock;
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, Registry};
use wf_engine::report::Silent;
use wf_engine::runtime::{RunEnd, Runtime, StartPlan, channel, start};
use wf_journal::SledJournal;

use crate::args::{Bench, Shape};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::operator;
use crate::runs::failed;
use crate::sim_world::offline_registry;

pub async fn bench(console: &mut Console, args: &Bench) -> Result<Exit, Failure> {
    let text = workflow_text(args.shape, &args.size)?;
    let workflow = Workflow::parse(&text).map_err(|problems| Failure::Invalid { path: "bench".into(), text, problems })?;
    let steps = workflow.len();
    let dir = Dir::new(args.dir.clone());
    let (end, figures) = measure(Arc::new(workflow), &dir).await?;
    let per_step = figures.syncs as f64 / steps as f64;
    if console.json() {
        console.document(&json!({ "steps": steps, "wall_seconds": figures.wall, "cpu_seconds": figures.cpu, "peak_rss_mib": figures.rss_mib, "syncs": figures.syncs, "syncs_per_step": per_step }))?;
    } else {
        console.data(&format!(
            "steps {steps} · wall {:.3} s · cpu {:.2} s · peak memory {} MiB · syncs {} · syncs/step {per_step:.4}",
            figures.wall, figures.cpu, figures.rss_mib, figures.syncs
        ))?;
    }
    Ok(Exit::from(&end))
}

struct Figures {
    wall: f64,
    cpu: f64,
    rss_mib: u64,
    syncs: u64,
}

async fn measure(workflow: Arc<Workflow>, dir: &Dir) -> Result<(RunEnd, Figures), Failure> {
    let registry: Arc<Registry> = Arc::new(offline_registry());
    let bound = registry.bind(Arc::clone(&workflow), &IndexMap::new(), &Imports::None);
    let bound = bound.map_err(|problems| Failure::Invalid { path: "bench".into(), text: workflow.text().to_owned(), problems })?;
    let journal = Arc::new(SledJournal::open(&dir.path)?);
    let (_controller, control) = channel();
    let run = RunId::new(1, fastrand::u128(..));
    let plan = StartPlan {
        run: run.clone(),
        bound,
        file: "bench".to_owned(),
        inputs: IndexMap::new(),
        imports: IndexMap::new(),
        follows: None,
        mode: workflow.def().mode,
        max_parallel: None,
        approve_all: false,
        world: "bench".to_owned(),
        by: operator::this(),
    };
    let runtime = Runtime {
        journal: Arc::clone(&journal) as Arc<dyn wf_engine::journal::Journal>,
        registry,
        clock: Arc::new(SystemClock),
        reporter: Box::new(Silent),
        control,
    };
    let cpu_before = cpu_seconds();
    let began = Instant::now();
    let end = start(runtime, plan).await.map_err(|source| failed(&run, source))?;
    let figures =
        Figures { wall: began.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu_before, rss_mib: peak_rss_mib(), syncs: journal.syncs() };
    Ok((end, figures))
}

/// The journal's directory; a temporary one is removed at the end.
struct Dir {
    path: PathBuf,
    temporary: bool,
}

impl Dir {
    fn new(given: Option<PathBuf>) -> Self {
        let temporary = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("wf-bench-{}-{:08x}", std::process::id(), fastrand::u32(..))));
        Self { path, temporary }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn workflow_text(shape: Shape, size: &str) -> Result<String, Failure> {
    let number = |text: &str| {
        text.trim()
            .parse::<usize>()
            .ok()
            .filter(|&n| n > 0)
            .ok_or_else(|| Failure::usage(format!("`{}` is not a size", size.escape_debug())).help("N, or DEPTHxWIDTH for layers"))
    };
    let (depth, width) = match (shape, size.split_once('x')) {
        (Shape::Layers, Some((depth, width))) => (number(depth)?, number(width)?),
        (Shape::Layers, None) => return Err(Failure::usage("layers need DEPTHxWIDTH, such as 100x1000")),
        (Shape::Chain, _) => (number(size)?, 1),
        (Shape::Fan, _) => (1, number(size)?),
    };
    let mut text = String::from("Workflow(name: \"bench\", max_parallel: 10000, steps: [\n");
    for layer in 0..depth {
        for place in 0..width {
            let mut needs = Vec::new();
            if layer > 0 {
                needs.push(format!("\"s{}_{place}\"", layer - 1));
                if width > 1 {
                    needs.push(format!("\"s{}_{}\"", layer - 1, (place + 1) % width));
                }
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "(id: \"s{layer}_{place}\", needs: [{}], run: Wait(duration: \"0s\")),", needs.join(", "));
        }
    }
    text.push_str("])\n");
    Ok(text)
}

/// Returns the time that this process has computed for, in user mode and in the kernel.
fn cpu_seconds() -> f64 {
    /// Linux counts in hundredths of a second here, whatever the kernel's own clock does.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

fn peak_rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
