//! `VpcPeering`: looks whether two VPCs are joined: their peering connection is active, and route tables on both sides lead to the other.

use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::types::{
    Filter, Route, RouteState, RouteTable, VpcPeeringConnection, VpcPeeringConnectionStateReasonCode as Status, VpcPeeringConnectionVpcInfo,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::missing::{Missing, names};
use crate::aws::{Cloud, errors};

const CONNECTIONS: &str = "ec2:DescribeVpcPeeringConnections";
const TABLES: &str = "ec2:DescribeRouteTables";

/// Looks whether two VPCs are joined.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VpcPeering {
    /// The peering connection's id.
    pub connection: String,
    /// The region of one of its sides.
    pub region: String,
    /// The route tables that have to lead to the other side.
    #[serde(default)]
    pub route_tables: Vec<String>,
}

/// Both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sides {
    /// The VPC that asked for it.
    pub requester: Side,
    /// The VPC that was asked.
    pub accepter: Side,
}

/// A VPC of a peering connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Its id.
    pub vpc: String,
    /// Its region.
    pub region: String,
    /// Its account.
    pub account: String,
    /// Its blocks of addresses.
    pub cidrs: Vec<String>,
}

#[async_trait]
impl StepKind for VpcPeering {
    type Env = Cloud;
    type Before = Sides;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "VpcPeering",
        summary: "looks whether a VPC peering connection is active and route tables on both sides lead to the other",
        example: r#"(id: "peering", run: VpcPeering(connection: "pcx-0c3d7f1a9b2e46580", region: "us-west-2"))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("connection", FieldType::Text, "the peering connection's id"),
            Field::new("region", FieldType::Text, "the region of one of its sides; best the standby one"),
            Field::new(
                "route_tables",
                FieldType::Json,
                "the route tables, [\"rtb-…\", …] of either side, that have to lead to the other one; default: any one of each side",
            ),
        ],
        outputs: &[
            Field::new("requester_cidr", FieldType::Text, "the addresses of the VPC that asked for it, such as \"10.0.0.0/16\""),
            Field::new("accepter_cidr", FieldType::Text, "the addresses of the VPC that was asked"),
        ],
        before: &[
            Field::new("requester", FieldType::Json, "the VPC that asked for it: vpc, region, account, cidrs"),
            Field::new("accepter", FieldType::Json, "the VPC that was asked"),
        ],
        iam: Iam { read: &[CONNECTIONS, TABLES], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "an active connection alone carries nothing: each side's route tables have to lead to the other's addresses, and a route whose connection was deleted stays, as a blackhole",
            "a route to a part of the other side's addresses counts: which subnets have to reach which is not known here; `route_tables` names the tables that matter",
            "security groups and network ACLs are not looked at",
            "the route tables of a side in another account cannot be seen from here: a step with that `account` looks at its own side",
        ],
        typical: Duration::from_secs(5),
        timeout: Duration::from_secs(5 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let is_id = |text: &str, start: &str| {
            text.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        let mut problems = Vec::new();
        if !is_id(&self.connection, "pcx-") {
            problems
                .push(format!("`connection` \"{}\" is not the id of a peering connection such as pcx-…", self.connection.escape_debug()));
        }
        let bad = self.route_tables.iter().filter(|table| !is_id(table, "rtb-"));
        problems
            .extend(bad.map(|table| format!("`route_tables` \"{}\" is not the id of a route table such as rtb-…", table.escape_debug())));
        problems
    }

    async fn observe(&self, cx: &StepContext<Cloud>, _intent: Option<&Sides>) -> Result<Observed<Sides>, StepFailure> {
        let found = self.describe(cx).await?;
        self.must_be_active(&found)?;
        let sides = sides_of(&found);
        for (_, led) in self.led(cx, &sides).await {
            led??;
        }
        Ok(Observed::Satisfied(sides))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let found = self.describe(cx).await?;
        let mut checks = vec![Check::of("peering", self).as_observed().fail_on(self.must_be_active(&found))];
        if checks.iter().all(Check::is_good) {
            let led = self.led(cx, &sides_of(&found)).await;
            let check = |(from, led): (String, Led)| match led {
                Ok(led) => Check::of("routes", from).as_observed().fail_on(led),
                Err(failure) => Check::unknown("routes", from, failure).as_observed(),
            };
            checks.extend(led.into_iter().map(check));
        }
        Ok(checks)
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &Sides) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &Sides, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let cidr = |side: &Side| json!(side.cidrs.first().map_or("", String::as_str));
        Ok(fields([("requester_cidr", cidr(&before.requester)), ("accepter_cidr", cidr(&before.accepter))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Sides, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

/// Whether a side's route tables lead to the other one; `Err` when they could not be looked at.
type Led = Result<Result<(), StepFailure>, StepFailure>;

impl std::fmt::Display for VpcPeering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peering connection {}", self.connection)
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.vpc, self.region)
    }
}

impl VpcPeering {
    async fn describe(&self, cx: &StepContext<Cloud>) -> Result<VpcPeeringConnection, StepFailure> {
        let client = cx.env.ec2(&self.region);
        let answer = client.describe_vpc_peering_connections().vpc_peering_connection_ids(&self.connection).send().await;
        let found = match answer {
            Ok(answer) => answer.vpc_peering_connections.unwrap_or_default().into_iter().next(),
            Err(error) if GONE.iter().any(|code| errors::has_code(&error, code)) => None,
            Err(error) => return Err(errors::reading(CONNECTIONS, format!("look at {self} in {}", self.region))(error)),
        };
        if let Some(found) = found {
            return Ok(found);
        }
        let all = client.describe_vpc_peering_connections().into_paginator().items().send();
        let names = names(all, |found| found.vpc_peering_connection_id).await;
        let missing = Missing { what: "peering connection", name: &self.connection, place: &self.region, region: Some(&self.region) };
        Err(missing.failure(cx, names).await)
    }

    fn must_be_active(&self, found: &VpcPeeringConnection) -> Result<(), StepFailure> {
        let status = found.status().and_then(|status| status.code());
        let sides = sides_of(found);
        let told = format!("{self} of {} and {} is {}", sides.requester, sides.accepter, status.map_or("without a status", Status::as_str));
        match status {
            Some(Status::Active) => Ok(()),
            Some(Status::InitiatingRequest | Status::Provisioning) => {
                Err(StepFailure::transient(told).hint("it is being made: look again in a minute"))
            }
            Some(Status::PendingAcceptance) => Err(StepFailure::permanent(told).hint(format!(
                "`aws ec2 accept-vpc-peering-connection --vpc-peering-connection-id {} --region {}`",
                self.connection, sides.accepter.region
            ))),
            _ => {
                let said = found.status().and_then(|status| status.message()).unwrap_or("no message");
                Err(StepFailure::permanent(told).because(said).hint(format!(
                    "it does not come back. Make another (`aws ec2 create-vpc-peering-connection --vpc-id {} --region {} --peer-vpc-id {} --peer-region {}`), accept it, and lead the routes of both sides to it",
                    sides.requester.vpc, sides.requester.region, sides.accepter.vpc, sides.accepter.region
                )))
            }
        }
    }

    /// Tells of each side whether its route tables lead to the other.
    async fn led(&self, cx: &StepContext<Cloud>, sides: &Sides) -> [(String, Led); 2] {
        let Sides { requester, accepter } = sides;
        let (there, back) = tokio::join!(self.tables_of(cx, requester), self.tables_of(cx, accepter));
        let known = match (&there, &back) {
            (Ok(there), Ok(back)) => self.must_have_tables(there.iter().chain(back)),
            _ => Ok(()),
        };
        let judge = |from: &Side, to: &Side, tables: &[RouteTable]| match tables {
            // Another account's tables are not shown.
            [] if from.account != to.account => Ok(()),
            tables => self.must_lead(from, to, tables),
        };
        let there = there.map(|tables| known.and_then(|()| judge(requester, accepter, &tables)));
        let back = back.map(|tables| judge(accepter, requester, &tables));
        [(requester.to_string(), there), (accepter.to_string(), back)]
    }

    async fn tables_of(&self, cx: &StepContext<Cloud>, side: &Side) -> Result<Vec<RouteTable>, StepFailure> {
        let of_vpc = Filter::builder().name("vpc-id").values(&side.vpc).build();
        let mut all = cx.env.ec2(&side.region).describe_route_tables().filters(of_vpc).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(table) = all.next().await {
            found.push(table.map_err(errors::reading(TABLES, format!("look at the route tables of {side}")))?);
        }
        Ok(found)
    }

    /// Refuses a table that neither side has.
    fn must_have_tables<'a>(&self, tables: impl Iterator<Item = &'a RouteTable>) -> Result<(), StepFailure> {
        let there: Vec<&str> = tables.filter_map(RouteTable::route_table_id).collect();
        match self.route_tables.iter().find(|named| !there.contains(&named.as_str())) {
            None => Ok(()),
            Some(lost) => Err(StepFailure::permanent(format!("neither side of {self} has a route table {lost}"))
                .hint(format!("what is there: {}", there.join(", ")))),
        }
    }

    fn must_lead(&self, from: &Side, to: &Side, tables: &[RouteTable]) -> Result<(), StepFailure> {
        let id = |table: &RouteTable| table.route_table_id().unwrap_or_default().to_owned();
        let leads = |table: &&RouteTable| self.routes(table, to).any(|route| route.state() == Some(&RouteState::Active));
        let named: Vec<_> = tables.iter().filter(|table| self.route_tables.contains(&id(table))).collect();
        let bad = if named.is_empty() {
            if tables.iter().any(|table| leads(&table)) { None } else { Some(tables.iter().collect()) }
        } else {
            Some(named.into_iter().filter(|table| !leads(table)).collect::<Vec<_>>()).filter(|bad| !bad.is_empty())
        };
        let Some(bad) = bad else { return Ok(()) };
        let cidr = to.cidrs.first().map_or("…", String::as_str);
        let dead = bad.iter().find(|table| self.routes(table, to).next().is_some());
        let verb = if dead.is_some() { "replace-route" } else { "create-route" };
        let table = dead.or(bad.first()).map_or_else(|| "rtb-…".to_owned(), |table| id(table));
        let names: Vec<_> = bad.iter().map(|table| id(table)).collect();
        let how = if dead.is_some() { ", but for a blackhole" } else { "" };
        Err(StepFailure::permanent(format!(
            "no route leads from {from} to {cidr} ({to}) by {}{how}: looked at {}",
            self.connection,
            if names.is_empty() { "no route table at all".to_owned() } else { names.join(", ") }
        ))
        .hint(format!(
            "`aws ec2 {verb} --route-table-id {table} --destination-cidr-block {cidr} --vpc-peering-connection-id {} --region {}`",
            self.connection, from.region
        )))
    }

    /// Returns the routes of a table that go by this connection to addresses of a side.
    fn routes<'a>(&'a self, table: &'a RouteTable, to: &'a Side) -> impl Iterator<Item = &'a Route> {
        table.routes().iter().filter(|route| {
            let by_it = route.vpc_peering_connection_id() == Some(&self.connection);
            let overlaps = |destination: &str| to.cidrs.is_empty() || to.cidrs.iter().any(|cidr| overlap(destination, cidr));
            // What a prefix list holds is not looked up.
            by_it && route.destination_cidr_block().is_none_or(overlaps)
        })
    }
}

