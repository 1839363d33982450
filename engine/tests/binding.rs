//! Binding: kinds found, params decoded, values of other runs taken over, and every mistake told at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Value, json};
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, InputError, collect_imports, resolve_inputs};
use wf_engine::testkit::{FakeWorld, TestRun, fake_world};

fn parse(text: &str) -> Arc<Workflow> {
    Arc::new(Workflow::parse(text).unwrap())
}

fn mistakes(text: &str, imports: &Imports<'_>) -> Vec<String> {
    let workflow = parse(text);
    let inputs = workflow.def().inputs.iter().filter_map(|(name, input)| Some((name.clone(), input.default.clone()?))).collect();
    let problems = fake_world::registry(&FakeWorld::default()).bind(workflow, &inputs, imports).err().unwrap_or_default();
    problems.iter().map(|p| format!("{} | {} | {}", &text[p.at.clone()], p.message, p.help.as_deref().unwrap_or_default())).collect()
}

#[test]
fn every_mistake_in_params_is_told_at_its_place() {
    let text = r#"Workflow(name: "w", inputs: {"n": "seven"}, steps: [
        (id: "a", run: Sett(key: "x")),
        (id: "b", run: Set(kee: "x", value: "${n}")),
        (id: "c", run: Set(key: "x", takes: 5, value: "${b.valeu}")),
        (id: "d", run: Set(key: "${b.before.value}x", value: "${b.value}")),
    ])"#;
    assert_eq!(
        mistakes(text, &Imports::None),
        [
            "Sett | there is no step kind `Sett` | did you mean `Set`?",
            "Set | `key` is missing | `wf kinds Set` shows its params",
            "kee | there is no field `kee` | did you mean `key`?",
            "\"${n}\" | `value`: expected integer | `wf kinds Set` shows its params",
            "5 | `takes`: `5` has no unit: write it as \"5s\", \"5m\" or \"5h\" | `wf kinds Set` shows its params",
            "${b.valeu} | step `b` (Set) has no output `valeu` | did you mean `value`?",
        ]
    );
}

const FOLLOWING: &str = r#"Workflow(name: "back", follows: "test.ron", inputs: {"n": "${test.a.before.value}", "m": "${test.gone.value}"}, steps: [
    (id: "x", run: Set(key: "x", value: "${n}")), (id: "y", run: Set(key: "y", value: "${test.a.value}"))])"#;

#[test]
fn values_of_the_followed_workflow_are_checked_against_its_shape() {
    let other = parse(r#"Workflow(name: "test", steps: [(id: "a", run: Set(key: "a"))])"#);
    assert_eq!(mistakes(&FOLLOWING.replace("test.a.value", "test.a.vaule"), &Imports::Shape(&other)).len(), 1);
    let text = FOLLOWING.replace("\"${n}\"", "\"${m}\"");
    assert_eq!(mistakes(&text, &Imports::Shape(&other)), ["\"${test.gone.value}\" | `test` has no step `gone` | there is `a`"]);
    let none = r#"Workflow(name: "back", inputs: {"n": "${test.a.before.value}"}, steps: [(id: "x", run: Nothing())])"#;
    assert!(Workflow::parse(none).unwrap_err()[0].message.contains("follows none"));
}

#[tokio::test(start_paused = true)]
async fn values_of_the_followed_run_are_taken_over_unless_given_by_hand() {
    let followed = TestRun::of_steps(r#"(id: "a", run: Set(key: "a", value: 7))"#);
    followed.start().await.unwrap();
    let workflow = parse(FOLLOWING);
    let problems = collect_imports(&workflow, &IndexMap::new(), &followed.state()).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "the run that is followed has no value for `test.gone.value`: it has no step `gone`");
    assert_eq!(problems[0].help.as_deref(), Some("give the value by hand: --set m=…"));

    let inputs = resolve_inputs(&workflow, &[("m".to_owned(), Value::from("5"))]).unwrap();
    assert_eq!(inputs["m"], json!(5));
    let imports = collect_imports(&workflow, &inputs, &followed.state()).unwrap();
    assert_eq!(imports, IndexMap::from([("test.a.before.value".to_owned(), json!(0)), ("test.a.value".to_owned(), json!(7))]));
    let registry = fake_world::registry(&FakeWorld::default());
    assert!(registry.bind(workflow, &inputs, &Imports::Values(&imports)).is_ok());
}

#[test]
fn inputs_take_the_type_of_their_default() {
    let workflow =
        parse(r#"Workflow(name: "w", inputs: {"n": 1, "t": "x", "b": false, "r": Required}, steps: [(id: "a", run: Nothing())])"#);
    let given = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect::<Vec<_>>();
    let values = resolve_inputs(&workflow, &given(&[("n", "7"), ("b", "true"), ("r", "123")])).unwrap();
    assert_eq!(Vec::from_iter(values.values().cloned()), [json!(7), json!("x"), json!(true), json!("123")]);
    let errors = resolve_inputs(&workflow, &given(&[("n", "many"), ("tt", "x")])).unwrap_err();
    assert!(matches!(&errors[..], [InputError::IllTyped { .. }, InputError::Unknown { .. }, InputError::Missing { .. }]), "{errors:?}");
}

const ACCOUNTS: &str = r#"Workflow(name: "w", inputs: {"role": "network", "n": 5, "later": Required}, account: Account(role: "${role}"), steps: [
    (id: "a", run: Set(key: "x")),
    (id: "b", run: Set(key: "x", value: "${a.value}"), account: Account(role: "data-${role}", region: "r")),
    (id: "c", run: Ask()),
])"#;

