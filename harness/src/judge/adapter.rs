//! Drivers that are spoken to, and do not keep to the protocol. (core)

use super::rules;
use super::timeline::Timeline;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::trace::Event;
use crate::trace::adapter::AdapterEvent;

/// Judges the conversation between suite and driver.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    for entry in &timeline.history.entries {
        if let Event::Adapter(AdapterEvent::Broke {
            op,
            is_late,
            text,
            lines,
        }) = &entry.event
        {
            verdict.findings.push(Finding {
                shape: if *is_late {
                    Shape::Blocked
                } else {
                    Shape::Died
                },
                rule: rules::named(rule_of(op.as_deref())),
                stream: None,
                headline: format!("the driver broke the protocol: {text}"),
                details: lines.clone(),
            });
        }
    }
}

/// The rule that says what an operation is for.
fn rule_of(op: Option<&str>) -> &'static str {
    match op {
        Some("start") => rules::FIFO_3,
        Some("stop") => rules::LIFE_5,
        Some("detach" | "recover") => rules::LIFE_9,
        Some(_) | None => rules::LIFE_11,
    }
}
