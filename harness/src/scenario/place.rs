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

/// How many places a plan has: its steps, those of each round of a repetition counted.
#[must_use]
pub fn places_in(plan: &[Step]) -> u32 {
    plan.iter().fold(0, |places: u32, step| {
        let within = if let Action::Repeat { times, plan } = &step.action {
            times.saturating_mul(places_in(plan))
        } else {
            0
        };
        places.saturating_add(1).saturating_add(within)
    })
}

#[cfg(test)]
mod tests {
    use super::super::expand;
    use super::*;

    #[test]
    fn each_round_of_a_repetition_has_its_places() {
        let text = "id = \"life/x\"\ntitle = \"A promise.\"\nrules = [\"LIFE-1\"]\n\
             [tasks.main]\nstep = [{ do = \"records\", stream = \"stdout\", count = 3 }]\n\
             [[plan]]\ndo = \"start-logmon\"\n\
             [[plan]]\ndo = \"repeat\"\ntimes = 7\n\
             plan = [{ do = \"start-task\" }, { do = \"await-exit\" }]\n";
        let plan = &expand(text, "x.toml").unwrap()[0].plan;
        assert_eq!(places_in(plan), 2 + 7 * 2);
        assert!(step_at(plan, "2.6.2").is_some());
        assert!(step_at(plan, "2.7.1").is_none());
    }
}
