//! Honesty probes: before any verdict, is the subject reached, and would a failure be seen?
//! (edge)

use std::thread;
use std::time::Duration;

use mock_driver::stream::Stream;

use crate::adapter::AdapterKind;
use crate::case::{CaseDir, ReadySign};
use crate::outcome::{Ending, Status};
use crate::scenario::{self, Scenario};
use crate::suite::honesty::{
    MISSING, absence_is_seen, exit_is_seen, loss_is_seen, reference_passes,
};
use crate::suite::play::{Attempt, PlayRequest, play_once};
use crate::suite::{OutDir, Stop, Subject};
use crate::trace::Event;

/// When a probe's processes are killed.
const PROBE_DEADLINE: Duration = Duration::from_secs(20);

/// A command that no machine has.
const NO_SUCH_COMMAND: &str = "/nonexistent/harness-probe-no-such-program";

/// Writes ten records, waits until it was looked at, and exits 42.
const EXIT: &str = r#"
id = "life/probe-exit"
title = "A task that exits 42 is seen to exit 42."
rules = ["LIFE-11"]
[tasks.main]
exit_code = 42
step = [
  { do = "records", stream = "stdout", count = 10 },
  { do = "records", stream = "stderr", count = 10 },
  { do = "gate", name = "seen" },
]
[[plan]]
do = "start-logmon"
[[plan]]
do = "start-task"
[[plan]]
do = "await"
until = "at-gate"
gate = "seen"
within_ms = 8000
[[plan]]
do = "await"
until = "writer-holds"
within_ms = 2000
[[plan]]
do = "release"
gate = "seen"
[[plan]]
do = "await-exit"
within_ms = 8000
"#;

/// Starts a task that can't be started.
const ABSENT: &str = r#"
id = "life/probe-absent"
title = "A task that does not exist is not reported as a success."
rules = ["LIFE-11"]
[tasks.main]
step = [{ do = "records", stream = "stdout", count = 1 }]
[[plan]]
do = "start-logmon"
[[plan]]
do = "start-task"
[[plan]]
do = "await-exit"
within_ms = 8000
"#;

/// Twenty records on each stream; for the canary, one of them is left out.
const SMOKE: &str = r#"
id = "data/probe-smoke"
title = "Everything that a task writes arrives."
rules = ["DATA-1"]
[tasks.main]
step = [
  { do = "records", stream = "stdout", count = 20 },
  { do = "records", stream = "stderr", count = 20 },
]
[[plan]]
do = "start-logmon"
[[plan]]
do = "start-task"
[[plan]]
do = "await-exit"
within_ms = 8000
"#;

/// What the probes found, if the run may go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// One sentence per probe, for the report.
    pub facts: Vec<String>,
    /// What tells that the subject's logmon is ready.
    pub ready_sign: ReadySign,
}

/// Why no verdict can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFailure {
    /// How the run ends.
    pub ending: Ending,
    /// What was seen and what to do, as paragraphs.
    pub text: String,
}

impl ProbeFailure {
    pub(super) fn new(ending: Ending, text: impl Into<String>) -> Self {
        Self {
            ending,
            text: text.into(),
        }
    }
}

/// Plays the probes side by side, and finds out what tells that the subject's logmon is ready: the line, if it
/// came once. The folders of failed ones are kept as bundles.
///
/// # Errors
/// The gravest reason why a verdict on this subject, or on this machine, would be worth nothing.
pub fn probe(
    subject: &Subject,
    reexec: &[String],
    out: &OutDir,
    seed: u64,
    stop: &Stop,
) -> Result<Probe, ProbeFailure> {
    let reference = Subject::bundled();
    let absent = without_task(subject);
    let mut planned = vec![
        Planned::new(Kind::Reference, SMOKE, &reference, None),
        Planned::new(Kind::Exit, EXIT, subject, None),
        Planned::new(
            Kind::Canary,
            SMOKE,
            subject,
            Some((Stream::Stdout, MISSING)),
        ),
    ];
    if let Some(absent) = &absent {
        planned.push(Planned::new(Kind::Absent, ABSENT, absent, None));
    }
    let played = thread::scope(|scope| {
        let running: Vec<_> = planned
            .iter()
            .map(|one| scope.spawn(|| one.play(reexec, out, seed)))
            .collect();
        running
            .into_iter()
            .map(|one| one.join().ok())
            .collect::<Option<Vec<_>>>()
    });
    let Some(played) = played else {
        return Err(ProbeFailure::new(Ending::SuiteBug, "a probe panicked"));
    };
    if stop.is_asked() {
        return Err(ProbeFailure::new(
            Ending::Interrupted,
            "interrupted while the probes ran",
        ));
    }
    let mut facts = Vec::new();
    let mut ready_sign = subject.ready_sign;
    let mut failures: Vec<(Kind, ProbeFailure)> = Vec::new();
    for (planned, (attempt, dir)) in planned.iter().zip(&played) {
        if planned.kind != Kind::Reference && ready_sign != ReadySign::Line {
            ready_sign = seen_sign(attempt).unwrap_or(ready_sign);
        }
        match planned.kind.judge(attempt, dir, subject) {
            Ok(fact) => {
                facts.push(fact);
                out.discard(dir);
            }
            Err(failure) => failures.push((planned.kind, keep(failure, planned.kind, dir, out))),
        }
    }
    // A machine on which not even the reference works says nothing of the subject; and a subject
    // that does not start is no proof that the suite is blind.
    failures.sort_by_key(|(kind, _)| *kind);
    match failures.into_iter().next() {
        None => Ok(Probe { facts, ready_sign }),
        Some((_, failure)) => Err(failure),
    }
}

