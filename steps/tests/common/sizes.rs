//! What two worlds are compared by.

use serde_json::Value;

/// Whatever of a part of the world's status is not a measurement: sizes, names, records.
pub fn sizes(status: &Value) -> Value {
    let measured = [
        "last",
        "in_service",
        "pending",
        "terminating",
        "healthy",
        "unhealthy",
        "instances",
        "nodes",
        "lag_seconds",
        "targets",
        "activities",
        // How many jobs of a cron job are remembered depends on how often it was due since.
        "failed jobs",
    ];
    match status {
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| !measured.contains(&name.as_str())).map(|(name, value)| (name.clone(), sizes(value))).collect()
        }
        Value::Array(items) => items.iter().map(sizes).collect(),
        value => value.clone(),
    }
}
