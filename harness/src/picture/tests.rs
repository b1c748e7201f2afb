//! Tests of the picture: a history drawn and read back. (core)

use std::collections::BTreeMap;

use mock_driver::journal;
use mock_driver::stream::Stream;
use proptest::prelude::*;
use roxmltree::{Document, Node, ParsingOptions};

use super::labels::width_of;
use super::model::{Band, BandKind, Lane, LaneKind, Level, Mark, MarkKind, Picture};
use super::{Again, page, perfetto, picture, svg};
use crate::history::{History, LogFile};
use crate::judge::judge;
use crate::judge::stage::{at, good, records, sent};
use crate::scenario::SignalName;
use crate::trace::{Event, LookEntry};

fn wrote(at_us: u64, seq: u32) -> journal::Line {
    journal::Line {
        at_us,
        event: journal::Event::Wrote {
            stream: Stream::Stdout,
            end: u64::from(seq + 1) * 100,
            bytes: 100,
            seq: Some(seq),
        },
    }
}

fn look(at_us: u64, names: &[&str]) -> crate::trace::Entry {
    let entry = |name: &&str| LookEntry {
        name: (*name).to_owned(),
        kind: "file".to_owned(),
        bytes: 10,
        ino: 1,
    };
    let entries = names.iter().map(entry).collect();
    at(
        at_us,
        Event::Look {
            why: "sample".to_owned(),
            entries,
        },
    )
}

/// Ten records, of which the fourth and the fifth are in no file; two files; a pause that is over.
fn damaged() -> History {
    let mut history = good(vec![records(Stream::Stdout, 10)]);
    let whole = sent(&history, 0, Stream::Stdout);
    let file = |index, bytes: &[u8]| LogFile {
        index,
        name: format!("demo.stdout.{index}"),
        bytes: bytes.to_vec(),
    };
    let files = vec![file(0, &whole[..300]), file(1, &whole[500..])];
    history.files.insert(Stream::Stdout, files);
    let mut journal: Vec<_> = (0..10)
        .map(|seq| wrote(100 + u64::from(seq), seq))
        .collect();
    journal.push(journal::Line {
        at_us: 900,
        event: journal::Event::Exit {
            code: 0,
            signal: None,
        },
    });
    history.task = BTreeMap::from([(0, journal)]);
    let signal = |at_us, signal| at(at_us, Event::LogmonSignalled { life: 1, signal });
    let pipe = |at_us, bytes| {
        at(
            at_us,
            Event::Pipe {
                stream: Stream::Stdout,
                bytes,
                capacity: 65_536,
            },
        )
    };
    history.entries.extend([
        signal(50, SignalName::Stop),
        pipe(110, 1_000),
        signal(500, SignalName::Cont),
        pipe(600, 0),
        look(25, &["demo.stdout.0", "demo.stderr.0"]),
        look(700, &["demo.stdout.0", "demo.stdout.1", "demo.stderr.0"]),
    ]);
    history.entries.sort_by_key(|entry| entry.at_us);
    history
}

fn lane(picture: &Picture, kind: LaneKind) -> Vec<&Lane> {
    picture
        .lanes
        .iter()
        .filter(|lane| lane.kind == kind)
        .collect()
}

#[test]
fn a_lost_piece_is_red_on_the_lane_where_it_was_last() {
    let mut history = damaged();
    let lost = |history: &History| {
        let picture = picture(history, &judge(history));
        let lanes = picture.lanes.iter();
        let found: Vec<_> = lanes
            .flat_map(|lane| lane.bands.iter().map(move |band| (lane.kind, band)))
            .filter(|(_, band)| band.kind == BandKind::Lost)
            .map(|(kind, band)| (kind, band.from_us, band.to_us, band.label.clone()))
            .collect();
        found
    };
    let times = |kind| vec![(kind, 93, 94, "200 B lost".to_owned())];
    // It forwards and says nothing of what it did.
    assert_eq!(lost(&history), times(LaneKind::Task));
    let journal = |seqs: std::ops::Range<u32>| seqs.map(|seq| wrote(200, seq)).collect();
    history.driver = BTreeMap::from([(0, journal(0..8))]);
    assert_eq!(lost(&history), times(LaneKind::Driver));
    history.driver = BTreeMap::from([(0, journal(0..10))]);
    assert_eq!(lost(&history), times(LaneKind::Logmon));
    let files = history.files.get_mut(&Stream::Stdout).unwrap();
    let bytes = sent(&damaged(), 0, Stream::Stdout);
    files[1].bytes = bytes[300..].to_vec();
    assert_eq!(lost(&history), []);
}

