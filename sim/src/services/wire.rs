//! From HTTP to a call and back: addresses, protocols, and how each protocol writes answers and errors.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::{Request, Response};
use serde_json::json;

use super::params::decode;
use super::{ACTIONS, Action, Answer, Body, Call, Document, Params, Protocol, ServiceError};
use crate::faults::SERVICES;
use crate::world::World;
use crate::xml::Element;

/// Whom a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Service { service: &'static str, region: String },
    UnknownService { service: String },
    Web { host: String },
}

/// A call that could not be understood.
#[derive(Debug)]
pub(crate) struct Refused {
    service: &'static str,
    protocol: Protocol,
    error: ServiceError,
}

/// The longest body that is unpacked; AWS takes 1 MB.
const UNPACKED_MAX: u64 = 4 << 20;
/// Where AWS JSON names the action.
const TARGET: &str = "x-amz-target";
const AWS_JSON: &str = "application/x-amz-json-1.0";
const AWS_JSON_11: &str = "application/x-amz-json-1.1";
/// Where a client that connects elsewhere than to the URI's host says so.
const CONNECT_TO: &str = "x-wf-connect-to";

/// Finds out whom a request is for: by its signature's scope, or else by its host.
pub(crate) fn destination(request: &Request<Vec<u8>>) -> Destination {
    if let Some((region, service)) = credential_scope(request) {
        return match SERVICES.iter().find(|s| **s == service) {
            Some(service) => Destination::Service { service, region },
            None => Destination::UnknownService { service },
        };
    }
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let host = header(CONNECT_TO).or(request.uri().host()).or(header("host")).unwrap_or_default();
    let host = host.trim().split(':').next().unwrap_or_default().to_ascii_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    let service = labels.first().and_then(|first| SERVICES.iter().find(|s| *s == first));
    match (service, labels.as_slice()) {
        // What anybody may ask: the certificate, the confirmation of a subscription.
        (Some(&"sns"), _) if request.method() == http::Method::GET => Destination::Web { host },
        (Some(service), [_, region, "amazonaws", "com"] | [_, region, "api", "aws"]) => {
            Destination::Service { service, region: (*region).to_owned() }
        }
        (Some(service), [_, "amazonaws", "com"]) => Destination::Service { service, region: "us-east-1".to_owned() },
        _ => Destination::Web { host },
    }
}

/// Reads region and service from `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn credential_scope(request: &Request<Vec<u8>>) -> Option<(String, String)> {
    let authorization = request.headers().get("authorization")?.to_str().ok()?;
    let credential = authorization.split("Credential=").nth(1)?;
    let scope: Vec<&str> = credential.split([',', ' ']).next()?.split('/').collect();
    match scope.as_slice() {
        [.., region, service, "aws4_request"] => Some(((*region).to_owned(), (*service).to_owned())),
        _ => None,
    }
}

/// Reads a call.
pub(crate) fn parse(service: &'static str, region: String, request: Request<Vec<u8>>) -> Result<Call, Refused> {
    let (head, body) = request.into_parts();
    let compressed = head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let path: Vec<String> = head.uri.path().split('/').filter(|p| !p.is_empty()).map(|p| decode(p, false)).collect();
    let query = Params::parse(head.uri.query().unwrap_or_default());
    let protocol = match service {
        "ec2" => Protocol::Ec2,
        "acm" | "ecr" | "kms" | "servicequotas" => Protocol::Json11,
        "eks" => Protocol::RestJson,
        "route53" => Protocol::RestXml,
        "s3" => Protocol::Object,
        _ if head.headers.contains_key("smithy-protocol") => Protocol::Cbor,
        super::recovery_cluster::SERVICE => Protocol::Json,
        "monitoring" if head.headers.contains_key(TARGET) => Protocol::Json,
        _ => Protocol::Query,
    };
    let host = head.headers.get("host").and_then(|h| h.to_str().ok()).or(head.uri.host()).unwrap_or_default().to_owned();
    let refuse = |error| Refused { service, protocol, error };
    let body = if compressed { unpacked(&body).ok_or_else(|| refuse(malformed(protocol)))? } else { body };
    let route = match protocol {
        Protocol::RestJson => super::eks::route(head.method.as_str(), &path),
        Protocol::RestXml => super::route53::route(head.method.as_str(), &path),
        Protocol::Object => super::s3::route(head.method.as_str(), &host, &path, head.uri.query().unwrap_or_default()),
        Protocol::Cbor => path.last().map(|name| (name.clone(), Vec::new())),
        Protocol::Json | Protocol::Json11 => target(&head).map(|name| (name, Vec::new())),
        Protocol::Query | Protocol::Ec2 => None,
    };
    let params = match protocol {
        Protocol::Query | Protocol::Ec2 => query.merge(Params::parse(&String::from_utf8_lossy(&body))),
        _ => query,
    };
    let (name, labels) = match route {
        Some(route) => route,
        None => (params.get("Action").unwrap_or_default().to_owned(), Vec::new()),
    };
    let action = find(service, &name).ok_or_else(|| refuse(unknown_action(protocol, &name)))?;
    let document = document(service, protocol, &body).ok_or_else(|| refuse(malformed(protocol)))?;
    let object = if protocol == Protocol::Object { body } else { Vec::new() };
    Ok(Call { action, region, protocol, params, labels, document, object, served_at: loopback(&head) })
}

