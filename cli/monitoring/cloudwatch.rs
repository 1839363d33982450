//! Figures as CloudWatch takes them: by region, with the dimension `Workflow`, and none that is too old for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::between;
use wf_steps::aws::monitoring::Datum;

use super::{Figure, WORKFLOW};

/// CloudWatch takes nothing older, a minute for the way there aside, and nothing that is further in the future.
const OLD_MAX: Duration = Duration::from_secs(14 * 24 * 3600 - 60);
const FUTURE_MAX: Duration = Duration::from_secs(2 * 3600 - 60);

/// Where the metrics of workflows are put to: by workflow, its standby region.
pub type Standby = BTreeMap<String, String>;

/// What can be published, and what cannot.
#[derive(Debug, Default)]
pub struct Publishable {
    /// By region.
    pub data: BTreeMap<String, Vec<Datum>>,
    /// Whose figures are among them.
    pub workflows: BTreeSet<String>,
    /// How many values are left out for their age.
    pub too_old: usize,
    /// Workflows of which nobody knows the standby region.
    pub nowhere: BTreeSet<String>,
}

/// Gathers what can be published of a world's figures: to one region, if one is given, to the standby region of each workflow otherwise.
pub fn publishable(figures: &[Figure], world: &str, region: Option<&str>, standby: &Standby, now: Timestamp) -> Publishable {
    let mut found = Publishable::default();
    for figure in figures {
        for value in figure.values.iter().filter(|value| value.world == world) {
            let Some(region) = region.or(standby.get(&value.workflow).map(String::as_str)) else {
                found.nowhere.insert(value.workflow.clone());
                continue;
            };
            if between(value.at, now) > OLD_MAX || between(now, value.at) > FUTURE_MAX {
                found.too_old += 1;
                continue;
            }
            found.workflows.insert(value.workflow.clone());
            let more = value.more.iter().map(|(name, value)| (capital(name), value.clone()));
            found.data.entry(region.to_owned()).or_default().push(Datum {
                name: figure.metric.to_owned(),
                dimensions: std::iter::once((WORKFLOW.to_owned(), value.workflow.clone())).chain(more).collect(),
                value: value.value,
                unit: figure.unit,
                at: value.at,
            });
        }
    }
    found
}

/// CloudWatch's own dimensions begin with capitals.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::{Told, ToldRun, figures};
    use crate::render::summary::Summary;
    use crate::render::tale::Tale;

    /// Whatever Prometheus is told, CloudWatch is told too.
    #[test]
    fn every_value_is_published_or_accounted_for() {
        let tale = Tale::rolled_back();
        let summary = Summary::of(&tale.replayed(), &tale.records, &[]);
        let now = summary.last_at;
        let figures = figures(Told { runs: vec![ToldRun { summary, lags: Vec::new() }], checks: Vec::new() });
        let values: usize = figures.iter().map(|figure| figure.values.len()).sum();
        let all = publishable(&figures, "sim", Some("us-west-2"), &Standby::new(), now);
        assert_eq!(all.data["us-west-2"].len(), values);
        let state = all.data["us-west-2"].iter().find(|datum| datum.name == "RunState" && datum.value == 1.0).expect("a state");
        let dimension = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(state.dimensions, [dimension("Workflow", "failover"), dimension("State", "rolled back")]);
        let standby = Standby::from([("failover".to_owned(), "eu-west-1".to_owned())]);
        assert_eq!(publishable(&figures, "sim", None, &standby, now).data["eu-west-1"].len(), values);
        let nowhere = publishable(&figures, "sim", None, &Standby::new(), now);
        assert!(nowhere.data.is_empty() && nowhere.nowhere.contains("failover"));
        let later = now.checked_add(Duration::from_secs(15 * 86_400)).expect("in range");
        let old = publishable(&figures, "sim", Some("us-west-2"), &Standby::new(), later);
        assert_eq!((old.too_old, old.data.len()), (values, 0));
        assert!(publishable(&figures, "aws", Some("us-west-2"), &Standby::new(), now).data.is_empty(), "a simulated run is nobody's alarm");
    }
}
