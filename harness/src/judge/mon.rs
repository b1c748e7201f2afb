//! Lives of logmon, planted things and growth. (core)

use super::figures::number;
use super::rules;
use super::timeline::{Life, Timeline};
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::rule::RuleId;
use crate::scenario::{Limits, LogmonOutcome, Who, option_name};
use crate::trace::{Event, Exit, StartedAgain};

/// How long a start may take: the 0.5 s of MON-1, and three times as much for a loaded machine.
const READY_MS: u64 = 2_000;

/// Judges how logmon started, lived and ended.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let gave_way = gave_way(timeline);
    for life in &timeline.lives {
        if timeline.answered(life) {
            handed_over(timeline, life, verdict);
            continue;
        }
        // A second logmon must refuse, unless the first one has given way to it.
        let took_over = gave_way
            .iter()
            .any(|&(second, gone)| second == life.number && gone != second);
        let refuses = match life.expect {
            LogmonOutcome::Ready => false,
            LogmonOutcome::Refused => !took_over,
            LogmonOutcome::ReadyOrRefused => life.ready_us.is_none(),
        };
        if refuses {
            refusal(timeline, life, verdict);
        } else if !gave_way.iter().any(|&(_, gone)| gone == life.number) {
            death(timeline, life, verdict);
            asked_end(timeline, life, took_over, verdict);
        }
    }
    for limits in timeline.taken_over() {
        keeps_its_own(timeline, limits, "the command that asked", verdict);
    }
    for entry in &timeline.history.entries {
        if let Event::LogmonOverdue { life, within_ms } = &entry.event {
            let headline = format!(
                "logmon {life} had not ended {} ms after SIGTERM",
                number(*within_ms)
            );
            push(
                verdict,
                Shape::Blocked,
                rules::named(rules::MON_7),
                headline,
                Vec::new(),
            );
        } else if let Event::SecondLogmon {
            life,
            yielded: false,
        } = &entry.event
            && !timeline
                .lives
                .iter()
                .any(|one| one.number == *life && timeline.answered(one))
        {
            let headline =
                format!("a second logmon ({life}) runs on the same FIFOs beside the first");
            push(
                verdict,
                Shape::Accepted,
                rules::named(rules::MON_11),
                headline,
                Vec::new(),
            );
        } else if let Event::StartedAgain {
            limits,
            outcome,
            after_ms,
            stderr,
        } = &entry.event
        {
            started_again(limits.is_some(), *outcome, *after_ms, stderr, verdict);
        } else if let Event::PlantTouched { path, what } = &entry.event {
            let is_canary = path.rsplit('/').next() == Some("canary");
            let rule = if is_canary {
                rules::SEC_2
            } else {
                rules::ROT_5
            };
            push(
                verdict,
                Shape::ForeignTouched,
                rules::named(rule),
                format!("{path} was touched: {what}"),
                Vec::new(),
            );
        }
    }
    slow_starts(timeline, verdict);
    growth(timeline, verdict);
}

/// Every start is ready in time, where a case is about that.
fn slow_starts(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let rule = rules::named(rules::MON_1);
    if !timeline.history.case.scenario.rules.contains(&rule) {
        return;
    }
    for entry in &timeline.history.entries {
        if let Event::LogmonReady { life, after_ms, .. } = entry.event
            && after_ms > READY_MS
        {
            let headline = format!(
                "logmon {life} was ready only {} ms after its start, allowed are {}",
                number(after_ms),
                number(READY_MS)
            );
            push(verdict, Shape::Late, rule.clone(), headline, Vec::new());
        }
    }
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

/// The limit of a start that did not become ready, and the last words.
fn not_ready<'a>(timeline: &Timeline<'a>, number: u32) -> Option<(u64, &'a str)> {
    timeline.history.entries.iter().find_map(|entry| {
        if let Event::LogmonNotReady {
            life,
            within_ms,
            stderr,
        } = &entry.event
            && *life == number
        {
            Some((*within_ms, stderr.as_str()))
        } else {
            None
        }
    })
}

fn words(stderr: &str) -> Vec<String> {
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(3)..]
        .iter()
        .map(|line| format!("it said: {line}"))
        .collect()
}

fn refusal(timeline: &Timeline<'_>, life: &Life<'_>, verdict: &mut Verdict) {
    let rule = rules::first(&timeline.history.case.scenario);
    let name = format!("logmon {}", life.number);
    if life.ready_us.is_some() {
        let headline = format!("{name} became ready with what it must refuse");
        push(verdict, Shape::Accepted, rule, headline, Vec::new());
        return;
    }
    match life.exited {
        Some((_, Exit::Code(0), false, stderr)) => {
            let headline = format!("{name} ended with 0 instead of refusing");
            push(verdict, Shape::Accepted, rule, headline, words(stderr));
        }
        Some((_, Exit::Signal(signal), false, stderr)) => {
            let headline = format!("{name} died of signal {signal} instead of refusing");
            push(verdict, Shape::Died, rule, headline, words(stderr));
        }
        Some((_, Exit::Code(_), _, stderr)) if !names_one_of(life.words, stderr) => {
            let headline = format!(
                "{name} refused to start and did not name what it refused: {}",
                life.words.join(" ")
            );
            push(verdict, Shape::Died, rule, headline, words(stderr));
        }
        Some((_, Exit::Code(_), _, _)) => {}
        Some((_, _, true, _)) | None => {
            if let Some((within_ms, stderr)) = not_ready(timeline, life.number) {
                let headline = format!(
                    "{name} neither refused nor became ready within {} ms",
                    number(within_ms)
                );
                push(verdict, Shape::Blocked, rule, headline, words(stderr));
            }
        }
    }
}

