//! What is recorded beside the plan while it waits. (edge)

use std::time::{Duration, Instant};

use mock_driver::stream::Stream;

use super::stage::{Stage, millis};
use crate::case::log_name;
use crate::observe::{Fill, look, look_at_once, stream_bytes};
use crate::trace::{Event, LookEntry};

/// The least time between two records of the same figure.
const COARSE: Duration = Duration::from_millis(20);
/// How often processes and pipes are looked at.
const SLOW: Duration = Duration::from_millis(15);
/// Generations of which the holders are recorded without being asked for.
const GENERATIONS_WITH_HOLDERS: u32 = 3;
/// How often all processes of the system are looked at for a write end.
const FAR: Duration = Duration::from_millis(20);

/// The last figures that were recorded.
pub(super) struct Samples {
    names: Vec<(String, u64)>,
    had_oversize: bool,
    logged: [u64; 2],
    logged_at: Option<Instant>,
    pipes: [Option<Fill>; 2],
    slow_at: Option<Instant>,
    far_at: Option<Instant>,
    /// Whether a process that is no descendant of this one was ever seen to hold a write end.
    pub(super) far_writes: bool,
    /// Bytes in the streams' files at the last look.
    pub(super) bytes: [u64; 2],
    /// When the files were last seen to change.
    pub(super) changed_at: Instant,
}

impl Samples {
    pub(super) fn new() -> Self {
        Self {
            names: Vec::new(),
            had_oversize: false,
            logged: [0; 2],
            logged_at: None,
            pipes: [None; 2],
            slow_at: None,
            far_at: None,
            far_writes: false,
            bytes: [0; 2],
            changed_at: Instant::now(),
        }
    }
}

impl Stage {
    /// Records what changed in the log folder and, less often, in the pipes.
    pub(super) fn sample(&mut self) {
        if self.is_log_hidden() {
            return self.note_release();
        }
        let entries = look(&self.dir.log());
        let bytes = Stream::BOTH.map(|stream| stream_bytes(&entries, &log_name(stream)));
        if bytes != self.samples.bytes {
            self.samples.bytes = bytes;
            self.samples.changed_at = Instant::now();
        }
        if self.matters(&entries)
            && let Some(entries) = look_at_once(&self.dir.log())
            && self.matters(&entries)
        {
            self.record_entries("sample", entries);
        }
        if self
            .samples
            .logged_at
            .is_none_or(|at| at.elapsed() >= COARSE)
        {
            self.record_logged();
        }
        if self.samples.slow_at.is_none_or(|at| at.elapsed() >= SLOW) {
            self.samples.slow_at = Some(Instant::now());
            self.record_pipes();
            self.record_holders_once();
            self.bound_outputs();
        }
        self.note_release();
    }

    /// Cuts what the subjects that run print themselves, so that one that never stops printing does
    /// not fill the disk. The beginning is kept: it is what messages quote.
    pub(super) fn bound_outputs(&mut self) {
        let life = self.lives.last().map(|life| ("logmon", life.number));
        let generation = self
            .generation()
            .map(|generation| ("driver", generation.number));
        for (part, number) in life.into_iter().chain(generation) {
            for stream in Stream::BOTH {
                // Tried again at the next look; without the file there is nothing to cut.
                self.outputs
                    .bound(&self.dir.output(part, number, stream))
                    .ok();
            }
        }
    }

    /// Whether names came or went, or a file is beyond the limit that was not so before.
    fn matters(&self, entries: &[LookEntry]) -> bool {
        let same = entries.len() == self.samples.names.len()
            && entries
                .iter()
                .zip(&self.samples.names)
                .all(|(entry, known)| (&entry.name, entry.ino) == (&known.0, known.1));
        !same || self.has_oversize(entries) != self.samples.had_oversize
    }

    fn has_oversize(&self, entries: &[LookEntry]) -> bool {
        let limit = self.case.scenario.limits.max_file_bytes.0;
        entries
            .iter()
            .any(|entry| entry.kind == "file" && entry.bytes > limit)
    }

    /// Records the log folder as it is; nothing while it changes faster than it can be read.
    pub(super) fn record_look(&mut self, why: &str) {
        if self.is_log_hidden() {
            return;
        }
        if let Some(entries) = look_at_once(&self.dir.log()) {
            self.record_entries(why, entries);
        }
    }

