//! Drivers that left their tasks, and take them over again. (core)

use mock_driver::journal::{self, Role};

use super::figures::number;
use super::rules;
use super::timeline::{Generation, Timeline};
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::trace::Event;
use crate::trace::adapter::{AdapterEvent, LostTask};

/// How long a recovery may take: LIFE-9.
const RECOVER_MS: u64 = 10_000;

/// Judges what became of the tasks of a driver that left them, and of those whose log forwarder was
/// started again.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    if !is_played(timeline) {
        let rule = rules::named(rules::LIFE_8);
        if timeline.history.case.scenario.rules.contains(&rule) {
            for generation in &timeline.generations {
                restarted(timeline, generation, rules::LIFE_8, verdict);
            }
        }
        return;
    }
    for event in spoken(timeline) {
        if let AdapterEvent::Recovered {
            after_ms,
            lost: tasks,
            ..
        } = event
        {
            late(*after_ms, verdict);
            for task in tasks {
                given_up(timeline, task, verdict);
            }
        }
    }
    for generation in &timeline.generations {
        restarted(timeline, generation, rules::LIFE_7, verdict);
        if generation.exited.is_none() {
            killed(timeline, generation, verdict);
        }
    }
}

/// Whether a driver left its tasks in this case.
pub(super) fn is_played(timeline: &Timeline<'_>) -> bool {
    spoken(timeline).any(|event| match event {
        AdapterEvent::Detached { .. } | AdapterEvent::Killed { .. } => true,
        AdapterEvent::Broke { op, .. } => op.as_deref() == Some("detach"),
        AdapterEvent::Refused { .. }
        | AdapterEvent::RecoverAsked { .. }
        | AdapterEvent::Recovered { .. } => false,
    })
}

fn spoken<'a>(timeline: &Timeline<'a>) -> impl Iterator<Item = &'a AdapterEvent> {
    timeline.history.entries.iter().filter_map(|entry| {
        if let Event::Adapter(event) = &entry.event {
            Some(event)
        } else {
            None
        }
    })
}