/// The rules of the world that these accounts are in.
fn rule(field: &str, text: &str) -> Option<String> {
    (field == "role" && text.contains(' ')).then(|| format!("`{text}` is no role"))
}

#[tokio::test(start_paused = true)]
async fn a_step_acts_in_its_own_account_or_else_in_that_of_the_workflow() {
    let run = TestRun::of(&ACCOUNTS.replace(", \"later\": Required", ""));
    run.start().await.unwrap();
    let acted: Vec<_> = run.world.values().into_keys().collect();
    assert_eq!(acted, ["data-network/x", "network/x"]);
}

#[test]
fn every_mistake_in_an_account_is_told_at_its_place() {
    let registry = fake_world::registry(&FakeWorld::default()).with_account_rule(rule);
    let inputs = |workflow: &Workflow| -> IndexMap<String, Value> {
        workflow.def().inputs.iter().filter_map(|(name, input)| Some((name.clone(), input.default.clone()?))).collect()
    };
    let mistakes = |text: &str| -> Vec<String> {
        let (workflow, mut problems) = Workflow::parse_leniently(text);
        let workflow = Arc::new(workflow.unwrap());
        problems.extend(registry.bind(Arc::clone(&workflow), &inputs(&workflow), &Imports::None).err().unwrap_or_default());
        problems.iter().map(|p| format!("{} | {}", &text[p.at.clone()], p.message)).collect()
    };
    assert_eq!(mistakes(ACCOUNTS), [""; 0]);
    let text = ACCOUNTS
        .replace("Account(role: \"${role}\")", "Account(rolle: \"x\", region: 7)")
        .replace("role: \"data-${role}\"", "role: \"a b\", external_id: \"${n}\", session_name: \"${a.value} ${nil}\"")
        .replace("run: Ask()", "run: Ask(), account: Accont(role: \"x\")");
    let text = text.replace("])", "    (id: \"d\", run: Ask(), account: (role: \"${later}\")),\n])");
    assert_eq!(
        mistakes(&text),
        [
            "7 | expected string",
            "A | `role` is missing",
            "rolle | there is no field `rolle`",
            "Accont(role: \"x\") | expected `Account(role: …)`, found `Accont`",
            "${a.value} | an account can refer to inputs only, not to `a.value`",
            "${nil} | there is no input `nil`",
            "\"a b\" | `role`: `a b` is no role",
            "\"${n}\" | `external_id`: must be a text",
            "(role: \"${later}\") | Ask acts in no account",
        ]
    );
}

#[test]
fn nobody_acts_in_an_account_that_is_not_known() {
    let workflow = parse(ACCOUNTS.replace("role: \"${role}\"", "role: \"${later}\"").as_str());
    let registry = fake_world::registry(&FakeWorld::default());
    let bound = registry.bind(workflow, &IndexMap::new(), &Imports::None).unwrap();
    let refused = bound.resolve(&registry, 0, |_| None).err().unwrap();
    assert_eq!(refused.message, "the account that the step acts in is not known: an input of it has no value");
    assert!(bound.account(0).is_none());
}
