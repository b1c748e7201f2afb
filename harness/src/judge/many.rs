//! One logmon with many tasks: whether it was told of them, and what they cost. (core)

use std::collections::BTreeMap;

use super::figures::{count, number};
use super::timeline::Timeline;
use super::{many_files, rules};
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::rule::RuleId;
use crate::scenario::Many;
use crate::trace::many::{ManyEvent, Order, When};
use crate::trace::{Event, Exit};

/// What a task may cost: COST-2.
const TASK_BYTES: u64 = 100_000;
/// Tasks that a process must serve at least, for it to be shared by many: COST-3.
const TASKS_PER_PROCESS: u64 = 10;
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
    costs(timeline, &tasks, verdict);
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
        let said = said.map_or_else(|| "and said nothing".to_owned(), |line| format!(": {line}"));
        match self.exit {
            None => format!("was not done after {} ms", number(self.after_ms)),
            Some(Exit::Code(code)) => format!("ended with {code} {said}").replace(" :", ":"),
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
    events: Vec<&'a ManyEvent>,
}

impl<'a> Tasks<'a> {
    fn new(many: Many, events: Vec<&'a ManyEvent>) -> Self {
        let mut tasks = Self {
            many,
            starts: BTreeMap::new(),
            stops: BTreeMap::new(),
            cut: BTreeMap::new(),
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
                ManyEvent::Wrote { .. } | ManyEvent::Measured { .. } | ManyEvent::Left { .. } => {}
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
        self.cut.get(&(task, stream)).map_or(of, |bytes| {
            of.min(usize::try_from(*bytes).unwrap_or(usize::MAX))
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
        let rule = rules::first(&timeline.history.case.scenario);
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

/// What was measured at one time.
#[derive(Clone, Copy)]
struct Figures {
    processes: u64,
    fds: u64,
    own_bytes: u64,
    page_table_bytes: u64,
}

/// What all tasks cost, as far as the case is about it.
fn costs(timeline: &Timeline<'_>, tasks: &Tasks<'_>, verdict: &mut Verdict) {
    let mut known = BTreeMap::new();
    for event in &tasks.events {
        if let ManyEvent::Measured {
            when,
            processes,
            fds,
            memory_bytes,
            page_table_bytes,
            ..
        } = event
        {
            let figures = Figures {
                processes: *processes,
                fds: *fds,
                own_bytes: *memory_bytes,
                page_table_bytes: *page_table_bytes,
            };
            known.insert(*when as u8, figures);
        }
    }
    let Some(before) = known.get(&(When::Before as u8)).copied() else {
        return;
    };
    let count = tasks.started().count() as u64;
    let checked = &timeline.history.case.scenario.rules;
    let mut say = |shape, rule: &'static str, headline: String, details: Vec<String>| {
        let rule = rules::named(rule);
        if checked.contains(&rule) && count > 0 {
            verdict.findings.push(Finding {
                shape,
                rule,
                stream: None,
                headline,
                details,
            });
        }
    };
    let with_all = [When::Started, When::Written];
    let with_all = with_all.iter().filter_map(|when| known.get(&(*when as u8)));
    if let Some(most) = with_all
        .clone()
        .max_by_key(|one| one.own_bytes + one.page_table_bytes)
    {
        let own = most.own_bytes.saturating_sub(before.own_bytes);
        let tables = most
            .page_table_bytes
            .saturating_sub(before.page_table_bytes);
        let each = (own + tables) / count.max(1);
        if each > TASK_BYTES {
            let headline = format!(
                "each of {} tasks costs {} B of memory; {} B are allowed",
                number(count),
                number(each),
                number(TASK_BYTES)
            );
            let details = vec![format!(
                "more than before the first task: {} B that lie in no file, {} B of page tables",
                number(own),
                number(tables)
            )];
            say(Shape::GrowthMemory, rules::COST_2, headline, details);
        }
    }
    if let Some(most) = with_all.map(|one| one.processes).max() {
        let more = most.saturating_sub(before.processes);
        if more * TASKS_PER_PROCESS > count {
            let headline = format!(
                "{} tasks have {} processes more than none",
                number(count),
                number(more)
            );
            say(Shape::GrowthProcess, rules::COST_3, headline, Vec::new());
        }
    }
    if let Some(after) = known.get(&(When::Stopped as u8)) {
        let more = after.fds.saturating_sub(before.fds);
        if more >= count {
            let headline = format!(
                "{} descriptors more are open after {} tasks were stopped than before their start",
                number(more),
                number(count)
            );
            say(Shape::GrowthFd, rules::COST_1, headline, Vec::new());
        }
    }
}
