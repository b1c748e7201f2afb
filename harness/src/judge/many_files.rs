//! Whether the files of many tasks hold what each of them wrote. (core)

use std::ops::Range;

use mock_driver::record::{self, Item, RunId};
use mock_driver::script::{ChunkKind, Expected};
use mock_driver::stream::Stream;

use super::damage::{Damage, Identity, examine};
use super::expectation::{Expectation, Kind, Unit};
use super::figures::{number, total};
use super::many::{Grouped, Tasks};
use super::rules;
use super::timeline::Timeline;
use crate::finding::Shape;
use crate::history::LogFile;
use crate::scenario::{Limits, Scenario};

/// Judges the files of every task that logmon has taken.
pub(super) fn judge(timeline: &Timeline<'_>, tasks: &Tasks<'_>, all: &mut Grouped) {
    let history = timeline.history;
    let Ok(run) = history.case.run.parse::<RunId>() else {
        return;
    };
    let scenario = &history.case.scenario;
    for task in tasks.started() {
        for stream in Stream::BOTH {
            let files = history.many.get(&task).and_then(|both| both.get(&stream));
            let files = files.map_or(&[][..], Vec::as_slice);
            bounds(scenario, task, files, all);
            let Some(mut expected) = expected(scenario, run, task, stream) else {
                continue;
            };
            let taken = tasks.taken(task, stream.index(), expected.bytes.len());
            expected.bytes.truncate(taken);
            expected.units.retain(|unit| unit.at < taken);
            let one = One {
                scenario,
                run,
                task,
                stream,
                files,
                expected,
            };
            one.judge(all);
            if let Some(then) = tasks.at_stop(task) {
                one.drained(then[stream.index()], all);
            }
        }
    }
}

/// What a task writes to a stream.
fn expected(scenario: &Scenario, run: RunId, task: u32, stream: Stream) -> Option<Expectation> {
    let script = scenario.tasks.get("main")?;
    let Expected::Exact(exact) = script.expected(run, task, stream) else {
        return None;
    };
    let unit = |chunk: &mock_driver::script::Chunk| Unit {
        at: usize::try_from(chunk.offset).unwrap_or(usize::MAX),
        generation: task,
        kind: match chunk.kind {
            ChunkKind::Record { seq } => Kind::Record { seq },
            ChunkKind::Text | ChunkKind::Raw | ChunkKind::Line => Kind::Plain,
        },
    };
    Some(Expectation {
        bytes: exact.render(),
        units: exact.chunks().iter().map(unit).collect(),
        ..Expectation::default()
    })
}

/// No file is too large, and there are not too many.
fn bounds(scenario: &Scenario, task: u32, files: &[LogFile], all: &mut Grouped) {
    let Limits {
        max_files,
        max_file_bytes,
        ..
    } = &scenario.limits;
    for file in files {
        let bytes = file.bytes.len() as u64;
        if bytes > max_file_bytes.0 {
            let what = format!(
                "{} has {} B; {} are allowed",
                file.name,
                number(bytes),
                number(max_file_bytes.0)
            );
            all.add(Shape::OversizeFile, &rules::named(rules::ROT_1), task, what);
        }
    }
    if files.len() as u64 > u64::from(*max_files) {
        let what = format!(
            "t{task} has {} files of a stream; {max_files} are allowed",
            files.len()
        );
        all.add(Shape::TooManyFiles, &rules::named(rules::ROT_3), task, what);
    }
}

/// A stream of one task.
struct One<'a> {
    scenario: &'a Scenario,
    run: RunId,
    task: u32,
    stream: Stream,
    files: &'a [LogFile],
    expected: Expectation,
}