/// Unpacks a body, which the SDK sends so to CloudWatch when it is long.
fn unpacked(body: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = GzDecoder::new(body).take(UNPACKED_MAX + 1).read_to_end(&mut plain).ok()?;
    (read as u64 <= UNPACKED_MAX).then_some(plain)
}

/// The address that a client on this machine has connected to.
fn loopback(head: &http::request::Parts) -> Option<String> {
    let host = head.headers.get("host").and_then(|h| h.to_str().ok()).or(head.uri.authority().map(|a| a.as_str()))?;
    let name = host.split(':').next()?;
    matches!(name, "127.0.0.1" | "localhost").then(|| host.to_owned())
}

/// Reads the action from `GraniteServiceVersion20100801.GetMetricData`.
fn target(head: &http::request::Parts) -> Option<String> {
    let target = head.headers.get(TARGET)?.to_str().ok()?;
    Some(target.rsplit('.').next().unwrap_or(target).to_owned())
}

fn find(service: &str, name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|a| a.service == service && a.name == name)
}

fn document(service: &str, protocol: Protocol, body: &[u8]) -> Option<Document> {
    if body.is_empty() {
        return Some(Document::None);
    }
    match protocol {
        Protocol::Query | Protocol::Ec2 | Protocol::Object => Some(Document::None),
        Protocol::RestXml => Element::parse(body).map(Document::Xml),
        Protocol::RestJson | Protocol::Json11 => serde_json::from_slice(body).ok().map(Document::Json),
        Protocol::Cbor => ciborium::from_reader(body).ok().map(Document::Cbor),
        Protocol::Json if service == super::recovery_cluster::SERVICE => serde_json::from_slice(body).ok().map(Document::Json),
        // The same structure as in CBOR, and a timestamp is a number of seconds in both.
        Protocol::Json => {
            serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|v| ciborium::Value::serialized(&v).ok()).map(Document::Cbor)
        }
    }
}

fn unknown_action(protocol: Protocol, name: &str) -> ServiceError {
    match protocol {
        Protocol::Query | Protocol::Ec2 => {
            ServiceError::new("InvalidAction", format!("Could not find operation {name} in this version of the API"))
        }
        Protocol::RestXml | Protocol::Object => ServiceError::new("InvalidAction", "The simulator has no such operation").status(404),
        Protocol::RestJson | Protocol::Cbor | Protocol::Json | Protocol::Json11 => {
            ServiceError::new("UnknownOperationException", "The simulator has no such operation").status(404)
        }
    }
}

fn malformed(protocol: Protocol) -> ServiceError {
    match protocol {
        Protocol::RestXml => ServiceError::new("InvalidInput", "Unable to parse request"),
        Protocol::RestJson => ServiceError::new("InvalidRequestException", "The request body is not valid JSON"),
        Protocol::Query | Protocol::Ec2 | Protocol::Object | Protocol::Cbor | Protocol::Json | Protocol::Json11 => {
            ServiceError::new("SerializationException", "The request body is not valid")
        }
    }
}

