//! A record set of Route 53 with every field that the SDK knows, in a form that can be journaled: a record is changed by writing
//! it anew as a whole, so whatever is not kept is lost. The reference guide's own script drops the health check this way.

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types;
use serde::{Deserialize, Serialize};

/// A record set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RecordSet {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) set_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) geo_location: Option<GeoLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failover: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) multi_value_answer: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alias: Option<Alias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic_policy_instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr: Option<Cidr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) geo_proximity: Option<GeoProximity>,
}

/// An AWS resource that a record stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub(crate) dns_name: String,
    pub(crate) zone_id: String,
    pub(crate) evaluate_target_health: bool,
}

/// Where a client is, for geolocation routing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GeoLocation {
    continent: Option<String>,
    country: Option<String>,
    subdivision: Option<String>,
}

/// A location of a CIDR collection, for IP-based routing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cidr {
    collection_id: String,
    location: String,
}

/// Where a resource is, for geoproximity routing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GeoProximity {
    aws_region: Option<String>,
    local_zone_group: Option<String>,
    coordinates: Option<(String, String)>,
    bias: Option<i32>,
}

impl RecordSet {
    /// Returns where the record leads, for people.
    pub(crate) fn targets(&self) -> String {
        self.alias.as_ref().map_or_else(|| self.values.join(", "), |alias| alias.dns_name.clone())
    }

    /// Tells whether two record sets say the same: DNS names do not differ by case or by the dot at their end.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        let plain = |record: &Self| {
            let mut record = record.clone();
            record.name = canonical(&record.name);
            if let Some(alias) = &mut record.alias {
                alias.dns_name = canonical(&alias.dns_name);
            }
            record.values.sort();
            record
        };
        plain(self) == plain(other)
    }

    /// Makes the SDK's form.
    pub(crate) fn to_sdk(&self) -> Result<types::ResourceRecordSet, BuildError> {
        let values =
            self.values.iter().map(|value| types::ResourceRecord::builder().value(value).build()).collect::<Result<Vec<_>, _>>()?;
        types::ResourceRecordSet::builder()
            .name(&self.name)
            .r#type(self.kind.as_str().into())
            .set_set_identifier(self.set_identifier.clone())
            .set_weight(self.weight)
            .set_region(self.region.as_deref().map(Into::into))
            .set_geo_location(self.geo_location.as_ref().map(GeoLocation::to_sdk))
            .set_failover(self.failover.as_deref().map(Into::into))
            .set_multi_value_answer(self.multi_value_answer)
            .set_ttl(self.ttl)
            .set_resource_records((!values.is_empty()).then_some(values))
            .set_alias_target(self.alias.as_ref().map(Alias::to_sdk).transpose()?)
            .set_health_check_id(self.health_check_id.clone())
            .set_traffic_policy_instance_id(self.traffic_policy_instance_id.clone())
            .set_cidr_routing_config(self.cidr.as_ref().map(Cidr::to_sdk).transpose()?)
            .set_geo_proximity_location(self.geo_proximity.as_ref().map(GeoProximity::to_sdk).transpose()?)
            .build()
    }
}

impl From<&types::ResourceRecordSet> for RecordSet {
    fn from(record: &types::ResourceRecordSet) -> Self {
        Self {
            name: record.name.clone(),
            kind: record.r#type.as_str().to_owned(),
            set_identifier: record.set_identifier.clone(),
            weight: record.weight,
            region: record.region.as_ref().map(|region| region.as_str().to_owned()),
            geo_location: record.geo_location.as_ref().map(GeoLocation::from),
            failover: record.failover.as_ref().map(|failover| failover.as_str().to_owned()),
            multi_value_answer: record.multi_value_answer,
            ttl: record.ttl,
            values: record.resource_records().iter().map(|record| record.value.clone()).collect(),
            alias: record.alias_target.as_ref().map(Alias::from),
            health_check_id: record.health_check_id.clone(),
            traffic_policy_instance_id: record.traffic_policy_instance_id.clone(),
            cidr: record.cidr_routing_config.as_ref().map(Cidr::from),
            geo_proximity: record.geo_proximity_location.as_ref().map(GeoProximity::from),
        }
    }
}

impl Alias {
    fn to_sdk(&self) -> Result<types::AliasTarget, BuildError> {
        let target = types::AliasTarget::builder().dns_name(&self.dns_name).hosted_zone_id(&self.zone_id);
        target.evaluate_target_health(self.evaluate_target_health).build()
    }
}

impl From<&types::AliasTarget> for Alias {
    fn from(target: &types::AliasTarget) -> Self {
        Self {
            dns_name: target.dns_name.clone(),
            zone_id: target.hosted_zone_id.clone(),
            evaluate_target_health: target.evaluate_target_health,
        }
    }
}