impl One<'_> {
    fn judge(&self, all: &mut Grouped) {
        let observed: Vec<u8> = self
            .files
            .iter()
            .flat_map(|file| &file.bytes)
            .copied()
            .collect();
        let expected = &self.expected.bytes;
        if *expected == observed || (self.may_lose_head() && expected.ends_with(&observed)) {
            return;
        }
        let mut say = |shape, what: String| {
            let rule = if shape == Shape::StreamsMixed {
                rules::if_checked(self.scenario, rules::DATA_2)
            } else {
                rules::if_checked(self.scenario, rules::DATA_1)
            };
            all.add(shape, &rule, self.task, what);
        };
        let of = format!("of t{}'s {}", self.task, self.stream);
        if let Some(whose) = self.stranger(&observed) {
            say(
                Shape::StreamsMixed,
                format!("records of {whose} stand in the log {of}"),
            );
            return;
        }
        let identity = Identity {
            stream: self.stream,
            run: Some(self.run),
            other: &[],
        };
        let damage = examine(&self.expected, &observed, &identity);
        let Damage {
            lost,
            moved,
            repeated,
            mixed,
            altered,
            added,
            torn,
            received,
        } = &damage;
        let may_lose_head = self.may_lose_head();
        for (shape, ranges) in losses(lost, received) {
            if shape == Shape::LostHead && may_lose_head {
                continue;
            }
            say(
                shape,
                format!("{} B {of} are lost", number(total(&ranges) as u64)),
            );
        }
        for (shape, is_so, what) in [
            (
                Shape::StreamsMixed,
                !mixed.is_empty(),
                "bytes of strangers stand in the log",
            ),
            (
                Shape::Repeated,
                !repeated.is_empty(),
                "something stands twice in the log",
            ),
            (Shape::Torn, !torn.is_empty(), "records are cut in the log"),
            (
                Shape::Reordered,
                !moved.is_empty(),
                "records are out of order in the log",
            ),
            (
                Shape::Altered,
                !altered.is_empty(),
                "bytes were changed in the log",
            ),
            (
                Shape::Added,
                !added.is_empty(),
                "bytes were added to the log",
            ),
        ] {
            if is_so {
                say(shape, format!("{what} {of}"));
            }
        }
    }

    /// Whether retention may have deleted the beginning: there are as many files as are allowed, and all
    /// but the last are half full at least. A line that is not complete may close one so early (DATA-5).
    fn may_lose_head(&self) -> bool {
        let limits = &self.scenario.limits;
        let is_purged = self.files.first().is_some_and(|file| file.index > 0);
        let lines = self.expected.bytes.split_inclusive(|byte| *byte == b'\n');
        let longest = lines.map(<[u8]>::len).max().unwrap_or(0) as u64;
        let is_full =
            |file: &LogFile| 2 * (file.bytes.len() as u64 + longest) >= limits.max_file_bytes.0;
        let closed = self.files.len().saturating_sub(1);
        is_purged
            && self.files.len() as u64 >= u64::from(limits.max_files)
            && self.files[..closed].iter().all(is_full)
    }

    /// Whose record stands in this log first, if it is somebody else's.
    fn stranger(&self, observed: &[u8]) -> Option<String> {
        record::scan(observed).find_map(|item| {
            let (Item::Record { header, .. }
            | Item::Torn {
                header: Some(header),
                ..
            }) = item
            else {
                return None;
            };
            let id = header.id;
            let is_own =
                id.run == self.run && id.generation == self.task && id.stream == self.stream;
            (!is_own).then(|| format!("t{}'s {}", id.generation, id.stream))
        })
    }

    /// Nothing came into the files after the stop had been done.
    fn drained(&self, then: u64, all: &mut Grouped) {
        let now: u64 = self.files.iter().map(|file| file.bytes.len() as u64).sum();
        if now > then {
            let what = format!(
                "the stop of t{} ended with 0 when {} of {} B of {} were in the log",
                self.task,
                number(then),
                number(now),
                self.stream
            );
            let rule = rules::if_checked(self.scenario, rules::MON_7);
            all.add(Shape::Late, &rule, self.task, what);
        }
    }
}

/// The losses by where they are: everything, the beginning, the end, or in between.
fn losses(lost: &[Range<usize>], received: &[Range<usize>]) -> Vec<(Shape, Vec<Range<usize>>)> {
    let (Some(first), Some(last)) = (received.first(), received.last()) else {
        let all = (!lost.is_empty()).then(|| (Shape::LostAll, lost.to_vec()));
        return all.into_iter().collect();
    };
    let mut parts = [
        (Shape::LostHead, Vec::new()),
        (Shape::LostMiddle, Vec::new()),
        (Shape::LostTail, Vec::new()),
    ];
    for piece in lost {
        let part = if piece.end <= first.start {
            0
        } else if piece.start >= last.end {
            2
        } else {
            1
        };
        parts[part].1.push(piece.clone());
    }
    parts
        .into_iter()
        .filter(|(_, ranges)| !ranges.is_empty())
        .collect()
}
