//! The judge on ends that were asked for, on second logmons, growth and merged logs. (core)

use mock_driver::journal;
use mock_driver::stream::Stream::{Stderr, Stdout};

use super::judge;
use super::stage::{add, good, put, records, sent};
use super::tests::shapes;
use crate::capability::Capability;
use crate::finding::Shape;
use crate::history::History;
use crate::outcome::Status;
use crate::scenario::{Action, Growth, LogmonOutcome, SignalName, Step, Victim, Who};
use crate::tally::Tally;
use crate::trace::adapter::AdapterEvent;
use crate::trace::{Event, Exit, StartedAgain};

fn both() -> History {
    good(vec![records(Stdout, 5), records(Stderr, 5)])
}

/// A task that was ended before it came to its own end, and what the driver reported.
fn ended(by: Event, reported: Exit) -> History {
    let mut history = both();
    add(&mut history, 600, by);
    if let Some(lines) = history.task.get_mut(&0) {
        lines.retain(|line| !matches!(line.event, journal::Event::Exit { .. }));
    }
    for entry in &mut history.entries {
        if let Event::DriverExited { exit, .. } = &mut entry.event {
            *exit = reported;
        }
    }
    history
}

#[test]
fn a_task_that_a_stop_or_a_signal_ended_is_never_reported_as_a_success() {
    let stop = || Event::DriverStopAsked { generation: 0 };
    let kill = || Event::TaskSignalled {
        generation: 0,
        signal: SignalName::Kill,
    };
    let wrong = vec![Shape::WrongExit];
    for (by, reported, expected) in [
        (stop(), Exit::Code(0), wrong.clone()),
        (stop(), Exit::Code(143), vec![]),
        (stop(), Exit::Code(137), vec![]),
        (stop(), Exit::Signal(15), vec![]),
        (kill(), Exit::Code(0), wrong.clone()),
        (kill(), Exit::Code(143), wrong),
        (kill(), Exit::Code(137), vec![]),
    ] {
        let history = ended(by.clone(), reported);
        assert_eq!(shapes(&history), expected, "{by:?} {reported:?}");
    }
}

#[test]
fn how_a_task_ended_is_not_told_of_a_driver_that_had_broken_the_protocol() {
    let broke = Event::Adapter(AdapterEvent::Broke {
        op: None,
        is_late: false,
        text: "no answer".into(),
        lines: Vec::new(),
    });
    let history = ended(broke, Exit::Signal(9));
    assert_eq!(shapes(&history), [Shape::Died]);
    // Without that nobody had sent the signal.
    let history = ended(Event::Released { gate: "go".into() }, Exit::Signal(9));
    assert_eq!(shapes(&history), [Shape::WriterKilled, Shape::WrongExit]);
}

#[test]
fn a_task_that_came_to_its_own_end_is_reported_as_it_ended_although_a_stop_was_asked() {
    let mut history = both();
    add(&mut history, 600, Event::DriverStopAsked { generation: 0 });
    assert_eq!(shapes(&history), []);
}

fn measured(processes: u64, fds: u64) -> Event {
    Event::Measured {
        of: Who::Logmon,
        processes,
        fds,
        threads: 1,
        rss_kib: 100,
        wakeups: 0,
    }
}

#[test]
fn growth_that_was_not_measured_proves_nothing() {
    for (events, status) in [
        (vec![], Status::Inconclusive),
        (vec![measured(1, 9)], Status::Inconclusive),
        (vec![measured(1, 9), measured(0, 0)], Status::Inconclusive),
        (vec![measured(0, 0), measured(1, 9)], Status::Inconclusive),
        (vec![measured(1, 9), measured(1, 9)], Status::Pass),
        (vec![measured(1, 9), measured(1, 12)], Status::Fail),
    ] {
        let mut history = both();
        history.case.scenario.expect.growth = Some(Growth {
            of: Who::Logmon,
            fds: 2,
            threads: 2,
            rss_kib: 8_000,
            wakeups: None,
        });
        for (at_us, event) in (50..).zip(&events) {
            add(&mut history, at_us, event.clone());
        }
        assert_eq!(judge(&history).status(), status, "{events:?}");
    }
}

/// Lets a logmon end in this way.
fn logmon_ends(history: &mut History, number: u32, at_us: u64, exit: Exit, asked: bool) {
    let of_it =
        |event: &Event| matches!(event, Event::LogmonExited { life, .. } if *life == number);
    history.entries.retain(|entry| !of_it(&entry.event));
    let stderr = String::new();
    add(
        history,
        at_us,
        Event::LogmonExited {
            life: number,
            exit,
            asked,
            after_ms: None,
            stderr,
        },
    );
}

/// A second logmon at 100, and what came of it at 200.
fn with_a_second() -> History {
    let mut history = both();
    let limits = history.case.scenario.limits.clone();
    let started = Event::LogmonStarted {
        life: 2,
        pid: 101,
        expect: LogmonOutcome::Refused,
        words: Vec::new(),
        limits,
    };
    add(&mut history, 100, started);
    let settled = Event::SecondLogmon {
        life: 2,
        yielded: true,
    };
    add(&mut history, 200, settled);
    history
}

