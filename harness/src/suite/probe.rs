//! Honesty probes: before any verdict, is the subject reached, and would a failure be seen?
//! (edge; what a probe proves is decided by the pure functions at the end)

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use mock_driver::journal;
use mock_driver::stream::Stream;

use crate::capability::Capability;
use crate::case::CaseDir;
use crate::finding::Shape;
use crate::history::History;
use crate::outcome::{Ending, Status};
use crate::scenario::{self, Scenario};
use crate::suite::play::{Attempt, PlayRequest, play_once};
use crate::suite::{OutDir, Stop, Subject};
use crate::trace::{Event, Exit};

/// When a probe's processes are killed.
const PROBE_DEADLINE: Duration = Duration::from_secs(20);

/// The record that the canary leaves out.
const MISSING: u64 = 7;

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
    fn new(ending: Ending, text: impl Into<String>) -> Self {
        Self { ending, text: text.into() }
    }
}

/// Plays the probes side by side. The folders of failed ones are kept as bundles.
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
        Planned::new(Kind::Canary, SMOKE, subject, Some((Stream::Stdout, MISSING))),
    ];
    if let Some(absent) = &absent {
        planned.push(Planned::new(Kind::Absent, ABSENT, absent, None));
    }
    let played = thread::scope(|scope| {
        let running: Vec<_> = planned
            .iter()
            .map(|one| scope.spawn(|| one.play(reexec, out, seed)))
            .collect();
        running.into_iter().map(|one| one.join().ok()).collect::<Option<Vec<_>>>()
    });
    let Some(played) = played else {
        return Err(ProbeFailure::new(Ending::SuiteBug, "a probe panicked"));
    };
    if stop.is_asked() {
        return Err(ProbeFailure::new(Ending::Interrupted, "interrupted while the probes ran"));
    }
    let mut facts = Vec::new();
    let mut failures: Vec<(Kind, ProbeFailure)> = Vec::new();
    for (planned, (attempt, dir)) in planned.iter().zip(&played) {
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
        None => Ok(Probe { facts }),
        Some((_, failure)) => Err(failure),
    }
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
    fn new(
        kind: Kind,
        text: &str,
        subject: &'a Subject,
        leave_out: Option<(Stream, u64)>,
    ) -> Self {
        let scenario = scenario::expand(text, "probe").ok().and_then(|mut all| all.pop());
        Self { kind, scenario, subject, leave_out }
    }

    fn play(&self, reexec: &[String], out: &OutDir, seed: u64) -> (Attempt, CaseDir) {
        let name = format!("probe/{:?}", self.kind).to_lowercase();
        let broken = |text: String| Attempt {
            status: Status::ErrorSuite,
            verdict: crate::outcome::Verdict { suite_errors: vec![text], ..Default::default() },
            seconds: 0.0,
            history: None,
        };
        let dir = match out.case_dir(&name, 1) {
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
            deadline: PROBE_DEADLINE,
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
            Self::Canary => loss_is_seen(attempt),
        }
    }
}

/// Keeps the folder and says where it is.
fn keep(mut failure: ProbeFailure, kind: Kind, dir: &CaseDir, out: &OutDir) -> ProbeFailure {
    let name = format!("probe/{kind:?}").to_lowercase();
    if let Ok(bundle) = out.keep(dir, &name) {
        failure.text.push_str(&format!("\nLook at {}", bundle.display()));
    }
    failure
}

/// The subject with a command in the task's place that can't be started; none if the driver is not
/// given the task's command line.
fn without_task(subject: &Subject) -> Option<Subject> {
    let mut changed = subject.clone();
    for word in &mut changed.driver {
        *word = word.replace("{task}", NO_SUCH_COMMAND);
    }
    (changed.driver != subject.driver).then_some(changed)
}

fn reference_passes(attempt: &Attempt) -> Result<String, ProbeFailure> {
    if attempt.status == Status::Pass {
        return Ok("the bundled pair passes the smoke case on this machine".to_owned());
    }
    let seen = first_problem(attempt);
    Err(ProbeFailure::new(
        Ending::Unfit,
        format!(
            "this machine is unfit: not even the bundled driver and logmon pass the smoke case \
             here ({seen}); `harness doctor` says more"
        ),
    ))
}

