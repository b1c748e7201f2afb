//! What many tasks cost one logmon, where the case is about it. (core)

use super::figures::number;
use super::many::Tasks;
use super::rules;
use super::timeline::Timeline;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::task_memory::TaskMemory;
use crate::trace::many::{ManyEvent, When};

/// What a task may cost: COST-2.
const TASK_BYTES: u64 = 100_000;
/// Tasks that a process must serve at least, for it to be shared by many: COST-3.
const TASKS_PER_PROCESS: u64 = 10;
/// Descriptors that logmon may have more than before, whatever the number of tasks was.
const DESCRIPTOR_SLACK: u64 = 32;

/// Judges memory, processes and descriptors.
pub(super) fn judge(timeline: &Timeline<'_>, tasks: &Tasks<'_>, verdict: &mut Verdict) {
    let count = tasks.started().count() as u64;
    if count == 0 {
        return;
    }
    let memory = TaskMemory::of(timeline.history).and_then(|memory| too_much_memory(&memory));
    let found = [
        (Shape::GrowthMemory, rules::COST_2, memory),
        (
            Shape::GrowthProcess,
            rules::COST_3,
            too_many_processes(tasks, count),
        ),
        (
            Shape::GrowthFd,
            rules::COST_1,
            too_many_descriptors(tasks, count),
        ),
    ];
    for (shape, rule, found) in found {
        let rule = rules::named(rule);
        if let Some((headline, details)) = found
            && timeline.history.case.scenario.rules.contains(&rule)
        {
            verdict.findings.push(Finding {
                shape,
                rule,
                stream: None,
                headline,
                details,
            });
        }
    }
}

/// A headline and its details.
type Found = (String, Vec<String>);

fn too_much_memory(memory: &TaskMemory) -> Option<Found> {
    let each = memory.bytes_per_task();
    if each <= TASK_BYTES {
        return None;
    }
    let headline = format!(
        "each of {} tasks costs {} B of memory; {} B are allowed",
        number(memory.tasks),
        number(each),
        number(TASK_BYTES)
    );
    let details = format!(
        "more than before the first task: {} B that lie in no file, {} B of page tables",
        number(memory.own_bytes),
        number(memory.page_table_bytes)
    );
    Some((headline, vec![details]))
}

fn too_many_processes(tasks: &Tasks<'_>, count: u64) -> Option<Found> {
    let at = |when| measured(tasks, when).map(|(processes, _)| processes);
    let most = at(When::Started).max(at(When::Written))?;
    let more = most.saturating_sub(at(When::Before)?);
    if more * TASKS_PER_PROCESS <= count {
        return None;
    }
    let headline = format!(
        "with {} tasks logmon has {} processes more than without any",
        number(count),
        number(more)
    );
    Some((headline, Vec::new()))
}

fn too_many_descriptors(tasks: &Tasks<'_>, count: u64) -> Option<Found> {
    let at = |when| measured(tasks, when).map(|(_, fds)| fds);
    let more = at(When::Stopped)?.saturating_sub(at(When::Before)?);
    if more <= DESCRIPTOR_SLACK + count / 4 {
        return None;
    }
    let headline = format!(
        "{} descriptors more are open after {} tasks were stopped than before their start",
        number(more),
        number(count)
    );
    Some((headline, Vec::new()))
}

/// Processes and descriptors at a time.
fn measured(tasks: &Tasks<'_>, then: When) -> Option<(u64, u64)> {
    tasks.events.iter().find_map(|event| {
        if let ManyEvent::Measured {
            when,
            processes,
            fds,
            ..
        } = event
            && *when == then
        {
            Some((*processes, *fds))
        } else {
            None
        }
    })
}
