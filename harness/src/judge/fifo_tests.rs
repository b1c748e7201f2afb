//! The judge against what is seen of the FIFOs and their holders. (core)

use mock_driver::stream::Stream;

use super::judge;
use super::stage::{add, put, sent};
use super::tests::{both, shapes};
use crate::bundled_pair::{BUNDLED_DRIVER, BUNDLED_LOGMON};
use crate::finding::Shape;
use crate::template;
use crate::trace::{Entry, Event, Holder};

use Stream::Stdout;

fn holder(fd: i32, reads: bool, role: &str) -> Holder {
    Holder {
        pid: 300,
        comm: "demo".to_owned(),
        fd,
        reads,
        writes: true,
        role: role.to_owned(),
    }
}

#[test]
fn fifos_and_their_holders_are_watched() {
    let fifo = |kind: &str, ino| Event::FifoIs {
        stream: Stdout,
        when: "end".into(),
        kind: kind.into(),
        dev: 1,
        ino,
        mode: 0o600,
    };
    let held = |holder| Event::Holders {
        stream: Stdout,
        when: "end".into(),
        holders: vec![holder],
    };
    let released = Event::WriteEndsReleased {
        generation: 0,
        after_ms: None,
        holders: vec![holder(1, false, "driver")],
    };
    let left = |pid| Event::LeftBehind {
        pid,
        command: "sleep".to_owned(),
        part: "driver".to_owned(),
    };
    let cases: Vec<(Vec<Event>, Vec<Shape>)> = vec![
        (vec![fifo("fifo", 5), fifo("fifo", 5)], vec![]),
        (
            vec![fifo("fifo", 5), fifo("fifo", 6)],
            vec![Shape::FifoReplaced],
        ),
        (
            vec![fifo("fifo", 5), fifo("regular file", 7)],
            vec![Shape::FifoReplaced],
        ),
        (vec![held(holder(1, false, "task"))], vec![]),
        (
            vec![held(holder(1, true, "task"))],
            vec![Shape::ForeignReader],
        ),
        (vec![held(holder(1, true, "driver"))], vec![]),
        (vec![released.clone(), left(300)], vec![Shape::NoEof]),
        (
            vec![released, left(301)],
            vec![Shape::NoEof, Shape::LeftBehind],
        ),
        (
            vec![Event::SecondLogmon {
                life: 2,
                yielded: false,
            }],
            vec![Shape::Accepted],
        ),
        (
            vec![Event::SecondLogmon {
                life: 2,
                yielded: true,
            }],
            vec![],
        ),
        (
            vec![Event::PlantTouched {
                path: "x/canary".into(),
                what: "gone".into(),
            }],
            vec![Shape::ForeignTouched],
        ),
    ];
    for (events, expected) in cases {
        let mut history = both(5, 5);
        for (at_us, event) in (50..).zip(&events) {
            add(&mut history, at_us, event.clone());
        }
        assert_eq!(shapes(&history), expected, "{events:?}");
    }
}

#[test]
fn a_fifo_that_goes_is_taken_away_by_whoever_is_under_test() {
    let is = |at_us, kind: &str| Entry {
        at_us,
        event: Event::FifoIs {
            stream: Stdout,
            when: "then".into(),
            kind: kind.into(),
            dev: 1,
            ino: 2,
            mode: 0o600,
        },
    };
    let rule_of = |driver: &str, logmon: &str| {
        let mut history = both(5, 5);
        history.entries.insert(1, is(20, "fifo"));
        history.entries.insert(2, is(21, "nothing"));
        history.case.driver = template::split(driver).unwrap();
        history.case.logmon = template::split(logmon).unwrap();
        judge(&history).findings[0].rule.as_str().to_owned()
    };
    assert_eq!(rule_of(BUNDLED_DRIVER, "mine"), "MON-6");
    assert_eq!(rule_of("mine", BUNDLED_LOGMON), "FIFO-1");
    assert_eq!(rule_of("mine", "mine"), "FIFO-1");
}

#[test]
fn a_driver_that_could_read_is_blamed_only_for_what_is_missing() {
    let mut history = both(5, 5);
    let held = Event::Holders {
        stream: Stdout,
        when: "end".into(),
        holders: vec![Holder {
            writes: false,
            ..holder(7, true, "driver")
        }],
    };
    add(&mut history, 50, held);
    assert_eq!(shapes(&history), []);
    let whole = sent(&history, 0, Stdout);
    put(
        &mut history,
        Stdout,
        vec![whole[..whole.len() / 2].to_vec()],
    );
    assert!(shapes(&history).contains(&Shape::ForeignReader));
}

#[test]
fn who_was_never_seen_with_a_fifo_has_opened_it_if_bytes_came() {
    let mut history = both(5, 0);
    history.case.scenario.expect.both_streams_opened = true;
    let held = |stream| Event::Holders {
        stream,
        when: "at gate middle".into(),
        holders: vec![holder(4, false, "driver")],
    };
    add(&mut history, 600, held(Stdout));
    assert_eq!(shapes(&history), [Shape::StreamNotOpened]);
    let stream = Stream::Stderr;
    add(&mut history, 700, Event::Logged { stream, bytes: 0 });
    assert_eq!(shapes(&history), [Shape::StreamNotOpened]);
    add(&mut history, 800, Event::Logged { stream, bytes: 1 });
    assert_eq!(shapes(&history), []);
}