fn exit_is_seen(
    attempt: &Attempt,
    dir: &CaseDir,
    subject: &Subject,
) -> Result<String, ProbeFailure> {
    let bad = |text: String| Err(ProbeFailure::new(Ending::BadSubject, text));
    let Some(history) = &attempt.history else {
        return Err(ProbeFailure::new(Ending::SuiteBug, first_problem(attempt)));
    };
    if let Some(text) = logmon_trouble(history) {
        return bad(text);
    }
    let started = history.task.values().flatten().any(|line| match line.event {
        journal::Event::Hello { .. } => true,
        journal::Event::Wrote { .. }
        | journal::Event::Blocked { .. }
        | journal::Event::Error { .. }
        | journal::Event::Opened { .. }
        | journal::Event::Closed { .. }
        | journal::Event::Gate { .. }
        | journal::Event::Mark { .. }
        | journal::Event::Exit { .. } => false,
    });
    let printed = printed(dir, "driver", 0);
    match (driver_end(history), started) {
        (DriverEnd::NeverStarted(why), _) => bad(format!(
            "the driver can't be started: {why}; check the first word of --driver, and that it is \
             an executable in PATH or a path"
        )),
        (DriverEnd::Overdue, false) => bad(format!(
            "the driver never started the task and never ended by itself; {printed}. It must run \
             the command line that stands for {{task}} and exit with its status"
        )),
        (DriverEnd::Overdue, true) => bad(format!(
            "the driver started the task but did not end with it; {printed}. It must exit with \
             the task's status (128+n for signal n) within 5 s of the task's end"
        )),
        (DriverEnd::Exit(exit), false) => bad(format!(
            "the driver {} without starting the task; {printed}. Is {{task}} where your driver \
             expects the command line to run? Without a shell, redirections need \
             --driver \"sh -c '… {{task}} …'\"",
            describe(exit)
        )),
        (DriverEnd::Exit(exit), true) if exit.as_status() != 42 => bad(format!(
            "the task exited 42, and the driver {}; {printed}. The driver must exit with the \
             task's status (128+n for signal n)",
            describe(exit)
        )),
        (DriverEnd::Exit(_), true) => {
            claim_holds(history, subject)?;
            Ok("a task that exits 42 is seen to exit 42".to_owned())
        }
        (DriverEnd::Unknown, _) => {
            Err(ProbeFailure::new(Ending::SuiteBug, first_problem(attempt)))
        }
    }
}

/// Compares the claim `forwards` with who held a FIFO's write end while the task waited.
fn claim_holds(history: &History, subject: &Subject) -> Result<(), ProbeFailure> {
    let mut roles = BTreeSet::new();
    for entry in &history.entries {
        if let Event::Holders { holders, .. } = &entry.event {
            roles.extend(holders.iter().filter(|one| one.writes).map(|one| one.role.as_str()));
        }
    }
    let declared = subject.capabilities.contains(&Capability::Forwards);
    let by_task = roles.contains("task");
    if declared && by_task {
        return Err(ProbeFailure::new(
            Ending::BadSubject,
            "forwards is declared, but the task itself holds a FIFO's write end: the driver hands \
             the FIFO to the task; leave out --capability forwards",
        ));
    }
    if !declared && !by_task && roles.contains("driver") {
        return Err(ProbeFailure::new(
            Ending::BadSubject,
            "the driver's own process holds the FIFOs' write ends and the task does not: it \
             copies the output itself; add --capability forwards, so that the rules for \
             forwarding drivers are checked",
        ));
    }
    Ok(())
}

fn absence_is_seen(attempt: &Attempt, dir: &CaseDir) -> Result<String, ProbeFailure> {
    let bad = |text: String| Err(ProbeFailure::new(Ending::BadSubject, text));
    let Some(history) = &attempt.history else {
        return Err(ProbeFailure::new(Ending::SuiteBug, first_problem(attempt)));
    };
    let printed = printed(dir, "driver", 0);
    match driver_end(history) {
        DriverEnd::Exit(Exit::Code(0)) => bad(format!(
            "the driver exited 0 for a task that does not exist; {printed}. It must fail when the \
             task can't be started (127 is usual)"
        )),
        DriverEnd::Overdue => bad(format!(
            "the driver never ended for a task that does not exist; {printed}. It must fail when \
             the task can't be started (127 is usual)"
        )),
        // That it can't be started at all is told by the exit probe.
        DriverEnd::Exit(_) | DriverEnd::NeverStarted(_) => {
            Ok("a task that does not exist is seen to fail".to_owned())
        }
        DriverEnd::Unknown => Err(ProbeFailure::new(Ending::SuiteBug, first_problem(attempt))),
    }
}

fn loss_is_seen(attempt: &Attempt) -> Result<String, ProbeFailure> {
    let findings = &attempt.verdict.findings;
    let lost: Vec<_> =
        findings.iter().filter(|one| one.stream == Some(Stream::Stdout)).collect();
    let exact = lost.len() == 1
        && lost.iter().all(|one| one.shape == Shape::LostMiddle)
        && lost.iter().any(|one| names_record(&one.headline, &one.details));
    if exact {
        return Ok(format!("canary seen (record {MISSING} left out, reported as lost)"));
    }
    let seen = if findings.is_empty() { "nothing".to_owned() } else { first_problem(attempt) };
    Err(ProbeFailure::new(
        Ending::Blind,
        format!(
            "the suite can't see a missing line through this subject: the task left out record \
             {MISSING} of stdout, and what was reported is: {seen}. No verdict would be worth \
             anything. Does the driver or logmon change the bytes on their way?"
        ),
    ))
}

