//! Core: the laws of the planner, tested against a folder in memory and a dull model.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use proptest::prelude::*;

use super::{Flush, Planner, RotationStep, Step, Window};
use crate::limits::Limits;
use crate::name::StreamName;
use crate::recovery::{Entry, EntryKind, Owner, recover};

/// A log folder in memory that keeps every file ever closed, and checks each step as it is done.
struct Folder {
    limits: Limits,
    files: BTreeMap<u32, Vec<u8>>,
    deleted: Vec<Vec<u8>>,
    current: Option<u32>,
}

impl Folder {
    fn new(limits: Limits) -> Folder {
        Folder {
            limits,
            files: BTreeMap::new(),
            deleted: Vec::new(),
            current: None,
        }
    }

    /// A planner that knows nothing but this folder.
    fn recovered(&mut self) -> Planner {
        let entries: Vec<Entry> = self
            .files
            .iter()
            .map(|(index, bytes)| Entry {
                name: name().file_name(*index).into_bytes(),
                kind: EntryKind::Regular,
                bytes: bytes.len() as u64,
                links: 1,
                owner: Owner::Ours,
            })
            .collect();
        let recovery = recover(&name(), self.limits.max_files(), &entries);
        self.current = recovery.resume.map(|resume| resume.index);
        Planner::new(self.limits, &recovery, self.is_mid_line())
    }

    fn is_mid_line(&self) -> bool {
        self.current
            .is_some_and(|index| self.files[&index].last().is_some_and(|last| *last != b'\n'))
    }

    /// Does one step, the write at most `most` bytes; gives the bytes taken from the window.
    fn perform(&mut self, planner: &mut Planner, step: Step, window: &[u8], most: usize) -> usize {
        let seen = window.len();
        self.perform_seeing(planner, step, window, seen, most)
    }

    /// The same with only a head of the window seen.
    fn perform_seeing(
        &mut self,
        planner: &mut Planner,
        step: Step,
        window: &[u8],
        seen: usize,
        most: usize,
    ) -> usize {
        match step {
            Step::Write(bytes) => {
                assert!((1..=window.len()).contains(&bytes));
                let taken = bytes.min(most.max(1));
                let file = self.files.get_mut(&self.current.unwrap()).unwrap();
                file.extend_from_slice(&window[..taken]);
                assert!(
                    file.len() as u64 <= self.limits.max_file_bytes(),
                    "over the limit"
                );
                planner.wrote(
                    taken,
                    Window {
                        seen: &window[..seen],
                        bytes: window.len(),
                    },
                );
                return taken;
            }
            Step::Rotate(RotationStep::Prepare) => {
                planner.rotation_begun();
                planner.rotated(RotationStep::Prepare);
            }
            Step::Rotate(RotationStep::Publish(index)) => {
                if let Some(closed) = self.current.and_then(|current| self.files.get(&current)) {
                    assert!(!closed.is_empty(), "two rotations without a byte between");
                }
                assert!(self.files.insert(index, Vec::new()).is_none());
                assert!(
                    self.files.len() <= self.limits.max_files(),
                    "one file too many"
                );
                self.current = Some(index);
                planner.rotated(RotationStep::Publish(index));
            }
            Step::Delete(index) => {
                assert!(
                    self.files.len() >= self.limits.max_files(),
                    "deleted without need"
                );
                assert_eq!(self.files.keys().next(), Some(&index), "not the oldest");
                self.deleted.push(self.files.remove(&index).unwrap());
                planner.deleted(index);
            }
            Step::DeleteForSpace(_) => panic!("the plan knows no lack of space"),
            Step::FindEnding => planner.found_ending(self.is_mid_line()),
            Step::Look(_) | Step::Hold | Step::Idle | Step::NoIndexLeft => {}
        }
        0
    }

    fn all(&self) -> Vec<Vec<u8>> {
        let mut all = self.deleted.clone();
        all.extend(self.files.values().cloned());
        all
    }
}

fn name() -> StreamName {
    StreamName::parse(OsStr::new("t")).unwrap()
}