#[test]
fn a_pipe_that_was_let_go_is_red_until_then_and_empty_from_then_on() {
    let mut history = damaged();
    let files = history.files.get_mut(&Stream::Stdout).unwrap();
    files.truncate(1);
    let mut verdict = judge(&history);
    verdict.findings[0].shape = crate::finding::Shape::LostPipeContent;
    let picture = picture(&history, &verdict);
    let pipe = lane(&picture, LaneKind::Pipe)[0];
    let band = &pipe.bands[0];
    assert_eq!((band.kind, band.from_us), (BandKind::Lost, 93));
    // Nobody closed anything; the only death is the end of logmon.
    assert_eq!(band.to_us, 8_990);
    let last = pipe.levels.last().unwrap();
    assert_eq!((last.at_us, last.amount), (8_990, 0));
}

#[test]
fn the_lanes_hold_lives_writes_pauses_and_files() {
    let history = damaged();
    let picture = picture(&history, &judge(&history));
    let kinds = |lane: &Lane| {
        let bands = lane.bands.iter();
        bands
            .map(|band| (band.kind.as_str(), band.from_us, band.to_us))
            .collect::<Vec<_>>()
    };
    let task = lane(&picture, LaneKind::Task)[0];
    assert!(kinds(task).contains(&("writing", 90, 99)), "{task:?}");
    assert!(task.bands.iter().any(|band| band.label == "0…9"));
    let logmon = lane(&picture, LaneKind::Logmon)[0];
    assert_eq!(
        kinds(logmon),
        [
            ("starting", 0, 10),
            ("life", 10, 8_990),
            ("paused", 40, 490)
        ]
    );
    let files = lane(&picture, LaneKind::Files);
    assert_eq!(kinds(files[0]), [("file", 15, 690), ("file", 690, 9_990)]);
    assert_eq!(kinds(files[1]), [("file", 15, 9_990)]);
    let faults: Vec<_> = picture
        .faults
        .iter()
        .map(|mark| mark.label.as_str())
        .collect();
    assert_eq!(faults, ["logmon #1 PAUSED", "logmon #1 goes on"]);
}

#[test]
fn a_file_that_vanished_is_shown_as_deleted_and_those_seen_at_once_share_the_time() {
    let mut history = damaged();
    history.files.clear();
    history
        .entries
        .retain(|entry| !matches!(entry.event, Event::Look { .. }));
    history.entries.insert(1, look(110, &["demo.stdout.0"]));
    let all = ["demo.stdout.1", "demo.stdout.2", "demo.stdout.3"];
    history.entries.insert(2, look(410, &all));
    let picture = picture(&history, &judge(&history));
    let bands: Vec<_> = lane(&picture, LaneKind::Files)[0]
        .bands
        .iter()
        .map(|band| (band.kind, band.from_us, band.label.as_str()))
        .collect();
    assert_eq!(
        bands,
        [
            (BandKind::Deleted, 100, ".0"),
            (BandKind::File, 200, ".1"),
            (BandKind::File, 300, ".2"),
            (BandKind::File, 400, ".3"),
        ]
    );
}

#[test]
fn a_writer_that_waits_often_has_a_few_hundred_bands_of_writes_with_all_its_bytes() {
    let mut history = damaged();
    let journal = (0..1_000_u32).flat_map(|seq| {
        let at_us = u64::from(seq) * 9;
        let blocked = journal::Event::Blocked {
            stream: Stream::Stdout,
            bytes_pending: 100,
        };
        let event = |at_us, event| journal::Line { at_us, event };
        [event(at_us, blocked), wrote(at_us + 1, seq)]
    });
    history.task = BTreeMap::from([(0, journal.collect())]);
    let picture = picture(&history, &judge(&history));
    let bands = lane(&picture, LaneKind::Task)[0].bands.iter();
    let writes: Vec<_> = bands
        .filter(|band| band.kind.as_str() == "writing")
        .collect();
    assert!((1..=300).contains(&writes.len()), "{}", writes.len());
    assert!(writes[0].label.starts_with("0…"), "{}", writes[0].label);
    let last = writes[writes.len() - 1];
    assert!(last.label.ends_with("…999"), "{}", last.label);
}

#[test]
fn many_lives_that_do_not_overlap_share_a_lane() {
    let mut history = good(vec![records(Stream::Stdout, 1)]);
    let started = history.entries[0].event.clone();
    let ends = |event: &Event| matches!(event, Event::LogmonExited { .. });
    let exited = history.entries.iter().find(|entry| ends(&entry.event));
    let exited = exited.unwrap().event.clone();
    let lives = (2..=20_u32).flat_map(|number| {
        let (mut started, mut exited) = (started.clone(), exited.clone());
        if let Event::LogmonStarted { life, .. } = &mut started {
            *life = number;
        }
        if let Event::LogmonExited { life, .. } = &mut exited {
            *life = number;
        }
        let begin = 20_000 + u64::from(number) * 100;
        [at(begin, started), at(begin + 50, exited)]
    });
    history.entries.extend(lives);
    let picture = picture(&history, &judge(&history));
    let lanes = lane(&picture, LaneKind::Logmon);
    assert_eq!(lanes.len(), 1, "{lanes:?}");
    assert_eq!(lanes[0].name, "logmon, 20 lives");
}

