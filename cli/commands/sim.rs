//! `wf sim …`: the simulated AWS by itself.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;
use tokio::net::TcpListener;
use wf_sim::{CallRecord, DEFAULT_WORLD, SimError};

use super::block_on;
use crate::args::{Sim, Simulation};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::interrupt::Signals;
use crate::render::clean;
use crate::sim_world;
use crate::words::date_and_time;

pub fn sim(console: &mut Console, state_dir: &Path, args: &Sim) -> Result<Exit, Failure> {
    let dir = sim_world::dir(state_dir);
    match args {
        Sim::Serve { port, kubeconfig, speed, sim_fault } => {
            let simulation = Simulation { sim_speed: *speed, sim_fault: sim_fault.clone() };
            return block_on(serve(console, state_dir, *port, kubeconfig.as_deref(), simulation));
        }
        Sim::Status => {
            let status = wf_sim::read_status(&dir)?;
            if console.json() { console.document(&status)? } else { console.data(&outline(&status, 0))? }
        }
        Sim::Log => {
            let calls = wf_sim::read_calls(&dir)?;
            if console.json() {
                console.document(&calls)?;
            } else if calls.is_empty() {
                console.say("no mutating call yet");
            } else {
                console.data(&calls.iter().map(call_line).collect::<String>())?;
            }
        }
        Sim::Reset => {
            wf_sim::reset(&dir)?;
            console.say("the simulated world is forgotten: the next --sim begins a new one");
        }
        Sim::World => console.data(DEFAULT_WORLD)?,
    }
    Ok(Exit::Completed)
}

async fn serve(
    console: &mut Console,
    state_dir: &Path,
    port: u16,
    kubeconfig: Option<&Path>,
    simulation: Simulation,
) -> Result<Exit, Failure> {
    let sim = sim_world::open(state_dir, &(&simulation).into())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(SimError::from)?;
    let address = listener.local_addr().map_err(SimError::from)?;
    if let Some(path) = kubeconfig {
        let written = std::fs::write(path, sim.kubeconfig(&format!("http://{address}")));
        written.map_err(|source| Failure::Files { path: path.to_owned(), doing: "written", source })?;
    }
    let mut signals = Signals::catch()?;
    console.data(&format!("http://{address}"))?;
    console.say(&format!(
        "the simulated AWS, {} times as fast as life; any credentials will do. Ctrl-C ends it, the world is kept.\n  aws --endpoint-url http://{address} rds describe-db-instances --region us-west-2",
        sim.clock().speed()
    ));
    wf_sim::serve(sim, listener, async move {
        let _signal = signals.next().await;
    })
    .await?;
    Ok(Exit::Completed)
}

fn call_line(call: &CallRecord) -> String {
    let outcome = match (&call.error, call.effective) {
        (Some(error), _) => format!("refused: {}", clean(error)),
        (None, true) => "changed the world".to_owned(),
        (None, false) => "changed nothing".to_owned(),
    };
    let action = format!("{}:{}", call.service, call.action);
    format!(
        "{:>5}  {}  {:<10}  {:<48}  {:<28}  {outcome}\n",
        call.seq,
        date_and_time(call.at),
        call.region,
        clean(&action),
        clean(&call.resource)
    )
}

/// Writes JSON as an indented outline, for people.
fn outline(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let plain = |value: &Value| match value {
        Value::String(text) => clean(text).into_owned(),
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    match value {
        Value::Object(fields) if fields.values().all(is_plain) && depth > 1 => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{} {}", clean(name), plain(value))).collect();
            format!("{indent}{}\n", fields.join(", "))
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                value if is_plain(value) => format!("{indent}{}: {}\n", clean(name), plain(value)),
                value => format!("{indent}{}:\n{}", clean(name), outline(value, depth + 1)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| outline(item, depth)).collect(),
        value => format!("{indent}{}\n", plain(value)),
    }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