fn push(
    timeline: &Timeline<'_>,
    verdict: &mut Verdict,
    (shape, natural): (Shape, &'static str),
    headline: String,
    details: Vec<String>,
) {
    verdict.findings.push(Finding {
        shape,
        rule: rules::if_checked(&timeline.history.case.scenario, natural),
        stream: None,
        headline,
        details,
    });
}

fn late(after_ms: u64, verdict: &mut Verdict) {
    if after_ms > RECOVER_MS {
        verdict.findings.push(Finding {
            shape: Shape::Late,
            rule: rules::named(rules::LIFE_9),
            stream: None,
            headline: format!(
                "the driver answered `recover` after {} ms, the limit is {} ms",
                number(after_ms),
                number(RECOVER_MS)
            ),
            details: Vec::new(),
        });
    }
}

/// A living task that the driver does not take over.
fn given_up(timeline: &Timeline<'_>, task: &LostTask, verdict: &mut Verdict) {
    if !task.is_alive || timeline.history.case.scenario.expect.may_lose_tasks {
        return;
    }
    let headline = format!(
        "the driver did not take over the task of generation {}, which lives",
        task.generation
    );
    let details = vec![format!("its reason: {}", task.reason)];
    push(
        timeline,
        verdict,
        (Shape::Died, rules::LIFE_6),
        headline,
        details,
    );
}

/// More than one process has played the script of one generation.
fn restarted(
    timeline: &Timeline<'_>,
    generation: &Generation<'_>,
    rule: &'static str,
    verdict: &mut Verdict,
) {
    let mut pids = Vec::new();
    for line in generation.journal {
        if let journal::Event::Hello {
            pid,
            role: Role::Task,
            ..
        } = line.event
            && !pids.contains(&pid)
        {
            pids.push(pid);
        }
    }
    let [first, .., last] = pids.as_slice() else {
        return;
    };
    let headline = format!(
        "the task of generation {} was started again, and nobody had asked for it",
        generation.number
    );
    let details = vec![format!("its process was {first}, and {last} at the end")];
    let what = (Shape::Restarted, rule);
    push(timeline, verdict, what, headline, details);
}

/// A task that is gone without an end of its own, and whose end nobody reported.
fn killed(timeline: &Timeline<'_>, generation: &Generation<'_>, verdict: &mut Verdict) {
    let Some(gone_us) = generation.gone_us else {
        return;
    };
    if generation.own_status().is_some() || had_host_a_hand(timeline, generation, gone_us) {
        return;
    }
    // Whoever broke the protocol was killed with its tasks.
    if spoken(timeline).any(|event| matches!(event, AdapterEvent::Broke { .. })) {
        return;
    }
    let headline = format!(
        "the task of generation {} never came to its own end, and nobody had sent it a signal",
        generation.number
    );
    let what = (Shape::WriterKilled, rules::LIFE_7);
    push(timeline, verdict, what, headline, Vec::new());
}

/// Whether the host had done anything by then that ends a task. A plan that is cut short ends it later.
fn had_host_a_hand(timeline: &Timeline<'_>, one: &Generation<'_>, by_us: u64) -> bool {
    let entries = timeline.history.entries.iter();
    entries.filter(|entry| entry.at_us <= by_us).any(|entry| {
        if let Event::DriverStopAsked { generation }
        | Event::DriverOverdue { generation, .. }
        | Event::TaskSignalled { generation, .. } = &entry.event
        {
            *generation == one.number
        } else {
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream;

    use super::super::judge;
    use super::super::stage::{add, good, records};
    use super::*;
    use crate::history::History;
    use crate::trace::Exit;

    fn told(history: &mut History, at_us: u64, event: AdapterEvent) {
        add(history, at_us, Event::Adapter(event));
    }

    /// A task whose driver left it and came back.
    fn recovered(after_ms: u64, lost: Vec<LostTask>) -> History {
        let mut history = good(vec![records(Stream::Stdout, 10)]);
        history.case.scenario.rules = ["LIFE-6", "LIFE-7", "LIFE-9"]
            .map(|id| id.parse().unwrap())
            .into();
        told(&mut history, 100, AdapterEvent::Detached { pid: 200 });
        told(&mut history, 300, AdapterEvent::RecoverAsked { pid: 201 });
        let ok = Vec::new();
        told(
            &mut history,
            400,
            AdapterEvent::Recovered { after_ms, ok, lost },
        );
        history
    }

    fn lost(is_alive: bool) -> Vec<LostTask> {
        vec![LostTask {
            generation: 0,
            reason: "no reader".into(),
            is_alive,
        }]
    }

    fn found(history: &History) -> Vec<(Shape, String)> {
        let findings = judge(history).findings;
        findings
            .into_iter()
            .map(|one| (one.shape, one.rule.to_string()))
            .collect()
    }

    fn hello(history: &mut History, at_us: u64, pid: u32) {
        let fd = journal::FdFacts {
            kind: journal::FileKind::Fifo,
            dev: 1,
            ino: 2,
            rdev: 0,
        };
        let event = journal::Event::Hello {
            pid,
            role: Role::Task,
            fd1: fd,
            fd2: fd,
            sig_ignored: Vec::new(),
            sig_blocked: Vec::new(),
        };
        let lines = history.task.get_mut(&0).unwrap();
        lines.insert(0, journal::Line { at_us, event });
    }

    #[test]
    fn a_task_that_was_left_and_taken_over_is_nobodys_fault() {
        assert_eq!(found(&recovered(5, Vec::new())), []);
    }

    #[test]
    fn an_answer_behind_the_10_seconds_is_late() {
        assert_eq!(found(&recovered(10_000, Vec::new())), []);
        let late = found(&recovered(10_001, Vec::new()));
        assert_eq!(late, [(Shape::Late, "LIFE-9".to_owned())]);
    }

    #[test]
    fn a_living_task_may_be_given_up_only_where_the_case_says_so() {
        let mut history = recovered(5, lost(true));
        assert_eq!(found(&history), [(Shape::Died, "LIFE-6".to_owned())]);
        history.case.scenario.expect.may_lose_tasks = true;
        assert_eq!(found(&history), []);
        assert_eq!(found(&recovered(5, lost(false))), []);
    }

    #[test]
    fn two_processes_of_one_generation_are_a_restart() {
        let mut history = recovered(5, Vec::new());
        hello(&mut history, 40, 300);
        assert_eq!(found(&history), []);
        hello(&mut history, 41, 301);
        let restarted = (Shape::Restarted, "LIFE-7".to_owned());
        assert_eq!(found(&history), [restarted]);
    }

    #[test]
    fn a_task_that_is_started_again_because_its_reader_was_breaks_life_8() {
        let mut history = good(vec![records(Stream::Stdout, 10)]);
        hello(&mut history, 40, 300);
        hello(&mut history, 41, 301);
        assert_eq!(found(&history), [], "the case does not ask");
        history.case.scenario.rules = vec!["LIFE-8".parse().unwrap()];
        let restarted = (Shape::Restarted, "LIFE-8".to_owned());
        assert_eq!(found(&history), [restarted]);
    }

    #[test]
    fn a_lost_task_that_was_killed_is_found_though_nobody_reports_it() {
        let mut history = recovered(5, lost(false));
        history
            .entries
            .retain(|entry| !matches!(entry.event, Event::DriverExited { .. }));
        assert_eq!(found(&history), []);
        let lines = history.task.get_mut(&0).unwrap();
        lines.retain(|line| line.event.exit_code().is_none());
        let killed = (Shape::WriterKilled, "LIFE-7".to_owned());
        // What the host does when the task is gone, at 1,000, is not the reason.
        add(
            &mut history,
            1_001,
            Event::DriverStopAsked { generation: 0 },
        );
        assert_eq!(found(&history), [killed]);
        add(&mut history, 999, Event::DriverStopAsked { generation: 0 });
        assert_eq!(found(&history), []);
    }

    #[test]
    fn a_task_that_is_killed_over_its_log_breaks_the_rule_of_recovery() {
        let mut history = recovered(5, Vec::new());
        for entry in &mut history.entries {
            if let Event::DriverExited { exit, .. } = &mut entry.event {
                *exit = Exit::Code(137);
            }
        }
        let lines = history.task.get_mut(&0).unwrap();
        lines.retain(|line| line.event.exit_code().is_none());
        let found = found(&history);
        let killed = (Shape::WriterKilled, "LIFE-7".to_owned());
        assert!(found.contains(&killed), "{found:?}");
    }
}
