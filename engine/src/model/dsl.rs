//! RON text → [`WorkflowDef`]: syntax and settings only. Places are kept, params stay raw; graph and kinds are checked later.

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::account::{self, AccountDef, AccountField};
pub use super::definition::{AtEnd, Compensate, Input, Objectives, OnFailure, OnInterrupted, Stage, StepDef, StepPolicy, WorkflowDef};
use super::event::Mode;
use super::ids::{StepId, is_name};
use super::problem::{Place, Placed, Problem};
use super::retry::RetryPolicy;
use super::ron_fields::{self, RawField};
use super::template::{self, Reference, Template};
use super::workflow::{Source, source_of};
use crate::units::Span;

/// The largest workflow file, in bytes.
pub const FILE_LEN_MAX: usize = 32 * 1024 * 1024;
/// The most steps of a workflow.
pub const STEPS_MAX: usize = 200_000;
/// The most dependencies between steps: `needs`, and references to other steps.
pub const EDGES_MAX: usize = 2_000_000;
/// The most steps that may be set to run at once.
pub const MAX_PARALLEL_MAX: u32 = 10_000;
/// How many steps may run at once when the workflow does not say.
pub const MAX_PARALLEL_DEFAULT: u32 = 1_000;

/// Reads a workflow file. What cannot be read is left out of the result and told in `problems`.
pub fn parse(source: &str, problems: &mut Vec<Problem>) -> Option<WorkflowDef> {
    if source.len() > FILE_LEN_MAX {
        problems.push(Problem::new(0..0, format!("the file is {} bytes long, more than the {FILE_LEN_MAX} allowed", source.len())));
        return None;
    }
    let whole = 0..source.len();
    let name_of_struct = struct_name(source);
    let mut reader = Reader { source, problems };
    let mut fields = reader.fields(whole.clone())?;
    if !matches!(name_of_struct, "" | "Workflow") {
        reader.problems.push(Problem::new(ron_fields::char_at(source, 0), format!("expected `Workflow(…)`, found `{name_of_struct}(…)`")));
    }
    let name: Option<Placed<String>> = reader.required(&mut fields, "name", &ron_fields::char_at(source, 0));
    if let Some(name) = name.as_ref().filter(|name| !is_name(&name.value)) {
        let problem = Problem::new(name.at.clone(), format!("`{}` cannot name a workflow", name.value.escape_debug()));
        reader.problems.push(problem.help("use up to 64 letters, digits, `_` and `-`, not starting with a digit"));
    }
    let inputs = fields.take("inputs").map(|field| reader.inputs(&field)).unwrap_or_default();
    let objectives = reader.decoded(&mut fields, "objectives").unwrap_or_default();
    let max_parallel = reader.optional::<u32>(&mut fields, "max_parallel");
    if let Some(max) = max_parallel.as_ref().filter(|max| !(1..=MAX_PARALLEL_MAX).contains(&max.value)) {
        reader
            .problems
            .push(Problem::new(max.at.clone(), format!("`max_parallel` must be from 1 to {MAX_PARALLEL_MAX}, not {}", max.value)));
    }
    let def = WorkflowDef {
        name: name.map_or_else(String::new, |name| name.value),
        objectives,
        inputs,
        on_failure: reader.setting(&mut fields, "on_failure"),
        at_end: reader.setting(&mut fields, "at_end"),
        max_parallel: max_parallel.map_or(MAX_PARALLEL_DEFAULT, |max| max.value),
        follows: reader.optional(&mut fields, "follows"),
        mode: reader.optional(&mut fields, "mode").map_or(Mode::Unplanned, |mode| mode.value),
        account: fields.take("account").and_then(|field| reader.account(&field)),
        steps: fields.take("steps").map(|field| reader.steps(&field)).unwrap_or_default(),
    };
    if !fields.had("steps") || (def.steps.is_empty() && reader.problems.is_empty()) {
        reader
            .problems
            .push(Problem::new(ron_fields::char_at(source, 0), "the workflow has no steps").help("give it `steps: [(id: …, run: …), …]`"));
    }
    reader.unknown(fields);
    Some(def)
}

