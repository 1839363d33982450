//! [`Workflow`]: a validated DAG of steps. It cannot be built with an unknown or repeated id, a cycle, a reference to nothing,
//! or a step that can never run; building one tells every such mistake.

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde_json::Value;

use super::dsl::{self, AtEnd, EDGES_MAX, StepDef, WorkflowDef};
use super::ids::StepId;
use super::occasion::{Occasion, Only};
use super::problem::{Place, Problem, line_column};
use super::template::Reference;

/// The most mistakes for which something is looked up in the whole file: what was meant, or where the other one stands.
const LOOKED_UP_MAX: usize = 20;
/// The most steps of a cycle that are named.
const CYCLE_NAMED_MAX: usize = 50;

/// A step's number: its place in the file, from 0.
pub type StepIx = usize;

/// Where a reference's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// An input of the run.
    Input(&'a str),
    /// A step of this run: its output, or with `before` a field of its before-image.
    Step {
        /// The step.
        step: &'a str,
        /// Whether the before-image is meant.
        before: bool,
        /// The output or field.
        field: &'a str,
    },
    /// A step of the run that this one follows.
    Import {
        /// The workflow's name.
        workflow: &'a str,
        /// The step.
        step: &'a str,
        /// Whether the before-image is meant.
        before: bool,
        /// The output or field.
        field: &'a str,
    },
}

/// Tells what a path of a reference names; `None` when it has no such form.
pub fn source_of(path: &str) -> Option<Source<'_>> {
    match path.split('.').collect::<Vec<_>>().as_slice() {
        [input] => Some(Source::Input(input)),
        [step, field] => Some(Source::Step { step, before: false, field }),
        [step, "before", field] => Some(Source::Step { step, before: true, field }),
        [workflow, step, field] => Some(Source::Import { workflow, step, before: false, field }),
        [workflow, step, "before", field] => Some(Source::Import { workflow, step, before: true, field }),
        _ => None,
    }
}

/// A validated workflow: acyclic, ids unique, references to steps that exist.
#[derive(Debug, Clone)]
pub struct Workflow {
    def: WorkflowDef,
    text: String,
    index: HashMap<StepId, StepIx>,
    /// Needs point at their dependents.
    graph: DiGraph<(), ()>,
    /// Every step after its needs.
    order: Vec<StepIx>,
}

