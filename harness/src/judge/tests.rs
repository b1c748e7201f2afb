//! The judge against hand-made histories: each shape and its near misses. (core)

use mock_driver::journal;
use mock_driver::script::Step;
use mock_driver::stream::Stream;

use super::judge;
use super::stage::{add, good, put, records, sent};
use crate::finding::Shape;
use crate::history::History;
use crate::outcome::Status;
use crate::scenario::{Exactness, Limits, SignalName, Size};
use crate::trace::{Event, Exit, LookEntry};

use Stream::{Stderr, Stdout};

pub(super) fn both(out: u32, err: u32) -> History {
    good(vec![records(Stdout, out), records(Stderr, err)])
}

pub(super) fn shapes(history: &History) -> Vec<Shape> {
    let verdict = judge(history);
    assert!(
        verdict.suite_errors.is_empty(),
        "{:?}",
        verdict.suite_errors
    );
    verdict
        .findings
        .iter()
        .map(|finding| finding.shape)
        .collect()
}

/// The shapes when stdout's log is made of these records.
pub(super) fn with_records(order: impl IntoIterator<Item = usize>) -> Vec<Shape> {
    let mut history = both(50, 3);
    let all = sent(&history, 0, Stdout);
    let bytes = order
        .into_iter()
        .flat_map(|seq| all[seq * 100..seq * 100 + 100].to_vec())
        .collect();
    put(&mut history, Stdout, vec![bytes]);
    shapes(&history)
}

pub(super) fn with_bytes(change: impl FnOnce(&mut Vec<u8>)) -> (Vec<Shape>, String) {
    let mut history = both(50, 3);
    let mut bytes = sent(&history, 0, Stdout);
    change(&mut bytes);
    put(&mut history, Stdout, vec![bytes]);
    let headline = judge(&history)
        .findings
        .first()
        .map_or_else(String::new, |finding| finding.headline.clone());
    (shapes(&history), headline)
}

#[test]
fn a_good_history_passes() {
    let verdict = judge(&both(50, 3));
    assert_eq!(verdict.status(), Status::Pass, "{verdict:?}");
}

#[test]
fn a_first_record_changed_into_the_head_of_a_later_one_is_altered_and_neither_lost_nor_repeated() {
    // The last two digits of its sequence number, and the bits that give the number of another record.
    for (at, bit) in [(29, 0), (29, 2), (30, 0), (30, 3)] {
        let (found, _) = with_bytes(|bytes| bytes[at] ^= 1 << bit);
        assert_eq!(found, [Shape::Altered], "byte {at}, bit {bit}");
    }
}

#[test]
fn lost_records_are_counted_and_placed() {
    assert_eq!(with_records((0..10).chain(20..50)), [Shape::LostMiddle]);
    assert_eq!(with_records(10..50), [Shape::LostHead]);
    assert_eq!(with_records(0..40), [Shape::LostTail]);
    assert_eq!(with_records([]), [Shape::LostAll]);
    assert_eq!(
        with_records((0..10).chain(20..30).chain(31..40)),
        [Shape::LostMiddle, Shape::LostTail]
    );
}

#[test]
fn repeated_and_moved_records_are_told_apart() {
    assert_eq!(with_records((0..50).chain([49])), [Shape::Repeated]);
    assert_eq!(with_records((0..20).chain(19..50)), [Shape::Repeated]);
    assert_eq!(
        with_records((0..10).chain(20..50).chain(10..20)),
        [Shape::Reordered]
    );
}

#[test]
fn bytes_that_were_changed_or_added_are_told_apart() {
    let (found, headline) = with_bytes(|bytes| {
        *bytes = String::from_utf8(bytes.clone())
            .unwrap()
            .replace('\n', "\r\n")
            .into()
    });
    assert_eq!(
        (found, headline.contains("every LF became CR LF")),
        (vec![Shape::Altered], true),
        "{headline}"
    );
    assert_eq!(with_bytes(|bytes| bytes.push(b'\n')).0, [Shape::Added]);
    assert_eq!(with_bytes(|bytes| bytes[1234] ^= 1).0, [Shape::Altered]);
    assert_eq!(
        with_bytes(|bytes| bytes.insert(2000, b'\n')).0,
        [Shape::Altered]
    );
    assert_eq!(
        with_bytes(|bytes| drop(bytes.drain(2060..2070))).0,
        [Shape::LostMiddle, Shape::Torn]
    );
}

