//! Core: what becomes one record, where it says that bytes are missing, and when it is tried.

use std::ffi::OsStr;

use super::*;
use crate::name::MAX_HOST_NAME_BYTES;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn place(index: u32, offset: u64) -> Place {
    Place { index, offset }
}

fn gap(place: Place, bytes: u64, in_total_bytes: u64, from: u64, until: u64) -> Gap {
    Gap {
        place,
        places: 1,
        bytes,
        in_total_bytes,
        from: ms(from),
        until: ms(until),
    }
}

#[test]
fn bytes_dropped_at_one_position_are_one_gap_and_it_is_due_when_it_can_grow_no_more() {
    let mut losses = Losses::default();
    losses.dropped(100, Some(place(1, 40)), 5, 5, ms(10));
    losses.dropped(100, Some(place(1, 40)), 7, 12, ms(20));
    assert_eq!(losses.due(ms(30)), None);
    losses.close();
    let told = Loss::Dropped(gap(place(1, 40), 12, 12, 10, 20));
    assert_eq!(losses.due(ms(30)), Some(told));
    losses.recorded(told);
    assert_eq!(losses.due(ms(30)), None);
    assert_eq!(losses.next_try(), None);
}

#[test]
fn a_gap_behind_bytes_that_are_not_written_gets_its_place_when_they_are() {
    let mut losses = Losses::default();
    losses.dropped(130, None, 5, 5, ms(10));
    losses.close();
    losses.wrote(100, 29, place(3, 50));
    assert_eq!(losses.due(ms(10)), None);
    let mut other = Losses::default();
    other.dropped(130, None, 5, 5, ms(10));
    other.close();
    // A write that ends right there.
    other.wrote(100, 30, place(3, 50));
    assert_eq!(
        other.due(ms(10)),
        Some(Loss::Dropped(gap(place(3, 80), 5, 5, 10, 10)))
    );
    // A write that goes beyond it, in the next file.
    losses.wrote(129, 20, place(4, 0));
    assert_eq!(
        losses.due(ms(10)),
        Some(Loss::Dropped(gap(place(4, 1), 5, 5, 10, 10)))
    );
}

#[test]
fn bytes_written_between_make_two_gaps_and_a_recorded_gap_does_not_grow() {
    let mut losses = Losses::default();
    losses.dropped(10, Some(place(0, 10)), 1, 1, ms(1));
    losses.dropped(11, Some(place(0, 11)), 2, 3, ms(2));
    losses.close();
    let first = Loss::Dropped(gap(place(0, 10), 1, 1, 1, 1));
    assert_eq!(losses.due(ms(2)), Some(first));
    losses.recorded(first);
    let second = Loss::Dropped(gap(place(0, 11), 2, 3, 2, 2));
    assert_eq!(losses.due(ms(2)), Some(second));
    losses.recorded(second);
    losses.dropped(11, Some(place(0, 11)), 4, 7, ms(3));
    losses.close();
    assert_eq!(
        losses.due(ms(3)),
        Some(Loss::Dropped(gap(place(0, 11), 4, 7, 3, 3)))
    );
}

#[test]
fn what_comes_while_many_records_wait_is_added_to_the_last_and_nothing_gets_lost() {
    let mut losses = Losses::default();
    for number in 0..1000 {
        losses.dropped(
            number,
            Some(place(0, number)),
            3,
            3 * (number + 1),
            ms(number),
        );
        // Every other index is foreign.
        losses.deleted(2 * number as u32, 10, ms(number));
    }
    losses.close();
    assert_eq!(losses.unrecorded_bytes(), 3000);
    assert_eq!(losses.unrecorded_files(), 1000);
    let mut told = Vec::new();
    while let Some(loss) = losses.due(ms(1000)) {
        losses.recorded(loss);
        told.push(loss);
    }
    assert_eq!(told.len(), 2 * MAX_PENDING);
    let last = Gap {
        places: 1000 - 15,
        ..gap(place(0, 15), 3 * (1000 - 15), 3000, 15, 999)
    };
    assert_eq!(told[MAX_PENDING - 1], Loss::Dropped(last));
    let last = Deletion {
        first_index: 30,
        last_index: 1998,
        files: 1000 - 15,
        bytes: 10 * (1000 - 15),
        from: ms(15),
        until: ms(999),
    };
    assert_eq!(told[2 * MAX_PENDING - 1], Loss::Deleted(last));
}

