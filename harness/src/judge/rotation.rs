//! Sizes, numbers and cuts of the log files. (core)

use std::collections::{BTreeMap, BTreeSet};

use mock_driver::stream::Stream;

use super::expectation::{index_of, planted_name};
use super::figures::number;
use super::rules;
use super::timeline::Timeline;
use crate::finding::{Finding, Shape};
use crate::history::LogFile;
use crate::outcome::Verdict;
use crate::scenario::{Limits, LogmonOutcome, PlantKind};
use crate::trace::{Event, LookEntry};

/// Judges the log folder at every look and the retained files at the end.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    for stream in Stream::BOTH {
        looks(timeline, stream, verdict);
        ends(timeline, stream, verdict);
    }
}

/// Names that the host planted: those of old logs, or all others.
fn planted(timeline: &Timeline<'_>, old_logs: bool) -> BTreeSet<String> {
    let plants = &timeline.history.case.scenario.host.plant;
    plants
        .iter()
        .filter(|plant| (plant.kind == PlantKind::OldLog) == old_logs)
        .map(|plant| planted_name(&plant.name))
        .collect()
}

/// A log file at a look.
#[derive(Clone, Copy)]
struct Known {
    ino: u64,
    bytes: u64,
}

/// What was seen so far of a stream's files.
struct Watch<'a> {
    stream: Stream,
    limits: Option<&'a Limits>,
    /// Sizes at the time when the limits came into force.
    before_limits: BTreeMap<u64, u64>,
    last: BTreeMap<u64, Known>,
    looked: bool,
    lives: u32,
    highest: Option<u64>,
    said: BTreeSet<(Shape, u64)>,
    findings: Vec<Finding>,
}

fn looks(timeline: &Timeline<'_>, stream: Stream, verdict: &mut Verdict) {
    let foreign = planted(timeline, false);
    let mut watch = Watch {
        stream,
        limits: None,
        before_limits: BTreeMap::new(),
        last: BTreeMap::new(),
        looked: false,
        lives: 0,
        highest: None,
        said: BTreeSet::new(),
        findings: Vec::new(),
    };
    for entry in &timeline.history.entries {
        if let Event::LogmonReady { life, .. } = &entry.event {
            watch.lives += 1;
            if let Some(life) = timeline
                .lives
                .iter()
                .find(|one| one.number == *life && one.expect != LogmonOutcome::Refused)
            {
                watch.limits = Some(life.limits);
                watch.before_limits = watch
                    .last
                    .iter()
                    .map(|(index, known)| (*index, known.bytes))
                    .collect();
            }
        } else if let Event::Look { why, entries } = &entry.event {
            watch.look(why, entries, &foreign);
        }
    }
    verdict.findings.append(&mut watch.findings);
}

