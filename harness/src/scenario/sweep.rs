//! A case with a kill of logmon added behind one of its records. (core)
//!
//! The task's script gets a gate behind the record, so the payload itself reports that it has been
//! written, and waits. The plan meets it there, kills logmon, starts it again and opens the gate. What
//! comes of it is a case like any other, with an id of its own.

use mock_driver::script::{Script, Step as Line};

use super::model::{
    Action, Await, Condition, FifoKind, FolderKind, LogmonOutcome, LogmonOutput, Need, Scenario,
    SignalName, Step,
};
use crate::rule::{Profile, RuleId};

/// The gate behind the record. No script has a gate of this name.
const GATE: &str = "sweep";
/// What stands between a case's id and the number of the record.
const WORD: &str = "-kill-logmon-after-";
/// The script that a plan starts if it names none.
const MAIN: &str = "main";
/// Milliseconds after a write in which it must stand in the file, and some more: DATA-5.
const WRITTEN_MS: u64 = 300;
/// Milliseconds that the task may take to its record.
const RECORD_MS: u64 = 15_000;

/// When logmon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// As soon as the task has written the record: for a logmon that must lose nothing then, because its
    /// FIFOs are held.
    AtOnce,
    /// When the record must stand in the file (DATA-5): no other logmon need save what it has read.
    WhenDue,
}

/// The records of the task that a sweep can count: those that the task itself writes one by one.
///
/// # Errors
/// Why logmon can't be killed in this case, as a clause.
pub fn swept_records(scenario: &Scenario) -> Result<u64, String> {
    fits(scenario)?;
    let steps = scenario.tasks.get(MAIN).map(|script| &script.steps);
    let steps = steps.into_iter().flatten();
    match steps.map(counted).sum() {
        0 => Err("its task writes no records one by one".into()),
        records => Ok(records),
    }
}

/// The case with a kill behind the record of this number, counted from 1 over all streams in the order of
/// the script; none if there are fewer.
#[must_use]
pub fn swept(scenario: &Scenario, record: u64, moment: Moment) -> Option<Scenario> {
    let records = swept_records(scenario).ok()?;
    if record == 0 || record > records {
        return None;
    }
    let mut swept = scenario.clone();
    let script = swept.tasks.get_mut(MAIN)?;
    let before = add_gate(script, record)?;
    let at = place_of_kill(&swept.plan, before.as_deref())?;
    swept.plan.splice(at..at, kill(moment));
    swept.id = format!("{}{WORD}{record}", scenario.id);
    swept.title = format!(
        "{} Also if logmon is killed after record {record} and started again.",
        scenario.title
    );
    let rules: &[&str] = match moment {
        Moment::AtOnce => {
            swept.needs.push(Need::Always("keeps-descriptors".into()));
            swept.profile = Profile::Resilient;
            &["MON-9", "MON-10"]
        }
        Moment::WhenDue => &["DATA-5", "MON-10"],
    };
    // A test reads them.
    let rules = rules.iter().filter_map(|id| id.parse::<RuleId>().ok());
    for rule in rules {
        if !swept.rules.contains(&rule) {
            swept.rules.push(rule);
        }
    }
    swept.tags.push("sweep".into());
    Some(swept)
}

/// The case and the record that such an id names; none for another id.
#[must_use]
pub fn swept_id(id: &str) -> Option<(&str, u64)> {
    let (case, record) = id.rsplit_once(WORD)?;
    Some((case, record.parse().ok()?))
}

/// The numbers of records behind which logmon is killed: the first, every `every`th, and the last.
///
/// `every` is at least 1.
#[must_use]
pub fn points(records: u64, every: u64) -> Vec<u64> {
    let every = every.max(1);
    let mut points = vec![1];
    points.extend((1..=records / every).map(|number| number * every));
    points.push(records);
    points.retain(|point| (1..=records).contains(point));
    points.dedup();
    points
}

