//! Many tasks for one logmon. (core)

use mock_driver::record::RunId;
use mock_driver::script::Expected;
use mock_driver::stream::Stream;
use serde::{Deserialize, Serialize};

use super::check::needed;
use super::expand::Wrong;
use super::model::{Action, Scenario, Step};
use crate::capability::Capability;

/// The tasks of a case in which one logmon serves many. There is no driver: the suite makes their
/// FIFOs, and writes itself what `[tasks.main]` says. The number of the task, from 0, stands in its
/// records as the generation, so everybody's bytes are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Many {
    /// How many, at least 1.
    pub tasks: u32,
    /// RLIMIT_NOFILE of logmon; too little for a descriptor of each FIFO. As much as the machine
    /// allows if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u64>,
}

/// What is done with all tasks, several at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManyStep {
    /// The host opens both ends of every FIFO, and writes a part of what each task is to write.
    WriteEarly,
    /// Gives each task to logmon.
    Start,
    /// The host writes the rest to the FIFOs of those that were started.
    Write,
    /// Takes each task away that was started; what could not be started must be as it was.
    Stop,
}

impl ManyStep {
    /// What is done, as a clause.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::WriteEarly => "the host writes a part of every task's output before its start",
            Self::Start => "give each task to logmon",
            Self::Write => "the host writes what the tasks say that were started",
            Self::Stop => "take each task away again",
        }
    }
}

impl Scenario {
    /// Whether it judges what many tasks cost in memory.
    #[must_use]
    pub fn judges_memory(&self) -> bool {
        self.rules.iter().any(|rule| rule.as_str() == "COST-2")
    }
}

/// Checks what a case with many tasks must say.
pub(super) fn check(scenario: &Scenario) -> Result<(), Wrong> {
    let has_steps = scenario.plan.iter().any(is_about_many);
    let many = match (scenario.many, has_steps) {
        (None, false) => return Ok(()),
        (Some(many), true) => many,
        (None, true) => {
            return Err(Wrong::new(
                "many",
                "the plan is about many tasks, and there are none",
                "say how many: `many = { tasks = 1000 }`",
            ));
        }
        (Some(_), false) => {
            return Err(Wrong::new(
                "plan",
                "nothing is done with the many tasks",
                "add `do = \"many-tasks\"` steps, or leave `many` out",
            ));
        }
    };
    needed(scenario, "many", Capability::ManyTasks)?;
    if many.tasks == 0 {
        return Err(Wrong::new("many.tasks", "0 tasks", "leave `many` out"));
    }
    if many
        .descriptors
        .is_some_and(|descriptors| descriptors >= 2 * u64::from(many.tasks))
    {
        return Err(Wrong::new(
            "many.descriptors",
            "they may be enough for all tasks",
            "give fewer than there are FIFOs",
        ));
    }
    let is_certain = scenario.tasks.get("main").is_some_and(|script| {
        Stream::BOTH
            .into_iter()
            .all(|stream| matches!(script.expected(RunId(0), 0, stream), Expected::Exact(_)))
    });
    if is_certain {
        return Ok(());
    }
    Err(Wrong::new(
        "tasks.main",
        "it does not say beforehand what each task writes",
        "give a script of records",
    ))
}

fn is_about_many(step: &Step) -> bool {
    if let Action::Repeat { plan, .. } = &step.action {
        plan.iter().any(is_about_many)
    } else {
        matches!(step.action, Action::ManyTasks { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::super::expand;

    const PLAN: &str = "[[plan]]\ndo = \"many-tasks\"\nstep = \"start\"\n";
    const MAIN: &str =
        "[tasks.main]\nstep = [{ do = \"records\", stream = \"stdout\", count = 3 }]\n";

    fn wrong(keys: &str, rest: &str) -> String {
        let text = format!(
            "id = \"cost/x\"\ntitle = \"A promise.\"\nrules = [\"COST-2\"]\n{keys}\n{rest}"
        );
        match expand(&text, "x.toml") {
            Ok(_) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_case_with_many_tasks_says_how_many_and_needs_the_capability() {
        let good = "needs = [\"many-tasks\"]\nmany = { tasks = 3 }";
        let rest = format!("{MAIN}{PLAN}");
        assert_eq!(wrong(good, &rest), "nothing");
        for (keys, rest, told) in [
            ("", rest.as_str(), "there are none"),
            ("many = { tasks = 3 }", &rest, "many-tasks"),
            (
                "needs = [\"many-tasks\"]\nmany = { tasks = 0 }",
                &rest,
                "0 tasks",
            ),
            (
                "needs = [\"many-tasks\"]\nmany = { tasks = 3, descriptors = 6 }",
                &rest,
                "fewer than there are FIFOs",
            ),
            (good, PLAN, "beforehand"),
            (
                good,
                &format!("{MAIN}[[plan]]\ndo = \"start-logmon\"\n"),
                "nothing is done with",
            ),
        ] {
            let text = wrong(keys, rest);
            assert!(text.contains(told), "{told}: {text}");
        }
    }
}