fn struct_name(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        rest = if rest.starts_with("//") {
            rest.split_once('\n').map_or("", |(_, rest)| rest)
        } else if rest.starts_with("/*") {
            &rest[template::block_comment_len(rest)..]
        } else if rest.starts_with("#!") {
            rest.split_once(']').map_or("", |(_, rest)| rest)
        } else {
            break;
        };
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    if rest.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &rest[..end] }
}

struct Reader<'a> {
    source: &'a str,
    problems: &'a mut Vec<Problem>,
}

/// The fields of a struct, taken one by one; what is left at the end is unknown.
struct FieldMap {
    fields: Vec<RawField>,
    asked: Vec<&'static str>,
    found: Vec<&'static str>,
}

impl FieldMap {
    fn take(&mut self, name: &'static str) -> Option<RawField> {
        self.asked.push(name);
        let index = self.fields.iter().position(|field| field.name == name)?;
        self.found.push(name);
        Some(self.fields.remove(index))
    }

    fn had(&self, name: &str) -> bool {
        self.found.contains(&name)
    }
}

impl Reader<'_> {
    fn text(&self, at: &Place) -> &str {
        &self.source[at.clone()]
    }

    fn note(&mut self, offset: usize, problem: Problem) {
        let at = problem.at.start + offset..problem.at.end + offset;
        self.problems.push(Problem { at, ..problem });
    }

    fn fields(&mut self, at: Place) -> Option<FieldMap> {
        match ron_fields::split(self.text(&at)) {
            Ok(mut fields) => {
                for field in &mut fields {
                    field.key = field.key.start + at.start..field.key.end + at.start;
                    field.value = field.value.start + at.start..field.value.end + at.start;
                }
                Some(FieldMap { fields, asked: Vec::new(), found: Vec::new() })
            }
            Err(problem) => {
                self.note(at.start, problem);
                None
            }
        }
    }

    /// Notes what is left: fields given twice, and fields that nobody asked for.
    fn unknown(&mut self, left: FieldMap) {
        for field in left.fields {
            if left.asked.contains(&field.name.as_str()) {
                self.problems.push(Problem::new(field.key, format!("`{}` is given twice", field.name)));
            } else {
                let problem = Problem::new(field.key, format!("there is no field `{}`", field.name.escape_debug()));
                self.problems.push(problem.suggest(&field.name, left.asked.iter().copied()));
            }
        }
    }

    fn value<T: DeserializeOwned>(&mut self, at: &Place) -> Option<Placed<T>> {
        match ron_fields::value(self.text(at)) {
            Ok(value) => Some(Placed { value, at: at.clone() }),
            Err(problem) => {
                // The value as a whole reads better than the one character at which the reader stopped.
                self.problems.push(Problem { at: at.clone(), ..problem });
                None
            }
        }
    }

    fn optional<T: DeserializeOwned>(&mut self, fields: &mut FieldMap, name: &'static str) -> Option<Placed<T>> {
        let field = fields.take(name)?;
        self.value(&field.value)
    }

    fn setting<T: DeserializeOwned + Default>(&mut self, fields: &mut FieldMap, name: &'static str) -> T {
        self.optional(fields, name).map_or_else(T::default, |setting| setting.value)
    }

    fn required<T: DeserializeOwned>(&mut self, fields: &mut FieldMap, name: &'static str, at: &Place) -> Option<Placed<T>> {
        match fields.take(name) {
            Some(field) => self.value(&field.value),
            None => {
                self.problems.push(Problem::new(at.clone(), format!("`{name}` is missing")));
                None
            }
        }
    }

    /// Reads a struct of settings, with all of its mistakes.
    fn decoded<T: DeserializeOwned>(&mut self, fields: &mut FieldMap, name: &'static str) -> Option<T> {
        let field = fields.take(name)?;
        match ron_fields::decode(self.text(&field.value)) {
            Ok(value) => Some(value),
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.note(field.value.start, problem));
                None
            }
        }
    }

    fn inputs(&mut self, field: &RawField) -> IndexMap<String, Input> {
        let mut inputs = IndexMap::new();
        let Some(map) = self.fields(field.value.clone()) else { return inputs };
        for entry in map.fields {
            if !is_name(&entry.name) {
                self.problems.push(Problem::new(entry.key, format!("`{}` cannot name an input", entry.name.escape_debug())));
                continue;
            }
            let Some(input) = self.input(&entry) else { continue };
            if inputs.insert(entry.name.clone(), input).is_some() {
                self.problems.push(Problem::new(entry.key, format!("input `{}` is given twice", entry.name)));
            }
        }
        inputs
    }

    /// Reads an input's default: a text, a number, a truth value, a reference to the followed run, or `Required`.
    fn input(&mut self, entry: &RawField) -> Option<Input> {
        let at = &entry.value;
        let input = |default| Input { default, from: None, at: entry.key.clone() };
        if self.text(at) == "Required" {
            return Some(input(None));
        }
        match ron_fields::value::<Value>(self.text(at)) {
            Ok(Value::String(text)) if text.contains("${") => {
                self.input_from(&text, at).map(|from| Input { from: Some(from), ..input(None) })
            }
            Ok(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => Some(input(Some(value))),
            Ok(_) | Err(_) => {
                let problem = Problem::new(at.clone(), "an input is a text, a number, `true` or `false`");
                self.problems.push(problem.help("write `Required` for an input that every run must be given"));
                None
            }
        }
    }

    fn input_from(&mut self, text: &str, at: &Place) -> Option<Reference> {
        let path = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match path.filter(|path| matches!(source_of(path), Some(Source::Import { .. }))) {
            Some(path) => Some(Reference { path: path.to_owned(), at: at.clone() }),
            None => {
                let problem =
                    Problem::new(at.clone(), "the default of an input can refer to the followed run only, and to one value of it");
                self.problems.push(problem.help("write ${workflow.step.output} or ${workflow.step.before.field}"));
                None
            }
        }
    }

    /// Reads `Account(…)`; its texts may refer to inputs, so they stay as they are.
    fn account(&mut self, field: &RawField) -> Option<AccountDef> {
        let at = field.value.clone();
        let name = struct_name(self.text(&at));
        if !matches!(name, "" | "Account") {
            let problem = Problem::new(at, format!("expected `Account(role: …)`, found `{}`", name.escape_debug()));
            self.problems.push(problem);
            return None;
        }
        let mut given = self.fields(at.clone())?;
        let mut fields = Vec::new();
        for name in account::FIELDS {
            let Some(field) = given.take(name) else { continue };
            if let Some(text) = self.value::<String>(&field.value) {
                let template = Template::parse(&self.source[text.at.clone()], text.at.start, self.problems);
                fields.push(AccountField { name, text: template, at: text.at });
            }
        }
        if !given.had(account::FIELDS[0]) {
            let start = ron_fields::char_at(self.source, at.start);
            let problem = Problem::new(start, "`role` is missing");
            self.problems.push(problem.help("say whom to act as: `role: \"arn:aws:iam::123456789012:role/dr\"`"));
        }
        self.unknown(given);
        Some(AccountDef { fields, at })
    }

    fn steps(&mut self, field: &RawField) -> Vec<StepDef> {
        match ron_fields::elements(self.text(&field.value)) {
            Ok(places) if places.len() > STEPS_MAX => {
                self.problems
                    .push(Problem::new(field.key.clone(), format!("{} steps are more than the {STEPS_MAX} allowed", places.len())));
                Vec::new()
            }
            Ok(places) => {
                let offset = field.value.start;
                places.into_iter().filter_map(|at| self.step(at.start + offset..at.end + offset)).collect()
            }
            Err(problem) => {
                self.note(field.value.start, problem);
                Vec::new()
            }
        }
    }

    fn step(&mut self, at: Place) -> Option<StepDef> {
        let mut fields = self.fields(at.clone())?;
        let start = ron_fields::char_at(self.source, at.start);
        let id: Option<Placed<String>> = self.required(&mut fields, "id", &start);
        let id = id.and_then(|id| self.step_id(id));
        let run = match fields.take("run") {
            Some(field) => self.run(&field.value),
            None => {
                self.problems.push(Problem::new(start, "`run` is missing").help("say what the step does: `run: SomeKind(…)`"));
                None
            }
        };
        let needs = self.optional::<Vec<String>>(&mut fields, "needs").map(|needs| self.needs(&needs)).unwrap_or_default();
        let timeout = self.optional::<Span>(&mut fields, "timeout");
        let retry_at = fields.fields.iter().find(|field| field.name == "retry").map(|field| field.value.clone());
        let retry: RetryPolicy = self.decoded(&mut fields, "retry").unwrap_or_default();
        for problem in retry.problems() {
            self.problems.push(Problem::new(retry_at.clone().unwrap_or(0..0), problem));
        }
        if let Some(timeout) = timeout.as_ref().filter(|timeout| timeout.value.0.is_zero()) {
            self.problems.push(
                Problem::new(timeout.at.clone(), "a step cannot end in no time").help("leave `timeout` out for the default of its kind"),
            );
        }
        let account = fields.take("account").and_then(|field| self.account(&field));
        let on_failure = self.setting(&mut fields, "on_failure");
        let on_unreachable = self.setting(&mut fields, "on_unreachable");
        let only = self.optional(&mut fields, "only").map(|only| only.value);
        let stage = self.optional(&mut fields, "stage").map(|stage| stage.value);
        let compensate = self.setting(&mut fields, "compensate");
        let on_interrupted = self.setting(&mut fields, "on_interrupted");
        self.unknown(fields);
        let (id, (kind, params, params_at)) = (id?, run?);
        let timeout = timeout.map(|timeout| timeout.value);
        Some(StepDef {
            id,
            needs,
            kind,
            params,
            params_at,
            account,
            timeout,
            retry,
            on_failure,
            on_unreachable,
            only,
            stage,
            compensate,
            on_interrupted,
            at,
        })
    }

    fn step_id(&mut self, id: Placed<String>) -> Option<Placed<StepId>> {
        match id.value.parse() {
            Ok(value) => Some(Placed { value, at: id.at }),
            Err(error) => {
                self.problems.push(Problem::new(id.at, super::ids::IdError::to_string(&error)));
                None
            }
        }
    }

    fn needs(&mut self, needs: &Placed<Vec<String>>) -> Vec<Placed<StepId>> {
        let places = ron_fields::elements(self.text(&needs.at)).unwrap_or_default();
        let at = |index: usize| places.get(index).map_or(needs.at.clone(), |at| at.start + needs.at.start..at.end + needs.at.start);
        let ids: Vec<_> = needs.value.iter().enumerate().map(|(index, id)| Placed { value: id.clone(), at: at(index) }).collect();
        ids.into_iter().filter_map(|id| self.step_id(id)).collect()
    }

    /// Takes `SomeKind(…)` apart; the params stay raw.
    fn run(&mut self, at: &Place) -> Option<(Placed<String>, Template, Place)> {
        let text = &self.source[at.clone()];
        let name = struct_name(text);
        if name.is_empty() {
            self.problems.push(Problem::new(at.clone(), "expected a step kind with its params, such as `Wait(duration: \"5s\")`"));
            return None;
        }
        let start = text.find(name).unwrap_or(0);
        let kind = Placed { value: name.to_owned(), at: at.start + start..at.start + start + name.len() };
        let params_at = kind.at.end..at.end;
        let params = Template::parse(&self.source[params_at.clone()], params_at.start, self.problems);
        Some((kind, params, params_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::occasion::Only;

    fn problems_of(source: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let def = parse(source, &mut problems);
        assert!(def.is_some() || !problems.is_empty(), "nothing read, nothing said");
        problems.iter().map(|p| format!("`{}` {}", &source[p.at.clone()], p.message)).collect()
    }

    #[test]
    fn a_workflow_is_read_with_its_settings() {
        let source = r#"#![enable(implicit_some)]
            Workflow(
                name: "w", // a comment
                objectives: (rto: "15m"),
                inputs: { "region": "us-west-2", "n": 6, "must": Required },
                max_parallel: 3,
                steps: [
                    (id: "a", run: Wait(duration: "1s"), timeout: "2m", retry: (attempts: 2), only: Planned, on_failure: Continue),
                    (id: "b", needs: ["a"], run: /* this */ Exec(command: ["${region}"])),
                ],
            )"#;
        let mut problems = Vec::new();
        let def = parse(source, &mut problems).expect("valid");
        assert_eq!(problems, []);
        assert_eq!((def.steps.len(), def.max_parallel, def.objectives.rto), (2, 3, Some(Span::secs(900))));
        assert_eq!(def.inputs["must"].default, None);
        assert_eq!((def.steps[0].only, def.steps[0].retry.attempts), (Some(Only::Planned), 2));
        assert_eq!((def.steps[1].kind.value.as_str(), def.steps[1].params.text()), ("Exec", r#"(command: ["${region}"])"#));
    }

    #[test]
    fn every_mistake_of_a_file_is_told_at_once() {
        let source = r#"Workflow(name: "a b", objectives: (rto: 15), inptus: {}, max_parallel: 0, steps: [
            (id: "1", run: Wait()), (run: Wait()), (id: "c", run: 5, timeout: "soon", needs: ["x y"]), (id: "d", runn: Wait(), timeout: "0s")])"#;
        assert_eq!(
            problems_of(source),
            [
                "`\"a b\"` `a b` cannot name a workflow",
                "`15` `rto`: `15` has no unit: write it as \"15s\", \"15m\" or \"15h\"",
                "`0` `max_parallel` must be from 1 to 10000, not 0",
                "`\"1\"` `1` is not a step id: 1 to 64 of letters, digits, `_` and `-`, not starting with a digit or `-`",
                "`(` `id` is missing",
                "`5` expected a step kind with its params, such as `Wait(duration: \"5s\")`",
                "`\"x y\"` `x y` is not a step id: 1 to 64 of letters, digits, `_` and `-`, not starting with a digit or `-`",
                "`\"soon\"` `soon` is not a duration such as \"90s\", \"15m\" or \"1h 30m\": expected number at 0",
                "`(` `run` is missing",
                "`\"0s\"` a step cannot end in no time",
                "`runn` there is no field `runn`",
                "`inptus` there is no field `inptus`",
            ]
        );
    }

    /// Found by reading for the fuzz targets: the place of what is missing was one byte long, whatever stood there.
    #[test]
    fn places_do_not_cut_characters() {
        assert_eq!(problems_of("été(steps: [é(), (run: X(), timeout: (é: 1))])").len(), 5);
        assert_eq!(problems_of("/* a /* b */ c */ Workflow(name: \"w\", steps: [(id: \"a\", run: /* /* */ */ X())])"), [""; 0]);
    }

    #[test]
    fn emptiness_and_broken_syntax_are_told() {
        assert_eq!(problems_of("Workflow(name: \"w\")"), ["`W` the workflow has no steps"]);
        assert_eq!(problems_of("Workflow(name: \"w\", steps: [])"), ["`W` the workflow has no steps"]);
        assert_eq!(problems_of("Workflow(name: \"w\", steps: [(id: \"a\" run: X())])").len(), 1);
        assert_eq!(problems_of("").len(), 1);
        assert_eq!(problems_of("Flow(name: \"w\", steps: [(id: \"a\", run: X())])"), ["`F` expected `Workflow(…)`, found `Flow(…)`"]);
    }
}