fn limits(max_files: u64, max_file_bytes: u64, line_guard: u64) -> Limits {
    Limits::checked(max_files, max_file_bytes, line_guard).unwrap()
}

/// How a run is disturbed: chunk lengths, lengths of short writes, before which steps it crashes, and
/// how many bytes are seen beyond those that the plan asked to look at.
#[derive(Debug, Clone)]
struct Course {
    chunks: Vec<usize>,
    most: Vec<usize>,
    crashes: Vec<bool>,
    sights: Vec<usize>,
}

fn course() -> impl Strategy<Value = Course> {
    (
        prop::collection::vec(1usize..40, 1..12),
        prop::collection::vec(1usize..60, 1..8),
        prop::collection::vec(prop::bool::weighted(0.3), 1..30),
        sights(),
    )
        .prop_map(|(chunks, most, mut crashes, sights)| {
            // A rotation has three steps: one that crashes before each of them comes to no end.
            crashes.extend([false; 4]);
            Course {
                chunks,
                most,
                crashes,
                sights,
            }
        })
}

fn sights() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![CALM]),
        Just(vec![0]),
        prop::collection::vec(prop_oneof![Just(0), Just(CALM), 1usize..60], 1..10),
    ]
}

const CALM: usize = usize::MAX;

fn calm(chunk: usize) -> Course {
    Course {
        chunks: vec![chunk],
        most: vec![CALM],
        crashes: vec![false],
        sights: vec![CALM],
    }
}

/// Plays a stream and gives every file that ever was, in order, with the stream's end flushed.
fn play(limits: Limits, stream: &[u8], course: &Course) -> Vec<Vec<u8>> {
    let mut folder = Folder::new(limits);
    let mut planner = folder.recovered();
    let (mut placed, mut seen, mut known, mut turn) = (0_usize, 0_usize, 0, 0);
    loop {
        let flush = if known == stream.len() {
            Flush::Ended
        } else {
            Flush::No
        };
        if course.crashes[turn % course.crashes.len()] && flush == Flush::No {
            // What is told of longest lines is lost in a crash; it matters only at the end.
            planner = folder.recovered();
        }
        let sight = course.sights[turn % course.sights.len()];
        seen = seen.max(placed.saturating_add(sight).min(known));
        let window = Window {
            seen: &stream[placed..seen],
            bytes: known - placed,
        };
        let step = planner.plan(window, flush);
        assert_eq!(step, planner.plan(window, flush));
        if let Step::Look(bytes) = step {
            assert!(bytes > seen - placed && bytes <= known - placed);
            seen = placed + bytes;
        }
        placed += folder.perform_seeing(
            &mut planner,
            step,
            &stream[placed..known],
            seen - placed,
            course.most[turn % course.most.len()],
        );
        seen = seen.max(placed);
        turn += 1;
        if matches!(step, Step::Hold | Step::Idle) {
            if known == stream.len() {
                break;
            }
            known = stream
                .len()
                .min(known + course.chunks[turn % course.chunks.len()]);
        }
        assert!(turn < 100_000, "it comes to no end");
    }
    assert_eq!(placed, stream.len());
    folder.all()
}

/// The dull model: line after line, byte after byte. Only for streams that end with a newline.
fn model(limits: Limits, stream: &[u8]) -> Vec<Vec<u8>> {
    let limit = limits.max_file_bytes() as usize;
    let mut files = vec![Vec::new()];
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        if line.len() as u64 <= limits.line_guard()
            && files.last().unwrap().len() + line.len() > limit
        {
            files.push(Vec::new());
        }
        for byte in line {
            if files.last().unwrap().len() == limit {
                files.push(Vec::new());
            }
            files.last_mut().unwrap().push(*byte);
        }
    }
    files
}

fn lines(lengths: &[usize]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        stream.extend(std::iter::repeat_n(b'a' + (number % 26) as u8, length - 1));
        stream.push(b'\n');
    }
    stream
}

