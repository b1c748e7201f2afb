//! Exits, stops and what is left behind. (core)

use std::collections::BTreeSet;

use super::figures::number;
use super::recovery;
use super::rules;
use super::timeline::{Generation, Timeline};
use crate::capability::Capability;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::rule::RuleId;
use crate::scenario::SignalName;
use crate::trace::adapter::AdapterEvent;
use crate::trace::{Event, Exit, Holder};

const SIGKILL: i32 = 9;
const SIGPIPE: i32 = 13;
const SIGTERM: i32 = 15;

/// Judges how tasks and drivers ended.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let left: BTreeSet<i32> = timeline
        .history
        .entries
        .iter()
        .filter_map(|entry| {
            if let Event::LeftBehind { pid, .. } = entry.event {
                Some(pid)
            } else {
                None
            }
        })
        .collect();
    for generation in &timeline.generations {
        in_time(timeline, generation, verdict);
        let is_told = generation.overdue.is_none() && !is_after_break(timeline, generation);
        if is_told && timeline.history.case.scenario.expect.exit_matters {
            exit(timeline, generation, &left, verdict);
        }
    }
    leavings(timeline, verdict);
}

/// Whether the driver had broken the protocol before: then it was killed with its tasks, and what is
/// known of their ends is the suite's doing.
fn is_after_break(timeline: &Timeline<'_>, generation: &Generation<'_>) -> bool {
    let is_break = |event: &Event| matches!(event, Event::Adapter(AdapterEvent::Broke { .. }));
    let mut entries = timeline.history.entries.iter();
    let broke = entries.find(|entry| is_break(&entry.event));
    let (Some(broke), Some((end, _))) = (broke, generation.exited) else {
        return false;
    };
    broke.at_us <= end
}

fn push(verdict: &mut Verdict, shape: Shape, rule: RuleId, headline: String, details: Vec<String>) {
    verdict.findings.push(Finding {
        shape,
        rule,
        stream: None,
        headline,
        details,
    });
}

fn in_time(timeline: &Timeline<'_>, generation: &Generation<'_>, verdict: &mut Verdict) {
    let name = format!("the driver of generation {}", generation.number);
    if let Some((within_ms, last)) = generation.overdue {
        let (rule, since) = if generation.stop_asked {
            (rules::LIFE_5, "it was asked to stop")
        } else {
            (rules::LIFE_4, "its task had ended or should have")
        };
        let headline = format!(
            "{name} had not ended {} ms after {since}",
            number(within_ms)
        );
        push(
            verdict,
            Shape::Blocked,
            rules::named(rule),
            headline,
            last.to_vec(),
        );
        return;
    }
    let limit_ms = timeline.history.case.scenario.expect.report_exit_ms;
    if let (Some(gone), Some((end, _))) = (generation.gone_us, generation.exited) {
        let after_ms = end.saturating_sub(gone) / 1000;
        if after_ms > limit_ms {
            let headline = format!(
                "{name} reported the exit {} ms after it, the limit is {} ms",
                number(after_ms),
                number(limit_ms)
            );
            push(
                verdict,
                Shape::Late,
                rules::named(rules::LIFE_4),
                headline,
                Vec::new(),
            );
        }
    }
}

fn exit(
    timeline: &Timeline<'_>,
    generation: &Generation<'_>,
    left: &BTreeSet<i32>,
    verdict: &mut Verdict,
) {
    let Some((end, reported)) = generation.exited else {
        return;
    };
    let Some(script) = generation.script else {
        return;
    };
    let status = reported.as_status();
    let own = generation.own_status();
    let planned = script.ending().status();
    let host = generation.was_ended_by_host();
    let number = generation.number;
    let forwards = timeline.declares(Capability::Forwards);

    // The driver itself died. A direct driver is the task and ends as it does.
    let own_death = own.is_some_and(|own| own == status);
    let by_signal = match reported {
        Exit::Signal(signal) => Some(signal),
        Exit::Code(code) if (129..=192).contains(&code) => Some(code - 128),
        Exit::Code(_) => None,
    };
    if let Some(signal) =
        by_signal.filter(|_| !own_death && !host && own.unwrap_or(planned) != status)
    {
        let died_itself = forwards && matches!(reported, Exit::Signal(_));
        let who = if died_itself {
            "the driver"
        } else {
            "the task"
        };
        if !forwards && signal == SIGPIPE && !timeline.had_reader(end) {
            // Nobody can keep a direct task from SIGPIPE once the last reader is gone.
            return;
        }
        let rule = if recovery::is_played(timeline) {
            rules::LIFE_7
        } else if forwards || signal == SIGPIPE {
            rules::FIFO_10
        } else {
            rules::LIFE_11
        };
        let headline = format!(
            "{who} of generation {number} was killed by {}, which nobody sent",
            signal_name(signal)
        );
        push(
            verdict,
            Shape::WriterKilled,
            rules::named(rule),
            headline,
            said(generation, own, planned, status),
        );
        if forwards {
            let expected = own.unwrap_or(planned);
            let headline = format!(
                "the driver reported {status} for generation {number}, the task ends with {expected}"
            );
            push(
                verdict,
                Shape::WrongExit,
                rules::named(rules::LIFE_11),
                headline,
                said(generation, own, planned, status),
            );
        }
        return;
    }
    if host {
        // Only a task that came to its own end can have the script's status, and then it has
        // written it down.
        if own != Some(status) && !is_of_a_signal(generation, status) {
            let headline =
                format!("the driver reported {status} for a task that was ended by a signal");
            push(
                verdict,
                Shape::WrongExit,
                rules::named(rules::LIFE_11),
                headline,
                said(generation, own, planned, status),
            );
        }
        return;
    }
    let expected = own.unwrap_or(planned);
    if status != expected {
        let headline = format!(
            "the driver reported {status} for generation {number}, the task ended with {expected}"
        );
        push(
            verdict,
            Shape::WrongExit,
            rules::named(rules::LIFE_11),
            headline,
            said(generation, own, planned, status),
        );
    } else if own.is_none()
        && let Some(pid) = generation.task_pid()
        && !left.contains(&i32::try_from(pid).unwrap_or(0))
        && (forwards || timeline.had_reader(end))
    {
        let headline = format!(
            "the task of generation {number} never came to its own end, and nobody had sent it a signal"
        );
        push(
            verdict,
            Shape::WriterKilled,
            rules::named(if recovery::is_played(timeline) {
                rules::LIFE_7
            } else {
                rules::LIFE_11
            }),
            headline,
            said(generation, own, planned, status),
        );
    }
}

