//! Core: laws of the policies for a full disk, played on a disk without a kernel.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::limits::Limits;
use crate::losses::{Deletion, Gap, Loss};
use crate::planner::Place;
use crate::recovery::Recovery;

const MAX_FILE_BYTES: u64 = 200;
const LINE_GUARD: u64 = 60;
const MAX_CHUNK: usize = 90;

/// What the host does, in milliseconds since the start.
#[derive(Debug, Clone)]
struct Weather {
    /// How many bytes the disk has, each until the time given; after the last one it is as large as needed.
    capacities: Vec<(u64, u64)>,
    /// When every step on the folder fails for a reason that is no lack of space.
    broken: Range<u64>,
    /// When no file can be deleted for space.
    undeletable: Range<u64>,
    /// When no record can be written, though the log can.
    unrecordable: Range<u64>,
    /// When the stream is stopped; after the input and all faults if not said.
    stop_at: Option<u64>,
}

impl Weather {
    fn fair_from(&self) -> u64 {
        let full_until = self.capacities.last().map_or(0, |(until, _)| *until);
        full_until
            .max(self.broken.end)
            .max(self.undeletable.end)
            .max(self.unrecordable.end)
    }
}

struct World {
    weather: Weather,
    now: Duration,
    files: BTreeMap<u32, Vec<u8>>,
    /// Every file that ever was, deleted ones too.
    history: BTreeMap<u32, Vec<u8>>,
    window: Vec<u8>,
    gaps: Vec<Gap>,
    deletions: Vec<Deletion>,
    reports: Vec<Report>,
    last_fault: Option<Fault>,
    refused_to_delete: bool,
    deleted: (u64, u64),
    most_files: usize,
    largest_window: usize,
    most_unrecorded: usize,
    longest_without_reading: Duration,
}

impl World {
    fn new(weather: Weather) -> World {
        World {
            weather,
            now: Duration::ZERO,
            files: BTreeMap::new(),
            history: BTreeMap::new(),
            window: Vec::new(),
            gaps: Vec::new(),
            deletions: Vec::new(),
            reports: Vec::new(),
            last_fault: None,
            refused_to_delete: false,
            deleted: (0, 0),
            most_files: 0,
            largest_window: 0,
            most_unrecorded: 0,
            longest_without_reading: Duration::ZERO,
        }
    }

    fn millis(&self) -> u64 {
        self.now.as_millis() as u64
    }

    fn room(&self) -> usize {
        let now = self.millis();
        let used: usize = self.files.values().map(Vec::len).sum();
        match self
            .weather
            .capacities
            .iter()
            .find(|(until, _)| now < *until)
        {
            Some((_, capacity)) => (*capacity as usize).saturating_sub(used),
            None => usize::MAX,
        }
    }

    fn fail(&mut self, step: Step, fault: Fault) -> Event {
        self.last_fault = Some(fault);
        Event::Failed { step, fault }
    }

    fn perform(&mut self, step: Step, short: usize) -> Event {
        if matches!(step, Step::DeleteForSpace(_)) {
            assert_eq!(self.last_fault, Some(Fault::NoSpace));
        }
        if self.weather.broken.contains(&self.millis()) {
            return self.fail(step, Fault::Other);
        }
        let (now, room) = (self.millis(), self.room());
        match step {
            Step::Write(_) | Step::Rotate(_) if room == 0 => self.fail(step, Fault::NoSpace),
            Step::Write(bytes) => {
                let bytes = bytes.min(short).min(room);
                let placed = &self.window[..bytes];
                for files in [&mut self.files, &mut self.history] {
                    files.last_entry().unwrap().get_mut().extend(placed);
                }
                Event::Wrote(bytes)
            }
            Step::Rotate(rotation) => {
                if let RotationStep::Publish(index) = rotation {
                    self.files.insert(index, Vec::new());
                    self.history.insert(index, Vec::new());
                    self.most_files = self.most_files.max(self.files.len());
                }
                Event::Rotated(rotation)
            }
            Step::Delete(index) => {
                self.files.remove(&index);
                Event::Deleted(index)
            }
            Step::DeleteForSpace(index) => {
                assert_eq!(self.files.keys().next(), Some(&index), "the oldest one");
                assert!(self.files.len() > 1, "the current file stays");
                self.refused_to_delete = self.weather.undeletable.contains(&now);
                if self.refused_to_delete {
                    return self.fail(step, Fault::NoSpace);
                }
                let bytes = self.files.remove(&index).unwrap().len() as u64;
                self.deleted = (self.deleted.0 + 1, self.deleted.1 + bytes);
                Event::DeletedForSpace {
                    index,
                    bytes: Some(bytes),
                }
            }
            Step::Look(_) | Step::FindEnding | Step::Hold | Step::Idle | Step::NoIndexLeft => {
                panic!("{step:?} is nothing to perform")
            }
        }
    }

