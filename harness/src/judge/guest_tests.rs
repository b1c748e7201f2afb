//! Tests of the judge: a driver as a guest, and stops that meet a start.

use mock_driver::journal::{self, FdFacts, FileKind, Role};
use mock_driver::script::Step;
use mock_driver::stream::Stream::{Stderr, Stdout};

use super::judge;
use super::stage::{add, good, put, records, sent};
use super::tests::shapes;
use crate::finding::Shape;
use crate::history::History;
use crate::scenario::FifoKind;
use crate::suite::Subject;
use crate::trace::{Event, Exit, Holder, LookEntry};

fn both() -> History {
    good(vec![records(Stdout, 5), records(Stderr, 5)])
}

fn checking(rule: &str) -> History {
    let mut history = both();
    history.case.scenario.rules = vec![rule.parse().unwrap()];
    history
}

#[test]
fn a_driver_that_takes_what_is_no_fifo_is_told() {
    let mut history = checking("FIFO-8");
    history.case.scenario.host.fifos = FifoKind::PlainFile;
    assert_eq!(shapes(&history), [Shape::Accepted]);
    let told = &judge(&history).findings[0];
    assert_eq!(
        told.headline,
        "the driver started the task although regular files stand at both paths"
    );
}

fn hello(role: Role) -> journal::Line {
    let fd = FdFacts {
        dev: 1,
        ino: 2,
        kind: FileKind::Fifo,
        rdev: 0,
    };
    let event = journal::Event::Hello {
        pid: 300,
        role,
        fd1: fd,
        fd2: fd,
        sig_ignored: Vec::new(),
        sig_blocked: Vec::new(),
    };
    journal::Line { at_us: 35, event }
}

/// A driver that refused: what it reported, and the lines that it wrote as the player of the script.
fn refused(reported: Exit, played: Vec<journal::Line>) -> Vec<Shape> {
    let mut history = checking("FIFO-8");
    history.case.scenario.host.fifos = FifoKind::Socket;
    history.case.scenario.expect.exit_matters = false;
    history.case.scenario.expect.stdout = crate::scenario::Exactness::Unchecked;
    history.case.scenario.expect.stderr = crate::scenario::Exactness::Unchecked;
    history.task.insert(0, played);
    for entry in &mut history.entries {
        if let Event::DriverExited { exit, .. } = &mut entry.event {
            *exit = reported;
        }
    }
    shapes(&history)
}

#[test]
fn a_refusal_is_an_exit_with_an_error_and_no_task() {
    assert_eq!(refused(Exit::Code(66), vec![]), []);
    assert_eq!(refused(Exit::Code(0), vec![]), [Shape::Accepted]);
}

#[test]
fn a_driver_that_plays_the_script_itself_has_refused_if_it_only_says_hello() {
    let hello = hello(Role::Play);
    assert_eq!(refused(Exit::Code(66), vec![hello.clone()]), []);
    let opened = journal::Line {
        at_us: hello.at_us + 1,
        event: journal::Event::Opened {
            stream: Stdout,
            fd: 3,
        },
    };
    assert_eq!(
        refused(Exit::Code(66), vec![hello, opened]),
        [Shape::Accepted]
    );
}

#[test]
fn a_write_end_may_be_closed_before_and_after_the_task_and_not_while_it_runs() {
    let close_between = |after_us, at_us| {
        let mut history = checking("FIFO-7");
        history.case.scenario.expect.opened_once = true;
        let stream = Stdout;
        let event = Event::WriteEndClosed { stream, after_us };
        add(&mut history, at_us, event);
        shapes(&history)
    };
    let close = |at_us| close_between(at_us, at_us);
    let history = both();
    let lines = &history.task[&0];
    let (began, ended) = (lines[0].at_us, lines[lines.len() - 1].at_us);
    assert_eq!(close(began - 1), []);
    assert_eq!(close(began), [Shape::Reopened]);
    assert_eq!(close(ended - 1), [Shape::Reopened]);
    assert_eq!(close(ended), []);
    // It may have happened before the task began, and was only seen after.
    assert_eq!(close_between(began - 1, began + 1), []);
}

#[test]
fn a_driver_that_plays_the_script_itself_may_close_before_it_writes_down_its_end() {
    let close = |role, at_us| {
        let mut history = checking("FIFO-7");
        history.case.scenario.expect.opened_once = true;
        history.task.get_mut(&0).unwrap().insert(0, hello(role));
        let event = Event::WriteEndClosed {
            stream: Stdout,
            after_us: at_us,
        };
        add(&mut history, at_us, event);
        shapes(&history)
    };
    // The last write is at 500, the end at 900.
    assert_eq!(close(Role::Play, 499), [Shape::Reopened]);
    assert_eq!(close(Role::Play, 600), []);
    assert_eq!(close(Role::Task, 600), [Shape::Reopened]);
}