#[test]
fn swapped_streams_are_mixed_and_lost() {
    let mut history = both(20, 10);
    let (out, err) = (sent(&history, 0, Stdout), sent(&history, 0, Stderr));
    put(&mut history, Stdout, vec![err]);
    put(&mut history, Stderr, vec![out]);
    assert_eq!(
        shapes(&history),
        [
            Shape::LostAll,
            Shape::LostAll,
            Shape::StreamsMixed,
            Shape::StreamsMixed
        ]
    );
}

#[test]
fn short_swapped_texts_are_mixed_too() {
    let text = |stream, text: &str| Step::Text {
        stream,
        text: text.to_owned(),
    };
    let mut history = good(vec![
        text(Stdout, "to stdout\n"),
        text(Stderr, "and to stderr\n"),
    ]);
    let (out, err) = (sent(&history, 0, Stdout), sent(&history, 0, Stderr));
    put(&mut history, Stdout, vec![[out, err].concat()]);
    put(&mut history, Stderr, vec![]);
    let found = shapes(&history);
    assert!(
        found.contains(&Shape::StreamsMixed) && found.contains(&Shape::LostAll),
        "{found:?}"
    );
}

/// A kill with 640 of 1,900 records in the pipe, which nobody else holds.
pub(super) fn killed_with_a_full_pipe() -> History {
    let mut history = good(vec![records(Stdout, 1_900)]);
    let all = sent(&history, 0, Stdout);
    put(
        &mut history,
        Stdout,
        vec![[&all[..20_000], &all[84_000..]].concat()],
    );
    add(
        &mut history,
        100,
        Event::Pipe {
            stream: Stdout,
            bytes: 64_000,
            capacity: 65_536,
        },
    );
    add(
        &mut history,
        110,
        Event::LogmonSignalled {
            life: 1,
            signal: SignalName::Kill,
        },
    );
    for entry in &mut history.entries {
        if let Event::LogmonExited { exit, .. } = &mut entry.event {
            entry.at_us = 120;
            *exit = Exit::Signal(9);
        }
    }
    history.entries.sort_by_key(|entry| entry.at_us);
    history
}

#[test]
fn a_lost_pipe_reads_as_in_the_handbook() {
    let verdict = judge(&killed_with_a_full_pipe());
    let finding = &verdict.findings[0];
    assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
    assert_eq!(finding.shape, Shape::LostPipeContent);
    assert_eq!(
        finding.headline,
        "640 records lost (64,000 bytes), in one piece, in the middle of stdout"
    );
    assert_eq!(
        finding.details[..2],
        [
            "sent 0…1899   received 0…199, 840…1899   nothing repeated, torn or out of order",
            "demo.stdout.0 at byte 20,000:  …199 ok | 200…839 missing | 840 ok…",
        ]
    );
}

#[test]
fn a_pipe_is_lost_however_long_before_its_reader_the_writer_left() {
    let let_go_at = |closed_us: u64, opened_again_us: Option<u64>| {
        let mut history = killed_with_a_full_pipe();
        let late_us = 900_000;
        for entry in &mut history.entries {
            if entry.at_us >= 110 {
                entry.at_us += late_us;
            }
        }
        let line = |at_us, event| journal::Line { at_us, event };
        let (stream, fd) = (Stdout, 7);
        let opened = |at_us| line(at_us, journal::Event::Opened { stream, fd });
        let mut lines = vec![opened(10)];
        lines.push(line(closed_us, journal::Event::Closed { stream, fd }));
        lines.extend(opened_again_us.map(opened));
        history.driver.insert(0, lines);
        shapes(&history)
    };
    assert_eq!(let_go_at(105, None), [Shape::LostPipeContent]);
    assert_eq!(let_go_at(105, Some(106)), [Shape::LostMiddle]);
}

#[test]
fn with_a_spare_reader_the_same_loss_is_not_the_pipes() {
    let mut history = killed_with_a_full_pipe();
    add(&mut history, 50, Event::SpareReader { held: true });
    assert_eq!(shapes(&history), [Shape::LostMiddle]);
}