    fn record(&mut self, loss: Loss) -> Event {
        let now = self.millis();
        if self.weather.unrecordable.contains(&now) || self.room() == 0 {
            return Event::NotRecorded;
        }
        match loss {
            Loss::Dropped(gap) => self.gaps.push(gap),
            Loss::Deleted(deletion) => self.deletions.push(deletion),
        }
        Event::Recorded(loss)
    }

    fn discard(&mut self, range: Range<usize>) -> Event {
        assert!(
            self.last_fault == Some(Fault::Other)
                || self.refused_to_delete
                || self.files.len() <= 1
                || !self.weather.capacities.is_empty() && self.room() > 0,
            "output is dropped while a rotated file could be deleted"
        );
        self.window.drain(range);
        Event::Discarded
    }

    /// Plays the input to the end.
    fn play(&mut self, machine: &mut Collect, input: &[u8], chunks: &[usize], short: usize) {
        let (mut at, mut turn, mut stopped) = (0, 0, false);
        let mut last_reading = Duration::ZERO;
        let mut event = Event::Started;
        loop {
            let action = machine.handle(event, Window::all(&self.window), self.now);
            if let Event::Wrote(bytes) = event {
                self.window.drain(..bytes);
            }
            let counters = machine.counters();
            let mut window = self.window.len();
            if let Action::Discard(range) = &action {
                window -= range.len();
            }
            assert_eq!(
                counters.read_bytes,
                counters.written_bytes + counters.dropped_bytes + window as u64
            );
            self.reports.extend(machine.take_reports());
            self.now += Duration::from_millis(1);
            event = match action {
                Action::Perform(step) => self.perform(step, short),
                Action::TakeIn => Event::TookIn,
                Action::Record(loss) => self.record(*loss),
                Action::Discard(range) => self.discard(range),
                Action::Wait { reading, until } => {
                    if reading != Reading::No || stopped {
                        last_reading = self.now;
                    }
                    let is_over = self.millis() > self.weather.fair_from() + 2000;
                    let stop_at = self.weather.stop_at;
                    let is_time = stop_at.map_or(is_over && at == input.len(), |stop_at| {
                        self.millis() >= stop_at
                    });
                    if !stopped && is_time {
                        stopped = true;
                        Event::Stop
                    } else if reading != Reading::No && at < input.len() {
                        let bytes = chunks[turn % chunks.len()].min(input.len() - at);
                        self.window.extend_from_slice(&input[at..at + bytes]);
                        (at, turn) = (at + bytes, turn + 1);
                        Event::Read(bytes)
                    } else if reading == Reading::AtOnce {
                        Event::NoWriter
                    } else {
                        let latest = self.now + Duration::from_millis(20);
                        self.now = until.map_or(latest, |until| until.clamp(self.now, latest));
                        Event::Tick
                    }
                }
                Action::Finish => break,
            };
            self.longest_without_reading =
                self.longest_without_reading.max(self.now - last_reading);
            self.largest_window = self.largest_window.max(self.window.len());
            self.most_unrecorded = self.most_unrecorded.max(machine.losses().pending());
            assert!(self.millis() < 120_000, "it comes to no end");
        }
    }

