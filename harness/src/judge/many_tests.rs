//! Tests of the judge: one logmon with many tasks.

use std::collections::BTreeMap;

use mock_driver::stream::Stream;

use super::judge;
use super::stage::{add, good, records, sent};
use crate::case::many_log_name;
use crate::finding::Shape;
use crate::history::{History, LogFile};
use crate::scenario::{Many, Size};
use crate::trace::many::{ManyEvent, Order, When};
use crate::trace::{Event, Exit};

const TASKS: u32 = 3;

/// Three tasks that were started, written to and stopped, and nothing is wrong.
fn many() -> History {
    let mut history = good(vec![
        records(Stream::Stdout, 12),
        records(Stream::Stderr, 4),
    ]);
    let scenario = &mut history.case.scenario;
    scenario.many = Some(Many {
        tasks: TASKS,
        descriptors: None,
    });
    scenario.limits.max_files = 3;
    scenario.limits.max_file_bytes = Size(500);
    scenario.rules = ["COST-2", "COST-3", "COST-1", "DATA-1", "DATA-2", "MON-7"]
        .map(|id| id.parse().unwrap())
        .to_vec();
    for (at_us, when, tasks) in [
        (100, When::Before, 0),
        (200, When::Started, TASKS),
        (300, When::Written, TASKS),
        (400, When::Stopped, 0),
    ] {
        measured(&mut history, at_us, when, |_| {});
        if let Some(entry) = history.entries.iter_mut().find(|one| one.at_us == at_us)
            && let Event::Many(ManyEvent::Measured { tasks: there, .. }) = &mut entry.event
        {
            *there = tasks;
        }
    }
    for task in 0..TASKS {
        let mut files = BTreeMap::new();
        let mut written = [0; 2];
        for stream in Stream::BOTH {
            let bytes = sent(&history, task, stream);
            written[stream.index()] = bytes.len() as u64;
            files.insert(stream, cut(task, stream, &bytes));
        }
        history.many.insert(task, files);
        add(&mut history, 150, command(task, Order::Start, None));
        add(&mut history, 350, command(task, Order::Stop, Some(written)));
    }
    history
}

/// Bytes in files of 5 records.
fn cut(task: u32, stream: Stream, bytes: &[u8]) -> Vec<LogFile> {
    let file = |(index, bytes): (u64, &[u8])| LogFile {
        index,
        name: format!("{}.{index}", many_log_name(task, stream)),
        bytes: bytes.to_vec(),
    };
    (0..).zip(bytes.chunks(500)).map(file).collect()
}

fn command(task: u32, order: Order, written: Option<[u64; 2]>) -> Event {
    Event::Many(ManyEvent::Commanded {
        task,
        order,
        exit: Some(Exit::Code(0)),
        after_ms: 2,
        said: String::new(),
        written,
    })
}

/// Another end of the command about a task.
fn ended(history: &mut History, order: Order, task: u32, how: Option<Exit>, what: &str) {
    for entry in &mut history.entries {
        if let Event::Many(ManyEvent::Commanded {
            task: at,
            order: is,
            exit,
            said,
            written,
            ..
        }) = &mut entry.event
            && (*at, *is) == (task, order)
        {
            (*exit, *written, *said) = (how, None, what.to_owned());
        }
    }
}

fn measured(history: &mut History, at_us: u64, when: When, change: impl Fn(&mut [u64; 3])) {
    let mut figures = [1, 20, 1_000_000];
    change(&mut figures);
    let [processes, fds, memory_bytes] = figures;
    let event = Event::Many(ManyEvent::Measured {
        when,
        tasks: TASKS,
        processes,
        threads: 1,
        fds,
        memory_bytes,
        page_table_bytes: 4_096,
    });
    history.entries.retain(|entry| entry.at_us != at_us);
    add(history, at_us, event);
}

fn shapes(history: &History) -> Vec<Shape> {
    let findings = judge(history).findings;
    findings.iter().map(|one| one.shape).collect()
}

/// Replaces what stands in the log of a task's stdout.
fn logged(history: &mut History, task: u32, bytes: &[u8]) {
    let files = cut(task, Stream::Stdout, bytes);
    history
        .many
        .get_mut(&task)
        .unwrap()
        .insert(Stream::Stdout, files);
}

