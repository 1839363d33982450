//! Asking one name server what it answers: a DNS message there, one back. Over UDP, and over TCP when the answer is too long for that;
//! to the simulated name servers as the body of a web request, as there is no UDP in a simulated world. Resolving a name as this machine
//! does, by whatever it is set up to ask, is [`Cloud::addresses`].
//!
//! Rejected: `hickory-resolver`, which looks for the server itself, keeps answers and tries others. What is wanted here is the very answer
//! of the very server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::Cloud;
use super::web::{NAME_SERVERS, WebRequest};

/// The port of name servers.
const PORT: u16 = 53;
/// How long one server may take. Whoever waits for a record asks again anyway.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);
/// The longest answer over UDP: nobody was told that more would be understood.
const DATAGRAM_LEN_MAX: usize = 4096;

/// A question to a name server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// The record's name.
    pub(crate) name: &'a str,
    /// The record's type: A, AAAA or CNAME.
    pub(crate) kind: &'a str,
    /// Whether the server is to ask others: a resolver has to, the name servers of a zone do not.
    pub(crate) recursive: bool,
}

impl Question<'_> {
    fn message(self) -> Result<Message, String> {
        let mut name = Name::from_ascii(self.name).map_err(|error| format!("{} is no name: {error}", self.name))?;
        // As it comes back: the answer is compared with the question.
        name.set_fqdn(true);
        let kind = self.kind.parse::<RecordType>().map_err(|_| format!("{} is no type of a record", self.kind))?;
        let mut message = Message::query();
        message.metadata.recursion_desired = self.recursive;
        message.add_query(Query::query(name, kind));
        Ok(message)
    }
}

impl Cloud {
    /// Asks one name server, by its name or address, and returns the values of the type that it answers with: addresses, or names
    /// without the final dot. None when the name has no record of the type, or does not exist. The error says why there is no answer.
    pub(crate) async fn ask_name_server(&self, server: &str, question: Question<'_>) -> Result<Vec<String>, String> {
        let asked = question.message()?;
        let bytes = asked.to_vec().map_err(|error| error.to_string())?;
        let answer = if self.web().is_live() {
            let exchanged = tokio::time::timeout(ANSWERED_WITHIN, over_the_network(server, &asked, &bytes)).await;
            exchanged.map_err(|_| "no answer".to_owned())?.map_err(|error| format!("no answer: {error}"))?
        } else {
            let headers = vec![("content-type".to_owned(), "application/dns-message".to_owned())];
            let request = WebRequest { method: "POST", url: format!("{NAME_SERVERS}{server}"), headers, body: bytes };
            let answer = self.exchange(&request, None, ANSWERED_WITHIN).await.map_err(|_| "no answer".to_owned())?;
            answer_to(&asked, &answer.body).ok_or("no answer")?
        };
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(values(&answer, question.kind)),
            refused => Err(refused.to_str().to_owned()),
        }
    }
}

/// The values of a type in an answer. What the name is another one for comes with them when an address was asked for; it is left out.
fn values(answer: &Message, kind: &str) -> Vec<String> {
    let of_type = answer.answers.iter().filter(|record| record.record_type().to_string() == kind);
    let mut values: Vec<_> = of_type
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0.to_string()),
            RData::AAAA(address) => Some(address.0.to_string()),
            RData::CNAME(name) => Some(name.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    values.sort();
    values.dedup();
    values
}

/// Reads a message as the answer to a question; `None` when it is something else.
fn answer_to(asked: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let is_it =
        answer.metadata.message_type == MessageType::Response && answer.metadata.id == asked.metadata.id && answer.queries == asked.queries;
    is_it.then_some(answer)
}

async fn over_the_network(server: &str, asked: &Message, bytes: &[u8]) -> io::Result<Message> {
    let address = address(server).await?;
    let answer = over_udp(address, asked, bytes).await?;
    if answer.metadata.truncation { over_tcp(address, asked, bytes).await } else { Ok(answer) }
}