/// Writes the error for a call that could not be understood.
pub(crate) fn refusal(world: &mut World, refused: &Refused) -> Response<Vec<u8>> {
    error(world, refused.service, refused.protocol, &refused.error)
}

/// Answers for a service that is not simulated.
pub(crate) fn unknown_service(service: &str) -> Response<Vec<u8>> {
    let message = format!("the simulator has no service '{service}'; it has {}", SERVICES.join(", "));
    let body = Element::new("ErrorResponse")
        .with_child(Element::new("Error").with("Type", "Sender").with("Code", "InvalidAction").with("Message", message));
    response(400, "text/xml", body.document("https://wf.invalid/sim/").into_bytes(), &[])
}

/// Writes an answer in the protocol of its call.
pub(crate) fn render(world: &mut World, call: &Call, answer: &Result<Answer, ServiceError>) -> Response<Vec<u8>> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(refused) => return error(world, call.action.service, call.protocol, refused),
    };
    let id = world.draw_uuid("request");
    let namespace = namespace(call.action.service);
    match &answer.body {
        Body::Xml(element) if call.protocol == Protocol::Query => {
            let mut root = Element::new(&format!("{}Response", call.action.name));
            if !element.name.is_empty() {
                root = root.with_child(element.clone());
            }
            let root = root.with_child(Element::new("ResponseMetadata").with("RequestId", &id));
            response(200, "text/xml", root.document(namespace).into_bytes(), &[("x-amzn-requestid", &id)])
        }
        Body::Xml(element) if call.protocol == Protocol::Ec2 => {
            let root =
                Element::new(&format!("{}Response", call.action.name)).with("requestId", &id).with_children(element.children.clone());
            response(200, "text/xml;charset=UTF-8", root.document(namespace).into_bytes(), &[("x-amzn-requestid", &id)])
        }
        Body::Xml(element) => response(200, "text/xml", element.document(namespace).into_bytes(), &[("x-amzn-requestid", &id)]),
        Body::Json(value) if call.protocol == Protocol::Json => {
            response(200, AWS_JSON, value.to_string().into_bytes(), &[("x-amzn-requestid", &id)])
        }
        Body::Json(value) if call.protocol == Protocol::Json11 => {
            response(200, AWS_JSON_11, value.to_string().into_bytes(), &[("x-amzn-requestid", &id)])
        }
        Body::Json(value) => response(200, "application/json", value.to_string().into_bytes(), &[("x-amzn-requestid", &id)]),
        Body::Cbor(value) if call.protocol == Protocol::Json => {
            response(200, AWS_JSON, json_of(value).to_string().into_bytes(), &[("x-amzn-requestid", &id)])
        }
        Body::Cbor(value) => cbor(200, value, &[("x-amzn-requestid", &id)]),
        Body::Object(status, bytes) => response(*status, "binary/octet-stream", bytes.clone(), &[("x-amz-request-id", &id)]),
    }
}

