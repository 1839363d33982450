//! Which run is meant: a full id, a unique beginning or end of one, or `@latest`.

use wf_engine::model::ids::RunId;

use crate::failure::Failure;
use crate::render::cut;

/// The newest run.
pub const LATEST: &str = "@latest";
/// The most columns of what was typed that are repeated.
const TYPED_WIDTH_MAX: usize = 80;
/// How many candidates are named when a text fits several.
const NAMED_MAX: usize = 8;

/// Finds the run that `text` means among `runs`, which are sorted oldest first.
pub fn find(runs: &[RunId], text: &str) -> Result<RunId, Failure> {
    let Some(newest) = runs.last() else {
        return Err(
            Failure::usage("there are no runs here yet").help("`wf run FILE` starts one; --state-dir names another state directory")
        );
    };
    if text == LATEST {
        return Ok(newest.clone());
    }
    let wanted = text.to_ascii_uppercase();
    if let Some(run) = runs.iter().find(|run| run.as_str() == wanted) {
        return Ok(run.clone());
    }
    let fits = |run: &&RunId| !wanted.is_empty() && (run.as_str().starts_with(&wanted) || run.as_str().ends_with(&wanted));
    let fitting: Vec<_> = runs.iter().filter(fits).collect();
    match fitting.as_slice() {
        [run] => Ok((*run).clone()),
        [] => Err(Failure::usage(format!("there is no run `{}`", shown(text))).help("`wf list` shows the runs of this state directory")),
        several => Err(ambiguous(text, several)),
    }
}

/// Repeats what was typed, as far as it can be meant.
fn shown(text: &str) -> String {
    cut(text, TYPED_WIDTH_MAX).escape_debug().to_string()
}

fn ambiguous(text: &str, several: &[&RunId]) -> Failure {
    let mut named: Vec<_> = several.iter().rev().take(NAMED_MAX).map(|run| run.as_str()).collect();
    let more = format!("and {} more", several.len().saturating_sub(NAMED_MAX));
    if several.len() > NAMED_MAX {
        named.push(&more);
    }
    let message = format!("`{}` fits {} runs:\n  {}", shown(text), several.len(), named.join("\n  "));
    Failure::usage(message).help("type more of it; the last six characters tell runs apart")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Exit;

    fn runs() -> Vec<RunId> {
        let mut runs: Vec<_> = [(1, 7), (1_700_000_000_000, 8), (1_700_000_000_000, 9)].map(|(at, random)| RunId::new(at, random)).into();
        runs.sort();
        runs
    }

    #[test]
    fn full_ids_beginnings_and_ends_are_found() {
        let runs = runs();
        for text in [runs[0].as_str(), &runs[0].as_str()[..9], &runs[0].as_str()[20..], &runs[0].as_str()[20..].to_lowercase()] {
            assert_eq!(find(&runs, text).expect("found"), runs[0], "{text}");
        }
        assert_eq!(find(&runs, LATEST).expect("found"), runs[2]);
    }

    #[test]
    fn what_fits_several_lists_them() {
        let runs = runs();
        let error = find(&runs, &runs[1].as_str()[..10]).expect_err("ambiguous");
        assert!(error.to_string().contains(runs[1].as_str()) && error.to_string().contains(runs[2].as_str()), "{error}");
        assert_eq!(Exit::from(&error), Exit::Usage);
    }

    #[test]
    fn what_fits_none_is_told() {
        assert_eq!(Exit::from(&find(&runs(), "nope").expect_err("none")), Exit::Usage);
        assert_eq!(Exit::from(&find(&runs(), "").expect_err("none")), Exit::Usage);
        assert_eq!(Exit::from(&find(&[], LATEST).expect_err("none")), Exit::Usage);
    }
}
