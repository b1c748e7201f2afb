//! What the judge says of damage, in words. (core)

use mock_driver::journal;
use mock_driver::stream::Stream::Stdout;

use super::judge;
use super::stage::{add, good, put, records, sent};
use crate::finding::Shape;
use crate::history::History;
use crate::scenario::SignalName;
use crate::trace::Event;

/// The headline and the details of the finding of a shape.
fn said(history: &History, shape: Shape) -> (String, Vec<String>) {
    let verdict = judge(history);
    let found = verdict.findings.iter().find(|one| one.shape == shape);
    let finding = found.unwrap_or_else(|| panic!("no {shape}: {verdict:?}"));
    (finding.headline.clone(), finding.details.clone())
}

/// Fifty records of 100 bytes, of which the log holds these pieces.
fn holding(pieces: &[std::ops::Range<usize>]) -> History {
    let mut history = good(vec![records(Stdout, 50)]);
    let all = sent(&history, 0, Stdout);
    let bytes = pieces.iter().flat_map(|piece| all[piece.clone()].to_vec());
    let bytes = bytes.collect();
    put(&mut history, Stdout, vec![bytes]);
    history
}

#[test]
fn a_record_that_is_cut_and_begun_again_is_told_as_cut() {
    // 40 bytes of the eleventh, then the last five whole ones and all the rest.
    let (headline, details) = said(&holding(&[0..1040, 500..5000]), Shape::Repeated);
    assert_eq!(
        headline,
        "6 records repeated (540 bytes), in 2 pieces, in stdout"
    );
    assert_eq!(
        details,
        [
            "sent 0…49   received 0…49   nothing out of order",
            "demo.stdout.0 at byte 1,000: a part of 10 again",
            "demo.stdout.0 at byte 1,040: 5…9 again",
            "1 record cut where a repetition begins or ends",
        ]
    );
    // Whole ones are not.
    let (_, details) = said(&holding(&[0..1000, 500..5000]), Shape::Repeated);
    assert_eq!(
        details,
        [
            "sent 0…49   received 0…49   nothing torn or out of order",
            "demo.stdout.0 at byte 1,000: 5…9 again",
        ]
    );
}

#[test]
fn a_few_bytes_around_the_end_of_a_record_that_stand_twice_are_repeated_and_not_altered() {
    // The end of the tenth and eleven bytes of the eleventh.
    let (headline, details) = said(&holding(&[0..1011, 999..5000]), Shape::Repeated);
    assert_eq!(
        headline,
        "2 records repeated (12 bytes), in one piece, in stdout"
    );
    assert_eq!(
        details[1..],
        [
            "demo.stdout.0 at byte 1,000: 9…10 (the first and the last in part) again",
            "2 records cut where a repetition begins or ends",
        ]
    );
    let verdict = judge(&holding(&[0..1011, 999..5000]));
    assert_eq!(verdict.findings.len(), 1, "{verdict:?}");
}

#[test]
fn what_comes_again_and_again_is_counted_each_time() {
    let pieces: Vec<_> = std::iter::repeat_n(0..540, 7)
        .chain(std::iter::once(0..5000))
        .collect();
    let (headline, details) = said(&holding(&pieces), Shape::Repeated);
    assert_eq!(
        headline,
        "6 records repeated (540 bytes), some again and again: 3,780 bytes, in 8 pieces, in stdout"
    );
    assert!(
        details.contains(&"3,780 bytes again in all".to_owned()),
        "{details:?}"
    );
}

#[test]
fn of_a_task_that_was_ended_it_is_told_how_far_it_came() {
    let mut history = holding(std::slice::from_ref(&(0..500)));
    add(
        &mut history,
        600,
        Event::TaskSignalled {
            generation: 0,
            signal: SignalName::Kill,
        },
    );
    // The journal ends with the tenth record.
    let lines = history.task.get_mut(&0).unwrap();
    lines.retain(|line| !matches!(line.event, journal::Event::Exit { .. }));
    for line in lines {
        if let journal::Event::Wrote {
            stream: Stdout,
            end,
            bytes,
            ..
        } = &mut line.event
        {
            (*end, *bytes) = (1000, 1000);
        }
    }
    let (headline, details) = said(&history, Shape::LostTail);
    assert!(
        headline.starts_with("5 records lost (500 bytes)"),
        "{headline}"
    );
    assert!(
        details[0].starts_with("sent 0…9 of 0…49   received 0…4   nothing"),
        "{details:?}"
    );
}