impl GeoLocation {
    fn to_sdk(&self) -> types::GeoLocation {
        let Self { continent, country, subdivision } = self.clone();
        types::GeoLocation::builder().set_continent_code(continent).set_country_code(country).set_subdivision_code(subdivision).build()
    }
}

impl From<&types::GeoLocation> for GeoLocation {
    fn from(place: &types::GeoLocation) -> Self {
        Self { continent: place.continent_code.clone(), country: place.country_code.clone(), subdivision: place.subdivision_code.clone() }
    }
}

impl Cidr {
    fn to_sdk(&self) -> Result<types::CidrRoutingConfig, BuildError> {
        types::CidrRoutingConfig::builder().collection_id(&self.collection_id).location_name(&self.location).build()
    }
}

impl From<&types::CidrRoutingConfig> for Cidr {
    fn from(config: &types::CidrRoutingConfig) -> Self {
        Self { collection_id: config.collection_id.clone(), location: config.location_name.clone() }
    }
}

impl GeoProximity {
    fn to_sdk(&self) -> Result<types::GeoProximityLocation, BuildError> {
        let point =
            |(latitude, longitude): &(String, String)| types::Coordinates::builder().latitude(latitude).longitude(longitude).build();
        let place = types::GeoProximityLocation::builder().set_aws_region(self.aws_region.clone()).set_bias(self.bias);
        let coordinates = self.coordinates.as_ref().map(point).transpose()?;
        Ok(place.set_local_zone_group(self.local_zone_group.clone()).set_coordinates(coordinates).build())
    }
}

impl From<&types::GeoProximityLocation> for GeoProximity {
    fn from(place: &types::GeoProximityLocation) -> Self {
        Self {
            aws_region: place.aws_region.clone(),
            local_zone_group: place.local_zone_group.clone(),
            coordinates: place.coordinates.as_ref().map(|point| (point.latitude.clone(), point.longitude.clone())),
            bias: place.bias,
        }
    }
}

/// Brings a DNS name to the one form in which it can be compared: lower case, no dot at the end, and none of the octal escapes
/// in which Route 53 returns `*` and the like.
pub(crate) fn canonical(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(code) => plain.push(char::from(code)),
            None => plain.push('\\'),
        }
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    plain.push_str(rest);
    plain.make_ascii_lowercase();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_lost_on_the_way_through_the_journal() {
        let image = RecordSet {
            name: "app.company.com.".into(),
            kind: "A".into(),
            set_identifier: Some("primary".into()),
            weight: Some(10),
            region: Some("us-east-1".into()),
            geo_location: Some(GeoLocation { continent: Some("EU".into()), country: Some("DE".into()), subdivision: Some("BE".into()) }),
            failover: Some("PRIMARY".into()),
            multi_value_answer: Some(true),
            ttl: Some(60),
            values: vec!["192.0.2.1".into()],
            alias: Some(Alias { dns_name: "alb.example.".into(), zone_id: "Z1".into(), evaluate_target_health: true }),
            health_check_id: Some("hc".into()),
            traffic_policy_instance_id: Some("tp".into()),
            cidr: Some(Cidr { collection_id: "c".into(), location: "l".into() }),
            geo_proximity: Some(GeoProximity {
                aws_region: Some("us-west-2".into()),
                local_zone_group: Some("usw2-lax1".into()),
                coordinates: Some(("1.0".into(), "2.0".into())),
                bias: Some(-3),
            }),
        };
        let sdk = image.to_sdk().expect("complete");
        let shown = format!("{sdk:?}");
        assert!(!shown.contains("None"), "the SDK has a field that is not kept: {shown}");
        let journaled = serde_json::to_string(&RecordSet::from(&sdk)).expect("plain data");
        let back: RecordSet = serde_json::from_str(&journaled).expect("as written");
        assert_eq!(back, image);
        assert_eq!(back.to_sdk().expect("complete"), sdk);
    }

    #[test]
    fn names_are_compared_in_one_form() {
        assert_eq!(canonical("App.Company.COM."), "app.company.com");
        assert_eq!(canonical("\\052.company.com."), "*.company.com");
        assert_eq!(canonical("a\\b.é\\05"), "a\\b.é\\05");
        let record = |name: &str, alias: &str| RecordSet {
            name: name.into(),
            alias: Some(Alias { dns_name: alias.into(), zone_id: "Z".into(), evaluate_target_health: true }),
            ..RecordSet::default()
        };
        assert!(record("a.b.", "C.d").says_the_same_as(&record("A.b", "c.d.")));
        assert!(!record("a.b.", "c.d").says_the_same_as(&record("a.b", "c.e")));
    }
}
