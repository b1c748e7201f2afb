//! One logmon with many tasks: whether it was told of them, and what they cost. (core)

use std::collections::BTreeMap;

use super::figures::{count, number};
use super::timeline::Timeline;
use super::{many_costs, many_files, rules};
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::rule::RuleId;
use crate::scenario::Many;
use crate::trace::many::{ManyEvent, Order};
use crate::trace::{Event, Exit};

/// Findings about single tasks that are told in full.
const TOLD: usize = 3;

/// Judges a case with many tasks; there is nothing to say of any other.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let history = timeline.history;
    let Some(many) = history.case.scenario.many else {
        return;
    };
    let events: Vec<&ManyEvent> = history
        .entries
        .iter()
        .filter_map(|entry| {
            if let Event::Many(event) = &entry.event {
                Some(event)
            } else {
                None
            }
        })
        .collect();
    let tasks = Tasks::new(many, events);
    let mut all = Grouped::default();
    tasks.starts(timeline, &mut all);
    tasks.stops(timeline, &mut all);
    tasks.left_alone(timeline, &mut all);
    many_files::judge(timeline, &tasks, &mut all);
    all.into_verdict(verdict);
    many_costs::judge(timeline, &tasks, verdict);
}

/// How a command about a task went.
pub(super) struct Commanded<'a> {
    exit: Option<Exit>,
    after_ms: u64,
    said: &'a str,
    written: Option<[u64; 2]>,
}

impl Commanded<'_> {
    fn is_done(&self) -> bool {
        self.exit == Some(Exit::Code(0))
    }

    /// Why it is not done, as a clause.
    fn failure(&self) -> String {
        let said = self.said.lines().rfind(|line| !line.trim().is_empty());
        let said = said.map_or_else(
            || " and said nothing".to_owned(),
            |line| format!(": {line}"),
        );
        match self.exit {
            None => format!("was not done after {} ms", number(self.after_ms)),
            Some(Exit::Code(code)) => format!("ended with {code}{said}"),
            Some(Exit::Signal(signal)) => format!("died of signal {signal}"),
        }
    }
}

/// What the trace tells of every task.
pub(super) struct Tasks<'a> {
    many: Many,
    starts: BTreeMap<u32, Commanded<'a>>,
    stops: BTreeMap<u32, Commanded<'a>>,
    /// Bytes that a FIFO took of more, by task and stream.
    cut: BTreeMap<(u32, usize), u64>,
    /// Bytes that the FIFOs of a task took in all.
    sent: BTreeMap<u32, [u64; 2]>,
    pub(super) events: Vec<&'a ManyEvent>,
}

impl<'a> Tasks<'a> {
    fn new(many: Many, events: Vec<&'a ManyEvent>) -> Self {
        let mut tasks = Self {
            many,
            starts: BTreeMap::new(),
            stops: BTreeMap::new(),
            cut: BTreeMap::new(),
            sent: BTreeMap::new(),
            events,
        };
        for event in &tasks.events {
            match event {
                ManyEvent::Commanded {
                    task,
                    order,
                    exit,
                    after_ms,
                    said,
                    written,
                } => {
                    let one = Commanded {
                        exit: *exit,
                        after_ms: *after_ms,
                        said,
                        written: *written,
                    };
                    match order {
                        Order::Start => tasks.starts.insert(*task, one),
                        Order::Stop => tasks.stops.insert(*task, one),
                    };
                }
                ManyEvent::NotWritten {
                    task,
                    stream,
                    bytes,
                    ..
                } => {
                    tasks.cut.insert((*task, stream.index()), *bytes);
                }
                ManyEvent::Sent { task, bytes } => {
                    tasks.sent.insert(*task, *bytes);
                }
                ManyEvent::Wrote { .. }
                | ManyEvent::NotRead { .. }
                | ManyEvent::NotLogged { .. }
                | ManyEvent::Measured { .. }
                | ManyEvent::Left { .. } => {}
            }
        }
        tasks
    }

    /// The tasks that logmon has taken.
    pub(super) fn started(&self) -> impl Iterator<Item = u32> {
        let started = self.starts.iter().filter(|(_, start)| start.is_done());
        started.map(|(task, _)| *task)
    }

    /// Bytes of a stream that its FIFO took, of so many.
    pub(super) fn taken(&self, task: u32, stream: usize, of: usize) -> usize {
        let cut = self.cut.get(&(task, stream)).copied();
        let sent = self.sent.get(&task).map(|sent| sent[stream]);
        // The last figure counts: a FIFO that was full once may have taken the rest later.
        sent.or(cut).map_or(of, |bytes| {
            of.min(usize::try_from(bytes).unwrap_or(usize::MAX))
        })
    }

