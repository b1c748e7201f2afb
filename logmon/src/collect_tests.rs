//! Core: the state machine of a stream, played in a world without a clock, files or pipes.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::Limits;
use crate::losses::Loss;
use crate::recovery::Recovery;

fn machine(on_full: OnFull, max_file_bytes: u64, line_guard: u64) -> Collect {
    let limits = Limits::checked(1000, max_file_bytes, line_guard).unwrap();
    Collect::new(
        Planner::new(limits, &Recovery::default(), false),
        Pacing::new(1 << 16),
        on_full,
    )
}

const PREPARE: Step = Step::Rotate(RotationStep::Prepare);

/// A failure that no deletion mends.
fn failed(step: Step) -> Event {
    Event::Failed {
        step,
        fault: Fault::Other,
    }
}

fn dropped_bytes(loss: Loss) -> u64 {
    match loss {
        Loss::Dropped(gap) => gap.bytes,
        Loss::Deleted(_) => 0,
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What was played: the log, the reports with their times, and what was never written.
struct Played {
    log: Vec<u8>,
    reports: Vec<(Duration, Report)>,
    counters: Counters,
    window: Vec<u8>,
    longest_without_reading: Duration,
    largest_window: usize,
    stopped_within: Duration,
    recorded_bytes: u64,
}

/// Plays an input in chunks against a folder that fails in the time given; stops when all is read.
fn play(
    mut machine: Collect,
    input: &[u8],
    chunks: &[usize],
    short: usize,
    fault: Range<u64>,
) -> Played {
    let (mut now, mut window, mut log, mut at, mut turn) =
        (Duration::ZERO, Vec::new(), Vec::new(), 0, 0);
    let mut reports = Vec::new();
    let (mut last_reading, mut longest_without_reading, mut largest_window) =
        (Duration::ZERO, Duration::ZERO, 0);
    let (mut stop_at, mut recorded) = (None, 0);
    let mut event = Event::Started;
    loop {
        let action = machine.handle(event, Window::all(&window), now);
        if let Event::Wrote(bytes) = event {
            log.extend(window.drain(..bytes));
        }
        reports.extend(
            machine
                .take_reports()
                .into_iter()
                .map(|report| (now, report)),
        );
        now += ms(1);
        let is_faulty = fault.contains(&(now.as_millis() as u64));
        event = match action {
            Action::Perform(step) if is_faulty => failed(step),
            Action::Perform(Step::Write(bytes)) => Event::Wrote(bytes.min(short)),
            Action::Perform(Step::Rotate(step)) => Event::Rotated(step),
            Action::Perform(Step::Delete(index)) => Event::Deleted(index),
            Action::Perform(other) => panic!("{other:?} is nothing to perform"),
            Action::TakeIn => Event::TookIn,
            Action::Record(loss) => {
                recorded += dropped_bytes(*loss);
                Event::Recorded(*loss)
            }
            Action::Discard(range) => {
                window.drain(range);
                Event::Discarded
            }
            Action::Wait { reading, until } => {
                if reading != Reading::No || stop_at.is_some() {
                    last_reading = now;
                }
                longest_without_reading = longest_without_reading.max(now - last_reading);
                if reading != Reading::No && at < input.len() {
                    let bytes = chunks[turn % chunks.len()].min(input.len() - at);
                    window.extend_from_slice(&input[at..at + bytes]);
                    at += bytes;
                    turn += 1;
                    Event::Read(bytes)
                } else if reading == Reading::AtOnce {
                    Event::NoWriter
                } else if at == input.len() && stop_at.is_none() && now > ms(fault.end + 2000) {
                    stop_at = Some(now);
                    Event::Stop
                } else {
                    now = until.map_or(now + ms(20), |until| until.clamp(now, now + ms(20)));
                    Event::Tick
                }
            }
            Action::Finish => break,
        };
        largest_window = largest_window.max(window.len());
        assert!(now < ms(60_000), "it comes to no end");
    }
    Played {
        log,
        reports,
        counters: machine.counters(),
        window,
        longest_without_reading,
        largest_window,
        stopped_within: now - stop_at.unwrap_or(now),
        recorded_bytes: recorded,
    }
}

fn numbered_lines(lengths: &[usize]) -> Vec<u8> {
    let mut input = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        input.extend(format!("{number:06}{}\n", "x".repeat(*length)).bytes());
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn block_loses_nothing_and_keeps_the_order(
        lengths in prop::collection::vec(0usize..40, 0..60), chunks in prop::collection::vec(1usize..90, 1..6),
        short in 1usize..100, start in 0u64..60, lasts in 0u64..3000, has_tail in any::<bool>(),
    ) {
        let mut input = numbered_lines(&lengths);
        if has_tail {
            input.extend(b"tail");
        }
        let played = play(machine(OnFull::Block, 200, 60), &input, &chunks, short, start..start + lasts);
        prop_assert_eq!(played.log, input);
        prop_assert_eq!(played.counters.dropped_bytes, 0);
        prop_assert!(played.window.is_empty());
        prop_assert!(played.largest_window <= 60 + 90);
        prop_assert!(played.stopped_within <= DRAIN_END);
    }

    #[test]
    fn drop_lets_the_task_go_on_and_counts_exactly_what_is_missing(
        lengths in prop::collection::vec(0usize..40, 0..200), chunks in prop::collection::vec(1usize..90, 1..6),
        short in 1usize..100, start in 0u64..60, lasts in 0u64..3000, has_tail in any::<bool>(),
    ) {
        let mut input = numbered_lines(&lengths);
        if has_tail {
            input.extend(b"tail");
        }
        let played = play(machine(OnFull::Drop, 200, 60), &input, &chunks, short, start..start + lasts);
        let counters = played.counters;
        prop_assert_eq!(counters.read_bytes, input.len() as u64);
        prop_assert_eq!(counters.written_bytes, played.log.len() as u64);
        prop_assert_eq!(counters.read_bytes, counters.written_bytes + counters.dropped_bytes);
        let told: u64 = played.reports.iter().map(|(_, report)| match report {
            Report::DroppingEnded { bytes, .. } => *bytes,
            Report::TroubleBegan
            | Report::TroubleEnded { .. }
            | Report::DroppingBegan
            | Report::DeletedForSpace { .. }
            | Report::NotRecorded => 0,
        }).sum();
        prop_assert_eq!(told, counters.dropped_bytes);
        prop_assert_eq!(played.recorded_bytes, counters.dropped_bytes);
        prop_assert!(played.longest_without_reading <= ms(1000));
        // Every line in the log is a line of the input, at most cut short, and in order.
        let mut sources = input.split(|byte| *byte == b'\n');
        for line in played.log.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            prop_assert!(sources.any(|source| source.starts_with(line)), "{:?}", String::from_utf8_lossy(line));
        }
    }
}

#[test]
fn under_block_nothing_is_read_while_the_folder_takes_no_bytes() {
    let mut machine = machine(OnFull::Block, 100, 10);
    assert_eq!(
        machine.handle(Event::Started, Window::all(b""), ms(0)),
        Action::Perform(Step::Rotate(RotationStep::Prepare))
    );
    for millis in [1, 5000, 50_000] {
        let action = machine.handle(failed(PREPARE), Window::all(b""), ms(millis));
        let Action::Wait {
            reading: Reading::No,
            until: Some(until),
        } = action
        else {
            panic!("{action:?}")
        };
        assert!(until <= ms(millis) + LONGEST_PAUSE);
        assert_eq!(
            machine.handle(Event::Tick, Window::all(b""), until),
            Action::Perform(Step::Rotate(RotationStep::Prepare))
        );
    }
    assert_eq!(machine.take_reports(), [Report::TroubleBegan]);
}

#[test]
fn a_stop_with_a_full_disk_ends_in_time_and_reads_nothing() {
    let mut machine = machine(OnFull::Block, 100, 10);
    assert_eq!(
        machine.handle(Event::Started, Window::all(b""), ms(0)),
        Action::Perform(Step::Rotate(RotationStep::Prepare))
    );
    let mut action = machine.handle(failed(PREPARE), Window::all(b""), ms(1));
    let mut now = ms(2);
    let mut event = Event::Stop;
    while action != Action::Finish {
        action = machine.handle(event, Window::all(b""), now);
        event = match &action {
            Action::Perform(step) => failed(*step),
            Action::Wait { reading, until } => {
                assert_eq!(*reading, Reading::No);
                now = until.unwrap();
                Event::Tick
            }
            Action::Discard(_) | Action::TakeIn | Action::Record(_) | Action::Finish => Event::Tick,
        };
    }
    assert!(now <= ms(2) + DRAIN_END);
}

#[test]
fn a_stop_with_a_writer_that_never_ends_ends_in_time() {
    let mut machine = machine(OnFull::Block, 1 << 30, 10);
    let (mut now, mut event, mut window) = (ms(0), Event::Started, &b""[..]);
    let mut last_reading = ms(0);
    loop {
        let action = machine.handle(event, Window::all(window), now);
        if matches!(event, Event::Wrote(_)) {
            window = b"";
        }
        now += ms(1);
        event = match action {
            Action::Perform(Step::Write(bytes)) => Event::Wrote(bytes),
            Action::Perform(Step::Rotate(step)) => Event::Rotated(step),
            Action::Wait {
                reading: Reading::Bytes,
                ..
            } => Event::Stop,
            Action::Wait {
                reading: Reading::AtOnce,
                ..
            } => {
                last_reading = now;
                window = b"more\n";
                Event::Read(5)
            }
            Action::Finish => break,
            other @ (Action::Perform(_)
            | Action::TakeIn
            | Action::Discard(_)
            | Action::Record(_)
            | Action::Wait { .. }) => {
                panic!("{other:?}")
            }
        };
        assert!(now < ms(2000));
    }
    assert!(last_reading <= DRAIN_READING + ms(10));
}

#[test]
fn a_held_line_is_shown_after_the_time_to_hold_and_not_before() {
    let mut machine = machine(OnFull::Block, 100, 50);
    let mut event = Event::Started;
    for _ in 0..2 {
        let Action::Perform(Step::Rotate(step)) = machine.handle(event, Window::all(b""), ms(0))
        else {
            panic!()
        };
        event = Event::Rotated(step);
    }
    assert_eq!(
        machine.handle(event, Window::all(b""), ms(0)),
        Action::Wait {
            reading: Reading::Bytes,
            until: None
        }
    );
    let line = [b"x".repeat(59), b"\n".to_vec()].concat();
    assert_eq!(
        machine.handle(Event::Read(60), Window::all(&line), ms(0)),
        Action::Perform(Step::Write(60))
    );
    assert_eq!(
        machine.handle(Event::Wrote(60), Window::all(&line), ms(0)),
        Action::Wait {
            reading: Reading::Bytes,
            until: None
        }
    );
    let held = Action::Wait {
        reading: Reading::Bytes,
        until: Some(ms(10) + HOLD),
    };
    assert_eq!(
        machine.handle(Event::Read(2), Window::all(b"> "), ms(10)),
        held
    );
    // More of the line does not restart the time, and is read before the line counts as stalled.
    assert_eq!(
        machine.handle(Event::Read(1), Window::all(b"> y"), ms(500)),
        held
    );
    assert_eq!(
        machine.handle(Event::Tick, Window::all(b"> y"), ms(501)),
        Action::Perform(Step::Rotate(RotationStep::Prepare))
    );
}

#[test]
fn the_end_of_the_writers_shows_a_held_line_at_once() {
    let mut machine = machine(OnFull::Block, 100, 50);
    let mut event = Event::Started;
    for _ in 0..2 {
        let Action::Perform(Step::Rotate(step)) = machine.handle(event, Window::all(b""), ms(0))
        else {
            panic!()
        };
        event = Event::Rotated(step);
    }
    assert_eq!(
        machine.handle(event, Window::all(b""), ms(0)),
        Action::Wait {
            reading: Reading::Bytes,
            until: None
        }
    );
    let lines = b"twelve byte\n".repeat(5);
    assert_eq!(
        machine.handle(Event::Read(60), Window::all(&lines), ms(0)),
        Action::Perform(Step::Write(60))
    );
    let _waits: Action = machine.handle(Event::Wrote(60), Window::all(&lines), ms(0));
    let _holds: Action = machine.handle(Event::Read(4), Window::all(b"tail"), ms(1));
    assert_eq!(
        machine.handle(Event::NoWriter, Window::all(b"tail"), ms(2)),
        Action::Perform(Step::Write(4))
    );
    assert_eq!(
        machine.handle(Event::Wrote(4), Window::all(b"tail"), ms(2)),
        Action::Wait {
            reading: Reading::NextWriter,
            until: None
        }
    );
}

#[test]
fn fewer_files_are_deleted_at_once_and_a_full_disk_does_not_delay_it() {
    let limits = |max_files| Limits::checked(max_files, 100, 10).unwrap();
    let recovery = Recovery {
        retained: (0..4).collect(),
        next_index: 4,
        resume: Some(crate::recovery::Resume { index: 3, bytes: 9 }),
        ..Recovery::default()
    };
    let planner = Planner::new(limits(4), &recovery, false);
    let mut machine = Collect::new(planner, Pacing::new(1 << 16), OnFull::Block);
    let idle = Action::Wait {
        reading: Reading::Bytes,
        until: None,
    };
    assert_eq!(
        machine.handle(Event::Started, Window::all(b""), ms(0)),
        idle
    );
    let mut action = machine.handle(Event::SetLimits(limits(2)), Window::all(b""), ms(1));
    for index in 0..2 {
        assert_eq!(action, Action::Perform(Step::Delete(index)));
        action = machine.handle(Event::Deleted(index), Window::all(b""), ms(2));
    }
    assert_eq!(action, idle);
    let written = Action::Perform(Step::Write(2));
    assert_eq!(
        machine.handle(Event::Read(2), Window::all(b"x\n"), ms(3)),
        written
    );
    let _waits: Action = machine.handle(failed(Step::Write(2)), Window::all(b"x\n"), ms(3));
    assert_eq!(machine.condition(), Condition::Blocked);
    assert_eq!(
        machine.handle(Event::SetLimits(limits(1)), Window::all(b"x\n"), ms(4)),
        Action::Perform(Step::Delete(2))
    );
}

/// A stream with a file that has room for a line up to the guard and no more.
fn near_the_end_of_a_file() -> Collect {
    let mut machine = machine(OnFull::Block, 100, 50);
    let mut event = Event::Started;
    for _ in 0..2 {
        let Action::Perform(Step::Rotate(step)) = machine.handle(event, Window::all(b""), ms(0))
        else {
            panic!()
        };
        event = Event::Rotated(step);
    }
    let line = [b"x".repeat(59), b"\n".to_vec()].concat();
    let _waits: Action = machine.handle(event, Window::all(b""), ms(0));
    let _writes: Action = machine.handle(Event::Read(60), Window::all(&line), ms(0));
    let _waits: Action = machine.handle(Event::Wrote(60), Window::all(&line), ms(0));
    machine
}

#[test]
fn a_held_line_that_grows_in_small_pieces_does_not_rest_after_the_time_to_hold() {
    let mut machine = near_the_end_of_a_file();
    let _holds: Action = machine.handle(Event::Read(1), Window::all(b"."), ms(50));
    let _holds: Action = machine.handle(Event::Read(1), Window::all(b".."), ms(49) + HOLD);
    assert_eq!(
        machine.handle(Event::Read(1), Window::all(b"..."), ms(51) + HOLD),
        Action::Wait {
            reading: Reading::Bytes,
            until: Some(ms(50) + HOLD),
        }
    );
    assert_eq!(
        machine.handle(Event::Tick, Window::all(b"..."), ms(51) + HOLD),
        Action::Perform(Step::Rotate(RotationStep::Prepare))
    );
}

#[test]
fn the_end_of_a_rest_does_not_make_a_held_line_count_as_stalled() {
    let mut machine = near_the_end_of_a_file();
    let rests = Action::Wait {
        reading: Reading::No,
        until: Some(ms(1) + crate::pacing::LONGEST_REST),
    };
    assert_eq!(
        machine.handle(Event::Read(2), Window::all(b"> "), ms(1)),
        rests
    );
    // This process was stopped meanwhile, and the rest of the line lies in the pipe.
    assert_eq!(
        machine.handle(Event::Tick, Window::all(b"> "), ms(1000)),
        Action::Wait {
            reading: Reading::Bytes,
            until: Some(ms(1) + HOLD),
        }
    );
}