#[test]
fn files_deleted_one_after_the_other_are_one_record() {
    let mut losses = Losses::default();
    losses.deleted(4, 10, ms(1));
    losses.deleted(5, 20, ms(2));
    losses.deleted(7, 30, ms(3));
    let both = Loss::Deleted(Deletion {
        first_index: 4,
        last_index: 5,
        files: 2,
        bytes: 30,
        from: ms(1),
        until: ms(2),
    });
    assert_eq!(losses.due(ms(3)), Some(both));
    losses.recorded(both);
    assert_eq!(losses.unrecorded_files(), 1);
}

#[test]
fn a_record_that_fails_is_tried_again_with_growing_pauses() {
    let mut losses = Losses::default();
    losses.deleted(0, 10, ms(0));
    let mut now = ms(0);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert!(losses.due(now).is_some());
        losses.not_recorded(now);
        let next = losses.next_try().unwrap();
        assert_eq!(losses.due(next - ms(1)), None);
        pauses.push((next - now).as_millis());
        now = next;
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 500, 500]);
}

#[test]
fn at_the_end_each_record_is_tried_once_more_and_at_once() {
    let mut losses = Losses::default();
    losses.dropped(10, None, 5, 5, ms(0));
    losses.deleted(0, 10, ms(0));
    losses.not_recorded(ms(0));
    losses.end(place(2, 7));
    let told = Loss::Dropped(gap(place(2, 7), 5, 5, 0, 0));
    assert_eq!(losses.due(ms(1)), Some(told));
    losses.recorded(told);
    assert!(losses.due(ms(1)).is_some());
    losses.not_recorded(ms(1));
    losses.end(place(2, 7));
    assert_eq!(losses.due(ms(60_000)), None);
    assert_eq!(losses.unrecorded_files(), 1);
}

#[test]
fn a_record_is_one_line_of_json() {
    let stream = StreamName::parse(OsStr::new("we\"b.stdout")).unwrap();
    let time = |at| SystemTime::UNIX_EPOCH + at;
    let line = Loss::Dropped(gap(place(3, 10_240), 600, 900, 1000, 2500)).line(&stream, time);
    assert_eq!(
        line.unwrap(),
        "{\"stream\":\"we\\\"b.stdout\",\"dropped_bytes\":600,\"dropped_in_total\":900,\
         \"from\":\"1970-01-01T00:00:01.000Z\",\"until\":\"1970-01-01T00:00:02.500Z\",\
         \"index\":3,\"offset\":10240,\"places\":1}\n"
    );
    let deletion = Deletion {
        first_index: 0,
        last_index: 1,
        files: 2,
        bytes: 2048,
        from: ms(0),
        until: ms(1),
    };
    assert_eq!(
        Loss::Deleted(deletion).line(&stream, time).unwrap(),
        "{\"stream\":\"we\\\"b.stdout\",\"deleted_files\":2,\"deleted_bytes\":2048,\
         \"first_index\":0,\"last_index\":1,\
         \"from\":\"1970-01-01T00:00:00.000Z\",\"until\":\"1970-01-01T00:00:00.001Z\"}\n"
    );
}

#[test]
fn the_longest_record_is_shorter_than_2_kib() {
    // Each of them has six bytes in JSON.
    let stream = StreamName::of_host(&"\u{1}".repeat(MAX_HOST_NAME_BYTES)).unwrap();
    let longest = Gap {
        places: u64::MAX,
        ..gap(place(u32::MAX, u64::MAX), u64::MAX, u64::MAX, 0, 0)
    };
    let line = Loss::Dropped(longest).line(&stream, |at| SystemTime::UNIX_EPOCH + at);
    assert!(line.unwrap().len() < 2048);
}
