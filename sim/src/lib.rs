//! A two-region AWS small enough to read, answering the real wire protocols.
//!
//! ```text
//!   AWS SDK ──http_client()──► connector ─┐
//!   aws --endpoint-url ──────► serve ─────┤
//!   HttpCheck ───────────────► connector ─┤
//!                                         ▼
//!                            Sim::handle: latency, faults, who is asked
//!                                         │
//!                     services/*  one file per service: request → world → response
//!                                         │
//!                     world/*     pure state and time: `World::advance(to)` carries out what has
//!                                 become due, and one user request a virtual second
//!                                         │
//!                     store       calls.jsonl, then world.json, before the answer leaves
//! ```
//!
//! This crate knows nothing of the engine and the step kinds: they meet it through the SDK only.
//!
//! Nothing runs in the background. Whoever asks first brings the world up to the clock's instant, second by second and in
//! order, so a world is a function of its file, its seed, the calls and their times. The clock stands still while no
//! process has the world open.
//!
//! A server answers `/health` with 200 only if its region's database takes writes, so its load balancer and Route 53 call
//! it healthy only then. Users who are led to servers that cannot write yet retry, and what piles up has to be worked off
//! before anybody is served: an assumption (`stampede` in the world file) that is the price of moving DNS first.
//!
//! What is simplified, so that nobody takes it for AWS: an instance promotes at the moment of the call as far as its rows
//! go; an Auto Scaling group does not replace instances that its load balancer finds unhealthy; a load balancer takes
//! part of no zone; there are no quotas, no limits on requests but those of the fault `api-limits`, keys of KMS that only a
//! describe tells of, and no policies of IAM: its simulator says what the faults deny. The default world's story, and why a wrong order
//! of steps hurts there, is told in `workflows/world.ron`.

mod calls;
mod clock;
mod connector;
mod def;
#[doc = include_str!("differences.md")]
pub mod differences {}
mod error;
mod faults;
mod k8s;
mod serve;
mod services;
mod sim;
mod store;
mod traffic;
mod world;
mod xml;

pub use calls::{ApiUse, CallRecord};
pub use clock::SimClock;
pub use def::{DEFAULT_WORLD, WorldDef};
pub use error::{ConnectionError, SimError, WorldError};
pub use faults::{Fault, FaultError};
pub use serve::serve;
pub use sim::{Sim, SimOptions, read_status, read_traffic};
pub use store::{read_calls, reset};
pub use traffic::{Loss, Outage, TrafficReport};