/// Why logmon can't be killed in this case.
fn fits(scenario: &Scenario) -> Result<(), String> {
    let host = &scenario.host;
    let is_usual = host.fifos == FifoKind::Present
        && matches!(host.log_folder, FolderKind::Present | FolderKind::Symlink)
        && host.logmon_output == LogmonOutput::Files;
    if scenario.many.is_some() || !is_usual {
        return Err("its host is prepared for another fault".into());
    }
    if scenario.expect.growth.is_some() || scenario.expect.opened_once {
        return Err("it measures one life of logmon".into());
    }
    let (mut logmons, mut tasks) = (0, 0);
    for step in &scenario.plan {
        match &step.action {
            Action::StartLogmon {
                expect: LogmonOutcome::Ready,
                words,
                ..
            } if words.is_empty() && tasks == 0 => logmons += 1,
            Action::StartTask { script } if script == MAIN => tasks += 1,
            Action::Await(_)
            | Action::AwaitExit { .. }
            | Action::Release { .. }
            | Action::Elapse { .. }
            | Action::Look {} => {}
            Action::StartLogmon { .. }
            | Action::SecondLogmon { .. }
            | Action::StartAgain { .. }
            | Action::StopLogmon { .. }
            | Action::SignalLogmon { .. }
            | Action::StartTask { .. }
            | Action::StartSecondTask { .. }
            | Action::StopDriver { .. }
            | Action::DetachDriver {}
            | Action::KillDriver {}
            | Action::RecoverDriver {}
            | Action::FreezeDriver {}
            | Action::ThawDriver {}
            | Action::SignalTask { .. }
            | Action::HoldReader { .. }
            | Action::DropReader {}
            | Action::Measure { .. }
            | Action::Break { .. }
            | Action::Mend { .. }
            | Action::KillOften { .. }
            | Action::ManyTasks { .. }
            | Action::Repeat { .. } => {
                return Err("its plan already has a fault, a stop or another start".into());
            }
        }
    }
    if (logmons, tasks) != (1, 1) {
        return Err("its plan does not start one logmon and then one task".into());
    }
    Ok(())
}

/// How many records of a line count.
fn counted(line: &Line) -> u64 {
    if let Line::Records {
        count, writers: 1, ..
    } = line
    {
        u64::from(*count)
    } else {
        0
    }
}

/// Adds the gate behind a record, and returns the gate before it.
fn add_gate(script: &mut Script, record: u64) -> Option<Option<String>> {
    let mut before = None;
    let mut left = record;
    for index in 0..script.steps.len() {
        let line = script.steps.get(index)?;
        if let Line::Gate { name } = line {
            before = Some(name.clone());
        }
        let here = counted(line);
        if here < left {
            left -= here;
            continue;
        }
        let gate = Line::Gate { name: GATE.into() };
        let pieces = match split(line, u32::try_from(left).ok()?) {
            (first, Some(rest)) => vec![first, gate, rest],
            (whole, None) => vec![whole, gate],
        };
        script.steps.splice(index..=index, pieces);
        return Some(before);
    }
    None
}

/// The first records of a line, and the rest, if there is one. Numbers go on from line to line, so the
/// bytes are the same.
fn split(line: &Line, first: u32) -> (Line, Option<Line>) {
    let (mut head, mut tail) = (line.clone(), line.clone());
    let mut rest = 0;
    if let Line::Records { count, .. } = &mut tail {
        *count = count.saturating_sub(first);
        rest = *count;
    }
    if rest == 0 {
        return (head, None);
    }
    if let Line::Records {
        count,
        last_unterminated,
        ..
    } = &mut head
    {
        *count = first;
        *last_unterminated = false;
    }
    (head, Some(tail))
}

/// Where in the plan the task is on its way to the record: behind the step that opens the gate before it,
/// or that starts it.
fn place_of_kill(plan: &[Step], gate_before: Option<&str>) -> Option<usize> {
    let leads_there = |step: &Step| match (&step.action, gate_before) {
        (Action::Release { gate }, Some(wanted)) => gate == wanted,
        (Action::StartTask { .. }, None) => true,
        _ => false,
    };
    Some(plan.iter().position(leads_there)? + 1)
}

