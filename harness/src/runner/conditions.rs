//! What a plan waits for, looked at once. (edge)

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use mock_driver::stream::Stream;

use super::stage::{Expectation, Stage, Stop, millis};
use super::stalling::Stalling;
use super::words;
use crate::case::log_name;
use crate::observe::{descriptors_of, holds_deleted, stream_files, threads};
use crate::scenario::{Await, Condition};
use crate::trace::Event;

/// Bytes at the end of a log that are compared with what the task wrote last.
const COMPARED_BYTES: usize = 4_096;
/// How long a pipe's level and its writer must stand still to count as blocked.
const STILL: Duration = Duration::from_millis(60);
/// How long after its driver's end a task that nobody sees is still waited for.
const AFTER_DRIVER: Duration = Duration::from_millis(500);

/// What was seen of a pipe and since when it is so.
#[derive(Clone, Copy, Default)]
pub(super) struct Stillness {
    seen: Option<(u64, u64, Instant)>,
}

impl Stillness {
    /// How long level and journal have been the same.
    fn note(&mut self, level: u64, lines: u64) -> Duration {
        match self.seen {
            Some((known_level, known_lines, since))
                if (known_level, known_lines) == (level, lines) =>
            {
                since.elapsed()
            }
            Some(_) | None => {
                self.seen = Some((level, lines, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

impl Stage {
    /// Waits for a condition. Not met, the plan ends: its later steps rely on it.
    pub(super) fn await_condition(&mut self, wait: &Await) -> Result<(), Stop> {
        let started = Instant::now();
        let mut still = [Stillness::default(); 2];
        let limit = Duration::from_millis(wait.within_ms);
        let is_met = self.wait(limit, |stage| {
            if stage.holds(wait, &mut still) {
                Some(true)
            } else {
                stage.is_hopeless(wait.until).then_some(false)
            }
        })?;
        let text = words::condition(wait);
        if is_met != Some(true) {
            let waited = is_met.map_or(wait.within_ms, |_| millis(started.elapsed()));
            let mut last = self.progress_lines();
            last.extend(self.who_waits());
            self.trace.add(Event::Unmet {
                text,
                within_ms: waited,
                last,
                otherwise: wait.otherwise,
                rule: wait.rule.clone(),
                stream: wait.stream,
            });
            return Err(Stop::Unmet);
        }
        self.trace.add(Event::Met {
            text,
            after_ms: millis(started.elapsed()),
        });
        match (wait.until, &wait.gate) {
            (Condition::AtGate, Some(gate)) if self.gates_seen.insert(gate.clone()) => {
                self.record_holders(&format!("at gate {gate}"));
            }
            (Condition::WriterHolds, _) => self.record_holders("writer-holds"),
            _ => {}
        }
        Ok(())
    }

    fn holds(&mut self, wait: &Await, still: &mut [Stillness; 2]) -> bool {
        let streams: &[Stream] = match &wait.stream {
            Some(stream) => std::slice::from_ref(stream),
            None => &Stream::BOTH,
        };
        let all = |stage: &mut Self, holds: fn(&mut Self, Stream, Option<u64>) -> bool| {
            streams
                .iter()
                .all(|&stream| holds(stage, stream, wait.bytes))
        };
        match wait.until {
            Condition::Accepted => all(self, Self::is_accepted),
            Condition::Logged => all(self, Self::is_logged),
            Condition::PipeFull => streams
                .iter()
                .any(|&stream| self.is_full(stream, &mut still[stream.index()])),
            Condition::PipeEmpty => all(self, |stage, stream, _| {
                stage.fill(stream).is_some_and(|fill| fill.bytes == 0)
            }),
            Condition::AtGate => self.generation().is_some_and(|generation| {
                generation.tail.progress.gate == wait.gate && generation.task_gone.is_none()
            }),
            Condition::WriterHolds => all(self, |stage, stream, _| {
                stage.holders_anywhere(stream).iter().any(|one| one.writes)
            }),
            Condition::NoWriterHolds => all(self, |stage, stream, _| {
                !stage.holders_anywhere(stream).iter().any(|one| one.writes)
            }),
            Condition::TaskRuns => self
                .generation()
                .is_some_and(|generation| generation.tail.progress.writer.is_some()),
            // A task of whose beginning nothing is known has ended with its driver.
            Condition::TaskGone => self.generation().is_some_and(|generation| {
                generation.task_gone.is_some() || generation.exit.is_some()
            }),
            Condition::DriverGone => self
                .generation()
                .is_some_and(|generation| generation.exit.is_some()),
            Condition::LogmonGone => self.lives.last().is_some_and(|life| life.exit.is_some()),
            Condition::DeletedFilesClosed => {
                let pids = self.logmon_pids();
                !pids.is_empty() && !holds_deleted(&self.dir.log(), pids)
            }
            Condition::StorageHangs => self.storage.as_ref().is_some_and(Stalling::hangs),
        }
    }

    /// Whether only the task could bring this about, and it is gone with its driver.
    fn is_hopeless(&self, until: Condition) -> bool {
        match until {
            Condition::Accepted
            | Condition::AtGate
            | Condition::WriterHolds
            | Condition::TaskRuns => {}
            Condition::Logged
            | Condition::PipeFull
            | Condition::PipeEmpty
            | Condition::NoWriterHolds
            | Condition::TaskGone
            | Condition::DriverGone
            | Condition::LogmonGone
            | Condition::DeletedFilesClosed
            | Condition::StorageHangs => return false,
        }
        self.generation().is_some_and(|generation| {
            let is_gone =
                generation.task_gone.is_some() || generation.tail.progress.writer.is_none();
            let is_over = |(_, at): (_, Instant)| at.elapsed() >= AFTER_DRIVER;
            // Nobody reports the end of a task whose driver has left it.
            let is_away = self.stdio.as_ref().is_some_and(|stdio| stdio.is_away);
            let is_left = is_away && generation.task_gone.is_some();
            is_left || is_gone && generation.exit.is_some_and(is_over)
        })
    }

    pub(super) fn is_accepted(&mut self, stream: Stream, bytes: Option<u64>) -> bool {
        let Some(expectation) = self.expectation(stream) else {
            return false;
        };
        let Some(generation) = self.generation() else {
            return false;
        };
        let written = generation.tail.progress.of(stream);
        match (bytes, &*expectation) {
            (Some(bytes), _) => written >= bytes,
            (None, Expectation::Exact(all)) => written >= all.len() as u64,
            (None, Expectation::Counted(all)) => written >= *all,
            (None, Expectation::Unknown) => {
                generation.tail.progress.ended || generation.task_gone.is_some()
            }
        }
    }

    /// Whether the log ends with what the task wrote last, or holds so many bytes.
    pub(super) fn is_logged(&mut self, stream: Stream, bytes: Option<u64>) -> bool {
        let logged = self.samples.bytes[stream.index()];
        if let Some(bytes) = bytes {
            return logged >= bytes;
        }
        let Some(expectation) = self.expectation(stream) else {
            return false;
        };
        let Some(generation) = self.generation() else {
            return false;
        };
        let written = generation.tail.progress.of(stream);
        match &*expectation {
            // Nothing written yet, though something will be: there is nothing to wait for so far.
            Expectation::Exact(all) if written == 0 => all.is_empty(),
            Expectation::Exact(all) => {
                let end = usize::try_from(written)
                    .unwrap_or(usize::MAX)
                    .min(all.len());
                let wanted = &all[end.saturating_sub(COMPARED_BYTES)..end];
                last_bytes(&self.dir.log(), &log_name(stream), wanted.len()) == wanted
            }
            Expectation::Counted(_) => {
                let all: u64 = self
                    .generations
                    .iter()
                    .map(|one| one.tail.progress.of(stream))
                    .sum();
                written > 0 && logged >= all
            }
            Expectation::Unknown => {
                let drained = self.fill(stream).is_none_or(|fill| fill.bytes == 0);
                drained && self.samples.changed_at.elapsed() > STILL
            }
        }
    }

    fn is_full(&mut self, stream: Stream, still: &mut Stillness) -> bool {
        let Some(watch) = self.watch(stream) else {
            return false;
        };
        let snapshot = self.look_at_processes();
        for stat in snapshot.descendants(self.me) {
            let held = descriptors_of(watch.identity(), [stat.pid]);
            if !held.iter().any(|held| held.writes) {
                continue;
            }
            let blocked = threads(stat.pid).iter().any(|thread| {
                let writes_here = thread
                    .call
                    .as_ref()
                    .and_then(super::super::observe::SystemCall::writes_to)
                    .is_some_and(|fd| held.iter().any(|held| held.fd == fd));
                thread.state == 'S' && (writes_here || thread.sleeps_in.contains("pipe_write"))
            });
            if blocked {
                return true;
            }
        }
        let Some(fill) = self.fill(stream) else {
            return false;
        };
        let lines = self
            .generation()
            .map_or(0, |generation| generation.tail.progress.lines);
        let stands_still = still.note(fill.bytes, lines) >= STILL;
        stands_still && fill.bytes > 0 && fill.bytes >= fill.capacity / 2
    }

    /// How far both streams have come, in words.
    fn progress_lines(&mut self) -> Vec<String> {
        let line = |stream: Stream| {
            let expectation = self.expectation(stream);
            let generation = self.generations.last()?;
            let of = match expectation.as_deref() {
                Some(Expectation::Exact(all)) => format!(" of {} B", all.len()),
                Some(Expectation::Counted(all)) => format!(" of {all} B"),
                Some(Expectation::Unknown) | None => " B".into(),
            };
            let written = generation.tail.progress.of(stream);
            let logged = self.samples.bytes[stream.index()];
            Some(format!(
                "{stream}: the task wrote {written}{of}; the log holds {logged} B in all"
            ))
        };
        Stream::BOTH.into_iter().filter_map(line).collect()
    }
}

/// The last bytes of a stream's files, at most so many.
fn last_bytes(folder: &Path, stream_name: &str, wanted: usize) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut missing = wanted as u64;
    for (_, path) in stream_files(folder, stream_name).into_iter().rev() {
        if missing == 0 {
            break;
        }
        let Ok(mut file) = File::open(path) else {
            break;
        };
        let len = file.metadata().map_or(0, |facts| facts.len());
        let mut piece = Vec::new();
        let read = file
            .seek(SeekFrom::Start(len.saturating_sub(missing)))
            .and_then(|_| file.take(missing).read_to_end(&mut piece));
        if read.is_err() {
            break;
        }
        missing -= (piece.len() as u64).min(missing);
        pieces.push(piece);
    }
    pieces.into_iter().rev().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_joined_across_files() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("a.9", "one"), ("a.10", "two"), ("a.11", "")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(last_bytes(folder.path(), "a", 4), b"etwo");
        assert_eq!(last_bytes(folder.path(), "a", 99), b"onetwo");
        assert_eq!(last_bytes(folder.path(), "b", 9), b"");
    }
}
