//! What a probe's history proves: whether the subject is honest, and a failure would be seen.
//! (edge: reads what the subject printed)

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mock_driver::stream::Stream;

use crate::adapter::DriverPlugin;
use crate::capability::Capability;
use crate::case::CaseDir;
use crate::finding::{Finding, Shape};
use crate::history::History;
use crate::outcome::{Ending, Status};
use crate::suite::play::Attempt;
use crate::suite::{ProbeFailure, Subject};
use crate::trace::adapter::{AdapterEvent, UNANSWERED};
use crate::trace::{Event, Exit};

/// The record that the canary leaves out.
pub(super) const MISSING: u64 = 7;

pub(super) fn reference_passes(attempt: &Attempt) -> Result<String, ProbeFailure> {
    if attempt.status == Status::Pass {
        return Ok("the bundled pair passes the smoke case on this machine".to_owned());
    }
    let seen = problem_or_none(attempt);
    Err(ProbeFailure::new(
        Ending::Unfit,
        format!(
            "this machine is unfit: not even the bundled driver and logmon pass the smoke case \
             here ({seen}); `harness doctor` says more"
        ),
    ))
}

pub(super) fn exit_is_seen(
    attempt: &Attempt,
    dir: &CaseDir,
    subject: &Subject,
) -> Result<String, ProbeFailure> {
    let bad = |text: String| Err(ProbeFailure::new(Ending::BadSubject, text));
    let Some(history) = &attempt.history else {
        return Err(ProbeFailure::new(
            Ending::SuiteBug,
            problem_or_none(attempt),
        ));
    };
    let trouble = logmon_trouble(history)
        .or_else(|| broken_protocol(history))
        .or_else(|| refused_start(history));
    if let Some(text) = trouble {
        return bad(text);
    }
    let printed = format!("{}{}", printed(dir, "driver", 0), unanswered(history));
    let option = subject.adapter.option();
    match (driver_end(history), task_started(history)) {
        (DriverEnd::NeverStarted(why), _) => bad(format!(
            "the driver can't be started: {why}; check the first word of {option}, and that it is \
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
        (DriverEnd::Unknown, _) => Err(ProbeFailure::new(
            Ending::SuiteBug,
            problem_or_none(attempt),
        )),
    }
}

/// Whether the task told of its start.
fn task_started(history: &History) -> bool {
    history
        .task
        .values()
        .flatten()
        .any(|line| line.event.pid().is_some())
}

/// Compares the claim `forwards` with who held a FIFO's write end while the task waited.
fn claim_holds(history: &History, subject: &Subject) -> Result<(), ProbeFailure> {
    let mut roles = BTreeSet::new();
    for entry in &history.entries {
        if let Event::Holders { holders, .. } = &entry.event {
            roles.extend(
                holders
                    .iter()
                    .filter(|one| one.writes)
                    .map(|one| one.role.as_str()),
            );
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

pub(super) fn absence_is_seen(attempt: &Attempt, dir: &CaseDir) -> Result<String, ProbeFailure> {
    let bad = |text: String| Err(ProbeFailure::new(Ending::BadSubject, text));
    let Some(history) = &attempt.history else {
        return Err(ProbeFailure::new(
            Ending::SuiteBug,
            problem_or_none(attempt),
        ));
    };
    if let Some(text) = broken_protocol(history) {
        return bad(text);
    }
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
        DriverEnd::Unknown => Err(ProbeFailure::new(
            Ending::SuiteBug,
            problem_or_none(attempt),
        )),
    }
}

pub(super) fn loss_is_seen(attempt: &Attempt, dir: &CaseDir) -> Result<String, ProbeFailure> {
    let findings = &attempt.verdict.findings;
    if tells_the_loss(findings) {
        return Ok(format!(
            "canary seen (record {MISSING} left out, reported as lost)"
        ));
    }
    if let Some(history) = &attempt.history {
        let printed = || format!("{}{}", printed(dir, "driver", 0), unanswered(history));
        let bad = |text: String| Err(ProbeFailure::new(Ending::BadSubject, text));
        if let Some(text) = broken_protocol(history).or_else(|| refused_start(history)) {
            return bad(text);
        }
        match (driver_end(history), task_started(history)) {
            (DriverEnd::Overdue, started) => {
                return bad(format!(
                    "the driver was overdue in the canary run: it {} and did not end by itself; \
                     {}. It must exit with the task's status within 5 s of the task's end",
                    if started {
                        "started the task"
                    } else {
                        "never started the task"
                    },
                    printed()
                ));
            }
            (DriverEnd::Exit(exit), false) => {
                return bad(format!(
                    "the task never started in the canary run: the driver {}; {}. It must run \
                     the command line that stands for {{task}} each time",
                    describe(exit),
                    printed()
                ));
            }
            (DriverEnd::Exit(_), true) | (DriverEnd::NeverStarted(_) | DriverEnd::Unknown, _) => {}
        }
    }
    let seen = if findings.is_empty() {
        match first_problem(attempt) {
            Some(problem) => format!("nothing of it ({problem})"),
            None => "nothing".to_owned(),
        }
    } else {
        let all: Vec<String> = findings.iter().map(told).collect();
        all.join("; ")
    };
    Err(ProbeFailure::new(
        Ending::Blind,
        format!(
            "the suite can't see a missing line through this subject: the task left out record \
             {MISSING} of stdout, and what was reported is: {seen}. No verdict would be worth \
             anything. Does the driver or logmon change the bytes on their way?"
        ),
    ))
}

/// Whether exactly one loss on stdout is told, and it is that of the missing record.
fn tells_the_loss(findings: &[Finding]) -> bool {
    let mut losses = findings
        .iter()
        .filter(|one| one.stream == Some(Stream::Stdout) && one.shape.is_loss());
    match (losses.next(), losses.next()) {
        (Some(one), None) => {
            matches!(one.shape, Shape::LostMiddle | Shape::LostPipeContent)
                && names_record(&one.headline, &one.details)
        }
        (Some(_), Some(_)) | (None, _) => false,
    }
}

/// Whether the missing record's number stands there as a number of its own.
fn names_record(headline: &str, details: &[String]) -> bool {
    let wanted = MISSING.to_string();
    std::iter::once(headline)
        .chain(details.iter().map(String::as_str))
        .any(|text| {
            text.split(|c: char| !c.is_ascii_digit())
                .any(|number| number == wanted)
        })
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
    let overdue = events().any(|event| {
        matches!(
            event,
            Event::DriverOverdue { .. } | Event::DriverStopAsked { .. }
        )
    });
    if overdue {
        return DriverEnd::Overdue;
    }
    let exit = events().find_map(|event| {
        if let Event::DriverExited { exit, .. } = event {
            Some(*exit)
        } else {
            None
        }
    });
    if let Some(exit) = exit {
        return DriverEnd::Exit(exit);
    }
    let started = events().any(|event| matches!(event, Event::DriverStarted { .. }));
    let error = events().find_map(|event| {
        if let Event::SuiteError { text } = event {
            Some(text.clone())
        } else {
            None
        }
    });
    match (started, error) {
        (false, Some(why)) => DriverEnd::NeverStarted(why),
        (true, _) | (false, None) => DriverEnd::Unknown,
    }
}

/// How a driver that is spoken to broke the protocol, with the lines that show it.
fn broken_protocol(history: &History) -> Option<String> {
    history.entries.iter().find_map(|entry| {
        if let Event::Adapter(AdapterEvent::Broke { text, lines, .. }) = &entry.event {
            let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
            Some(format!(
                "the driver broke the protocol: {text}{lines}\n`{}` tries it alone",
                tries(history)
            ))
        } else {
            None
        }
    })
}

/// Why a driver that is spoken to answered the start of a task that it can start with an error.
fn refused_start(history: &History) -> Option<String> {
    history.entries.iter().find_map(|entry| {
        if let Event::Adapter(AdapterEvent::Refused { text, .. }) = &entry.event {
            Some(format!(
                "the driver did not start the task: {text}\n`{}` tries it alone",
                tries(history)
            ))
        } else {
            None
        }
    })
}

/// What a driver that is spoken to owed when it was late, as a clause.
fn unanswered(history: &History) -> String {
    let mut events = history.entries.iter().map(|entry| &entry.event);
    let told = events.find_map(|event| {
        if let Event::Unmet { last, .. } | Event::DriverOverdue { last, .. } = event {
            last.iter().find_map(|line| line.strip_prefix(UNANSWERED))
        } else {
            None
        }
    });
    told.map_or_else(String::new, |what| format!(", and has not answered {what}"))
}

/// The command that speaks to the driver without a case.
fn tries(history: &History) -> &'static str {
    match DriverPlugin::behind(&history.case.driver) {
        Some(_) => "harness nomad doctor",
        None => "harness adapter check",
    }
}

/// What is wrong with logmon, if it did not get ready.
fn logmon_trouble(history: &History) -> Option<String> {
    let hint = "It must print the line `ready` once it reads both FIFOs, and run until SIGTERM";
    let mut is_started = false;
    let events = history.entries.iter().map(|entry| &entry.event);
    for event in events.take_while(|event| !matches!(event, Event::LogmonReady { .. })) {
        if let Event::LogmonNotReady {
            within_ms, stderr, ..
        } = event
        {
            let said = said(stderr);
            return Some(format!(
                "logmon was not ready within {within_ms} ms{said}. {hint}"
            ));
        }
        if let Event::LogmonExited {
            exit,
            asked: false,
            stderr,
            ..
        } = event
        {
            let (how, said) = (describe(*exit), said(stderr));
            return Some(format!("logmon {how} before it was ready{said}. {hint}"));
        }
        // Every probe starts logmon first; what broke off before that kept it from starting.
        if let Event::SuiteError { text } = event
            && !is_started
        {
            return Some(format!(
                "logmon can't be started: {text}; check the first word of --logmon, and that it \
                 is an executable in PATH or a path"
            ));
        }
        is_started |= matches!(event, Event::LogmonStarted { .. });
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
    format!(
        "it printed {} on stdout and {} on stderr",
        first(Stream::Stdout),
        first(Stream::Stderr)
    )
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

/// The first thing that went wrong, if anything did.
fn first_problem(attempt: &Attempt) -> Option<String> {
    let verdict = &attempt.verdict;
    verdict
        .suite_errors
        .first()
        .cloned()
        .or_else(|| verdict.findings.first().map(told))
        .or_else(|| verdict.unmet.first().cloned())
}

fn problem_or_none(attempt: &Attempt) -> String {
    first_problem(attempt).unwrap_or_else(|| "nothing was wrong".to_owned())
}

fn told(finding: &Finding) -> String {
    format!("{}: {}", finding.shape, finding.headline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_record_must_be_named_by_its_own_number() {
        assert!(names_record("1 record lost: 7", &[]));
        assert!(names_record(
            "1 record lost",
            &["received 0…6, 8…19".into(), "missing 7".into()]
        ));
        assert!(!names_record("17 records lost, 70 bytes", &[]));
    }

    fn finding(shape: Shape, stream: Stream, headline: &str) -> Finding {
        Finding {
            shape,
            rule: "DATA-1".parse().unwrap(),
            stream: Some(stream),
            headline: headline.to_owned(),
            details: vec![],
        }
    }

    fn attempt(findings: Vec<Finding>) -> Attempt {
        Attempt {
            status: Status::Fail,
            verdict: crate::outcome::Verdict {
                findings,
                ..Default::default()
            },
            seconds: 0.0,
            history: None,
        }
    }

    #[test]
    fn the_canary_is_seen_in_any_one_loss_that_names_its_record() {
        use Shape::{Late, LostMiddle, LostPipeContent, LostTail};
        let out = |shape, text: &str| finding(shape, Stream::Stdout, text);
        assert!(tells_the_loss(&[out(LostMiddle, "1 record lost: 7")]));
        assert!(tells_the_loss(&[out(LostPipeContent, "1 record lost: 7")]));
        assert!(tells_the_loss(&[
            out(Late, "the last bytes came after 3 s"),
            out(LostMiddle, "1 record lost: 7"),
        ]));
        assert!(!tells_the_loss(&[out(LostTail, "1 record lost: 7")]));
        assert!(!tells_the_loss(&[out(LostMiddle, "1 record lost: 8")]));
        assert!(!tells_the_loss(&[
            out(LostMiddle, "1 record lost: 7"),
            out(LostTail, "2 records lost"),
        ]));
        assert!(!tells_the_loss(&[finding(
            LostMiddle,
            Stream::Stderr,
            "1 record lost: 7"
        )]));
    }

    #[test]
    fn what_was_seen_in_place_of_the_canary_is_told_whole() {
        let attempt = attempt(vec![
            finding(Shape::Altered, Stream::Stdout, "bytes were changed"),
            finding(Shape::LostAll, Stream::Stderr, "nothing arrived"),
        ]);
        let failure = loss_is_seen(&attempt, &CaseDir::new("/nonexistent")).unwrap_err();
        assert_eq!(failure.ending, Ending::Blind);
        for text in ["altered: bytes were changed", "lost-all: nothing arrived"] {
            assert!(failure.text.contains(text), "{}", failure.text);
        }
    }
}