impl Workflow {
    /// Reads and validates a workflow file.
    ///
    /// # Errors
    /// Every mistake of syntax, settings and graph.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let def = dsl::parse(text, &mut problems);
        let Some(def) = def else { return Err(problems) };
        let workflow = Self::build(def, text, EDGES_MAX, &mut problems);
        problems.sort_by_key(|problem| (problem.at.start, problem.at.end));
        if problems.is_empty() { Ok(workflow) } else { Err(problems) }
    }

    /// As [`Workflow::parse`], but gives the workflow even when there are problems, so that its kinds can be checked too.
    pub fn parse_leniently(text: &str) -> (Option<Self>, Vec<Problem>) {
        let mut problems = Vec::new();
        let workflow = dsl::parse(text, &mut problems).map(|def| Self::build(def, text, EDGES_MAX, &mut problems));
        (workflow, problems)
    }

    fn build(def: WorkflowDef, text: &str, edges_max: usize, problems: &mut Vec<Problem>) -> Self {
        let index = index_of(&def.steps, text, problems);
        let mut workflow =
            Self { graph: DiGraph::with_capacity(def.steps.len(), def.steps.len()), def, text: text.to_owned(), index, order: Vec::new() };
        for _ in 0..workflow.def.steps.len() {
            workflow.graph.add_node(());
        }
        for ix in 0..workflow.def.steps.len() {
            problems.extend(workflow.never_at_all(ix));
            workflow.link(ix, problems);
            if workflow.graph.edge_count() > edges_max {
                let at = workflow.def.steps[ix].id.at.clone();
                problems.push(Problem::new(at, format!("up to here there are more than the {edges_max} dependencies allowed")));
                return workflow;
            }
        }
        if workflow.def.follows.is_none() {
            problems.extend(workflow.def.inputs.values().filter_map(|input| input.from.as_ref()).map(follows_none));
        }
        let account = workflow.def.account.iter().flat_map(|account| account.references());
        problems.extend(account.filter_map(|reference| workflow.not_an_input(reference)));
        match petgraph::algo::toposort(&workflow.graph, None) {
            Ok(order) => workflow.order = order.into_iter().map(NodeIndex::index).collect(),
            Err(_) => workflow.name_cycles(problems),
        }
        workflow
    }

    /// Adds the edges of a step: what it lists in `needs`, and what it refers to.
    fn link(&mut self, ix: StepIx, problems: &mut Vec<Problem>) {
        let step = &self.def.steps[ix];
        let mut edges: Vec<(StepIx, bool, Place)> = Vec::new();
        for need in &step.needs {
            match self.index.get(&need.value) {
                Some(&other) => edges.push((other, false, need.at.clone())),
                None => problems.push(self.unknown_step(need.value.as_str(), need.at.clone(), problems.len())),
            }
        }
        let account = step.account.iter().flat_map(|account| account.references());
        problems.extend(account.filter_map(|reference| self.not_an_input(reference)));
        for reference in step.params.references() {
            match self.referred(reference, problems.len()) {
                Ok(Some(other)) => edges.push((other, true, reference.at.clone())),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        edges.sort_by_key(|(other, refers, _)| (*other, !*refers));
        edges.dedup_by_key(|(other, _, _)| *other);
        for (other, refers, at) in edges {
            if other == ix {
                let id = &step.id.value;
                problems.push(Problem::new(at, format!("step `{id}` waits for itself")));
                continue;
            }
            problems.extend(self.never_together(ix, other, refers, &at));
            self.graph.add_edge(NodeIndex::new(other), NodeIndex::new(ix), ());
        }
    }

    /// Returns the step that a reference makes an edge to, if it names a step of this workflow.
    fn referred(&self, reference: &Reference, told: usize) -> Result<Option<StepIx>, Problem> {
        let problem = |message: String| Problem::new(reference.at.clone(), message);
        match source_of(&reference.path) {
            Some(Source::Input(name)) if self.def.inputs.contains_key(name) => Ok(None),
            Some(Source::Input(name)) => {
                let known = self.def.inputs.keys().map(String::as_str);
                Err(problem(format!("there is no input `{name}`")).suggest(name, known))
            }
            Some(Source::Step { step, .. }) => match step.parse().ok().and_then(|id| self.find(&id)) {
                Some(ix) => Ok(Some(ix)),
                None => Err(self.unknown_step(step, reference.at.clone(), told)),
            },
            Some(Source::Import { .. }) if self.def.follows.is_some() => Ok(None),
            Some(Source::Import { .. }) => Err(follows_none(reference)),
            None => {
                Err(problem(format!("`{}` is not a reference", reference.path))
                    .help("write ${input}, ${step.output} or ${step.before.field}"))
            }
        }
    }

    /// Tells what is wrong with a reference in an account, which is to be known before the run starts.
    fn not_an_input(&self, reference: &Reference) -> Option<Problem> {
        match source_of(&reference.path) {
            Some(Source::Input(_)) | None => self.referred(reference, 0).err(),
            Some(Source::Step { .. } | Source::Import { .. }) => {
                let problem =
                    Problem::new(reference.at.clone(), format!("an account can refer to inputs only, not to `{}`", reference.path));
                Some(problem.help("declare an input and write ${input}"))
            }
        }
    }

    fn unknown_step(&self, id: &str, at: Place, told: usize) -> Problem {
        let problem = Problem::new(at, format!("there is no step `{id}`"));
        if told > LOOKED_UP_MAX {
            return problem;
        }
        let mut known: Vec<_> = self.index.keys().map(StepId::as_str).collect();
        known.sort_unstable();
        problem.suggest(id, known)
    }

    /// Returns the kinds of runs that there are of the workflow.
    fn occasions(&self) -> impl Iterator<Item = Occasion> {
        let at_end = self.def.at_end;
        Occasion::ALL.into_iter().filter(move |occasion| match at_end {
            AtEnd::Stay => !occasion.drill,
            AtEnd::Undo => occasion.drill,
            AtEnd::UndoDrill => true,
        })
    }

    /// Tells when a step is part of no run that there is of the workflow.
    fn never_at_all(&self, ix: StepIx) -> Option<Problem> {
        let step = &self.def.steps[ix];
        let never = step.only.filter(|&only| only != Only::Check && !self.occasions().any(|occasion| only.includes(occasion)))?;
        let (is, help) = match self.def.at_end {
            AtEnd::Undo => {
                ("always a drill: `at_end` is Undo", "`at_end: UndoDrill` puts back what a drill changed, and leaves that of other runs")
            }
            AtEnd::Stay | AtEnd::UndoDrill => {
                ("never a drill: `at_end` is not given", "give the workflow `at_end: UndoDrill`, and `wf drill` puts back what it changed")
            }
        };
        let id = &step.id;
        Some(
            Problem::new(
                id.at.clone(),
                format!("step `{}` can never run: it is only {}, and the workflow is {is}", id.value, never.meaning()),
            )
            .help(help),
        )
    }

    /// Tells when a step waits for one that is never part of the same run, or refers to one that may not be.
    fn never_together(&self, ix: StepIx, other: StepIx, refers: bool, at: &Place) -> Option<Problem> {
        let (step, need) = (&self.def.steps[ix], &self.def.steps[other]);
        let (id, need_id) = (&step.id.value, &need.id.value);
        if step.only == Some(Only::Check) {
            let problem = Problem::new(
                at.clone(),
                format!("step `{id}` can never be looked at: before a run `{need_id}`, whose value it uses, has none"),
            );
            return refers.then(|| problem.help("let it use inputs only"));
        }
        let theirs = need.only?;
        let mut mine = self.occasions().filter(|&occasion| step.takes_part(occasion)).peekable();
        mine.peek()?;
        let (with, without): (Vec<_>, Vec<_>) = mine.partition(|&occasion| theirs.includes(occasion));
        match (step.only, without.first()) {
            (Some(only), _) if with.is_empty() => {
                let problem = Problem::new(
                    at.clone(),
                    format!("step `{id}` can never run: it is only {only}, and `{need_id}`, which it waits for, only {theirs}"),
                );
                Some(problem.help(format!("give both the same `only`, or take `{need_id}` out of the way of `{id}`")))
            }
            (_, Some(occasion)) if refers => {
                let problem = Problem::new(
                    at.clone(),
                    format!("step `{id}` can never run in {occasion}: `{need_id}`, whose value it uses, is only {theirs}"),
                );
                Some(problem.help(format!("give `{id}` the same `only`")))
            }
            _ => None,
        }
    }

    /// Names each cycle in full, at the step where it is entered first.
    fn name_cycles(&self, problems: &mut Vec<Problem>) {
        // Tarjan's way is recursive in petgraph: a chain of 20,000 steps would be too much for the stack.
        for component in petgraph::algo::kosaraju_scc(&self.graph) {
            if component.len() < 2 {
                continue;
            }
            let cycle = self.cycle_in(&component);
            let mut ids: Vec<_> = cycle.iter().take(CYCLE_NAMED_MAX).map(|&ix| format!("`{}`", self.def.steps[ix].id.value)).collect();
            if cycle.len() > CYCLE_NAMED_MAX {
                ids.push(format!("{} more", cycle.len() - CYCLE_NAMED_MAX));
            }
            let at = self.def.steps[cycle[0]].id.at.clone();
            let problem = Problem::new(at, format!("these steps wait for each other: {} → {}", ids.join(" → "), ids[0]));
            problems.push(problem.help("read → as \"waits for\"; take one of them out of `needs`, or out of a `${…}`"));
        }
    }

    /// Walks from the first step of a strongly connected component along its needs until a step comes again.
    fn cycle_in(&self, component: &[NodeIndex]) -> Vec<StepIx> {
        let inside: std::collections::HashSet<_> = component.iter().copied().collect();
        let mut walk: Vec<NodeIndex> = component.iter().copied().min().into_iter().collect();
        let mut seen: HashMap<NodeIndex, usize> = walk.iter().map(|&first| (first, 0)).collect();
        loop {
            let here = walk[walk.len() - 1];
            let next = self.graph.neighbors_directed(here, Direction::Incoming).filter(|need| inside.contains(need)).min();
            let Some(next) = next else { return walk.into_iter().map(NodeIndex::index).collect() };
            if let Some(start) = seen.insert(next, walk.len()) {
                return walk[start..].iter().map(|ix| ix.index()).collect();
            }
            walk.push(next);
        }
    }

    /// Returns the workflow's name.
    pub fn name(&self) -> &str {
        &self.def.name
    }

    /// Returns the workflow as it was written.
    pub fn def(&self) -> &WorkflowDef {
        &self.def
    }

    /// Returns the text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns how many steps there are.
    pub fn len(&self) -> usize {
        self.def.steps.len()
    }

    /// Tells whether there are no steps; a valid workflow has some.
    pub fn is_empty(&self) -> bool {
        self.def.steps.is_empty()
    }

    /// Returns a step.
    pub fn step(&self, ix: StepIx) -> &StepDef {
        &self.def.steps[ix]
    }

    /// Returns the id of a step.
    pub fn id(&self, ix: StepIx) -> &StepId {
        &self.def.steps[ix].id.value
    }

    /// Returns the number of a step.
    pub fn find(&self, id: &StepId) -> Option<StepIx> {
        self.index.get(id).copied()
    }

    /// Returns the steps that a step waits for.
    pub fn needs(&self, ix: StepIx) -> impl Iterator<Item = StepIx> {
        self.graph.edges_directed(NodeIndex::new(ix), Direction::Incoming).map(|edge| edge.source().index())
    }

    /// Returns all steps that have to be over before a step begins.
    pub fn ancestors(&self, ix: StepIx) -> BTreeSet<StepIx> {
        let (mut all, mut next) = (BTreeSet::new(), vec![ix]);
        while let Some(here) = next.pop() {
            next.extend(self.needs(here).filter(|need| all.insert(*need)));
        }
        all
    }

    /// Returns the steps that wait for a step.
    pub fn dependents(&self, ix: StepIx) -> impl Iterator<Item = StepIx> {
        self.graph.edges_directed(NodeIndex::new(ix), Direction::Outgoing).map(|edge| edge.target().index())
    }

    /// Returns every step after its needs.
    pub fn order(&self) -> &[StepIx] {
        &self.order
    }

    /// Returns the references to the followed run that a run with these inputs needs a value for.
    pub fn imports<'a>(&'a self, given: &'a IndexMap<String, Value>) -> impl Iterator<Item = &'a Reference> {
        let defaults = self.def.inputs.iter().filter(|(name, _)| !given.contains_key(*name)).filter_map(|(_, input)| input.from.as_ref());
        let params = self.def.steps.iter().flat_map(|step| step.params.references());
        defaults.chain(params.filter(|reference| matches!(source_of(&reference.path), Some(Source::Import { .. }))))
    }

    /// Returns, per step, how long the longest way from its start to the end of the run takes, given each step's duration.
    pub fn remaining(&self, duration: impl Fn(StepIx) -> std::time::Duration) -> Vec<std::time::Duration> {
        let mut remaining = vec![std::time::Duration::ZERO; self.len()];
        for &ix in self.order.iter().rev() {
            let behind = self.dependents(ix).map(|next| remaining[next]).max().unwrap_or_default();
            remaining[ix] = behind + duration(ix);
        }
        remaining
    }
}

fn index_of(steps: &[StepDef], text: &str, problems: &mut Vec<Problem>) -> HashMap<StepId, StepIx> {
    let mut index = HashMap::with_capacity(steps.len());
    for (ix, step) in steps.iter().enumerate() {
        if let Some(&first) = index.get(&step.id.value) {
            let problem = Problem::new(step.id.at.clone(), format!("there are two steps `{}`", step.id.value));
            if problems.len() > LOOKED_UP_MAX {
                problems.push(problem);
                continue;
            }
            let first: &StepDef = &steps[first];
            let (line, _) = line_column(text, first.id.at.start);
            problems.push(problem.help(format!("the first one is in line {line}")));
        } else {
            index.insert(step.id.value.clone(), ix);
        }
    }
    index
}

fn follows_none(reference: &Reference) -> Problem {
    let workflow = reference.path.split('.').next().unwrap_or_default();
    let problem = Problem::new(reference.at.clone(), format!("`{}` refers to another run, but the workflow follows none", reference.path));
    problem.help(format!("add `follows: \"{workflow}.ron\"` to the workflow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(steps: &str) -> String {
        format!("Workflow(name: \"w\", inputs: {{\"region\": \"r\"}}, steps: [{steps}])")
    }

    fn problems_of(steps: &str) -> Vec<String> {
        let text = workflow(steps);
        let problems = Workflow::parse(&text).expect_err("mistakes");
        problems.iter().map(|p| format!("{} @{}", p.message, &text[p.at.clone()])).collect()
    }

    #[test]
    fn needs_and_references_are_edges() {
        let text =
            workflow(r#"(id: "c", needs: ["a"], run: X(v: "${b.out} ${a.out} ${region}")), (id: "a", run: X()), (id: "b", run: X())"#);
        let workflow = Workflow::parse(&text).expect("valid");
        let mut needs: Vec<_> = workflow.needs(0).collect();
        needs.sort_unstable();
        assert_eq!(needs, [1, 2]);
        assert_eq!(workflow.order().last(), Some(&0));
    }

    #[test]
    fn cycles_are_named_whole() {
        let steps = r#"(id: "a", needs: ["c"], run: X()), (id: "b", needs: ["a"], run: X()), (id: "c", run: X(v: "${b.out}")), (id: "d", needs: ["a"], run: X())"#;
        assert_eq!(problems_of(steps), ["these steps wait for each other: `a` → `c` → `b` → `a` @\"a\""]);
        assert_eq!(problems_of(r#"(id: "a", needs: ["a"], run: X())"#), ["step `a` waits for itself @\"a\""]);
    }

    /// Each mistake of a large file once took as long as reading the file.
    #[test]
    fn a_large_file_full_of_mistakes_is_told_in_time() {
        let steps = |step: fn(usize) -> String| (0..20_000).map(step).collect::<Vec<_>>().join(",");
        let unknown = problems_of(&steps(|ix| format!("(id: \"s{ix}\", needs: [\"no{ix}\", \"s{ix}x\"], run: X())")));
        assert_eq!(unknown.len(), 40_000);
        let twice = problems_of(&steps(|ix| format!("(id: \"s{}\", run: X())", ix / 2)));
        assert_eq!(twice.len(), 10_000);
        let cycle = problems_of(&steps(|ix| format!("(id: \"s{ix}\", needs: [\"s{}\"], run: X())", (ix + 1) % 20_000)));
        assert!(cycle.len() == 1 && cycle[0].contains("`s49` → 19950 more → `s0`"), "{cycle:?}");
    }

    #[test]
    fn dependencies_are_limited() {
        let text = workflow(r#"(id: "a", run: X()), (id: "b", needs: ["a"], run: X()), (id: "c", needs: ["a"], run: X(v: "${b.out}"))"#);
        for (edges_max, told) in [(3, None), (2, Some("up to here there are more than the 2 dependencies allowed"))] {
            let mut problems = Vec::new();
            let def = dsl::parse(&text, &mut problems).expect("valid");
            Workflow::build(def, &text, edges_max, &mut problems);
            assert_eq!(problems.first().map(|problem| problem.message.as_str()), told);
        }
    }

    #[test]
    fn names_that_exist_nowhere_are_told() {
        let steps = r#"(id: "promote", needs: ["fance"], run: X(a: "${regoin}", b: "${promot.x}", c: "${failover.a.b}")), (id: "fence", run: X()), (id: "fence", run: X())"#;
        assert_eq!(
            problems_of(steps),
            [
                "there is no step `fance` @\"fance\"",
                "there is no input `regoin` @${regoin}",
                "there is no step `promot` @${promot.x}",
                "`failover.a.b` refers to another run, but the workflow follows none @${failover.a.b}",
                "there are two steps `fence` @\"fence\"",
            ]
        );
    }

    #[test]
    fn steps_that_can_never_run_are_told() {
        let steps = r#"(id: "a", only: Planned, run: X()), (id: "b", only: Unplanned, needs: ["a"], run: X()), (id: "c", run: X(v: "${a.out}")), (id: "d", needs: ["a"], run: X())"#;
        let problems = problems_of(steps);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("`b` can never run"), "{problems:?}");
        assert!(problems[1].contains("`c` can never run in an unplanned run"), "{problems:?}");
    }

    #[test]
    fn the_longest_way_counts_each_step_once() {
        let text = workflow(
            r#"(id: "a", run: X()), (id: "b", needs: ["a"], run: X()), (id: "c", needs: ["a"], run: X()), (id: "d", needs: ["b", "c"], run: X())"#,
        );
        let workflow = Workflow::parse(&text).expect("valid");
        let secs = [1, 5, 2, 1];
        let remaining = workflow.remaining(|ix| std::time::Duration::from_secs(secs[ix]));
        assert_eq!(remaining.iter().map(std::time::Duration::as_secs).collect::<Vec<_>>(), [7, 6, 3, 1]);
    }
}
