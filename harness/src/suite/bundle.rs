//! A bundle: the kept folder of a played case, read and judged again. (edge)

use std::fs;
use std::path::Path;

use crate::case::CaseDir;
use crate::history::History;
use crate::judge;
use crate::outcome::Verdict;
use crate::runner::{self, LoadError};

/// What a bundle holds, and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder.
    pub dir: CaseDir,
    /// What happened.
    pub history: History,
    /// What today's judge says. What kept the suite from playing the case to its end is taken from
    /// the verdict of then, because not all of it stands in the trace.
    pub verdict: Verdict,
    /// What the judge said when the case was played; none if that can't be read.
    pub then: Option<Verdict>,
}

impl Bundle {
    /// Reads a bundle and judges it. Nothing is written.
    ///
    /// # Errors
    /// The folder is no bundle, is one of another version, or a file of it can't be read.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let dir = CaseDir::new(path);
        let history = runner::load(&dir)?;
        let then: Option<Verdict> = fs::read(dir.verdict())
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        let mut verdict = judge::judge(&history);
        let errors_then = then.iter().flat_map(|then| &then.suite_errors);
        for error in errors_then {
            if !verdict.suite_errors.contains(error) {
                verdict.suite_errors.push(error.clone());
            }
        }
        Ok(Self {
            dir,
            history,
            verdict,
            then,
        })
    }
}