#[test]
fn a_loss_is_not_the_pipes_while_a_logmon_reads() {
    // As much was seen in the pipe once, and the driver ended; but the reader was still there.
    let mut history = both(50, 0);
    let mut kept = sent(&history, 0, Stdout);
    kept.drain(700..800);
    put(&mut history, Stdout, vec![kept]);
    let (stream, capacity) = (Stdout, 65_536);
    for (at_us, bytes) in [(500, 100), (8_000, 0)] {
        let level = Event::Pipe {
            stream,
            bytes,
            capacity,
        };
        add(&mut history, at_us, level);
    }
    assert_eq!(shapes(&history), [Shape::LostMiddle]);
}

#[test]
fn a_kill_may_cost_what_the_scenario_allows_and_no_more() {
    let mut history = killed_with_a_full_pipe();
    history.case.scenario.expect.loss_per_kill_bytes = 64_000;
    assert_eq!(shapes(&history), []);
    history.case.scenario.expect.loss_per_kill_bytes = 63_999;
    assert_eq!(shapes(&history), [Shape::LostPipeContent]);
}

#[test]
fn an_ended_task_owes_what_the_kernel_took() {
    let mut history = both(50, 0);
    let all = sent(&history, 0, Stdout);
    add(&mut history, 40, Event::DriverStopAsked { generation: 0 });
    let wrote = journal::Event::Wrote {
        stream: Stdout,
        end: 2_000,
        bytes: 100,
        seq: None,
    };
    history.task.insert(
        0,
        vec![journal::Line {
            at_us: 5,
            event: wrote,
        }],
    );
    for entry in &mut history.entries {
        if let Event::DriverExited { exit, .. } = &mut entry.event {
            *exit = Exit::Code(143);
        }
    }
    for (kept, expected) in [
        (2_000, vec![]),
        (2_050, vec![]),
        (1_900, vec![Shape::LostTail]),
    ] {
        put(&mut history, Stdout, vec![all[..kept].to_vec()]);
        assert_eq!(shapes(&history), expected, "{kept}");
    }
}

#[test]
fn retention_may_delete_the_beginning_only_when_there_are_too_many_files() {
    let mut history = both(50, 3);
    let limits = Limits {
        max_files: 2,
        max_file_bytes: Size(2_000),
        line_guard: Size(100),
        ..Limits::default()
    };
    history.case.scenario.expect.stdout = Exactness::Suffix;
    for entry in &mut history.entries {
        if let Event::LogmonStarted { limits: of, .. } = &mut entry.event {
            *of = limits.clone();
        }
    }
    let all = sent(&history, 0, Stdout);
    put(
        &mut history,
        Stdout,
        vec![all[2_000..4_000].to_vec(), all[4_000..].to_vec()],
    );
    for file in history.files.get_mut(&Stdout).unwrap() {
        file.index += 1;
    }
    assert_eq!(shapes(&history), []);
    history.files.get_mut(&Stdout).unwrap().remove(0);
    assert_eq!(shapes(&history), [Shape::LostHead]);
}

#[test]
fn closed_files_must_be_full_and_lines_whole() {
    let mut history = both(50, 0);
    for entry in &mut history.entries {
        if let Event::LogmonStarted { limits, .. } = &mut entry.event {
            *limits = Limits {
                max_files: 9,
                max_file_bytes: Size(2_050),
                line_guard: Size(150),
                ..Limits::default()
            };
        }
    }
    history.case.scenario.expect.full_files = true;
    let all = sent(&history, 0, Stdout);
    for (cut, expected) in [
        (2_000, vec![]),
        (2_010, vec![Shape::LineSplit]),
        (1_900, vec![Shape::EarlyRotation]),
        (1_905, vec![Shape::LineSplit, Shape::EarlyRotation]),
    ] {
        put(
            &mut history,
            Stdout,
            vec![all[..cut].to_vec(), all[cut..].to_vec()],
        );
        assert_eq!(shapes(&history), expected, "{cut}");
    }
}