    /// The bytes in front of a place.
    fn position(&self, place: Place) -> usize {
        let before: usize = self
            .history
            .range(..place.index)
            .map(|(_, file)| file.len())
            .sum();
        before + place.offset as usize
    }

    /// Goes through the input as the records say: so many bytes are missing at each place, and what is
    /// between the places is in the files.
    fn check_places(&self, input: &[u8]) {
        let log = self.history.values().flatten().copied();
        let log: Vec<u8> = log.collect();
        let (mut at, mut placed) = (0, 0);
        for gap in &self.gaps {
            assert_eq!(gap.places, 1);
            let next = self.position(gap.place);
            assert_eq!(log[placed..next], input[at..at + next - placed]);
            at += next - placed + gap.bytes as usize;
            placed = next;
        }
        let left = log.len() - placed;
        if left > 0 {
            assert_eq!(log[placed..], input[at..at + left]);
        }
    }
}

fn machine(on_full: OnFull, max_files: u64) -> Collect {
    let limits = Limits::checked(max_files, MAX_FILE_BYTES, LINE_GUARD).unwrap();
    Collect::new(
        Planner::new(limits, &Recovery::default(), false),
        Pacing::new(1 << 16),
        on_full,
    )
}

fn spans() -> impl Strategy<Value = Range<u64>> {
    (0u64..4000, 0u64..2000).prop_map(|(start, lasts)| start..start + lasts)
}

fn weather() -> impl Strategy<Value = Weather> {
    let capacities = prop::collection::vec((1u64..1500, 0u64..1200), 0..5).prop_map(|spells| {
        let mut until = 0;
        let spell = |(lasts, capacity)| {
            until += lasts;
            (until, capacity)
        };
        spells.into_iter().map(spell).collect()
    });
    (
        capacities,
        spans(),
        spans(),
        spans(),
        prop::option::weighted(0.2, 0u64..5000),
    )
        .prop_map(
            |(capacities, broken, undeletable, unrecordable, stop_at)| Weather {
                capacities,
                broken,
                undeletable,
                unrecordable,
                stop_at,
            },
        )
}

fn lines(lengths: &[usize]) -> Vec<u8> {
    let mut input = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        input.extend(format!("{number:06}{}\n", "x".repeat(*length)).bytes());
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_missing_is_recorded_with_its_place_and_adds_up_whatever_the_host_does(
        lengths in prop::collection::vec(0usize..100, 0..200),
        chunks in prop::collection::vec(1usize..MAX_CHUNK, 1..6),
        short in 1usize..100, max_files in 1u64..6, weather in weather(),
    ) {
        let input = lines(&lengths);
        let mut machine = machine(OnFull::Drop, max_files);
        let mut world = World::new(weather);
        world.play(&mut machine, &input, &chunks, short);
        let (counters, losses) = (machine.counters(), machine.losses());
        let recorded: u64 = world.gaps.iter().map(|gap| gap.bytes).sum();
        prop_assert_eq!(recorded + losses.unrecorded_bytes(), counters.dropped_bytes);
        let files: u64 = world.deletions.iter().map(|deletion| deletion.files).sum();
        let bytes: u64 = world.deletions.iter().map(|deletion| deletion.bytes).sum();
        prop_assert_eq!(files + losses.unrecorded_files(), counters.deleted_for_space_files);
        prop_assert_eq!(
            (counters.deleted_for_space_files, counters.deleted_for_space_bytes), world.deleted
        );
        let mut in_total = 0;
        for gap in &world.gaps {
            in_total += gap.bytes;
            prop_assert_eq!(gap.in_total_bytes, in_total);
            prop_assert!(gap.from <= gap.until);
        }
        if losses.unrecorded_bytes() == 0 {
            world.check_places(&input);
        }
        if world.weather.stop_at.is_none() {
            prop_assert_eq!((recorded, files, bytes), (
                counters.dropped_bytes, counters.deleted_for_space_files, counters.deleted_for_space_bytes
            ));
        }
        prop_assert!(world.most_files <= max_files as usize);
        prop_assert!(world.largest_window <= LINE_GUARD as usize + 2 * MAX_CHUNK + 1, "{}", world.largest_window);
        prop_assert!(world.longest_without_reading <= Duration::from_millis(1000));
    }

    #[test]
    fn block_deletes_nothing_for_space_and_records_nothing(
        lengths in prop::collection::vec(0usize..40, 0..60),
        chunks in prop::collection::vec(1usize..MAX_CHUNK, 1..6),
        short in 1usize..100, weather in weather(),
    ) {
        let input = lines(&lengths);
        let mut machine = machine(OnFull::Block, 5);
        let mut world = World::new(Weather { stop_at: None, ..weather });
        world.play(&mut machine, &input, &chunks, short);
        prop_assert_eq!(world.deleted, (0, 0));
        prop_assert_eq!((world.gaps.len(), world.deletions.len()), (0, 0));
        prop_assert_eq!(world.history.values().flatten().copied().collect::<Vec<u8>>(), input);
    }
}