#[test]
fn only_the_end_that_settles_two_logmons_is_excused() {
    // The second refuses, and the first goes on until it is asked to end.
    let mut refused = with_a_second();
    logmon_ends(&mut refused, 2, 150, Exit::Code(75), false);
    assert_eq!(shapes(&refused), []);
    logmon_ends(&mut refused, 1, 700, Exit::Code(1), false);
    assert_eq!(shapes(&refused), [Shape::Died]);

    // The first gives way, and the second goes on.
    let mut taken_over = with_a_second();
    logmon_ends(&mut taken_over, 1, 150, Exit::Code(0), false);
    logmon_ends(&mut taken_over, 2, 9_500, Exit::Code(0), true);
    assert_eq!(shapes(&taken_over), []);
    logmon_ends(&mut taken_over, 2, 700, Exit::Code(1), false);
    assert_eq!(shapes(&taken_over), [Shape::Died]);
}

#[test]
fn a_second_start_that_answers_0_is_believed_if_the_files_keep_to_its_limits() {
    let answered = |limit: u64| {
        let mut history = with_a_second();
        for entry in &mut history.entries {
            if let Event::LogmonStarted {
                life: 2, limits, ..
            } = &mut entry.event
            {
                limits.max_file_bytes = crate::scenario::Size(limit);
            } else if let Event::SecondLogmon { yielded, .. } = &mut entry.event {
                *yielded = false;
            }
        }
        logmon_ends(&mut history, 2, 150, Exit::Code(0), false);
        history
    };
    let good = both();
    let longest = good.files.values().flatten().map(|file| file.bytes.len());
    let longest = longest.max().unwrap() as u64;
    assert_eq!(shapes(&answered(longest)), []);
    let ignored = judge(&answered(longest - 1));
    assert_eq!(ignored.findings[0].shape, Shape::Accepted);
    assert_eq!(ignored.findings[0].rule.as_str(), "MON-5");

    // One that still runs, or fails while the first goes on, is judged as before.
    let mut stays = answered(longest);
    stays
        .entries
        .retain(|entry| !matches!(entry.event, Event::LogmonExited { life: 2, .. }));
    assert_eq!(shapes(&stays), [Shape::Accepted]);
}

/// A running logmon is asked for another start at 100, with what came of it.
fn asked_again(limits: Option<u64>, outcome: StartedAgain) -> History {
    let mut history = both();
    let limits = limits.map(|bytes| {
        let mut limits = history.case.scenario.limits.clone();
        limits.max_file_bytes = crate::scenario::Size(bytes);
        limits
    });
    let stderr = "it runs already\n".to_owned();
    let event = Event::StartedAgain {
        limits,
        outcome,
        after_ms: 5_000,
        stderr,
    };
    add(&mut history, 100, event);
    history
}

#[test]
fn another_start_is_done_or_refused_for_other_limits_only() {
    let refused = StartedAgain::Refused {
        exit: Exit::Code(3),
    };
    let found = |limits, outcome| -> Vec<(Shape, String)> {
        let verdict = judge(&asked_again(limits, outcome));
        let all = verdict.findings.into_iter();
        all.map(|one| (one.shape, one.rule.to_string())).collect()
    };
    let one = |shape, rule: &str| vec![(shape, rule.to_owned())];
    assert_eq!(found(None, StartedAgain::Done), []);
    assert_eq!(found(None, refused), one(Shape::Died, "MON-4"));
    assert_eq!(found(Some(1 << 20), refused), []);
    let late = StartedAgain::Unanswered;
    assert_eq!(found(None, late), one(Shape::Blocked, "MON-4"));
    assert_eq!(found(Some(1 << 20), late), one(Shape::Blocked, "MON-5"));
    assert_eq!(found(Some(1 << 20), StartedAgain::Done), []);
    assert_eq!(found(Some(1), StartedAgain::Done)[0].1, "MON-5");
    let verdict = judge(&asked_again(None, refused));
    assert!(verdict.findings[0].headline.ends_with("ended with 3"));
    assert_eq!(verdict.findings[0].details, ["it said: it runs already"]);

    // A logmon that dies of it is told as dead, and nothing is told of the start.
    let mut died = asked_again(None, StartedAgain::LogmonEnded);
    logmon_ends(&mut died, 1, 90, Exit::Code(101), false);
    let verdict = judge(&died);
    assert_eq!(verdict.findings[0].shape, Shape::Died);
    assert!(verdict.findings[0].headline.contains("101"));
}

#[test]
fn a_logmon_that_is_asked_to_end_ends_with_0() {
    for (exit, expected) in [
        (Exit::Code(0), vec![]),
        (Exit::Code(1), vec![Shape::Died]),
        (Exit::Signal(15), vec![Shape::Died]),
    ] {
        let mut history = both();
        logmon_ends(&mut history, 1, 9_000, exit, true);
        let verdict = judge(&history);
        assert_eq!(shapes(&history), expected, "{exit:?}");
        assert!(
            verdict
                .findings
                .iter()
                .all(|one| one.rule.as_str() == "MON-7")
        );
    }
    let killed = Event::LogmonSignalled {
        life: 1,
        signal: SignalName::Kill,
    };
    let mut history = both();
    add(&mut history, 8_000, killed);
    logmon_ends(&mut history, 1, 9_000, Exit::Signal(9), true);
    assert_eq!(shapes(&history), []);
}