fn has_class(node: &Node<'_, '_>, class: &str) -> bool {
    let classes = node.attribute("class").unwrap_or_default();
    classes.split(' ').any(|one| one == class)
}

#[test]
fn the_drawing_has_every_lane_block_fault_and_red_piece() {
    let history = damaged();
    let picture = picture(&history, &judge(&history));
    let text = svg(&picture);
    let document = Document::parse(&text).unwrap();
    let all = |class: &str| {
        let nodes = document.descendants();
        nodes
            .filter(|node| has_class(node, class))
            .collect::<Vec<_>>()
    };
    let names: Vec<_> = all("lane")
        .iter()
        .map(|node| node.attribute("data-name").unwrap())
        .collect();
    let expected: Vec<_> = picture
        .lanes
        .iter()
        .map(|lane| lane.name.as_str())
        .collect();
    assert_eq!(names, expected);
    let bands: usize = picture.lanes.iter().map(|lane| lane.bands.len()).sum();
    let drawn = document
        .descendants()
        .filter(|node| node.has_tag_name("rect") && has_class(node, "band"));
    assert_eq!(drawn.count(), bands);
    let lost: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("rect") && has_class(node, "lost"))
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0].attribute("data-from"), lost[0].attribute("data-to")),
        (Some("93"), Some("94"))
    );
    let told = lost[0]
        .descendants()
        .find(|node| node.has_tag_name("title"));
    assert!(told.unwrap().text().unwrap().contains("records 3…4"));
    assert_eq!(all("injected").len(), 2);
    // Each over the whole picture, and again over each track.
    let lines = document
        .descendants()
        .filter(|node| node.has_tag_name("line") && has_class(node, "fault"));
    assert_eq!(lines.count(), 2 + 2 * picture.lanes.len());
    let root = document.root_element();
    for name in ["title", "desc"] {
        let node = root
            .children()
            .find(|node| node.has_tag_name(name))
            .unwrap();
        let label = root.attribute("aria-labelledby").unwrap();
        assert!(
            label.split(' ').any(|id| Some(id) == node.attribute("id")),
            "{label}"
        );
        assert!(!node.text().unwrap().is_empty());
    }
}

#[test]
fn the_page_is_well_formed_loads_nothing_and_shows_hostile_text_as_text() {
    let mut history = damaged();
    let hostile = "<script src=\"http://x/\">alert('&')</script>@SVG@\u{0}";
    history.case.scenario.title = hostile.to_owned();
    history.case.driver = vec![hostile.to_owned()];
    history.driver.insert(
        0,
        vec![journal::Line {
            at_us: 150,
            event: journal::Event::Mark {
                name: hostile.to_owned(),
            },
        }],
    );
    let mut verdict = judge(&history);
    verdict.findings[0].details.push(hostile.to_owned());
    let picture = picture(&history, &verdict);
    let again = Again {
        bundle: "out/it's here.bundle".to_owned(),
    };
    let text = page(&picture, &history, &verdict, &again);
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&text, options).unwrap();
    for node in document.descendants() {
        let name = node.tag_name().name();
        assert!(
            !["script", "link", "img", "iframe", "object"].contains(&name),
            "{name}"
        );
        let loads = node
            .attributes()
            .find(|one| ["src", "href", "data"].contains(&one.name()));
        assert!(loads.is_none(), "{loads:?}");
    }
    assert_eq!(
        document
            .descendants()
            .filter(|node| node.has_tag_name("svg"))
            .count(),
        1
    );
    let style = document
        .descendants()
        .find(|node| node.has_tag_name("style"))
        .unwrap();
    let style = style.text().unwrap();
    assert!(
        !style.contains("url(") && !style.contains("@import"),
        "{style}"
    );
    assert!(style.contains("prefers-color-scheme: dark"));
    let words: String = document
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    for part in [
        "lost-middle",
        "Likely cause",
        "harness repro ",
        "seed 7",
        "What happened",
    ] {
        assert!(words.contains(part), "no {part} in {words}");
    }
    assert!(words.contains("alert('&')"), "{words}");
    assert!(
        !text.contains("@TITLE@") && text.contains("it&#39;"),
        "{text}"
    );
}

