//! Plans in which a driver leaves its tasks, and another process of it takes them over. (core)

use super::check::needed;
use super::expand::Wrong;
use super::model::{Action, Scenario, Step};
use crate::capability::Capability;

/// Checks that each process of the driver is there when a step needs it.
pub(super) fn check(scenario: &Scenario) -> Result<(), Wrong> {
    let mut is_away = false;
    steps(scenario, &scenario.plan, "plan", &mut is_away)?;
    if is_away {
        return Err(Wrong::new(
            "plan",
            "no driver is left that could report the task's end",
            "add a step `recover-driver` behind the last `detach-driver` or `kill-driver`",
        ));
    }
    Ok(())
}

fn steps(scenario: &Scenario, plan: &[Step], key: &str, is_away: &mut bool) -> Result<(), Wrong> {
    for (index, step) in plan.iter().enumerate() {
        let key = format!("{key} {}", index + 1);
        if let Action::Repeat { times, plan } = &step.action {
            // The second round begins as the first one has ended.
            for _ in 0..(*times).min(2) {
                steps(scenario, plan, &format!("{key}.plan"), is_away)?;
            }
            continue;
        }
        let Some(needs_driver) = needs_driver(&step.action) else {
            continue;
        };
        let changes = matches!(
            step.action,
            Action::DetachDriver {} | Action::KillDriver {} | Action::RecoverDriver {}
        );
        if changes {
            needed(scenario, &key, Capability::Recover)?;
        }
        if needs_driver == *is_away {
            let (problem, fix) = if *is_away {
                (
                    "no driver is there",
                    "add a step `recover-driver` before it",
                )
            } else {
                (
                    "the driver is still there",
                    "add a step `detach-driver` or `kill-driver` before it",
                )
            };
            return Err(Wrong::new(key, problem, fix));
        }
        *is_away ^= changes;
    }
    Ok(())
}

/// Whether a step needs a driver that is there, or needs that there is none; none if it does not matter.
fn needs_driver(action: &Action) -> Option<bool> {
    if let Action::DetachDriver {}
    | Action::KillDriver {}
    | Action::StartTask { .. }
    | Action::StartSecondTask { .. }
    | Action::StopDriver { .. }
    | Action::FreezeDriver {}
    | Action::ThawDriver {}
    | Action::AwaitExit { .. } = action
    {
        return Some(true);
    }
    matches!(action, Action::RecoverDriver {}).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::super::expand;

    /// What is said of a plan with these steps.
    fn told(needs: &str, steps: &[&str]) -> String {
        let steps: String = steps
            .iter()
            .map(|step| format!("[[plan]]\ndo = \"{step}\"\n"))
            .collect();
        let text = format!(
            "id = \"life/x\"\ntitle = \"A promise.\"\nrules = [\"LIFE-6\"]\nneeds = [{needs}]\n\
             [tasks.main]\nstep = [{{ do = \"records\", stream = \"stdout\", count = 3 }}]\n{steps}"
        );
        match expand(&text, "x.toml") {
            Ok(_) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn whoever_leaves_comes_back_and_nothing_is_asked_of_a_driver_that_is_away() {
        let needs = "\"recover\"";
        let good = [
            "start-task",
            "detach-driver",
            "recover-driver",
            "kill-driver",
            "recover-driver",
            "await-exit",
        ];
        assert_eq!(told(needs, &good), "nothing");
        for (steps, said) in [
            (
                &["start-task", "detach-driver"][..],
                "report the task's end",
            ),
            (&["start-task", "recover-driver"], "is still there"),
            (&["start-task", "kill-driver", "detach-driver"], "plan 3"),
            (
                &["start-task", "kill-driver", "await-exit"],
                "no driver is there",
            ),
        ] {
            let text = told(needs, steps);
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(told("", &good).contains("add \"recover\" to `needs`"));
    }

    #[test]
    fn a_step_that_is_repeated_meets_what_it_left() {
        let text = "id = \"life/x\"\ntitle = \"A promise.\"\nrules = [\"LIFE-6\"]\nneeds = [\"recover\"]\n\
                    [[plan]]\ndo = \"repeat\"\ntimes = 2\n[[plan.plan]]\ndo = \"detach-driver\"\n";
        let error = expand(text, "x.toml").unwrap_err().to_string();
        assert!(error.contains("no driver is there"), "{error}");
    }
}
