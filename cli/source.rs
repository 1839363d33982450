//! A file that an operator wrote, with all that is needed to point into it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wf_engine::model::dsl::FILE_LEN_MAX;
use wf_engine::model::problem::Problem;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, Registry};

use crate::failure::Failure;

/// The most mistakes that are told of one file: each is placed by counting lines from its beginning.
const PROBLEMS_MAX: usize = 1_000;

/// A file's name and text.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = bytes(path).map_err(|source| Failure::Unreadable { path: path.to_owned(), source })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text }),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let source = Self { path: path.to_owned(), text: String::from_utf8_lossy(error.as_bytes()).into_owned() };
                Err(source.invalid(vec![Problem::new(at..at, "the file is not UTF-8 text from here on")]))
            }
        }
    }

    /// Says what is wrong with the file.
    pub fn invalid(&self, problems: Vec<Problem>) -> Failure {
        Failure::Invalid { path: self.path.clone(), text: self.text.clone(), problems }
    }

    /// Reads the workflow, and tells every mistake at once, those of params and references included.
    pub fn workflow(&self, registry: &Registry) -> Result<Arc<Workflow>, Failure> {
        let (workflow, mut problems) = Workflow::parse_leniently(&self.text);
        let workflow = workflow.map(Arc::new);
        if let Some(workflow) = &workflow {
            let followed = self.followed(workflow);
            let imports = followed.as_ref().map_or(Imports::None, Imports::Shape);
            let defaults = workflow.def().inputs.iter().filter_map(|(name, input)| Some((name.clone(), input.default.clone()?)));
            if let Err(more) = registry.bind(Arc::clone(workflow), &defaults.collect(), &imports) {
                // A reference to nothing is a mistake of the graph already.
                let told: HashSet<_> = problems.iter().map(|problem| problem.at.clone()).collect();
                problems.extend(more.into_iter().filter(|problem| !told.contains(&problem.at)));
            }
        }
        problems.sort_by_key(|problem| (problem.at.start, problem.at.end));
        problems.truncate(PROBLEMS_MAX);
        match workflow {
            Some(workflow) if problems.is_empty() => Ok(workflow),
            Some(_) | None => Err(self.invalid(problems)),
        }
    }

    /// As [`Source::workflow`], and the workflow that this one follows must be there as well. A failback does not ask for that:
    /// at that hour a file that is missing is no reason to stay away, as the run has its own copy.
    pub fn workflow_with_followed(&self, registry: &Registry) -> Result<Arc<Workflow>, Failure> {
        let workflow = self.workflow(registry)?;
        match &workflow.def().follows {
            Some(follows) if self.followed(&workflow).is_none() => {
                let file = self.path.with_file_name(&follows.value);
                let problem =
                    Problem::new(follows.at.clone(), format!("the workflow that this one follows cannot be read: {}", file.display()));
                Err(self.invalid(vec![problem.help(format!("`wf check {}` tells more", file.display()))]))
            }
            Some(_) | None => Ok(workflow),
        }
    }

    /// Reads the workflow that this one follows, from the file beside it, if it can be read.
    pub fn followed(&self, workflow: &Workflow) -> Option<Workflow> {
        let name = &workflow.def().follows.as_ref()?.value;
        let text = String::from_utf8(bytes(&self.path.with_file_name(name)).ok()?).ok()?;
        Workflow::parse_leniently(&text).0
    }
}

/// Reads a file, up to the limit only: what is no regular file does not tell its length, and may have no end.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > FILE_LEN_MAX as u64 {
        return Err(io::Error::other(format!("it is {len} bytes long, more than the {FILE_LEN_MAX} allowed")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_LEN_MAX {
        return Err(io::Error::other(format!("it is longer than the {FILE_LEN_MAX} bytes allowed")));
    }
    Ok(bytes)
}
