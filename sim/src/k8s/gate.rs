//! The faults at the gate of an API server: who gets no answer, who is denied, whose answer is lost.

use super::refused::Refused;
use super::route::Target;
use super::{Asked, Place, Reply};
use crate::error::ConnectionError;
use crate::faults::{Fault, FaultKind, names_action};
use crate::services::gate::count;
use crate::sim::State;

/// What becomes of a request.
pub(super) enum Verdict {
    Refuse(Refused),
    NoReply(ConnectionError),
    Hang(ConnectionError),
    Reply(Reply),
}

impl From<Refused> for Verdict {
    fn from(refused: Refused) -> Verdict {
        Verdict::Refuse(refused)
    }
}

impl From<Result<Reply, Refused>> for Verdict {
    fn from(answer: Result<Reply, Refused>) -> Verdict {
        answer.map_or_else(Verdict::Refuse, Verdict::Reply)
    }
}

/// Asks the faults about the connection itself, before anything is read from it.
pub(super) fn connect(state: &mut State, place: &Place) -> Result<(), Verdict> {
    let address = || format!("{}:443", place.host);
    for fault in state.faults.clone() {
        match &fault.kind {
            FaultKind::RegionOutage { region } if *region == place.region => {
                return Err(Verdict::NoReply(ConnectionError::Refused(address())));
            }
            FaultKind::RegionHang { region } if *region == place.region => return Err(Verdict::Hang(ConnectionError::TimedOut(address()))),
            FaultKind::ApiServerDown { cluster, lasts } if *cluster == place.cluster && is_still_down(state, &fault, *lasts) => {
                return Err(Verdict::NoReply(ConnectionError::Refused(address())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// An outage of limited length begins when it is first met.
fn is_still_down(state: &mut State, fault: &Fault, lasts: Option<std::time::Duration>) -> bool {
    let Some(lasts) = lasts else { return true };
    let now = state.world.now.unsigned_abs();
    let began = *state.world.faults_used.entry(fault.to_string()).or_insert(now);
    u128::from(now.saturating_sub(began)) < lasts.as_millis()
}

/// Reports whether the cluster has an access entry for whoever has a valid token.
pub(super) fn knows_anybody(state: &State, place: &Place) -> bool {
    !state.faults.iter().any(|f| matches!(&f.kind, FaultKind::NoAccessEntry { cluster } if *cluster == place.cluster))
}

/// Asks the faults about a request to a resource: `Err` with what becomes of it.
pub(super) fn before(state: &mut State, place: &Place, asked: &Asked, target: &Target) -> Result<(), Verdict> {
    // Later faults may draw or count, so the first that strikes decides.
    for fault in state.faults.clone() {
        strike(state, place, asked, target, &fault)?;
    }
    Ok(())
}

fn strike(state: &mut State, place: &Place, asked: &Asked, target: &Target, fault: &Fault) -> Result<(), Verdict> {
    let refuse = |refused: Refused| Err(Verdict::Refuse(refused));
    match &fault.kind {
        FaultKind::Throttle { service, percent } if service == "kubernetes" => {
            let drawn = state.world.draw("throttle/kubernetes", crate::def::Span { min: 0.0, max: 100.0 });
            if drawn < *percent { refuse(Refused::too_many_requests()) } else { Ok(()) }
        }
        kind if denies(kind, asked) => {
            let user = &state.world.principal;
            refuse(Refused::forbidden(user, asked.verb, target.kind, &target.resource(), &target.namespace, &target.name))
        }
        FaultKind::Timeout { name } if asked.is(name) => Err(Verdict::Hang(ConnectionError::TimedOut(format!("{}:443", place.host)))),
        FaultKind::Fail { name, times } if asked.is(name) && count(state, fault, *times) => {
            refuse(Refused::bad_request(format!("{} was told to fail by the simulated fault '{fault}'", asked.action)))
        }
        _ => Ok(()),
    }
}

/// Reports whether a fault takes the right to a request away.
pub(super) fn denies(kind: &FaultKind, asked: &Asked) -> bool {
    match kind {
        FaultKind::Deny { name } => asked.is(name),
        FaultKind::AllowOnly { names } => !names.iter().any(|name| asked.is(name)),
        _ => false,
    }
}

/// Asks the faults whether the answer to a request that was carried out is lost on its way.
pub(super) fn loses_answer(state: &mut State, asked: &Asked) -> Option<ConnectionError> {
    let faults = state.faults.clone();
    let lost = faults.iter().any(|fault| match &fault.kind {
        FaultKind::LostResponse { name, times } => asked.is(name) && count(state, fault, *times),
        _ => false,
    });
    if !lost {
        return None;
    }
    if let Err(error) = state.keep() {
        tracing::warn!(%error, "the count of a fault was not kept");
    }
    Some(ConnectionError::Broken(format!("the answer to {} was lost", asked.action)))
}

impl Asked {
    /// Reports whether a fault's step kind or action means this request.
    pub(super) fn is(&self, name: &str) -> bool {
        names_action(name, &self.action) || (self.applies && names_action(name, "apply"))
    }
}