/// How EC2 says that there is no such connection.
const GONE: [&str; 2] = ["InvalidVpcPeeringConnectionID.NotFound", "InvalidVpcPeeringConnectionId.Malformed"];

fn sides_of(found: &VpcPeeringConnection) -> Sides {
    let side = |info: Option<&VpcPeeringConnectionVpcInfo>| {
        let text = |of: fn(&VpcPeeringConnectionVpcInfo) -> Option<&str>| info.and_then(of).unwrap_or_default().to_owned();
        let more = info.map(|info| info.cidr_block_set()).unwrap_or_default().iter().filter_map(|block| block.cidr_block());
        let first = info.and_then(|info| info.cidr_block());
        let mut cidrs: Vec<String> = first.into_iter().map(str::to_owned).collect();
        cidrs.extend(more.filter(|block| Some(*block) != first).map(str::to_owned));
        Side { vpc: text(|info| info.vpc_id()), region: text(|info| info.region()), account: text(|info| info.owner_id()), cidrs }
    };
    Sides { requester: side(found.requester_vpc_info()), accepter: side(found.accepter_vpc_info()) }
}

/// Tells whether two blocks of IPv4 addresses have addresses in common; what is none has not.
fn overlap(a: &str, b: &str) -> bool {
    let block = |text: &str| {
        let (address, length) = text.split_once('/')?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        Some((u32::from(address.parse::<Ipv4Addr>().ok()?), length))
    };
    let (Some((a, a_length)), Some((b, b_length))) = (block(a), block(b)) else { return false };
    (a ^ b).checked_shr(32 - a_length.min(b_length)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_overlap_when_one_holds_the_other() {
        for (a, b) in
            [("10.1.0.0/16", "10.1.0.0/16"), ("10.1.0.0/16", "10.1.7.0/24"), ("10.0.0.0/8", "10.1.0.0/16"), ("0.0.0.0/0", "10.1.0.0/16")]
        {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in
            [("10.1.0.0/16", "10.2.0.0/16"), ("10.1.0.0/16", "nothing"), ("10.1.0.0/33", "10.1.0.0/16"), ("10.1.0.1/32", "10.1.0.2/32")]
        {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }

    #[test]
    fn an_id_that_cannot_be_one_is_named() {
        let step = |connection: &str, table: &str| VpcPeering {
            connection: connection.into(),
            region: "us-west-2".into(),
            route_tables: vec![table.into()],
        };
        assert_eq!(step("pcx-0a1b", "rtb-0a1b").problems(), Vec::<String>::new());
        assert_eq!(step("vpc-0a1b", "rtb-").problems().len(), 2);
    }
}