/// Asserts the laws that hold for every stream, with or without a newline at its end.
fn assert_laws(limits: Limits, stream: &[u8], files: &[Vec<u8>]) {
    assert_eq!(
        files.concat(),
        stream,
        "the writes, joined, are not the stream"
    );
    let mut at = 0;
    let mut cuts = Vec::new();
    for (number, file) in files.iter().enumerate() {
        assert!(file.len() as u64 <= limits.max_file_bytes());
        at += file.len();
        if number + 1 < files.len() {
            assert!(
                file.len() as u64 > limits.max_file_bytes() - limits.line_guard(),
                "closed too early"
            );
            cuts.push(at);
        }
    }
    let mut start = 0;
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        if line.len() as u64 <= limits.line_guard() && line.ends_with(b"\n") {
            assert!(
                !cuts.iter().any(|cut| start < *cut && *cut < end),
                "a guarded line is split"
            );
        }
        start = end;
    }
}

fn shape() -> impl Strategy<Value = (Limits, Vec<usize>)> {
    (
        1u64..5,
        1u64..80,
        1u64..100,
        prop::collection::vec(prop_oneof![3 => 1usize..20, 1 => 1usize..200], 0..40),
    )
        .prop_map(|(files, bytes, guard, lengths)| (limits(files, bytes, guard), lengths))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn files_are_those_of_the_model_however_the_stream_is_cut_and_wherever_it_crashes(
        (limits, lengths) in shape(), course in course(),
    ) {
        let stream = lines(&lengths);
        let files = play(limits, &stream, &course);
        assert_laws(limits, &stream, &files);
        prop_assert_eq!(files, model(limits, &stream));
    }

    #[test]
    fn any_bytes_keep_the_laws_without_a_newline_at_the_end_too(
        (limits, _) in shape(), course in course(),
        stream in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..400),
    ) {
        let files = play(limits, &stream, &course);
        assert_laws(limits, &stream, &files);
    }

    #[test]
    fn the_end_of_a_stream_falls_the_same_way_however_it_is_cut(
        (limits, _) in shape(), chunk in 1usize..50, sights in sights(),
        stream in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..400),
    ) {
        let dim = Course { sights, ..calm(chunk) };
        prop_assert_eq!(play(limits, &stream, &dim), play(limits, &stream, &calm(CALM / 2)));
    }

    #[test]
    fn a_closed_file_is_within_one_line_of_the_limit(
        length in 1usize..30, count in 0usize..60, bytes in 30u64..200, files in 1u64..4, course in course(),
    ) {
        let limits = limits(files, bytes, 1000);
        let stream = lines(&vec![length; count]);
        let all = play(limits, &stream, &course);
        for closed in &all[..all.len() - 1] {
            prop_assert!(closed.len() as u64 > bytes - length as u64);
        }
    }

    #[test]
    fn lines_that_stall_keep_every_law_when_the_limit_is_twice_the_guard(
        guard in 1u64..40, extra in 0u64..100, files in 1u64..4,
        lengths in prop::collection::vec(1usize..60, 0..30), course in course(),
        stalls in prop::collection::vec(prop::bool::weighted(0.4), 1..20),
    ) {
        let limits = limits(files, 2 * guard + extra, guard);
        let stream = lines(&lengths);
        let mut folder = Folder::new(limits);
        let mut planner = folder.recovered();
        let (mut placed, mut known, mut turn) = (0, 0, 0);
        loop {
            let mut step = planner.plan(Window::all(&stream[placed..known]), Flush::No);
            if step == Step::Hold && stalls[turn % stalls.len()] {
                step = planner.plan(Window::all(&stream[placed..known]), Flush::Stalled);
                prop_assert_ne!(step, Step::Hold);
            }
            placed += folder.perform(&mut planner, step, &stream[placed..known], CALM);
            turn += 1;
            if matches!(step, Step::Hold | Step::Idle) {
                if known == stream.len() {
                    break;
                }
                known = stream.len().min(known + course.chunks[turn % course.chunks.len()]);
            }
        }
        assert_laws(limits, &stream, &folder.all());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn limits_that_change_while_running_hold_from_the_next_step_on(
        (first, lengths) in shape(), others in prop::collection::vec(shape(), 1..5), course in course(),
    ) {
        let stream = lines(&lengths);
        let mut folder = Folder::new(first);
        let mut planner = folder.recovered();
        let (mut placed, mut seen, mut known, mut turn) = (0_usize, 0_usize, 0, 0);
        loop {
            if turn % 7 == 6 {
                let (limits, _) = others[turn / 7 % others.len()];
                planner.set_limits(limits);
                folder.limits = limits;
            }
            if course.crashes[turn % course.crashes.len()] {
                planner = folder.recovered();
            }
            let current = folder.current.and_then(|index| folder.files.get(&index));
            let was = current.map(|file| file.len() as u64);
            let sight = course.sights[turn % course.sights.len()];
            seen = seen.max(placed.saturating_add(sight).min(known));
            let window = Window { seen: &stream[placed..seen], bytes: known - placed };
            let step = planner.plan(window, Flush::No);
            if let Step::Look(bytes) = step {
                seen = placed + bytes;
            }
            if let (Step::Write(_), Some(was)) = (step, was) {
                prop_assert!(was < folder.limits.max_file_bytes(), "a full file grows");
            }
            if !matches!(step, Step::Delete(_)) {
                prop_assert!(folder.files.len() <= folder.limits.max_files(), "too many files");
            }
            placed += folder.perform_seeing(
                &mut planner, step, &stream[placed..known], seen - placed, course.most[turn % course.most.len()],
            );
            seen = seen.max(placed);
            turn += 1;
            if matches!(step, Step::Hold | Step::Idle) {
                if known == stream.len() {
                    break;
                }
                known = stream.len().min(known + course.chunks[turn % course.chunks.len()]);
            }
            prop_assert!(turn < 100_000, "it comes to no end");
        }
        prop_assert_eq!(placed, stream.len());
        prop_assert_eq!(folder.all().concat(), stream);
    }
}

