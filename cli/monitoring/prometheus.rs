//! Figures as the text that Prometheus reads.

use std::fmt::Write as _;

use super::Figure;
use super::figures::Value;

/// Writes figures, each with what it means.
pub fn text(figures: &[Figure]) -> String {
    let mut text = String::new();
    for Figure { name, help, values, .. } in figures {
        // A text takes everything.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for value in values {
            let _ = writeln!(text, "{name}{{{}}} {}", labels(value), value.value);
        }
    }
    text
}

fn labels(value: &Value) -> String {
    let own = [("workflow", &value.workflow), ("world", &value.world)];
    let more = value.more.iter().map(|(name, value)| (*name, value));
    own.into_iter().chain(more).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::{Told, ToldRun, figures};
    use crate::render::summary::Summary;
    use crate::render::tale::Tale;

    #[test]
    fn the_newest_run_of_a_workflow_is_told() {
        let run = |tale: &Tale| ToldRun { summary: Summary::of(&tale.replayed(), &tale.records, &[]), lags: vec![("lag".into(), 1.5)] };
        let runs = vec![run(&Tale::new()), run(&Tale::rolled_back())];
        let text = text(&figures(Told { runs, checks: Vec::new() }));
        assert!(text.contains("wf_run_state{workflow=\"failover\",world=\"sim\",state=\"rolled back\"} 1\n"), "{text}");
        assert!(text.contains("wf_run_state{workflow=\"failover\",world=\"sim\",state=\"completed\"} 0\n"), "{text}");
        assert!(text.contains("wf_run_rto_objective_seconds{workflow=\"failover\",world=\"sim\"} 900\n"), "{text}");
        assert!(text.contains("wf_run_replica_lag_seconds{workflow=\"failover\",world=\"sim\",step=\"lag\"} 1.5\n"), "{text}");
        assert_eq!(text.matches("# TYPE ").count(), text.lines().filter(|line| line.starts_with("# HELP ")).count());
        assert!(!text.contains("wf_drill_verdict"), "{text}");
        assert_eq!(escaped("x\"y\\z\n"), r#"x\"y\\z\n"#);
    }
}