/// Whether the text has the name of one of the options that were too much.
fn names_one_of(words: &[String], text: &str) -> bool {
    words.is_empty()
        || words
            .iter()
            .filter_map(|word| option_name(word))
            .any(|name| text.contains(name))
}

/// A second start that answered 0 may have handed its limits to the running logmon, and says that it did
/// (MON-5). The files tell whether that is so.
fn handed_over(timeline: &Timeline<'_>, life: &Life<'_>, verdict: &mut Verdict) {
    let before = timeline
        .lives
        .iter()
        .rfind(|one| one.started_us < life.started_us);
    if before.is_some_and(|first| first.limits != life.limits) {
        let who = format!("logmon {}", life.number);
        keeps_its_own(timeline, life.limits, &who, verdict);
    }
}

/// Whether the files keep to limits that somebody answered 0 to.
fn keeps_its_own(timeline: &Timeline<'_>, limits: &Limits, who: &str, verdict: &mut Verdict) {
    let mut details = Vec::new();
    for (stream, files) in &timeline.history.files {
        let too_large = files
            .iter()
            .filter(|file| file.bytes.len() as u64 > limits.max_file_bytes.0)
            .map(|file| {
                format!(
                    "{} has {} bytes, {} were asked for",
                    file.name,
                    number(file.bytes.len() as u64),
                    number(limits.max_file_bytes.0)
                )
            });
        details.extend(too_large);
        if files.len() as u64 > u64::from(limits.max_files) {
            details.push(format!(
                "there are {} files of {stream}, {} were asked for",
                files.len(),
                limits.max_files
            ));
        }
    }
    if !details.is_empty() {
        let headline =
            format!("{who} answered 0 to other limits, and the running one keeps to its own");
        push(
            verdict,
            Shape::Accepted,
            rules::named(rules::MON_5),
            headline,
            details,
        );
    }
}

/// Another start of what is collected already is answered, and done unless the limits are other ones (MON-4,
/// MON-5). That a logmon ended instead is told as its death.
fn started_again(
    has_other_limits: bool,
    outcome: StartedAgain,
    after_ms: u64,
    stderr: &str,
    verdict: &mut Verdict,
) {
    let (shape, headline) = match outcome {
        StartedAgain::Refused { exit } if !has_other_limits => {
            let how = match exit {
                Exit::Code(code) => format!("ended with {code}"),
                Exit::Signal(signal) => format!("died of signal {signal}"),
            };
            let headline = format!("another start was refused: the command that asked {how}");
            (Shape::Died, headline)
        }
        StartedAgain::Unanswered => {
            let headline = format!(
                "logmon had not answered another start after {} ms",
                number(after_ms)
            );
            (Shape::Blocked, headline)
        }
        StartedAgain::Done | StartedAgain::Refused { .. } | StartedAgain::LogmonEnded => return,
    };
    let rule = if has_other_limits {
        rules::MON_5
    } else {
        rules::MON_4
    };
    push(verdict, shape, rules::named(rule), headline, words(stderr));
}

/// Of two logmons on the same FIFOs one must end by itself, and only that one and only then: the
/// number of each second one, and of the one whose end settled it.
fn gave_way(timeline: &Timeline<'_>) -> Vec<(u32, u32)> {
    let settled = timeline.history.entries.iter().filter_map(|entry| {
        let Event::SecondLogmon {
            life,
            yielded: true,
        } = entry.event
        else {
            return None;
        };
        let began = timeline.lives.iter().find(|one| one.number == life)?;
        let ends = timeline.lives.iter().filter_map(|one| {
            let (end, _, asked, _) = one.exited?;
            let is_then = (began.started_us..=entry.at_us).contains(&end);
            (is_then && !asked).then_some((end, one.number))
        });
        Some((life, ends.min()?.1))
    });
    settled.collect()
}

/// Judges how a logmon that was asked to end by SIGTERM did so. One that had to be killed is
/// overdue, which is said elsewhere.
fn asked_end(timeline: &Timeline<'_>, life: &Life<'_>, took_over: bool, verdict: &mut Verdict) {
    let Some((_, how, true, stderr)) = life.exited else {
        return;
    };
    let is_overdue = timeline.history.entries.iter().any(
        |entry| matches!(entry.event, Event::LogmonOverdue { life: late, .. } if late == life.number),
    );
    // Before it is ready nothing says what a signal does.
    let was_ready = life.ready_us.is_some() || took_over;
    if how == Exit::Code(0) || life.killed_us.is_some() || is_overdue || !was_ready {
        return;
    }
    let how = match how {
        Exit::Code(code) => format!("ended with {code} instead of 0"),
        Exit::Signal(signal) => format!("died of signal {signal}"),
    };
    push(
        verdict,
        Shape::Died,
        rules::named(rules::MON_7),
        format!("logmon {} {how} when it was asked to end", life.number),
        words(stderr),
    );
}

