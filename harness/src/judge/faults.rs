//! What logmon does while the host has a fault, and what it lays open. (core)

use std::collections::BTreeSet;

use mock_driver::journal;

use super::figures::number;
use super::rules;
use super::timeline::Timeline;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::scenario::{FifoKind, OnFull};
use crate::trace::Event;

/// A shorter fault is too short for the processor time that was used in it.
const MEASURED_MS: u64 = 400;
/// Beside the 5 % of HEAL-7: what it takes to run into the fault, in clock ticks of 10 ms.
const CPU_SLACK_MS: u64 = 50;
/// How long a write may take under `drop`: the 1 s of HEAL-2, and as much for a loaded machine.
const WAIT_MS: u64 = 2_000;
/// Lines that a fault may bring at once, and one more for each tenth of a second.
const LINES_AT_ONCE: u64 = 20;

/// Judges every fault that is over, and the modes of FIFOs that logmon made.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    for entry in &timeline.history.entries {
        let Event::FaultEnded {
            what,
            lasted_ms,
            cpu_ms,
            lines,
        } = &entry.event
        else {
            continue;
        };
        let most_ms = lasted_ms / 20 + CPU_SLACK_MS;
        if *lasted_ms >= MEASURED_MS && *cpu_ms > most_ms {
            busy(
                verdict,
                format!(
                    "logmon used {} ms of the processor in {} ms of {what}, allowed are {}",
                    number(*cpu_ms),
                    number(*lasted_ms),
                    number(most_ms)
                ),
            );
        }
        let most_lines = lasted_ms / 100 + LINES_AT_ONCE;
        if *lines > most_lines {
            busy(
                verdict,
                format!(
                    "logmon printed {} lines in {} ms of {what}, allowed are {}",
                    number(*lines),
                    number(*lasted_ms),
                    number(most_lines)
                ),
            );
        }
    }
    waits(timeline, verdict);
    modes(timeline, verdict);
    broken_pipes(timeline, verdict);
}

fn busy(verdict: &mut Verdict, headline: String) {
    verdict.findings.push(Finding {
        shape: Shape::Busy,
        rule: rules::named(rules::HEAL_7),
        stream: None,
        headline,
        details: Vec::new(),
    });
}

/// Under `drop` no write of the task takes longer than HEAL-2 allows.
fn waits(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    match timeline.history.case.scenario.limits.on_full {
        OnFull::Block => return,
        OnFull::Drop => {}
    }
    for journal in timeline.history.task.values() {
        let longest = journal
            .windows(2)
            .filter_map(|pair| {
                let journal::Event::Wrote { stream, .. } = pair[1].event else {
                    return None;
                };
                Some((pair[1].at_us.saturating_sub(pair[0].at_us) / 1_000, stream))
            })
            .max_by_key(|(waited_ms, _)| *waited_ms);
        if let Some((waited_ms, stream)) = longest.filter(|(waited_ms, _)| *waited_ms > WAIT_MS) {
            verdict.findings.push(Finding {
                shape: Shape::Blocked,
                rule: rules::named(rules::HEAL_2),
                stream: Some(stream),
                headline: format!(
                    "a write of the task took {} ms although logmon was told to drop, allowed are {}",
                    number(waited_ms),
                    number(WAIT_MS)
                ),
                details: Vec::new(),
            });
        }
    }
}

/// A FIFO that logmon made with no mode asked for has 0600, or less.
fn modes(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    if timeline.history.case.scenario.host.fifos != FifoKind::Absent {
        return;
    }
    let mut seen = BTreeSet::new();
    for entry in &timeline.history.entries {
        if let Event::FifoIs {
            stream, kind, mode, ..
        } = &entry.event
            && kind == "fifo"
            && mode & !0o600 != 0
            && seen.insert(*stream)
        {
            verdict.findings.push(Finding {
                shape: Shape::Exposed,
                rule: rules::named(rules::SEC_3),
                stream: Some(*stream),
                headline: format!("the FIFO that logmon made has mode {mode:04o}, 0600 is private"),
                details: Vec::new(),
            });
        }
    }
}