/// Whether the status is that of a task ended by a signal which the host sent or asked for. A stop
/// is SIGTERM, and SIGKILL after a grace.
fn is_of_a_signal(generation: &Generation<'_>, status: i32) -> bool {
    let sent = |signal| generation.stop_asked || generation.signalled.contains(&signal);
    status == 128 + SIGTERM && sent(SignalName::Term)
        || status == 128 + SIGKILL && sent(SignalName::Kill)
}

fn said(generation: &Generation<'_>, own: Option<i32>, planned: i32, status: i32) -> Vec<String> {
    let own = match own {
        Some(own) => format!("the task's journal ends with exit {own}"),
        None if generation.journal.is_empty() => "the task has no journal: it never ran".to_owned(),
        None => "the task's journal has no exit".to_owned(),
    };
    vec![format!(
        "{own}; the script ends with {planned}; reported was {status}"
    )]
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        6 => "SIGABRT".to_owned(),
        SIGKILL => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        SIGPIPE => "SIGPIPE".to_owned(),
        SIGTERM => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

fn leavings(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let limit_ms = timeline.history.case.scenario.expect.release_ms;
    let mut holding = BTreeSet::new();
    for entry in &timeline.history.entries {
        if let Event::WriteEndsReleased {
            generation,
            after_ms,
            holders,
        } = &entry.event
        {
            match after_ms {
                None => {
                    holding.extend(holders.iter().map(|holder| holder.pid));
                    let headline = format!(
                        "a write end was still held {} ms after the last process of generation {generation} had ended",
                        number(limit_ms)
                    );
                    let details = holders.iter().map(describe).collect();
                    push(
                        verdict,
                        Shape::NoEof,
                        rules::named(rules::FIFO_11),
                        headline,
                        details,
                    );
                }
                Some(after_ms) if *after_ms > limit_ms => {
                    let headline = format!(
                        "the write ends of generation {generation} were released after {} ms, the limit is {} ms",
                        number(*after_ms),
                        number(limit_ms)
                    );
                    push(
                        verdict,
                        Shape::Late,
                        rules::named(rules::FIFO_11),
                        headline,
                        Vec::new(),
                    );
                }
                Some(_) => {}
            }
        }
    }
    for entry in &timeline.history.entries {
        if let Event::LeftBehind { pid, command, part } = &entry.event
            && !holding.contains(pid)
        {
            let is_logmon = part == "logmon" || timeline.lives.iter().any(|life| life.pid == *pid);
            let scenario = &timeline.history.case.scenario;
            let checks = |rule| scenario.rules.contains(&rules::named(rule));
            let of_driver = [rules::LIFE_10, rules::LIFE_12].into_iter();
            let rule = if is_logmon {
                rules::MON_13
            } else {
                of_driver
                    .clone()
                    .find(|rule| checks(rule))
                    .unwrap_or(rules::FIFO_11)
            };
            let rule = rules::named(rule);
            let headline = format!("process {pid} outlived the case: {command}");
            push(verdict, Shape::LeftBehind, rule, headline, Vec::new());
        }
    }
}

/// A holder in words.
pub(super) fn describe(holder: &Holder) -> String {
    let can = match (holder.reads, holder.writes) {
        (true, true) => "reads and writes",
        (true, false) => "reads",
        (false, true) => "writes",
        (false, false) => "neither reads nor writes",
    };
    format!(
        "{} {} ({}) holds it as descriptor {}: {can}",
        holder.role, holder.pid, holder.comm, holder.fd
    )
}