impl Watch<'_> {
    fn look(&mut self, why: &str, entries: &[LookEntry], foreign: &BTreeSet<String>) {
        let mut now = BTreeMap::new();
        for entry in entries
            .iter()
            .filter(|entry| entry.kind == "file" && !foreign.contains(&entry.name))
        {
            if let Some(index) = index_of(&entry.name, self.stream) {
                now.insert(
                    index,
                    Known {
                        ino: entry.ino,
                        bytes: entry.bytes,
                    },
                );
            }
        }
        self.bounds(why, &now);
        if self.looked {
            self.history(why, &now);
        }
        self.looked = true;
        self.highest = self.highest.max(now.keys().next_back().copied());
        self.last = now;
    }

    fn say(
        &mut self,
        shape: Shape,
        rule: &'static str,
        index: u64,
        headline: String,
        details: Vec<String>,
    ) {
        if self.said.insert((shape, index)) {
            self.findings.push(Finding {
                shape,
                rule: rules::named(rule),
                stream: Some(self.stream),
                headline,
                details,
            });
        }
    }

    fn bounds(&mut self, why: &str, now: &BTreeMap<u64, Known>) {
        let Some(limits) = self.limits else { return };
        let limit = limits.max_file_bytes.0;
        for (&index, known) in now {
            let before = self.before_limits.get(&index).copied().unwrap_or(0);
            if known.bytes > limit && known.bytes > before {
                let headline = format!(
                    "{} has {} bytes, the limit is {}",
                    self.name(index),
                    number(known.bytes),
                    number(limit)
                );
                // One finding is enough for a logmon that ignores its limit.
                self.say(
                    Shape::OversizeFile,
                    rules::ROT_1,
                    0,
                    headline,
                    vec![format!("seen at: {why}")],
                );
            }
        }
        if now.len() as u64 > u64::from(limits.max_files) {
            let headline = format!(
                "{} files of {}, allowed are {}",
                now.len(),
                self.stream,
                limits.max_files
            );
            let names: Vec<String> = now.keys().map(|index| self.name(*index)).collect();
            let details = vec![format!("seen at: {why}"), super::figures::few(&names, 8)];
            self.say(Shape::TooManyFiles, rules::ROT_3, 0, headline, details);
        }
    }

    fn history(&mut self, why: &str, now: &BTreeMap<u64, Known>) {
        let last = std::mem::take(&mut self.last);
        let newest = last.keys().next_back().copied();
        for (&index, was) in &last {
            let name = self.name(index);
            let Some(is) = now.get(&index) else {
                if now.keys().any(|&other| other < index) {
                    let headline = format!("{name} vanished although older files are still there");
                    self.say(
                        Shape::FileRewritten,
                        rules::ROT_6,
                        index,
                        headline,
                        vec![format!("seen at: {why}")],
                    );
                }
                continue;
            };
            if is.bytes < was.bytes {
                let headline = format!(
                    "{name} shrank from {} to {} bytes",
                    number(was.bytes),
                    number(is.bytes)
                );
                self.say(
                    Shape::FileRewritten,
                    rules::ROT_6,
                    index,
                    headline,
                    vec![format!("seen at: {why}")],
                );
            } else if is.ino != was.ino {
                let headline = format!(
                    "{name} is another file than before: inode {} instead of {}",
                    is.ino, was.ino
                );
                self.say(
                    Shape::FileRewritten,
                    rules::ROT_6,
                    index,
                    headline,
                    vec![format!("seen at: {why}")],
                );
            } else if is.bytes > was.bytes && newest.is_some_and(|newest| index < newest) {
                let headline = format!(
                    "{name} grew from {} to {} bytes although {} is newer",
                    number(was.bytes),
                    number(is.bytes),
                    self.name(newest.unwrap_or(index))
                );
                self.say(
                    Shape::FileRewritten,
                    self.going_on(),
                    index,
                    headline,
                    vec![format!("seen at: {why}")],
                );
            }
        }
        for &index in now.keys().filter(|index| !last.contains_key(index)) {
            if let Some(highest) = self.highest.filter(|&highest| index < highest) {
                let headline = format!(
                    "{} was created although {} was there",
                    self.name(index),
                    self.name(highest)
                );
                self.say(
                    Shape::FileRewritten,
                    self.going_on(),
                    index,
                    headline,
                    vec![format!("seen at: {why}")],
                );
            }
        }
    }

    /// The rule about the place where writing goes on: that of a restart from the second life on.
    fn going_on(&self) -> &'static str {
        if self.lives > 1 {
            rules::MON_10
        } else {
            rules::ROT_6
        }
    }

    fn name(&self, index: u64) -> String {
        format!("{}.{index}", crate::case::log_name(self.stream))
    }
}

/// Closed files that are not full, and lines cut between two files.
fn ends(timeline: &Timeline<'_>, stream: Stream, verdict: &mut Verdict) {
    let Some(files) = timeline.history.files.get(&stream) else {
        return;
    };
    let Some(bounds) = bounds(timeline) else {
        return;
    };
    let old = planted(timeline, true);
    let mut early = Vec::new();
    let mut split = Vec::new();
    for (place, pair) in files.windows(2).enumerate() {
        let [file, next] = pair else { continue };
        if old.contains(&file.name) {
            continue;
        }
        early.extend(early_rotation(timeline, &bounds, file, next));
        split.extend(line_split(&bounds, files, place));
    }
    let mut push = |shape, rule, noun: &str, lines: Vec<String>| {
        let Some(first) = lines.first() else { return };
        let headline = if lines.len() == 1 {
            first.clone()
        } else {
            format!("{} {noun}; {first}", number(lines.len() as u64))
        };
        let details = lines.iter().skip(1).take(3).cloned().collect();
        verdict.findings.push(Finding {
            shape,
            rule: rules::named(rule),
            stream: Some(stream),
            headline,
            details,
        });
    };
    push(
        Shape::EarlyRotation,
        rules::ROT_2,
        "files were closed early",
        early,
    );
    push(
        Shape::LineSplit,
        rules::DATA_4,
        "lines were cut between files",
        split,
    );
}

/// What every life that was ready, or handed its limits over, had to keep, whichever of them closed a file.
struct Bounds {
    limit: u64,
    guard: u64,
    /// A closed file is larger than this: limit - guard.
    early: u64,
}