    fn record_entries(&mut self, why: &str, entries: Vec<LookEntry>) {
        self.samples.had_oversize = self.has_oversize(&entries);
        self.samples.names = entries
            .iter()
            .map(|entry| (entry.name.clone(), entry.ino))
            .collect();
        self.trace.add(Event::Look {
            why: why.to_owned(),
            entries,
        });
    }

    /// Records the bytes in the streams' files where they changed.
    pub(super) fn record_logged(&mut self) {
        for stream in Stream::BOTH {
            let bytes = self.samples.bytes[stream.index()];
            let logged = &mut self.samples.logged[stream.index()];
            if *logged != bytes {
                *logged = bytes;
                self.samples.logged_at = Some(Instant::now());
                self.trace.add(Event::Logged { stream, bytes });
            }
        }
    }

    /// Records every pipe that is not as it was recorded last, however little it changed: what a
    /// logmon leaves in it is counted to the byte.
    pub(super) fn record_pipes_exactly(&mut self) {
        for stream in Stream::BOTH {
            let Some(fill) = self.fill(stream) else {
                continue;
            };
            let known = self.samples.pipes[stream.index()].replace(fill);
            if known.is_none_or(|known| known.bytes != fill.bytes) {
                self.trace.add(Event::Pipe {
                    stream,
                    bytes: fill.bytes,
                    capacity: fill.capacity,
                });
            }
        }
    }

    fn record_pipes(&mut self) {
        for stream in Stream::BOTH {
            let Some(fill) = self.fill(stream) else {
                continue;
            };
            let far = self.samples.pipes[stream.index()].is_none_or(|known| {
                (known.bytes == 0) != (fill.bytes == 0)
                    || known.bytes.abs_diff(fill.bytes) >= fill.capacity / 4
                    || known.capacity != fill.capacity
            });
            if far {
                self.samples.pipes[stream.index()] = Some(fill);
                self.trace.add(Event::Pipe {
                    stream,
                    bytes: fill.bytes,
                    capacity: fill.capacity,
                });
            }
        }
    }

    /// Records once per generation who holds the FIFOs while the task runs, for the first few.
    fn record_holders_once(&mut self) {
        let Some(generation) = self.generations.last_mut() else {
            return;
        };
        let runs = generation.tail.progress.lines > 1
            && generation.task_gone.is_none()
            && generation.exit.is_none();
        if runs && !generation.holders_recorded && generation.number < GENERATIONS_WITH_HOLDERS {
            generation.holders_recorded = true;
            let when = format!("generation {}", generation.number);
            self.record_holders(&when);
        }
    }

    /// Since when the driver owes the release of its write ends: the end of the last process of the
    /// task, as far as it was seen, or the start of the logmon that reads what was left over.
    pub(super) fn release_owed_since(&self) -> Option<Instant> {
        let generation = self.generation()?;
        let (_, ended) = generation.exit?;
        let gone = generation.task_gone.unwrap_or(ended).max(self.task_seen);
        let reader = self.lives.last().map(|life| life.started);
        Some(reader.map_or(gone, |reader| reader.max(gone)))
    }

    /// Records when the last driver's write ends were found to be released.
    fn note_release(&mut self) {
        let Some(generation) = self.generation() else {
            return;
        };
        if generation.is_released || generation.exit.is_none() {
            return;
        }
        let number = generation.number;
        if self.is_written_by_any(false) {
            return;
        }
        let after_ms = self
            .release_owed_since()
            .map(|since| millis(since.elapsed()));
        // A driver may be only the client of a daemon. All processes are looked at for the first
        // generations; for later ones if such a daemon was seen by then.
        if number < GENERATIONS_WITH_HOLDERS || self.samples.far_writes {
            if self.samples.far_at.is_some_and(|at| at.elapsed() < FAR) {
                return;
            }
            let is_held = self.is_written_by_any(true);
            self.samples.far_at = Some(Instant::now());
            self.samples.far_writes |= is_held;
            if is_held {
                return;
            }
        }
        if let Some(generation) = self.generations.last_mut() {
            generation.is_released = true;
        }
        self.trace.add(Event::WriteEndsReleased {
            generation: number,
            after_ms,
            holders: Vec::new(),
        });
    }
}