#[test]
fn a_partial_line_is_written_at_once_while_the_guard_fits() {
    let limits = limits(2, 100, 40);
    let mut folder = Folder::new(limits);
    let mut planner = folder.recovered();
    while folder.current.is_none() {
        let step = planner.plan(Window::all(b""), Flush::No);
        folder.perform(&mut planner, step, b"", CALM);
    }
    assert_eq!(
        planner.plan(Window::all(b"prompt> "), Flush::No),
        Step::Write(8)
    );
    // Of the last 40 bytes of the file these fill 20, with a line of 20 bytes.
    let filled = lines(&[52, 20]);
    let step = planner.plan(Window::all(&filled), Flush::No);
    folder.perform(&mut planner, step, &filled, CALM);
    assert_eq!(
        planner.plan(Window::all(b"prompt> "), Flush::No),
        Step::Hold
    );
    assert_eq!(
        planner.plan(Window::all(b"prompt> yes\n"), Flush::No),
        Step::Write(12)
    );
    assert_eq!(
        planner.plan(Window::all(b"prompt> "), Flush::Stalled),
        Step::Rotate(RotationStep::Prepare)
    );
    // A line as long as the longest one there would still fit, and one byte more would not.
    assert_eq!(
        planner.plan(Window::all(b"prompt> "), Flush::Ended),
        Step::Write(8)
    );
    let longer = lines(&[1, 19]);
    folder.perform(&mut planner, Step::Write(20), &longer, CALM);
    assert_eq!(
        planner.plan(Window::all(b"x"), Flush::Ended),
        Step::Rotate(RotationStep::Prepare)
    );
}

#[test]
fn a_small_limit_does_not_turn_each_prompt_into_a_file() {
    let limits = limits(3, 100, 100);
    let mut folder = Folder::new(limits);
    let mut planner = folder.recovered();
    let mut files = 0;
    for _ in 0..20 {
        for part in [&b"prompt> "[..], b"y\n"] {
            let mut placed = 0;
            while placed < part.len() {
                let step = planner.plan(Window::all(&part[placed..]), Flush::Stalled);
                files += usize::from(matches!(step, Step::Rotate(RotationStep::Publish(_))));
                placed += folder.perform(&mut planner, step, &part[placed..], CALM);
            }
        }
    }
    // 200 bytes in files that are at least half full.
    assert!(files <= 4, "{files} files");
}
