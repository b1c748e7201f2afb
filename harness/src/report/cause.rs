//! The likely cause of a failure, as programs read it. (core)

use serde::{Deserialize, Serialize};

use crate::diagnosis::{self, Diagnosis};
use crate::history::History;
use crate::outcome::{Status, Verdict};

/// The likely cause of a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikelyCause {
    /// One sentence, without a full stop.
    pub text: String,
    /// The faulty subject of the suite's own that does the same damage.
    pub subject: String,
    /// How alike the damage is, 0.5..=1; 1 = the same.
    pub score: f64,
    /// What usually mends it, each a few words.
    pub ways_out: Vec<String>,
}

impl LikelyCause {
    /// The cause that the dictionary knows for the damage; none for what did not fail, or is known of no
    /// faulty subject.
    #[must_use]
    pub fn of(verdict: &Verdict, history: &History) -> Option<Self> {
        if verdict.status() != Status::Fail {
            return None;
        }
        diagnosis::diagnose(&verdict.findings, history).map(Self::from)
    }
}

impl From<Diagnosis> for LikelyCause {
    fn from(diagnosis: Diagnosis) -> Self {
        Self {
            text: diagnosis.cause,
            subject: diagnosis.subject.to_owned(),
            score: diagnosis.score,
            ways_out: diagnosis.ways_out,
        }
    }
}
