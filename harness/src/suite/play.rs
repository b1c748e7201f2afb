//! One attempt at one case: play it, load what is there, judge it. (edge)

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use mock_driver::stream::Stream;
use sha2::{Digest, Sha256};

use crate::case::{BUNDLE_VERSION, Case, CaseDir};
use crate::history::History;
use crate::judge;
use crate::outcome::{Status, Verdict};
use crate::runner;
use crate::scenario::Scenario;
use crate::suite::{Subject, machine};

/// What one attempt needs.
#[derive(Clone, Debug)]
pub struct PlayRequest<'a> {
    /// The case.
    pub scenario: &'a Scenario,
    /// The pair that plays it.
    pub subject: &'a Subject,
    /// Seed of everything random.
    pub seed: u64,
    /// Counted from 1; another attempt has another run id.
    pub attempt: u32,
    /// How to start this program again.
    pub reexec: &'a [String],
    /// The record that the payload leaves out, for the canary.
    pub leave_out: Option<(Stream, u64)>,
    /// Whether the system calls of driver and logmon are written down.
    pub strace: bool,
    /// When the case process is killed.
    pub deadline: Duration,
    /// Where the plan stands still, so that somebody can look. What is judged then proves nothing.
    pub hold: Option<&'a runner::Hold<'a>>,
}

/// What became of one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The status that follows from the verdict.
    pub status: Status,
    /// What the judge says.
    pub verdict: Verdict,
    /// How long the attempt took.
    pub seconds: f64,
    /// What was judged; none if it could not be played or read.
    pub history: Option<History>,
}

/// Plays a case once in its folder, which must exist, and judges it. Writes `verdict.json`.
///
/// Nothing that goes wrong is lost: what the suite can't do becomes a suite error of the verdict.
#[must_use]
pub fn play_once(request: &PlayRequest<'_>, dir: &CaseDir) -> Attempt {
    let begun = Instant::now();
    let case = Case {
        version: BUNDLE_VERSION,
        scenario: request.scenario.clone(),
        run: run_id(request.seed, &request.scenario.id, request.attempt),
        seed: request.seed,
        attempt: request.attempt,
        driver: request.subject.driver.clone(),
        adapter: request.subject.adapter,
        instead_of_task: request.subject.instead_of_task.clone(),
        logmon: request.subject.logmon_for(request.scenario).to_vec(),
        ready_sign: request.subject.ready_sign,
        serving: request
            .scenario
            .many
            .and_then(|_| request.subject.serving.clone()),
        reexec: request.reexec.to_vec(),
        driver_capabilities: request.subject.capabilities.clone(),
        leave_out: request.leave_out,
        strace: request.strace,
    };
    let played = runner::play_until(&case, dir, request.deadline, request.hold)
        .map_err(|error| error_chain(&error));
    machine::sweep();
    let loaded = runner::load(dir).map_err(|error| error_chain(&error));
    let (mut verdict, history) = match loaded {
        Ok(history) => (judge::judge(&history), Some(history)),
        Err(text) => (
            Verdict {
                suite_errors: vec![text],
                ..Verdict::default()
            },
            None,
        ),
    };
    if let Err(text) = played {
        verdict.suite_errors.insert(0, text);
    }
    if let Ok(json) = serde_json::to_string_pretty(&verdict) {
        // Only for a person who looks into the folder; the report holds the verdict too.
        drop(fs::write(dir.verdict(), json));
    }
    Attempt {
        status: verdict.status(),
        verdict,
        seconds: begun.elapsed().as_secs_f64(),
        history,
    }
}

/// The run id of an attempt: 8 hex digits that follow from seed, case and attempt.
#[must_use]
pub fn run_id(seed: u64, case: &str, attempt: u32) -> String {
    let hash = Sha256::digest(format!("{seed} {case} {attempt}"));
    hash.iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An error with its causes in one line.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