#[test]
fn a_driver_that_plays_the_script_itself_may_close_the_stream_that_is_over_first() {
    let close = |stream| {
        let mut history = checking("FIFO-7");
        history.case.scenario.expect.opened_once = true;
        let lines = history.task.get_mut(&0).unwrap();
        lines.insert(0, hello(Role::Play));
        let last = lines
            .iter_mut()
            .rfind(|line| line.event.accepted(Stdout).is_some());
        last.unwrap().at_us = 700;
        lines.sort_by_key(|line| line.at_us);
        let after_us = 600;
        add(
            &mut history,
            600,
            Event::WriteEndClosed { stream, after_us },
        );
        shapes(&history)
    };
    // The last write to stderr is at 500.
    assert_eq!(close(Stderr), []);
    assert_eq!(close(Stdout), [Shape::Reopened]);
}

#[test]
fn a_task_that_opens_its_stream_again_has_two_descriptors_of_it_for_a_moment() {
    let with = |steps: Vec<Step>, stream| {
        let mut history = both();
        history
            .task
            .get_mut(&0)
            .unwrap()
            .insert(0, hello(Role::Task));
        let main = history.case.scenario.tasks.values_mut().next().unwrap();
        main.steps.extend(steps);
        let holder = Holder {
            pid: 300,
            comm: "demo".to_owned(),
            fd: 4,
            reads: false,
            writes: true,
            role: "task".to_owned(),
        };
        let event = Event::Holders {
            stream,
            when: "sample".to_owned(),
            holders: vec![holder],
        };
        add(&mut history, 400, event);
        shapes(&history)
    };
    let reopen = || vec![Step::Reopen { stream: Stdout }];
    assert_eq!(with(vec![], Stdout), [Shape::BadInheritance]);
    assert_eq!(with(reopen(), Stdout), []);
    assert_eq!(with(reopen(), Stderr), [Shape::BadInheritance]);
}

#[test]
fn a_task_that_cannot_open_its_stream_by_path_is_told_and_one_that_met_a_broken_pipe_is_not() {
    let with_error = |rule, name: &str| {
        let mut history = checking(rule);
        let lines = history.task.get_mut(&0).unwrap();
        let at_us = lines[0].at_us + 1;
        let event = journal::Event::Error {
            stream: Stderr,
            errno: 6,
            name: name.to_owned(),
        };
        lines.insert(1, journal::Line { at_us, event });
        shapes(&history)
    };
    assert_eq!(with_error("SEC-4", "ENXIO"), [Shape::NotOpenable]);
    assert_eq!(with_error("SEC-4", "EPIPE"), []);
    assert_eq!(with_error("DATA-1", "ENXIO"), []);
}

#[test]
fn what_lies_beside_the_log_is_the_drivers_where_logmon_is_the_bundled_one() {
    let with_name = |name: &str, is_bundled| {
        let mut history = checking("SEC-5");
        if is_bundled {
            history.case.logmon = Subject::bundled().logmon;
        }
        let entry = LookEntry {
            name: name.to_owned(),
            kind: "file".to_owned(),
            bytes: 20,
            ino: 7,
        };
        let why = "end".to_owned();
        let entries = vec![entry];
        add(&mut history, 100_000_000, Event::Look { why, entries });
        let of_it = |shape: &Shape| *shape == Shape::StrayFile;
        shapes(&history).iter().filter(|shape| of_it(shape)).count()
    };
    assert_eq!(with_name("driver.log", true), 1);
    assert_eq!(with_name("demo.stdoutx", true), 1);
    assert_eq!(with_name("demo.stdout.gaps", true), 0);
    assert_eq!(with_name("driver.log", false), 0);
}

#[test]
fn a_stray_file_that_is_gone_at_the_end_is_told_once() {
    let mut history = checking("SEC-5");
    history.case.logmon = Subject::bundled().logmon;
    let entry = |name: &str, bytes| LookEntry {
        name: name.to_owned(),
        kind: "file".to_owned(),
        bytes,
        ino: 7,
    };
    let log = || entry("demo.stdout.0", 99);
    let looks = [
        (200, vec![log(), entry("driver.log", 0)]),
        (300, vec![log(), entry("driver.log", 20)]),
        (100_000_000, vec![log()]),
    ];
    for (at_us, entries) in looks {
        let why = "sample".to_owned();
        add(&mut history, at_us, Event::Look { why, entries });
    }
    let findings = judge(&history).findings.into_iter();
    let strays: Vec<_> = findings
        .filter(|one| one.shape == Shape::StrayFile)
        .collect();
    assert_eq!(strays.len(), 1);
    assert!(strays[0].headline.ends_with("driver.log (file, 20 B)"));
}

#[test]
fn a_script_that_the_driver_plays_and_was_stopped_may_lack_what_was_not_accepted() {
    let stopped = |role: Role, is_asked: bool| {
        let mut history = both();
        let lines = history.task.get_mut(&0).unwrap();
        lines.insert(0, hello(role));
        lines.retain(|line| !matches!(line.event, journal::Event::Wrote { .. }));
        for stream in [Stdout, Stderr] {
            put(&mut history, stream, vec![vec![]]);
        }
        if is_asked {
            add(&mut history, 40, Event::DriverStopAsked { generation: 0 });
        }
        let lost = |shape: &Shape| *shape == Shape::LostAll;
        shapes(&history).iter().filter(|shape| lost(shape)).count()
    };
    assert!(!sent(&both(), 0, Stdout).is_empty());
    assert_eq!(stopped(Role::Play, true), 0);
    assert_eq!(stopped(Role::Play, false), 2);
    assert_eq!(stopped(Role::Task, true), 2);
}