/// Name, bytes and inode of each file.
type Files<'a> = &'a [(&'a str, u64, u64)];

fn look(files: Files<'_>) -> Event {
    let entries = files
        .iter()
        .map(|&(name, bytes, ino)| LookEntry {
            name: name.to_owned(),
            kind: "file".to_owned(),
            bytes,
            ino,
        })
        .collect();
    Event::Look {
        why: "plan".to_owned(),
        entries,
    }
}

#[test]
fn the_folder_is_watched_at_every_look() {
    let cases: [(Files, Files, &[Shape]); 6] = [
        (
            &[("demo.stdout.0", 10, 1)],
            &[("demo.stdout.0", 20, 1), ("demo.stdout.1", 5, 2)],
            &[],
        ),
        (
            &[("demo.stdout.0", 10, 1)],
            &[("demo.stdout.0", 5, 1)],
            &[Shape::FileRewritten],
        ),
        (
            &[("demo.stdout.0", 10, 1)],
            &[("demo.stdout.0", 10, 9)],
            &[Shape::FileRewritten],
        ),
        (
            &[("demo.stdout.3", 10, 1)],
            &[("demo.stdout.3", 10, 1), ("demo.stdout.0", 1, 2)],
            &[Shape::FileRewritten],
        ),
        (
            &[("demo.stdout.0", 10, 1), ("demo.stdout.1", 1, 2)],
            &[("demo.stdout.1", 20, 2)],
            &[],
        ),
        (
            &[],
            &[("demo.stdout.0", (10 << 20) + 1, 1)],
            &[Shape::OversizeFile],
        ),
    ];
    for (before, after, expected) in cases {
        let mut history = both(5, 5);
        add(&mut history, 100, look(before));
        add(&mut history, 200, look(after));
        assert_eq!(shapes(&history), expected, "{after:?}");
    }
    let mut history = both(5, 5);
    let names: Vec<String> = (0..11)
        .map(|index| format!("demo.stderr.{index}"))
        .collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 1)).collect();
    add(&mut history, 100, look(&files));
    assert_eq!(shapes(&history), [Shape::TooManyFiles]);
}

fn exited(how: Exit) -> History {
    let mut history = both(5, 5);
    for entry in &mut history.entries {
        if let Event::DriverExited { exit, .. } = &mut entry.event {
            *exit = how;
        }
    }
    history
}

#[test]
fn the_reported_exit_must_be_the_tasks() {
    assert_eq!(shapes(&exited(Exit::Code(1))), [Shape::WrongExit]);
    assert_eq!(
        shapes(&exited(Exit::Signal(13))),
        [Shape::WriterKilled, Shape::WrongExit]
    );
    let mut off = exited(Exit::Code(1));
    off.case.scenario.expect.exit_matters = false;
    assert_eq!(shapes(&off), []);
}

#[test]
fn a_direct_task_without_any_reader_cannot_be_blamed_for_sigpipe() {
    let mut history = exited(Exit::Signal(13));
    history.case.driver_capabilities.clear();
    history.task.insert(0, history.task[&0][..2].to_vec());
    assert_eq!(shapes(&history), [Shape::WriterKilled]);
    add(
        &mut history,
        25,
        Event::LogmonSignalled {
            life: 1,
            signal: SignalName::Kill,
        },
    );
    assert_eq!(shapes(&history), []);
}

#[test]
fn a_logmon_that_ends_unasked_has_died() {
    let mut history = both(5, 5);
    for entry in &mut history.entries {
        if let Event::LogmonExited { asked, .. } = &mut entry.event {
            *asked = false;
        }
    }
    let verdict = judge(&history);
    assert_eq!(verdict.findings[0].shape, Shape::Died);
    assert_eq!(verdict.findings[0].rule.as_str(), "MON-2");
}

#[test]
fn an_unmet_condition_is_a_finding_only_if_the_scenario_says_so() {
    let unmet = |otherwise| Event::Unmet {
        text: "pipe full".into(),
        within_ms: 5_000,
        last: vec!["pipe 0 of 65,536 B".into()],
        otherwise,
        rule: None,
        stream: None,
    };
    let mut history = both(5, 5);
    add(&mut history, 50, unmet(None));
    assert_eq!(judge(&history).status(), Status::Inconclusive);
    add(&mut history, 51, unmet(Some(Shape::Blocked)));
    assert_eq!(judge(&history).findings[0].rule.as_str(), "LIFE-1");
}

#[test]
fn a_trace_without_its_end_is_the_suites_error() {
    let mut history = both(5, 5);
    history.entries.pop();
    assert_eq!(judge(&history).status(), Status::ErrorSuite);
}
