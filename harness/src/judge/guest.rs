//! What a driver does as a guest: at paths that are no FIFOs, with the descriptors that it opens, and in a
//! folder that is not its own. (core)

use std::collections::BTreeMap;

use mock_driver::journal;
use mock_driver::stream::Stream;

use super::figures::number;
use super::rules;
use super::timeline::{Generation, Timeline};
use crate::case::log_name;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::scenario::FifoKind;
use crate::trace::{Event, LookEntry};

pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    refusals(timeline, verdict);
    for stream in Stream::BOTH {
        opened_once(timeline, stream, verdict);
    }
    by_path(timeline, verdict);
    stray_files(timeline, verdict);
}

/// What is no FIFO is refused before the task is started (FIFO-8).
fn refusals(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let what = match timeline.history.case.scenario.host.fifos {
        FifoKind::Present | FifoKind::Absent | FifoKind::Disabled => return,
        FifoKind::PlainFile => "regular files",
        FifoKind::Symlink => "symbolic links",
        FifoKind::Folder => "folders",
        FifoKind::Socket => "sockets",
    };
    for generation in &timeline.generations {
        let reported = generation.exited.map(|(_, exit)| exit.as_status());
        let did = if generation.has_task() {
            "the driver started the task"
        } else if reported == Some(0) {
            "the driver reported success"
        } else {
            continue;
        };
        verdict.findings.push(Finding {
            shape: Shape::Accepted,
            rule: rules::named(rules::FIFO_8),
            stream: None,
            headline: format!("{did} although {what} stand at both paths"),
            details: Vec::new(),
        });
    }
}

/// A write end that is closed while the task runs is opened again, or the stream is over (FIFO-7).
fn opened_once(timeline: &Timeline<'_>, of: Stream, verdict: &mut Verdict) {
    if !timeline.history.case.scenario.expect.opened_once {
        return;
    }
    for generation in &timeline.generations {
        let Some((began, ended)) = span(generation, of) else {
            continue;
        };
        // Between when the host looked last and when it saw it: all of that while the task ran.
        let closed = timeline.history.entries.iter().filter(|entry| {
            matches!(
                entry.event,
                Event::WriteEndClosed { stream, after_us }
                    if stream == of && after_us >= began && entry.at_us < ended
            )
        });
        let times = closed.count();
        if times > 0 {
            let times = match times {
                1 => "once".to_owned(),
                more => format!("{} times", number(more as u64)),
            };
            verdict.findings.push(Finding {
                shape: Shape::Reopened,
                rule: rules::named(rules::FIFO_7),
                stream: Some(of),
                headline: format!(
                    "a write end of {of} was closed {times} while the task of generation {} ran",
                    generation.number
                ),
                details: Vec::new(),
            });
        }
    }
}

/// From the task's first line of its journal to its last. A driver that plays the script itself closes its FIFOs
/// before it writes that one, each when it has no more for it, so there it is the last write to this one.
fn span(generation: &Generation<'_>, of: Stream) -> Option<(u64, u64)> {
    let began = generation.journal.first()?.at_us;
    let is_end = |line: &&journal::Line| {
        if generation.plays_itself() {
            matches!(line.event, journal::Event::Wrote { stream, .. } if stream == of)
        } else {
            line.event.exit_code().is_some()
        }
    };
    let ended = generation.journal.iter().rev().find(is_end)?.at_us;
    Some((began, ended))
}

/// `/dev/stdout` and `/dev/stderr` lead to what the task was given, and can be opened (SEC-4).
fn by_path(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let rule = rules::named(rules::SEC_4);
    if !timeline.history.case.scenario.rules.contains(&rule) {
        return;
    }
    for generation in &timeline.generations {
        for line in generation.journal {
            // A write to a pipe that nobody reads is another matter.
            let journal::Event::Error { stream, name, .. } = &line.event else {
                continue;
            };
            if name == "EPIPE" {
                continue;
            }
            verdict.findings.push(Finding {
                shape: Shape::NotOpenable,
                rule: rule.clone(),
                stream: Some(*stream),
                headline: format!("the task can't open /dev/{stream}: {name}"),
                details: Vec::new(),
            });
        }
    }
}

/// In the log folder lie the streams' files and nothing of the driver's own (SEC-5). Only with the bundled
/// logmon is it known that the rest is not logmon's.
fn stray_files(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let case = &timeline.history.case;
    let rule = rules::named(rules::SEC_5);
    if !case.scenario.rules.contains(&rule) || !case.has_bundled_logmon() {
        return;
    }
    let looks = timeline.history.entries.iter().filter_map(|entry| {
        if let Event::Look { entries, .. } = &entry.event {
            Some(entries)
        } else {
            None
        }
    });
    let is_stray = |name: &str| {
        let of_stream = |stream| name.starts_with(&format!("{}.", log_name(stream)));
        !Stream::BOTH.into_iter().any(of_stream)
    };
    // Each once, as it was seen last: what is removed before the end was there all the same.
    let strays: BTreeMap<&str, &LookEntry> = looks
        .flatten()
        .filter(|one| is_stray(&one.name))
        .map(|one| (one.name.as_str(), one))
        .collect();
    for entry in strays.into_values() {
        verdict.findings.push(Finding {
            shape: Shape::StrayFile,
            rule: rule.clone(),
            stream: None,
            headline: format!(
                "the driver left something of its own in the log folder: {} ({}, {} B)",
                entry.name,
                entry.kind,
                number(entry.bytes)
            ),
            details: Vec::new(),
        });
    }
}