#[test]
fn nothing_is_wrong_with_tasks_whose_bytes_are_all_there() {
    assert_eq!(judge(&many()).findings, []);
}

#[test]
fn what_is_missing_is_told_by_its_place() {
    let all = sent(&many(), 1, Stream::Stdout);
    for (rest, shape) in [
        (Vec::new(), Shape::LostAll),
        (all[500..].to_vec(), Shape::LostHead),
        ([&all[..300], &all[600..]].concat(), Shape::LostMiddle),
        (all[..900].to_vec(), Shape::LostTail),
    ] {
        let mut history = many();
        logged(&mut history, 1, &rest);
        assert_eq!(shapes(&history), [shape]);
    }
}

#[test]
fn files_that_were_closed_after_each_line_are_no_reason_for_a_lost_beginning() {
    let full = |bytes_per_file: usize| {
        let mut history = many();
        history.case.scenario.limits.max_files = 2;
        history.case.scenario.limits.max_file_bytes = Size(500);
        let all = sent(&history, 1, Stream::Stdout);
        let kept = &all[all.len() - 2 * bytes_per_file..];
        let file = |(index, bytes): (usize, &[u8])| LogFile {
            index: 5 + index as u64,
            name: format!("t1.stdout.{}", 5 + index),
            bytes: bytes.to_vec(),
        };
        let files = kept.chunks(bytes_per_file).enumerate().map(file).collect();
        let both = history.many.get_mut(&1).unwrap();
        both.insert(Stream::Stdout, files);
        shapes(&history)
    };
    assert!(!full(400).contains(&Shape::LostHead));
    assert!(full(100).contains(&Shape::LostHead));
}

#[test]
fn a_record_of_another_task_is_no_own_one() {
    let mut history = many();
    let other = sent(&history, 2, Stream::Stdout);
    logged(&mut history, 1, &other);
    let findings = judge(&history).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].shape, Shape::StreamsMixed);
    assert_eq!(findings[0].rule.as_str(), "DATA-2");
    assert!(
        findings[0].headline.contains("t2's stdout"),
        "{}",
        findings[0].headline
    );
}

#[test]
fn damage_of_many_tasks_is_one_finding_that_counts_them() {
    let mut history = many();
    for task in 0..TASKS {
        logged(&mut history, task, &[]);
    }
    let findings = judge(&history).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].headline.ends_with("3 tasks in all"),
        "{}",
        findings[0].headline
    );
}

#[test]
fn retention_may_delete_the_beginning_when_there_are_as_many_files_as_allowed() {
    let purged = |max_files: u32| {
        let mut history = many();
        history.case.scenario.limits.max_files = max_files;
        let files = history.many.get_mut(&0).unwrap();
        files.get_mut(&Stream::Stdout).unwrap().remove(0);
        for task in 1..TASKS {
            let files = history.many.get_mut(&task).unwrap();
            let stdout = files.get_mut(&Stream::Stdout).unwrap();
            stdout.drain(..stdout.len().saturating_sub(max_files as usize));
        }
        shapes(&history)
    };
    assert_eq!(purged(2), []);
    assert_eq!(purged(3), [Shape::LostHead]);
}

#[test]
fn files_have_bounds() {
    let mut history = many();
    history.case.scenario.limits.max_file_bytes = Size(499);
    assert_eq!(shapes(&history), [Shape::OversizeFile]);
    let mut history = many();
    history.case.scenario.limits.max_files = 2;
    assert_eq!(shapes(&history), [Shape::TooManyFiles]);
}

#[test]
fn every_task_must_be_taken_if_there_are_descriptors() {
    let mut history = many();
    ended(&mut history, Order::Start, 1, Some(Exit::Code(71)), "why");
    assert_eq!(shapes(&history), [Shape::Died]);
    let mut history = many();
    ended(&mut history, Order::Start, 1, None, "");
    assert_eq!(shapes(&history), [Shape::Blocked]);
    let mut history = many();
    ended(&mut history, Order::Stop, 1, Some(Exit::Code(1)), "");
    assert_eq!(shapes(&history), [Shape::Died]);
    let mut history = many();
    ended(&mut history, Order::Stop, 1, None, "");
    assert_eq!(shapes(&history), [Shape::Blocked]);
}