    /// Bytes in the files when the stop of a task had ended with 0.
    pub(super) fn at_stop(&self, task: u32) -> Option<[u64; 2]> {
        self.stops.get(&task)?.written
    }

    /// Every task is taken. Where there are too few descriptors some are, and whatever is not is
    /// told so.
    fn starts(&self, timeline: &Timeline<'_>, all: &mut Grouped) {
        let rule = rules::first(&timeline.history.case.scenario);
        for (task, start) in self.starts.iter().filter(|(_, start)| !start.is_done()) {
            let may_be_refused = self.many.descriptors.is_some();
            let shape = match start.exit {
                None => Shape::Blocked,
                Some(Exit::Code(_)) if may_be_refused && !start.said.trim().is_empty() => {
                    continue;
                }
                Some(_) => Shape::Died,
            };
            let what = format!("the start of t{task} {}", start.failure());
            all.add(shape, &rule, *task, what);
        }
        if let Some(descriptors) = self.many.descriptors
            && !self.starts.is_empty()
            && self.started().next().is_none()
        {
            let what = format!(
                "none of {} was started with {} descriptors",
                count(self.many.tasks as usize, "task"),
                number(descriptors)
            );
            all.add(Shape::Died, &rule, 0, what);
        }
    }

    fn stops(&self, timeline: &Timeline<'_>, all: &mut Grouped) {
        let rule = rules::if_checked(&timeline.history.case.scenario, rules::MON_7);
        for (task, stop) in self.stops.iter().filter(|(_, stop)| !stop.is_done()) {
            let shape = match stop.exit {
                None => Shape::Blocked,
                Some(_) => Shape::Died,
            };
            let what = format!("the stop of t{task} {}", stop.failure());
            all.add(shape, &rule, *task, what);
        }
    }

    /// FIFOs take what the host writes, and a task that was not started has what it wrote.
    fn left_alone(&self, timeline: &Timeline<'_>, all: &mut Grouped) {
        let rule = rules::first(&timeline.history.case.scenario);
        for event in &self.events {
            if let ManyEvent::NotWritten {
                task,
                stream,
                bytes,
                of,
                is_read,
            } = event
            {
                let why = if *is_read {
                    "then it was full"
                } else {
                    "nobody reads it"
                };
                let what = format!(
                    "the FIFO of t{task} took {} of {} B of {stream}: {why}",
                    number(*bytes),
                    number(*of)
                );
                all.add(Shape::Blocked, &rule, *task, what);
            } else if let ManyEvent::NotRead {
                task,
                stream,
                bytes,
                within_ms,
            } = event
            {
                let what = format!(
                    "the FIFO of t{task} still held {} B of {stream} after {} ms",
                    number(*bytes),
                    number(*within_ms)
                );
                all.add(Shape::Blocked, &rule, *task, what);
            } else if let ManyEvent::NotLogged {
                task,
                stream,
                within_ms,
            } = event
            {
                let what = format!(
                    "the last line that t{task} wrote to {stream} stood in no file after {} ms",
                    number(*within_ms)
                );
                let rule = rules::if_checked(&timeline.history.case.scenario, rules::DATA_5);
                all.add(Shape::Late, &rule, *task, what);
            } else if let ManyEvent::Left {
                task,
                stream,
                bytes,
                of,
                is_same: false,
            } = event
            {
                let what = format!(
                    "t{task} was not started, and {} of the {} B that it had written to {stream} \
                     were left",
                    number(*bytes),
                    number(*of)
                );
                all.add(Shape::LostHead, &rule, *task, what);
            }
        }
    }
}

/// Findings of which each stands for all tasks that have the same damage.
#[derive(Default)]
pub(super) struct Grouped(BTreeMap<(Shape, RuleId), Vec<(u32, String)>>);

impl Grouped {
    /// Adds what is wrong with one task, as a clause.
    pub(super) fn add(&mut self, shape: Shape, rule: &RuleId, task: u32, what: String) {
        self.0
            .entry((shape, rule.clone()))
            .or_default()
            .push((task, what));
    }

    fn into_verdict(self, verdict: &mut Verdict) {
        for ((shape, rule), mut all) in self.0 {
            all.sort_by_key(|(task, _)| *task);
            let mut tasks: Vec<u32> = all.iter().map(|(task, _)| *task).collect();
            tasks.dedup();
            let mut told = all.into_iter().map(|(_, what)| what);
            let first = told.next().unwrap_or_default();
            let headline = match tasks.len() {
                0 | 1 => first,
                several => format!("{first}; {} tasks in all", number(several as u64)),
            };
            verdict.findings.push(Finding {
                shape,
                rule,
                stream: None,
                headline,
                details: told.take(TOLD).collect(),
            });
        }
    }
}