fn fair() -> Weather {
    Weather {
        capacities: Vec::new(),
        broken: 0..0,
        undeletable: 0..0,
        unrecordable: 0..0,
        stop_at: None,
    }
}

#[test]
fn a_full_disk_costs_the_oldest_files_one_by_one_and_no_output_while_there_is_one() {
    let input = lines(&[92; 20]);
    let mut machine = machine(OnFull::Drop, 10);
    let mut world = World::new(Weather {
        capacities: vec![(60_000, 600)],
        ..fair()
    });
    world.play(&mut machine, &input, &[50], 1000);
    // Ten files of two lines each; the disk has room for three.
    assert_eq!(world.history.len(), 10);
    assert_eq!(world.files.keys().copied().collect::<Vec<u32>>(), [7, 8, 9]);
    assert_eq!(machine.counters().dropped_bytes, 0);
    assert_eq!(machine.counters().deleted_for_space_files, 7);
    assert_eq!(machine.counters().deleted_for_space_bytes, 1400);
    let told = world
        .deletions
        .iter()
        .map(|deletion| (deletion.first_index, deletion.last_index, deletion.files));
    assert_eq!(
        told.collect::<Vec<_>>(),
        (0..7).map(|index| (index, index, 1)).collect::<Vec<_>>()
    );
    // Told once at first, and the others at the stop, as the diagnostics are rate-limited.
    let told: Vec<u64> = world
        .reports
        .iter()
        .filter_map(|report| {
            if let Report::DeletedForSpace { files, .. } = report {
                Some(*files)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(told.iter().sum::<u64>(), 7);
    assert!(told.len() < 7, "{told:?}");
}

#[test]
fn other_faults_cost_no_file() {
    let input = lines(&[92; 40]);
    let mut machine = machine(OnFull::Drop, 10);
    let mut world = World::new(Weather {
        broken: 100..3000,
        ..fair()
    });
    world.play(&mut machine, &input, &[90], 1000);
    assert!(machine.counters().dropped_bytes > 0);
    assert_eq!(world.deleted, (0, 0));
}

#[test]
fn a_disk_that_stays_full_for_long_costs_no_more_memory_than_one_that_is_full_for_a_moment() {
    let input = lines(&[92; 20_000]);
    let mut machine = machine(OnFull::Drop, 3);
    let mut world = World::new(Weather {
        capacities: vec![(100, 500), (50_000, 0)],
        ..fair()
    });
    world.play(&mut machine, &input, &[90, 30], 1000);
    assert!(machine.counters().dropped_bytes > 1_000_000);
    assert!(world.largest_window <= LINE_GUARD as usize + 2 * MAX_CHUNK);
    assert!(world.most_unrecorded <= 4, "{}", world.most_unrecorded);
    world.check_places(&input);
}
