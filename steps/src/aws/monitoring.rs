//! What `wf` itself tells CloudWatch, and asks it: metrics of its own. Steps read their metrics in [`super::lag`].

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use wf_engine::model::event::StepFailure;

use super::{Cloud, errors};

/// The most that one request may hold, by the API reference: metrics, and bytes.
const METRICS_MAX: usize = 1000;
const BYTES_MAX: usize = 1_000_000;
/// What a metric takes beside its texts, at the most.
const METRIC_BYTES: usize = 256;

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A number of things.
    Count,
    /// Nothing.
    None,
}

impl From<Unit> for StandardUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Seconds => Self::Seconds,
            Unit::Count => Self::Count,
            Unit::None => Self::None,
        }
    }
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// The metric's name.
    pub name: String,
    /// What it is told apart by, as name and value.
    pub dimensions: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// What it is counted in.
    pub unit: Unit,
    /// When it was so.
    pub at: Timestamp,
}

impl Datum {
    fn bytes(&self) -> usize {
        let dimensions: usize = self.dimensions.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        METRIC_BYTES + self.name.len() + dimensions
    }
}

impl Cloud {
    /// Puts values to the CloudWatch of a region, in as many requests as it takes. Returns how many that were.
    ///
    /// # Errors
    /// When one of them was not accepted, or nobody answered: those before it were.
    pub async fn put_metrics(&self, region: &str, namespace: &str, data: &[Datum]) -> Result<usize, StepFailure> {
        let batches = batches(data);
        for batch in &batches {
            let put = self.cloudwatch(region).put_metric_data().namespace(namespace);
            let put = put.set_metric_data(Some(batch.iter().map(datum).collect()));
            let what = format!("put {} metrics of {namespace} in {region}", batch.len());
            put.send().await.map_err(errors::changing("cloudwatch:PutMetricData", what))?;
        }
        Ok(batches.len())
    }
}

fn datum(datum: &Datum) -> MetricDatum {
    let dimension = |(name, value): &(String, String)| Dimension::builder().name(name).value(value).build();
    MetricDatum::builder()
        .metric_name(&datum.name)
        .set_dimensions(Some(datum.dimensions.iter().map(dimension).collect()))
        .value(datum.value)
        .unit(datum.unit.into())
        .timestamp(DateTime::from_millis(datum.at.as_millisecond()))
        .build()
}

/// Cuts data into what fits into a request each.
fn batches(data: &[Datum]) -> Vec<&[Datum]> {
    let (mut batches, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (ix, datum) in data.iter().enumerate() {
        if ix > begin && (ix - begin == METRICS_MAX || bytes + datum.bytes() > BYTES_MAX) {
            batches.push(&data[begin..ix]);
            (begin, bytes) = (ix, 0);
        }
        bytes += datum.bytes();
    }
    if begin < data.len() {
        batches.push(&data[begin..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_no_more_than_it_may() {
        let datum = |name: String| Datum { name, dimensions: Vec::new(), value: 1.0, unit: Unit::None, at: Timestamp::UNIX_EPOCH };
        let lens = |data: &[Datum]| batches(data).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        let short: Vec<_> = (0..2001).map(|n| datum(n.to_string())).collect();
        assert_eq!(lens(&short), [1000, 1000, 1]);
        let long: Vec<_> = (0..6).map(|_| datum("n".repeat(399_000))).collect();
        assert_eq!(lens(&long), [2, 2, 2]);
        assert_eq!(lens(&[]), [] as [usize; 0]);
    }
}
