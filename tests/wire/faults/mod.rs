//! What the wire does to the kinds and to whole runs: requests that are refused, not answered, or answered with nothing although they had
//! their effect. A proxy that nobody here wrote, microburst, does it to real requests on their way to moto.
//!
//! What it cannot do is to rewrite the state of something: an EKS update that ends `Failed`, a node group that is `DEGRADED`, an instance that is
//! `incompatible-restore`, a scaling activity that fails. Those are scripted answers, in `steps/tests/kinds_app/scripted.rs`.

mod errors;
mod kinds;
mod region;
mod secrets;
mod shell;
mod subjects;
mod table;