fn seen_sign(attempt: &Attempt) -> Option<ReadySign> {
    let mut entries = attempt.history.iter().flat_map(|one| &one.entries);
    entries.find_map(|entry| {
        if let Event::LogmonReady { sign, .. } = entry.event {
            Some(sign)
        } else {
            None
        }
    })
}

/// Which probe; the order is the order in which a failure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Reference,
    Exit,
    Absent,
    Canary,
}

struct Planned<'a> {
    kind: Kind,
    scenario: Option<Scenario>,
    subject: &'a Subject,
    leave_out: Option<(Stream, u64)>,
}

impl<'a> Planned<'a> {
    fn new(kind: Kind, text: &str, subject: &'a Subject, leave_out: Option<(Stream, u64)>) -> Self {
        let scenario = scenario::expand(text, "probe")
            .ok()
            .and_then(|mut all| all.pop());
        Self {
            kind,
            scenario,
            subject,
            leave_out,
        }
    }

    fn play(&self, reexec: &[String], out: &OutDir, seed: u64) -> (Attempt, CaseDir) {
        let broken = |text: String| Attempt {
            status: Status::ErrorSuite,
            verdict: crate::outcome::Verdict {
                suite_errors: vec![text],
                ..Default::default()
            },
            seconds: 0.0,
            history: None,
        };
        let dir = match out.case_dir() {
            Ok(dir) => dir,
            Err(error) => return (broken(error.to_string()), CaseDir::new("")),
        };
        let Some(scenario) = &self.scenario else {
            return (broken("the probe's scenario can't be read".to_owned()), dir);
        };
        let request = PlayRequest {
            scenario,
            subject: self.subject,
            seed,
            attempt: 1,
            reexec,
            leave_out: self.leave_out,
            strace: false,
            deadline: PROBE_DEADLINE,
            hold: None,
        };
        (play_once(&request, &dir), dir)
    }
}

impl Kind {
    fn judge(
        self,
        attempt: &Attempt,
        dir: &CaseDir,
        subject: &Subject,
    ) -> Result<String, ProbeFailure> {
        match self {
            Self::Reference => reference_passes(attempt),
            Self::Exit => exit_is_seen(attempt, dir, subject),
            Self::Absent => absence_is_seen(attempt, dir),
            Self::Canary => loss_is_seen(attempt, dir),
        }
    }
}

/// Keeps the folder and says where it is.
fn keep(mut failure: ProbeFailure, kind: Kind, dir: &CaseDir, out: &OutDir) -> ProbeFailure {
    let name = format!("probe/{kind:?}").to_lowercase();
    if let Ok(bundle) = out.keep(dir, &name) {
        failure
            .text
            .push_str(&format!("\nLook at {}", bundle.display()));
    }
    failure
}

/// The subject with a command in the task's place that can't be started; none if the driver is not
/// given the task's command line.
fn without_task(subject: &Subject) -> Option<Subject> {
    let mut changed = subject.clone();
    if subject.adapter == AdapterKind::Stdio {
        changed.instead_of_task = Some(NO_SUCH_COMMAND.to_owned());
        return Some(changed);
    }
    for word in &mut changed.driver {
        *word = word.replace("{task}", NO_SUCH_COMMAND);
    }
    (changed.driver != subject.driver).then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_is_a_scenario() {
        for text in [EXIT, ABSENT, SMOKE] {
            scenario::expand(text, "probe").unwrap();
        }
    }

    #[test]
    fn a_driver_that_is_not_given_the_task_is_not_asked_to_run_a_missing_one() {
        let mut subject = Subject::bundled();
        assert!(without_task(&subject).is_some());
        subject.driver = vec!["play".into(), "{script}".into()];
        assert!(without_task(&subject).is_none());
    }
}