#[test]
fn a_merged_log_leaves_nothing_in_the_other_file() {
    let mut history = both();
    history.case.driver_capabilities.insert(Capability::Merged);
    let (out, err) = (sent(&history, 0, Stdout), sent(&history, 0, Stderr));
    put(&mut history, Stdout, vec![[out, err.clone()].concat()]);
    put(&mut history, Stderr, vec![]);
    assert_eq!(shapes(&history), []);
    put(&mut history, Stderr, vec![err]);
    assert_eq!(shapes(&history), [Shape::StreamsMixed]);
}

#[test]
fn the_kills_of_a_flood_and_its_bytes_are_counted() {
    let mut history = both();
    let killed = |signal| Event::LogmonSignalled { life: 1, signal };
    add(&mut history, 400, killed(SignalName::Kill));
    add(&mut history, 410, Event::KeeperKilled { pid: 101 });
    add(&mut history, 420, killed(SignalName::Stop));
    add(&mut history, 600, Event::KeeperKilled { pid: 102 });
    assert_eq!(Tally::of(&history), None);
    let action = Action::KillOften {
        what: Victim::InTurn,
        count: 2,
        stream: Stdout,
        gate: None,
    };
    let only = Default::default();
    history.case.scenario.plan = vec![Step { only, action }];
    let tally = Tally {
        kills: 3,
        in_flood: 2,
        bytes: 1_000,
    };
    assert_eq!(Tally::of(&history), Some(tally));
}

#[test]
fn what_a_logmon_leaves_behind_is_an_orphan_of_logmons() {
    for (part, rule) in [("logmon", "MON-13"), ("driver", "FIFO-11"), ("", "FIFO-11")] {
        let mut history = both();
        let left = Event::LeftBehind {
            pid: 555,
            command: "keeper".to_owned(),
            part: part.to_owned(),
        };
        add(&mut history, 9_500, left);
        let found = judge(&history).findings;
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.shape, one.rule.as_str()))
            .collect();
        assert_eq!(told, [(Shape::LeftBehind, rule)], "{part}");
    }
}

#[test]
fn what_a_stop_leaves_is_told_by_the_rule_that_the_case_is_about() {
    for rule in ["LIFE-10", "LIFE-12", "LIFE-3"] {
        let mut history = both();
        history.case.scenario.rules = vec![rule.parse().unwrap()];
        let left = Event::LeftBehind {
            pid: 555,
            command: "sleep".to_owned(),
            part: "task".to_owned(),
        };
        add(&mut history, 9_500, left);
        let found = judge(&history).findings;
        let told: Vec<_> = found.iter().map(|one| one.rule.as_str()).collect();
        let expected = if rule == "LIFE-3" { "FIFO-11" } else { rule };
        assert_eq!(told, [expected]);
    }
}

/// A logmon that was given a word too many at 5 and ended with these last words at 6, and the good life
/// after it.
fn after_a_refusal(exit: Exit, stderr: &str) -> History {
    let mut history = both();
    let limits = history.case.scenario.limits.clone();
    let events = [
        Event::LogmonStarted {
            life: 9,
            pid: 109,
            expect: LogmonOutcome::ReadyOrRefused,
            words: vec!["--later-option".to_owned()],
            limits,
        },
        Event::LogmonExited {
            life: 9,
            exit,
            asked: false,
            after_ms: None,
            stderr: stderr.to_owned(),
        },
    ];
    for (at_us, event) in (5..).zip(events) {
        add(&mut history, at_us, event);
    }
    history
}

#[test]
fn who_may_refuse_refuses_by_name_and_with_an_error() {
    for (exit, stderr, wanted) in [
        (Exit::Code(64), "unexpected argument '--later-option'", None),
        (Exit::Code(1), "unknown key later-option", None),
        (Exit::Code(64), "can't start", Some(Shape::Died)),
        (
            Exit::Code(0),
            "unknown: --later-option",
            Some(Shape::Accepted),
        ),
        (
            Exit::Signal(6),
            "unknown: --later-option",
            Some(Shape::Died),
        ),
    ] {
        let found = shapes(&after_a_refusal(exit, stderr));
        assert_eq!(found, Vec::from_iter(wanted), "{exit:?} {stderr}");
    }
}

#[test]
fn who_may_refuse_and_does_not_is_judged_as_any_other() {
    let mut history = both();
    for entry in &mut history.entries {
        if let Event::LogmonStarted { expect, words, .. } = &mut entry.event {
            *expect = LogmonOutcome::ReadyOrRefused;
            words.push("--later-option".to_owned());
        }
    }
    assert_eq!(shapes(&history), []);
    logmon_ends(&mut history, 1, 150, Exit::Code(1), false);
    assert_eq!(shapes(&history), [Shape::Died]);
}
