//! A case that is being played: what its plan waits for, and who waits for whom. (core)

use std::collections::BTreeMap;

use mock_driver::stream::Stream;

use crate::report::{grouped, hanging};
use crate::scenario::{Action, Step, step_at};
use crate::trace::{Entry, Event};

/// Columns of the text.
const WIDTH: usize = 80;

/// What is known of a case at one moment.
#[derive(Clone, Debug)]
pub struct Glimpse<'a> {
    /// The case.
    pub id: &'a str,
    /// Its plan.
    pub plan: &'a [Step],
    /// Its trace so far.
    pub entries: &'a [Entry],
    /// Now, in microseconds of CLOCK_MONOTONIC, as the trace has it.
    pub now_us: u64,
    /// Who waits for whom: a line for each process and each pipe.
    pub waits: Vec<String>,
}

/// The glimpse in a few lines of at most 80 columns, a line end behind each.
#[must_use]
pub fn glimpse(glimpse: &Glimpse<'_>) -> String {
    let since = |at_us: u64| {
        let passed_us = glimpse.now_us.saturating_sub(at_us);
        format!("{:.1} s", passed_us as f64 / 1e6)
    };
    let mut out = match glimpse.entries.first() {
        Some(first) => format!("{}, for {}\n", glimpse.id, since(first.at_us)),
        None => format!("{}, which begins\n", glimpse.id),
    };
    if let Some((at_us, path, text)) = last_step(glimpse.entries) {
        let done = glimpse
            .entries
            .iter()
            .rev()
            .find_map(|one| match_met(one, at_us));
        let step = match done {
            Some(met_us) => format!("step {path} is done for {}: {text}", since(met_us)),
            None => {
                let limit = step_at(glimpse.plan, path).and_then(limit_ms);
                let limit =
                    limit.map_or_else(String::new, |ms| format!(" of at most {} ms", grouped(ms)));
                format!("step {path}, for {}{limit}: {text}", since(at_us))
            }
        };
        out.push_str(&hanging("  plan        ", &step, WIDTH));
    }
    let seen = last_seen(glimpse.entries);
    if !seen.is_empty() {
        out.push_str(&hanging("  last seen   ", &seen, WIDTH));
    }
    for (index, line) in glimpse.waits.iter().enumerate() {
        let name = if index == 0 { "who waits" } else { "" };
        out.push_str(&hanging(&format!("  {name:<12}"), line, WIDTH));
    }
    out
}

/// The step that was begun last: when, where in the plan, and in words.
fn last_step(entries: &[Entry]) -> Option<(u64, &str, &str)> {
    entries.iter().rev().find_map(|entry| {
        if let Event::Step { path, text } = &entry.event {
            Some((entry.at_us, path.as_str(), text.as_str()))
        } else {
            None
        }
    })
}

/// When a condition was met or missed, if that was after `step_us`.
fn match_met(entry: &Entry, step_us: u64) -> Option<u64> {
    let is_answer = matches!(&entry.event, Event::Met { .. } | Event::Unmet { .. });
    (is_answer && entry.at_us >= step_us).then_some(entry.at_us)
}

/// How long a recovery may take: LIFE-9.
const RECOVER_MS: u64 = 10_000;

/// How long a step may wait, for those that say so.
fn limit_ms(step: &Step) -> Option<u64> {
    if let Action::Await(wait) = &step.action {
        return Some(wait.within_ms);
    }
    if let Action::AwaitExit { within_ms }
    | Action::StopDriver { within_ms }
    | Action::StopLogmon { within_ms } = step.action
    {
        return Some(within_ms);
    }
    if let Action::RecoverDriver {} = step.action {
        return Some(RECOVER_MS);
    }
    None
}

/// The levels that the trace holds last.
fn last_seen(entries: &[Entry]) -> String {
    let mut pipes: BTreeMap<Stream, String> = BTreeMap::new();
    let mut logs: BTreeMap<Stream, String> = BTreeMap::new();
    for entry in entries {
        if let Event::Pipe {
            stream,
            bytes,
            capacity,
        } = &entry.event
        {
            let level = format!(
                "{stream}'s pipe {} of {} B",
                grouped(*bytes),
                grouped(*capacity)
            );
            pipes.insert(*stream, level);
        } else if let Event::Logged { stream, bytes } = &entry.event {
            logs.insert(*stream, format!("{stream}'s log {} B", grouped(*bytes)));
        }
    }
    let all: Vec<String> = pipes.into_values().chain(logs.into_values()).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expand;

    fn plan() -> Vec<Step> {
        let text = "id = \"mon/x\"\ntitle = \"A promise.\"\nrules = [\"MON-1\"]\n\
            [tasks.main]\nstep = [{ do = \"text\", stream = \"stdout\", text = \"x\" }]\n\
            [[plan]]\ndo = \"start-logmon\"\n\
            [[plan]]\ndo = \"repeat\"\ntimes = 3\n\
            [[plan.plan]]\ndo = \"hold-reader\"\n\
            [[plan.plan]]\ndo = \"await\"\nuntil = \"logged\"\nwithin_ms = 5000\n";
        let scenarios = expand(text, "x.toml").unwrap_or_else(|error| panic!("{error:?}"));
        scenarios.into_iter().next().unwrap().plan
    }

    fn entries(more: Vec<(u64, Event)>) -> Vec<Entry> {
        let begun = Event::Begun {
            id: "mon/x".into(),
            run: "00000000".into(),
            seed: 1,
        };
        let step = Event::Step {
            path: "2.1.2".into(),
            text: "wait until the log ends as it should".into(),
        };
        let first = [(1_000_000, begun), (2_500_000, step)];
        let all = first.into_iter().chain(more);
        all.map(|(at_us, event)| Entry { at_us, event }).collect()
    }

    fn told(entries: &[Entry], waits: Vec<String>) -> String {
        let plan = plan();
        glimpse(&Glimpse {
            id: "mon/x",
            plan: &plan,
            entries,
            now_us: 4_000_000,
            waits,
        })
    }

    #[test]
    fn the_step_that_waits_is_told_with_its_limit_and_what_was_seen_last() {
        let pipe = |bytes| Event::Pipe {
            stream: Stream::Stdout,
            bytes,
            capacity: 65_536,
        };
        let logged = Event::Logged {
            stream: Stream::Stdout,
            bytes: 20_000,
        };
        let entries = entries(vec![
            (3_000_000, pipe(1)),
            (3_100_000, pipe(65_536)),
            (3_200_000, logged),
        ]);
        assert_eq!(
            told(
                &entries,
                vec![
                    "task 7 (sh): write(1)".into(),
                    "logmon 8: is stopped".into()
                ]
            ),
            "mon/x, for 3.0 s\n\
             \x20 plan        step 2.1.2, for 1.5 s of at most 5,000 ms: wait until the log ends\n\
             \x20             as it should\n\
             \x20 last seen   stdout's pipe 65,536 of 65,536 B, stdout's log 20,000 B\n\
             \x20 who waits   task 7 (sh): write(1)\n\
             \x20             logmon 8: is stopped\n"
        );
    }

    #[test]
    fn a_step_that_is_done_is_not_told_as_waiting() {
        let met = Event::Met {
            text: "the log ends as it should".into(),
            after_ms: 500,
        };
        let text = told(&entries(vec![(3_000_000, met)]), Vec::new());
        assert!(
            text.contains("step 2.1.2 is done for 1.0 s: wait until"),
            "{text}"
        );
        let text = told(&[], Vec::new());
        assert_eq!(text, "mon/x, which begins\n");
    }
}