#[test]
fn a_task_for_which_there_are_no_descriptors_is_refused_with_a_word() {
    let refused = |said: &str, how: Exit, all: bool| {
        let mut history = many();
        history.case.scenario.many = Some(Many {
            tasks: TASKS,
            descriptors: Some(5),
        });
        for task in 0..if all { TASKS } else { 1 } {
            ended(&mut history, Order::Start, task, Some(how), said);
            // What was not taken has nothing in its log.
            history.many.insert(task, BTreeMap::new());
        }
        shapes(&history)
    };
    assert_eq!(refused("no descriptors", Exit::Code(71), false), []);
    assert_eq!(refused(" \n", Exit::Code(71), false), [Shape::Died]);
    assert_eq!(refused("", Exit::Signal(9), false), [Shape::Died]);
    assert_eq!(refused("none", Exit::Code(71), true), [Shape::Died]);
}

#[test]
fn a_task_that_was_not_taken_has_what_it_wrote() {
    let left = |is_same: bool| {
        let mut history = many();
        let event = ManyEvent::Left {
            task: 2,
            stream: Stream::Stdout,
            bytes: 100,
            of: 400,
            is_same,
        };
        add(&mut history, 450, Event::Many(event));
        shapes(&history)
    };
    assert_eq!(left(true), []);
    assert_eq!(left(false), [Shape::LostHead]);
}

#[test]
fn what_a_fifo_did_not_take_is_not_lost() {
    let mut history = many();
    let all = sent(&history, 1, Stream::Stdout);
    let event = ManyEvent::NotWritten {
        task: 1,
        stream: Stream::Stdout,
        bytes: 700,
        of: all.len() as u64,
        is_read: true,
    };
    add(&mut history, 310, Event::Many(event));
    logged(&mut history, 1, &all[..700]);
    assert_eq!(shapes(&history), [Shape::Blocked]);
}

#[test]
fn what_a_fifo_took_is_read() {
    let mut history = many();
    let event = ManyEvent::NotRead {
        task: 1,
        stream: Stream::Stderr,
        bytes: 1,
        within_ms: 10_000,
    };
    add(&mut history, 310, Event::Many(event));
    assert_eq!(shapes(&history), [Shape::Blocked]);
}

#[test]
fn a_stop_is_done_when_everything_is_written() {
    let mut history = many();
    for entry in &mut history.entries {
        if let Event::Many(ManyEvent::Commanded {
            task: 1,
            written: Some(written),
            ..
        }) = &mut entry.event
        {
            written[1] -= 1;
        }
    }
    let findings = judge(&history).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].shape, findings[0].rule.as_str()),
        (Shape::Late, "MON-7")
    );
}

#[test]
fn a_task_may_cost_100_000_bytes_and_no_process_and_no_descriptor_that_stays() {
    let with = |at_us: u64, when: When, change: &dyn Fn(&mut [u64; 3])| {
        let mut history = many();
        measured(&mut history, at_us, when, change);
        shapes(&history)
    };
    let memory = |bytes: u64| move |figures: &mut [u64; 3]| figures[2] += bytes;
    for (at_us, when) in [(200, When::Started), (300, When::Written)] {
        assert_eq!(with(at_us, when, &memory(300_000)), []);
        assert_eq!(with(at_us, when, &memory(300_003)), [Shape::GrowthMemory]);
    }
    let processes = |figures: &mut [u64; 3]| figures[0] += 1;
    assert_eq!(with(200, When::Started, &processes), [Shape::GrowthProcess]);
    let fds = |more: u64| move |figures: &mut [u64; 3]| figures[1] += more;
    assert_eq!(with(400, When::Stopped, &fds(32)), []);
    assert_eq!(with(400, When::Stopped, &fds(33)), [Shape::GrowthFd]);
    assert_eq!(with(200, When::Started, &fds(9_999)), []);
}

#[test]
fn costs_are_judged_only_where_the_case_is_about_them() {
    let mut history = many();
    history.case.scenario.rules = vec!["HEAL-6".parse().unwrap()];
    measured(&mut history, 300, When::Written, |figures| {
        *figures = [9, 9_999, 99_000_000];
    });
    measured(&mut history, 400, When::Stopped, |figures| {
        *figures = [9, 9_999, 99_000_000];
    });
    assert_eq!(shapes(&history), []);
}
