//! [`NamedRecord`]: the one record that a step is about: found in its zone, read, changed, and followed until the change is in sync.

use std::time::Duration;

use aws_sdk_route53::types::{ChangeAction, ChangeStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::clock::between;
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use crate::aws::missing::{Missing, names};
use crate::aws::poll::{self, Look};
use crate::aws::{Cloud, errors};
use crate::hosted_zone;
use crate::record_set::RecordSet;

/// The largest record that is kept in the journal, in bytes of JSON.
pub(crate) const RECORD_LEN_MAX: usize = 32 * 1024;
/// How long a change takes to be in sync, as a rule.
const TYPICALLY_IN_SYNC: Duration = Duration::from_secs(45);
/// How long a change normally takes to be in sync, at the most: so long is one waited for that Route 53 does not know.
const USUALLY_IN_SYNC: Duration = Duration::from_secs(60);

/// The change that Route 53 spreads to its servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeHandle {
    /// The change's id.
    pub change_id: String,
    /// The hosted zone's id.
    pub zone_id: String,
}

/// A record, by what a step says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedRecord<'a> {
    /// The hosted zone's name.
    pub(crate) zone: &'a str,
    /// The hosted zone's id, if that is given.
    pub(crate) zone_id: Option<&'a str>,
    /// Whether the hosted zone is a private one.
    pub(crate) private: bool,
    /// The record's name.
    pub(crate) record: &'a str,
    /// The record's type.
    pub(crate) kind: &'a str,
    /// Which of the records of that name and type.
    pub(crate) set_identifier: Option<&'a str>,
}

impl std::fmt::Display for NamedRecord<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} {}", self.record, self.kind)?;
        self.set_identifier.map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

impl NamedRecord<'_> {
    /// Finds the one hosted zone with the name and of the type.
    pub(crate) async fn zone(&self, cx: &StepContext<Cloud>) -> Result<String, StepFailure> {
        if let Some(id) = self.zone_id {
            return Ok(id.trim_start_matches("/hostedzone/").to_owned());
        }
        let sort = |private| if private { "private" } else { "public" };
        let same_name = hosted_zone::named(&cx.env, self.zone).await?;
        let of_type: Vec<_> = same_name.iter().filter(|(_, private)| *private == self.private).map(|(id, _)| id.as_str()).collect();
        match of_type.as_slice() {
            [id] => Ok((*id).to_owned()),
            [] => {
                let what = format!("{} hosted zone", sort(self.private));
                let zones = cx.env.route53().list_hosted_zones().into_paginator().items().send();
                let names = names(zones, |zone| Some(zone.name.trim_end_matches('.').to_owned())).await;
                let failure = Missing { what: &what, name: self.zone, place: "Route 53", region: None }.failure(cx, names).await;
                Err(match same_name.is_empty() {
                    true => failure,
                    false => failure.hint(format!("there is a {} one: set `private: {}`", sort(!self.private), !self.private)),
                })
            }
            several => {
                Err(StepFailure::permanent(format!("{} {} hosted zones are named {}", several.len(), sort(self.private), self.zone))
                    .hint(format!("say which with `zone_id`: {}", several.join(", "))))
            }
        }
    }

    /// Reads the record, and refuses one that must not be changed here. With `create` there may be none.
    pub(crate) async fn find(&self, cx: &StepContext<Cloud>, zone_id: &str, create: bool) -> Result<Option<RecordSet>, StepFailure> {
        let records = hosted_zone::records(cx, zone_id, self.record, self.kind).await?;
        let others: Vec<_> = records.iter().map(|record| record.set_identifier.as_deref().unwrap_or("(none)").to_owned()).collect();
        match records.into_iter().find(|record| record.set_identifier.as_deref() == self.set_identifier) {
            Some(record) if record.traffic_policy_instance_id.is_some() => {
                Err(StepFailure::permanent(format!("{self} belongs to a traffic policy")).hint("change the traffic policy instead"))
            }
            Some(record) if json!(record).to_string().len() > RECORD_LEN_MAX => {
                Err(StepFailure::permanent(format!("{self} is too large to be recorded, so it could not be restored")))
            }
            Some(record) => Ok(Some(record)),
            None if create && others.is_empty() => Ok(None),
            None if others.is_empty() => {
                Err(StepFailure::permanent(format!("there is no {self} in hosted zone {} ({zone_id})", self.zone))
                    .hint("check its name and type; `create: true` makes a new record"))
            }
            None => Err(StepFailure::permanent(format!("there is no {self} in hosted zone {} ({zone_id})", self.zone)).hint(format!(
                "the set identifiers of {} {} are {}: say which with `set_identifier`",
                self.record,
                self.kind,
                others.join(", ")
            ))),
        }
    }

    /// Reads the record as it is.
    pub(crate) async fn read(&self, cx: &StepContext<Cloud>, zone_id: &str) -> Result<Option<RecordSet>, StepFailure> {
        let records = hosted_zone::records(cx, zone_id, self.record, self.kind).await?;
        Ok(records.into_iter().find(|record| record.set_identifier.as_deref() == self.set_identifier))
    }

    /// Has the record changed.
    pub(crate) async fn change(
        &self,
        cx: &StepContext<Cloud>,
        zone_id: &str,
        action: ChangeAction,
        record: &RecordSet,
    ) -> Result<ChangeHandle, StepFailure> {
        let change_id = hosted_zone::change(cx, zone_id, action, record, &self.to_string()).await?;
        Ok(ChangeHandle { change_id, zone_id: zone_id.to_owned() })
    }

    /// Waits until all servers of Route 53 have the change. Without a handle, or when Route 53 does not know the change, the
    /// record itself must show it.
    pub(crate) async fn wait(
        &self,
        cx: &StepContext<Cloud>,
        zone_id: &str,
        handle: Option<&ChangeHandle>,
        desired: Option<&RecordSet>,
    ) -> Result<(), StepFailure> {
        let began = cx.clock.now();
        poll::until(cx, TYPICALLY_IN_SYNC, |since| async move {
            if let Some(handle) = handle {
                // Records that were changed together are in sync together, and asked for together.
                let status = cx.env.read_change(&handle.change_id, since).await;
                match status.map_err(errors::reading_shared("route53:GetChange", format!("follow the change of {self}")))? {
                    Some(ChangeStatus::Insync) => return Ok(Look::Done(())),
                    Some(_) => return Ok(Look::Waiting("DNS change to be in sync".to_owned())),
                    None if between(began, cx.clock.now()) < USUALLY_IN_SYNC => {
                        return Ok(Look::Waiting("DNS change to be known".to_owned()));
                    }
                    None => {}
                }
            }
            let as_desired = match (self.read(cx, zone_id).await?, desired) {
                (Some(now), Some(desired)) => now.says_the_same_as(desired),
                (now, desired) => now.is_none() && desired.is_none(),
            };
            Ok(if as_desired { Look::Done(()) } else { Look::Waiting("DNS record to show the change".to_owned()) })
        })
        .await
    }
}
