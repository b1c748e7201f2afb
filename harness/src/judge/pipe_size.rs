//! How much the pipes hold that logmon reads. (core)

use mock_driver::stream::Stream;

use super::figures::number;
use super::rules;
use super::timeline::Timeline;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::trace::Event;

/// What a pipe can be raised to on most machines: the default of `/proc/sys/fs/pipe-max-size`.
pub(crate) const RAISED_PIPE_BYTES: u32 = 1 << 20;

/// In a case about it, logmon raises its pipes where it may (HEAL-5). What counts is the largest capacity
/// that was seen since it was started: it may be ready before it has raised them, and when it has ended, a
/// look is at a new pipe behind the same path.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let rule = rules::named(rules::HEAL_5);
    if !timeline.history.case.scenario.rules.contains(&rule) {
        return;
    }
    for of in Stream::BOTH {
        let (mut allowed, mut seen) = (false, None);
        for entry in &timeline.history.entries {
            if let Event::LogmonStarted { .. } = entry.event {
                (allowed, seen) = (false, None);
            } else if let Event::LogmonReady { may_raise, .. } = entry.event {
                allowed = may_raise;
            } else if let Event::Pipe {
                stream, capacity, ..
            } = entry.event
                && stream == of
            {
                seen = seen.max(Some(capacity));
            }
        }
        if let Some(capacity) =
            seen.filter(|capacity| allowed && *capacity < u64::from(RAISED_PIPE_BYTES))
        {
            verdict.findings.push(Finding {
                shape: Shape::SmallPipe,
                rule: rule.clone(),
                stream: Some(of),
                headline: format!(
                    "{of}'s pipe holds {} bytes at most, and this machine lets logmon raise it to {}",
                    number(capacity),
                    number(u64::from(RAISED_PIPE_BYTES))
                ),
                details: Vec::new(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream::{Stderr, Stdout};

    use super::super::judge;
    use super::super::stage::{add, good, records};
    use super::*;

    #[test]
    fn a_pipe_that_could_be_raised_and_was_not_is_small() {
        let found = |rule: &str, allowed, capacities: &[u64]| {
            let mut history = good(vec![records(Stdout, 5), records(Stderr, 5)]);
            history.case.scenario.rules = vec![rule.parse().unwrap()];
            for entry in &mut history.entries {
                if let Event::LogmonReady { may_raise, .. } = &mut entry.event {
                    *may_raise = allowed;
                }
            }
            for (at_us, &capacity) in (200..).zip(capacities) {
                let event = Event::Pipe {
                    stream: Stderr,
                    bytes: 0,
                    capacity,
                };
                add(&mut history, at_us, event);
            }
            let findings = judge(&history).findings.into_iter();
            findings
                .map(|one| (one.shape, one.stream))
                .collect::<Vec<_>>()
        };
        let small = [(Shape::SmallPipe, Some(Stderr))];
        assert_eq!(found("HEAL-5", true, &[65_536]), small);
        assert_eq!(found("HEAL-5", true, &[65_536, 1 << 20]), []);
        assert_eq!(found("HEAL-5", true, &[1 << 20, 65_536]), [], "a new pipe");
        assert_eq!(found("HEAL-5", true, &[]), [], "nobody could look");
        assert_eq!(found("HEAL-5", false, &[65_536]), []);
        assert_eq!(found("FIFO-10", true, &[65_536]), []);
    }
}
