//! Hand-made histories for the judge's tests. (core)

use std::collections::{BTreeMap, BTreeSet};

use mock_driver::journal;
use mock_driver::record::RunId;
use mock_driver::script::{End, Expected, Script, Step};
use mock_driver::stream::Stream;

use crate::capability::Capability;
use crate::case::{BUNDLE_VERSION, Case, log_name};
use crate::history::{History, LogFile};
use crate::scenario::{Expect, FifoKind, Host, Limits, LogmonOutcome, Scenario, Size};
use crate::trace::{Entry, Event, Exit};

pub(crate) const RUN: RunId = RunId(0xcafe_0001);

pub(crate) fn records(stream: Stream, count: u32) -> Step {
    Step::Records {
        stream,
        count,
        bytes: 100,
        binary: false,
        pieces: None,
        together: None,
        pause_us: 0,
        writers: 1,
        last_unterminated: false,
    }
}

/// What the script writes to a stream in a generation.
pub(crate) fn sent(history: &History, generation: u32, stream: Stream) -> Vec<u8> {
    match history.case.scenario.tasks["main"].expected(RUN, generation, stream) {
        Expected::Exact(exact) => exact.render(),
        other @ (Expected::Unordered { .. } | Expected::Unknown) => panic!("{other:?}"),
    }
}

pub(crate) fn at(at_us: u64, event: Event) -> Entry {
    Entry { at_us, event }
}

/// A history in which everything held: one life, one generation, one file for each stream.
pub(crate) fn good(steps: Vec<Step>) -> History {
    let script = Script::new(7, steps, End::Exit(0)).unwrap();
    let limits = Limits {
        max_files: 10,
        max_file_bytes: Size(10 << 20),
        line_guard: Size(32 << 10),
        ..Limits::default()
    };
    let scenario = Scenario {
        id: "data/hand-made".to_owned(),
        title: "A hand-made case.".to_owned(),
        rules: vec![
            "LIFE-1".parse().unwrap(),
            "DATA-1".parse().unwrap(),
            "DATA-2".parse().unwrap(),
        ],
        level: crate::rule::Level::Must,
        profile: crate::rule::Profile::Base,
        tags: Vec::new(),
        needs: Vec::new(),
        matrix: BTreeMap::new(),
        limits: limits.clone(),
        many: None,
        host: Host {
            fifos: FifoKind::Present,
            plant: Vec::new(),
            ..Host::default()
        },
        tasks: BTreeMap::from([("main".to_owned(), script)]),
        plan: Vec::new(),
        expect: Expect::default(),
    };
    let case = Case {
        version: BUNDLE_VERSION,
        scenario,
        run: RUN.to_string(),
        seed: 7,
        attempt: 1,
        driver: Vec::new(),
        adapter: crate::adapter::AdapterKind::Command,
        instead_of_task: None,
        logmon: Vec::new(),
        ready_sign: crate::case::ReadySign::Line,
        serving: None,
        reexec: Vec::new(),
        driver_capabilities: BTreeSet::from([Capability::Forwards]),
        leave_out: None,
        strace: false,
    };
    let mut history = History {
        case,
        entries: vec![
            at(
                10,
                Event::LogmonStarted {
                    life: 1,
                    pid: 100,
                    expect: LogmonOutcome::Ready,
                    words: Vec::new(),
                    limits,
                },
            ),
            at(
                20,
                Event::LogmonReady {
                    life: 1,
                    after_ms: 0,
                    sign: crate::case::ReadySign::Line,
                    may_raise: false,
                },
            ),
            at(
                30,
                Event::DriverStarted {
                    generation: 0,
                    pid: 200,
                    script: "main".to_owned(),
                },
            ),
            at(1_000, Event::TaskGone { generation: 0 }),
            at(
                2_000,
                Event::DriverExited {
                    generation: 0,
                    exit: Exit::Code(0),
                    stderr: String::new(),
                },
            ),
            at(
                9_000,
                Event::LogmonExited {
                    life: 1,
                    exit: Exit::Code(0),
                    asked: true,
                    after_ms: Some(1),
                    stderr: String::new(),
                },
            ),
            at(10_000, Event::Ended),
        ],
        task: BTreeMap::new(),
        driver: BTreeMap::new(),
        files: BTreeMap::new(),
        many: BTreeMap::new(),
        said: Vec::new(),
    };
    let mut lines = Vec::new();
    for stream in Stream::BOTH {
        let bytes = sent(&history, 0, stream);
        let end = bytes.len() as u64;
        lines.push(journal::Line {
            at_us: 500,
            event: journal::Event::Wrote {
                stream,
                end,
                bytes: end,
                seq: None,
            },
        });
        put(&mut history, stream, vec![bytes]);
    }
    lines.push(journal::Line {
        at_us: 900,
        event: journal::Event::Exit {
            code: 0,
            signal: None,
        },
    });
    history.task.insert(0, lines);
    history
}

/// Replaces a stream's files.
pub(crate) fn put(history: &mut History, stream: Stream, files: Vec<Vec<u8>>) {
    let name = log_name(stream);
    let files = files
        .into_iter()
        .zip(0..)
        .map(|(bytes, index)| LogFile {
            index,
            name: format!("{name}.{index}"),
            bytes,
        })
        .collect();
    history.files.insert(stream, files);
}

/// Puts an event into its place in time.
pub(crate) fn add(history: &mut History, at_us: u64, event: Event) {
    let place = history
        .entries
        .partition_point(|entry| entry.at_us <= at_us);
    history.entries.insert(place, at(at_us, event));
}
