//! Places in a plan: `3`, or `3.2.1` for the first step of the third round of a repetition. (core)

use super::{Action, Step};

/// The step at a place; none if the plan has no such place.
#[must_use]
pub fn step_at<'a>(plan: &'a [Step], place: &str) -> Option<&'a Step> {
    let mut numbers = place.split('.').map(str::parse::<usize>);
    let mut steps = plan;
    loop {
        let step = steps.get(numbers.next()?.ok()?.checked_sub(1)?)?;
        // The number of the round, if there is more.
        let Some(round) = numbers.next() else {
            return Some(step);
        };
        let Action::Repeat { times, plan } = &step.action else {
            return None;
        };
        if round.ok()? >= *times as usize {
            return None;
        }
        steps = plan;
    }
}
