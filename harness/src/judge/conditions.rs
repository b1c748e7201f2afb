//! Conditions that were not met, and errors of the suite. (core)

use super::rules;
use super::timeline::Timeline;
use crate::finding::Finding;
use crate::outcome::Verdict;
use crate::trace::Event;

/// Judges what the plan waited for.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let history = timeline.history;
    for entry in &history.entries {
        if let Event::Unmet {
            text,
            within_ms,
            last,
            otherwise,
            rule,
            stream,
        } = &entry.event
        {
            let headline = format!(
                "{text}: not within {} ms",
                super::figures::number(*within_ms)
            );
            match otherwise {
                Some(shape) => verdict.findings.push(Finding {
                    shape: *shape,
                    rule: rule
                        .clone()
                        .unwrap_or_else(|| rules::first(&history.case.scenario)),
                    stream: *stream,
                    headline,
                    details: last.clone(),
                }),
                None if last.is_empty() => verdict.unmet.push(headline),
                None => verdict
                    .unmet
                    .push(format!("{headline} ({})", last.join("; "))),
            }
        } else if let Event::SuiteError { text } = &entry.event {
            verdict.suite_errors.push(text.clone());
        }
    }
    if !history
        .entries
        .iter()
        .rev()
        .any(|entry| entry.event == Event::Ended)
    {
        verdict
            .suite_errors
            .push("the case process ended early: the trace has no end".to_owned());
    }
    for generation in &timeline.generations {
        if generation.script.is_none() {
            let name = generation.script_name;
            verdict.suite_errors.push(format!(
                "the trace names the script `{name}`, which the scenario does not have"
            ));
        }
    }
}
