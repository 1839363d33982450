//! The simulated name servers: DNS messages in, DNS messages out. Those of a hosted zone answer for its names alone; any address is that of a
//! resolver, which answers for all names and keeps what it was answered. How the messages travel is not their matter: there is no UDP in
//! a simulated world, so they come as the bodies of web requests.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record};

use super::route53;
use crate::world::World;
use crate::world::dns::{Answered, is_within, normal};

/// Answers a question that is put to a server. `None` when there is no such server, or the message is no question.
pub(super) fn answer(world: &mut World, server: &str, question: &[u8]) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok().filter(|message| message.metadata.message_type == MessageType::Query)?;
    let query = question.queries.first()?;
    let mut reply = Message::response(question.metadata.id, OpCode::Query);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.add_query(query.clone());
    let (host, kind) = (normal(&query.name().to_ascii()), query.query_type().to_string());
    let found = match server.parse::<IpAddr>() {
        Ok(_) => {
            reply.metadata.recursion_available = true;
            if question.metadata.recursion_desired { Ok(world.resolved(server, &host, &kind)) } else { Err(ResponseCode::Refused) }
        }
        Err(_) => {
            let server = normal(server);
            let mut zones = world.dns.zones.values().filter(|zone| !zone.private);
            let mut of_server = zones.by_ref().filter(|zone| route53::name_servers(zone).any(|name| name == server)).peekable();
            of_server.peek()?;
            reply.metadata.authoritative = of_server.any(|zone| is_within(&host, &zone.name));
            if reply.metadata.authoritative { Ok(world.answers(&host, &kind)) } else { Err(ResponseCode::Refused) }
        }
    };
    match found {
        Ok(Some(found)) => {
            reply.add_answers(found.iter().filter_map(record));
        }
        Ok(None) => reply.metadata.response_code = ResponseCode::NXDomain,
        Err(refused) => reply.metadata.response_code = refused,
    }
    reply.to_vec().ok()
}

fn record(answered: &Answered) -> Option<Record> {
    let data = match answered.value.parse::<IpAddr>() {
        Ok(address) => RData::from(address),
        Err(_) => RData::CNAME(CNAME(Name::from_ascii(&answered.value).ok()?)),
    };
    Some(Record::from_rdata(Name::from_ascii(&answered.name).ok()?, answered.ttl, data))
}
