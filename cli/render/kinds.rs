//! Step kinds: the list of them, and one of them in full.

use wf_engine::step::{Field, FieldType, KindInfo};

use super::{Ink, Look, cut, pad, whole_span};

const NAME_WIDTH: usize = 24;

/// Writes a line per kind.
pub fn kinds_table<'a>(kinds: impl Iterator<Item = &'a KindInfo>, look: &Look) -> String {
    let mut text = format!("{}\n", look.paint(Ink::Dim, &format!("{}  {}  {}", pad("KIND", NAME_WIDTH), pad("UNDO", 12), "WHAT IT DOES")));
    for kind in kinds {
        let room = look.width.saturating_sub(NAME_WIDTH + 16).max(40);
        let name = look.paint(Ink::Bold, &pad(kind.name, NAME_WIDTH));
        text.push_str(&format!("{name}  {}  {}\n", pad(&kind.reversibility.to_string(), 12), cut(kind.summary, room)));
    }
    text
}

/// Writes everything about a kind.
pub fn kind_text(kind: &KindInfo, look: &Look) -> String {
    let mut text = format!("{}: {}\n", look.paint(Ink::Bold, kind.name), kind.summary);
    let times = format!("usually takes {}, gives up after {}", whole_span(kind.typical), whole_span(kind.timeout));
    text.push_str(&format!("  {}; {times}\n\n  {}\n", kind.reversibility, look.paint(Ink::Busy, kind.example)));
    text.push_str(&fields("Params", kind.params, look));
    text.push_str(&fields("Outputs, as ${step.name}", kind.outputs, look));
    text.push_str(&fields("Before-image, as ${workflow.step.before.name} in a run that follows", kind.before, look));
    text.push_str(&rights("IAM actions", [kind.iam.read, kind.iam.apply, kind.iam.compensate, kind.iam.ready], look));
    text.push_str(&rights("Rights in Kubernetes", [kind.rbac.read, kind.rbac.apply, kind.rbac.compensate, &[]], look));
    text.push_str(&section("What it knows of AWS", kind.facts.iter().map(|fact| format!("- {fact}")), look));
    text
}

fn fields(title: &str, fields: &[Field], look: &Look) -> String {
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    let line = |field: &Field| format!("{}  {}  {}", pad(field.name, width), look.paint(Ink::Dim, &pad(type_word(field.ty), 7)), field.doc);
    section(title, fields.iter().map(line), look)
}

fn rights(title: &str, parts: [&[&str]; 4], look: &Look) -> String {
    let names = ["to look", "to change", "to undo, beside these", "`wf check --live` too"];
    let parts = names.into_iter().zip(parts).filter(|(_, rights)| !rights.is_empty());
    section(title, parts.map(|(what, rights)| format!("{}  {}", pad(what, 22), rights.join(", "))), look)
}

fn section(title: &str, lines: impl Iterator<Item = String>, look: &Look) -> String {
    let lines: String = lines.map(|line| format!("    {line}\n")).collect();
    if lines.is_empty() { lines } else { format!("\n  {}\n{lines}", look.paint(Ink::Bold, title)) }
}

fn type_word(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Text => "text",
        FieldType::Integer => "integer",
        FieldType::Number => "number",
        FieldType::Bool => "bool",
        FieldType::Json => "json",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wf_engine::step::{Iam, Rbac, Reversibility};

    use super::*;
    use crate::render::tale::LOOK;

    const KIND: KindInfo = KindInfo {
        name: "AutoScalingScale",
        summary: "sets the size of an Auto Scaling group",
        example: r#"(id: "scale", run: AutoScalingScale(group: "app", desired: 6))"#,
        reversibility: Reversibility::Reversible,
        params: &[Field::new("group", FieldType::Text, "its name"), Field::new("desired", FieldType::Integer, "how many instances")],
        outputs: &[Field::new("in_service", FieldType::Integer, "how many serve")],
        before: &[],
        iam: Iam {
            read: &["autoscaling:DescribeAutoScalingGroups"],
            apply: &["autoscaling:UpdateAutoScalingGroup"],
            compensate: &[],
            ready: &[],
        },
        rbac: Rbac::NONE,
        facts: &["an update overrides a scaling activity that is under way"],
        typical: Duration::from_secs(120),
        timeout: Duration::from_secs(900),
    };

    #[test]
    fn kinds_are_listed_and_told_in_full() {
        insta::assert_snapshot!(kinds_table([&KIND].into_iter(), &LOOK), @r"
        KIND                      UNDO          WHAT IT DOES
        AutoScalingScale          reversible    sets the size of an Auto Scaling group
        ");
        insta::assert_snapshot!(kind_text(&KIND, &LOOK), @r#"
        AutoScalingScale: sets the size of an Auto Scaling group
          reversible; usually takes 2m 00s, gives up after 15m 00s

          (id: "scale", run: AutoScalingScale(group: "app", desired: 6))

          Params
            group    text     its name
            desired  integer  how many instances

          Outputs, as ${step.name}
            in_service  integer  how many serve

          IAM actions
            to look                 autoscaling:DescribeAutoScalingGroups
            to change               autoscaling:UpdateAutoScalingGroup

          What it knows of AWS
            - an update overrides a scaling activity that is under way
        "#);
    }
}
