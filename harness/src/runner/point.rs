//! Points of a plan at which it can be told to stand still. (core)

use super::words;
use crate::scenario::{Action, Step, step_at};

/// The point behind the last step that is played, however the plan ends.
const END: &str = "end";

/// What of a step is a name that it can be called by.
const NAMES: &[&str] = &["do", "until", "gate", "what", "signal"];

/// A point of a plan. Steps have the places that the trace gives them: `3`, or `3.0.2` for the
/// second step of the first round of a repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// Before the step at this place.
    Before(String),
    /// Behind the step at this place: what it waits for has come, what it does is done.
    After(String),
    /// Behind the plan.
    End,
}

/// A plan that has no such point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan of this case has no point `{what}`")]
pub struct NoSuchPoint {
    what: String,
    /// The points that there are: the place of a step, and its names and what it does.
    pub steps: Vec<(String, String)>,
}

/// Checks that a plan has a point of this name.
///
/// # Errors
/// If it has not. The error has the steps with the names that they can be called by.
pub fn check_point(plan: &[Step], what: &str) -> Result<(), NoSuchPoint> {
    point(plan, what).map(drop)
}

/// The point of this name: before the step of this number, or behind the first step that is called so,
/// or `end`.
pub(super) fn point(plan: &[Step], what: &str) -> Result<Point, NoSuchPoint> {
    let mut all = Vec::new();
    collect(plan, "", &mut all);
    if what == END {
        return Ok(Point::End);
    }
    if step_at(plan, what).is_some() {
        return Ok(Point::Before(what.to_owned()));
    }
    let is_called = |action: &Action| {
        names(action)
            .iter()
            .any(|name| name.eq_ignore_ascii_case(what))
    };
    match all.iter().find(|(_, action)| is_called(action)) {
        Some((path, _)) => Ok(Point::After(path.clone())),
        None => Err(NoSuchPoint {
            what: what.to_owned(),
            steps: listed(all),
        }),
    }
}

/// Every step with its place; of a repetition those of the first round.
fn collect<'a>(plan: &'a [Step], above: &str, all: &mut Vec<(String, &'a Action)>) {
    for (index, step) in plan.iter().enumerate() {
        let path = join(above, index + 1);
        all.push((path.clone(), &step.action));
        if let Action::Repeat { plan, .. } = &step.action {
            collect(plan, &join(&path, 0), all);
        }
    }
}

/// The place of a step below `above`, as the trace writes it.
pub(super) fn join(above: &str, number: usize) -> String {
    if above.is_empty() {
        number.to_string()
    } else {
        format!("{above}.{number}")
    }
}

/// What a step can be called: its action, its condition, its gate, its fault and its signal, as the
/// scenario writes them.
fn names(action: &Action) -> Vec<String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(action) else {
        return Vec::new();
    };
    let field = |name: &&str| Some(fields.get(*name)?.as_str()?.to_owned());
    NAMES.iter().filter_map(field).collect()
}

fn listed(all: Vec<(String, &Action)>) -> Vec<(String, String)> {
    let told = |(path, action): (String, &Action)| {
        let names = names(action).join(", ");
        (path, format!("{names}: {}", words::action(action)))
    };
    let end = (
        END.to_owned(),
        "where the plan ends, however it ends".into(),
    );
    all.into_iter().map(told).chain([end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expand;

    fn plan() -> Vec<Step> {
        let text = "id = \"mon/x\"\ntitle = \"It works.\"\nrules = [\"MON-9\"]\n\
             [tasks.main]\nstep = [{ do = \"gate\", name = \"burst\" }]\n\
             [[plan]]\ndo = \"start-logmon\"\n[[plan]]\ndo = \"start-task\"\n\
             [[plan]]\ndo = \"await\"\nuntil = \"at-gate\"\ngate = \"burst\"\n\
             [[plan]]\ndo = \"repeat\"\ntimes = 3\nplan = [{ do = \"look\" }, \
             { do = \"signal-logmon\", signal = \"KILL\" }, { do = \"start-logmon\" }]\n\
             [[plan]]\ndo = \"break\"\nwhat = \"file-size-limit\"\n";
        expand(text, "x.toml").unwrap().remove(0).plan
    }

    #[test]
    fn a_number_is_before_its_step_and_a_name_behind_the_first_step_that_is_called_so() {
        let of = |what| point(&plan(), what).unwrap();
        assert_eq!(of("3"), Point::Before("3".into()));
        assert_eq!(of("at-gate"), Point::After("3".into()));
        assert_eq!(of("burst"), Point::After("3".into()));
        assert_eq!(of("start-logmon"), Point::After("1".into()));
        assert_eq!(of("kill"), Point::After("4.0.2".into()));
        assert_eq!(of("file-size-limit"), Point::After("5".into()));
        assert_eq!(of("end"), Point::End);
    }

    #[test]
    fn a_step_of_a_later_round_has_a_place_and_one_beyond_the_last_has_none() {
        let of = |what| point(&plan(), what);
        assert_eq!(of("4.2.1").unwrap(), Point::Before("4.2.1".into()));
        for none in ["0", "6", "4.3.1", "4.0.0", "4.0.4", "4.0", "1.0.1", "", "."] {
            assert!(of(none).is_err(), "{none}");
        }
    }

    #[test]
    fn what_is_no_point_is_told_with_all_that_are() {
        let error = point(&plan(), "nowhere").unwrap_err();
        assert!(error.to_string().contains("no point `nowhere`"));
        let steps: Vec<String> = error
            .steps
            .iter()
            .map(|(at, is)| format!("{at} {is}"))
            .collect();
        let expected = [
            "1 start-logmon: start logmon",
            "2 start-task: start the task `main`",
            "3 await, at-gate, burst: wait until the task waits at gate `burst`",
            "4 repeat: repeat 3 steps 3 times",
            "4.0.1 look: look at the log folder",
            "4.0.2 signal-logmon, KILL: send SIGKILL to logmon",
            "4.0.3 start-logmon: start logmon",
            "5 break, file-size-limit: the host lets logmon write to no file (RLIMIT_FSIZE)",
            "end where the plan ends, however it ends",
        ];
        assert_eq!(steps, expected);
    }
}