/// Whether the missing record's number stands there as a number of its own.
fn names_record(headline: &str, details: &[String]) -> bool {
    let wanted = MISSING.to_string();
    std::iter::once(headline)
        .chain(details.iter().map(String::as_str))
        .any(|text| text.split(|c: char| !c.is_ascii_digit()).any(|number| number == wanted))
}

enum DriverEnd {
    NeverStarted(String),
    Exit(Exit),
    Overdue,
    Unknown,
}

fn driver_end(history: &History) -> DriverEnd {
    let events = || history.entries.iter().map(|entry| &entry.event);
    // No probe's plan stops the driver: that is done at the end, to one that has not ended.
    let overdue = events()
        .any(|event| matches!(event, Event::DriverOverdue { .. } | Event::DriverStopAsked { .. }));
    if overdue {
        return DriverEnd::Overdue;
    }
    let exit = events().find_map(|event| {
        if let Event::DriverExited { exit, .. } = event { Some(*exit) } else { None }
    });
    if let Some(exit) = exit {
        return DriverEnd::Exit(exit);
    }
    let started = events().any(|event| matches!(event, Event::DriverStarted { .. }));
    let error = events().find_map(|event| {
        if let Event::SuiteError { text } = event { Some(text.clone()) } else { None }
    });
    match (started, error) {
        (false, Some(why)) => DriverEnd::NeverStarted(why),
        (true, _) | (false, None) => DriverEnd::Unknown,
    }
}

/// What is wrong with logmon, if it did not get ready.
fn logmon_trouble(history: &History) -> Option<String> {
    let hint = "It must print the line `ready` once it reads both FIFOs, and run until SIGTERM";
    let mut ready = false;
    for entry in &history.entries {
        match &entry.event {
            Event::LogmonReady { .. } => ready = true,
            Event::LogmonNotReady { within_ms, stderr, .. } => {
                return Some(format!(
                    "logmon was not ready within {within_ms} ms{}. {hint}",
                    said(stderr)
                ));
            }
            Event::LogmonExited { exit, asked: false, stderr, .. } if !ready => {
                return Some(format!(
                    "logmon {} before it was ready{}. {hint}",
                    describe(*exit),
                    said(stderr)
                ));
            }
            Event::SuiteError { text } if !ready && text.contains("logmon") => {
                return Some(format!(
                    "logmon can't be started: {text}; check the first word of --logmon"
                ));
            }
            _ => {}
        }
    }
    None
}

fn said(text: &str) -> String {
    match first_line(text) {
        Some(line) => format!("; on stderr it said `{line}`"),
        None => "; it said nothing on stderr".to_owned(),
    }
}

/// What a program printed: the first line of each stream, as a clause.
fn printed(dir: &CaseDir, program: &str, number: u32) -> String {
    let first = |stream: Stream| {
        let bytes = read_start(&dir.output(program, number, stream));
        match first_line(&String::from_utf8_lossy(&bytes)) {
            Some(line) => format!("`{line}`"),
            None => "nothing".to_owned(),
        }
    };
    format!("it printed {} on stdout and {} on stderr", first(Stream::Stdout), first(Stream::Stderr))
}

/// At most 4 KiB of a file.
fn read_start(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // A file that can't be read shows as empty.
        drop(file.take(4096).read_to_end(&mut bytes));
    }
    bytes
}

fn first_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(120).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    Some(short)
}

fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited {code}"),
        Exit::Signal(signal) => format!("was killed by signal {signal}"),
    }
}

fn first_problem(attempt: &Attempt) -> String {
    let verdict = &attempt.verdict;
    let finding = verdict.findings.first().map(|one| format!("{}: {}", one.shape, one.headline));
    verdict
        .suite_errors
        .first()
        .cloned()
        .or(finding)
        .or_else(|| verdict.unmet.first().cloned())
        .unwrap_or_else(|| "nothing was wrong".to_owned())
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
    fn the_missing_record_must_be_named_by_its_own_number() {
        assert!(names_record("1 record lost: 7", &[]));
        assert!(names_record("1 record lost", &["received 0…6, 8…19".into(), "missing 7".into()]));
        assert!(!names_record("17 records lost, 70 bytes", &[]));
    }

    #[test]
    fn a_driver_that_is_not_given_the_task_is_not_asked_to_run_a_missing_one() {
        let mut subject = Subject::bundled();
        assert!(without_task(&subject).is_some());
        subject.driver = vec!["play".into(), "{script}".into()];
        assert!(without_task(&subject).is_none());
    }
}