fn kill(moment: Moment) -> Vec<Step> {
    let due = Action::Elapse {
        ms: WRITTEN_MS,
        because: "DATA-5: what was written 200 ms ago is in the file".into(),
    };
    let mut actions = vec![Action::Await(Await {
        until: Condition::AtGate,
        stream: None,
        bytes: None,
        gate: Some(GATE.into()),
        within_ms: RECORD_MS,
        otherwise: None,
        rule: None,
    })];
    match moment {
        Moment::AtOnce => {}
        Moment::WhenDue => actions.push(due),
    }
    actions.extend([
        Action::SignalLogmon {
            signal: SignalName::Kill,
        },
        Action::StartLogmon {
            expect: LogmonOutcome::Ready,
            words: Vec::new(),
            limits: None,
        },
        Action::Release { gate: GATE.into() },
    ]);
    let step = |action| Step {
        only: Default::default(),
        action,
    };
    actions.into_iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use mock_driver::record::RunId;
    use mock_driver::script::Expected;
    use mock_driver::stream::Stream;

    use super::*;
    use crate::suite::shipped_scenarios;

    fn case(id: &str) -> Scenario {
        let all = shipped_scenarios().unwrap();
        all.into_iter().find(|one| one.id == id).unwrap()
    }

    #[test]
    fn the_first_and_the_last_record_and_every_so_manyth_are_points() {
        assert_eq!(points(5, 1), [1, 2, 3, 4, 5]);
        assert_eq!(points(10, 4), [1, 4, 8, 10]);
        assert_eq!(points(8, 4), [1, 4, 8]);
        assert_eq!(points(3, 9), [1, 3]);
        assert_eq!(points(1, 1), [1]);
        assert_eq!(points(0, 1), Vec::<u64>::new());
    }

    #[test]
    fn the_sweep_ends_with_the_records_of_the_script() {
        let smoke = case("data/smoke");
        assert_eq!(swept_records(&smoke), Ok(200));
        assert!(swept(&smoke, 0, Moment::AtOnce).is_none());
        assert!(swept(&smoke, 200, Moment::AtOnce).is_some());
        assert!(swept(&smoke, 201, Moment::AtOnce).is_none());
    }

    #[test]
    fn the_kill_stands_behind_its_record_and_the_bytes_are_the_same() {
        let smoke = case("data/smoke");
        let bytes = |case: &Scenario, stream| {
            let run: RunId = "0badcafe".parse().unwrap();
            match case.tasks["main"].expected(run, 0, stream) {
                Expected::Exact(exact) => exact.render(),
                Expected::Unordered { .. } | Expected::Unknown => panic!("it is not certain"),
            }
        };
        // Behind the 70th record: the 20th of stderr, before the gate in the middle.
        let early = swept(&smoke, 70, Moment::WhenDue).unwrap();
        for stream in Stream::BOTH {
            assert_eq!(bytes(&early, stream), bytes(&smoke, stream));
        }
        let told: Vec<_> = early.tasks["main"]
            .steps
            .iter()
            .map(|line| {
                (
                    counted(line),
                    matches!(line, Line::Gate { name } if name == GATE),
                )
            })
            .collect();
        let expected = [50, 20, 0, 30, 0, 50, 50].map(|count| (count, false));
        let mut expected = expected.to_vec();
        expected[2].1 = true;
        assert_eq!(told, expected);
        let is_kill = |step: &Step| {
            matches!(
                step.action,
                Action::SignalLogmon {
                    signal: SignalName::Kill
                }
            )
        };
        let at = |case: &Scenario| case.plan.iter().position(is_kill).unwrap();
        // start-logmon, start-task, await, elapse, kill.
        assert_eq!(at(&early), 4);
        // Behind the release of the gate in the middle, and at once.
        let late = swept(&smoke, 101, Moment::AtOnce).unwrap();
        assert_eq!(at(&late), 6);
        assert_eq!(late.id, "data/smoke-kill-logmon-after-101");
        assert_eq!(swept_id(&late.id), Some(("data/smoke", 101)));
        assert_eq!(swept_id("data/smoke"), None);
        let rules = |case: &Scenario| case.rules[smoke.rules.len()..].to_vec();
        assert_eq!(
            rules(&late),
            ["MON-9", "MON-10"].map(|id| id.parse().unwrap())
        );
        // DATA-5 was there before.
        assert_eq!(rules(&early), ["MON-10"].map(|id| id.parse().unwrap()));
    }

    #[test]
    fn a_last_record_without_a_newline_stays_the_last() {
        let kept = case("data/no-final-newline");
        let records = swept_records(&kept).unwrap();
        let swept = swept(&kept, records - 1, Moment::AtOnce).unwrap();
        let is_open = |line: &Line| {
            matches!(
                line,
                Line::Records {
                    last_unterminated: true,
                    ..
                }
            )
        };
        let lines = swept.tasks["main"].steps.iter();
        let ends: Vec<bool> = lines
            .filter(|line| counted(line) > 0)
            .map(is_open)
            .collect();
        assert_eq!(ends.last(), Some(&true));
        assert!(!ends[ends.len() - 2]);
    }

    #[test]
    fn a_case_with_a_fault_of_its_own_is_not_swept_and_says_why() {
        for (id, why) in [
            ("mon/kill-full-pipe-bare", "already has a fault"),
            ("fifo/late-reader", "another start"),
            ("heal/disk-full", "prepared for another fault"),
            ("fifo/disabled", "prepared for another fault"),
            ("cost/thousand-tasks", "prepared for another fault"),
        ] {
            let told = swept_records(&case(id)).unwrap_err();
            assert!(told.contains(why), "{id}: {told}");
        }
    }

    #[test]
    fn every_swept_case_can_be_killed_at_its_first_and_last_record() {
        let mut count = 0;
        for case in shipped_scenarios().unwrap() {
            let Ok(records) = swept_records(&case) else {
                continue;
            };
            count += 1;
            for record in [1, records] {
                assert!(
                    swept(&case, record, Moment::WhenDue).is_some(),
                    "{}",
                    case.id
                );
            }
        }
        assert!(count >= 10, "{count}");
    }
}