/// Finds a server, given as an address or a name, each with a port if it is another one than 53.
async fn address(server: &str) -> io::Result<SocketAddr> {
    if let Ok(address) = server.parse::<IpAddr>() {
        return Ok((address, PORT).into());
    }
    let mut found = match server.contains(':') {
        true => tokio::net::lookup_host(server).await?.collect::<Vec<_>>(),
        false => tokio::net::lookup_host((server, PORT)).await?.collect(),
    };
    // A machine without IPv6 is told of IPv6 addresses all the same.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name server has no address"))
}

async fn over_udp(server: SocketAddr, asked: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: IpAddr = if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; DATAGRAM_LEN_MAX];
    loop {
        let len = socket.recv(&mut buffer).await?;
        // Anybody can send a datagram: what is not the answer is passed over.
        if let Some(answer) = answer_to(asked, &buffer[..len]) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, asked: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    answer_to(asked, &answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what came is no answer to the question"))
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::CNAME;
    use tokio::net::TcpListener;

    use super::*;

    const QUESTION: Question<'static> = Question { name: "app.company.com", kind: "A", recursive: false };

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    fn bytes(message: &Message) -> Vec<u8> {
        message.to_vec().expect("a message")
    }

    /// Answers as a name server: `app` is another name for `east`, which has so many addresses.
    fn reply(question: &[u8], addresses: u8) -> Message {
        let question = Message::from_vec(question).expect("a question");
        let mut reply = Message::response(question.metadata.id, OpCode::Query);
        reply.add_queries(question.queries.iter().cloned());
        reply.add_answer(Record::from_rdata(name("app.company.com."), 60, RData::CNAME(CNAME(name("East.elb.example.")))));
        for last in (1..=addresses).rev() {
            reply.add_answer(Record::from_rdata(name("East.elb.example."), 60, RData::from(IpAddr::from([192, 0, 2, last]))));
        }
        reply
    }

    /// A name server on loopback that answers one question over UDP with `reply`, and one over TCP with eighty addresses.
    async fn serve(reply_to: fn(&[u8]) -> Vec<Vec<u8>>) -> String {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = tcp.local_addr().expect("bound");
        let udp = UdpSocket::bind(address).await.expect("the same port");
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (len, from) = udp.recv_from(&mut buffer).await.expect("a question");
            for datagram in reply_to(&buffer[..len]) {
                udp.send_to(&datagram, from).await.expect("sent");
            }
            let (mut stream, _) = tcp.accept().await.expect("a connection");
            let mut question = vec![0; stream.read_u16().await.expect("a length").into()];
            stream.read_exact(&mut question).await.expect("a question");
            let answer = bytes(&reply(&question, 80));
            let len = u16::try_from(answer.len()).expect("short").to_be_bytes();
            stream.write_all(&[&len, &answer[..]].concat()).await.expect("sent");
        });
        address.to_string()
    }

    async fn ask(server: &str) -> Result<Vec<String>, String> {
        let asked = QUESTION.message()?;
        let bytes = asked.to_vec().map_err(|error| error.to_string())?;
        let answer = over_the_network(server, &asked, &bytes).await.map_err(|error| error.to_string())?;
        Ok(values(&answer, "A"))
    }

    #[tokio::test]
    async fn an_answer_comes_over_udp_and_what_is_none_is_passed_over() {
        let server = serve(|question| {
            let (mut other, right) = (reply(question, 1), reply(question, 2));
            other.metadata.id = other.metadata.id.wrapping_add(1);
            let mut elsewhere = reply(question, 1);
            elsewhere.queries[0].set_name(name("other.company.com."));
            vec![b"noise".to_vec(), bytes(&other), bytes(&elsewhere), bytes(&right)]
        });
        assert_eq!(ask(&server.await).await, Ok(vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_for_udp_is_asked_for_over_tcp() {
        let server = serve(|question| vec![bytes(&reply(question, 80).truncate())]).await;
        assert_eq!(ask(&server).await.map(|values| values.len()), Ok(80));
    }

    #[tokio::test]
    async fn a_server_is_an_address_or_a_name_and_may_have_a_port() {
        for (given, found) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(address(given).await.expect(given).to_string(), found);
        }
        assert!(Question { name: "a..b", ..QUESTION }.message().is_err());
    }
}