#[test]
fn the_trace_events_are_read_back_as_they_are_in_the_picture() {
    let history = damaged();
    let picture = picture(&history, &judge(&history));
    let whole: serde_json::Value = serde_json::from_str(&perfetto(&picture)).unwrap();
    let events = whole["traceEvents"].as_array().unwrap();
    let of = |phase: &str| {
        let found = events.iter().filter(move |event| event["ph"] == phase);
        found.collect::<Vec<_>>()
    };
    let names: Vec<_> = of("M")
        .into_iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .filter(|name| !name.ends_with(')'))
        .collect();
    let expected: Vec<_> = picture
        .lanes
        .iter()
        .map(|lane| lane.name.as_str())
        .collect();
    assert_eq!(names, expected);
    let counters: Vec<_> = of("C")
        .into_iter()
        .map(|event| {
            (
                event["ts"].as_u64().unwrap(),
                event["args"]["amount"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(counters, [(100, 1_000), (590, 0)]);
    let lost: Vec<_> = of("X")
        .into_iter()
        .filter(|event| event["cat"] == "lost")
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0]["ts"].as_u64(), lost[0]["dur"].as_u64()),
        (Some(93), Some(1))
    );
    // A viewer drops slices of one thread that overlap without one of them holding the other.
    let slice = |event: &serde_json::Value| {
        let from = event["ts"].as_u64().unwrap();
        let thread = event["tid"].as_u64().unwrap();
        (thread, from, from + event["dur"].as_u64().unwrap())
    };
    let slices: Vec<_> = of("X").into_iter().map(slice).collect();
    for one in &slices {
        for other in slices.iter().filter(|other| other.0 == one.0) {
            let is_apart = one.2 <= other.1 || other.2 <= one.1;
            let holds = |a: &(u64, u64, u64), b: &(u64, u64, u64)| a.1 <= b.1 && b.2 <= a.2;
            assert!(
                is_apart || holds(one, other) || holds(other, one),
                "{one:?} {other:?}"
            );
        }
    }
    let faults: Vec<_> = of("i")
        .into_iter()
        .filter(|event| event["s"] == "g")
        .collect();
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[0]["name"], "logmon #1 PAUSED");
}

/// Any picture.
fn pictures() -> impl Strategy<Value = Picture> {
    let label = "[ -~é…\u{0}<&]{0,40}";
    let mark = (0_u64..1_000_000, label, 0..3_usize).prop_map(|(at_us, label, kind)| Mark {
        kind: [MarkKind::Injected, MarkKind::Trouble, MarkKind::Step][kind],
        at_us,
        label,
    });
    let band = (
        0_u64..1_000_000,
        0_u64..100_000,
        label,
        0..4_usize,
        any::<bool>(),
    );
    let band = band.prop_map(|(from_us, long, label, kind, has_stream)| Band {
        kind: [
            BandKind::Life,
            BandKind::Writing,
            BandKind::File,
            BandKind::Lost,
        ][kind],
        stream: has_stream.then_some(Stream::Stdout),
        from_us,
        to_us: from_us + long,
        detail: label.clone(),
        label,
    });
    let level = (0_u64..1_000_000, 0_u64..100).prop_map(|(at_us, amount)| Level {
        at_us,
        amount,
        most: 50,
    });
    let of = |most: usize| 0..most;
    let marks = prop::collection::vec(mark, of(12));
    let bands = prop::collection::vec(band, of(12));
    let levels = prop::collection::vec(level, of(4));
    let lane =
        (marks.clone(), bands, levels, 0..4_usize).prop_map(|(marks, bands, levels, kind)| Lane {
            kind: [
                LaneKind::Task,
                LaneKind::Pipe,
                LaneKind::Logmon,
                LaneKind::Files,
            ][kind],
            name: "a lane <&>".to_owned(),
            bands,
            marks,
            levels,
        });
    (marks, prop::collection::vec(lane, of(4))).prop_map(|(faults, lanes)| Picture {
        id: "x/y".to_owned(),
        title: "It <works>.".to_owned(),
        end_us: 1_100_000,
        faults,
        lanes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_two_texts_of_any_picture_overlap(picture in pictures()) {
        let text = svg(&picture);
        let document = Document::parse(&text).unwrap();
        let number = |node: &Node<'_, '_>, name: &str| -> f64 {
            node.attribute(name).unwrap().parse().unwrap()
        };
        let width = number(&document.root_element(), "width");
        let texts = document.descendants().filter(|node| node.has_tag_name("text"));
        let boxes: Vec<_> = texts
            .map(|node| {
                let words = node.text().unwrap_or_default();
                let from = number(&node, "x");
                (from, from + width_of(words), number(&node, "y"), words.to_owned())
            })
            .filter(|(.., words)| !words.is_empty())
            .collect();
        for (index, one) in boxes.iter().enumerate() {
            prop_assert!(one.1 <= width + 1.0, "{one:?} in {width}");
            for other in &boxes[index + 1..] {
                // Letters are ten pixels high.
                let is_apart = (one.2 - other.2).abs() >= 10.0 || one.1 <= other.0 + 0.2 || other.1 <= one.0 + 0.2;
                prop_assert!(is_apart, "{one:?} {other:?}");
            }
        }
    }
}