/// Where somebody holds the read ends of a dead logmon, no write meets EPIPE.
fn broken_pipes(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let history = timeline.history;
    if !history.case.scenario.expect.unbroken {
        return;
    }
    let journals = [("the driver", &history.driver), ("the task", &history.task)];
    for (who, generations) in journals {
        let mut met = generations.values().flatten().filter_map(|line| {
            if let journal::Event::Error { stream, name, .. } = &line.event
                && name == "EPIPE"
            {
                Some(*stream)
            } else {
                None
            }
        });
        if let Some(stream) = met.next() {
            let again = rules::named(rules::MON_4);
            let (rule, when) = if history.case.scenario.rules.contains(&again) {
                (
                    again,
                    "although logmon had only been asked for another start",
                )
            } else {
                (rules::named(rules::MON_9), "while logmon was dead")
            };
            verdict.findings.push(Finding {
                shape: Shape::BrokenPipe,
                rule,
                stream: Some(stream),
                headline: format!("{who} met EPIPE {when}"),
                details: Vec::new(),
            });
        }
    }
}

#[cfg(test)]
fn waits_of(history: &crate::history::History) -> Vec<Shape> {
    let mut verdict = Verdict::default();
    waits(&Timeline::new(history), &mut verdict);
    verdict.findings.iter().map(|one| one.shape).collect()
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream::{Stderr, Stdout};

    use super::super::judge;
    use super::super::stage::{add, good, records};
    use super::*;
    use crate::history::History;
    use crate::scenario::HostFault;

    fn history() -> History {
        good(vec![records(Stdout, 5), records(Stderr, 5)])
    }

    fn found(history: &History) -> Vec<Shape> {
        judge(history)
            .findings
            .iter()
            .map(|one| one.shape)
            .collect()
    }

    #[test]
    fn a_fault_is_quiet_up_to_the_bounds_and_busy_beyond() {
        for (lasted_ms, cpu_ms, lines, expected) in [
            (1_000, 100, 30, vec![]),
            (1_000, 110, 30, vec![Shape::Busy]),
            (1_000, 100, 31, vec![Shape::Busy]),
            (1_000, 999, 999, vec![Shape::Busy, Shape::Busy]),
            (100, 100, 0, vec![]),
            (100, 0, 22, vec![Shape::Busy]),
        ] {
            let mut history = history();
            let what = HostFault::FileSizeLimit;
            add(
                &mut history,
                500,
                Event::FaultEnded {
                    what,
                    lasted_ms,
                    cpu_ms,
                    lines,
                },
            );
            assert_eq!(found(&history), expected, "{lasted_ms} {cpu_ms} {lines}");
        }
    }

    #[test]
    fn only_under_drop_a_write_that_takes_long_is_blocked() {
        let wrote = |at_us| journal::Line {
            at_us,
            event: journal::Event::Wrote {
                stream: Stderr,
                end: 500,
                bytes: 1,
                seq: None,
            },
        };
        let found = |on_full, at_us| {
            let mut history = history();
            history.case.scenario.limits.on_full = on_full;
            history.task.insert(1, vec![wrote(1_000_000), wrote(at_us)]);
            super::waits_of(&history)
        };
        assert_eq!(found(OnFull::Drop, 3_000_999), []);
        assert_eq!(found(OnFull::Drop, 3_001_000), [Shape::Blocked]);
        assert_eq!(found(OnFull::Block, 9_000_000), []);
    }

    #[test]
    fn a_broken_pipe_is_told_where_none_may_be() {
        let mut history = history();
        let event = journal::Event::Error {
            stream: Stdout,
            errno: 32,
            name: "EPIPE".to_owned(),
        };
        let line = journal::Line { at_us: 50, event };
        history.driver.insert(0, vec![line]);
        assert_eq!(found(&history), []);
        history.case.scenario.expect.unbroken = true;
        assert_eq!(found(&history), [Shape::BrokenPipe]);
        let rule = |history: &History| judge(history).findings[0].rule.to_string();
        assert_eq!(rule(&history), "MON-9");
        history.case.scenario.rules = vec![rules::named(rules::MON_4)];
        assert_eq!(rule(&history), "MON-4");
    }

    #[test]
    fn only_a_fifo_that_logmon_made_tells_its_mode() {
        for (fifos, mode, expected) in [
            (FifoKind::Absent, 0o600, vec![]),
            (FifoKind::Absent, 0o400, vec![]),
            (FifoKind::Absent, 0o604, vec![Shape::Exposed]),
            (FifoKind::Absent, 0o620, vec![Shape::Exposed]),
            (FifoKind::Present, 0o666, vec![]),
        ] {
            let mut history = history();
            history.case.scenario.host.fifos = fifos;
            for at_us in [600, 700] {
                add(
                    &mut history,
                    at_us,
                    Event::FifoIs {
                        stream: Stdout,
                        when: "end".into(),
                        kind: "fifo".into(),
                        dev: 1,
                        ino: 2,
                        mode,
                    },
                );
            }
            assert_eq!(found(&history), expected, "{mode:o}");
        }
    }
}
