//! A workflow as a picture: Mermaid and DOT. Steps are numbered, so that no id can be a word of those languages; ids and kinds are
//! labels, and escaped.

use wf_engine::model::workflow::{StepIx, Workflow};

use super::clean;

/// Writes a workflow as a Mermaid flowchart.
pub fn graph_mermaid(workflow: &Workflow) -> String {
    let mut text = String::from("flowchart LR\n");
    for ix in 0..workflow.len() {
        let label: Vec<_> = label(workflow, ix).iter().map(|line| mermaid_text(line)).collect();
        text.push_str(&format!("  s{ix}[\"{}\"]\n", label.join("<br/>")));
    }
    for (need, ix) in edges(workflow) {
        text.push_str(&format!("  s{need} --> s{ix}\n"));
    }
    text
}

/// Writes a workflow as a DOT graph.
pub fn graph_dot(workflow: &Workflow) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", dot_text(workflow.name()));
    for ix in 0..workflow.len() {
        let label: Vec<_> = label(workflow, ix).iter().map(|line| dot_text(line)).collect();
        text.push_str(&format!("  s{ix} [label=\"{}\"];\n", label.join("\\n")));
    }
    for (need, ix) in edges(workflow) {
        text.push_str(&format!("  s{need} -> s{ix};\n"));
    }
    text.push_str("}\n");
    text
}

/// Returns a step's id, its kind, and the mode that it is part of, if only of one.
fn label(workflow: &Workflow, ix: StepIx) -> Vec<String> {
    let step = workflow.step(ix);
    let only = step.only.map(|only| format!("only {only}"));
    [step.id.value.to_string(), step.kind.value.clone()].into_iter().chain(only).collect()
}

fn edges(workflow: &Workflow) -> Vec<(StepIx, StepIx)> {
    let mut edges: Vec<_> = (0..workflow.len()).flat_map(|ix| workflow.needs(ix).map(move |need| (need, ix))).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn mermaid_text(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' => "#quot;".to_owned(),
        '#' => "#35;".to_owned(),
        '<' => "#lt;".to_owned(),
        '>' => "#gt;".to_owned(),
        '&' => "#amp;".to_owned(),
        plain => plain.to_string(),
    };
    clean(text).chars().map(escaped).collect()
}

fn dot_text(text: &str) -> String {
    clean(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::Tale;

    #[test]
    fn workflows_are_drawn() {
        let workflow = Tale::new().replayed().workflow;
        insta::assert_snapshot!(graph_mermaid(&workflow), @r#"
        flowchart LR
          s0["fence<br/>AutoScalingScale"]
          s1["go<br/>Approval"]
          s2["promote<br/>RdsPromoteReadReplica"]
          s3["scale_app<br/>AutoScalingScale"]
          s4["old_dns<br/>Route53Failover<br/>only planned"]
          s5["dns<br/>Route53Failover"]
          s0 --> s1
          s0 --> s3
          s1 --> s2
          s2 --> s5
          s3 --> s5
        "#);
        insta::assert_snapshot!(graph_dot(&workflow), @r#"
        digraph "failover" {
          rankdir=LR;
          node [shape=box];
          s0 [label="fence\nAutoScalingScale"];
          s1 [label="go\nApproval"];
          s2 [label="promote\nRdsPromoteReadReplica"];
          s3 [label="scale_app\nAutoScalingScale"];
          s4 [label="old_dns\nRoute53Failover\nonly planned"];
          s5 [label="dns\nRoute53Failover"];
          s0 -> s1;
          s0 -> s3;
          s1 -> s2;
          s2 -> s5;
          s3 -> s5;
        }
        "#);
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(mermaid_text("a\"<b>#&\u{1b}[1m"), "a#quot;#lt;b#gt;#35;#amp;");
        assert_eq!(dot_text("a\"\\"), "a\\\"\\\\");
    }
}
