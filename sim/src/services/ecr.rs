//! ECR, AWS JSON 1.1: the images of a repository, and the rules of a registry. Reads only.

use serde_json::{Value, json};

use super::{Answer, Call, Document, ServiceError};
use crate::world::World;
use crate::world::registry::{CopiedTo, Image, Registry};

/// Answers a call of ECR.
pub(super) fn answer(world: &World, call: &Call) -> Result<Answer, ServiceError> {
    let none = Registry::default();
    let registry = world.region(&call.region).map_or(&none, |region| &region.registry);
    match call.action.name {
        "DescribeRegistry" => {
            let rules: Vec<_> = registry.copies.iter().map(|copied| rule(world, copied)).collect();
            Ok(Answer::json(json!({ "registryId": world.account, "replicationConfiguration": { "rules": rules } })))
        }
        _ => images(world, call, registry),
    }
}

fn rule(world: &World, copied: &CopiedTo) -> Value {
    let filters: Vec<_> = copied.prefixes.iter().map(|prefix| json!({ "filter": prefix, "filterType": "PREFIX_MATCH" })).collect();
    let mut rule = json!({ "destinations": [{ "region": copied.region, "registryId": world.account }] });
    if !filters.is_empty() {
        rule["repositoryFilters"] = filters.into();
    }
    rule
}

fn images(world: &World, call: &Call, registry: &Registry) -> Result<Answer, ServiceError> {
    let Document::Json(body) = &call.document else {
        return Err(ServiceError::new("InvalidParameterException", "The request has no body"));
    };
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (repository, account) = (text(body, "repositoryName"), text(body, "registryId"));
    let account = if account.is_empty() { world.account.clone() } else { account };
    let found: Vec<_> = if account == world.account { registry.of(&repository).collect() } else { Vec::new() };
    if found.is_empty() {
        let message = format!("The repository with name '{repository}' does not exist in the registry with id '{account}'");
        return Err(ServiceError::new("RepositoryNotFoundException", message));
    }
    let ids = body.get("imageIds").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut details = Vec::new();
    for id in &ids {
        let (tag, digest) = (text(id, "imageTag"), text(id, "imageDigest"));
        let is_it = |image: &&Image<'_>| (tag.is_empty() || image.tag == tag) && (digest.is_empty() || image.digest == digest);
        let image = found.iter().find(is_it).ok_or_else(|| {
            let given = [("imageDigest", &digest), ("imageTag", &tag)].map(|(name, value)| {
                format!("{name}:'{}'", if value.is_empty() { "null" } else { value })
            });
            let message = format!(
                "The image with imageId {{{}}} does not exist within the repository with name '{repository}' in the registry with id '{account}'",
                given.join(", ")
            );
            ServiceError::new("ImageNotFoundException", message)
        })?;
        details.push(image);
    }
    let all = if ids.is_empty() { found.iter().collect() } else { details };
    let told = |image: &Image<'_>| {
        json!({
            "registryId": account,
            "repositoryName": repository,
            "imageDigest": image.digest,
            "imageTags": [image.tag],
            "imageSizeInBytes": 52_428_800,
            "imagePushedAt": world.started.cast_unsigned() / 1000 - 86_400,
        })
    };
    Ok(Answer::json(json!({ "imageDetails": all.into_iter().map(told).collect::<Vec<_>>() })))
}