fn error(world: &mut World, service: &str, protocol: Protocol, error: &ServiceError) -> Response<Vec<u8>> {
    let id = world.draw_uuid("request");
    let headers = [("x-amzn-requestid", id.as_str()), ("x-amzn-errortype", error.code.as_str())];
    match protocol {
        Protocol::Query | Protocol::RestXml => {
            let kind = if error.status < 500 { "Sender" } else { "Receiver" };
            let inner = Element::new("Error").with("Type", kind).with("Code", &error.code).with("Message", &error.message);
            let root = Element::new("ErrorResponse").with_child(inner).with("RequestId", &id);
            response(error.status, "text/xml", root.document(namespace(service)).into_bytes(), &headers[..1])
        }
        Protocol::Ec2 => {
            let inner = Element::new("Error").with("Code", &error.code).with("Message", &error.message);
            let root = Element::new("Response").with_list("Errors", [inner]).with("RequestID", &id);
            response(error.status, "text/xml;charset=UTF-8", root.document("").into_bytes(), &headers[..1])
        }
        Protocol::Json11 => {
            let body = json!({ "__type": error.code, "message": error.message });
            response(error.status, AWS_JSON_11, body.to_string().into_bytes(), &headers)
        }
        Protocol::Object => {
            let root = Element::new("Error").with("Code", &error.code).with("Message", &error.message).with("RequestId", &id);
            response(error.status, "application/xml", root.document("").into_bytes(), &[("x-amz-request-id", &id)])
        }
        Protocol::RestJson => {
            response(error.status, "application/json", json!({ "message": error.message }).to_string().into_bytes(), &headers)
        }
        Protocol::Json if service == super::recovery_cluster::SERVICE => {
            let mut told = json!({ "__type": error.code, "message": error.message });
            if let Some((id, kind)) = &error.about {
                (told["resourceId"], told["resourceType"]) = (json!(id), json!(kind));
            }
            response(error.status, AWS_JSON, told.to_string().into_bytes(), &headers[..1])
        }
        Protocol::Cbor | Protocol::Json => {
            let code = format!("{};{}", error.code, if error.status < 500 { "Sender" } else { "Receiver" });
            let headers = [("x-amzn-requestid", id.as_str()), ("x-amzn-query-error", code.as_str())];
            let field = |name: &str, text: &str| (ciborium::Value::from(name), ciborium::Value::from(text));
            let told = ciborium::Value::Map(vec![field("__type", shape(&error.code)), field("message", &error.message)]);
            match protocol {
                Protocol::Json => response(error.status, AWS_JSON, json_of(&told).to_string().into_bytes(), &headers),
                _ => cbor(error.status, &told, &headers),
            }
        }
    }
}

/// The name of an error in CloudWatch's model, where it is not the code of its query protocol; a header tells the code.
fn shape(code: &str) -> &str {
    match code {
        "InvalidParameterValue" => "InvalidParameterValueException",
        "InvalidParameterCombination" => "InvalidParameterCombinationException",
        "MissingParameter" => "MissingRequiredParameterException",
        other => other,
    }
}

/// Writes as JSON what is the same in CBOR, but for the tag of a timestamp.
fn json_of(value: &ciborium::Value) -> serde_json::Value {
    match value {
        ciborium::Value::Tag(_, inner) => json_of(inner),
        ciborium::Value::Array(items) => items.iter().map(json_of).collect(),
        ciborium::Value::Map(fields) => {
            fields.iter().map(|(name, value)| (name.as_text().unwrap_or_default().to_owned(), json_of(value))).collect()
        }
        ciborium::Value::Text(text) => json!(text),
        ciborium::Value::Float(number) => json!(number),
        ciborium::Value::Integer(number) => json!(i64::try_from(*number).unwrap_or_default()),
        ciborium::Value::Bool(flag) => json!(flag),
        _ => serde_json::Value::Null,
    }
}

fn cbor(status: u16, value: &ciborium::Value, headers: &[(&'static str, &str)]) -> Response<Vec<u8>> {
    let mut body = Vec::new();
    // Writing to memory fails for no value that ciborium itself has made.
    let _ = ciborium::into_writer(value, &mut body);
    response(status, "application/cbor", body, &[&[("smithy-protocol", "rpc-v2-cbor")], headers].concat())
}

/// Builds a response; a header that HTTP does not allow is left out.
pub(crate) fn response(status: u16, content_type: &'static str, body: Vec<u8>, headers: &[(&'static str, &str)]) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    for (name, value) in headers {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

fn namespace(service: &str) -> &'static str {
    match service {
        "ec2" => "http://ec2.amazonaws.com/doc/2016-11-15/",
        "rds" => "http://rds.amazonaws.com/doc/2014-10-31/",
        "autoscaling" => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
        "sns" => "http://sns.amazonaws.com/doc/2010-03-31/",
        "iam" => "https://iam.amazonaws.com/doc/2010-05-08/",
        "sts" => "https://sts.amazonaws.com/doc/2011-06-15/",
        "elasticloadbalancing" => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
        "route53" => "https://route53.amazonaws.com/doc/2013-04-01/",
        _ => "http://monitoring.amazonaws.com/doc/2010-08-01/",
    }
}
