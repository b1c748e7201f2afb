//! The report as JSON. (core)
//!
//! `report.json` is one [`Report`]; `results.jsonl` is one [`CaseResult`] a line, in the order in
//! which the cases ended. A reader accepts fields that it does not know; a field that is here in
//! one version keeps its meaning in all later ones with the same number. `docs/report.schema.json` says
//! which fields there are; a test fails for one that it does not know.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::adapter::AdapterKind;
use crate::expected::Outcome;
use crate::finding::Shape;
use crate::outcome::Ending;
use crate::serving::Serving;
use crate::suite::{CaseResult, Counts, Fewer, Shard, SweptCase};

/// The version of the form.
pub const REPORT_VERSION: u32 = 1;

/// Everything about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Name and version of the suite.
    pub suite: String,
    /// Whether the run came to its end: false while it goes on, and for ever if it was killed.
    pub complete: bool,
    /// How the run ended; none until it has.
    pub ending: Option<Ending>,
    /// The exit code; none until the run has ended.
    pub exit_code: Option<u8>,
    /// Why no verdict was given, or what went wrong in the suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// How often each case was played; more than 1 only on purpose.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub stress: u32,
    /// The configuration that was read, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The file of expected failures, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expectations: Option<ExpectationFacts>,
    /// Cases that were to be played and were not begun, because the time was up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_begun: Vec<String>,
    /// Cases that the run before played and this one did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fewer: Vec<Fewer>,
    /// Whether cases were left out, or were not the shipped ones: then nothing is said about
    /// conformance.
    pub filtered: bool,
    /// Which part of the cases was to be played; none if all were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardFacts>,
    /// Out of how many shards this report was put together; none for a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_shards: Option<u32>,
    /// The cases in which logmon was killed behind one record after the other; empty for other runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<SweptCase>,
    /// Milliseconds since the epoch at which the run began.
    pub began_unix_ms: u64,
    /// Seconds so far.
    pub seconds: f64,
    /// What was judged.
    pub subject: SubjectFacts,
    /// What the honesty probes found, one sentence each.
    pub probes: Vec<String>,
    /// How many cases have which status.
    pub counts: Counts,
    /// The cases that are settled, in the order of the suite.
    pub cases: Vec<CaseResult>,
}

/// The file of expected failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationFacts {
    /// Its path.
    pub file: String,
    /// How many entries it has.
    pub entries: usize,
    /// Those that stand for no case which applies to the subject.
    pub stale: Vec<StaleEntry>,
    /// The command that makes the file agree with this report.
    pub renew: String,
    /// All entries, in the order of the file: of the reports of shards only the merged one can tell which
    /// are stale.
    #[serde(default)]
    pub listed: Vec<ListedEntry>,
}

/// An entry of the file of expected failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedEntry {
    /// The case or glob.
    pub case: String,
    /// The line of the file, from 1.
    pub line: usize,
    /// What is expected.
    pub outcome: Outcome,
    /// The damage that it excuses.
    pub shapes: BTreeSet<Shape>,
    /// The entry's reason.
    pub reason: String,
    /// The ids of the cases that it stands for.
    pub covers: Vec<String>,
}

/// An entry that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleEntry {
    /// The case or glob.
    pub case: String,
    /// The line of the file, from 1.
    pub line: usize,
    /// The entry's reason.
    pub reason: String,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_once(stress: &u32) -> bool {
    *stress == 1
}

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectFacts {
    /// In one line.
    pub name: String,
    /// The driver's command template.
    pub driver: Vec<String>,
    /// How it is reached.
    #[serde(default, skip_serializing_if = "AdapterKind::is_command")]
    pub adapter: AdapterKind,
    /// logmon's command template.
    pub logmon: Vec<String>,
    /// Its template for the cases that need `keeps-descriptors`, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_logmon: Option<Vec<String>>,
    /// How logmon is started for many tasks, if it can serve many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// Whose rules are judged: `driver`, `logmon`, `host`.
    pub under_test: Vec<String>,
    /// What driver and logmon declare, and what the machine allows.
    pub capabilities: Vec<String>,
}

/// Which part of the cases a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFacts {
    /// The part.
    #[serde(flatten)]
    pub shard: Shard,
    /// Whether all parts together are every shipped case: nothing is left out but what the other parts
    /// play.
    pub whole: bool,
}

impl Report {
    /// The report's JSON text, with a final newline.
    ///
    /// # Errors
    /// Never for a report that this program made; serde's signature allows it.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}