/// The bounds; none if no life was ready. Where lives had other limits than each other, a file is
/// judged by the mildest of them: who closed it is not seen for certain.
fn bounds(timeline: &Timeline<'_>) -> Option<Bounds> {
    let had = timeline.lives.iter().filter(|life| {
        let is_first = life.ready_us.is_some() && life.expect != LogmonOutcome::Refused;
        is_first || timeline.answered(life)
    });
    had.map(|life| life.limits)
        .chain(timeline.taken_over())
        .map(|limits| {
            let (limit, guard) = (limits.max_file_bytes.0, limits.line_guard.0);
            Bounds {
                limit,
                guard: guard.min(limit),
                early: limit.saturating_sub(guard),
            }
        })
        .reduce(|one, other| Bounds {
            limit: one.limit.min(other.limit),
            guard: one.guard.min(other.guard),
            early: one.early.min(other.early),
        })
}

fn early_rotation(
    timeline: &Timeline<'_>,
    bounds: &Bounds,
    file: &LogFile,
    next: &LogFile,
) -> Option<String> {
    let Bounds {
        limit,
        guard,
        early,
    } = *bounds;
    let bytes = file.bytes.len() as u64;
    if bytes <= early {
        return Some(format!(
            "{} was closed with {} bytes, the limit is {} and the line guard {}",
            file.name,
            number(bytes),
            number(limit),
            number(guard)
        ));
    }
    if !timeline.history.case.scenario.expect.full_files {
        return None;
    }
    let line = next
        .bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(next.bytes.len(), |end| end + 1) as u64;
    (line > 0 && line <= guard && bytes + line <= limit).then(|| {
        format!(
            "{} was closed with {} bytes, although the next line of {} fits below {}",
            file.name,
            number(bytes),
            number(line),
            number(limit)
        )
    })
}

/// A line up to the guard that goes on in the file behind `place`.
fn line_split(bounds: &Bounds, files: &[LogFile], place: usize) -> Option<String> {
    let file = files.get(place)?;
    let most = bounds.guard;
    // What was cut within this file or before it; a cut before was told then.
    let here = file
        .bytes
        .iter()
        .rev()
        .take_while(|&&byte| byte != b'\n')
        .count();
    if here == 0 || (here == file.bytes.len() && place > 0) {
        return None;
    }
    if here == file.bytes.len() && file.index > 0 {
        // Where the line began is gone.
        return None;
    }
    let mut rest = 0_u64;
    for later in files.get(place + 1..)? {
        let end = later.bytes.iter().position(|&byte| byte == b'\n');
        rest += end.map_or(later.bytes.len(), |end| end + 1) as u64;
        if end.is_some() || rest > most {
            break;
        }
    }
    let length = here as u64 + rest;
    (rest > 0 && length <= most).then(|| {
        format!(
            "a line of {} bytes is cut behind {}: {} there, {} in the next file",
            number(length),
            file.name,
            number(here as u64),
            number(rest)
        )
    })
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream::{Stderr, Stdout};

    use super::super::judge;
    use super::super::stage::{add, good, put, records, sent};
    use super::*;
    use crate::scenario::Size;

    #[test]
    fn lives_with_other_limits_are_judged_by_the_mildest() {
        let limits = |max_file_bytes| Limits {
            max_files: 9,
            max_file_bytes: Size(max_file_bytes),
            line_guard: Size(150),
            ..Limits::default()
        };
        let mut history = good(vec![records(Stdout, 50), records(Stderr, 1)]);
        for entry in &mut history.entries {
            if let Event::LogmonStarted { limits: of, .. } = &mut entry.event {
                *of = limits(2_050);
            }
        }
        let events = [
            Event::LogmonExited {
                life: 1,
                exit: crate::trace::Exit::Code(0),
                asked: true,
                after_ms: Some(1),
                stderr: String::new(),
            },
            Event::LogmonStarted {
                life: 2,
                pid: 101,
                expect: LogmonOutcome::Ready,
                words: Vec::new(),
                limits: limits(1_050),
            },
            Event::LogmonReady {
                life: 2,
                after_ms: 1,
                sign: crate::case::ReadySign::Line,
                may_raise: false,
            },
        ];
        for (at_us, event) in (100..).zip(events) {
            add(&mut history, at_us, event);
        }
        let all = sent(&history, 0, Stdout);
        for (cut, expected) in [
            (2_000, vec![]),
            (1_000, vec![]),
            (900, vec![Shape::EarlyRotation]),
            (1_010, vec![Shape::LineSplit]),
        ] {
            let files = vec![all[..cut].to_vec(), all[cut..].to_vec()];
            put(&mut history, Stdout, files);
            let mut found: Vec<Shape> = judge(&history)
                .findings
                .iter()
                .map(|one| one.shape)
                .collect();
            found.retain(|shape| matches!(shape, Shape::EarlyRotation | Shape::LineSplit));
            assert_eq!(found, expected, "{cut}");
        }
    }
}