fn death(timeline: &Timeline<'_>, life: &Life<'_>, verdict: &mut Verdict) {
    let name = format!("logmon {}", life.number);
    let unready = not_ready(timeline, life.number);
    if let Some((end, how, false, stderr)) = life.exited {
        let how = match how {
            Exit::Code(code) => format!("ended with {code}"),
            Exit::Signal(signal) => format!("died of signal {signal}"),
        };
        let after_task = timeline.generations.iter().any(|one| {
            one.gone_us
                .or(one.exited.map(|(at, _)| at))
                .is_some_and(|gone| gone <= end && gone >= life.started_us)
        });
        let (rule, when) = if life.ready_us.is_none() {
            (
                rules::first(&timeline.history.case.scenario),
                "before it was ready",
            )
        } else if after_task {
            (
                rules::named(rules::MON_2),
                "after the writer had gone; nobody had asked it to",
            )
        } else {
            (
                rules::first(&timeline.history.case.scenario),
                "and nobody had asked it to",
            )
        };
        push(
            verdict,
            Shape::Died,
            rule,
            format!("{name} {how} {when}"),
            words(stderr),
        );
    } else if let Some((within_ms, stderr)) = unready {
        let headline = format!("{name} was not ready within {} ms", number(within_ms));
        push(
            verdict,
            Shape::Blocked,
            rules::named(rules::MON_1),
            headline,
            words(stderr),
        );
    }
}

fn growth(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let Some(bounds) = &timeline.history.case.scenario.expect.growth else {
        return;
    };
    let measured: Vec<_> = timeline
        .history
        .entries
        .iter()
        .filter_map(|entry| {
            if let Event::Measured {
                of,
                processes,
                fds,
                threads,
                rss_kib,
                wakeups,
            } = entry.event
                && of == bounds.of
            {
                Some((processes, (fds, threads, rss_kib, wakeups)))
            } else {
                None
            }
        })
        .collect();
    let name = match bounds.of {
        Who::Logmon => "logmon",
        Who::Driver => "the driver",
    };
    let [(_, first), .., (_, last)] = measured.as_slice() else {
        verdict.unmet.push(format!(
            "growth of {name}: measured {} times, which compares nothing",
            measured.len()
        ));
        return;
    };
    if bounds.of == Who::Logmon && measured.iter().any(|(processes, _)| *processes == 0) {
        verdict.unmet.push(format!(
            "growth of {name}: no process of it was there when it was measured"
        ));
        return;
    }
    if let Some(bound) = bounds.wakeups
        && last.3.saturating_sub(first.3) > bound
    {
        let headline = format!(
            "{name} woke up {} times although there was nothing to do, allowed are {}",
            number(last.3 - first.3),
            number(bound)
        );
        push(
            verdict,
            Shape::Busy,
            rules::named(rules::COST_3),
            headline,
            Vec::new(),
        );
    }
    let kinds = [
        (Shape::GrowthFd, "descriptors", first.0, last.0, bounds.fds),
        (
            Shape::GrowthThread,
            "threads",
            first.1,
            last.1,
            bounds.threads,
        ),
        (
            Shape::GrowthMemory,
            "KiB of resident memory",
            first.2,
            last.2,
            bounds.rss_kib,
        ),
    ];
    for (shape, noun, before, after, bound) in kinds {
        if after.saturating_sub(before) > bound {
            let headline = format!(
                "{} {noun} at first, {} at last: {} more, allowed are {}",
                number(before),
                number(after),
                number(after - before),
                number(bound)
            );
            push(
                verdict,
                shape,
                rules::named(rules::COST_1),
                headline,
                Vec::new(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream::{Stderr, Stdout};

    use super::super::judge;
    use super::super::stage::{good, records};
    use super::*;

    #[test]
    fn a_start_that_took_longer_than_two_seconds_is_late() {
        let found = |rule: &str, took_ms| {
            let mut history = good(vec![records(Stdout, 5), records(Stderr, 5)]);
            history.case.scenario.rules = vec![rule.parse().unwrap()];
            for entry in &mut history.entries {
                if let Event::LogmonReady { after_ms, .. } = &mut entry.event {
                    *after_ms = took_ms;
                }
            }
            let findings = judge(&history).findings;
            let told = findings.into_iter().map(|one| (one.shape, one.headline));
            told.collect::<Vec<_>>()
        };
        assert_eq!(found("MON-1", 2_000), []);
        assert_eq!(found("MON-6", 2_001), [], "the case is not about it");
        let headline = "logmon 1 was ready only 2,001 ms after its start, allowed are 2,000";
        let late = (Shape::Late, headline.to_owned());
        assert_eq!(found("MON-1", 2_001), [late]);
    }
}
